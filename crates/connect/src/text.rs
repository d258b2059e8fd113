//! Columns as text formats can hold them.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, LargeListArray, ListArray, MapArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, WriterBuilder};
use arrow::json::writer::{LineDelimited, make_encoder};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

/// Rows in which times are ISO 8601 text and bytes are text, at any depth; dictionaries are gone.
pub fn plain(rows: &RecordBatch, timezone: Tz) -> Result<RecordBatch, ArrowError> {
    rebuild(rows, |column| plain_array(column, timezone))
}

/// Rows in which lists and structs are JSON text.
pub fn flat(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    rebuild(rows, |column| {
        Ok(if column.data_type().is_nested() { Arc::new(json_array(column)?) } else { column.clone() })
    })
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

/// As [`plain`], of one column.
pub fn plain_array(array: &ArrayRef, timezone: Tz) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Dictionary(_, value) => plain_array(&cast(array, value)?, timezone)?,
        DataType::RunEndEncoded(_, values) => plain_array(&cast(array, values.data_type())?, timezone)?,
        DataType::Timestamp(unit, zone) => times(array, *unit, zone.is_some().then_some(timezone))?,
        DataType::Date32 => dates(array)?,
        DataType::Date64 => times(array, TimeUnit::Millisecond, None)?,
        DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => {
            bytes(cast(array, &DataType::Binary)?.as_binary())
        }
        DataType::Binary => bytes(array.as_binary()),
        DataType::Utf8View => cast(array, &DataType::Utf8)?,
        DataType::FixedSizeList(item, _) | DataType::ListView(item) => {
            plain_array(&cast(array, &DataType::List(item.clone()))?, timezone)?
        }
        DataType::LargeListView(item) => plain_array(&cast(array, &DataType::LargeList(item.clone()))?, timezone)?,
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
        DataType::Struct(_) => Arc::new(plain_struct(array.as_struct(), |_| true, timezone)?),
        DataType::Map(entries, ordered) => {
            let map = array.as_map();
            // A key cannot be NULL, and says so.
            let rows = plain_struct(map.entries(), |index| index > 0, timezone)?;
            let entries = Arc::new(Field::new(entries.name(), rows.data_type().clone(), false));
            Arc::new(MapArray::try_new(entries, map.offsets().clone(), rows, map.nulls().cloned(), *ordered)?)
        }
        _ => array.clone(),
    })
}

fn plain_struct(rows: &StructArray, nullable: fn(usize) -> bool, timezone: Tz) -> Result<StructArray, ArrowError> {
    let columns = rows.columns().iter().map(|c| plain_array(c, timezone)).collect::<Result<Vec<_>, _>>()?;
    let named = rows.fields().iter().zip(&columns).enumerate();
    let fields: Fields = named.map(|(i, (f, c))| Field::new(f.name(), c.data_type().clone(), nullable(i))).collect();
    StructArray::try_new(fields, columns, rows.nulls().cloned())
}

/// `2019-09-11T08:00:00.123456+08:00`, with as many digits as are needed; a time without zone has no offset.
fn times(array: &dyn Array, unit: TimeUnit, timezone: Option<Tz>) -> Result<ArrayRef, ArrowError> {
    let (per_second, nanos_each) = match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1_000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1_000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    };
    let text = |value: i64| {
        // Less than a second is less than 10⁹ ns.
        let nanos = value.rem_euclid(per_second).saturating_mul(nanos_each);
        moment(value.div_euclid(per_second), u32::try_from(nanos).unwrap_or_default(), timezone)
    };
    let counts = cast(array, &DataType::Int64)?;
    Ok(Arc::new(counts.as_primitive::<Int64Type>().iter().map(|value| value.map(text)).collect::<StringArray>()))
}

fn dates(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let text = |days: i32| {
        let seconds = i64::from(days) * 86_400;
        match DateTime::from_timestamp(seconds, 0) {
            Some(time) => time.date_naive().to_string(),
            None => moment(seconds, 0, None).split('T').next().unwrap_or_default().to_owned(),
        }
    };
    let days = cast(array, &DataType::Int32)?;
    Ok(Arc::new(days.as_primitive::<Int32Type>().iter().map(|value| value.map(text)).collect::<StringArray>()))
}

/// After this many seconds (400 years) the calendar repeats itself.
const CYCLE: i64 = 146_097 * 86_400;

