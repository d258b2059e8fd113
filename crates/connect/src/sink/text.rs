//! Columns as text formats can hold them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, LargeListArray, ListArray, RecordBatch, StringArray, StringBuilder,
    StructArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;

/// Rows in which times are ISO 8601 text and bytes are text, at any depth; dictionaries are gone.
pub(super) fn plain(rows: &RecordBatch, timezone: Tz) -> Result<RecordBatch, ArrowError> {
    rebuild(rows, |column| plain_array(column, timezone))
}

/// Rows in which lists and structs are JSON text.
pub(super) fn flat(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    rebuild(rows, |column| if column.data_type().is_nested() { json_array(column) } else { Ok(column.clone()) })
}

fn rebuild(
    rows: &RecordBatch,
    change: impl Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(change).collect::<Result<Vec<_>, _>>()?;
    let schema = rows.schema();
    let fields: Fields =
        schema.fields().iter().zip(&columns).map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true)).collect();
    // Without columns the number of rows would be lost.
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn plain_array(array: &ArrayRef, timezone: Tz) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Dictionary(_, value) => plain_array(&cast(array, value)?, timezone)?,
        DataType::Timestamp(_, zone) => timestamps(array, zone.is_some().then_some(timezone))?,
        DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => {
            bytes(cast(array, &DataType::Binary)?.as_binary())
        }
        DataType::Binary => bytes(array.as_binary()),
        DataType::Utf8View => cast(array, &DataType::Utf8)?,
        DataType::List(item) => {
            let list: &ListArray = array.as_list();
            let values = plain_array(list.values(), timezone)?;
            let item = Arc::new(Field::new(item.name(), values.data_type().clone(), true));
            Arc::new(ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::LargeList(item) => {
            let list: &LargeListArray = array.as_list();
            let values = plain_array(list.values(), timezone)?;
            let item = Arc::new(Field::new(item.name(), values.data_type().clone(), true));
            Arc::new(LargeListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().map(|c| plain_array(c, timezone)).collect::<Result<Vec<_>, _>>()?;
            let fields: Fields =
                fields.iter().zip(&columns).map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true)).collect();
            Arc::new(StructArray::try_new(fields, columns, rows.nulls().cloned())?)
        }
        _ => array.clone(),
    })
}

/// `2019-09-11T08:00:00.123456+08:00`, with as many digits as are needed; a time without zone has no offset.
fn timestamps(array: &ArrayRef, timezone: Option<Tz>) -> Result<ArrayRef, ArrowError> {
    // Nanoseconds reach from 1677 to 2262; outside of it arrow's own text, in UTC, is written.
    let nanos = cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, None));
    let Ok(nanos) = nanos.map(|a| a.as_any().downcast_ref::<TimestampNanosecondArray>().cloned()) else {
        return cast(array, &DataType::Utf8);
    };
    let nanos = nanos.ok_or_else(|| ArrowError::CastError("a time".into()))?;
    let mut text = StringBuilder::with_capacity(nanos.len(), nanos.len() * 32);
    for nanos in &nanos {
        let Some(nanos) = nanos else {
            text.append_null();
            continue;
        };
        let time: DateTime<Utc> = Utc.timestamp_nanos(nanos);
        match timezone {
            Some(zone) => text.append_value(time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => text.append_value(time.to_rfc3339_opts(SecondsFormat::AutoSi, true).trim_end_matches('Z')),
        }
    }
    Ok(Arc::new(text.finish()))
}

/// UTF-8 as it is, anything else as base64.
fn bytes(array: &BinaryArray) -> ArrayRef {
    let text = array
        .iter()
        .map(|value| value.map(|bytes| std::str::from_utf8(bytes).map_or_else(|_| base64(bytes), str::to_string)));
    Arc::new(text.collect::<StringArray>())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

/// One JSON object a row, NULLs written.
pub(super) fn json_lines(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// Each value as JSON.
fn json_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    const BEFORE: &str = "{\"v\":";
    let field = Field::new("v", array.data_type().clone(), true);
    let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array.clone()])?;
    let lines = String::from_utf8(json_lines(&rows)?).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    let values = lines.lines().enumerate().map(|(row, line)| {
        let inner = line.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix('}'));
        inner.filter(|_| array.is_valid(row))
    });
    Ok(Arc::new(values.collect::<StringArray>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        let cases: [(&[u8], &str); 5] =
            [(b"", ""), (b"\xff", "/w=="), (b"\xff\xfe", "//4="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes), text);
        }
    }

    #[test]
    fn summer_time_has_its_own_offset() {
        let times: ArrayRef = Arc::new(
            TimestampNanosecondArray::from(vec![1_561_939_200_000_000_000, 1_577_836_800_000_000_001])
                .with_timezone("UTC"),
        );
        let text = timestamps(&times, Some(chrono_tz::Europe::Berlin)).unwrap();
        let text: Vec<_> = text.as_string::<i32>().iter().flatten().collect();
        assert_eq!(text, ["2019-07-01T02:00:00+02:00", "2020-01-01T01:00:00.000000001+01:00"]);
    }
}
