//! The columns of files from the files: a header and samples, or what Parquet files say of themselves. Several files are
//! looked at, since the first may have no rows, or narrower values than those behind it.

#![allow(clippy::arithmetic_side_effects, reason = "counts of files and fields that are in memory")]

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use foretell_flow::StageError;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::avro;
use super::begin::{begins_well, fields};
use super::find::find;
use super::input::Input;
use super::lines::{Lines, records};
use super::parquet::footer;
use super::settings::{Format, ReadOptions, Settings, dialect, is_tabbed};
use super::text::{Shape, Text};
use foretell_connect::kind::{DecodeSpec, Inferred, SettingsError};
use foretell_connect::storage::Reader;
use foretell_decode::fields::Dialect;
use foretell_decode::{DECODERS, Guess, JsonGuess, Members, Type, full_type_of, is_record, outline, type_of};

/// How much of the first text is looked at.
const SAMPLE: u64 = 1 << 20;
/// How much of the others.
const FURTHER: u64 = 1 << 18;
/// This many records of a sample at most: compressed ones come unpacked.
const RECORDS: usize = 20_000;
/// This many files are looked at, from the first to the last.
const FILES: usize = 8;
/// And this many as long as none of them has a value.
const MOST_FILES: usize = 100;

/// A name and a type each.
type Found = Vec<(String, Type)>;

/// Completes what is given with the columns of the files.
pub(super) async fn infer(
    settings: &Arc<Settings>,
    base: &Path,
    given: Option<&DecodeSpec>,
) -> Result<Inferred, StageError> {
    let mut files = Vec::new();
    for (storage, path) in settings.places(base)? {
        let found = find(&*storage, &path).await?;
        files.extend(found.into_iter().map(|(path, stat)| (storage.clone(), path, stat)));
    }
    let mut looked: Option<(DecodeSpec, ReadOptions, Sight, String)> = None;
    let mut count = 0;
    for at in order(files.len()) {
        let Some((storage, path, stat)) = files.get(at) else { break };
        if count >= FILES && looked.as_ref().is_none_or(|(_, _, sight, _)| sight.seen() || count >= MOST_FILES) {
            break;
        }
        count += 1;
        let url = storage.url(path);
        let kind = looked.as_ref().map(|(given, ..)| given).or(given).map(|given| given.kind.as_str());
        let options = settings.options(&url, kind).map_err(StageError::settings)?;
        let (given, sight, first) = match looked.take() {
            Some((given, _, sight, first)) => (given, sight, first),
            None => {
                let plain = || DecodeSpec { kind: options.format.decoder().into(), settings: json!({}) };
                let mut given = given.cloned().unwrap_or_else(plain);
                if let (Some(settings), true) =
                    (given.settings.as_object_mut(), options.format == Format::Csv && is_tabbed(&url))
                {
                    settings.entry("delimiter").or_insert_with(|| json!("\t"));
                }
                (given, Sight::default(), url.clone())
            }
        };
        let reader = storage.reader(path, stat).await?;
        let file = File {
            handle: Handle::current(),
            reader,
            url: url.clone(),
            size: stat.length,
            options,
            given: given.clone(),
            trusted: settings.names_columns(),
        };
        let interrupted = |_| StageError::unavailable(format!("{url}: the sample was not read"));
        let sight = tokio::task::spawn_blocking(move || file.look(sight)).await.map_err(interrupted)??;
        looked = Some((given, options, sight, first));
    }
    let Some((given, options, sight, first)) = looked else {
        return Err(StageError::settings(format!(
            "no file matches {}, so its columns cannot be found out",
            settings.paths().join(", ")
        ))
        .remedy("write `decode` with its `columns`, or wait for the first file"));
    };
    let from = match (sight.told(options.header), count) {
        (told, 1) => format!("{told} of {first}"),
        (told, _) => format!("{told} of {count} files, the first {first}"),
    };
    let mut settings = match given.settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    // Plain lines have one column, which their decoder knows.
    if options.format != Format::Lines || given.kind != "line" {
        let column = |(name, found): (String, Type)| json!({ name: format!("{found}?") });
        settings.insert("columns".to_string(), sight.columns(&first)?.into_iter().map(column).collect());
    }
    let decode = DecodeSpec { kind: given.kind, settings: Value::Object(settings) };
    check(&decode).map_err(|error| wrong(&first, &error.message))?;
    Ok(Inferred { decode, from })
}

/// The files to look at, by their places in the list: some from the first to the last, then the others.
fn order(files: usize) -> Vec<usize> {
    let spread = FILES.min(files);
    let mut order: Vec<usize> = (0..spread).map(|n| n * (files - 1) / (spread - 1).max(1)).collect();
    order.dedup();
    order.extend((0..files).filter(|at| order.binary_search(at).is_err()).collect::<Vec<_>>());
    order
}

