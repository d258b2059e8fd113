//! A table on standard output.

use std::io::{self, Write as _};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use foretell_flow::{Checkpoint, Claim, Reset, Sharing, Sink, SinkTraits, StageError, Write, Written};
use schemars::JsonSchema;
use serde::Deserialize;

use super::text;
use crate::human;
use crate::kind::{Kind, SettingsError, SinkContext, SinkSettings, schema_of, settings_of};

/// The kind `console`.
pub const KIND: Kind<dyn SinkSettings> = Kind { name: "console", inherits: &[], schema: schema_of::<Settings>, parse };

/// Prints each batch as a table. It keeps no positions, so it promises nothing: it is for looking at results.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How many rows of a batch are printed; the rest are only counted.
    #[serde(default = "default_rows")]
    rows: usize,
    /// Columns to print, in this order; all by default.
    columns: Option<Vec<String>>,
}

fn default_rows() -> usize {
    20
}

fn parse(value: serde_json::Value) -> Result<Box<dyn SinkSettings>, SettingsError> {
    // `console:` alone means the defaults.
    let value = if value.is_null() { serde_json::json!({}) } else { value };
    Ok(Box::new(settings_of::<Settings>(value)?))
}

#[async_trait]
impl SinkSettings for Settings {
    fn traits(&self) -> SinkTraits {
        SinkTraits { keeps_positions: false, sharing: Sharing::Shared, atomic: false, slices: false }
    }

    fn describe(&self) -> String {
        "console".into()
    }

    fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>, StageError> {
        let timezone = match &context.timezone {
            None => chrono_tz::UTC,
            Some(name) => name
                .parse()
                .map_err(|_| StageError::settings(format!("timezone: `{name}` is not a time zone's name")))?,
        };
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        Ok(Box::new(Console { name: context.sink.clone(), rows: self.rows, width, timezone, batch: 0 }))
    }
}

struct Console {
    name: String,
    rows: usize,
    /// Of the terminal, where it is one.
    width: Option<usize>,
    timezone: chrono_tz::Tz,
    /// Batches printed so far.
    batch: u64,
}

impl Console {
    /// A heading, the first rows, and how many more there are.
    fn table(&self, rows: &RecordBatch, time: i64) -> Result<String, StageError> {
        let time = DateTime::<Utc>::from_timestamp_micros(time).unwrap_or_default().with_timezone(&self.timezone);
        let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let table = readable(&rows.slice(0, rows.num_rows().min(self.rows)), self.timezone)
            .and_then(|shown| fitting(&shown, self.width))
            .map_err(|error| StageError::settings(format!("the rows cannot be printed: {error}")))?;
        let mut text = format!("Batch {} of {}  {time}\n{table}\n", self.batch, self.name);
        if let Some(more) = rows.num_rows().checked_sub(self.rows).filter(|more| *more > 0) {
            text.push_str(&format!("… {more} more\n"));
        }
        text.push('\n');
        Ok(text)
    }
}

/// A table; where it is wider than the terminal, row after row with a line for each column.
fn fitting(rows: &RecordBatch, width: Option<usize>) -> Result<String, ArrowError> {
    let table = pretty_format_batches(std::slice::from_ref(rows))?.to_string();
    let wide = table.lines().next().map_or(0, |line| line.chars().count());
    if width.is_none_or(|width| wide <= width) {
        return Ok(table);
    }
    let schema = rows.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in 0..rows.num_rows() {
        text.push_str(&format!("row {}\n", row + 1));
        for (name, column) in names.iter().zip(rows.columns()) {
            let value = column.as_string_opt::<i32>().map_or("", |texts| texts.value(row));
            let blank = " ".repeat(longest.saturating_sub(name.chars().count()));
            text.push_str(&format!("  {name}{blank}  {value}\n"));
        }
    }
    Ok(text.trim_end().to_string())
}

/// Rows as text that cannot control a terminal.
fn readable(rows: &RecordBatch, timezone: chrono_tz::Tz) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(|column| texts(column, timezone)).collect::<Result<Vec<_>, _>>()?;
    let schema = rows.schema();
    let named = schema.fields().iter().zip(columns);
    RecordBatch::try_from_iter(named.map(|(field, column)| (human::printable(field.name()), column)))
}

/// A column's values as people read them. Bytes that are all UTF-8 are text, others hexadecimal.
fn texts(column: &ArrayRef, timezone: chrono_tz::Tz) -> Result<ArrayRef, ArrowError> {
    let strict = CastOptions { safe: false, ..Default::default() };
    let column = match column.data_type() {
        DataType::Binary => cast_with_options(column, &DataType::Utf8, &strict).unwrap_or_else(|_| column.clone()),
        DataType::Timestamp(..) | DataType::Date32 => text::plain_array(column, timezone)?,
        _ => column.clone(),
    };
    let options = FormatOptions::default().with_null("NULL");
    let values = ArrayFormatter::try_new(&column, &options)?;
    let text = |row| Some(human::printable(&values.value(row).to_string()).into_owned());
    Ok(Arc::new((0..column.len()).map(text).collect::<StringArray>()))
}

/// Writes all at once: tables of several workers do not mix.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

