//! How the values of a column are cut into bins, and how many fell into each.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

/// The bins of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Bins {
    /// Of numbers: the upper edges, ascending, each within its bin; what is larger than the last falls into one more bin.
    Numbers(Vec<f64>),
    /// Of texts: one bin each; all others fall into one more bin.
    Levels(Vec<String>),
}

/// How many values fell into each bin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// One a bin.
    pub bins: Vec<u64>,
    /// NULL, and NaN.
    pub missing: u64,
}

impl Counts {
    /// None yet.
    pub fn none(bins: &Bins) -> Counts {
        Counts { bins: vec![0; bins.len()], missing: 0 }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.missing + self.bins.iter().sum::<u64>()
    }

    /// These and others of the same bins.
    pub fn merge(&mut self, other: &Counts) {
        self.bins.iter_mut().zip(&other.bins).for_each(|(count, more)| *count += more);
        self.missing += other.missing;
    }
}

/// Whether values of a type are counted as numbers or as texts; `None` where they are neither.
pub(super) fn are_numbers(data_type: &DataType) -> Option<bool> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(false),
        DataType::Dictionary(_, values) => are_numbers(values),
        DataType::Boolean | DataType::Null => Some(true),
        other if other.is_numeric() => Some(true),
        _ => None,
    }
}

impl Bins {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Bins::Numbers(edges) => edges.len() + 1,
            Bins::Levels(levels) => levels.len() + 1,
        }
    }

    /// Whether there is none; there is always one.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Counts some values of a column. What has no value of the bins' type counts as missing.
    pub fn count(&self, column: &ArrayRef, counts: &mut Counts) {
        match self {
            Bins::Numbers(edges) => {
                let Some(numbers) = as_numbers(column) else {
                    counts.missing += column.len() as u64;
                    return;
                };
                for number in numbers {
                    match number.filter(|number| !number.is_nan()) {
                        Some(number) => add(counts, edges.partition_point(|edge| *edge < number)),
                        None => counts.missing += 1,
                    }
                }
            }
            Bins::Levels(levels) => {
                let Ok(texts) = cast(column, &DataType::Utf8) else {
                    counts.missing += column.len() as u64;
                    return;
                };
                for text in texts.as_string::<i32>() {
                    match text {
                        Some(text) => {
                            let level = levels.iter().position(|level| level == text);
                            add(counts, level.unwrap_or(levels.len()));
                        }
                        None => counts.missing += 1,
                    }
                }
            }
        }
    }
}

/// Numbers of any type, truth values and texts that are numbers.
pub(super) fn as_numbers(column: &ArrayRef) -> Option<Vec<Option<f64>>> {
    let numbers = cast(column, &DataType::Float64).ok()?;
    Some(numbers.as_primitive::<Float64Type>().iter().collect())
}

fn add(counts: &mut Counts, bin: usize) {
    if let Some(count) = counts.bins.get_mut(bin) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bin_whose_edge_is_not_below_it() {
        let bins = Bins::Numbers(vec![1.0, 2.0]);
        let mut counts = Counts::none(&bins);
        let values = [Some(f64::NEG_INFINITY), Some(1.0), Some(1.5), Some(2.0), Some(2.1), Some(f64::NAN), None];
        bins.count(&(Arc::new(Float64Array::from(values.to_vec())) as ArrayRef), &mut counts);
        assert_eq!(counts, Counts { bins: vec![2, 2, 1], missing: 2 });
        bins.count(&(Arc::new(Int64Array::from(vec![7, 1])) as ArrayRef), &mut counts);
        assert_eq!((counts.bins.clone(), counts.total()), (vec![3, 2, 2], 9));
        bins.count(&(Arc::new(StringArray::from(vec!["2", "x"])) as ArrayRef), &mut counts);
        assert_eq!(counts, Counts { bins: vec![3, 3, 2], missing: 3 });
    }

    #[test]
    fn a_level_that_is_not_known_falls_into_the_last_bin() {
        let bins = Bins::Levels(vec!["a".into(), "b".into()]);
        let mut counts = Counts::none(&bins);
        bins.count(
            &(Arc::new(StringArray::from(vec![Some("b"), Some("x"), None, Some("b")])) as ArrayRef),
            &mut counts,
        );
        assert_eq!(counts, Counts { bins: vec![0, 2, 1], missing: 1 });
    }
}
