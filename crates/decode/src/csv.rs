//! CSV: each value is one record, such as `64,17,1`.

use std::collections::BTreeMap;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use foretell_flow::{Decode, Decoded, Records, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::column::{Column, Columns};
use super::field::Field;
use super::fields::{Dialect, Span, trim_line_end};
use super::missing::{MISSING, Missing};
use super::rows::Rows;
use super::scan::Scan;
use super::settings::{max_bytes, set_timezone, unusable};
use foretell_connect::human::HumanSize;
use foretell_connect::key_type::KeyType;
use foretell_connect::kind::{DecodeSettings, Kind, SettingsError, Tombstones, schema_of, settings_of};

/// The kind `csv`.
pub(super) const KIND: Kind<dyn DecodeSettings> =
    Kind { name: "csv", inherits: &[], schema: schema_of::<Settings>, parse };

/// Values are CSV records without a header, e.g. `64,17,1`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The fields, in order: `[AGE: int64, NAME: utf8?, PRICE: "decimal(10,2)"]`. Of files they may be left out: the header
    /// and samples of several files tell them.
    columns: Columns,
    /// What separates fields: one ASCII character. Default: a comma; a tab in `.tsv` files, where `columns` is
    /// left out.
    #[serde(default = "comma")]
    delimiter: String,
    /// What stands around fields that hold delimiters: one ASCII character, or empty for none. Default: `"`.
    #[serde(default = "double_quote")]
    quote: String,
    /// Fields that mean a missing value, in every column. Default: those of `pandas.read_csv`: empty, `NA`, `N/A`, `n/a`,
    /// `NaN`, `nan`, `null`, `NULL`, `None`, `<NA>` and a few more. A word
    /// that is a level of a model's input is a value in the column of that name. `[""]` leaves the empty field alone.
    #[serde(default = "missing")]
    missing: Vec<Option<String>>,
    /// How the records' keys are read: one of these, or `{ registry: int64 }` (any type) by the schemas of the source's `registry`.
    /// Default: `utf8`.
    #[serde(default)]
    key: KeyType,
    /// The zone of times that are written without one, e.g. `Asia/Shanghai`. A time that its clocks show twice is the
    /// first of the two; one that they skip makes a bad record. Default: UTC.
    #[serde(default)]
    timezone: Option<String>,
    /// Longer values are bad records. Default: 1 MiB.
    #[serde(default = "max_bytes")]
    max_bytes: HumanSize,
    /// What a record without a value is: `bad` (default), `skip`, or `delete`: a row whose columns are NULL and whose column
    /// `_deleted` is true, for sinks with the setting `delete`.
    #[serde(default)]
    tombstones: Tombstones,
    /// Headers as columns of text, after the others: column → header, e.g. `{ type: ce_type, source: ce_source }` of CloudEvents.
    /// NULL where a record has no such header.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn comma() -> String {
    ",".to_string()
}

fn double_quote() -> String {
    "\"".to_string()
}

fn missing() -> Vec<Option<String>> {
    MISSING.map(|text| Some(text.to_string())).to_vec()
}

fn parse(value: serde_json::Value) -> Result<Box<dyn DecodeSettings>, SettingsError> {
    Ok(Box::new(check(settings_of(value)?)?))
}

fn check(mut settings: Settings) -> Result<Checked, SettingsError> {
    set_timezone(&mut settings.columns, settings.timezone.as_deref())?;
    let wrong = |field: &str, message: String| SettingsError { path: vec![field.to_string()], message };
    if let Some(at) = settings.columns.iter().position(|column| !column.path.is_empty()) {
        let path = vec!["columns".to_string(), at.to_string()];
        return Err(SettingsError { path, message: "`path` is for JSON; a CSV field has no path".to_string() });
    }
    let delimiter = one_byte(&settings.delimiter)
        .ok_or_else(|| wrong("delimiter", "one ASCII character is needed, e.g. `\";\"` or `\"\\t\"`".to_string()))?;
    let quote = match settings.quote.as_str() {
        "" => None,
        text => Some(one_byte(text).ok_or_else(|| {
            wrong("quote", "one ASCII character is needed, or `\"\"` where quotes mean nothing".to_string())
        })?),
    };
    if quote == Some(delimiter) {
        return Err(wrong("quote", "the quote and the delimiter are the same".to_string()));
    }
    Ok(Checked {
        columns: settings.columns,
        dialect: Dialect { delimiter, quote },
        missing: Missing::listed(&settings.missing),
        key: settings.key,
        max_bytes: settings.max_bytes.0,
        tombstones: settings.tombstones,
        headers: settings.headers,
    })
}