/// A moment as text, in any year. Years before 0 and after 9999 have a sign, as ISO 8601 requires.
fn moment(seconds: i64, nanos: u32, timezone: Option<Tz>) -> String {
    let text = |time: DateTime<Utc>| match timezone {
        Some(zone) => time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => time.to_rfc3339_opts(SecondsFormat::AutoSi, true).trim_end_matches('Z').to_owned(),
    };
    // The calendar of the library has 262,142 years on either side, and a zone's offset must not leave it.
    if seconds.unsigned_abs() < 8_000_000_000_000
        && let Some(time) = DateTime::from_timestamp(seconds, nanos)
    {
        return text(time);
    }
    let like = text(DateTime::from_timestamp(seconds.rem_euclid(CYCLE), nanos).unwrap_or_default());
    let (year, rest) = like.split_at(like.len().min(4));
    let year = year.parse::<i64>().unwrap_or_default() + seconds.div_euclid(CYCLE) * 400;
    format!("{year:+05}{rest}")
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
pub fn json_lines(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let builder = WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(Floats));
    let mut writer = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// Floats that JSON has no number for are the texts `"NaN"`, `"Infinity"` and `"-Infinity"`, as in Protobuf's JSON: as
/// null they could not be told from NULL.
#[derive(Debug)]
struct Floats;

/// How floats are written where all of them are numbers.
static NUMBERS: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);

impl EncoderFactory for Floats {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        if !array.data_type().is_floating() {
            return Ok(None);
        }
        let wide: Float64Array = cast(array, &DataType::Float64)?.as_primitive().clone();
        if wide.iter().flatten().all(f64::is_finite) {
            return Ok(None);
        }
        let numbers = make_encoder(field, array, &NUMBERS)?;
        Ok(Some(NullableEncoder::new(Box::new(Mixed { wide, numbers }), array.nulls().cloned())))
    }
}

struct Mixed<'a> {
    wide: Float64Array,
    numbers: NullableEncoder<'a>,
}

impl Encoder for Mixed<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.wide.value(row);
        match () {
            () if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
            () if value == f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
            () if value == f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
            () => self.numbers.encode(row, out),
        }
    }
}

