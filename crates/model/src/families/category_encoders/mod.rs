//! The encoders of category_encoders: each category a number, or a row of them. Other columns pass through.

mod beside;
mod by_column;
mod hashing;
mod multi_hot;

use foretell_pickle::{Value, View};

use crate::Error;
use crate::attributes::{flag, some_attr};
use crate::categories::Categories;
use crate::family::Family;
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;

pub(crate) const FAMILY: Family = Family {
    name: "category_encoders",
    classes: &[
        ("category_encoders.backward_difference", "BackwardDifferenceEncoder"),
        ("category_encoders.basen", "BaseNEncoder"),
        ("category_encoders.binary", "BinaryEncoder"),
        ("category_encoders.cat_boost", "CatBoostEncoder"),
        ("category_encoders.count", "CountEncoder"),
        ("category_encoders.count_target", "CountTargetEncoder"),
        ("category_encoders.glmm", "GLMMEncoder"),
        ("category_encoders.gray", "GrayEncoder"),
        ("category_encoders.hashing", "HashingEncoder"),
        ("category_encoders.helmert", "HelmertEncoder"),
        ("category_encoders.james_stein", "JamesSteinEncoder"),
        ("category_encoders.leave_one_out", "LeaveOneOutEncoder"),
        ("category_encoders.m_estimate", "MEstimateEncoder"),
        ("category_encoders.multi_hot", "MultiHotEncoder"),
        ("category_encoders.one_hot", "OneHotEncoder"),
        ("category_encoders.ordinal", "OrdinalEncoder"),
        ("category_encoders.polynomial", "PolynomialEncoder"),
        ("category_encoders.quantile_encoder", "QuantileEncoder"),
        ("category_encoders.quantile_encoder", "SummaryEncoder"),
        ("category_encoders.rankhot", "RankHotEncoder"),
        ("category_encoders.sum_coding", "SumEncoder"),
        ("category_encoders.target_encoder", "TargetEncoder"),
        ("category_encoders.woe", "WOEEncoder"),
        ("category_encoders.wrapper", "PolynomialWrapper"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    match view.class().map(|class| class.name.as_str()) {
        Some("HashingEncoder") => hashing::load(loader, view, given),
        Some("MultiHotEncoder") => multi_hot::load(loader, view, given),
        Some("SummaryEncoder") => beside::summary(loader, view, given),
        Some("PolynomialWrapper") => beside::polynomial(loader, view, given),
        _ => by_column::load(loader, view, given),
    }
}

/// A column's name; columns of an array are numbered.
fn name_of(view: &View<'_>) -> Result<String, Error> {
    match view.value() {
        Value::Int(int) => Ok(int.to_string()),
        _ => Ok(view.as_text()?.into_owned()),
    }
}

fn names_of(view: &View<'_>) -> Result<Vec<String>, Error> {
    view.items()?.iter().map(name_of).collect()
}

/// The names of an encoder's inputs. Versions before 2.6 do not tell them: `found` looks for them elsewhere.
fn input_names(
    loader: &Loader<'_>,
    view: &View<'_>,
    columns: &[String],
    found: impl FnOnce() -> Result<Vec<String>, Error>,
) -> Result<Vec<String>, Error> {
    if let Some(names) = some_attr(view, "feature_names_in_")? {
        return names_of(&names);
    }
    let count = view.attr("_dim")?.as_usize()?;
    if count == columns.len() {
        return Ok(columns.to_vec());
    }
    let told = &loader.options.columns;
    if told.len() == count { Ok(told.clone()) } else { found() }
}

/// The columns of an encoder whose inputs have these names.
fn sources(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    names: &[String],
) -> Result<Vec<Source>, Error> {
    let positional = names.iter().enumerate().all(|(index, name)| *name == index.to_string());
    loader.sources(view, given, names.len(), (!positional).then(|| names.to_vec()))
}

/// Where a column stands among the inputs.
fn place_of(view: &View<'_>, names: &[String], column: &str) -> Result<usize, Error> {
    let at = names.iter().position(|name| name == column);
    at.ok_or_else(|| Error::NoSuchColumn { place: view.path(), column: column.to_string() })
}

/// The outputs that are left out, since they never changed in training.
fn dropped(view: &View<'_>) -> Result<Vec<String>, Error> {
    match some_attr(view, "invariant_cols")? {
        Some(dropped) if flag(view, "drop_invariant", false)? => names_of(&dropped),
        _ => Ok(Vec::new()),
    }
}

/// The rare categories of a column, and for each what it is called with the others of its group.
fn lumped(view: &View<'_>, column: &str) -> Result<Option<(Categories, Vec<String>)>, Error> {
    for name in ["_min_group_categories", "min_group_lumping_"] {
        let Some(by_column) = some_attr(view, name)? else { continue };
        for (key, rare) in by_column.pairs()? {
            if name_of(&key)? == column {
                let (rare, names): (Vec<_>, Vec<_>) = rare.pairs()?.into_iter().unzip();
                return Ok(Some((Categories::objects(&rare)?, names.iter().map(name_of).collect::<Result<_, _>>()?)));
            }
        }
    }
    Ok(None)
}
