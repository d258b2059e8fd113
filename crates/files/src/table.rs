//! A table in a file: CSV with a header, JSON Lines, Parquet or Avro.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory")]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use foretell_flow::{RecordsBuilder, StageError};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;
use schemars::{Schema as JsonSchema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::encoding::Encoding;
use crate::footer::reading;
use crate::source::{is_json_text, no_records};
use foretell_connect::kind::{Kind, SettingsError, TableSettings, settings_of};
use foretell_connect::table::{Places, Rows};
use foretell_decode::fields::{Dialect, Span, trim_line_end};
use foretell_decode::{
    AvroFile, DECODERS, Element, Elements, Guess, JsonGuess, JsonKind, MISSING, Members, Type, is_record,
};

/// The kind `file`.
pub const KIND: Kind<dyn TableSettings> = Kind { name: "file", inherits: &[], schema, parse };

/// A file, as the pipeline file calls it: relative to its folder.
#[derive(Debug)]
struct Settings {
    name: String,
    format: Format,
    encoding: Option<Encoding>,
}

/// As the pipeline file writes it.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a file's path, or `{ path: …, encoding: … }`")]
enum Written {
    Path(String),
    Details(Details),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    path: String,
    #[serde(default)]
    encoding: Option<String>,
}

fn schema(_: &mut SchemaGenerator) -> JsonSchema {
    json_schema!({
        "description": "A file: CSV with a header (`.csv`), JSON (`.jsonl`, `.json`), Parquet (`.parquet`) or \
            Avro (`.avro`). Relative to \
            the pipeline file. `{ path: depts.csv, encoding: gbk }` where its text is not in UTF-8.",
        "anyOf": [
            { "type": "string" },
            {
                "type": "object",
                "properties": {
                    "path": { "description": "The file.", "type": "string" },
                    "encoding": {
                        "description": "Its encoding, e.g. `utf-16`, `latin1` or `gbk`. Default: UTF-8.",
                        "type": "string"
                    }
                },
                "required": ["path"],
                "additionalProperties": false
            }
        ]
    })
}

fn parse(value: Value) -> Result<Box<dyn TableSettings>, SettingsError> {
    let Details { path: name, encoding } = match settings_of(value)? {
        Written::Path(path) => Details { path, encoding: None },
        Written::Details(details) => details,
    };
    let encoding = match encoding.as_deref().map(Encoding::named) {
        None => None,
        Some(Ok(encoding)) => encoding,
        Some(Err(message)) => return Err(SettingsError { path: vec!["encoding".to_string()], message }),
    };
    match Format::of(Path::new(&name)) {
        Some(Format::Parquet | Format::Avro) if encoding.is_some() => {
            let message = "is for texts: those in a Parquet or Avro file are in UTF-8".to_string();
            Err(SettingsError { path: vec!["encoding".to_string()], message })
        }
        Some(format) => Ok(Box::new(Settings { name, format, encoding })),
        None => {
            let message = "the file's name does not tell what it is; its name must end with `.csv`, `.jsonl`, `.parquet` or `.avro`";
            Err(SettingsError { path: Vec::new(), message: message.to_string() })
        }
    }
}

#[async_trait]
impl TableSettings for Settings {
    fn takes_types(&self) -> Result<(), &'static str> {
        match self.format {
            Format::Parquet => Err("leave it out: a Parquet file tells the types of its columns"),
            Format::Avro => Err("leave it out: an Avro file tells the types of its columns"),
            Format::Csv | Format::Jsonl => Ok(()),
        }
    }

    async fn read(&self, base: &Path, types: &Map<String, Value>) -> Result<Rows, StageError> {
        let path = base.join(&self.name);
        let bytes = tokio::fs::read(&path).await.map_err(|error| {
            StageError::unavailable(format!("{}: {error}", path.display()))
                .remedy("`file` is relative to the pipeline file's folder")
        })?;
        let (name, format, encoding, types) = (path.display().to_string(), self.format, self.encoding, types.clone());
        let reading = tokio::task::spawn_blocking(move || read(&name, format, encoding, bytes, &types));
        reading.await.map_err(|_| StageError::unavailable("reading was interrupted"))?
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// JSON objects: one a line, the elements of one array, or one after the other.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// An Avro object file.
    Avro,
}

impl Format {
    /// What a file's name tells.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Format::Csv),
            "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
            "parquet" | "pq" => Some(Format::Parquet),
            "avro" => Some(Format::Avro),
            _ => None,
        }
    }
}

