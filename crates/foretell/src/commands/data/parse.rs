//! Text of a chunk into the columns that the model takes, with the same cells and decoders as a pipeline's: what a value
//! means does not depend on the command.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, AsArray, StringArray};
use foretell_decode::fields::trim_line_end;
use foretell_decode::{DECODERS, Guess, JsonGuess, Members, Missing, Sheet, Type, WhyWrong, WrongRecord};
use foretell_flow::RecordsBuilder;
use serde_json::{Map, Value, json};

use super::input::{Body, Chunk, Format, LONGEST, ReadOptions};
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

/// Reads a chunk. Errors begin with the place, `data.csv:17: `.
pub(crate) fn parse(chunk: &Chunk, layout: &Layout) -> Result<Table> {
    let options = &*chunk.options;
    match (&chunk.body, options.format) {
        (Body::Batch(batch), _) => {
            let mut columns = batch.columns().iter().cloned();
            let features = columns.by_ref().take(layout.features.len()).collect();
            let more = columns.by_ref().take(layout.more.len()).collect();
            Ok(Table { features, more, keep: columns.map(Kept::Array).collect(), rows: batch.num_rows() })
        }
        (Body::Text(text), Format::Jsonl) => parse_jsonl(text, layout, &RowLocator { chunk }),
        (Body::Text(text), _) => parse_csv(text, layout, &RowLocator { chunk }),
    }
}

/// Turns the index of a row into its line.
pub(crate) struct RowLocator<'a> {
    pub(crate) chunk: &'a Chunk,
}

impl RowLocator<'_> {
    /// `data.csv:17`, or `data.parquet: row 17`.
    pub(crate) fn locate(&self, row: usize) -> String {
        let name = &self.chunk.options.name;
        match &self.chunk.body {
            Body::Batch(_) => format!("{name}: row {}", self.chunk.first + row as u64),
            Body::Text(text) => {
                let start = records(text, &self.chunk.options).nth(row).map_or(0, |(start, _)| start);
                let lines = text.iter().take(start).filter(|byte| **byte == b'\n').count();
                format!("{name}:{}", self.chunk.first + lines as u64)
            }
        }
    }
}

/// The records of a text that are not blank, without their line ends: from, to.
fn records<'a>(text: &'a [u8], options: &'a ReadOptions) -> impl Iterator<Item = (usize, usize)> + 'a {
    let quoted = options.format == Format::Csv && text.contains(&b'"');
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= text.len() {
            return None;
        }
        let start = at;
        let end = if quoted {
            options.dialect.record_end(text, start)
        } else {
            text.get(start..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')).map(|at| start + at + 1)
        };
        at = end.unwrap_or(text.len());
        let record = trim_line_end(text.get(start..at).unwrap_or_default());
        Some((start, start + record.len()))
    })
    .filter(|(start, end)| start < end)
}

/// Settles what the columns of text are read as, by the first rows; `members` are those of JSON Lines.
pub(crate) fn settle(layout: &mut Layout, chunk: &Chunk, members: &[(String, JsonGuess)]) {
    let Body::Text(text) = &chunk.body else { return };
    let options = &*chunk.options;
    if options.format == Format::Jsonl {
        for column in layout.features.iter_mut().chain(&mut layout.more) {
            let guess = members.get(column.index).map(|(_, guess)| guess.clone()).unwrap_or_default();
            column.data_type = column.kind.of_json(&guess);
        }
        return;
    }
    let width = layout.width;
    let mut columns: Vec<(&mut Column, Guess)> =
        layout.features.iter_mut().chain(&mut layout.more).map(|column| (column, Guess::default())).collect();
    let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
    for (start, end) in records(text, options).take(SAMPLE) {
        spans.clear();
        unescaped.clear();
        // A record of another shape stops the command when its turn comes.
        if options.dialect.split(text, start, end, width, &mut spans, &mut unescaped) != Ok(width) {
            continue;
        }
        // CSV text may be read as any type.
        for (column, guess) in columns.iter_mut().filter(|(column, _)| column.kind != ColumnKind::Text) {
            let field = spans.get(column.index).map_or(&[][..], |span| span.bytes(text, &unescaped));
            if !column.missing.as_ref().unwrap_or(&options.missing).has(field) {
                guess.text(field);
            }
        }
    }
    for (column, guess) in columns {
        column.data_type = column.kind.of_text(&guess);
    }
}

/// This many rows tell what a column holds.
const SAMPLE: usize = 20_000;

// ---------------------------------------------------------------- CSV