/// What the decoder itself says of the columns: a name that is there twice, or that every record has.
fn check(decode: &DecodeSpec) -> Result<(), SettingsError> {
    match DECODERS.iter().find(|kind| kind.name == decode.kind) {
        Some(kind) => (kind.parse)(decode.settings.clone()).map(|_| ()),
        None => Ok(()),
    }
}

fn wrong(url: &str, what: &str) -> StageError {
    StageError::settings(format!("{url}: {what}")).remedy("write `decode` with its `columns`")
}

/// What was seen so far.
#[derive(Default)]
enum Sight {
    #[default]
    Nothing,
    Csv(Vec<(String, Guess)>),
    Json(Vec<(String, JsonGuess)>),
    /// Without a type where all values are NULL so far.
    Typed(Vec<(String, Option<Type>)>),
    Lines,
}

impl Sight {
    /// Whether there was a value to tell a type by.
    fn seen(&self) -> bool {
        match self {
            Sight::Nothing => false,
            Sight::Csv(columns) => columns.iter().any(|(_, guess)| guess.seen()),
            Sight::Json(columns) => columns.iter().any(|(_, guess)| guess.kind().is_some()),
            Sight::Typed(_) | Sight::Lines => true,
        }
    }

    /// What told the columns.
    fn told(&self, header: bool) -> &'static str {
        match self {
            Sight::Csv(_) if header => "the header and a sample",
            Sight::Csv(_) | Sight::Json(_) | Sight::Nothing => "a sample",
            Sight::Typed(_) => "the schema",
            Sight::Lines => "the lines",
        }
    }

    fn columns(self, url: &str) -> Result<Found, StageError> {
        let found: Found = match self {
            Sight::Nothing | Sight::Lines => Vec::new(),
            Sight::Csv(columns) => columns.into_iter().map(|(name, guess)| (name, guess.fits())).collect(),
            Sight::Json(columns) => {
                // A list or an object is its JSON.
                let typed = |(name, guess): (String, JsonGuess)| match guess.fits() {
                    Some(found) => Ok((name, found)),
                    None => Err(wrong(url, &format!("the numbers of `{name}` have more digits than any type holds"))),
                };
                columns.into_iter().map(typed).collect::<Result<_, _>>()?
            }
            Sight::Typed(columns) => {
                columns.into_iter().map(|(name, found)| (name, found.unwrap_or(Type::Utf8))).collect()
            }
        };
        if found.is_empty() { Err(wrong(url, "no column was found")) } else { Ok(found) }
    }
}

/// A header, if there is one, and the first records.
struct Sample {
    header: Option<Vec<u8>>,
    lines: Option<Lines>,
    /// Whether these are all.
    ended: bool,
    /// Whether they are values of a JSON text that is not one object a line.
    whole: bool,
}

struct File {
    handle: Handle,
    reader: Box<dyn Reader>,
    url: String,
    size: u64,
    options: ReadOptions,
    given: DecodeSpec,
    /// Whether the user says that the first line names the columns.
    trusted: bool,
}

impl File {
    /// Adds what this file tells. On a thread that may wait.
    fn look(self, sight: Sight) -> Result<Sight, StageError> {
        match self.given.kind.as_str() {
            "parquet" => self.parquet(sight),
            "avro" => self.avro(sight),
            "line" => Ok(Sight::Lines),
            "csv" => self.csv(sight),
            "json" => self.json(sight),
            kind => Err(wrong(&self.url, &format!("columns of `{kind}` cannot be found out"))),
        }
    }

    fn parquet(self, sight: Sight) -> Result<Sight, StageError> {
        let footer = footer(&self.handle, &*self.reader, &self.url, self.size)?;
        typed(&self.url, sight, footer.schema(), type_of)
    }

    fn avro(self, sight: Sight) -> Result<Sight, StageError> {
        let rows = avro::Rows::new(self.handle, self.reader, (&self.url, self.size), 0)?;
        typed(&self.url, sight, &rows.schema(), full_type_of)
    }

