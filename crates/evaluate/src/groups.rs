//! Where the model is wrong: the error by feature, in groups of rows that are alike in it.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::answers::floats;
use crate::error::Error;
use crate::format::number;
use crate::sample::SampleRows;

/// A feature with its groups.
#[derive(Debug, PartialEq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Numbers ascend; texts come with the most frequent first.
    pub groups: Vec<Group>,
    /// How far the groups' errors are apart, as a standard deviation over the rows, less what chance does.
    pub spread: f64,
}

/// Rows that are alike in a feature.
#[derive(Debug, PartialEq)]
pub struct Group {
    /// What they have in common: `up to 33`.
    pub label: String,
    /// How many rows.
    pub rows: usize,
    /// The mean of their absolute errors, or the share that is wrong.
    pub error: f64,
    /// The mean of their errors; of a regression alone.
    pub bias: f64,
}

/// Parts of a number's range, each with as many rows.
const PARTS: usize = 8;
/// Values that are shown one by one.
const VALUES: usize = 12;
/// A group of fewer rows says little of the model and much of the rows: it is put with others.
const FEWEST: usize = 5;

const MISSING: &str = "missing";
const OTHERS: &str = "all others";

/// The features whose groups differ, those that differ most first.
pub(crate) fn by_feature(sample: &SampleRows, names: &[String], are_classes: bool) -> Result<Vec<Feature>, Error> {
    let errors: Vec<f64> = match are_classes {
        true => sample.actual.iter().zip(&sample.predicted).map(|(a, p)| f64::from(u8::from(a != p))).collect(),
        false => sample.actual.iter().zip(&sample.predicted).map(|(a, p)| p - a).collect(),
    };
    let mut features = Vec::new();
    for (name, column) in names.iter().zip(&sample.features) {
        let labels = if is_text(column.data_type()) { texts(column)? } else { numbers(&floats(column)?) };
        if let Some(feature) = feature(name, &labels, &errors) {
            features.push(feature);
        }
    }
    features.sort_by(|a, b| b.spread.total_cmp(&a.spread));
    Ok(features)
}

fn is_text(data_type: &DataType) -> bool {
    !(data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null))
}

/// Labels in the order to be shown, and which one each row has.
struct Labels {
    names: Vec<String>,
    of: Vec<usize>,
}

fn texts(column: &ArrayRef) -> Result<Labels, Error> {
    let column = cast(column, &DataType::Utf8)?;
    let column: &StringArray = column.as_string();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    column.iter().flatten().for_each(|text| *counts.entry(text).or_default() += 1);
    let mut frequent: Vec<(&str, usize)> = counts.into_iter().filter(|(_, count)| *count >= FEWEST).collect();
    frequent.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    frequent.truncate(VALUES);
    let at: BTreeMap<&str, usize> = frequent.iter().enumerate().map(|(at, (text, _))| (*text, at)).collect();
    let others = frequent.len();
    let of = column.iter().map(|text| match text {
        None => others + 1,
        Some(text) => at.get(text).copied().unwrap_or(others),
    });
    let of = of.collect();
    let names = frequent.iter().map(|(text, _)| (*text).to_string()).chain([OTHERS.to_string(), MISSING.to_string()]);
    Ok(Labels { names: names.collect(), of })
}

fn numbers(values: &[f64]) -> Labels {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    let (mut names, mut of): (Vec<String>, Vec<usize>);
    if distinct.len() <= VALUES {
        let count = |value: &f64| sorted.partition_point(|x| x <= value) - sorted.partition_point(|x| x < value);
        distinct.retain(|value| count(value) >= FEWEST);
        names = distinct.iter().map(|value| number(*value)).collect();
        let place = |value: &f64| distinct.iter().position(|one| one == value).unwrap_or(distinct.len());
        of = values.iter().map(place).collect();
    } else {
        let parts = PARTS.min(sorted.len() / (2 * FEWEST)).max(1);
        // A part ends with its edge.
        let mut edges: Vec<f64> = (1..parts).map(|part| sorted[part * sorted.len() / parts - 1]).collect();
        edges.dedup();
        let whole = sorted.iter().all(|value| value.fract() == 0.0);
        names = ranges(&edges, whole);
        of = values.iter().map(|value| edges.partition_point(|edge| edge < value)).collect();
    }
    let others = names.len();
    names.extend([OTHERS.to_string(), MISSING.to_string()]);
    of.iter_mut().zip(values).filter(|(_, value)| value.is_nan()).for_each(|(of, _)| *of = others + 1);
    Labels { names, of }
}

/// `up to 33`, `34 to 48`, `above 70`: neither the smallest nor the largest value is shown.
fn ranges(edges: &[f64], whole: bool) -> Vec<String> {
    let (Some(first), Some(last)) = (edges.first(), edges.last()) else { return vec!["all".to_string()] };
    let between = edges.windows(2).map(|pair| match whole {
        true if pair[0] + 1.0 == pair[1] => number(pair[1]),
        true => format!("{} to {}", number(pair[0] + 1.0), number(pair[1])),
        false => format!("{} to {}", number(pair[0]), number(pair[1])),
    });
    let first = [format!("up to {}", number(*first))].into_iter();
    first.chain(between).chain([format!("above {}", number(*last))]).collect()
}

