//! feature_engine: what it learned of a DataFrame's columns. Each step works on some columns, may add or drop others, and
//! hands on the whole table.

mod creation;
pub(in crate::families) mod dates;
mod numbers;
mod words;

use foretell_pickle::View;

use crate::attributes::{some_attr, word};
use crate::families::shared::acts::{Builder, Refuse, Wrapped, texts};
use crate::family::Family;
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "feature_engine",
    classes: &[
        ("feature_engine.creation.cyclical", "CyclicalTransformer"),
        ("feature_engine.creation.cyclical_features", "CyclicalFeatures"),
        ("feature_engine.creation.decision_tree_features", "DecisionTreeFeatures"),
        ("feature_engine.creation.math_features", "MathFeatures"),
        ("feature_engine.creation.relative_features", "RelativeFeatures"),
        ("feature_engine.datetime.datetime", "DatetimeFeatures"),
        ("feature_engine.discretisation.arbitrary", "ArbitraryDiscretiser"),
        ("feature_engine.discretisation.decision_tree", "DecisionTreeDiscretiser"),
        ("feature_engine.discretisation.equal_frequency", "EqualFrequencyDiscretiser"),
        ("feature_engine.discretisation.equal_width", "EqualWidthDiscretiser"),
        ("feature_engine.discretisation.geometric_width", "GeometricWidthDiscretiser"),
        ("feature_engine.encoding.count_frequency", "CountFrequencyEncoder"),
        ("feature_engine.encoding.decision_tree", "DecisionTreeEncoder"),
        ("feature_engine.encoding.mean_encoding", "MeanEncoder"),
        ("feature_engine.encoding.one_hot", "OneHotEncoder"),
        ("feature_engine.encoding.ordinal", "OrdinalEncoder"),
        ("feature_engine.encoding.probability_ratio", "PRatioEncoder"),
        ("feature_engine.encoding.rare_label", "RareLabelEncoder"),
        ("feature_engine.encoding.woe", "WoEEncoder"),
        ("feature_engine.imputation.arbitrary_number", "ArbitraryNumberImputer"),
        ("feature_engine.imputation.categorical", "CategoricalImputer"),
        ("feature_engine.imputation.drop_missing_data", "DropMissingData"),
        ("feature_engine.imputation.end_tail", "EndTailImputer"),
        ("feature_engine.imputation.mean_median", "MeanMedianImputer"),
        ("feature_engine.imputation.missing_indicator", "AddMissingIndicator"),
        ("feature_engine.outliers.artbitrary", "ArbitraryOutlierCapper"),
        ("feature_engine.outliers.trimmer", "OutlierTrimmer"),
        ("feature_engine.outliers.winsorizer", "Winsorizer"),
        ("feature_engine.preprocessing.match_columns", "MatchVariables"),
        ("feature_engine.scaling.mean_normalization", "MeanNormalizationScaler"),
        ("feature_engine.selection.drop_constant_features", "DropConstantFeatures"),
        ("feature_engine.selection.drop_correlated_features", "DropCorrelatedFeatures"),
        ("feature_engine.selection.drop_duplicate_features", "DropDuplicateFeatures"),
        ("feature_engine.selection.drop_features", "DropFeatures"),
        ("feature_engine.selection.drop_psi_features", "DropHighPSIFeatures"),
        ("feature_engine.selection.information_value", "SelectByInformationValue"),
        ("feature_engine.selection.mrmr", "MRMR"),
        ("feature_engine.selection.probe_feature_selection", "ProbeFeatureSelection"),
        ("feature_engine.selection.recursive_feature_addition", "RecursiveFeatureAddition"),
        ("feature_engine.selection.recursive_feature_elimination", "RecursiveFeatureElimination"),
        ("feature_engine.selection.shuffle_features", "SelectByShuffling"),
        ("feature_engine.selection.single_feature_performance", "SelectBySingleFeaturePerformance"),
        ("feature_engine.selection.smart_correlation_selection", "SmartCorrelatedSelection"),
        ("feature_engine.selection.target_mean_selection", "SelectByTargetMeanPerformance"),
        ("feature_engine.transformation.arcsin", "ArcsinTransformer"),
        ("feature_engine.transformation.arcsinh", "ArcSinhTransformer"),
        ("feature_engine.transformation.boxcox", "BoxCoxTransformer"),
        ("feature_engine.transformation.log", "LogCpTransformer"),
        ("feature_engine.transformation.log", "LogTransformer"),
        ("feature_engine.transformation.power", "PowerTransformer"),
        ("feature_engine.transformation.reciprocal", "ReciprocalTransformer"),
        ("feature_engine.transformation.yeojohnson", "YeoJohnsonTransformer"),
        ("feature_engine.wrappers.wrappers", "SklearnTransformerWrapper"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| (class.module.clone(), class.name.clone())).unwrap_or_default();
    let (module, class) = (class.0.as_str(), class.1.as_str());
    let mut build = Builder::new(loader, view, given)?;
    match module.split('.').nth(1).unwrap_or_default() {
        "creation" => creation::load(loader, view, &mut build, class)?,
        "datetime" => dates::load(loader, view, &mut build)?,
        "encoding" => words::load(loader, view, &mut build, class)?,
        "imputation" => numbers::imputers(loader, view, &mut build, class)?,
        "discretisation" => numbers::discretisers(loader, view, &mut build, class)?,
        "outliers" => numbers::outliers(loader, view, &mut build, class)?,
        "transformation" | "scaling" => numbers::functions(loader, view, &mut build, class)?,
        "selection" => {
            for name in texts(&view.attr("features_to_drop_")?)? {
                // One that is not there was dropped before.
                let at = build.at(view, &name)?;
                build.drop(at);
            }
        }
        "preprocessing" => {
            if word(view, "missing_values", "raise")? == "raise" {
                build.act(Refuse { columns: (0..build.len()).collect(), infinity: false });
            }
        }
        _ => wrapper(loader, view, &mut build)?,
    }
    build.finish(loader, view)
}

