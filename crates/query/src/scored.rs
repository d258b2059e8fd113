//! What models were asked while a query ran, and what they said.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::filter;
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use foretell_model::Method;

/// What a model was asked in one call, and what it said.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The model's name.
    pub model: String,
    /// What it was asked for.
    pub want: Method,
    /// The rows of the batch that it was asked about; NULL where a row comes from none.
    pub rows: UInt32Array,
    /// The arguments, in the order of the model's inputs.
    pub columns: Vec<ArrayRef>,
    /// The answers, in the order of its outputs.
    pub answers: Vec<ArrayRef>,
    /// How long it took.
    pub took: Duration,
}

impl Scored {
    /// Without these rows of the batch.
    pub(crate) fn without(self, rows: &BTreeSet<u32>) -> Result<Scored, ArrowError> {
        let stays: BooleanArray =
            self.rows.iter().map(|row| Some(row.is_none_or(|row| !rows.contains(&row)))).collect();
        if stays.true_count() == stays.len() {
            return Ok(self);
        }
        let keep = |columns: &[ArrayRef]| -> Result<Vec<ArrayRef>, ArrowError> {
            columns.iter().map(|column| filter(column, &stays)).collect()
        };
        Ok(Scored {
            rows: filter(&self.rows, &stays)?.as_primitive::<UInt32Type>().clone(),
            columns: keep(&self.columns)?,
            answers: keep(&self.answers)?,
            ..self
        })
    }
}
