//! Days and times on their way into a database's columns: between UTC and a zone, and as texts.

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// Days, where they are a calendar's and nothing of a day was cut.
pub(super) fn dates(given: &ArrayRef, days: &ArrayRef) -> Date32Array {
    let days: &Date32Array = days.as_primitive();
    let whole = |row: usize| match given.data_type() {
        DataType::Date64 => {
            let millis = given.as_primitive::<arrow::datatypes::Date64Type>();
            millis.value(row).rem_euclid(86_400_000) == 0
        }
        _ => true,
    };
    let day =
        |row: usize| (days.is_valid(row) && days.value_as_date(row).is_some() && whole(row)).then(|| days.value(row));
    (0..days.len()).map(day).collect::<arrow::array::PrimitiveArray<Date32Type>>()
}

/// Times and dates as microseconds; what is finer is cut. `None` of another type.
pub(super) fn micros(array: &ArrayRef) -> Option<TimestampMicrosecondArray> {
    const DAY: i64 = 86_400_000_000;
    let (up, down) = match array.data_type() {
        DataType::Date32 => (DAY, 1),
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => (1_000, 1),
        DataType::Timestamp(TimeUnit::Second, _) => (1_000_000, 1),
        DataType::Timestamp(TimeUnit::Microsecond, _) => (1, 1),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => (1, 1_000),
        _ => return None,
    };
    let counts = match array.data_type() {
        DataType::Date32 => safe(&safe(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => safe(array, &DataType::Int64)?,
    };
    let micros = |value: i64| value.checked_mul(up).map(|value| value.div_euclid(down));
    Some(counts.as_primitive::<Int64Type>().iter().map(|value| value.and_then(micros)).collect())
}

/// Times as local texts, with all their digits.
pub(super) fn time_texts(array: &ArrayRef, zone: Tz) -> Option<StringArray> {
    let (unit, zone) = match array.data_type() {
        DataType::Timestamp(unit, _) => (*unit, zone),
        DataType::Date64 => (TimeUnit::Millisecond, Tz::UTC),
        _ => return None,
    };
    let (per_second, nanos_each): (i64, i64) = match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1_000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1_000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    };
    let text = |value: i64| {
        let nanos = value.rem_euclid(per_second).saturating_mul(nanos_each);
        let time = DateTime::from_timestamp(value.div_euclid(per_second), u32::try_from(nanos).ok()?)?.naive_utc();
        Some(time_text(local(time, zone)?))
    };
    let counts = safe(array, &DataType::Int64)?;
    Some(counts.as_primitive::<Int64Type>().iter().map(|value| value.and_then(text)).collect())
}

/// What a zone's clocks show; `None` outside the calendar.
pub(super) fn local(time: NaiveDateTime, zone: Tz) -> Option<NaiveDateTime> {
    let offset = chrono::Offset::fix(&zone.offset_from_utc_datetime(&time));
    time.checked_add_offset(offset)
}

/// A time as text in ISO 8601 and its usual kin.
pub(super) enum Written {
    Zoned(DateTime<Utc>),
    Local(NaiveDateTime),
}

pub(super) fn written(text: &str) -> Option<Written> {
    let text = text.trim();
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let clock = rest.strip_prefix(['T', 't', ' '])?.replace(' ', "");
    let text = format!("{date}T{clock}");
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = DateTime::parse_from_str(&text, &format!("{format}%#z")) {
            return Some(Written::Zoned(time.to_utc()));
        }
        if let Ok(time) = NaiveDateTime::parse_from_str(&text, format) {
            return Some(Written::Local(time));
        }
    }
    None
}

/// A text as the time that it says: a zone counts, and what is finer than the column is cut, as of all times. What is
/// written in another way is left to the database, unless the database would ignore a zone's name in it: then it is not a
/// time.
pub(super) fn as_time(text: &str, digits: u8, instant: bool, zone: Tz) -> Option<String> {
    let time = match written(text) {
        Some(Written::Zoned(time)) if instant => time.naive_utc(),
        Some(Written::Zoned(time)) => local(time.naive_utc(), zone)?,
        Some(Written::Local(time)) => time,
        None => {
            let end: String = text.trim().chars().rev().take_while(char::is_ascii_alphabetic).collect();
            let known = ["", "ma", "mp", "cb", "da"].contains(&end.to_lowercase().as_str());
            return (known || instant || !text.contains(':')).then(|| text.to_owned());
        }
    };
    Some(cut(&time_text(time), digits))
}

/// A time's text with no more than this many digits after the second.
pub(super) fn cut(text: &str, digits: u8) -> String {
    match text.split_once('.') {
        Some((before, _)) if digits == 0 => before.to_owned(),
        Some((before, after)) => format!("{before}.{}", after.get(..digits.into()).unwrap_or(after)),
        None => text.to_owned(),
    }
}

/// Between UTC and local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moves {
    Stays,
    ToLocal,
    FromLocal,
}

/// Moves times and cuts them to this many digits after the second. Times of a batch are often all the same: the last
/// answer is kept.
pub(super) fn shifted(
    micros: &TimestampMicrosecondArray,
    moves: Moves,
    zone: Tz,
    digits: u8,
) -> TimestampMicrosecondArray {
    let step = 10_i64.pow(6_u32.saturating_sub(digits.into()));
    let moves = if zone == Tz::UTC { Moves::Stays } else { moves };
    let mut last: Option<(i64, Option<i64>)> = None;
    let mut shift = |value: i64| {
        if let Some((from, to)) = last
            && from == value
        {
            return to;
        }
        let moved = naive(value).and_then(|time| match moves {
            Moves::Stays => Some(value),
            Moves::ToLocal => local(time, zone).map(|t| t.and_utc().timestamp_micros()),
            Moves::FromLocal => zone.from_local_datetime(&time).earliest().map(|t| t.to_utc().timestamp_micros()),
        });
        let moved = moved.and_then(|v| v.checked_sub(v.rem_euclid(step)));
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

pub(super) fn safe(array: &dyn Array, to: &DataType) -> Option<ArrayRef> {
    cast_with_options(array, to, &CastOptions { safe: true, ..Default::default() }).ok()
}
