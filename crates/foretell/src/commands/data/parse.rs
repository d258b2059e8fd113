//! Text of a chunk into the columns that the model takes.

use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{ArrayRef, Float64Builder, StringArray, StringBuilder};
use foretell_connect::decode::fields::{Span, trim_line_end};
use serde_json::{Map, Value};

use super::input::{Body, CSV, Chunk, Format};
use super::layout::{Column, ColumnKind, Layout};

/// The rows of a chunk.
pub(crate) struct Table {
    /// In the model's order.
    pub(crate) features: Vec<ArrayRef>,
    /// In the order of [`Layout::more`].
    pub(crate) more: Vec<ArrayRef>,
    /// In the order of `--keep`.
    pub(crate) keep: Vec<Kept>,
    /// How many rows.
    pub(crate) rows: usize,
}

/// A column that goes from the data to the output as it is.
pub(crate) enum Kept {
    /// A CSV's fields.
    Text(StringArray),
    /// JSON values.
    Json(Vec<Value>),
    /// A Parquet file's values.
    Array(ArrayRef),
}

/// Fields that mean a missing value.
const MISSING: [&str; 5] = ["", "NA", "N/A", "NaN", "null"];

/// Reads a chunk. Errors begin with the place, `data.csv:17: `.
pub(crate) fn parse(chunk: &Chunk, format: Format, layout: &Layout, name: &str) -> Result<Table> {
    match (&chunk.body, format) {
        (Body::Batch(batch), _) => {
            let mut columns = batch.columns().iter().cloned();
            let features = columns.by_ref().take(layout.features.len()).collect();
            let more = columns.by_ref().take(layout.more.len()).collect();
            Ok(Table { features, more, keep: columns.map(Kept::Array).collect(), rows: batch.num_rows() })
        }
        (Body::Text(text), Format::Jsonl) => parse_jsonl(text, layout, &Place { name, chunk }),
        (Body::Text(text), _) => parse_csv(text, layout, &Place { name, chunk }),
    }
}

/// Turns the index of a row into its line.
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) chunk: &'a Chunk,
}

impl Place<'_> {
    /// `data.csv:17`, or `data.parquet: row 17`.
    pub(crate) fn of(&self, row: usize, format: Format) -> String {
        match &self.chunk.body {
            Body::Batch(_) => format!("{}: row {}", self.name, self.chunk.first + row as u64),
            Body::Text(text) => {
                let start = records(text, format).nth(row).map_or(0, |(start, _)| start);
                let lines = text.iter().take(start).filter(|byte| **byte == b'\n').count();
                format!("{}:{}", self.name, self.chunk.first + lines as u64)
            }
        }
    }
}

/// The records of a text that are not blank, without their line ends: from, to.
fn records(text: &[u8], format: Format) -> impl Iterator<Item = (usize, usize)> {
    let quoted = format == Format::Csv && text.contains(&b'"');
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= text.len() {
            return None;
        }
        let start = at;
        let end = if quoted {
            CSV.record_end(text, start)
        } else {
            text.get(start..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')).map(|at| start + at + 1)
        };
        at = end.unwrap_or(text.len());
        let record = trim_line_end(text.get(start..at).unwrap_or_default());
        Some((start, start + record.len()))
    })
    .filter(|(start, end)| start < end)
}

/// Settles the columns that may be either, by the first rows.
pub(crate) fn settle(layout: &mut Layout, chunk: &Chunk, format: Format, name: &str) -> Result<()> {
    if layout.features.iter().all(|column| column.kind != ColumnKind::Either) {
        return Ok(());
    }
    let mut as_text = layout.clone();
    as_text.features.retain(|column| column.kind == ColumnKind::Either);
    as_text.more.clear();
    as_text.keep.clear();
    as_text.features.iter_mut().for_each(|column| column.kind = ColumnKind::Text);
    let Body::Text(_) = chunk.body else { return Ok(()) };
    let table = parse(chunk, format, &as_text, name)?;
    let mut arrays = table.features.iter();
    for column in layout.features.iter_mut().filter(|column| column.kind == ColumnKind::Either) {
        let texts = arrays.next().and_then(|array| array.as_any().downcast_ref::<StringArray>());
        let all_numbers = texts.is_none_or(|texts| texts.iter().flatten().all(|text| number(text).is_some()));
        column.kind = if all_numbers { ColumnKind::Number } else { ColumnKind::Text };
    }
    Ok(())
}

/// A number as pandas reads a column of them: `True` and `False` count as 1 and 0.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_ascii();
    match text {
        "True" | "TRUE" | "true" => Some(1.0),
        "False" | "FALSE" | "false" => Some(0.0),
        _ => text.parse().ok(),
    }
}

/// A value as an error shows it: cut where it is long, and in one line.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(40).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{:?}", format!("{cut}{more}"))
}

// ---------------------------------------------------------------- CSV

