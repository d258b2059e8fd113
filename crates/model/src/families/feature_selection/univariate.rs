//! `SelectKBest` and its kin: the features whose scores or p-values are good enough, ties broken as the library does.

use foretell_pickle::View;

use crate::Error;
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.as_str()).unwrap_or_default();
    let mask = match class {
        "SelectKBest" => best(view, &view.attr("k")?)?,
        "SelectPercentile" => percentile(view, view.attr("percentile")?.as_f64()?)?,
        "SelectFpr" => by_p(view, "fpr", view.attr("alpha")?.as_f64()?)?,
        "SelectFdr" => by_p(view, "fdr", view.attr("alpha")?.as_f64()?)?,
        "SelectFwe" => by_p(view, "fwe", view.attr("alpha")?.as_f64()?)?,
        _ => {
            let (mode, param) = (view.attr("mode")?, view.attr("param")?);
            match mode.as_str()? {
                "k_best" => best(view, &param)?,
                "percentile" => percentile(view, param.as_f64()?)?,
                mode @ ("fpr" | "fdr" | "fwe") => by_p(view, mode, param.as_f64()?)?,
                mode => {
                    let supported = "k_best, percentile, fpr, fdr, fwe";
                    return Err(Error::unsupported(view.path(), format!("mode={mode}"), supported));
                }
            }
        }
    };
    super::keep(loader, view, given, &mask, false)
}

/// The scores, NaN as the lowest of all.
fn scores(view: &View<'_>) -> Result<Vec<f64>, Error> {
    let array = view.attr("scores_")?.array()?;
    let lowest = if array.dtype().size == 4 { f64::from(f32::MIN) } else { f64::MIN };
    Ok(array.f64s()?.into_iter().map(|score| if score.is_nan() { lowest } else { score }).collect())
}

/// The `k` largest scores; of equal ones the last.
fn best(view: &View<'_>, k: &View<'_>) -> Result<Vec<bool>, Error> {
    let scores = scores(view)?;
    let k = if k.as_str().is_ok_and(|k| k == "all") { scores.len() } else { k.as_usize()? };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| {
        let score = |at: &usize| scores.get(*at).copied().unwrap_or(f64::MIN);
        score(a).partial_cmp(&score(b)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut mask = vec![false; scores.len()];
    for at in order.into_iter().rev().take(k) {
        mask.iter_mut().skip(at).take(1).for_each(|kept| *kept = true);
    }
    Ok(mask)
}

/// The scores above a percentile, and of those equal to it the first until the share is full.
fn percentile(view: &View<'_>, percentile: f64) -> Result<Vec<bool>, Error> {
    let scores = scores(view)?;
    if percentile == 100.0 || percentile == 0.0 {
        return Ok(vec![percentile == 100.0; scores.len()]);
    }
    let Some(threshold) = at_share(&scores, (100.0 - percentile) / 100.0) else { return Ok(Vec::new()) };
    let mut mask: Vec<bool> = scores.iter().map(|score| *score > threshold).collect();
    let wanted = (scores.len() as f64 * percentile / 100.0) as i64;
    let above = mask.iter().filter(|kept| **kept).count();
    let ties = scores.iter().filter(|score| **score == threshold).count();
    let room = wanted.saturating_sub_unsigned(above as u64);
    // Python's slice: a negative number counts from the end.
    let room = if room < 0 { ties.saturating_sub(room.unsigned_abs() as usize) } else { room as usize };
    let tied = mask.iter_mut().zip(&scores).filter(|(_, score)| **score == threshold);
    tied.take(room).for_each(|(kept, _)| *kept = true);
    Ok(mask)
}

/// numpy's percentile: between the two nearest, by the formula that is exact at either end.
fn at_share(scores: &[f64], share: f64) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (low, part) = (at.floor(), at - at.floor());
    let below = *sorted.get(low as usize)?;
    let above = sorted.get((low as usize).saturating_add(1)).copied().unwrap_or(below);
    let difference = above - below;
    Some(if part >= 0.5 { above - difference * (1.0 - part) } else { below + difference * part })
}

/// The features whose p-value is low enough.
fn by_p(view: &View<'_>, mode: &str, alpha: f64) -> Result<Vec<bool>, Error> {
    let values = view.attr("pvalues_")?.array()?.f64s()?;
    let count = values.len() as f64;
    let limit = match mode {
        "fpr" => alpha,
        "fwe" => alpha / count,
        // Benjamini and Hochberg: the largest p-value that lies below the line through the sorted ones.
        _ => {
            let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
            sorted.sort_by(f64::total_cmp);
            let below = |(rank, value): &(usize, f64)| *value <= alpha / count * (rank.saturating_add(1) as f64);
            let largest = sorted.into_iter().enumerate().rev().find(below).map(|(_, value)| value);
            return Ok(values.iter().map(|value| largest.is_some_and(|largest| *value <= largest)).collect());
        }
    };
    Ok(values.iter().map(|value| *value < limit).collect())
}