fn parse_csv(text: &[u8], layout: &Layout, locator: &RowLocator<'_>) -> Result<Table> {
    let ReadOptions { dialect, missing, .. } = &*locator.chunk.options;
    let wanted = || layout.features.iter().chain(&layout.more).chain(&layout.keep);
    let read = layout
        .features
        .iter()
        .chain(&layout.more)
        .map(|column| (column.index, column.data_type.clone(), column.missing.as_ref().unwrap_or(missing).clone()));
    // What is kept stays as it is written.
    let kept = layout.keep.iter().map(|column| (column.index, Type::Utf8, Missing::new::<&str>(&[])));
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let mut sheet = Sheet::new(*dialect, layout.width, read.chain(kept), lines + 1);
    if let Err(WrongRecord { row, why }) = sheet.read(text) {
        let (at, expected) = (locator.locate(row), layout.width);
        match why {
            WhyWrong::Shape(malformed) => bail!("{at}: {malformed}"),
            WhyWrong::Fields(found) => bail!("{at}: {expected} fields expected, as in the header; {found} found"),
            WhyWrong::Column(column, why) => {
                bail!("{at}: column {}: {why}", wanted().nth(column).map_or("", |column| &column.name))
            }
        }
    }
    let rows = sheet.rows();
    let mut columns = sheet.finish().into_iter();
    let features = columns.by_ref().take(layout.features.len()).collect();
    let more = columns.by_ref().take(layout.more.len()).collect();
    let keep = columns.map(|column| Kept::Text(column.as_string().clone())).collect();
    Ok(Table { features, more, keep, rows })
}

// ---------------------------------------------------------------- JSON Lines

/// The members of the first rows' objects, and what their values are. What is not an object stops the command when its turn
/// comes.
pub(crate) fn members(chunk: &Chunk) -> Vec<(String, JsonGuess)> {
    let Body::Text(text) = &chunk.body else { return Vec::new() };
    let mut found: Vec<(String, JsonGuess)> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for line in text.split(|byte| *byte == b'\n').take(SAMPLE) {
        let object = serde_json::from_slice::<Map<String, Value>>(line).is_ok();
        let Some(line) = std::str::from_utf8(line).ok().filter(|_| object) else { continue };
        for (name, value) in Members::of(line) {
            let at = *index.entry(name.into_owned()).or_insert_with_key(|name| {
                found.push((name.clone(), JsonGuess::default()));
                found.len() - 1
            });
            if let Some((_, guess)) = found.get_mut(at) {
                guess.value(value);
            }
        }
    }
    found
}

