//! Result columns as the values that a database column takes.
//!
//! What can be converted without loss is converted here, column by column, so that all databases agree on it; what only
//! the database knows (ranges, lengths, constraints, its own types) is left to it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int64Array,
    StringArray, StringBuilder, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use arrow::json::writer::{EncoderOptions, make_encoder};
use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::table::Kind;

/// A column's values, ready to be bound.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Int(Int64Array),
    UInt(UInt64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Bool(BooleanArray),
    Text(StringArray),
    Binary(BinaryArray),
    Date(Date32Array),
    /// As the database shall show it: UTC where its type is an instant, else local.
    Time(TimestampMicrosecondArray),
}

impl Data {
    fn array(&self) -> &dyn Array {
        match self {
            Data::Int(a) => a,
            Data::UInt(a) => a,
            Data::Float32(a) => a,
            Data::Float64(a) => a,
            Data::Bool(a) => a,
            Data::Text(a) => a,
            Data::Binary(a) => a,
            Data::Date(a) => a,
            Data::Time(a) => a,
        }
    }

    /// Whether a row has no value.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.array().is_null(row)
    }

    /// About how many bytes a row's value takes on the wire.
    pub(super) fn size(&self, row: usize) -> usize {
        match self {
            Data::Text(a) => 5 + a.value_length(row) as usize,
            Data::Binary(a) => 5 + a.value_length(row) as usize,
            _ => 12,
        }
    }

    /// Appends bytes that are equal where the values are: for finding rows of one key.
    pub(super) fn key(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Data::Int(a) => out.extend(a.value(row).to_le_bytes()),
            Data::UInt(a) => out.extend(a.value(row).to_le_bytes()),
            Data::Float32(a) => out.extend(a.value(row).to_bits().to_le_bytes()),
            Data::Float64(a) => out.extend(a.value(row).to_bits().to_le_bytes()),
            Data::Bool(a) => out.push(u8::from(a.value(row))),
            Data::Date(a) => out.extend(a.value(row).to_le_bytes()),
            Data::Time(a) => out.extend(a.value(row).to_le_bytes()),
            Data::Text(a) => append(out, a.value(row).as_bytes()),
            Data::Binary(a) => append(out, a.value(row)),
        }
    }
}

fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

/// What a database cannot hold at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) nan: bool,
    pub(super) infinity: bool,
    /// Whether times are written as text; then, unlike elsewhere, no precision is cut.
    pub(super) typed: bool,
}

/// How a result column is turned into values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Take {
    Int,
    UInt,
    Float32,
    Float64,
    Bool,
    Text,
    /// Text that is a number.
    Number,
    Json,
    Binary,
    Date,
    Time {
        digits: u8,
        instant: bool,
    },
}

