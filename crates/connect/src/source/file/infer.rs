//! The columns of files from the files: a header, a sample of the first file, or what a Parquet file says of itself.

use std::path::Path;
use std::sync::Arc;

use foretell_flow::StageError;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::find::find;
use super::parquet::footer;
use super::settings::{Format, How, Settings, dialect};
use super::text::{Lines, Shape, Text};
use super::unpack::Input;
use crate::decode::fields::{Dialect, trim_line_end};
use crate::decode::{Guess, Type, is_record, outline, type_of};
use crate::kind::{DecodeText, Inferred};
use crate::storage::Reader;

/// How much of a text is looked at.
const SAMPLE: u64 = 1 << 20;
/// The same of a compressed one, whose records come unpacked.
const RECORDS: usize = 20_000;

/// A name and a type each.
type Found = Vec<(String, Type)>;

/// Completes what is given with the columns of the first file.
pub(super) async fn infer(
    settings: &Arc<Settings>,
    base: &Path,
    given: Option<&DecodeText>,
) -> Result<Inferred, StageError> {
    let nothing = || {
        StageError::settings(format!(
            "no file matches {}, so its columns cannot be found out",
            settings.paths().join(", ")
        ))
        .remedy("write `decode` with its `columns`, or wait for the first file")
    };
    let mut first = None;
    for (storage, path) in settings.places(base)? {
        if let Some((path, stat)) = find(&*storage, &path).await?.into_iter().next() {
            first = Some((storage, path, stat));
            break;
        }
    }
    let (storage, path, stat) = first.ok_or_else(nothing)?;
    let url = storage.url(&path);
    let how = settings.how(&url, given.map(|given| given.kind.as_str())).map_err(StageError::settings)?;
    let given = given.cloned().unwrap_or_else(|| DecodeText { kind: how.format.decoder().into(), settings: json!({}) });
    let reader = storage.reader(&path, &stat).await?;
    let file = File {
        handle: Handle::current(),
        reader,
        url: url.clone(),
        size: stat.length,
        how,
        sure: settings.says_header(),
        given: given.clone(),
    };
    let interrupted = |_| StageError::unavailable(format!("{url}: the sample was not read"));
    let (columns, from) = tokio::task::spawn_blocking(move || file.columns()).await.map_err(interrupted)??;
    let from = format!("{from} of {url}");
    let mut settings = match given.settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    // Plain lines have one column, which their decoder knows.
    if how.format != Format::Lines || given.kind != "line" {
        let column = |(name, found): (String, Type)| json!({ name: format!("{}?", found.name()) });
        settings.insert("columns".to_string(), columns.into_iter().map(column).collect());
    }
    Ok(Inferred { decode: DecodeText { kind: given.kind, settings: Value::Object(settings) }, from })
}

struct File {
    handle: Handle,
    reader: Box<dyn Reader>,
    url: String,
    size: u64,
    how: How,
    /// Whether somebody said that there is a header.
    sure: bool,
    given: DecodeText,
}

impl File {
    /// The columns, and what told them. On a thread that may wait.
    fn columns(self) -> Result<(Found, &'static str), StageError> {
        let (url, kind) = (self.url.clone(), self.given.kind.clone());
        let wrong =
            |what: String| StageError::settings(format!("{url}: {what}")).remedy("write `decode` with its `columns`");
        let found = match self.given.kind.as_str() {
            "parquet" => (self.of_parquet().map_err(|what| what.unwrap_or_else(wrong))?, "the schema"),
            "line" => (Vec::new(), "the lines"),
            "csv" => {
                let names = if self.how.header { "the header and a sample" } else { "a sample" };
                (self.of_csv()?.map_err(wrong)?, names)
            }
            "json" => (self.of_json()?, "a sample"),
            _ => return Err(wrong(format!("columns of `{kind}` cannot be found out"))),
        };
        if found.0.is_empty() && kind != "line" {
            return Err(wrong("no column was found".into()));
        }
        Ok(found)
    }

    fn of_parquet(self) -> Result<Found, Wrong> {
        let footer = footer(&self.handle, &*self.reader, &self.url, self.size).map_err(Wrong::Stage)?;
        let column = |field: &Arc<arrow::datatypes::Field>| {
            let found = type_of(field.data_type()).ok_or_else(|| {
                Wrong::File(format!("column `{}` is a {}, which cannot be read", field.name(), field.data_type()))
            })?;
            Ok((field.name().clone(), found))
        };
        footer.schema().fields().iter().map(column).collect()
    }

    /// A header, if there is one, and the first records.
    fn sample(self, dialect: Dialect) -> Result<(Option<Vec<u8>>, Option<Lines>), StageError> {
        let input = Input::new(self.handle, self.reader, &self.url, self.how.packing, (0, self.size))?;
        let quoted = self.how.multiline.then_some(dialect);
        let mut text =
            Text::new(input, Shape { quoted, blank: false, header: self.how.header }, (0, self.size.min(SAMPLE)), 0);
        let lines = text.next()?;
        Ok((text.header().map(<[u8]>::to_vec), lines))
    }