/// Reads the columns as a pipeline's decoder reads them.
fn parse_jsonl(text: &[u8], layout: &Layout, locator: &RowLocator<'_>) -> Result<Table> {
    let columns: Vec<&Column> = layout.features.iter().chain(&layout.more).collect();
    let mut types: Map<String, Value> = Map::new();
    for column in &columns {
        types.insert(column.name.clone(), format!("{}?", column.data_type).into());
    }
    let listed: Vec<Value> = types.iter().map(|(name, data_type)| json!({ name: data_type })).collect();
    let decoder = DECODERS.iter().find(|decoder| decoder.name == "json").context("no decoder of JSON")?;
    let settings = (decoder.parse)(json!({ "columns": listed, "max_bytes": LONGEST }))
        .map_err(|error| anyhow::anyhow!("{}: {}", locator.chunk.options.name, error.message))?;
    let mut builder = RecordsBuilder::new(locator.chunk.options.name.as_str().into());
    let lines: Vec<&[u8]> =
        records(text, &locator.chunk.options).map(|(start, end)| text.get(start..end).unwrap_or_default()).collect();
    for (line, offset) in lines.iter().zip(0..) {
        builder.push(0, offset, None, None, Some(line), Vec::new());
    }
    let decoded = settings.open()?.decode(&builder.finish());
    if let Some(first) = decoded.bad.first() {
        bail!("{}: {}", locator.locate(first.row), first.reason);
    }
    let array = |column: &&Column| {
        let array = decoded.columns.column_by_name(&column.name).cloned();
        array.with_context(|| format!("{}: column {} was not read", locator.chunk.options.name, column.name))
    };
    let mut features: Vec<ArrayRef> = columns.iter().map(array).collect::<Result<_>>()?;
    let mut keep: Vec<Vec<Value>> = vec![Vec::new(); layout.keep.len()];
    for line in lines.iter().filter(|_| !layout.keep.is_empty()) {
        let object: Map<String, Value> = serde_json::from_slice(line)?;
        for (column, kept) in layout.keep.iter().zip(&mut keep) {
            kept.push(object.get(&column.name).cloned().unwrap_or_default());
        }
    }
    let more = features.split_off(layout.features.len());
    Ok(Table { features, more, keep: keep.into_iter().map(Kept::Json).collect(), rows: lines.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Float64Type;
    use foretell_decode::MISSING;
    use foretell_decode::fields::Dialect;

    fn column(name: &str, index: usize, kind: ColumnKind, data_type: Type) -> Column {
        Column { name: name.to_string(), index, kind, data_type, missing: None }
    }

    fn chunk(name: &str, format: Format, text: &str) -> Chunk {
        let dialect = Dialect { delimiter: b',', quote: Some(b'"') };
        let options = ReadOptions { name: name.to_string(), format, dialect, missing: Missing::new(&MISSING) };
        Chunk { number: 0, options: options.into(), first: 2, body: Body::Text(text.as_bytes().to_vec()), bytes: 0 }
    }

    fn csv(text: &str) -> Chunk {
        chunk("d.csv", Format::Csv, text)
    }

    fn layout() -> Layout {
        let features =
            vec![column("AGE", 1, ColumnKind::Number, Type::Float64), column("DEPT", 0, ColumnKind::Text, Type::Utf8)];
        Layout { features, more: vec![], keep: vec![column("PNO", 2, ColumnKind::Text, Type::Utf8)], width: 3 }
    }

    #[test]
    fn csv_numbers_are_float64_and_missing_is_null() {
        let text = "x,64,1\n\"a,\n\"\"b\",NA,2\r\n\nNone, 1e400 ,007\nNaN,6.5,";
        let table = parse(&csv(text), &layout()).unwrap();
        let ages: Vec<_> = table.features[0].as_primitive::<Float64Type>().iter().collect();
        assert_eq!(ages, [Some(64.0), None, Some(f64::INFINITY), Some(6.5)]);
        let depts: Vec<_> = table.features[1].as_string::<i32>().iter().collect();
        assert_eq!(depts, [Some("x"), Some("a,\n\"b"), None, None]);
        let Kept::Text(kept) = &table.keep[0] else { panic!() };
        assert_eq!(kept.iter().flatten().collect::<Vec<_>>(), ["1", "2", "007", ""]);
    }

    #[test]
    fn errors_name_file_line_and_column_and_no_value() {
        let wrong =
            |format, name: &str, text: &str| parse(&chunk(name, format, text), &layout()).err().unwrap().to_string();
        let csv = |text: &str| wrong(Format::Csv, "d.csv", text);
        assert_eq!(csv("x,1,1\n\n\"a\nb\",1,2\ny,seventy,3\n"), "d.csv:6: column AGE: not a float64");
        assert_eq!(csv("x,1,1\nx,1\n"), "d.csv:3: 3 fields expected, as in the header; 2 found");
        assert_eq!(csv("x,1,1\n\"x\"y,1,2\n"), "d.csv:3: field 1: text after the closing quote");
        let jsonl = |text: &str| wrong(Format::Jsonl, "d.jsonl", text);
        assert_eq!(jsonl("{}\n{\"AGE\":[1]}\n"), "d.jsonl:3: field AGE: an array where a float64 is expected");
        assert_eq!(jsonl("{\"AGE\":\"64\"}\n"), "d.jsonl:2: field AGE: a text where a float64 is expected");
        assert_eq!(jsonl("{}\n[1]\n"), "d.jsonl:3: not a JSON object");
        assert_eq!(jsonl("{\"AGE\":1,}"), "d.jsonl:2: byte 9: not JSON: trailing comma");
    }

    #[test]
    fn a_text_of_json_is_a_value_whatever_it_says() {
        let text =
            "{\"AGE\":64,\"DEPT\":\"NA\",\"PNO\":[1]}\n{\"AGE\":null,\"DEPT\":\"\"}\n\n{\"AGE\":6.5,\"PNO\":1}\n";
        let table = parse(&chunk("d.jsonl", Format::Jsonl, text), &layout()).unwrap();
        let ages: Vec<_> = table.features[0].as_primitive::<Float64Type>().iter().collect();
        assert_eq!(ages, [Some(64.0), None, Some(6.5)]);
        assert_eq!(table.features[1].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("NA"), Some(""), None]);
        let Kept::Json(kept) = &table.keep[0] else { panic!() };
        assert_eq!(Value::from(kept.clone()).to_string(), "[[1],null,1]");
    }

    #[test]
    fn columns_are_settled_by_the_first_rows() {
        let mut either = layout();
        either.features.iter_mut().for_each(|column| column.kind = ColumnKind::Either);
        let types = |layout: &Layout| layout.features.iter().map(|column| column.data_type.clone()).collect::<Vec<_>>();
        settle(&mut either, &csv("x,1,1\n2,NA,1\n"), &[]);
        assert_eq!(types(&either), [Type::Float64, Type::Utf8]);
        settle(&mut either, &csv("True,1.5,1\n,x,1\n"), &[]);
        assert_eq!(types(&either), [Type::Utf8, Type::Bool]);
        let mut known = layout();
        settle(&mut known, &csv("5,True,1\n5,false,1\n"), &[]);
        assert_eq!(types(&known), [Type::Bool, Type::Utf8]);
        let first = chunk("d.jsonl", Format::Jsonl, "{\"DEPT\":5,\"AGE\":true}\n");
        let members = members(&first);
        settle(&mut known, &first, &members);
        assert_eq!(types(&known), [Type::Bool, Type::Int64], "JSON says what its values are");
    }
}
