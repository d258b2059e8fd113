//! What a caller hands in, as columns of Arrow in pieces of some thousand rows.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow_schema::{DataType, Field, Schema};
use foretell_model::Signature;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3_arrow::PyArray;
use pyo3_arrow::input::AnyRecordBatch;

use crate::error::raise;
use crate::matrix::Strided;
use crate::objects;

/// A piece's columns are to stay in the core's own cache while they are read.
pub(crate) const PIECE: usize = 4096;

/// Rows of all features, in the model's order.
pub(crate) struct Given {
    /// Pieces that come one after the other.
    parts: Vec<Part>,
    pub(crate) rows: usize,
}

struct Part {
    columns: Vec<Column>,
    rows: usize,
}

enum Column {
    Arrow(ArrayRef),
    Numpy(Strided),
}

impl Column {
    fn data_type(&self) -> &DataType {
        match self {
            Column::Arrow(array) => array.data_type(),
            Column::Numpy(column) => column.data_type(),
        }
    }

    fn rows(&self, from: usize, rows: usize) -> ArrayRef {
        match self {
            Column::Arrow(array) => {
                let from = from.min(array.len());
                array.slice(from, rows.min(array.len().saturating_sub(from)))
            }
            Column::Numpy(column) => column.rows(from, rows),
        }
    }
}

impl Given {
    /// A table of numbers: columns in the model's order, as scikit-learn takes them.
    pub(crate) fn matrix(array: &Bound<'_, PyUntypedArray>, signature: &Signature) -> PyResult<Given> {
        let (columns, rows) = Strided::all(array)?;
        if columns.len() != signature.inputs.len() {
            let (takes, given) = (signature.inputs.len(), columns.len());
            return Err(raise(format!("the model takes {takes} columns, but {given} were given")));
        }
        for (feature, column) in columns.iter().enumerate() {
            signature.accepts(feature, column.data_type()).map_err(raise)?;
        }
        let columns = columns.into_iter().map(Column::Numpy).collect();
        Ok(Given { parts: vec![Part { columns, rows }], rows })
    }

    /// A table of numbers whose columns have names.
    pub(crate) fn named(
        names: Vec<String>,
        array: &Bound<'_, PyUntypedArray>,
        signature: &Signature,
    ) -> PyResult<Given> {
        let (columns, rows) = Strided::all(array)?;
        if names.len() != columns.len() {
            return Err(raise(format!("{} names were given for {} columns", names.len(), columns.len())));
        }
        let columns = names.into_iter().zip(columns).map(|(name, column)| (name, Column::Numpy(column)));
        Given::bound(columns.collect(), rows, signature)
    }

    /// Columns by name: numpy's, Arrow's, or lists. Of several, the names decide, where the model has some.
    pub(crate) fn columns(all: Vec<(String, Bound<'_, PyAny>)>, signature: &Signature) -> PyResult<Given> {
        let (mut columns, mut rows) = (Vec::new(), None);
        for (name, value) in all {
            let (column, length) = column(&name, &value)?;
            if rows.is_some_and(|rows| rows != length) {
                return Err(raise(format!("column `{name}`: has {length} rows, and the one before it another number")));
            }
            rows = Some(length);
            columns.push((name, column));
        }
        Given::bound(columns, rows.unwrap_or(0), signature)
    }

    /// The columns that the model takes, in its order.
    fn bound(columns: Vec<(String, Column)>, rows: usize, signature: &Signature) -> PyResult<Given> {
        let field = |(name, column): &(String, Column)| Field::new(name, column.data_type().clone(), true);
        let bound = signature.bind(&Schema::new(columns.iter().map(field).collect::<Vec<_>>())).map_err(raise)?;
        let mut columns: Vec<Option<Column>> = columns.into_iter().map(|(_, column)| Some(column)).collect();
        let take = |index: usize| {
            columns.get_mut(index).and_then(Option::take).ok_or_else(|| raise("a column is needed twice"))
        };
        let columns = bound.into_iter().map(take).collect::<PyResult<_>>()?;
        Ok(Given { parts: vec![Part { columns, rows }], rows })
    }

    /// A table of Arrow's.
    pub(crate) fn table(table: AnyRecordBatch, signature: &Signature) -> PyResult<Given> {
        let reader = table.into_reader()?;
        let bound = signature.bind(reader.schema().as_ref()).map_err(raise)?;
        let mut parts = Vec::new();
        for batch in reader {
            let batch: RecordBatch = batch.map_err(|error| raise(format!("the table cannot be read: {error}")))?;
            let columns = bound.iter().map(|index| Column::Arrow(batch.column(*index).clone())).collect();
            parts.push(Part { columns, rows: batch.num_rows() });
        }
        let rows = parts.iter().map(|part| part.rows).sum();
        Ok(Given { parts, rows })
    }

    /// Where each piece of at most this many rows is: the part, its first row, how many.
    pub(crate) fn pieces(&self, most: usize) -> Vec<(usize, usize, usize)> {
        let mut pieces = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            let starts = (0..part.rows).step_by(most.max(1));
            pieces.extend(starts.map(|from| (number, from, most.min(part.rows.saturating_sub(from)))));
        }
        if pieces.is_empty() && !self.parts.is_empty() {
            pieces.push((0, 0, 0));
        }
        pieces
    }

    /// How many rows each part has that is given piece by piece: as many as `pieces` says, in its order.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        self.pieces(PIECE).into_iter().map(|(_, _, rows)| rows).collect()
    }

    /// The arrays of one piece.
    pub(crate) fn piece(&self, (part, from, rows): (usize, usize, usize)) -> Vec<ArrayRef> {
        let part = self.parts.get(part);
        part.map(|part| part.columns.iter().map(|column| column.rows(from, rows)).collect()).unwrap_or_default()
    }
}

fn column(name: &str, value: &Bound<'_, PyAny>) -> PyResult<(Column, usize)> {
    let arrow = |array: ArrayRef| {
        let rows = array.len();
        (Column::Arrow(array), rows)
    };
    if let Ok(array) = value.cast::<PyUntypedArray>() {
        if matches!(array.dtype().kind(), b'M' | b'm') {
            // No model takes it: an error where the column is needed.
            let nothing = TimestampNanosecondArray::new_null(array.shape().first().copied().unwrap_or(0));
            return Ok(arrow(Arc::new(nothing)));
        }
        let (mut columns, rows) = Strided::all(array).map_err(|error| raise(format!("column `{name}`: {error}")))?;
        let (Some(column), true) = (columns.pop(), columns.is_empty()) else {
            return Err(raise(format!("column `{name}`: is a table, not a column")));
        };
        return Ok((Column::Numpy(column), rows));
    }
    if let Ok(list) = value.cast::<PyList>() {
        return Ok(arrow(objects::array(list, name)?));
    }
    if let Ok((codes, texts)) = value.extract::<(Vec<i32>, Vec<String>)>() {
        return Ok(arrow(Arc::new(objects::categories(&codes, texts))));
    }
    Ok(arrow(value.extract::<PyArray>()?.into_inner().0))
}
