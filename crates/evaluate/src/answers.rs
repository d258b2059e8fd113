//! Predictions beside outcomes, in plain columns; and rows taken out of columns.

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use crate::error::Error;
use crate::metrics::classification::ClassAnswers;
use crate::metrics::regression::Pairs;

/// What was predicted and what happened.
#[derive(Debug)]
pub(crate) enum Answers {
    Regression(Pairs),
    Classification(ClassAnswers),
}

impl Answers {
    /// These rows, with their weights.
    pub(crate) fn select(&self, rows: &[u32], weights: &[f64]) -> Answers {
        fn take<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
            if values.is_empty() { Vec::new() } else { rows.iter().map(|row| values[*row as usize]).collect() }
        }
        let weight = take(weights, rows);
        match self {
            Answers::Regression(pairs) => Answers::Regression(Pairs {
                actual: take(&pairs.actual, rows),
                predicted: take(&pairs.predicted, rows),
                weight,
            }),
            Answers::Classification(answers) => Answers::Classification(ClassAnswers {
                actual: take(&answers.actual, rows),
                predicted: take(&answers.predicted, rows),
                proba: answers.proba.iter().map(|column| take(column, rows)).collect(),
                decision: answers.decision.as_ref().map(|scores| take(scores, rows)),
                weight,
            }),
        }
    }
}

/// Numbers of any type as float64; NULL is NaN.
pub(crate) fn floats(array: &ArrayRef) -> Result<Vec<f64>, Error> {
    let array = cast(array, &DataType::Float64)?;
    let array = array.as_primitive::<Float64Type>();
    Ok(array.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// Some rows of every column.
pub(crate) fn take_rows(columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>, Error> {
    let rows = UInt32Array::from(rows.to_vec());
    columns.iter().map(|column| Ok(arrow::compute::take(column.as_ref(), &rows, None)?)).collect()
}