/// The columns that a step works on.
fn variables(view: &View<'_>, build: &Builder) -> Result<Vec<usize>, Error> {
    match some_attr(view, "variables_")? {
        Some(names) => build.places(&names),
        // Until 1.1 they stood in the parameter.
        None => build.places(&view.attr("variables")?),
    }
}

/// Takes numbers alone, and refuses what is missing or infinite as the library does.
fn demand_numbers(loader: &mut Loader<'_>, build: &mut Builder, columns: &[usize], refuses: bool) {
    columns.iter().for_each(|at| build.demand(loader, *at, InputKind::Number));
    if refuses {
        build.act(Refuse { columns: columns.to_vec(), infinity: true });
    }
}

/// Whether a step that can pass over missing values raises on them.
fn raises(view: &View<'_>, otherwise: &str) -> Result<bool, Error> {
    Ok(word(view, "missing_values", otherwise)? == "raise")
}

/// `SklearnTransformerWrapper`: a transformer of scikit-learn on some columns. What it makes stands in their places, or
/// behind the others where it makes new columns.
fn wrapper(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder) -> Result<(), Error> {
    let columns = variables(view, build)?;
    let inside = match some_attr(view, "transformer_")? {
        Some(inside) => inside,
        None => view.attr("transformer")?,
    };
    if let Some(dropped) = some_attr(view, "features_to_drop_")? {
        for at in build.places(&dropped)? {
            build.drop(at);
        }
        return Ok(());
    }
    let given: Vec<Source> = columns.iter().filter_map(|at| build.sources.get(*at)).cloned().collect();
    let mut loaded = loader.transformer(&inside, Some(&given))?;
    loaded.report.columns = given.iter().map(|source| source.label.clone()).collect();
    build.children.push(loaded.report);
    let class = inside.class().map(|class| class.name.clone()).unwrap_or_default();
    let is_new = class == "OneHotEncoder" || class == "PolynomialFeatures";
    // The old name says `deprecated` where the new one is there.
    let is_set = |name: &str| Ok::<_, Error>(some_attr(&inside, name)?.is_some_and(|set| set.as_bool() == Ok(true)));
    if class == "OneHotEncoder" && (is_set("sparse_output")? || is_set("sparse")?) {
        return Err(Error::unsupported(inside.path(), "a sparse table", "sparse_output=False"));
    }
    if !is_new && loaded.out.len() != columns.len() {
        return Err(Error::counts(view.path(), (loaded.out.len(), "columns made"), (columns.len(), "columns")));
    }
    let first = build.len();
    let made = loaded.out.into_iter().map(|source| source.label);
    let places = if is_new {
        made.for_each(|name| build.add(name));
        columns.iter().for_each(|at| build.drop(*at));
        (first..build.len()).collect()
    } else {
        columns.iter().for_each(|at| build.changed(*at));
        columns.clone()
    };
    build.act(Wrapped { step: loaded.step, columns, places });
    Ok(())
}