/// What a reader of CSV files needs to know of a decoder's settings.
pub struct Outline {
    /// What separates and quotes fields.
    pub dialect: Dialect,
    /// Fields that mean a missing value.
    pub missing: Missing,
}

/// The outline of settings that may lack `columns`.
///
/// # Errors
/// Settings that do not read.
pub fn outline(settings: &serde_json::Value) -> Result<Outline, SettingsError> {
    let mut settings = settings.clone();
    if settings.get("columns").is_none()
        && let Some(settings) = settings.as_object_mut()
    {
        settings.insert("columns".to_string(), serde_json::json!([{ "a": "utf8" }]));
    }
    let checked = check(settings_of(settings)?)?;
    Ok(Outline { dialect: checked.dialect, missing: checked.missing })
}

/// A single ASCII character that is not a line end.
fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && *byte != b'\n' && *byte != b'\r' => Some(*byte),
        _ => None,
    }
}

/// The settings as they are used.
#[derive(Debug, Clone)]
struct Checked {
    columns: Columns,
    dialect: Dialect,
    missing: Missing,
    key: KeyType,
    max_bytes: usize,
    tombstones: Tombstones,
    headers: BTreeMap<String, String>,
}

impl DecodeSettings for Checked {
    fn open(&self) -> Result<Box<dyn Decode>, StageError> {
        let mut scan = Scan::new(self.dialect, self.missing.clone());
        scan.digits &= !self.columns.iter().filter_map(|column| column.missing.as_ref()).any(Missing::digits);
        Ok(Box::new(Decoder {
            schema: self.columns.schema(),
            scan,
            settings: self.clone(),
            spans: Vec::new(),
            unescaped: Vec::new(),
        }))
    }

    fn key(&self) -> KeyType {
        self.key.clone()
    }

    fn headers(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.headers)
    }

    fn tombstones(&self) -> Tombstones {
        self.tombstones
    }
}

