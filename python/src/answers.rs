//! Answers as numpy's arrays, or as a table of Arrow.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::concat::concat;
use foretell_model::{Output, Outputs, Refusal};
use numpy::{Element, PyArray1, PyArray2, PyArrayMethods};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use pyo3_arrow::PyRecordBatch;

use crate::error::{raise, why};

/// The rows that are refused, counted from the first of all.
pub(crate) fn refusals(pieces: &[Outputs], rows: &[usize]) -> Vec<(usize, Refusal)> {
    let mut before = 0_usize;
    let mut all = Vec::new();
    for (piece, rows) in pieces.iter().zip(rows) {
        let place = |refusal: &Refusal| (before.saturating_add(refusal.row as usize), refusal.clone());
        all.extend(piece.refusals.iter().map(place));
        before = before.saturating_add(*rows);
    }
    all
}

/// The columns as one array: of one dimension where there is one column and `flat`, otherwise of two.
pub(crate) fn array<'py>(
    py: Python<'py>,
    pieces: &[Outputs],
    outputs: &[Output],
    rows: usize,
    flat: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let flat = flat && outputs.len() == 1;
    let is = |wanted: DataType| outputs.iter().all(|output| output.data_type == wanted);
    let shape = (rows, outputs.len());
    if is(DataType::Float32) {
        return numbers::<Float32Type>(py, pieces, shape, flat);
    }
    if is(DataType::Float64) {
        return numbers::<Float64Type>(py, pieces, shape, flat);
    }
    if is(DataType::Int64) {
        return numbers::<Int64Type>(py, pieces, shape, flat);
    }
    if is(DataType::Boolean) {
        let truth = |array: &ArrayRef| array.as_boolean().values().iter().collect::<Vec<bool>>();
        return shaped(py, &by_column(pieces, shape.1, truth), shape, flat);
    }
    // Texts, alone or beside numbers: as Python's own values.
    let columns = (0..shape.1).map(|column| {
        let all = PyList::empty(py);
        for array in pieces.iter().filter_map(|piece| piece.columns.get(column)) {
            values(py, array, &all)?;
        }
        Ok(all)
    });
    let columns: Vec<Bound<'py, PyList>> = columns.collect::<PyResult<_>>()?;
    let numpy = py.import(intern!(py, "numpy"))?;
    let empty = numpy.getattr(intern!(py, "empty"))?;
    let object = py.get_type::<PyAny>();
    let one = |list: &Bound<'py, PyList>| {
        let column = empty.call1((rows, &object))?;
        column.set_item(py.Ellipsis(), list)?;
        Ok::<_, PyErr>(column)
    };
    let columns: Vec<Bound<'py, PyAny>> = columns.iter().map(one).collect::<PyResult<_>>()?;
    match (flat, columns.first()) {
        (true, Some(column)) => Ok(column.clone()),
        _ => numpy.call_method1(intern!(py, "column_stack"), (columns,)),
    }
}

fn values(py: Python<'_>, array: &ArrayRef, into: &Bound<'_, PyList>) -> PyResult<()> {
    for row in 0..array.len() {
        if array.is_null(row) {
            into.append(py.None())?;
            continue;
        }
        match array.data_type() {
            DataType::Utf8 => into.append(array.as_string::<i32>().value(row))?,
            DataType::Boolean => into.append(array.as_boolean().value(row))?,
            DataType::Int64 => into.append(array.as_primitive::<Int64Type>().value(row))?,
            DataType::Float32 => into.append(array.as_primitive::<Float32Type>().value(row))?,
            DataType::Float64 => into.append(array.as_primitive::<Float64Type>().value(row))?,
            other => {
                return Err(raise(format!("an answer of the type {other} has no place in an array; ask for a table")));
            }
        }
    }
    Ok(())
}

