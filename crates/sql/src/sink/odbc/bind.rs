//! Values as parameters of ODBC.

use arrow::array::Array;
use chrono::{Datelike, NaiveDate, Timelike};
use foretell_odbc::{Date, Parameter, Time};

use super::super::database::Value;
use super::super::number::Number;
use super::super::schema::{Column, ColumnKind};
use super::super::times::naive;
use super::super::values::Data;

/// A column's values in these rows.
pub(super) fn parameter(data: &Data, to: &Column, rows: &[u32], times_as_text: bool) -> Parameter {
    let rows = || rows.iter().map(|row| *row as usize);
    let there = |row: usize| !data.is_null(row);
    match data {
        Data::Int(a) => Parameter::ints(rows().map(|row| there(row).then(|| a.value(row)))),
        Data::Bool(a) => Parameter::bits(rows().map(|row| there(row).then(|| a.value(row)))),
        Data::Float64(a) => Parameter::doubles(rows().map(|row| there(row).then(|| a.value(row)))),
        Data::Float32(a) => Parameter::doubles(rows().map(|row| there(row).then(|| f64::from(a.value(row))))),
        Data::UInt(a) if rows().all(|row| !there(row) || i64::try_from(a.value(row)).is_ok()) => {
            Parameter::ints(rows().map(|row| if there(row) { i64::try_from(a.value(row)).ok() } else { None }))
        }
        // Above what ODBC's whole numbers hold, digits are numbers to every database.
        Data::UInt(a) => {
            let texts: Vec<Option<String>> = rows().map(|row| there(row).then(|| a.value(row).to_string())).collect();
            Parameter::texts(texts.iter().map(Option::as_deref))
        }
        // Not every database reads an exponent.
        Data::Text(a) if matches!(to.kind, ColumnKind::Decimal { .. }) => {
            let plain = |text: &str| Number::read(text.trim()).and_then(|number| number.plain());
            let texts =
                rows().map(|row| there(row).then(|| plain(a.value(row)).unwrap_or_else(|| a.value(row).into())));
            let texts: Vec<Option<String>> = texts.collect();
            Parameter::texts(texts.iter().map(Option::as_deref))
        }
        Data::Text(a) => Parameter::texts(rows().map(|row| there(row).then(|| a.value(row)))),
        Data::Binary(a) => Parameter::bytes(rows().map(|row| there(row).then(|| a.value(row)))),
        Data::Date(a) => Parameter::dates(rows().map(|row| {
            let date = if there(row) { a.value_as_date(row) } else { None };
            date.map(day)
        })),
        Data::Time(a) if times_as_text => {
            let text = |time: chrono::NaiveDateTime| time.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
            let texts = rows().map(|row| if there(row) { naive(a.value(row)).map(text) } else { None });
            let texts: Vec<Option<String>> = texts.collect();
            Parameter::texts(texts.iter().map(Option::as_deref))
        }
        Data::Time(a) => {
            let digits = if let ColumnKind::Time { digits, .. } = to.kind { digits } else { 6 };
            let time = |row| if there(row) { naive(a.value(row)) } else { None };
            let time = |row| {
                time(row).map(|time| Time {
                    date: day(time.date()),
                    hour: time.hour() as u16,
                    minute: time.minute() as u16,
                    second: time.second() as u16,
                    nanos: time.nanosecond(),
                })
            };
            Parameter::times(rows().map(time), digits)
        }
    }
}

fn day(date: NaiveDate) -> Date {
    Date { year: date.year() as i16, month: date.month() as u16, day: date.day() as u16 }
}

/// Whether a day has no form: the interface's years have 16 bits.
pub(super) fn has_no_form(data: &Data, row: usize) -> bool {
    let year = match data {
        Data::Date(a) if a.is_valid(row) => a.value_as_date(row).map(|date| date.year()),
        Data::Time(a) if a.is_valid(row) => naive(a.value(row)).map(|time| time.year()),
        _ => Some(1),
    };
    year.is_none_or(|year| i16::try_from(year).is_err())
}

/// One row of values of foretell's own tables.
pub(super) fn row(values: &[Value]) -> Vec<Parameter> {
    let one = |value: &Value| match value {
        Value::Null => Parameter::texts([None].into_iter()),
        Value::Int(number) => Parameter::ints([Some(*number)].into_iter()),
        Value::Text(text) => Parameter::texts([Some(text.as_str())].into_iter()),
    };
    values.iter().map(one).collect()
}

/// Rows, cut where those of one call would take more room than this: all take as much as the longest.
pub(super) fn groups<'r>(columns: &[Data], rows: &'r [u32], room: usize) -> Vec<&'r [u32]> {
    let (mut out, mut rest, mut widest, mut count) = (Vec::new(), rows, 1_usize, 0_usize);
    for &row in rows {
        let width = columns.iter().map(|column| column.size(row as usize)).max().unwrap_or(1).max(widest);
        if count > 0 && width.saturating_mul(count.saturating_add(1)).saturating_mul(columns.len()) > room {
            let (part, after) = rest.split_at(count);
            out.push(part);
            (rest, count, widest) =
                (after, 1, columns.iter().map(|column| column.size(row as usize)).max().unwrap_or(1));
            continue;
        }
        (widest, count) = (width, count.saturating_add(1));
    }
    if !rest.is_empty() {
        out.push(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn a_long_row_does_not_widen_all_others() {
        let long = "x".repeat(1_000);
        let texts: StringArray = (0..10).map(|i| Some(if i == 4 { long.as_str() } else { "a" })).collect();
        let rows: Vec<u32> = (0..10).collect();
        let sizes: Vec<usize> = groups(&[Data::Text(texts)], &rows, 1_100).iter().map(|part| part.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 10);
        assert_eq!(sizes, [4, 1, 5]);
    }
}