/// A type without what only says how it is stored.
fn plain(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

fn is_float(kind: &DataType) -> bool {
    matches!(plain(kind), DataType::Float16 | DataType::Float32 | DataType::Float64)
}

/// How a result column fits a table's column; `None` where it does not.
fn take(from: &DataType, to: &Kind) -> Option<Take> {
    use DataType as D;
    let from = plain(from);
    let float = || if matches!(from, D::Float16 | D::Float32) { Take::Float32 } else { Take::Float64 };
    let text = matches!(from, D::Utf8 | D::LargeUtf8 | D::Utf8View);
    let binary = matches!(from, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_));
    let nested = matches!(from, D::List(_) | D::LargeList(_) | D::FixedSizeList(..) | D::Struct(_) | D::Map(..));
    let whole = match from {
        D::Decimal32(_, scale) | D::Decimal64(_, scale) | D::Decimal128(_, scale) | D::Decimal256(_, scale) => {
            *scale <= 0
        }
        other => other.is_integer(),
    };
    let number = from.is_integer() || from.is_decimal() || from.is_floating();
    let timestamp = matches!(from, D::Timestamp(..));
    let clock = matches!(from, D::Time32(_) | D::Time64(_));
    let date = matches!(from, D::Date32 | D::Date64);
    let time = |precision: &u8, instant: bool| Take::Time { digits: *precision, instant };
    match to {
        Kind::Int if whole || text || matches!(from, D::Boolean | D::Null) => Some(Take::Int),
        Kind::UInt if whole || text || matches!(from, D::Boolean | D::Null) => Some(Take::UInt),
        Kind::Float if number => Some(float()),
        Kind::Float if text || matches!(from, D::Null) => Some(Take::Float64),
        Kind::Decimal if number => Some(Take::Text),
        Kind::Decimal if text || matches!(from, D::Null) => Some(Take::Number),
        Kind::Bool if text || matches!(from, D::Boolean | D::Null) => Some(Take::Bool),
        Kind::Text if nested => Some(Take::Json),
        Kind::Text if number || text || binary || date || timestamp || clock => Some(Take::Text),
        Kind::Text if matches!(from, D::Boolean | D::Null) => Some(Take::Text),
        Kind::Json if nested || number || matches!(from, D::Boolean) => Some(Take::Json),
        Kind::Json if text || binary || matches!(from, D::Null) => Some(Take::Text),
        Kind::Binary if binary || text || matches!(from, D::Null) => Some(Take::Binary),
        Kind::Date if date || matches!(from, D::Null) => Some(Take::Date),
        Kind::Time { digits, instant } if timestamp || date => Some(time(digits, *instant)),
        Kind::Time { .. } | Kind::Date | Kind::Other if text || matches!(from, D::Null) => Some(Take::Text),
        Kind::Other if clock => Some(Take::Text),
        // A column without a type holds what it is given.
        Kind::Any => match from {
            D::Boolean => Some(Take::Bool),
            _ if from.is_floating() => Some(float()),
            D::Null => Some(Take::Text),
            _ if from.is_integer() => Some(Take::Int),
            _ if text || timestamp || date || clock || from.is_decimal() => Some(Take::Text),
            _ if nested => Some(Take::Json),
            _ if binary => Some(Take::Binary),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a result column fits a table's column.
pub(super) fn fits(from: &DataType, to: &Kind) -> bool {
    take(from, to).is_some()
}

/// The natural kind of table column for a result column, for `create: true`; `None` where there is none.
pub(super) fn kind_for(from: &DataType) -> Option<Kind> {
    use DataType as D;
    Some(match plain(from) {
        D::Boolean => Kind::Bool,
        D::UInt64 => Kind::UInt,
        other if other.is_integer() => Kind::Int,
        other if other.is_floating() => Kind::Float,
        other if other.is_decimal() => Kind::Decimal,
        D::Date32 | D::Date64 => Kind::Date,
        D::Timestamp(..) => Kind::Time { digits: 6, instant: false },
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Kind::Binary,
        other if fits(other, &Kind::Text) => Kind::Text,
        _ => return None,
    })
}

/// Values that no column of the kind can hold: row and reason, ascending.
pub(super) type Unfit = Vec<(usize, &'static str)>;

/// Turns a result column into the values of a table's column. `Err` where the types do not fit, which `open` found out.
pub(super) fn convert(
    field: &FieldRef,
    array: &ArrayRef,
    to: &Kind,
    rules: &Rules,
    zone: Tz,
) -> Result<(Data, Unfit), String> {
    let no_fit = || format!("column `{}` does not fit", field.name());
    let take = take(array.data_type(), to).ok_or_else(no_fit)?;
    let array = unpacked(array).ok_or_else(no_fit)?;
    let mut unfit: Unfit = if is_float(array.data_type()) { not_finite(&array, rules) } else { Vec::new() };
    if matches!(to, Kind::Text) {
        unfit.clear();
    }
    let cast = |to: &DataType| cast_with_options(&array, to, &CastOptions { safe: true, ..Default::default() });
    let cast_to = |to: DataType| cast(&to).map_err(|_| no_fit());

    let timestamp = matches!(array.data_type(), DataType::Timestamp(..));
    let data = match take {
        Take::Int => Data::Int(cast_to(DataType::Int64)?.as_primitive().clone()),
        Take::UInt => Data::UInt(cast_to(DataType::UInt64)?.as_primitive().clone()),
        Take::Float32 => Data::Float32(cast_to(DataType::Float32)?.as_primitive().clone()),
        Take::Float64 => Data::Float64(cast_to(DataType::Float64)?.as_primitive().clone()),
        Take::Bool => Data::Bool(cast_to(DataType::Boolean)?.as_boolean().clone()),
        Take::Date => Data::Date(cast_to(DataType::Date32)?.as_primitive().clone()),
        Take::Binary => Data::Binary(cast_to(DataType::Binary)?.as_binary().clone()),
        Take::Time { digits, instant } => {
            let micros = cast_to(DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let moves = match (timestamp, instant) {
                (true, false) => Moves::ToLocal,
                (false, true) => Moves::FromLocal,
                _ => Moves::Stays,
            };
            Data::Time(shifted(micros.as_primitive(), moves, zone, if rules.typed { digits } else { 6 }))
        }
        Take::Text if timestamp => {
            let micros = cast_to(DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let local = shifted(micros.as_primitive(), Moves::ToLocal, zone, 6);
            Data::Text(local.iter().map(|v| v.and_then(naive).map(time_text)).collect())
        }
        Take::Text => Data::Text(cast_to(DataType::Utf8)?.as_string::<i32>().clone()),
        Take::Number => {
            let text = cast_to(DataType::Utf8)?;
            let number = |v: Option<&str>| v.map(str::trim).filter(|v| v.parse::<f64>().is_ok()).map(str::to_owned);
            Data::Text(text.as_string::<i32>().iter().map(number).collect())
        }
        Take::Json => Data::Text(json(field, &array).map_err(|_| no_fit())?),
    };
    // What was there and is gone did not convert.
    if data.array().null_count() != array.null_count() {
        let lost = (0..array.len()).filter(|&row| array.is_valid(row) && data.is_null(row));
        unfit.extend(lost.map(|row| (row, "the value does not fit the column's type")));
        unfit.sort_by_key(|(row, _)| *row);
    }
    Ok((data, unfit))
}

/// Dictionaries and runs as plain values.
fn unpacked(array: &ArrayRef) -> Option<ArrayRef> {
    let to = plain(array.data_type());
    if to == array.data_type() {
        return Some(array.clone());
    }
    cast_with_options(array, to, &CastOptions::default()).ok()
}

fn not_finite(array: &ArrayRef, rules: &Rules) -> Unfit {
    if rules.nan && rules.infinity {
        return Vec::new();
    }
    let wide = cast_with_options(array, &DataType::Float64, &CastOptions::default());
    let Ok(wide) = wide else { return Vec::new() };
    let wide: &Float64Array = wide.as_primitive();
    let why = |(row, value): (usize, Option<f64>)| match value {
        Some(v) if v.is_nan() && !rules.nan => Some((row, "NaN, which this database does not have")),
        Some(v) if v.is_infinite() && !rules.infinity => Some((row, "infinite, which this database does not have")),
        _ => None,
    };
    wide.iter().enumerate().filter_map(why).collect()
}

/// Between UTC and local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moves {
    Stays,
    ToLocal,
    FromLocal,
}

/// Moves times and cuts them to so many digits after the second. Times of a batch are often all the same: the last
/// answer is kept.
fn shifted(micros: &TimestampMicrosecondArray, moves: Moves, zone: Tz, digits: u8) -> TimestampMicrosecondArray {
    let step = 10_i64.pow(6_u32.saturating_sub(digits.into()));
    let moves = if zone == Tz::UTC { Moves::Stays } else { moves };
    let mut last: Option<(i64, Option<i64>)> = None;
    let mut shift = |value: i64| {
        if let Some((from, to)) = last
            && from == value
        {
            return to;
        }
        let moved = match moves {
            Moves::Stays => Some(value),
            Moves::ToLocal => {
                naive(value).map(|t| zone.from_utc_datetime(&t).naive_local().and_utc().timestamp_micros())
            }
            Moves::FromLocal => naive(value)
                .and_then(|t| zone.from_local_datetime(&t).earliest())
                .map(|t| t.with_timezone(&Utc).timestamp_micros()),
        };
        let moved = moved.map(|v| v - v.rem_euclid(step));
        last = Some((value, moved));
        moved
    };
    micros
        .iter()
        .map(|value| value.and_then(&mut shift))
        .collect::<arrow::array::PrimitiveArray<TimestampMicrosecondType>>()
}

/// A time as a calendar has it; `None` outside its years.
pub(super) fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc())
}

/// A time as text, as SQL databases write it.
pub(super) fn time_text(time: NaiveDateTime) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.f").to_string()
}

/// Each value as JSON text.
fn json(field: &FieldRef, array: &ArrayRef) -> Result<StringArray, arrow::error::ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let field: FieldRef = Arc::new(Field::new(field.name(), array.data_type().clone(), true));
    let mut encoder = make_encoder(&field, array.as_ref(), &options)?;
    let mut out = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        out.append_option(std::str::from_utf8(&text).ok());
    }
    Ok(out.finish())
}