    /// What it begins with.
    fn sample(self, dialect: Dialect, size: u64) -> Result<Sample, StageError> {
        let input = Input::new(self.handle, self.reader, &self.url, self.options, (0, self.size))?;
        let shape = Shape {
            quoted: self.options.multiline.then_some(dialect),
            blank: false,
            header: self.options.header,
            json: self.options.format == Format::Json && self.given.kind == "json",
            encoding: self.options.encoding_of_lines(),
        };
        let mut text = Text::new(input, shape, (0, self.size.min(size)), 0);
        let lines = text.next().map_err(|mut error| {
            if !error.message.contains(&self.url) {
                error.message = format!("{}: {}", self.url, error.message);
            }
            error
        })?;
        // A sample that ends before its file says nothing of what comes behind it.
        let ended = text.is_done() && (self.size <= size || self.options.multiline);
        Ok(Sample { header: text.header().map(<[u8]>::to_vec), lines, ended, whole: text.is_whole() })
    }

    fn csv(self, sight: Sight) -> Result<Sight, StageError> {
        let (url, trusted, has_header) = (self.url.clone(), self.trusted, self.options.header);
        let settings = |error: SettingsError| {
            StageError::settings(format!("decode: csv: {}: {}", error.path.join("."), error.message))
        };
        let missing = outline(&self.given.settings).map_err(settings)?.missing;
        let dialect = dialect(&self.given);
        let (known, size) = match sight {
            Sight::Csv(known) => (Some(known), FURTHER),
            _ => (None, SAMPLE),
        };
        let Sample { header, lines, .. } = self.sample(dialect, size)?;
        let names = match (has_header, &header) {
            (true, Some(header)) => match fields(header, dialect) {
                Some(names) => Some(names.iter().map(|name| name.trim().to_string()).collect::<Vec<_>>()),
                None => {
                    return Err(StageError::settings(format!("{url}: the header does not read: it is not in UTF-8"))
                        .remedy("say in which `encoding` the file is, e.g. `gbk` or `latin1`"));
                }
            },
            (true, None) => return Err(wrong(&url, "there is no header")),
            (false, _) => None,
        };
        if !trusted && names.as_ref().is_some_and(|names| is_record(names)) {
            return Err(no_header(&url, "a field of it is a number, a date or a time"));
        }
        if let Some(at) = names.iter().flatten().position(String::is_empty) {
            return Err(wrong(&url, &format!("the header's field {} is empty", at + 1)));
        }
        let mut columns = match (known, &names) {
            (Some(known), Some(names)) if !known.iter().map(|(name, _)| name).eq(names) => {
                let what = "its header is not that of the files before: other names, or another order";
                return Err(wrong(&url, what));
            }
            (Some(known), _) => known,
            (None, Some(names)) => names.iter().map(|name| (name.clone(), Guess::default())).collect(),
            (None, None) => Vec::new(),
        };
        let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
        for record in lines.iter().flat_map(records).take(RECORDS) {
            spans.clear();
            unescaped.clear();
            let split = dialect.split(record, 0, record.len(), usize::MAX, &mut spans, &mut unescaped);
            let Ok(count) = split else { continue };
            if names.is_none() && columns.is_empty() {
                columns = (1..=count).map(|number| (format!("column_{number}"), Guess::default())).collect();
            }
            // A record of another shape is a bad one, later.
            if count != columns.len() {
                continue;
            }
            for (at, ((name, guess), span)) in columns.iter_mut().zip(&spans).enumerate() {
                let value = span.bytes(record, &unescaped);
                if missing.has(value) {
                    continue;
                }
                if has_header && !trusted && value == name.as_bytes() {
                    return Err(no_header(&url, &format!("its field {} is there again as a value", at + 1)));
                }
                guess.text(value);
            }
        }
        tracing::debug!("{url}: {} columns", columns.len());
        Ok(Sight::Csv(columns))
    }

    fn json(self, sight: Sight) -> Result<Sight, StageError> {
        let (mut found, size) = match sight {
            Sight::Json(found) => (found, FURTHER),
            _ => (Vec::new(), SAMPLE),
        };
        let (url, format, given) = (self.url.clone(), self.options.format, self.given.clone());
        let Sample { lines, ended, whole, .. } = self.sample(dialect(&given), size)?;
        begins_well(&url, format, &given, None, lines.as_ref().filter(|_| !whole), ended)?;
        for record in lines.iter().flat_map(records).take(RECORDS) {
            let object = serde_json::from_slice::<Map<String, Value>>(record).is_ok();
            let Some(text) = std::str::from_utf8(record).ok().filter(|_| object) else { continue };
            for (name, value) in Members::of(text) {
                let at = found.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                    found.push((name.to_string(), JsonGuess::default()));
                    found.len() - 1
                });
                if let Some((_, guess)) = found.get_mut(at) {
                    guess.value(value);
                }
            }
        }
        Ok(Sight::Json(found))
    }
}