fn parse_csv(text: &[u8], layout: &Layout, place: &Place<'_>) -> Result<Table> {
    let mut spans: Vec<Span> = Vec::new();
    let mut unescaped = Vec::new();
    let mut rows = 0;
    for (start, end) in records(text, Format::Csv) {
        let found = match CSV.split(text, start, end, layout.width, &mut spans, &mut unescaped) {
            Ok(found) => found,
            Err(malformed) => bail!("{}: {malformed}", place.of(rows, Format::Csv)),
        };
        if found != layout.width {
            let expected = layout.width;
            bail!("{}: {expected} fields expected, as in the header; {found} found", place.of(rows, Format::Csv));
        }
        rows += 1;
    }
    let field = |row: usize, column: &Column| {
        let bytes = spans.get(row * layout.width + column.index).map_or(&[][..], |s| s.bytes(text, &unescaped));
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(_) => bail!("{}: column {}: not UTF-8", place.of(row, Format::Csv), column.name),
        }
    };
    let mut features: Vec<ArrayRef> = Vec::with_capacity(layout.features.len() + layout.more.len());
    for column in layout.features.iter().chain(&layout.more) {
        if column.kind == ColumnKind::Number {
            let mut builder = Float64Builder::with_capacity(rows);
            for row in 0..rows {
                let text = field(row, column)?;
                if MISSING.contains(&text) {
                    builder.append_null();
                    continue;
                }
                let Some(value) = number(text) else {
                    let at = place.of(row, Format::Csv);
                    bail!("{at}: column {}: {} is not a number", column.name, shown(text));
                };
                builder.append_value(value);
            }
            features.push(Arc::new(builder.finish()));
        } else {
            let mut builder = StringBuilder::with_capacity(rows, rows * 8);
            for row in 0..rows {
                let text = field(row, column)?;
                builder.append_option((!MISSING.contains(&text)).then_some(text));
            }
            features.push(Arc::new(builder.finish()));
        }
    }
    let mut keep = Vec::with_capacity(layout.keep.len());
    for column in &layout.keep {
        let mut builder = StringBuilder::with_capacity(rows, rows * 8);
        for row in 0..rows {
            builder.append_value(field(row, column)?);
        }
        keep.push(Kept::Text(builder.finish()));
    }
    let more = features.split_off(layout.features.len());
    Ok(Table { features, more, keep, rows })
}

// ---------------------------------------------------------------- JSON Lines

fn parse_jsonl(text: &[u8], layout: &Layout, place: &Place<'_>) -> Result<Table> {
    let mut objects: Vec<Map<String, Value>> = Vec::new();
    for (start, end) in records(text, Format::Jsonl) {
        let line = text.get(start..end).unwrap_or_default();
        if line.trim_ascii().is_empty() {
            // Blank, but for white space: a row of its own would shift the lines, so it is said.
            bail!("{}: a blank line with white space", place.of(objects.len(), Format::Jsonl));
        }
        match serde_json::from_slice(line) {
            Ok(Value::Object(object)) => objects.push(object),
            Ok(_) => bail!("{}: not a JSON object", place.of(objects.len(), Format::Jsonl)),
            Err(error) => {
                let message = error.to_string();
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
                let at = place.of(objects.len(), Format::Jsonl);
                bail!("{at}: not JSON: {message} (column {})", error.column());
            }
        }
    }
    let rows = objects.len();
    let mut features: Vec<ArrayRef> = Vec::with_capacity(layout.features.len() + layout.more.len());
    for column in layout.features.iter().chain(&layout.more) {
        if column.kind == ColumnKind::Number {
            let mut builder = Float64Builder::with_capacity(rows);
            for (row, object) in objects.iter().enumerate() {
                builder.append_option(json_number(object.get(&column.name)).map_err(|shown| {
                    let at = place.of(row, Format::Jsonl);
                    anyhow::anyhow!("{at}: column {}: {shown} is not a number", column.name)
                })?);
            }
            features.push(Arc::new(builder.finish()));
        } else {
            let mut builder = StringBuilder::with_capacity(rows, rows * 8);
            for (row, object) in objects.iter().enumerate() {
                match object.get(&column.name) {
                    None | Some(Value::Null) => builder.append_null(),
                    Some(Value::String(text)) => {
                        builder.append_option((!MISSING.contains(&text.as_str())).then_some(text));
                    }
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => builder.append_value(value.to_string()),
                    Some(_) => {
                        let at = place.of(row, Format::Jsonl);
                        bail!("{at}: column {}: a list or an object is not text", column.name);
                    }
                }
            }
            features.push(Arc::new(builder.finish()));
        }
    }
    let take = |column: &Column| {
        objects.iter().map(|object| object.get(&column.name).cloned().unwrap_or(Value::Null)).collect()
    };
    let keep = layout.keep.iter().map(|column| Kept::Json(take(column))).collect();
    let more = features.split_off(layout.features.len());
    Ok(Table { features, more, keep, rows })
}

