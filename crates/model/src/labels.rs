//! Class labels in their own type.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;

/// The classes of one target, in the order of their indices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Labels {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

impl Labels {
    /// `0, 1, …, n - 1`: what XGBoost's classifiers know.
    pub(crate) fn counted(n: usize) -> Self {
        Labels::Int((0..n as i64).collect())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Labels::Int(all) => all.len(),
            Labels::Float(all) => all.len(),
            Labels::Bool(all) => all.len(),
            Labels::Text(all) => all.len(),
        }
    }

    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Labels::Int(_) => DataType::Int64,
            Labels::Float(_) => DataType::Float64,
            Labels::Bool(_) => DataType::Boolean,
            Labels::Text(_) => DataType::Utf8,
        }
    }

    /// One label as text, as Python's `str` writes it.
    pub(crate) fn text(&self, index: usize) -> String {
        match self {
            Labels::Int(all) => all[index].to_string(),
            Labels::Float(all) => format!("{:?}", all[index]),
            Labels::Bool(all) => if all[index] { "True" } else { "False" }.to_string(),
            Labels::Text(all) => all[index].clone(),
        }
    }

    /// The labels of these indices as an Arrow array.
    pub(crate) fn array(&self, indices: &[u32], nulls: Option<NullBuffer>) -> ArrayRef {
        let at = |index: &u32| *index as usize;
        match self {
            Labels::Int(all) => Arc::new(Int64Array::new(indices.iter().map(|i| all[at(i)]).collect(), nulls)),
            Labels::Float(all) => Arc::new(Float64Array::new(indices.iter().map(|i| all[at(i)]).collect(), nulls)),
            Labels::Bool(all) => Arc::new(BooleanArray::new(indices.iter().map(|i| all[at(i)]).collect(), nulls)),
            Labels::Text(all) => {
                let texts = indices.iter().enumerate().map(|(row, i)| {
                    let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                    valid.then(|| all[at(i)].as_str())
                });
                Arc::new(texts.collect::<StringArray>())
            }
        }
    }
}