/// The remedy for text that is not UTF-8.
const ENCODING: &str = "say in which encoding it is: `file: { path: …, encoding: gbk }`, or `utf-16`, `latin1`, …";

const CSV: Dialect = Dialect { delimiter: b',', quote: Some(b'"') };

/// A table is held in memory and joined to each batch: a larger file is too large for that.
const LARGEST: usize = 256 << 20;

/// Reads a table. `name` is how errors call the file; `types` has the types of columns by name, the others are found
/// out from their values.
///
/// # Errors
/// What does not read, with its line and column and never its value.
pub fn read(
    name: &str,
    format: Format,
    encoding: Option<Encoding>,
    bytes: Vec<u8>,
    types: &Map<String, Value>,
) -> Result<Rows, StageError> {
    if bytes.len() > LARGEST {
        let message = format!("{name}: {} MiB: a table has at most {} MiB", bytes.len() >> 20, LARGEST >> 20);
        return Err(StageError::settings(message).remedy("keep it in a database and read a part of it by `sql`"));
    }
    let bytes = match encoding.filter(|_| !matches!(format, Format::Parquet | Format::Avro)) {
        Some(encoding) => encoding.text(&bytes),
        None => bytes,
    };
    let text = Text { name, bytes: &bytes, types };
    match format {
        Format::Csv => text.csv(),
        Format::Jsonl => text.jsonl(),
        Format::Parquet => parquet(name, bytes),
        Format::Avro => avro(name, &bytes),
    }
}

struct Text<'a> {
    name: &'a str,
    bytes: &'a [u8],
    types: &'a Map<String, Value>,
}

/// A record's place: from, to (without its line end), line.
type Place = (usize, usize, usize);

