//! What goes into a query and what comes out, and the row numbers between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter, filter_record_batch, take};
use arrow::datatypes::{Int32Type, Int64Type, Schema, SchemaRef, UInt32Type};
use chrono::{DateTime, Utc};
use foretell_model::Method;

use crate::Error;
use crate::failure::RowFailure;
use crate::rows::ROW;
use crate::scope::PARTITION;

/// The main table's column that holds a record's offset.
const OFFSET: &str = "_offset";

/// The table that a query is about.
#[derive(Debug, Clone)]
pub struct Input {
    /// `records`, or `result` for a sink's own query.
    pub table: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Names of those columns that are decoded from the record's value, in their order: what a model without feature
    /// names takes by `model(*)`. The others are the record's own, such as `_key`.
    pub decoded: Vec<String>,
}

/// A reference table that can be joined; its rows may be replaced between batches.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name in the query.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows now.
    pub batches: Vec<RecordBatch>,
}

/// What the caller knows of a batch.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// What `now()` gives: the plan's time, the same at every replay.
    pub batch_time: DateTime<Utc>,
    /// Where each row of the batch comes from. `None`: from its columns `_partition` and `_offset`, if it has both.
    pub provenance: Option<Provenance>,
}

/// The record that each row comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// The partition, a row each.
    pub partition: Int32Array,
    /// The offset in that partition, a row each.
    pub offset: Int64Array,
}

/// What a query gives for one batch.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The query's own columns. Rows of a row-wise query are in the order of their records.
    pub rows: RecordBatch,
    /// For row-wise queries: the index of the input row that each output row comes from, ascending.
    pub origin: Option<UInt32Array>,
    /// Of inputs that have it. For row-wise queries: the record that each output row comes from. For queries per
    /// partition: the partition, and the last offset of it in the batch; the rows are in the order of the partitions.
    pub provenance: Option<Provenance>,
    /// Rows that give no output, ascending by row, each once.
    pub refused: Vec<RowFailure>,
    /// What the models that are [watched](crate::Query::watch) were asked and said, in the order of the calls, without the
    /// rows that are refused.
    pub scored: Vec<Scored>,
}

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
    pub(crate) fn without(self, rows: &BTreeSet<u32>) -> Result<Scored, Error> {
        let stays: BooleanArray =
            self.rows.iter().map(|row| Some(row.is_none_or(|row| !rows.contains(&row)))).collect();
        if stays.true_count() == stays.len() {
            return Ok(self);
        }
        let keep = |columns: &[ArrayRef]| -> Result<Vec<ArrayRef>, Error> {
            columns.iter().map(|column| filter(column, &stays).map_err(internal)).collect()
        };
        Ok(Scored {
            rows: filter(&self.rows, &stays).map_err(internal)?.as_primitive::<UInt32Type>().clone(),
            columns: keep(&self.columns)?,
            answers: keep(&self.answers)?,
            ..self
        })
    }
}

impl Provenance {
    /// From a batch's own columns, if it has both.
    pub fn of(batch: &RecordBatch) -> Option<Provenance> {
        let partition = batch.column_by_name(PARTITION)?.as_primitive_opt::<Int32Type>()?.clone();
        let offset = batch.column_by_name(OFFSET)?.as_primitive_opt::<Int64Type>()?.clone();
        Some(Provenance { partition, offset })
    }

    pub(crate) fn take(&self, rows: &UInt32Array) -> Result<Provenance, Error> {
        let partition = take(&self.partition, rows, None).map_err(internal)?.as_primitive::<Int32Type>().clone();
        let offset = take(&self.offset, rows, None).map_err(internal)?.as_primitive::<Int64Type>().clone();
        Ok(Provenance { partition, offset })
    }
}

/// One partition's rows of a batch, and what is said of the output rows that come of them.
pub(crate) struct PartitionRows {
    pub(crate) rows: RecordBatch,
    /// The partition, and its last offset.
    pub(crate) place: Option<(i32, i64)>,
}

/// A batch cut by partition, in the order of the partitions.
pub(crate) fn by_partition(batch: &RecordBatch, from: &Provenance) -> Result<Vec<PartitionRows>, Error> {
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    for (partition, offset) in from.partition.values().iter().zip(from.offset.values()) {
        let known = last.entry(*partition).or_insert(*offset);
        *known = (*known).max(*offset);
    }
    let part = |(partition, offset): (i32, i64)| {
        let mask: BooleanArray = from.partition.values().iter().map(|found| Some(*found == partition)).collect();
        let rows = filter_record_batch(batch, &mask).map_err(internal)?;
        Ok(PartitionRows { rows, place: Some((partition, offset)) })
    };
    last.into_iter().map(part).collect()
}

/// By input row; several rows of one input row keep their order.
pub(crate) fn order(rows: &UInt32Array) -> UInt32Array {
    let mut order: Vec<u32> = (0..).take(rows.len()).collect();
    order.sort_by_key(|index| rows.value(*index as usize));
    UInt32Array::from(order)
}

/// The hidden column, which is the last.
pub(crate) fn numbers(batch: &RecordBatch) -> Result<&UInt32Array, Error> {
    let last = batch.columns().last().and_then(|column| column.as_primitive_opt::<UInt32Type>());
    last.filter(|column| column.null_count() == 0)
        .ok_or(Error::Engine { expression: None, reason: "row numbers are lost" })
}

/// A batch without those of its rows that come from one of `rows`.
pub(crate) fn without(batch: &RecordBatch, rows: &BTreeSet<u32>) -> Result<RecordBatch, Error> {
    let keep: BooleanArray = numbers(batch)?.values().iter().map(|row| Some(!rows.contains(row))).collect();
    filter_record_batch(batch, &keep).map_err(internal)
}

/// Refuses a table whose columns cannot be told apart.
pub(crate) fn check_columns(table: &str, schema: &Schema) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for field in schema.fields() {
        if field.name() == ROW {
            return Err(Error::ReservedColumn { table: table.to_owned(), column: field.name().clone() });
        }
        if !seen.insert(field.name()) {
            let difference = format!("two columns are called `{}`", field.name());
            return Err(Error::Schema { table: table.to_owned(), difference });
        }
    }
    Ok(())
}

/// Refuses batches of other columns than the query was prepared for.
pub(crate) fn check_batches(table: &str, schema: &Schema, batches: &[RecordBatch]) -> Result<(), Error> {
    let wrong = |difference: String| Err(Error::Schema { table: table.to_owned(), difference });
    for batch in batches {
        let found = batch.schema_ref();
        if found.fields().len() != schema.fields().len() {
            let (found, expected) = (found.fields().len(), schema.fields().len());
            return wrong(format!("it has {found} columns instead of {expected}"));
        }
        for (found, expected) in found.fields().iter().zip(schema.fields()) {
            if found.name() != expected.name() {
                return wrong(format!("column `{}` stands where `{}` belongs", found.name(), expected.name()));
            }
            if found.data_type() != expected.data_type() {
                let (name, found, expected) = (found.name(), found.data_type(), expected.data_type());
                return wrong(format!("column `{name}` is {found} instead of {expected}"));
            }
        }
    }
    Ok(())
}

/// Arrays that do not fit together: a bug, never the data.
pub(crate) fn internal(_: arrow::error::ArrowError) -> Error {
    Error::Engine { expression: None, reason: "columns do not fit together" }
}
