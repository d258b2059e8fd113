//! Cells to Arrow columns: the part that CSV and JSON share.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, BooleanBuilder, PrimitiveArray, PrimitiveBuilder, RecordBatch,
    StringBuilder,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use foretell_flow::{Decoded, Refused};

use super::column::{Column, Columns, Type};
use super::time::TimeFormat;

/// Why a cell does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Another kind of value: `not an int64`, or what stands there instead.
    Kind(Option<&'static str>),
    /// A number that the type cannot hold.
    Range,
    /// Bytes that are not UTF-8.
    Encoding,
}

/// One value of a record, before its column's type is applied.
pub(super) trait Cell {
    fn missing(&self) -> bool;
    fn signed(&self) -> Result<i64, Wrong>;
    fn unsigned(&self) -> Result<u64, Wrong>;
    fn float(&self) -> Result<f64, Wrong>;
    fn text(&self) -> Result<&str, Wrong>;
    fn boolean(&self) -> Result<bool, Wrong>;
    fn date(&self, format: &TimeFormat) -> Result<i32, Wrong>;
    fn timestamp(&self, format: &TimeFormat) -> Result<i64, Wrong>;
}

/// The records of a batch as they are decoded: those whose shape is right, by index, and the bad ones.
pub(super) struct Rows {
    stage: &'static str,
    /// For each record of right shape its index in the batch.
    pub(super) index: Vec<usize>,
    bad: Vec<Refused>,
}

impl Rows {
    pub(super) fn new(stage: &'static str, capacity: usize) -> Self {
        Rows { stage, index: Vec::with_capacity(capacity), bad: Vec::new() }
    }

    pub(super) fn refuse(&mut self, row: usize, reason: String) {
        self.bad.push(Refused { row, stage: self.stage.to_string(), reason });
    }

    /// Builds all columns. `cell(i, column)` is the value of the i-th record of right shape; `label(column)` names the
    /// field in reasons.
    pub(super) fn finish<C: Cell>(
        mut self,
        schema: &SchemaRef,
        columns: &Columns,
        cell: impl Fn(usize, usize) -> C,
        label: impl Fn(usize) -> String,
    ) -> Decoded {
        let rows = self.index.len();
        let mut good = vec![true; rows];
        let mut arrays = Vec::with_capacity(columns.len());
        for (number, column) in columns.iter().enumerate() {
            let array = build(
                column,
                rows,
                |row| cell(row, number),
                |row, reason| {
                    if std::mem::replace(&mut good[row], false) {
                        let index = self.index[row];
                        self.refuse(index, format!("field {}: {reason}", label(number)));
                    }
                },
            );
            arrays.push(array);
        }
        let columns = if good.iter().all(|good| *good) {
            batch(schema, arrays, rows)
        } else {
            // A refused row left a NULL also in columns that have none.
            let nullable: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
            let nullable = Arc::new(arrow::datatypes::Schema::new(nullable));
            let kept = filter_record_batch(&batch(&nullable, arrays, rows), &BooleanArray::from(good))
                .expect("mask and columns have one length");
            let rows = kept.num_rows();
            batch(schema, kept.columns().to_vec(), rows)
        };
        self.bad.sort_by_key(|refused| refused.row);
        Decoded { columns, bad: self.bad }
    }
}

fn batch(schema: &SchemaRef, arrays: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options).expect("the columns fit their schema")
}

