//! The values of a column as they come, row by row, and as Arrow's array in the end.

#![allow(clippy::arithmetic_side_effects, reason = "counts of values that are in memory")]

mod nested;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};

use crate::cell::Cell;
use crate::column::Column;
use crate::types::Type;
use crate::wrong::Wrong;
use nested::Nested;

/// Whole numbers up to here are all held by a 32-bit float.
const SINGLE: u64 = 1 << f32::MANTISSA_DIGITS;

/// One column so far. Most columns have few NULLs or none, so that these are known by their places.
pub(crate) struct Values {
    data: Data,
    nulls: Vec<usize>,
}

enum Data {
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Utf8(Texts),
    Bool(BooleanBufferBuilder),
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
    /// With the digits in all, and those behind the point.
    Decimal(Vec<i128>, u8, u8),
    /// Structs and lists.
    Nested(Box<Nested>),
}

/// One arm for all that is kept in a `Vec`.
macro_rules! by_kind {
    ($data:expr, $vec:ident => $plain:expr, $bits:ident => $bool:expr, $texts:ident => $utf8:expr, $nested:ident => $parts:expr) => {
        match $data {
            Data::Int8($vec) => $plain,
            Data::Int16($vec) => $plain,
            Data::Int32($vec) => $plain,
            Data::Int64($vec) => $plain,
            Data::Uint8($vec) => $plain,
            Data::Uint16($vec) => $plain,
            Data::Uint32($vec) => $plain,
            Data::Uint64($vec) => $plain,
            Data::Float32($vec) => $plain,
            Data::Float64($vec) => $plain,
            Data::Date($vec) => $plain,
            Data::Timestamp($vec) => $plain,
            Data::Decimal($vec, ..) => $plain,
            Data::Bool($bits) => $bool,
            Data::Utf8($texts) => $utf8,
            Data::Nested($nested) => $parts,
        }
    };
}

impl Values {
    /// For this many rows of this type.
    pub(crate) fn new(data_type: &Type, rows: usize) -> Self {
        let data = match data_type {
            Type::Int8 => Data::Int8(Vec::with_capacity(rows)),
            Type::Int16 => Data::Int16(Vec::with_capacity(rows)),
            Type::Int32 => Data::Int32(Vec::with_capacity(rows)),
            Type::Int64 => Data::Int64(Vec::with_capacity(rows)),
            Type::Uint8 => Data::Uint8(Vec::with_capacity(rows)),
            Type::Uint16 => Data::Uint16(Vec::with_capacity(rows)),
            Type::Uint32 => Data::Uint32(Vec::with_capacity(rows)),
            Type::Uint64 => Data::Uint64(Vec::with_capacity(rows)),
            Type::Float32 => Data::Float32(Vec::with_capacity(rows)),
            Type::Float64 => Data::Float64(Vec::with_capacity(rows)),
            Type::Utf8 => Data::Utf8(Texts::new(rows)),
            Type::Bool => Data::Bool(BooleanBufferBuilder::new(rows)),
            Type::Date => Data::Date(Vec::with_capacity(rows)),
            Type::Timestamp => Data::Timestamp(Vec::with_capacity(rows)),
            Type::Decimal(digits, behind) => Data::Decimal(Vec::with_capacity(rows), *digits, *behind),
            Type::Struct(members) => Data::Nested(Box::new(Nested::of_members(members, rows))),
            Type::List(item) => Data::Nested(Box::new(Nested::of_items(item, rows))),
        };
        Values { data, nulls: Vec::new() }
    }

    /// Adds the value of a cell, or NULL where it is missing and may be.
    pub(crate) fn push<C: Cell>(&mut self, column: &Column, cell: &C) -> Result<(), Wrong> {
        fn fit<T, U: TryFrom<T>>(value: T) -> Result<U, Wrong> {
            value.try_into().map_err(|_| Wrong::Range)
        }
        if cell.missing(column) {
            if !column.optional {
                return Err(Wrong::Missing);
            }
            self.push_null();
            return Ok(());
        }
        match &mut self.data {
            Data::Int8(values) => values.push(fit(cell.signed()?)?),
            Data::Int16(values) => values.push(fit(cell.signed()?)?),
            Data::Int32(values) => values.push(fit(cell.signed()?)?),
            Data::Int64(values) => values.push(cell.signed()?),
            Data::Uint8(values) => values.push(fit(cell.unsigned()?)?),
            Data::Uint16(values) => values.push(fit(cell.unsigned()?)?),
            Data::Uint32(values) => values.push(fit(cell.unsigned()?)?),
            Data::Uint64(values) => values.push(cell.unsigned()?),
            Data::Float32(values) => values.push(cell.float()?.single()?),
            Data::Float64(values) => values.push(cell.float()?.double()),
            Data::Utf8(texts) => texts.push(cell.text()?),
            Data::Bool(bits) => bits.append(cell.boolean()?),
            Data::Date(values) => values.push(cell.date(&column.format)?),
            Data::Timestamp(values) => values.push(cell.timestamp(&column.format)?),
            Data::Decimal(values, digits, behind) => values.push(cell.decimal(*digits, *behind)?),
            Data::Nested(nested) => nested.push(cell.json()?)?,
        }
        Ok(())
    }

