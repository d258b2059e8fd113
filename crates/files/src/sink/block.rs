//! Rows as lines of CSV: their short cells column by column, then line by line with all others.

#![allow(clippy::arithmetic_side_effects, reason = "counts of cells that are in memory")]

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::digits;
use super::output::Output;
use super::short::{self, Short};

/// Rows that are written together: their short cells are made column by column.
pub(super) struct Block {
    pub(super) rows: usize,
    columns: usize,
    delimiter: u8,
    cells: Vec<Short>,
    text: Vec<u8>,
}

impl Block {
    pub(super) fn new(columns: usize, delimiter: u8) -> Self {
        let columns = columns.max(1);
        // This many cells stay in the first cache.
        Block { rows: (4096 / columns).clamp(64, 1024), columns, delimiter, cells: Vec::new(), text: Vec::new() }
    }

    fn end(&self, column: usize) -> u8 {
        if column + 1 == self.columns { b'\n' } else { self.delimiter }
    }

    /// Makes the short cells of these rows, or none.
    pub(super) fn fill(&mut self, columns: &[Cells], rows: Range<usize>, short: bool) {
        // Cells that are never short stay as they are made here.
        self.cells.resize(rows.len() * self.columns, Short::NONE);
        for (index, column) in columns.iter().enumerate().filter(|_| short) {
            let end = self.end(index);
            let cells = self.cells.chunks_exact_mut(self.columns).filter_map(|row| row.get_mut(index));
            column.short(rows.clone(), end, cells);
        }
    }

    /// Writes the lines of the rows from `first` on.
    pub(super) fn write(&mut self, columns: &mut [Cells], first: usize, out: &mut Output) -> Result<(), ArrowError> {
        self.text.resize(self.cells.len() * size_of::<Short>(), 0);
        let mut done = 0;
        loop {
            let cells = self.cells.get(done..).unwrap_or_default();
            let (stored, len) = short::store(cells, &mut self.text);
            out.bytes.extend_from_slice(self.text.get(..len).unwrap_or_default());
            done += stored;
            let (row, index) = (done / self.columns, done % self.columns);
            let Some(column) = columns.get_mut(index).filter(|_| stored < cells.len()) else { return Ok(()) };
            column.write(first + row, out)?;
            out.bytes.push(self.end(index));
            done += 1;
        }
    }
}

/// The cells of one column.
pub(super) enum Cells<'a> {
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Uint8(&'a PrimitiveArray<UInt8Type>),
    Uint16(&'a PrimitiveArray<UInt16Type>),
    Uint32(&'a PrimitiveArray<UInt32Type>),
    Uint64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    /// Everything else, as Arrow writes it.
    Texts(ArrayFormatter<'a>, String),
}

impl<'a> Cells<'a> {
    pub(super) fn new(column: &'a ArrayRef) -> Result<Self, ArrowError> {
        Ok(match column.data_type() {
            DataType::Int8 => Cells::Int8(column.as_primitive()),
            DataType::Int16 => Cells::Int16(column.as_primitive()),
            DataType::Int32 => Cells::Int32(column.as_primitive()),
            DataType::Int64 => Cells::Int64(column.as_primitive()),
            DataType::UInt8 => Cells::Uint8(column.as_primitive()),
            DataType::UInt16 => Cells::Uint16(column.as_primitive()),
            DataType::UInt32 => Cells::Uint32(column.as_primitive()),
            DataType::UInt64 => Cells::Uint64(column.as_primitive()),
            DataType::Float32 => Cells::Float32(column.as_primitive()),
            DataType::Float64 => Cells::Float64(column.as_primitive()),
            _ => Cells::Texts(ArrayFormatter::try_new(column, &FormatOptions::default())?, String::new()),
        })
    }

    /// The short ones of these rows, each with what ends it.
    fn short<'b>(&self, rows: Range<usize>, end: u8, to: impl Iterator<Item = &'b mut Short>) {
        fn fill<'b, T: ArrowPrimitiveType>(
            column: &PrimitiveArray<T>,
            rows: Range<usize>,
            end: u8,
            to: impl Iterator<Item = &'b mut Short>,
            short: impl Fn(T::Native) -> Short,
        ) {
            let values = column.values().get(rows.clone()).unwrap_or_default().iter();
            match column.nulls() {
                None => values.zip(to).for_each(|(value, to)| *to = short(*value).ended(end)),
                Some(nulls) => values.zip(to).zip(rows).for_each(|((value, to), row)| {
                    *to = if nulls.is_null(row) { Short::byte(end) } else { short(*value).ended(end) };
                }),
            }
        }
        match self {
            Cells::Int8(column) => fill(column, rows, end, to, |value| short::signed(value.into())),
            Cells::Int16(column) => fill(column, rows, end, to, |value| short::signed(value.into())),
            Cells::Int32(column) => fill(column, rows, end, to, |value| short::signed(value.into())),
            Cells::Int64(column) => fill(column, rows, end, to, short::signed),
            Cells::Uint8(column) => fill(column, rows, end, to, |value| short::unsigned(value.into())),
            Cells::Uint16(column) => fill(column, rows, end, to, |value| short::unsigned(value.into())),
            Cells::Uint32(column) => fill(column, rows, end, to, |value| short::unsigned(value.into())),
            Cells::Uint64(column) => fill(column, rows, end, to, short::unsigned),
            Cells::Float32(column) => fill(column, rows, end, to, |value| short::float(value.into())),
            Cells::Float64(column) => fill(column, rows, end, to, short::float),
            Cells::Texts(..) => {}
        }
    }

    fn write(&mut self, row: usize, out: &mut Output) -> Result<(), ArrowError> {
        match self {
            Cells::Int8(column) => out.number(column, row, |bytes, value| digits::signed(bytes, value.into())),
            Cells::Int16(column) => out.number(column, row, |bytes, value| digits::signed(bytes, value.into())),
            Cells::Int32(column) => out.number(column, row, |bytes, value| digits::signed(bytes, value.into())),
            Cells::Int64(column) => out.number(column, row, digits::signed),
            Cells::Uint8(column) => out.number(column, row, |bytes, value| digits::unsigned(bytes, value.into())),
            Cells::Uint16(column) => out.number(column, row, |bytes, value| digits::unsigned(bytes, value.into())),
            Cells::Uint32(column) => out.number(column, row, |bytes, value| digits::unsigned(bytes, value.into())),
            Cells::Uint64(column) => out.number(column, row, digits::unsigned),
            Cells::Float32(column) => out.number(column, row, digits::float32),
            Cells::Float64(column) => out.number(column, row, digits::float64),
            Cells::Texts(column, text) => {
                text.clear();
                column.value(row).write(text).map_err(|error| ArrowError::CsvError(error.to_string()))?;
                out.field(text.as_bytes());
            }
        }
        Ok(())
    }
}