/// What a file with these columns tells.
fn typed(
    url: &str,
    sight: Sight,
    schema: &Schema,
    type_of: fn(&DataType) -> Option<Type>,
) -> Result<Sight, StageError> {
    let column = |field: &Arc<Field>| match type_of(field.data_type()) {
        None if *field.data_type() == DataType::Null => Ok((field.name().clone(), None)),
        Some(found) => Ok((field.name().clone(), Some(found))),
        None => {
            let what = format!("column `{}` is a {}, which cannot be read", field.name(), field.data_type());
            Err(wrong(url, &what))
        }
    };
    let found = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let Sight::Typed(mut known) = sight else { return Ok(Sight::Typed(found)) };
    for (name, data_type) in &mut known {
        // One that is missing stops the pipeline when the file is read.
        let Some((_, Some(other))) = found.iter().find(|(found, _)| found == name) else { continue };
        let before = data_type.clone().unwrap_or_else(|| other.clone());
        *data_type = Some(
            wider(&before, other)
                .ok_or_else(|| wrong(url, &format!("column `{name}` is {other} here and {before} in files before")))?,
        );
    }
    Ok(Sight::Typed(known))
}

/// A first line that is a record: what is in it is shown nowhere.
fn no_header(url: &str, why: &str) -> StageError {
    StageError::settings(format!("{url}: the first line looks like a record, not like a header: {why}"))
        .remedy("`header: false` where files begin with a record, `header: true` where these are the columns' names")
}

/// A type that holds the values of both, none changed.
fn wider(a: &Type, b: &Type) -> Option<Type> {
    /// Bits, and whether there are negative ones.
    fn int(data_type: &Type) -> Option<(u32, bool)> {
        Some(match data_type {
            Type::Int8 => (8, true),
            Type::Int16 => (16, true),
            Type::Int32 => (32, true),
            Type::Int64 => (64, true),
            Type::Uint8 => (8, false),
            Type::Uint16 => (16, false),
            Type::Uint32 => (32, false),
            Type::Uint64 => (64, false),
            _ => return None,
        })
    }
    let is_float = |data_type: &Type| matches!(data_type, Type::Float32 | Type::Float64);
    match (a, b) {
        _ if a == b => Some(a.clone()),
        (Type::Decimal(a, behind_a), Type::Decimal(b, behind_b)) => {
            let behind = *behind_a.max(behind_b);
            let digits = (a - behind_a).max(b - behind_b) + behind;
            (digits <= 38).then_some(Type::Decimal(digits, behind))
        }
        (Type::Date, Type::Timestamp) | (Type::Timestamp, Type::Date) => Some(Type::Timestamp),
        // A whole number that a float does not hold makes a bad record.
        _ if is_float(a) && (is_float(b) || int(b).is_some()) => Some(Type::Float64),
        _ if is_float(b) && int(a).is_some() => Some(Type::Float64),
        _ => {
            let ((bits_a, signed_a), (bits_b, signed_b)) = (int(a)?, int(b)?);
            let wide = bits_a.max(bits_b);
            if signed_a == signed_b {
                return Some(if bits_a == wide { a } else { b }.clone());
            }
            let unsigned = if signed_a { bits_b } else { bits_a };
            match wide.max(unsigned * 2) {
                16 => Some(Type::Int16),
                32 => Some(Type::Int32),
                64 => Some(Type::Int64),
                _ => Some(Type::Decimal(20, 0)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_at_from_the_first_to_the_last() {
        assert_eq!(order(0), Vec::<usize>::new());
        assert_eq!(order(1), [0]);
        assert_eq!(order(3), [0, 1, 2]);
        assert_eq!(order(100)[..9], [0, 14, 28, 42, 56, 70, 84, 99, 1]);
        assert_eq!(order(100).len(), 100);
    }

    #[test]
    fn types_widen_without_loss_or_not_at_all() {
        let cases = [
            (Type::Int8, Type::Int32, Some(Type::Int32)),
            (Type::Uint8, Type::Int8, Some(Type::Int16)),
            (Type::Uint32, Type::Int8, Some(Type::Int64)),
            (Type::Uint64, Type::Int8, Some(Type::Decimal(20, 0))),
            (Type::Int64, Type::Float32, Some(Type::Float64)),
            (Type::Decimal(5, 2), Type::Decimal(6, 0), Some(Type::Decimal(8, 2))),
            (Type::Decimal(38, 0), Type::Decimal(38, 2), None),
            (Type::Decimal(5, 2), Type::Float64, None),
            (Type::Utf8, Type::Int64, None),
            (Type::Date, Type::Timestamp, Some(Type::Timestamp)),
        ];
        for (a, b, expected) in cases {
            assert_eq!(wider(&a, &b), expected, "{a} {b}");
            assert_eq!(wider(&b, &a), expected, "{b} {a}");
        }
    }
}
