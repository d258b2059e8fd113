//! What a file begins with: its header, whether a JSON text has one object a line. Where it would make every record of the
//! file a bad one, or a wrong one, it stops the pipeline.

use foretell_flow::StageError;
use serde::de::IgnoredAny;

use super::lines::{Lines, records};
use super::magic::{HEAD, MARK, Wrong, line_ends, no_text};
use super::settings::{Format, dialect};
use foretell_connect::kind::DecodeSpec;
use foretell_decode::fields::Dialect;

/// Why a file that begins like this is not a text in UTF-8, and what would help where its name says what it is and how it is
/// packed.
pub fn no_records(begin: &[u8]) -> Option<Wrong> {
    let text = no_text(begin.get(..HEAD).unwrap_or(begin)).and_then(|()| line_ends(begin));
    let (what, remedy) = text.err()?;
    let remedy = match remedy {
        remedy if remedy.starts_with("say `compression: gzip") => "end its name with `.gz`",
        remedy if remedy.starts_with("say `compression") => "end its name with `.zst`",
        remedy if remedy.starts_with("say `format: parquet") => "end its name with `.parquet`",
        remedy if remedy.starts_with("say `format: avro") => "end its name with `.avro`",
        remedy if remedy.starts_with("say `encoding") => "say `--encoding utf-16`",
        remedy => remedy,
    };
    Some((what, remedy))
}

/// Checks what a file begins with: its header, or the shape of its first records. `ended` where these are all.
pub(super) fn begins_well(
    url: &str,
    format: Format,
    decode: &DecodeSpec,
    header: Option<Option<&[u8]>>,
    lines: Option<&Lines>,
    ended: bool,
) -> Result<(), StageError> {
    if let Some(header) = header {
        check_header(url, format, decode, header)?;
    }
    if !matches!(format, Format::Json | Format::Jsonl) || decode.kind != "json" {
        return Ok(());
    }
    match lines.and_then(|lines| no_lines(records(lines), ended)) {
        None => Ok(()),
        Some((what, remedy)) => Err(StageError::state(format!("{url}: {what}")).remedy(remedy)),
    }
}

/// With other names, or the same names in another order, one column would be fed as another.
fn check_header(url: &str, format: Format, decode: &DecodeSpec, header: Option<&[u8]>) -> Result<(), StageError> {
    if format != Format::Csv || decode.kind != "csv" {
        return Ok(());
    }
    let wanted = columns(&decode.settings);
    let found = header.and_then(|header| fields(header, dialect(decode)));
    let same = found.as_ref().is_some_and(|found| {
        found.len() == wanted.len() && found.iter().zip(&wanted).all(|(found, wanted)| found.trim() == wanted)
    });
    if same {
        return Ok(());
    }
    let fields = found.map_or(0, |found| found.len());
    Err(StageError::state(format!(
        "{url}: the first line is not `{}`: its {fields} fields have other names, or another order",
        wanted.join(", ")
    ))
    .remedy("`header: false` where files begin with a record; else give `decode`'s columns in the files' order"))
}

/// Whether a text that begins like this is JSON, but not one object a line. `ended` where that is all.
pub fn is_json_text(begin: &[u8], ended: bool) -> bool {
    let begin = begin.strip_prefix(MARK).unwrap_or(begin);
    no_lines(begin.split(|byte| *byte == b'\n'), ended).is_some()
}

/// Why a JSON text is not JSON Lines: its first lines tell.
fn no_lines<'a>(lines: impl Iterator<Item = &'a [u8]>, ended: bool) -> Option<Wrong> {
    let mut records = lines.map(<[u8]>::trim_ascii).filter(|record| !record.is_empty());
    let (first, second) = (records.next()?, records.next());
    let read = serde_json::from_slice::<IgnoredAny>(first);
    let unfinished = read.as_ref().is_err_and(serde_json::Error::is_eof);
    let alone = second.is_none() && ended;
    match first.first()? {
        b'[' if unfinished || (read.is_ok() && alone) => Some((
            "it is one JSON list, not an object a line".to_string(),
            "say `format: json`; or `jq -c '.[]' FILE` makes JSON Lines of it",
        )),
        b'{' if unfinished && second.is_some_and(|second| !second.starts_with(b"{")) => {
            let what = "its objects stand on several lines each, not one a line".to_string();
            Some((what, "say `format: json`; or `jq -c . FILE` makes JSON Lines of it"))
        }
        _ => None,
    }
}

/// A record's fields as text.
pub(super) fn fields(record: &[u8], dialect: Dialect) -> Option<Vec<String>> {
    let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
    dialect.split(record, 0, record.len(), usize::MAX, &mut spans, &mut unescaped).ok()?;
    spans.iter().map(|span| String::from_utf8(span.bytes(record, &unescaped).to_vec()).ok()).collect()
}

/// The names of a decoder's columns.
pub(super) fn columns(settings: &serde_json::Value) -> Vec<String> {
    let columns = settings.get("columns").and_then(serde_json::Value::as_array);
    columns.into_iter().flatten().filter_map(|column| column.as_object()?.keys().next().cloned()).collect()
}

/// The names of the columns of a Parquet file that a decoder reads, whole or a part of them.
pub(super) fn parquet_columns(settings: &serde_json::Value) -> Vec<String> {
    let columns = settings.get("columns").and_then(serde_json::Value::as_array);
    let root = |column: &serde_json::Value| {
        let (name, details) = column.as_object()?.iter().next()?;
        let path = match details.get("path") {
            Some(serde_json::Value::String(path)) => path.split('.').next(),
            Some(serde_json::Value::Array(keys)) => keys.first().and_then(serde_json::Value::as_str),
            _ => None,
        };
        Some(path.unwrap_or(name).to_string())
    };
    columns.into_iter().flatten().filter_map(root).collect()
}
