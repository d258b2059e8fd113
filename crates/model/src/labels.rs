//! Class labels in their own type.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "classes were counted while loading")]

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

/// One label, for comparing labels of different types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key<'a> {
    Int(i64),
    Float(u64),
    Text(&'a str),
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

    /// One label as a number; NaN where it is a text.
    pub(crate) fn number(&self, index: usize) -> f64 {
        match self {
            Labels::Int(all) => all[index] as f64,
            Labels::Float(all) => all[index],
            Labels::Bool(all) => f64::from(u8::from(all[index])),
            Labels::Text(_) => f64::NAN,
        }
    }

    /// What makes labels the same, as Python compares them: `1 == 1.0 == True`.
    pub(crate) fn key(&self, index: usize) -> Key<'_> {
        match self {
            Labels::Int(all) => Key::Int(all[index]),
            Labels::Bool(all) => Key::Int(i64::from(all[index])),
            Labels::Float(all) if all[index] as i64 as f64 == all[index] => Key::Int(all[index] as i64),
            Labels::Float(all) => Key::Float(all[index].to_bits()),
            Labels::Text(all) => Key::Text(&all[index]),
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
