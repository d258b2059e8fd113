//! Result columns as the values that a database column takes.
//!
//! What can be converted without loss is converted here, column by column, so that all databases agree on it; what only
//! the database knows (ranges, lengths, constraints, its own types) is left to it. A value that the column would hold as
//! another one is refused here, wherever the database itself would say nothing. Two things are the column's own choice
//! and no loss: how finely it keeps seconds, and how finely it keeps a float.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int64Array,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use chrono::NaiveTime;
use chrono_tz::Tz;

use super::array;
use super::number::Number;
use super::schema::{Column, ColumnKind};
use super::times::{Moves, Written, as_time, cut, dates, micros, safe, shifted, time_texts, written};
use foretell_connect::text;

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
            Data::Text(a) => (a.value_length(row) as usize).saturating_add(5),
            Data::Binary(a) => (a.value_length(row) as usize).saturating_add(5),
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
    /// Whether a column holds its own type alone. Where not (SQLite), times are texts, of which nothing is cut, and a
    /// text that is a number becomes one in most columns.
    pub(super) typed: bool,
    /// Whether a text without characters is one, and not NULL.
    pub(super) empty: bool,
}

/// How a result column is turned into values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Take {
    Int,
    UInt,
    Year,
    Float {
        single: bool,
    },
    /// As the text of a number, with this many digits after the point.
    Decimal {
        scale: Option<i64>,
    },
    Bool,
    Text,
    Json,
    /// As a text of an array.
    Array,
    Binary,
    Date,
    /// Text that may be a date.
    DateText,
    Time {
        digits: u8,
        instant: bool,
    },
    /// Text that may be a time.
    TimeText {
        digits: u8,
        instant: bool,
    },
    /// A time of day as text.
    Clock {
        digits: u8,
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
fn take(from: &DataType, to: &ColumnKind) -> Option<Take> {
    use DataType as D;
    let from = plain(from);
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
    let null = matches!(from, D::Null);
    match *to {
        ColumnKind::Int if whole || text || null || matches!(from, D::Boolean) => Some(Take::Int),
        ColumnKind::UInt if whole || text || null || matches!(from, D::Boolean) => Some(Take::UInt),
        ColumnKind::Year if whole || text || null => Some(Take::Year),
        ColumnKind::Float { single } if number || text || null => Some(Take::Float { single }),
        ColumnKind::Decimal { scale, .. } if number || text || null => Some(Take::Decimal { scale }),
        ColumnKind::Bool if text || null || matches!(from, D::Boolean) => Some(Take::Bool),
        ColumnKind::Text | ColumnKind::Json if nested => Some(Take::Json),
        ColumnKind::Text if number || text || binary || date || timestamp || clock || null => Some(Take::Text),
        ColumnKind::Text if matches!(from, D::Boolean) => Some(Take::Text),
        ColumnKind::Json if number || matches!(from, D::Boolean) => Some(Take::Json),
        ColumnKind::Json if text || binary || null => Some(Take::Text),
        ColumnKind::Binary if binary || text || null => Some(Take::Binary),
        ColumnKind::Date if date || null => Some(Take::Date),
        ColumnKind::Date if text => Some(Take::DateText),
        ColumnKind::Time { digits, instant } if timestamp || date => Some(Take::Time { digits, instant }),
        ColumnKind::Time { digits, instant } if text || null => Some(Take::TimeText { digits, instant }),
        ColumnKind::Clock { digits } if clock || text || null => Some(Take::Clock { digits }),
        ColumnKind::Array if matches!(from, D::List(_) | D::LargeList(_) | D::FixedSizeList(..)) => Some(Take::Array),
        ColumnKind::Other | ColumnKind::Array if text || null => Some(Take::Text),
        // A column without a type holds what it is given.
        ColumnKind::Any => match from {
            D::Boolean => Some(Take::Bool),
            _ if from.is_floating() => Some(Take::Float { single: false }),
            _ if from.is_integer() => Some(Take::Int),
            _ if text || timestamp || date || clock || null || from.is_decimal() => Some(Take::Text),
            _ if nested => Some(Take::Json),
            _ if binary => Some(Take::Binary),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a result column fits a table's column.
pub(super) fn fits(from: &DataType, to: &ColumnKind) -> bool {
    take(from, to).is_some()
}

/// The natural kind of table column for a result column, for `create: true`; `None` where there is no such kind.
pub(super) fn kind_for(from: &DataType) -> Option<ColumnKind> {
    use DataType as D;
    Some(match plain(from) {
        D::Boolean => ColumnKind::Bool,
        D::UInt64 => ColumnKind::UInt,
        other if other.is_integer() => ColumnKind::Int,
        other if other.is_floating() => ColumnKind::Float { single: false },
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            // A scale below 0 stands for zeros before the point.
            ColumnKind::Decimal {
                precision: p.saturating_add_signed(s.saturating_neg().max(0)),
                scale: Some((*s).max(0).into()),
            }
        }
        D::Date32 | D::Date64 => ColumnKind::Date,
        D::Timestamp(..) => ColumnKind::Time { digits: 6, instant: false },
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => ColumnKind::Binary,
        other if fits(other, &ColumnKind::Text) => ColumnKind::Text,
        _ => return None,
    })
}

/// Values that the column cannot hold: row and reason, ascending.
pub(super) type Unfit = Vec<(usize, &'static str)>;

const NO_FIT: &str = "the value does not fit the column's type";

/// Turns a result column into the values of a table's column. `Err` where the types do not fit, which `open` found out.
pub(super) fn convert(
    field: &FieldRef,
    array: &ArrayRef,
    to: &Column,
    rules: &Rules,
    zone: Tz,
) -> Result<(Data, Unfit), String> {
    let no_fit = || format!("column `{}` does not fit", field.name());
    let take = take(array.data_type(), &to.kind).ok_or_else(no_fit)?;
    let array = unpacked(array).ok_or_else(no_fit)?;
    let from = array.data_type().clone();
    let mut unfit: Unfit = if is_float(&from) { not_finite(&array, rules) } else { Vec::new() };
    if matches!(to.kind, ColumnKind::Text) {
        unfit.clear();
    }
    let cast_to = |to: DataType| safe(&array, &to).ok_or_else(no_fit);
    let texts = || Ok::<_, String>(cast_to(DataType::Utf8)?.as_string::<i32>().clone());

    let data = match take {
        Take::Int => Data::Int(cast_to(DataType::Int64)?.as_primitive().clone()),
        Take::UInt => Data::UInt(cast_to(DataType::UInt64)?.as_primitive().clone()),
        Take::Year => {
            let years = cast_to(DataType::Int64)?;
            // Other numbers would become years of this century and the last.
            let year = |year: &i64| matches!(year, 0 | 1901..=2155);
            Data::Int(years.as_primitive::<Int64Type>().iter().map(|value| value.filter(year)).collect())
        }
        Take::Float { .. } if matches!(from, DataType::Float16 | DataType::Float32) => {
            Data::Float32(cast_to(DataType::Float32)?.as_primitive().clone())
        }
        Take::Float { .. } if from == DataType::Float64 => Data::Float64(array.as_primitive().clone()),
        Take::Float { single } if from.is_integer() => {
            let doubles = cast_to(DataType::Float64)?;
            let exact = if single { 1u64 << f32::MANTISSA_DIGITS } else { 1u64 << f64::MANTISSA_DIGITS } as f64;
            match doubles.as_primitive::<arrow::datatypes::Float64Type>().iter().flatten().all(|v| v.abs() < exact) {
                true => Data::Float64(doubles.as_primitive().clone()),
                false => Data::Float64(floats(&texts()?, single, rules)),
            }
        }
        Take::Float { single } => Data::Float64(floats(&texts()?, single, rules)),
        Take::Decimal { scale } => {
            let texts = texts()?;
            match (decimal_scale(&from), scale) {
                (Some(from), Some(to)) if rules.typed && from <= to => Data::Text(texts),
                (Some(_), None) if rules.typed => Data::Text(texts),
                _ => Data::Text(decimals(&texts, is_float(&from), scale, rules)),
            }
        }
        Take::Bool => Data::Bool(cast_to(DataType::Boolean)?.as_boolean().clone()),
        Take::Date => Data::Date(dates(&array, &cast_to(DataType::Date32)?)),
        Take::Binary => Data::Binary(cast_to(DataType::Binary)?.as_binary().clone()),
        Take::Time { digits, instant } => {
            let timestamp = matches!(from, DataType::Timestamp(..));
            let moves = match (timestamp, instant) {
                (true, false) => Moves::ToLocal,
                (false, true) => Moves::FromLocal,
                _ => Moves::Stays,
            };
            let micros = micros(&array).ok_or_else(no_fit)?;
            Data::Time(shifted(&micros, moves, zone, if rules.typed { digits } else { 6 }))
        }
        Take::Text if matches!(from, DataType::Timestamp(..) | DataType::Date64) => {
            Data::Text(time_texts(&array, zone).ok_or_else(no_fit)?)
        }
        Take::Text if from == DataType::Date32 => {
            let dates = dates(&array, &array);
            Data::Text((0..dates.len()).map(|row| dates.value_as_date(row).map(|d| d.to_string())).collect())
        }
        Take::Text if is_float(&from) && matches!(to.kind, ColumnKind::Text) => Data::Text(texts()?),
        Take::DateText if rules.typed => {
            let texts = texts()?;
            let midnight = |text: &&str| match written(text) {
                Some(Written::Local(time)) => time.time() == NaiveTime::MIN,
                Some(Written::Zoned(_)) => false,
                None => !text.contains(':'),
            };
            Data::Text(texts.iter().map(|text| text.filter(midnight)).collect())
        }
        Take::TimeText { digits, instant } if rules.typed => {
            let texts = texts()?;
            let time = |text: &str| as_time(text, digits, instant, zone);
            Data::Text(texts.iter().map(|text| text.and_then(time)).collect())
        }
        Take::Clock { digits } if rules.typed => {
            let texts = texts()?;
            let clock = |text: &str| match NaiveTime::parse_from_str(text, "%H:%M:%S%.f") {
                Ok(_) => cut(text, digits),
                Err(_) => text.to_owned(),
            };
            Data::Text(texts.iter().map(|text| text.map(clock)).collect())
        }
        Take::Text | Take::DateText | Take::TimeText { .. } | Take::Clock { .. } => Data::Text(texts()?),
        Take::Json => Data::Text(json(&array, zone).ok_or_else(no_fit)?),
        Take::Array => {
            let lists = json(&array, zone).ok_or_else(no_fit)?;
            Data::Text(lists.iter().map(|list| array::of_json(list?)).collect())
        }
    };
    // What was there and is gone did not convert.
    if data.array().null_count() != array.logical_null_count() {
        let lost = (0..array.len()).filter(|&row| array.is_valid(row) && data.is_null(row));
        unfit.extend(lost.map(|row| (row, NO_FIT)));
    }
    if let (Data::Binary(values), Some(limit)) = (&data, to.limit) {
        let short = values.iter().enumerate().filter(|(_, value)| value.is_some_and(|value| value.len() < limit));
        unfit.extend(short.map(|(row, _)| (row, "shorter than the column, which would fill it up")));
    }
    if let Data::Binary(values) = &data
        && !rules.empty
    {
        let empty = values.iter().enumerate().filter(|(_, value)| value.is_some_and(<[u8]>::is_empty));
        unfit.extend(empty.map(|(row, _)| (row, EMPTY)));
    }
    if let Data::Text(texts) = &data {
        let odd = |(row, text): (usize, Option<&str>)| Some((row, changed(text?, to, rules)?));
        unfit.extend(texts.iter().enumerate().filter_map(odd));
    }
    unfit.sort_by_key(|(row, _)| *row);
    Ok((data, unfit))
}

/// The digits after the point of a type that has all its digits.
fn decimal_scale(kind: &DataType) -> Option<i64> {
    match kind {
        DataType::Decimal32(_, s) | DataType::Decimal64(_, s) | DataType::Decimal128(_, s) => Some(i64::from(*s)),
        DataType::Decimal256(_, s) => Some(i64::from(*s)),
        other if other.is_integer() => Some(0),
        _ => None,
    }
}

/// Texts as floats, where the digits come back from them; `NaN` and the infinities by their names.
fn floats(texts: &StringArray, single: bool, rules: &Rules) -> Float64Array {
    let float = |text: &str| {
        let text = text.trim();
        let value: f64 = text.parse().ok()?;
        let kept = match Number::read(text) {
            Some(number) => number.is_float(value, single),
            None if value.is_nan() => rules.nan,
            None => rules.infinity,
        };
        kept.then_some(value)
    };
    texts.iter().map(|text| text.and_then(float)).collect()
}

/// Texts as texts of numbers that a column with this many digits after the point holds: floats are rounded to these, other
/// numbers must fit.
fn decimals(texts: &StringArray, float: bool, scale: Option<i64>, rules: &Rules) -> StringArray {
    let fits = |text: &str| {
        let text = text.trim();
        let Some(number) = Number::read(text) else {
            // NaN and the infinities; of a float it is known that the database has them.
            let named = text.parse::<f64>().is_ok() && (float || rules.typed && rules.nan);
            return named.then(|| text.to_owned());
        };
        match scale {
            Some(scale) if rules.typed && number.places() > scale => float.then(|| number.rounded(scale).text()),
            _ => Some(text.to_owned()),
        }
    };
    texts.iter().map(|text| text.and_then(fits)).collect()
}

const EMPTY: &str = "an empty value, which the database takes for NULL";

/// Why a text would not be the same in the column, where the database does not say so itself.
fn changed(text: &str, to: &Column, rules: &Rules) -> Option<&'static str> {
    if text.is_empty() && !rules.empty {
        return Some(EMPTY);
    }
    if to.limit.is_some_and(|limit| to.kind == ColumnKind::Other && text.len() > limit) {
        return Some("too long");
    }
    if let Some(limit) = to.limit
        && text.len() > limit
        && text.ends_with(' ')
        && text.chars().count() > limit
        && text.trim_end_matches(' ').chars().count() <= limit
    {
        return Some("too long: spaces at its end would be cut");
    }
    if to.by_number && Number::read(text.trim()).is_some() && !to.type_name.contains(&format!("'{text}'")) {
        return Some("a text that is a number, which the column would take for another value");
    }
    if rules.typed || matches!(to.kind, ColumnKind::Text | ColumnKind::Any | ColumnKind::Binary) {
        return None;
    }
    let number = Number::read(text.trim())?;
    let kept = text.trim().parse::<i64>().is_ok()
        || text.trim().parse::<f64>().is_ok_and(|value| number.is_float(value, false));
    match to.kind {
        ColumnKind::Decimal { .. } | ColumnKind::Json if kept => None,
        ColumnKind::Decimal { .. } | ColumnKind::Json => {
            Some("a number of more digits than the column keeps; a TEXT column keeps them")
        }
        _ => Some("a text that SQLite would turn into a number"),
    }
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

/// Each value as JSON text.
fn json(array: &ArrayRef, zone: Tz) -> Option<StringArray> {
    text::json_array(&text::plain_array(array, zone).ok()?).ok()
}