#[async_trait]
impl Sink for Console {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Ok(Vec::new())
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        let checkpoint = |claim: &Claim| Checkpoint {
            partition: claim.partition.clone(),
            identity: claim.identity.clone(),
            next: claim.start,
            plans: Vec::new(),
        };
        Ok(claims.iter().map(checkpoint).collect())
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        if write.rows.num_rows() == 0 {
            return Ok(Written::default());
        }
        self.batch += 1;
        let text = self.table(&write.rows, write.plan.time)?;
        // A reader that went away (`| head`) ends the pipeline: there is nobody left to print for.
        match tokio::task::spawn_blocking(move || print(&text)).await {
            Ok(Ok(())) => Ok(Written::default()),
            Ok(Err(error)) => Err(StageError::settings(format!("standard output cannot be written: {error}"))),
            Err(_) => Err(StageError::unavailable("printing was interrupted")),
        }
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Int64Array, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn the_first_rows_and_how_many_more() {
        let console =
            Console { name: "db".into(), rows: 2, width: None, timezone: chrono_tz::Asia::Shanghai, batch: 3 };
        let rows = RecordBatch::try_from_iter([
            ("PNO", Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])) as ArrayRef),
            ("PRETIME", Arc::new(Int64Array::from(vec![7, 8, 9])) as ArrayRef),
        ])
        .unwrap();
        let expected = "\
Batch 3 of db  2019-09-11T08:00:00.000+08:00
+------+---------+
| PNO  | PRETIME |
+------+---------+
| a    | 7       |
| NULL | 8       |
+------+---------+
… 1 more

";
        assert_eq!(console.table(&rows, 1_568_160_000_000_000).unwrap(), expected);
        let two = rows.slice(0, 2);
        assert!(!console.table(&two, 0).unwrap().contains("more"));
    }

    #[test]
    fn a_table_that_is_wider_than_the_terminal_is_told_row_by_row() {
        let console = Console { name: "db".into(), rows: 2, width: Some(20), timezone: chrono_tz::UTC, batch: 1 };
        let rows = RecordBatch::try_from_iter([
            ("PNO", Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])) as ArrayRef),
            ("PRETIME", Arc::new(Int64Array::from(vec![7, 8, 9])) as ArrayRef),
        ])
        .unwrap();
        let table = console.table(&rows, 0).unwrap();
        let (_, table) = table.split_once('\n').unwrap();
        assert_eq!(table, "row 1\n  PNO      a\n  PRETIME  7\nrow 2\n  PNO      NULL\n  PRETIME  8\n… 1 more\n\n");
        let wide = Console { width: Some(21), ..console };
        assert!(wide.table(&rows, 0).unwrap().contains("+------+---------+"));
    }

    #[test]
    fn bytes_that_are_text_read_as_text() {
        let bytes = |values: Vec<Option<&[u8]>>| Arc::new(BinaryArray::from(values)) as ArrayRef;
        let rows = RecordBatch::try_from_iter([
            ("text", bytes(vec![Some("4,ä".as_bytes()), None])),
            ("other", bytes(vec![Some(b"a"), Some(b"\xff")])),
        ])
        .unwrap();
        let console = Console { name: "db".into(), rows: 2, width: None, timezone: chrono_tz::UTC, batch: 1 };
        let table = console.table(&rows, 0).unwrap();
        assert!(table.contains("| 4,ä  | 61    |\n| NULL | ff    |"), "{table}");
    }

    #[test]
    fn a_terminal_obeys_nothing_of_the_data() {
        let list = ["\u{1b}]0;owned\u{7}"].into_iter().map(|text| Some(vec![Some(text)]));
        let mut lists = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
        lists.extend(list);
        let bytes: Vec<Option<&[u8]>> = vec![Some(b"\x1b[2J")];
        let rows = RecordBatch::try_from_iter([
            ("na\u{1b}[31mme", Arc::new(StringArray::from(vec!["\u{1b}[31mred\nnext\u{9b}0m"])) as ArrayRef),
            ("bytes", Arc::new(BinaryArray::from(bytes)) as ArrayRef),
            ("list", Arc::new(lists.finish()) as ArrayRef),
        ])
        .unwrap();
        let console = Console { name: "db".into(), rows: 2, width: None, timezone: chrono_tz::UTC, batch: 1 };
        let table = console.table(&rows, 0).unwrap();
        assert!(!table.contains(|c: char| c.is_control() && c != '\n'), "{table:?}");
        for shown in ["\\u{1b}[31mred\\nnext\\u{9b}0m", "na\\u{1b}[31mme", "\\u{1b}[2J", "\\u{1b}]0;owned\\u{7}"] {
            assert!(table.contains(shown), "{table}");
        }
        assert_eq!(table.lines().count(), 7, "one row is one line: {table}");
    }

    #[test]
    fn times_of_every_year_are_shown_in_the_pipelines_zone() {
        let times = TimestampMicrosecondArray::from(vec![253_402_300_799_000_000, i64::MAX]).with_timezone("UTC");
        let rows = RecordBatch::try_from_iter([("t", Arc::new(times) as ArrayRef)]).unwrap();
        let console =
            Console { name: "db".into(), rows: 2, width: None, timezone: chrono_tz::Asia::Shanghai, batch: 1 };
        let table = console.table(&rows, 0).unwrap();
        assert!(table.contains("+10000-01-01T07:59:59+08:00") && table.contains("+294247-01-10"), "{table}");
    }

    #[test]
    fn settings_have_defaults_and_no_unknown_fields() {
        assert!(parse(serde_json::Value::Null).is_ok());
        let error = parse(serde_json::json!({ "row": 3 })).err().unwrap();
        assert!(error.message.contains("row"), "{}", error.message);
    }
}