/// Each value as JSON.
pub fn json_array(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    const BEFORE: &str = "{\"v\":";
    let field = Field::new("v", array.data_type().clone(), true);
    let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array.clone()])?;
    let lines = String::from_utf8(json_lines(&rows)?).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    let values = lines.lines().enumerate().map(|(row, line)| {
        let inner = line.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix('}'));
        inner.filter(|_| array.is_valid(row))
    });
    Ok(values.collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Date32Builder, Decimal128Array, FixedSizeListBuilder, MapBuilder, StringBuilder,
        TimestampMicrosecondArray, TimestampMicrosecondBuilder, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray, UInt64Array,
    };
    use arrow::datatypes::Float32Type;

    use super::*;

    #[test]
    fn base64_of_every_length() {
        let cases: [(&[u8], &str); 5] =
            [(b"", ""), (b"\xff", "/w=="), (b"\xff\xfe", "//4="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes), text);
        }
    }

    fn texts(array: &ArrayRef, zone: Tz) -> Vec<String> {
        let text = plain_array(array, zone).unwrap();
        text.as_string::<i32>().iter().map(|text| text.unwrap_or("NULL").to_owned()).collect()
    }

    #[test]
    fn summer_time_has_its_own_offset() {
        let times: ArrayRef = Arc::new(
            TimestampNanosecondArray::from(vec![1_561_939_200_000_000_000, 1_577_836_800_000_000_001])
                .with_timezone("UTC"),
        );
        let text = texts(&times, chrono_tz::Europe::Berlin);
        assert_eq!(text, ["2019-07-01T02:00:00+02:00", "2020-01-01T01:00:00.000000001+01:00"]);
    }

    #[test]
    fn times_of_every_unit_and_year_are_written() {
        // 9999-12-31T23:59:59, 0001-01-01, 1600-01-01, 2500-01-01, a second before 1970.
        let seconds = [253_402_300_799, -62_135_596_800, -11_676_096_000, 16_725_225_600, -1];
        let expected = ["9999-12-31T23:59:59", "0001-01-01T00:00:00", "1600-01-01T00:00:00", "2500-01-01T00:00:00"];
        let expected: Vec<&str> = expected.into_iter().chain(["1969-12-31T23:59:59"]).collect();
        let scaled = |by: i64| seconds.map(|s| s * by).to_vec();
        let arrays: [ArrayRef; 3] = [
            Arc::new(TimestampSecondArray::from(scaled(1))),
            Arc::new(TimestampMillisecondArray::from(scaled(1_000))),
            Arc::new(TimestampMicrosecondArray::from(scaled(1_000_000))),
        ];
        for array in &arrays {
            assert_eq!(texts(array, Tz::UTC), expected, "{}", array.data_type());
            let DataType::Timestamp(unit, _) = array.data_type() else { unreachable!() };
            let zoned = cast(array, &DataType::Timestamp(*unit, Some("UTC".into()))).unwrap();
            let with_zone: Vec<String> = expected.iter().map(|text| format!("{text}Z")).collect();
            assert_eq!(texts(&zoned, Tz::UTC), with_zone);
        }
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(i64::MIN), Some(-1), None]));
        assert_eq!(texts(&nanos, Tz::UTC), ["1677-09-21T00:12:43.145224192", "1969-12-31T23:59:59.999999999", "NULL"]);
    }

    #[test]
    fn beyond_the_calendar_there_are_times_too() {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, i64::MIN]).with_timezone("UTC"));
        let ends = ["+294247-01-10T04:00:54.775807Z", "-290308-12-21T19:59:05.224192Z"];
        assert_eq!(texts(&times, Tz::UTC), ends);
        let shifted = texts(&times, chrono_tz::Asia::Shanghai);
        assert_eq!(shifted[0], "+294247-01-10T12:00:54.775807+08:00");
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(2_932_896), Some(i32::MAX), None]));
        assert_eq!(texts(&days, Tz::UTC), ["1970-01-01", "9999-12-31", "+5881580-07-11", "NULL"]);
        let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX, i64::MIN]));
        assert_eq!(texts(&seconds, Tz::UTC)[0], "+292277026596-12-04T15:30:07");
    }

    #[test]
    fn json_keeps_every_digit_and_says_what_is_not_a_number() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(0.1 + 0.2),
            Some(f64::NAN),
            Some(f64::INFINITY),
            Some(f64::NEG_INFINITY),
            None,
        ]));
        let list = ListArray::from_iter_primitive::<Float32Type, _, _>([
            Some(vec![Some(0.1), Some(f32::NAN), None]),
            None,
            None,
            None,
            None,
        ]);
        let digits = Decimal128Array::from(vec![12_345_678_901_234_567_890_123_456_789_012_345_678; 5]);
        let rows = RecordBatch::try_from_iter([
            ("f", floats),
            ("l", Arc::new(list) as ArrayRef),
            ("d", Arc::new(digits.with_precision_and_scale(38, 6).unwrap())),
            ("u", Arc::new(UInt64Array::from(vec![u64::MAX; 5]))),
        ])
        .unwrap();
        let text = String::from_utf8(json_lines(&rows).unwrap()).unwrap();
        let rest = r#""d":12345678901234567890123456789012.345678,"u":18446744073709551615}"#;
        let expected = [
            format!(r#"{{"f":0.30000000000000004,"l":[0.1,"NaN",null],{rest}"#),
            format!(r#"{{"f":"NaN","l":null,{rest}"#),
            format!(r#"{{"f":"Infinity","l":null,{rest}"#),
            format!(r#"{{"f":"-Infinity","l":null,{rest}"#),
            format!(r#"{{"f":null,"l":null,{rest}"#),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn times_within_lists_and_maps_are_texts() {
        let mut map = MapBuilder::new(None, StringBuilder::new(), TimestampMicrosecondBuilder::new());
        map.keys().append_value("k");
        map.values().append_value(16_725_225_600_000_000);
        map.append(true).unwrap();
        let mut list = FixedSizeListBuilder::new(Date32Builder::new(), 1);
        list.values().append_value(2_932_896);
        list.append(true);
        let rows = RecordBatch::try_from_iter([
            ("m", Arc::new(map.finish()) as ArrayRef),
            ("l", Arc::new(list.finish()) as ArrayRef),
        ])
        .unwrap();
        let rows = plain(&rows, Tz::UTC).unwrap();
        let text = String::from_utf8(json_lines(&rows).unwrap()).unwrap();
        assert_eq!(text.trim(), r#"{"m":{"k":"2500-01-01T00:00:00"},"l":["9999-12-31"]}"#);
        let flat = flat(&rows).unwrap();
        assert_eq!(flat.column(1).as_string::<i32>().value(0), r#"["9999-12-31"]"#);
    }
}