    /// Adds a float where the column is of doubles; says whether it is.
    pub(crate) fn push_double(&mut self, value: f64) -> bool {
        let Data::Float64(values) = &mut self.data else { return false };
        values.push(value);
        true
    }

    /// Whether a few digits are a number here, and nothing else.
    #[inline]
    pub(crate) fn numeric(&self) -> bool {
        !matches!(
            self.data,
            Data::Utf8(_) | Data::Bool(_) | Data::Date(_) | Data::Timestamp(_) | Data::Decimal(..) | Data::Nested(_)
        )
    }

    /// Adds a number below 2^53; false where the type does not hold it.
    #[inline]
    pub(crate) fn push_number(&mut self, number: u64) -> bool {
        fn push<T: TryFrom<u64>>(values: &mut Vec<T>, number: u64) -> bool {
            T::try_from(number).map(|value| values.push(value)).is_ok()
        }
        match &mut self.data {
            Data::Int8(values) => push(values, number),
            Data::Int16(values) => push(values, number),
            Data::Int32(values) => push(values, number),
            Data::Int64(values) => push(values, number),
            Data::Uint8(values) => push(values, number),
            Data::Uint16(values) => push(values, number),
            Data::Uint32(values) => push(values, number),
            Data::Uint64(values) => push(values, number),
            Data::Float32(values) => {
                let fits = number <= SINGLE;
                if fits {
                    values.push(number as f32);
                }
                fits
            }
            Data::Float64(values) => {
                values.push(number as f64);
                true
            }
            Data::Utf8(_)
            | Data::Bool(_)
            | Data::Date(_)
            | Data::Timestamp(_)
            | Data::Decimal(..)
            | Data::Nested(_) => false,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        by_kind!(&self.data, values => values.len(), bits => bits.len(), texts => texts.len(), nested => nested.len())
    }

    /// Adds a NULL, whether the column may have one or not.
    pub(crate) fn push_null(&mut self) {
        self.nulls.push(self.len());
        by_kind!(&mut self.data, values => values.push(Default::default()), bits => bits.append(false), texts => texts.push(""), nested => nested.push_null());
    }

    /// Takes back all but the first `rows` values.
    pub(crate) fn truncate(&mut self, rows: usize) {
        by_kind!(&mut self.data, values => values.truncate(rows), bits => bits.truncate(rows), texts => texts.truncate(rows), nested => nested.truncate(rows));
        while self.nulls.last().is_some_and(|null| *null >= rows) {
            self.nulls.pop();
        }
    }

    /// As Arrow's array.
    pub(crate) fn finish(self) -> ArrayRef {
        let rows = self.len();
        let nulls = (!self.nulls.is_empty()).then(|| {
            let mut valid = BooleanBufferBuilder::new(rows);
            valid.append_n(rows, true);
            self.nulls.iter().for_each(|null| valid.set_bit(*null, false));
            NullBuffer::new(valid.finish())
        });
        match self.data {
            Data::Int8(values) => Arc::new(Int8Array::new(values.into(), nulls)),
            Data::Int16(values) => Arc::new(Int16Array::new(values.into(), nulls)),
            Data::Int32(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Data::Int64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Data::Uint8(values) => Arc::new(UInt8Array::new(values.into(), nulls)),
            Data::Uint16(values) => Arc::new(UInt16Array::new(values.into(), nulls)),
            Data::Uint32(values) => Arc::new(UInt32Array::new(values.into(), nulls)),
            Data::Uint64(values) => Arc::new(UInt64Array::new(values.into(), nulls)),
            Data::Float32(values) => Arc::new(Float32Array::new(values.into(), nulls)),
            Data::Float64(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Data::Utf8(texts) => Arc::new(texts.finish(nulls)),
            Data::Bool(mut bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Data::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Data::Timestamp(values) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Data::Decimal(values, digits, behind) => {
                let data_type = Type::Decimal(digits, behind).arrow();
                Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(data_type))
            }
            Data::Nested(nested) => nested.finish(nulls),
        }
    }
}

/// Texts one behind the other, and where each ends.
struct Texts {
    bytes: Vec<u8>,
    /// Begins with a zero.
    ends: Vec<i32>,
}

impl Texts {
    fn new(rows: usize) -> Self {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Texts { bytes: Vec::with_capacity(rows * 8), ends }
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(i32::try_from(self.bytes.len()).expect("a batch's values, with offsets of this size, hold it"));
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows + 1);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    fn finish(self, nulls: Option<NullBuffer>) -> StringArray {
        StringArray::new(OffsetBuffer::new(self.ends.into()), self.bytes.into(), nulls)
    }
}