impl Text<'_> {
    fn wrong(&self, line: usize, message: impl std::fmt::Display) -> StageError {
        StageError::settings(format!("{}:{line}: {message}", self.name))
    }

    /// The records that are not blank.
    fn records(&self, quotes: bool) -> Vec<Place> {
        let bom = if self.bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let (mut records, mut at, mut line) = (Vec::new(), bom, 1);
        let next_line = |at: usize| self.bytes.iter().skip(at).position(|byte| *byte == b'\n').map(|n| at + n + 1);
        while at < self.bytes.len() {
            let end = if quotes { CSV.record_end(self.bytes, at) } else { next_line(at) };
            let end = end.unwrap_or(self.bytes.len());
            let record = self.bytes.get(at..end).unwrap_or_default();
            let trimmed = trim_line_end(record);
            if !trimmed.is_empty() {
                records.push((at, at + trimmed.len(), line));
            }
            line += record.iter().filter(|byte| **byte == b'\n').count();
            at = end;
        }
        records
    }

    /// The values of a JSON text that is not one object a line.
    fn elements(&self) -> Result<Vec<Place>, StageError> {
        let (mut elements, mut records, mut at, mut line) = (Elements::default(), Vec::new(), 0, 1);
        while let Element::Value(value) = elements.next(self.bytes, at, true) {
            let before = self.bytes.get(at..value.start).unwrap_or_default();
            line += before.iter().filter(|byte| **byte == b'\n').count();
            records.push((value.start, value.end, line));
            let within = self.bytes.get(value.clone()).unwrap_or_default();
            line += within.iter().filter(|byte| **byte == b'\n').count();
            at = value.end;
        }
        match elements.is_open() {
            true => Err(self.wrong(line, "the JSON list has no end: the file is cut off")),
            false => Ok(records),
        }
    }

    fn csv(&self) -> Result<Rows, StageError> {
        if let Some((what, remedy)) = no_records(self.bytes) {
            let remedy = if what.contains("UTF-16") { ENCODING } else { remedy };
            return Err(self.wrong(1, what).remedy(remedy));
        }
        let records = self.records(true);
        let Some((header, rows)) = records.split_first() else {
            return Err(self.wrong(1, "the file is empty: its first line names the columns"));
        };
        let names = self.fields(header, usize::MAX)?;
        self.check_names(header.2, &names)?;
        if is_record(&names) {
            let message = "the first line looks like a row: a field of it is a number, a date or a time";
            return Err(self.wrong(header.2, message).remedy("put a line with the columns' names above it"));
        }
        let mut guesses = vec![Guess::without_times(); names.len()];
        for place in rows {
            let fields = self.fields(place, names.len())?;
            for (guess, field) in
                guesses.iter_mut().zip(&fields).filter(|(_, field)| !MISSING.contains(&field.as_str()))
            {
                guess.text(field.as_bytes());
            }
        }
        let types: Vec<Type> = guesses.iter().map(Guess::fits).collect();
        self.decode("csv", &names, &types, rows)
    }

    /// The fields of a record.
    fn fields(&self, (start, end, line): &Place, most: usize) -> Result<Vec<String>, StageError> {
        let (mut spans, mut unescaped): (Vec<Span>, Vec<u8>) = (Vec::new(), Vec::new());
        let found = CSV.split(self.bytes, *start, *end, most, &mut spans, &mut unescaped);
        let found = found.map_err(|malformed| self.wrong(*line, malformed))?;
        if found != most && most != usize::MAX {
            return Err(self.wrong(*line, format!("{most} fields expected, as in the header; {found} found")));
        }
        let text = |span: &Span| {
            let bytes = span.bytes(self.bytes, &unescaped).to_vec();
            String::from_utf8(bytes).map_err(|_| self.wrong(*line, "not UTF-8").remedy(ENCODING))
        };
        spans.iter().map(text).collect()
    }

    fn jsonl(&self) -> Result<Rows, StageError> {
        let records = if is_json_text(self.bytes, true) { self.elements()? } else { self.records(false) };
        let (mut names, mut guesses): (Vec<String>, Vec<JsonGuess>) = (Vec::new(), Vec::new());
        for (start, end, line) in &records {
            let text = std::str::from_utf8(self.bytes.get(*start..*end).unwrap_or_default());
            let text = text.map_err(|_| self.wrong(*line, "not UTF-8").remedy(ENCODING))?;
            if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
                return Err(self.wrong(*line, format!("not JSON (column {})", error.column())));
            }
            if !text.trim_ascii_start().starts_with('{') {
                return Err(self.wrong(*line, "not a JSON object"));
            }
            for (name, value) in Members::of(text) {
                let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                    names.push(name.to_string());
                    guesses.push(JsonGuess::default());
                    names.len() - 1
                });
                let Some(guess) = guesses.get_mut(at) else { continue };
                let typed = self.types.contains_key(&*name);
                guess.value(value);
                if guess.kind() == Some(JsonKind::Nested) {
                    return Err(
                        self.wrong(*line, format!("column `{name}`: a list or an object is not a value of a table"))
                    );
                }
                if guess.mixed() && !typed {
                    return Err(self.wrong(*line, format!("column `{name}`: of another type than in the lines before")));
                }
                if guess.fits().is_none() && !typed {
                    let message = format!("column `{name}`: its numbers have more digits than any type holds");
                    return Err(self.wrong(*line, message).remedy("write them as texts"));
                }
            }
        }
        if names.is_empty() {
            return Err(self.wrong(1, "the file has no row: its columns are not known"));
        }
        self.check_names(1, &names)?;
        let types: Vec<Type> = guesses.iter().map(|guess| guess.fits().unwrap_or(Type::Utf8)).collect();
        self.decode("json", &names, &types, &records)
    }

    fn check_names(&self, line: usize, names: &[String]) -> Result<(), StageError> {
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(self.wrong(line, format!("column {} has no name", index + 1)));
            }
            if names.iter().take(index).any(|earlier| earlier == name) {
                return Err(self.wrong(line, format!("column `{name}` is there twice")));
            }
        }
        if let Some(unknown) = self.types.keys().find(|name| !names.contains(name)) {
            let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            return Err(self.wrong(
                line,
                format!("`types` names `{unknown}`, which is not a column: there are {}", all.join(", ")),
            ));
        }
        Ok(())
    }

    /// The rows by the decoder that records of this form have.
    fn decode(&self, kind: &str, names: &[String], types: &[Type], rows: &[Place]) -> Result<Rows, StageError> {
        let column = |(name, found): (&String, &Type)| {
            let given = self.types.get(name).cloned().unwrap_or_else(|| format!("{found}?").into());
            Value::Object(Map::from_iter([(name.clone(), given)]))
        };
        let columns: Value = names.iter().zip(types).map(column).collect();
        let settings = json!({ "columns": columns, "max_bytes": LARGEST });
        let kind = DECODERS.iter().find(|decoder| decoder.name == kind);
        let kind = kind.ok_or_else(|| StageError::settings("no such decoder"))?;
        let settings =
            (kind.parse)(settings).map_err(|e| StageError::settings(format!("{}: {}", self.name, e.message)))?;
        let mut records = RecordsBuilder::new(Arc::from(self.name));
        for (offset, (start, end, _)) in (0..).zip(rows) {
            records.push(0, offset, None, None, self.bytes.get(*start..*end), Vec::new());
        }
        let decoded = settings.open()?.decode(&records.finish());
        let lines: Vec<usize> = rows.iter().map(|(_, _, line)| *line).collect();
        if let Some(first) = decoded.bad.first() {
            return Err(self.wrong(lines.get(first.row).copied().unwrap_or_default(), &first.reason));
        }
        Ok(Rows { batch: decoded.columns, places: Places::Lines(self.name.to_string(), lines) })
    }
}

