//! `SelectFromModel`: the features that matter enough to an estimator.

use foretell_pickle::View;

use super::importance;
use crate::Error;
use crate::attributes::{some_attr, version, word};
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;
use crate::math::scores::pairwise_sum;

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let estimator = match some_attr(view, "estimator_")? {
        Some(estimator) => estimator,
        None => view.attr("estimator")?,
    };
    if let Some(getter) = some_attr(view, "importance_getter")?
        && getter.as_str().is_err()
    {
        return Err(Error::unsupported(getter.path(), "a function as importance_getter", "the name of an attribute"));
    }
    let order = some_attr(view, "norm_order")?.map_or(Ok(1.0), |order| order.as_f64())?;
    let scores = importance::read(&estimator, word(view, "importance_getter", "auto")?, order)?;
    let threshold = threshold(view, &estimator, &scores)?;
    let largest = match some_attr(view, "max_features_")? {
        Some(count) => Some(count),
        None => some_attr(view, "max_features")?,
    };
    let mut mask = vec![true; scores.len()];
    if let Some(count) = largest
        && some_attr(view, "max_features")?.is_some()
    {
        let count = count.as_usize()?;
        let mut order: Vec<(usize, f64)> = scores.iter().copied().enumerate().collect();
        order.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
        for (place, _) in order.into_iter().skip(count) {
            mask.iter_mut().skip(place).take(1).for_each(|kept| *kept = false);
        }
    }
    // What is not below is kept: a NaN threshold keeps all.
    mask.iter_mut().zip(&scores).filter(|(_, score)| **score < threshold).for_each(|(kept, _)| *kept = false);
    let allows_nan = importance::allows_nan(&view.attr("estimator")?)?;
    super::keep(loader, view, given, &mask, allows_nan)
}

fn threshold(view: &View<'_>, estimator: &View<'_>, scores: &[f64]) -> Result<f64, Error> {
    let Some(threshold) = some_attr(view, "threshold")? else {
        return if is_lasso(estimator)? { Ok(1e-5) } else { Ok(mean(scores)) };
    };
    let Ok(text) = threshold.as_str() else { return Ok(threshold.as_f64()?) };
    let (scale, reference) = match text.split_once('*') {
        Some((scale, reference)) => (scale.trim().parse().ok(), reference.trim()),
        None => (Some(1.0), text),
    };
    let reference = match reference {
        "mean" => Some(mean(scores)),
        "median" => Some(median(scores)),
        _ => None,
    };
    let unknown = || Error::unsupported(view.path(), format!("threshold={text}"), "mean, median, 1.25*mean, a number");
    let (scale, reference): (f64, f64) = scale.zip(reference).ok_or_else(unknown)?;
    Ok(scale * reference)
}

fn mean(scores: &[f64]) -> f64 {
    pairwise_sum(scores) / scores.len() as f64
}

fn median(scores: &[f64]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = sorted.get(half).copied().unwrap_or(f64::NAN);
    match half.checked_sub(1).and_then(|lower| sorted.get(lower)) {
        Some(lower) if sorted.len().is_multiple_of(2) => (lower + upper) / 2.0,
        _ => upper,
    }
}

/// Whether the estimator itself makes coefficients zero.
fn is_lasso(estimator: &View<'_>) -> Result<bool, Error> {
    let class = estimator.class().map(|class| class.name.as_str()).unwrap_or_default();
    if class.contains("Lasso") || some_attr(estimator, "penalty")?.is_some_and(|kind| kind.as_str() == Ok("l1")) {
        return Ok(true);
    }
    let near_one = |name: &str| -> Result<bool, Error> {
        let Some(ratio) = some_attr(estimator, name)? else { return Ok(false) };
        let ratios = match ratio.array() {
            Ok(array) => array.f64s()?,
            Err(_) => ratio.as_f64().into_iter().collect(),
        };
        Ok(!ratios.is_empty() && ratios.iter().all(|ratio| (ratio - 1.0).abs() <= 1e-8 + 1e-5))
    };
    let written = version(estimator)?.unwrap_or_default();
    match class {
        "ElasticNet" | "MultiTaskElasticNet" => Ok(written >= (1, 0) && near_one("l1_ratio")?),
        "ElasticNetCV" | "MultiTaskElasticNetCV" => Ok(written >= (1, 0) && near_one("l1_ratio_")?),
        "LogisticRegression" if written >= (1, 8) => near_one("l1_ratio"),
        "LogisticRegressionCV" if written >= (1, 8) => near_one("l1_ratio_"),
        _ => Ok(false),
    }
}
