//! `golden`: rows with what a model must say of them.

use std::io::Seek as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Float64Type};
use foretell_model::Model;

/// The column that holds the answers.
const ANSWER: &str = "prediction";

/// How far an answer may be from the expected one, as a part of it.
const WITHIN: f64 = 1e-6;

/// Compares what the model says of the file's rows with what stands there.
///
/// # Errors
/// The file does not read or does not fit the model, or an answer is another: the line.
pub(super) fn check(model: &Model, path: &Path) -> Result<()> {
    let shown = path.display();
    let batch = read(path).with_context(|| format!("`golden`: {shown}"))?;
    if batch.num_rows() == 0 {
        bail!("`golden`: {shown} has no rows, so that no model could fail it");
    }
    let Ok(at) = batch.schema().index_of(ANSWER) else { bail!("`golden`: {shown} has no column `{ANSWER}`") };
    let columns: Vec<usize> = (0..batch.num_columns()).filter(|column| *column != at).collect();
    let outputs = model.predict(&batch.project(&columns)?).with_context(|| format!("`golden`: {shown}"))?;
    if let Some(refusal) = outputs.refusals.first() {
        let line = u64::from(refusal.row) + 2;
        bail!("`golden`: {shown}: line {line}: the model refuses the row: {}: {}", refusal.step, refusal.reason);
    }
    let [answers] = outputs.columns.as_slice() else {
        bail!("`golden`: {shown}: the model gives {} answers to a row, and one can be compared", outputs.columns.len());
    };
    match first_difference(batch.column(at), answers)? {
        Some(row) => bail!("`golden`: {shown}: line {}: the model says another thing", row + 2),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<RecordBatch> {
    let mut file = std::fs::File::open(path)?;
    let (schema, _) = Format::default().with_header(true).infer_schema(&file, None)?;
    file.rewind()?;
    let schema = Arc::new(schema);
    let reader = ReaderBuilder::new(schema.clone()).with_header(true).build(file)?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

/// The first row in which two columns differ: numbers beyond their sixth digit, anything else in its text.
fn first_difference(expected: &ArrayRef, found: &ArrayRef) -> Result<Option<usize>> {
    let numbers = |array: &ArrayRef| array.data_type().is_numeric();
    if numbers(expected) && numbers(found) {
        let (expected, found) = (cast(expected, &DataType::Float64)?, cast(found, &DataType::Float64)?);
        let (expected, found) = (expected.as_primitive::<Float64Type>(), found.as_primitive::<Float64Type>());
        let near =
            |a: f64, b: f64| a == b || (a - b).abs() <= WITHIN * a.abs().max(b.abs()) || (a.is_nan() && b.is_nan());
        let same = |row: &usize| match (expected.is_valid(*row), found.is_valid(*row)) {
            (true, true) => near(expected.value(*row), found.value(*row)),
            (a, b) => a == b,
        };
        return Ok((0..expected.len()).find(|row| !same(row)));
    }
    let (expected, found) = (cast(expected, &DataType::Utf8)?, cast(found, &DataType::Utf8)?);
    let (expected, found) = (expected.as_string::<i32>(), found.as_string::<i32>());
    Ok(expected.iter().zip(found).position(|(expected, found)| expected != found))
}