/// Keeps its scratch space between batches, and nothing else.
struct Decoder {
    settings: Checked,
    schema: SchemaRef,
    scan: Scan,
    spans: Vec<Span>,
    unescaped: Vec<u8>,
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let Decoder { settings, schema, scan, spans, unescaped } = self;
        let values = &records.values;
        let data = values.value_data();
        let mut rows = Rows::new("decode csv", &settings.columns, values.len());
        for (row, bounds) in values.value_offsets().windows(2).enumerate() {
            let (start, end) = match bounds {
                [start, end] => (*start as usize, *end as usize),
                _ => continue,
            };
            let value = data.get(start..end).unwrap_or_default();
            if let Some(reason) = unusable(values.is_null(row), value, settings.max_bytes) {
                rows.refuse(row, reason);
                continue;
            }
            let end = start.saturating_add(trim_line_end(value).len());
            unescaped.clear();
            let scanned = rows.try_push(|columns, values| scan.record(data, start, end, unescaped, columns, values));
            if scanned.is_ok() {
                continue;
            }
            // What is wrong with the record's shape counts before what is wrong with its fields.
            spans.clear();
            unescaped.clear();
            let columns = settings.columns.len();
            let reason = match scan.dialect.split(data, start, end, columns, spans, unescaped) {
                Ok(found) if found == columns => {
                    let field = |span: &Span| Field { bytes: span.bytes(data, unescaped), missing: &scan.missing };
                    let label = |at: usize, column: &Column| format!("{} ({})", at.saturating_add(1), column.name);
                    rows.push(row, spans.iter().map(field), label);
                    continue;
                }
                Ok(found) => {
                    let plural = if columns == 1 { "" } else { "s" };
                    format!("{columns} field{plural} expected, {found} found")
                }
                Err(malformed) => malformed.to_string(),
            };
            rows.refuse(row, reason);
        }
        rows.finish(schema)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, records, refusals, settings_error};
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{
        Decimal128Type, Float32Type, Float64Type, Int8Type, Int64Type, TimestampMicrosecondType, UInt8Type,
    };
    use serde_json::json;

    #[test]
    fn orders_become_columns() {
        let settings = json!({ "columns": [{ "AGE": "int64" }, { "NAME": "utf8?" }, { "x": "float64" }] });
        let decoded =
            decode(&KIND, settings, &["64,Ann,1.5\n", " -7 ,NA,1e300\r\n", "9223372036854775807,\"a,\"\"b\",-inf"]);
        assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
        let column = |n: usize| decoded.columns.column(n);
        assert_eq!(column(0).as_primitive::<Int64Type>().values().to_vec(), [64, -7, i64::MAX]);
        let names: Vec<_> = column(1).as_string::<i32>().iter().collect();
        assert_eq!(names, [Some("Ann"), None, Some("a,\"b")]);
        assert_eq!(column(2).as_primitive::<Float64Type>().values().to_vec(), [1.5, 1e300, f64::NEG_INFINITY]);
    }

    #[test]
    fn every_bad_record_is_refused_with_its_reason_and_the_others_stay() {
        let settings = json!({
            "columns": [{ "a": "int64" }, { "AGE": "int8" }, { "u": "uint8?" }, { "t": "utf8" }], "max_bytes": 32
        });
        let bad: &[(&[u8], &str)] = &[
            (b"1,2,3", "4 fields expected, 3 found"),
            (b"1,2,3,x,5,6", "4 fields expected, 6 found"),
            (b"1,6x,3,x", "field 2 (AGE): not an int8"),
            (b"1.0,2,3,x", "field 1 (a): not an int64"),
            (b"1,128,3,x", "field 2 (AGE): out of the range of an int8"),
            (b"1,2,-1,x", "field 3 (u): out of the range of a uint8"),
            (b"99999999999999999999,2,1,x", "field 1 (a): out of the range of an int64"),
            (b"1,,3,x", "field 2 (AGE): missing (`int8?` would take it as NULL)"),
            (b"1,2,3,\xff", "field 4 (t): not UTF-8"),
            (b"1,\xff,3,x", "field 2 (AGE): not an int8"),
            (b"", "empty value"),
            (b"\r\n", "empty value"),
            (b"1,2,3,x\n1,2,3,x", "more than one line in one record"),
            (b"1,2,3,\"x", "field 4: the quote is not closed"),
            (b"1,2,3,xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "35 bytes, which is more than `max_bytes` (32)"),
        ];
        let mut values: Vec<Option<&[u8]>> = vec![Some(b"7,8,,z")];
        values.extend(bad.iter().map(|(value, _)| Some(*value)));
        values.push(None);
        values.push(Some(b"-0,-128,255,y"));
        let decoded = super::super::tests::decode_records(&KIND, settings, &records(&values));
        let mut expected: Vec<(usize, String)> =
            bad.iter().enumerate().map(|(row, (_, reason))| (row + 1, reason.to_string())).collect();
        expected.push((bad.len() + 1, "the record has no value".to_string()));
        assert_eq!(refusals(&decoded), expected);
        assert_eq!(decoded.columns.num_rows(), 2);
        assert_eq!(decoded.columns.column(0).as_primitive::<Int64Type>().values().to_vec(), [7, 0]);
        assert_eq!(decoded.columns.column(1).as_primitive::<Int8Type>().values().to_vec(), [8, -128]);
        let unsigned: Vec<_> = decoded.columns.column(2).as_primitive::<UInt8Type>().iter().collect();
        assert_eq!(unsigned, [None, Some(255)]);
    }

    #[test]
    fn no_number_is_rounded_and_none_overflows() {
        let settings = json!({
            "columns": [{ "d": "decimal(12,2)?" }, { "f": "float32?" }, { "x": "float64?" }, { "t": "timestamp?" }],
            "timezone": "Europe/Berlin"
        });
        let good = [
            "1234567890.50,16777216,9007199254740992,9999-12-31T23:59:59Z",
            "-0.1,0.1,0.1,0001-01-01T00:00:00Z",
            ",,,",
        ];
        let decoded = decode(&KIND, settings.clone(), &good);
        assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
        let column = |n: usize| decoded.columns.column(n);
        let decimals: Vec<_> = column(0).as_primitive::<Decimal128Type>().iter().collect();
        assert_eq!(decimals, [Some(123_456_789_050), Some(-10), None]);
        assert_eq!(column(1).as_primitive::<Float32Type>().value(1), 0.1);
        let times = column(3).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(times.values()[..2].to_vec(), [253_402_300_799_000_000, -62_135_596_800_000_000]);
        let bad = [
            ("1.005,,,", "field 1 (d): more digits behind the point than a decimal(12,2) has"),
            ("12345678901,,,", "field 1 (d): out of the range of a decimal(12,2)"),
            ("\"1,5\",,,", "field 1 (d): not a decimal(12,2)"),
            (",16777217,,", "field 2 (f): a whole number that a float32 does not hold exactly"),
            (",1e300,,", "field 2 (f): out of the range of a float32"),
            (",,9007199254740993,", "field 3 (x): a whole number that a float64 does not hold exactly"),
            (",,12345678901234567891,", "field 3 (x): a whole number that a float64 does not hold exactly"),
            (",,1e999,", "field 3 (x): out of the range of a float64"),
            (",,1_000,", "field 3 (x): not a float64"),
            (",,,2024-03-31T02:30:00", "field 4 (t): a local time that its zone skips, when clocks go forward"),
            (",,,2016-12-31T23:59:60Z", "field 4 (t): out of the range of a timestamp"),
        ];
        let decoded = decode(&KIND, settings, &bad.map(|(record, _)| record));
        let expected: Vec<_> = bad.iter().enumerate().map(|(row, (_, reason))| (row, reason.to_string())).collect();
        assert_eq!(refusals(&decoded), expected);
    }

    #[test]
    fn other_dialects() {
        let settings = json!({
            "columns": [{ "a": "int64?" }, { "b": "utf8" }],
            "delimiter": "\t", "quote": "", "missing": ["-999", null]
        });
        let decoded = decode(&KIND, settings, &["-999\t\"b", "1\t", "null\tx"]);
        let numbers: Vec<_> = decoded.columns.column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(numbers, [None, Some(1), None]);
        let texts: Vec<_> = decoded.columns.column(1).as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("\"b"), Some(""), Some("x")]);
    }

    #[test]
    fn missing_values_are_those_of_pandas_unless_a_column_says_otherwise() {
        let columns = json!([{ "cc": { "type": "utf8?", "missing": ["", "XX"] } }, { "n": "utf8?" }, { "x": "int8?" }]);
        let decoded = decode(&KIND, json!({ "columns": columns }), &["NA,NA,None", "XX,XX,<NA>", "\"\",none,5"]);
        let texts = |at: usize| decoded.columns.column(at).as_string::<i32>().iter().collect::<Vec<_>>();
        assert_eq!(texts(0), [Some("NA"), None, None]);
        assert_eq!(texts(1), [None, Some("XX"), Some("none")], "to the letter");
        let numbers: Vec<_> = decoded.columns.column(2).as_primitive::<Int8Type>().iter().collect();
        assert_eq!(numbers, [None, None, Some(5)]);
        let digits = json!([{ "a": { "type": "int64?", "missing": ["999"] } }, { "b": "int64" }]);
        let decoded = decode(&KIND, json!({ "columns": digits }), &["999,999", "1,2"]);
        let numbers: Vec<_> = decoded.columns.column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(numbers, [None, Some(1)], "a number in plain digits, too");
        let error = settings_error(&super::super::json::KIND, json!({ "columns": columns }));
        assert_eq!(error, "columns.0: `missing` is for CSV");
    }

    #[test]
    fn settings_that_contradict_are_refused() {
        let columns = json!([{ "a": "int64" }]);
        let cases = [
            (json!({ "columns": columns, "delimiter": ";;" }), "delimiter: one ASCII character is needed"),
            (json!({ "columns": columns, "quote": "," }), "quote: the quote and the delimiter are the same"),
            (json!({ "columns": columns, "timezone": "Mars" }), "timezone: not a known time zone"),
            (json!({ "columns": [{ "a": { "type": "int8", "path": "b" } }] }), "columns.0: `path` is for JSON"),
            (json!({ "columns": { "a": "int64" } }), "columns: a list is needed"),
            (json!({}), ": missing field `columns`"),
            (json!({ "columns": columns, "key": "text" }), "key: unknown variant `text`"),
        ];
        for (settings, expected) in cases {
            let error = settings_error(&KIND, settings);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