fn numbers<'py, T>(
    py: Python<'py>,
    pieces: &[Outputs],
    shape: (usize, usize),
    flat: bool,
) -> PyResult<Bound<'py, PyAny>>
where
    T: ArrowPrimitiveType,
    T::Native: Element + Copy,
{
    let numbers = |array: &ArrayRef| array.as_primitive::<T>().values().to_vec();
    shaped(py, &by_column(pieces, shape.1, numbers), shape, flat)
}

/// Each column's values, all pieces together.
fn by_column<T>(pieces: &[Outputs], columns: usize, values: impl Fn(&ArrayRef) -> Vec<T>) -> Vec<Vec<T>> {
    let column = |column: usize| {
        let mut parts = pieces.iter().filter_map(|piece| piece.columns.get(column)).map(&values);
        let mut all = parts.next().unwrap_or_default();
        parts.for_each(|part| all.extend(part));
        all
    };
    (0..columns).map(column).collect()
}

/// Rows one after the other, as the libraries' own answers lie in memory.
fn shaped<'py, T: Element + Copy>(
    py: Python<'py>,
    columns: &[Vec<T>],
    shape: (usize, usize),
    flat: bool,
) -> PyResult<Bound<'py, PyAny>> {
    match (columns, flat) {
        ([column], true) => Ok(PyArray1::from_slice(py, column).into_any()),
        _ => {
            let mut all = Vec::with_capacity(shape.0.saturating_mul(shape.1));
            for row in 0..shape.0 {
                all.extend(columns.iter().filter_map(|column| column.get(row).copied()));
            }
            let table: Bound<'py, PyArray2<T>> = PyArray1::from_vec(py, all).reshape([shape.0, shape.1])?;
            Ok(table.into_any())
        }
    }
}

/// Answers as a table of Arrow: `pyarrow.record_batch(table)`, `polars.DataFrame(table)` and whatever else takes Arrow's
/// capsules.
#[pyclass(module = "foretell", frozen)]
pub(crate) struct Table(RecordBatch);

impl Table {
    /// One column an output, and `refused`, why the model refuses a row.
    pub(crate) fn new(answers: &[(Vec<Outputs>, &[Output])], lengths: &[usize], rows: usize) -> PyResult<Table> {
        let wrong = |error: ArrowError| raise(format!("the answers cannot be put together: {error}"));
        let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        let mut refused: Vec<Option<String>> = vec![None; rows];
        for (pieces, outputs) in answers {
            for (number, output) in outputs.iter().enumerate() {
                let parts: Vec<&dyn Array> =
                    pieces.iter().filter_map(|piece| piece.columns.get(number)).map(|array| &**array).collect();
                fields.push(Field::new(&output.name, output.data_type.clone(), true));
                columns.push(match parts.is_empty() {
                    true => arrow_array::new_empty_array(&output.data_type),
                    false => concat(&parts).map_err(wrong)?,
                });
            }
            for (row, refusal) in refusals(pieces, lengths) {
                if let Some(place) = refused.get_mut(row) {
                    *place = Some(why(&refusal));
                }
            }
        }
        fields.push(Field::new("refused", DataType::Utf8, true));
        columns.push(Arc::new(arrow_array::StringArray::from(refused)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map(Table).map_err(wrong)
    }
}

#[pymethods]
impl Table {
    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __repr__(&self) -> String {
        let names: Vec<&str> = self.0.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        format!("<foretell.Table: {} rows of {}>", self.0.num_rows(), names.join(", "))
    }

    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.0.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let batch = Bound::new(py, PyRecordBatch::new(self.0.clone()))?;
        let capsules = batch.call_method1(intern!(py, "__arrow_c_array__"), (requested_schema,))?;
        Ok(capsules.cast_into::<PyTuple>()?)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let batch = Bound::new(py, PyRecordBatch::new(self.0.clone()))?;
        batch.call_method0(intern!(py, "__arrow_c_schema__"))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let table = pyo3_arrow::PyTable::try_new(vec![self.0.clone()], self.0.schema())?;
        Bound::new(py, table)?.call_method1(intern!(py, "__arrow_c_stream__"), (requested_schema,))
    }
}
