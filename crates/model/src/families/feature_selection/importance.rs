//! How much each feature matters to a fitted estimator, as `coef_` and `feature_importances_` say it.

use foretell_pickle::View;

use crate::attributes::{some_attr, version};
use crate::families::forest;
use crate::math::scores::pairwise_sum;
use crate::trees::{Node, Tree};
use crate::{Error, lightgbm, xgboost};

/// The estimators whose importances are known.
const SUPPORTED: &str =
    "estimators with `coef_`, trees and forests of scikit-learn, gradient boosting, XGBoost, LightGBM";

/// What an estimator says of its features: `auto`, or the way to an attribute. Coefficients of several outputs come
/// down to their norm.
pub(super) fn read(estimator: &View<'_>, getter: &str, order: f64) -> Result<Vec<f64>, Error> {
    let mut view = estimator.clone();
    let mut name = getter;
    while let Some((first, rest)) = name.split_once('.') {
        view = view.attr(first)?;
        name = rest;
    }
    let coef = if name == "feature_importances_" { None } else { some_attr(&view, "coef_")? };
    match (name, coef) {
        ("auto" | "coef_", Some(coef)) => norms(&coef, order),
        ("auto" | "feature_importances_", _) => Ok(of_trees(&view)?.into_iter().map(f64::abs).collect()),
        _ => Err(Error::unsupported(view.path(), format!("importances by `{getter}`"), SUPPORTED)),
    }
}

fn norms(coef: &View<'_>, order: f64) -> Result<Vec<f64>, Error> {
    let array = coef.array()?;
    let shape = array.shape();
    let values = array.f64s()?;
    let [_, features] = *shape else { return Ok(values.into_iter().map(f64::abs).collect()) };
    let norm = |col: usize| {
        let column = values.iter().skip(col).step_by(features.max(1)).map(|value| value.abs());
        if order == f64::INFINITY {
            column.fold(0.0, f64::max)
        } else if order == f64::NEG_INFINITY {
            column.fold(f64::INFINITY, f64::min)
        } else if order == 1.0 {
            column.sum()
        } else if order == 2.0 {
            column.map(|value| value * value).sum::<f64>().sqrt()
        } else {
            column.map(|value| value.powf(order)).sum::<f64>().powf(1.0 / order)
        }
    };
    Ok((0..features).map(norm).collect())
}

fn of_trees(view: &View<'_>) -> Result<Vec<f64>, Error> {
    let class = view.class().map(|class| class.name.as_str()).unwrap_or_default();
    match class {
        "DecisionTreeClassifier" | "DecisionTreeRegressor" | "ExtraTreeClassifier" | "ExtraTreeRegressor" => {
            Ok(of_tree(view, true)?.0)
        }
        "RandomForestClassifier" | "RandomForestRegressor" | "ExtraTreesClassifier" | "ExtraTreesRegressor" => {
            mean(view.attr("estimators_")?.items()?.iter(), true)
        }
        "GradientBoostingClassifier" | "GradientBoostingRegressor" => {
            mean(view.attr("estimators_")?.array()?.objects()?.iter(), false)
        }
        name if name.starts_with("XGB") => of_xgboost(view),
        name if name.starts_with("LGBM") => of_lightgbm(view),
        _ => Err(Error::unsupported(view.path(), format!("importances of {class}"), SUPPORTED)),
    }
}

/// The mean over all trees that split, its sum 1.
fn mean<'v>(trees: impl Iterator<Item = &'v View<'v>>, normalises: bool) -> Result<Vec<f64>, Error> {
    let mut sums: Vec<f64> = Vec::new();
    let mut count = 0.0;
    for tree in trees {
        let (values, splits) = of_tree(tree, normalises)?;
        if sums.is_empty() {
            sums = vec![0.0; values.len()];
        }
        if sums.len() != values.len() {
            return Err(Error::state(tree.path(), "the tree has other features than the first one"));
        }
        if splits {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            count += 1.0;
        }
    }
    if count == 0.0 {
        return Ok(sums);
    }
    sums.iter_mut().for_each(|sum| *sum /= count);
    let all = pairwise_sum(&sums);
    sums.iter_mut().for_each(|sum| *sum /= all);
    Ok(sums)
}