    fn of_csv(self) -> Result<Result<Found, String>, StageError> {
        let url = self.url.clone();
        let settings = |error: crate::kind::SettingsError| {
            StageError::settings(format!("decode: csv: {}: {}", error.path.join("."), error.message))
        };
        let missing = outline(&self.given.settings).map_err(settings)?.missing;
        let dialect = dialect(&self.given);
        let (has_header, sure) = (self.how.header, self.sure);
        let (header, lines) = self.sample(dialect)?;
        let names = match (has_header, &header) {
            (true, Some(header)) => match fields(header, dialect) {
                Some(names) => Some(names.iter().map(|name| name.trim().to_string()).collect::<Vec<_>>()),
                None => return Ok(Err("the header does not read".into())),
            },
            (true, None) => return Ok(Err("there is no header".into())),
            (false, _) => None,
        };
        // Values of a record as names would stand in errors and in tables; and the record would be lost.
        if names.as_ref().is_some_and(|names| !sure && is_record(names)) {
            return Ok(Err(
                "the first line holds values, not names: say `header: false` where files begin with a record, \
                           `header: true` where these are names"
                    .into(),
            ));
        }
        let mut guesses: Vec<Guess> = vec![Guess::default(); names.as_ref().map_or(0, Vec::len)];
        let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
        for record in records(lines.as_ref()) {
            spans.clear();
            unescaped.clear();
            let split = dialect.split(record, 0, record.len(), usize::MAX, &mut spans, &mut unescaped);
            let Ok(count) = split else { continue };
            if names.is_none() && guesses.is_empty() {
                guesses.resize(count, Guess::default());
            }
            // A record of another shape is a bad one, later.
            if count != guesses.len() {
                continue;
            }
            for (guess, span) in guesses.iter_mut().zip(&spans) {
                let value = span.bytes(record, &unescaped);
                if !missing.has(value) {
                    guess.text(value);
                }
            }
        }
        let names = names.unwrap_or_else(|| (1..=guesses.len()).map(|number| format!("column_{number}")).collect());
        if let Some(at) = names.iter().position(|name| name.is_empty()) {
            return Ok(Err(format!("the header's field {} is empty", at + 1)));
        }
        tracing::debug!("{url}: {} columns", names.len());
        Ok(Ok(names.into_iter().zip(guesses.iter().map(Guess::fits)).collect()))
    }

    fn of_json(self) -> Result<Found, StageError> {
        let dialect = dialect(&self.given);
        let (_, lines) = self.sample(dialect)?;
        let mut found: Vec<(String, Guess)> = Vec::new();
        let mut nested: Vec<String> = Vec::new();
        for record in records(lines.as_ref()) {
            let Ok(Value::Object(members)) = serde_json::from_slice(record) else { continue };
            for (name, value) in members {
                let kind = match value {
                    Value::Null => None,
                    Value::Bool(_) => Some(Type::Bool),
                    Value::Number(number) if number.is_i64() => Some(Type::Int64),
                    Value::Number(_) => Some(Type::Float64),
                    Value::String(_) => Some(Type::Utf8),
                    Value::Array(_) | Value::Object(_) => {
                        nested.push(name);
                        continue;
                    }
                };
                let at = found.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                    found.push((name, Guess::default()));
                    found.len() - 1
                });
                if let Some(kind) = kind {
                    found[at].1.typed(kind);
                }
            }
        }
        // A list or an object is no column of its own: `path` reaches into it.
        found.retain(|(name, _)| !nested.contains(name));
        Ok(found.into_iter().map(|(name, guess)| (name, guess.fits())).collect())
    }
}

/// What a file says that does not do, or the service.
enum Wrong {
    File(String),
    Stage(StageError),
}

impl Wrong {
    fn unwrap_or_else(self, wrong: impl Fn(String) -> StageError) -> StageError {
        match self {
            Wrong::File(what) => wrong(what),
            Wrong::Stage(error) => error,
        }
    }
}

fn records(lines: Option<&Lines>) -> impl Iterator<Item = &[u8]> {
    let lines = lines.into_iter().flat_map(|lines| {
        lines.offsets.windows(2).map(|bounds| trim_line_end(&lines.data[bounds[0] as usize..bounds[1] as usize]))
    });
    lines.take(RECORDS)
}

/// A record's fields as text.
pub(super) fn fields(record: &[u8], dialect: Dialect) -> Option<Vec<String>> {
    let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
    dialect.split(record, 0, record.len(), usize::MAX, &mut spans, &mut unescaped).ok()?;
    spans.iter().map(|span| String::from_utf8(span.bytes(record, &unescaped).to_vec()).ok()).collect()
}