fn build<C: Cell>(
    column: &Column,
    rows: usize,
    cell: impl Fn(usize) -> C,
    mut refuse: impl FnMut(usize, String),
) -> ArrayRef {
    macro_rules! numbers {
        ($type:ty, $read:ident) => {
            primitive::<$type, C>(column, rows, cell, &mut refuse, |cell| {
                cell.$read()?.try_into().map_err(|_| Wrong::Range)
            })
        };
    }
    match column.data_type {
        Type::Int8 => numbers!(Int8Type, signed),
        Type::Int16 => numbers!(Int16Type, signed),
        Type::Int32 => numbers!(Int32Type, signed),
        Type::Int64 => primitive::<Int64Type, C>(column, rows, cell, &mut refuse, |cell| cell.signed()),
        Type::Uint8 => numbers!(UInt8Type, unsigned),
        Type::Uint16 => numbers!(UInt16Type, unsigned),
        Type::Uint32 => numbers!(UInt32Type, unsigned),
        Type::Uint64 => primitive::<UInt64Type, C>(column, rows, cell, &mut refuse, |cell| cell.unsigned()),
        Type::Float32 => primitive::<Float32Type, C>(column, rows, cell, &mut refuse, |cell| Ok(cell.float()? as f32)),
        Type::Float64 => primitive::<Float64Type, C>(column, rows, cell, &mut refuse, |cell| cell.float()),
        Type::Date => primitive::<Date32Type, C>(column, rows, cell, &mut refuse, |cell| cell.date(&column.format)),
        Type::Timestamp => {
            let times = |cell: &C| cell.timestamp(&column.format);
            let array = primitive_array::<TimestampMicrosecondType, C>(column, rows, cell, &mut refuse, times);
            Arc::new(array.with_timezone("UTC"))
        }
        Type::Bool => {
            let mut builder = BooleanBuilder::with_capacity(rows);
            for row in 0..rows {
                builder.append_option(read(column, &cell(row), Cell::boolean, |reason| refuse(row, reason)));
            }
            Arc::new(builder.finish())
        }
        Type::Utf8 => {
            let mut builder = StringBuilder::with_capacity(rows, rows * 8);
            for row in 0..rows {
                let cell = cell(row);
                if cell.missing() {
                    if !column.optional {
                        refuse(row, missing(column));
                    }
                    builder.append_null();
                    continue;
                }
                match cell.text() {
                    Ok(text) => builder.append_value(text),
                    Err(wrong) => {
                        refuse(row, describe(column, wrong));
                        builder.append_null();
                    }
                }
            }
            Arc::new(builder.finish())
        }
    }
}

fn primitive<T: ArrowPrimitiveType, C: Cell>(
    column: &Column,
    rows: usize,
    cell: impl Fn(usize) -> C,
    refuse: &mut impl FnMut(usize, String),
    value: impl Fn(&C) -> Result<T::Native, Wrong>,
) -> ArrayRef {
    Arc::new(primitive_array::<T, C>(column, rows, cell, refuse, value))
}

fn primitive_array<T: ArrowPrimitiveType, C: Cell>(
    column: &Column,
    rows: usize,
    cell: impl Fn(usize) -> C,
    refuse: &mut impl FnMut(usize, String),
    value: impl Fn(&C) -> Result<T::Native, Wrong>,
) -> PrimitiveArray<T> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(rows);
    for row in 0..rows {
        builder.append_option(read(column, &cell(row), &value, |reason| refuse(row, reason)));
    }
    builder.finish()
}

fn read<C: Cell, V>(
    column: &Column,
    cell: &C,
    value: impl Fn(&C) -> Result<V, Wrong>,
    refuse: impl FnOnce(String),
) -> Option<V> {
    if cell.missing() {
        if !column.optional {
            refuse(missing(column));
        }
        return None;
    }
    match value(cell) {
        Ok(value) => Some(value),
        Err(wrong) => {
            refuse(describe(column, wrong));
            None
        }
    }
}

fn missing(column: &Column) -> String {
    let name = column.data_type.name();
    format!("missing (`{name}?` would take it as NULL)")
}

fn describe(column: &Column, wrong: Wrong) -> String {
    let name = column.data_type.name();
    let article = if name.starts_with('i') { "an" } else { "a" };
    match wrong {
        Wrong::Kind(None) => format!("not {article} {name}"),
        Wrong::Kind(Some(instead)) => format!("{instead} where {article} {name} is expected"),
        Wrong::Range => format!("out of the range of {article} {name}"),
        Wrong::Encoding => "not UTF-8".to_string(),
    }
}