/// A JSON value as a number; where it is none, how an error shows it.
fn json_number(value: Option<&Value>) -> Result<Option<f64>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(value)) => Ok(value.as_f64()),
        Some(Value::Bool(value)) => Ok(Some(f64::from(u8::from(*value)))),
        Some(Value::String(text)) if MISSING.contains(&text.as_str()) => Ok(None),
        Some(Value::String(text)) => number(text).map(Some).ok_or_else(|| shown(text)),
        Some(Value::Array(_)) => Err("a list".to_string()),
        Some(Value::Object(_)) => Err("an object".to_string()),
    }
}

/// The keys of the first row of a JSON Lines file: its columns, where the model knows none.
pub(crate) fn first_keys(chunk: &Chunk, name: &str) -> Result<Vec<String>> {
    let Body::Text(text) = &chunk.body else { return Ok(Vec::new()) };
    let Some((start, end)) = records(text, Format::Jsonl).next() else { return Ok(Vec::new()) };
    match serde_json::from_slice(text.get(start..end).unwrap_or_default()) {
        Ok(Value::Object(object)) => Ok(object.keys().cloned().collect()),
        _ => bail!("{name}:{}: not a JSON object", chunk.first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;

    fn column(name: &str, index: usize, kind: ColumnKind) -> Column {
        Column { name: name.to_string(), index, kind }
    }

    fn chunk(text: &str) -> Chunk {
        Chunk { number: 0, first: 2, body: Body::Text(text.as_bytes().to_vec()), bytes: 0 }
    }

    fn layout() -> Layout {
        let features = vec![column("AGE", 1, ColumnKind::Number), column("DEPT", 0, ColumnKind::Text)];
        Layout { features, more: vec![], keep: vec![column("PNO", 2, ColumnKind::Text)], width: 3 }
    }

    #[test]
    fn csv_numbers_are_float64_and_missing_is_null() {
        let text = "x,64,1\n\"a,\n\"\"b\",NA,2\r\n\nN/A, 1e400 ,007\nNaN,True,";
        let table = parse(&chunk(text), Format::Csv, &layout(), "d.csv").unwrap();
        let ages: Vec<_> = table.features[0].as_primitive::<Float64Type>().iter().collect();
        assert_eq!(ages, [Some(64.0), None, Some(f64::INFINITY), Some(1.0)]);
        let depts: Vec<_> = table.features[1].as_string::<i32>().iter().collect();
        assert_eq!(depts, [Some("x"), Some("a,\n\"b"), None, None]);
        let Kept::Text(kept) = &table.keep[0] else { panic!() };
        assert_eq!(kept.iter().flatten().collect::<Vec<_>>(), ["1", "2", "007", ""]);
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let csv = |text: &str| parse(&chunk(text), Format::Csv, &layout(), "d.csv").err().unwrap().to_string();
        assert_eq!(csv("x,1,1\n\n\"a\nb\",1,2\ny,x,3\n"), "d.csv:6: column AGE: \"x\" is not a number");
        assert_eq!(csv("x,1,1\nx,1\n"), "d.csv:3: 3 fields expected, as in the header; 2 found");
        assert_eq!(csv("x,1,1\n\"x\"y,1,2\n"), "d.csv:3: field 1: text after the closing quote");
        let jsonl = |text: &str| parse(&chunk(text), Format::Jsonl, &layout(), "d.jsonl").err().unwrap().to_string();
        assert_eq!(jsonl("{}\n{\"AGE\":[1]}\n"), "d.jsonl:3: column AGE: a list is not a number");
        assert_eq!(jsonl("{}\n[1]\n"), "d.jsonl:3: not a JSON object");
        assert_eq!(jsonl("{\"AGE\":1,}"), "d.jsonl:2: not JSON: trailing comma (column 10)");
    }

    #[test]
    fn json_values_are_taken_as_they_are() {
        let text =
            "{\"AGE\":64,\"DEPT\":\"x\",\"PNO\":[1]}\n{\"AGE\":\"NA\",\"DEPT\":5}\n\n{\"AGE\":\"6.5\",\"PNO\":1}\n";
        let table = parse(&chunk(text), Format::Jsonl, &layout(), "d.jsonl").unwrap();
        let ages: Vec<_> = table.features[0].as_primitive::<Float64Type>().iter().collect();
        assert_eq!(ages, [Some(64.0), None, Some(6.5)]);
        assert_eq!(table.features[1].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), Some("5"), None]);
        let Kept::Json(kept) = &table.keep[0] else { panic!() };
        assert_eq!(Value::from(kept.clone()).to_string(), "[[1],null,1]");
    }

    #[test]
    fn columns_that_may_be_either_are_settled_by_the_first_rows() {
        let mut either = layout();
        either.features.iter_mut().for_each(|column| column.kind = ColumnKind::Either);
        settle(&mut either, &chunk("x,1,1\n2,NA,1\n"), Format::Csv, "d.csv").unwrap();
        assert_eq!(either.features[0].kind, ColumnKind::Number);
        assert_eq!(either.features[1].kind, ColumnKind::Text);
        assert!(parse(&chunk("x,1,1\n"), Format::Csv, &either, "d.csv").unwrap().features[1].is_valid(0));
    }
}