/// How much each feature lowers the impurity of one tree, and whether the tree splits at all.
fn of_tree(estimator: &View<'_>, normalises: bool) -> Result<(Vec<f64>, bool), Error> {
    let shape = forest::Shape::read(estimator)?;
    let tree = estimator.attr("tree_")?;
    let width = shape.outputs.saturating_mul(shape.classes);
    if width == 0 {
        return Err(Error::state(tree.path(), "a tree without outputs"));
    }
    let (read, _) = forest::read_tree(&tree, width)?;
    let mut values = vec![0.0; shape.features.min(FEATURES)];
    let weighted = |place: u32| -> Result<f64, Error> {
        let node = read.nodes.get(place as usize);
        let node = node.ok_or_else(|| Error::out_of_range(tree.path(), format!("node {place}")))?;
        Ok(node.cover * node.gain)
    };
    for node in read.nodes.iter().filter(|node| !node.is_leaf()) {
        let gain = node.cover * node.gain - weighted(node.left)? - weighted(node.right)?;
        match values.get_mut(node.feature as usize) {
            Some(value) => *value += gain,
            None => return Err(Error::out_of_range(tree.path(), format!("feature {}", node.feature))),
        }
    }
    let all = read.nodes.first().map_or(1.0, |root| root.cover);
    values.iter_mut().for_each(|value| *value /= all);
    if normalises {
        let sum = pairwise_sum(&values);
        if sum > 0.0 {
            values.iter_mut().for_each(|value| *value /= sum);
        }
    }
    Ok((values, read.nodes.len() > 1))
}

/// More features are an attack on memory.
const FEATURES: usize = 1 << 20;

/// The mean gain of each feature's splits (or their number), its sum 1, in float32 as XGBoost computes it.
fn of_xgboost(view: &View<'_>) -> Result<Vec<f64>, Error> {
    let booster = xgboost::read(view.attr("_Booster")?.attr("handle")?.as_bytes()?)?;
    let kind = match some_attr(view, "importance_type")? {
        Some(kind) => kind.as_str()?,
        None => "gain",
    };
    if !matches!(kind, "gain" | "weight" | "total_gain") || booster.linear.is_some() {
        return Err(Error::unsupported(view.path(), format!("importance_type={kind}"), "gain, total_gain, weight"));
    }
    let mut gains = vec![0f32; booster.ensemble.features];
    let mut splits = vec![0f32; booster.ensemble.features];
    for node in splits_of(&booster.ensemble.trees) {
        if let (Some(gain), Some(split)) = (gains.get_mut(node.feature as usize), splits.get_mut(node.feature as usize))
        {
            *gain += node.gain as f32;
            *split += 1.0;
        }
    }
    let pairs = gains.into_iter().zip(splits);
    let values: Vec<f32> = pairs
        .map(|(gain, splits)| match kind {
            "weight" => splits,
            "gain" if splits > 0.0 => gain / splits,
            _ => gain,
        })
        .collect();
    let sum: f32 = values.iter().sum();
    Ok(values.into_iter().map(|value| f64::from(if sum == 0.0 { value } else { value / sum })).collect())
}

/// The number of each feature's splits that gained something, or what they gained.
fn of_lightgbm(view: &View<'_>) -> Result<Vec<f64>, Error> {
    let booster = view.attr("_Booster")?;
    let handle = match some_attr(&booster, "_handle")? {
        Some(handle) => handle,
        None => booster.attr("handle")?,
    };
    let booster = lightgbm::read(handle.as_str()?.as_bytes())?;
    let counts = match some_attr(view, "importance_type")? {
        Some(kind) => kind.as_str()? == "split",
        None => true,
    };
    let mut values = vec![0.0; booster.ensemble.features];
    for node in splits_of(&booster.ensemble.trees).filter(|node| node.gain > 0.0) {
        if let Some(value) = values.get_mut(node.feature as usize) {
            *value += if counts { 1.0 } else { node.gain };
        }
    }
    Ok(values)
}

fn splits_of(trees: &[Tree]) -> impl Iterator<Item = &Node> {
    trees.iter().flat_map(|tree| tree.nodes.iter().filter(|node| !node.is_leaf()))
}

/// Whether an estimator says of itself that it takes NaN: what selectors around it go by.
pub(super) fn allows_nan(view: &View<'_>) -> Result<bool, Error> {
    let class = view.class().map(|class| class.name.as_str()).unwrap_or_default();
    if class.starts_with("HistGradientBoosting") || class.starts_with("XGB") || class.starts_with("LGBM") {
        return Ok(true);
    }
    let since = match class {
        "DecisionTreeClassifier" | "DecisionTreeRegressor" => (1, 3),
        "RandomForestClassifier" | "RandomForestRegressor" => (1, 4),
        "ExtraTreeClassifier" | "ExtraTreeRegressor" | "ExtraTreesClassifier" | "ExtraTreesRegressor" => (1, 6),
        _ => return Ok(false),
    };
    let Some(version) = version(view)? else { return Ok(false) };
    let criterion = view.attr("criterion")?;
    Ok(version >= since && (version >= (1, 9) || criterion.as_str()? != "absolute_error"))
}