fn feature(name: &str, labels: &Labels, errors: &[f64]) -> Option<Feature> {
    // Rows, absolute errors, errors.
    let mut sums = vec![(0usize, 0.0, 0.0); labels.names.len()];
    for (of, error) in labels.of.iter().zip(errors) {
        let sum = &mut sums[*of];
        *sum = (sum.0 + 1, sum.1 + error.abs(), sum.2 + error);
    }
    // Small groups are put together; where that is still too few rows, they are not shown.
    let others = labels.names.len() - 2;
    for at in (0..sums.len()).filter(|at| *at != others) {
        if sums[at].0 < FEWEST {
            let small = std::mem::take(&mut sums[at]);
            let sum = &mut sums[others];
            *sum = (sum.0 + small.0, sum.1 + small.1, sum.2 + small.2);
        }
    }
    let shown = labels.names.iter().zip(&sums).filter(|(_, sum)| sum.0 >= FEWEST);
    let groups: Vec<Group> = shown
        .map(|(label, (rows, absolute, error))| {
            let count = *rows as f64;
            Group { label: label.clone(), rows: *rows, error: absolute / count, bias: error / count }
        })
        .collect();
    (groups.len() > 1).then(|| Feature { name: name.to_string(), spread: spread(&groups, errors), groups })
}

/// The part of the errors' variance that the groups explain, as a standard deviation. Chance alone makes groups differ:
/// for each but one the variance within is taken off.
fn spread(groups: &[Group], errors: &[f64]) -> f64 {
    let rows: f64 = groups.iter().map(|group| group.rows as f64).sum();
    let mean = groups.iter().map(|group| group.rows as f64 * group.error).sum::<f64>() / rows;
    let between: f64 = groups.iter().map(|group| group.rows as f64 * (group.error - mean).powi(2)).sum();
    let all: f64 = errors.iter().map(|error| (error.abs() - mean).powi(2)).sum();
    let freedom = rows - groups.len() as f64;
    if freedom <= 0.0 {
        return 0.0;
    }
    let within = (all - between).max(0.0) / freedom;
    ((between - (groups.len() - 1) as f64 * within).max(0.0) / rows).sqrt()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;

    fn sample(features: Vec<ArrayRef>, errors: Vec<f64>) -> SampleRows {
        SampleRows {
            features,
            actual: vec![100.0; errors.len()],
            predicted: errors.iter().map(|e| 100.0 + e).collect(),
            ..SampleRows::default()
        }
    }

    #[test]
    fn the_feature_that_tells_errors_apart_comes_first() {
        let rows = 0..400;
        let age: Float64Array = rows.clone().map(|row| (row != 7).then_some(f64::from(row % 100))).collect();
        let dept: StringArray =
            rows.clone().map(|row| if row == 3 { Some("rare") } else { Some(["a", "b"][row as usize % 2]) }).collect();
        // Old patients are off by 20, all others by 1, to either side.
        let errors = rows.map(|row| if row % 100 >= 75 { 20.0 } else { [1.0, -1.0][row as usize % 2] }).collect();
        let sample = sample(vec![Arc::new(dept), Arc::new(age)], errors);
        let features = by_feature(&sample, &["DEPT".to_string(), "AGE".to_string()], false).unwrap();
        assert_eq!(features[0].name, "AGE");
        assert!(features[0].spread > 5.0 && features[1].spread < 1.0, "{features:?}");
        let shown: Vec<_> = features[0].groups.iter().map(|group| (group.label.as_str(), group.rows)).collect();
        assert_eq!(shown[0], ("up to 12", 51));
        assert_eq!(shown[1].0, "13 to 24");
        assert_eq!((shown[7].0, features[0].groups[7].error), ("above 87", 20.0));
        let labels: Vec<_> = features[1].groups.iter().map(|group| group.label.as_str()).collect();
        assert_eq!(labels, ["a", "b"], "one row of its kind is not shown");
    }

    #[test]
    fn few_values_are_shown_one_by_one_and_wrong_classes_are_counted() {
        let sex: Float64Array = (0..100).map(|row| (row >= 10).then_some(f64::from(row % 2))).collect();
        let sample = sample(vec![Arc::new(sex)], (0..100).map(|row| f64::from(row % 2)).collect());
        let features = by_feature(&sample, &["SEX".to_string()], true).unwrap();
        let shown: Vec<_> = features[0].groups.iter().map(|g| (g.label.as_str(), g.rows, g.error)).collect();
        assert_eq!(shown, [("0", 45, 0.0), ("1", 45, 1.0), ("missing", 10, 0.5)]);
    }
}