fn parquet(name: &str, bytes: Vec<u8>) -> Result<Rows, StageError> {
    let wrong = |error: String| StageError::settings(format!("{name}: {error}"));
    let bytes = Bytes::from(bytes);
    let footer = ParquetMetaDataReader::new().parse_and_finish(&bytes).map_err(|e| wrong(e.to_string()))?;
    let footer = reading(Arc::new(footer)).map_err(|e| wrong(e.to_string()))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, footer);
    let schema = builder.schema().clone();
    let batches = builder.build().map_err(|e| wrong(e.to_string()))?.collect::<Result<Vec<_>, _>>();
    let batch =
        concat_batches(&schema, &batches.map_err(|e| wrong(e.to_string()))?).map_err(|e| wrong(e.to_string()))?;
    Ok(Rows { batch: plain(&batch).map_err(|e| wrong(e.to_string()))?, places: Places::Rows(name.to_string()) })
}

fn avro(name: &str, bytes: &[u8]) -> Result<Rows, StageError> {
    let wrong = |error: std::io::Error| StageError::settings(format!("{name}: {error}"));
    let mut file = AvroFile::open(bytes).map_err(wrong)?;
    let mut batches = Vec::new();
    while let Some(batch) = file.next_rows().map_err(wrong)? {
        batches.push(batch);
    }
    let whole = concat_batches(&file.schema(), &batches).and_then(|batch| plain(&batch));
    let batch = whole.map_err(|error| StageError::settings(format!("{name}: {error}")))?;
    Ok(Rows { batch, places: Places::Rows(name.to_string()) })
}

