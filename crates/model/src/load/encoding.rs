//! Encodings from files of encoders.

use foretell_pickle::{Value, View};

use super::contents::{Contents, Link};
use crate::attributes::feature_names;
use crate::categories::Categories;
use crate::encoding::Codes;
use crate::families::label_encoder;
use crate::families::ordinal_encoder::{self, Learned};
use crate::labels::Labels;
use crate::options::LoadOptions;
use crate::pandas::Table;
use crate::{Encoding, Error, Unknown};

impl Encoding {
    /// Reads a `LabelEncoder`, numbers by label (a dict, or a Series of pandas), or one column of an `OrdinalEncoder`: by its
    /// name, or by its number where it has none.
    /// `unknown` overrules what the encoder itself says.
    ///
    /// # Errors
    /// The file is broken or holds something else, the column is not there or not named where there are several, or
    /// `unknown` is not a whole number where the codes are.
    pub fn load(
        bytes: &[u8],
        options: &LoadOptions,
        column: Option<&str>,
        unknown: Option<Unknown>,
    ) -> Result<Encoding, Error> {
        let contents = Contents::read(bytes, options)?;
        if let Some(value) = contents.value(&options.at)?
            && let Some((categories, labels, codes)) = pairs(&value)?
        {
            if let Some(column) = column {
                let message = format!("there is no column `{column}`: the file holds values of one, without a name");
                return Err(Error::At { message });
            }
            return Encoding::new("lookup", categories, labels, codes, unknown.unwrap_or(Unknown::Refuse));
        }
        let chosen = contents.choose(&options.at, options)?;
        let [Link { view, .. }] = chosen.links.as_slice() else {
            let message = "an encoding is one encoder: give its place as `at`".to_string();
            return Err(Error::At { message });
        };
        let Some(class) = view.class() else { return Err(view.expected("an encoder").into()) };
        let is = |classes: &[(&str, &str)]| classes.iter().any(|(module, name)| view.is(module, name));
        if is(label_encoder::FAMILY.classes) {
            if let Some(column) = column {
                let message = format!("there is no column `{column}`: a LabelEncoder has one, without a name");
                return Err(Error::At { message });
            }
            return label_encoder::read(view, unknown.unwrap_or(Unknown::Refuse));
        }
        if !is(ordinal_encoder::FAMILY.classes) {
            return Err(Error::unsupported(
                view.path(),
                class.to_string(),
                "LabelEncoder, OrdinalEncoder, numbers by label",
            ));
        }
        let learned = ordinal_encoder::learned(view)?;
        let names = feature_names(view)?.unwrap_or_else(|| (0..learned.len()).map(|n| n.to_string()).collect());
        let all = || names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let index = match column {
            None if learned.len() == 1 => Some(0),
            None => {
                let message = format!("the encoder has several columns; give one as `column`: {}", all());
                return Err(Error::At { message });
            }
            Some(column) => names.iter().position(|name| name == column),
        };
        let Some(Learned { categories, labels, values }) = index.and_then(|index| learned.into_iter().nth(index))
        else {
            let message = format!("there is no column `{}`: the encoder has {}", column.unwrap_or_default(), all());
            return Err(Error::At { message });
        };
        let own = ordinal_encoder::unknown(view)?.map_or(Unknown::Refuse, Unknown::Code);
        Encoding::new("OrdinalEncoder", categories, labels, Codes::Float(values), unknown.unwrap_or(own))
    }
}

/// Numbers by label: what a dict holds, or a Series of pandas. `None` where it is something else.
fn pairs(view: &View<'_>) -> Result<Option<(Categories, Option<Labels>, Codes)>, Error> {
    if view.is("pandas.core.series", "Series") || view.is("pandas", "Series") {
        let Table { index, names, mut columns } = Table::read(view)?;
        let column = columns.pop().filter(|_| names.is_empty());
        return Ok(column.map(|column| (index, None, codes(column))));
    }
    let Ok(pairs) = view.pairs() else { return Ok(None) };
    let is_label = |view: &View<'_>| matches!(view.value(), Value::Str(_) | Value::OldStr(_) | Value::Int(_));
    if pairs.is_empty() || !pairs.iter().all(|(label, number)| is_label(label) && number.as_f64().is_ok()) {
        return Ok(None);
    }
    let (labels, numbers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let texts: Option<Vec<String>> = labels.iter().map(|label| label.as_str().ok().map(str::to_string)).collect();
    let numbers = numbers.iter().map(View::as_f64).collect::<Result<_, _>>()?;
    Ok(Some((Categories::objects(&labels)?, texts.map(Labels::Text), codes(numbers))))
}

/// Whole numbers where all are.
fn codes(numbers: Vec<f64>) -> Codes {
    if numbers.iter().all(|number| number.trunc() == *number && number.abs() < 9e15) {
        return Codes::Int(numbers.into_iter().map(|number| number as i64).collect());
    }
    Codes::Float(numbers)
}