/// Text in the one Arrow type that everything else here uses, and without the metadata of the file.
fn plain(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = match field.data_type() {
            DataType::Dictionary(_, values) if is_text(values) => cast(column, &DataType::Utf8)?,
            other if is_text(other) => cast(column, &DataType::Utf8)?,
            _ => column.clone(),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use foretell_connect::table::check_key;

    use super::*;
    use crate::canonical::{decode, encode};

    fn rows(format: Format, text: &str, types: Value) -> Result<Rows, String> {
        let types = types.as_object().unwrap().clone();
        read("depts.csv", format, None, text.as_bytes().to_vec(), &types).map_err(|error| error.message)
    }

    fn shown(rows: &Rows) -> String {
        let schema = rows.batch.schema();
        let head: Vec<String> = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        let table = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(&rows.batch)).unwrap().to_string();
        let body = table.lines().filter(|line| line.starts_with('|')).skip(1);
        let body =
            body.map(|line| line.split('|').map(str::trim).filter(|c| !c.is_empty()).collect::<Vec<_>>().join(","));
        [vec![head.join(", ")], body.collect()].concat().join("; ")
    }

    #[test]
    fn types_are_found_out_or_given() {
        let text = "\u{feff}id,name,code,open\n3,\"Head, neck\",007,true\n\n4,NA,12,false\n";
        let found = rows(Format::Csv, text, json!({})).unwrap();
        assert_eq!(shown(&found), "id Int64, name Utf8, code Utf8, open Boolean; 3,Head, neck,007,true; 4,12,false");
        let given = rows(Format::Csv, text, json!({ "code": "int64", "id": "utf8" })).unwrap();
        assert_eq!(shown(&given), "id Utf8, name Utf8, code Int64, open Boolean; 3,Head, neck,7,true; 4,12,false");
        let text = "{\"id\":1,\"name\":\"a\"}\n{\"name\":null,\"id\":2,\"w\":1.5}\n";
        assert_eq!(shown(&rows(Format::Jsonl, text, json!({})).unwrap()), "id Int64, name Utf8, w Float64; 1,a; 2,1.5");
        let text = "zip,id,code,day,w\n01220,12345678901234567891,1e5,2024-02-29,+5\n";
        let found = rows(Format::Csv, text, json!({})).unwrap();
        let texts = "zip Utf8, id Utf8, code Utf8, day Utf8, w Utf8; 01220,12345678901234567891,1e5,2024-02-29,+5";
        assert_eq!(shown(&found), texts);
        let text = "{\"id\":12345678901234567891,\"d\":12345678901234567890.5}\n{\"id\":-1,\"d\":1}\n";
        let exact = "id Decimal128(38, 0), d Decimal128(38, 1); 12345678901234567891,12345678901234567890.5; -1,1.0";
        assert_eq!(shown(&rows(Format::Jsonl, text, json!({})).unwrap()), exact);
        let text = "{\"p\":1.50}\n{\"p\":0.1}\n";
        let given = rows(Format::Jsonl, text, json!({ "p": "decimal(6,2)" })).unwrap();
        assert_eq!(shown(&given), "p Decimal128(6, 2); 1.50; 0.10");
        let none = rows(Format::Csv, "id,name\n", json!({})).unwrap();
        assert_eq!(shown(&none), "id Utf8, name Utf8");
    }

    #[test]
    fn json_lists_and_other_encodings() {
        for text in ["[{\"id\": 1},\n {\"id\": 2}]", "{\n \"id\": 1\n}\n{\n \"id\": 2\n}\n"] {
            let found = rows(Format::Jsonl, text, json!({})).unwrap();
            assert_eq!(shown(&found), "id Int64; 1; 2", "{text}");
        }
        let gbk = KIND.parse;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("depts.csv"), b"id,\xc3\xfb\n1,\xca\xfd\n").unwrap();
        let settings = gbk(json!({ "path": "depts.csv", "encoding": "gbk" })).map_err(|error| error.message).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let found = runtime.block_on(settings.read(folder.path(), &Map::new())).unwrap();
        assert_eq!(shown(&found), "id Int64, 名 Utf8; 1,数");
        let settings = gbk(json!("depts.csv")).map_err(|error| error.message).unwrap();
        let error = runtime.block_on(settings.read(folder.path(), &Map::new())).unwrap_err();
        assert!(error.message.contains("depts.csv:1: not UTF-8") && error.remedy.contains("encoding"), "{error}");
        for (given, says) in [
            (json!({ "path": "a.csv", "encoding": "ebcdic" }), "`ebcdic` is not an encoding that can be read"),
            (json!({ "path": "a.parquet", "encoding": "gbk" }), "is for texts"),
            (json!({ "path": "a.csv", "x": 1 }), "expected a file's path"),
        ] {
            let error = gbk(given).err().unwrap();
            assert!(error.message.contains(says), "{}", error.message);
        }
    }

    #[test]
    fn what_does_not_read_names_line_and_column() {
        for (format, text, types, expected) in [
            (Format::Csv, "", json!({}), "depts.csv:1: the file is empty: its first line names the columns"),
            (Format::Csv, "id,id\n", json!({}), "depts.csv:1: column `id` is there twice"),
            (Format::Csv, "id,\n", json!({}), "depts.csv:1: column 2 has no name"),
            (Format::Csv, "i\0d\0,\0n\0\n\0", json!({}), "depts.csv:1: it is UTF-16, not a text in UTF-8"),
            (Format::Csv, "id,n\r1,2\r", json!({}), "depts.csv:1: its lines end with CR alone, as on old Macs"),
            (
                Format::Csv,
                "1,a\n2,b\n",
                json!({}),
                "depts.csv:1: the first line looks like a row: a field of it is a number, a date or a time",
            ),
            (Format::Jsonl, "[\n{\"a\":1},\n{\"a\":x}\n]\n", json!({}), "depts.csv:3: not JSON (column 6)"),
            (
                Format::Jsonl,
                "[\n{\"a\":1},\n{\"a\":2",
                json!({}),
                "depts.csv:3: the JSON list has no end: the file is cut off",
            ),
            (Format::Jsonl, "[\n{\"a\":1},\n", json!({}), "depts.csv:2: the JSON list has no end: the file is cut off"),
            (Format::Jsonl, "[\n1\n]\n", json!({}), "depts.csv:2: not a JSON object"),
            (
                Format::Csv,
                "id,n\n1,\"a\nb\"\n2\n",
                json!({}),
                "depts.csv:4: 2 fields expected, as in the header; 1 found",
            ),
            (Format::Csv, "id,n\n1,\"a\"b\n", json!({}), "depts.csv:2: field 2: text after the closing quote"),
            (Format::Csv, "id,n\n1,a\n\nx,b\n", json!({ "id": "int64" }), "depts.csv:4: field 1 (id): not an int64"),
            (
                Format::Csv,
                "id,n\n1,a\n",
                json!({ "nr": "int64" }),
                "depts.csv:1: `types` names `nr`, which is not a column: there are `id`, `n`",
            ),
            (Format::Jsonl, "{}\n[1]\n", json!({}), "depts.csv:2: not a JSON object"),
            (
                Format::Jsonl,
                "{\"a\":1}\n{\"a\":[1]}\n",
                json!({}),
                "depts.csv:2: column `a`: a list or an object is not a value of a table",
            ),
            (
                Format::Jsonl,
                "{\"a\":1}\n\n{\"a\":\"1\"}\n",
                json!({}),
                "depts.csv:3: column `a`: of another type than in the lines before",
            ),
        ] {
            assert_eq!(rows(format, text, types).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn a_key_tells_rows_apart() {
        let text = "id,name\n1,a\n\n2,a\n,a\n,b\n1,c\n";
        let rows = rows(Format::Csv, text, json!({})).unwrap();
        let check = |key: &[&str]| {
            let key: Vec<String> = key.iter().map(ToString::to_string).collect();
            check_key(&rows, &key).map_err(|error| error.message)
        };
        assert_eq!(check(&["id", "name"]), Ok(()));
        assert_eq!(check(&["id"]), Err("depts.csv:7: its `id` is that of depts.csv:2, too".to_string()));
        assert_eq!(check(&["nr"]), Err("`key`: there is no column `nr`; there are `id`, `name`".to_string()));
    }

    #[test]
    fn the_same_rows_give_the_same_bytes_and_come_back() {
        let text = "id,name,w,open\n1,a,0.5,true\n2,,1.5,false\n";
        let one = rows(Format::Csv, text, json!({})).unwrap().batch;
        let bytes = encode(&one).unwrap();
        assert_eq!(bytes, encode(&rows(Format::Csv, text, json!({})).unwrap().batch).unwrap());
        assert_eq!(decode(bytes.clone()).unwrap(), one);
        let from_parquet = read("t.parquet", Format::Parquet, None, bytes.clone(), &Map::new()).unwrap().batch;
        assert_eq!(encode(&from_parquet).unwrap(), bytes);
        let empty = one.slice(0, 0);
        assert_eq!(decode(encode(&empty).unwrap()).unwrap(), empty);
    }
}
