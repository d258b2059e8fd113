//! Files, local, on HDFS or on S3: CSV, JSON Lines, Parquet.
//!
//! `mode: files` gives whole files that are in view only when committed (`files.rs`), `mode: append` one growing file
//! with one writer (`append.rs`). Both store positions and plans in the same act as the rows, in a folder `_foretell`
//! beside them, which Hadoop's tools and Spark pass over.
//!
//! Measured with batches of 100 rows on two cores, everything on one machine (p50, in ms; claims take as long as a few
//! commits): local files 2, local append 1, HDFS files 33, HDFS append 4. Closing each HDFS file before its commit
//! counted would cost half a second more.

mod append;
mod block;
mod csv;
mod digits;
mod encode;
mod files;
mod format;
mod jsonl;
mod log;
mod output;
mod parquet;
mod progress;
mod short;
mod wal;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_flow::{Sharing, Sink, SinkTraits, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use self::append::Append;
use self::encode::{Compression, Encode, Options};
use self::files::Files;
use self::format::Format;
use self::progress::Shape;
use foretell_connect::kind::{Kind, SettingsError, SinkContext, SinkSettings, schema_of, settings_of};
use foretell_connect::machine;
use foretell_connect::storage::{Error, ErrorKind, Storage, escape, file_name, parent};
use foretell_storage::{S3Settings, StorageSettings};

/// The kind `file`.
pub const KIND: Kind<dyn SinkSettings> = Kind { name: "file", inherits: &[], schema: schema_of::<Settings>, parse };

/// Writes rows to files, local, on HDFS or on S3.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where: a local path (relative to the pipeline file) or `hdfs://host:port/path`, or `hdfs://nameservice/path` with
    /// HADOOP_CONF_DIR set, or `s3://bucket/path`. With `mode: files` a folder, with `mode: append` a file. The user on
    /// HDFS is HADOOP_USER_NAME, else the system's. S3 is written with `mode: files` only, and must know conditional
    /// writes (`If-None-Match`), which is tried out when writing begins.
    path: String,
    /// How rows are written; by default what the path's ending tells (`.csv`, `.jsonl`, `.parquet`).
    format: Option<Format>,
    /// Columns to write, in this order; all by default.
    columns: Option<Vec<String>>,
    /// Whole files, or one growing file.
    #[serde(default)]
    mode: Mode,
    /// CSV: whether a file begins with the columns' names. By default yes for `mode: files`, no for `mode: append`.
    header: Option<bool>,
    /// CSV: one ASCII character between fields; `,` by default.
    delimiter: Option<char>,
    /// How files are compressed: CSV and JSON Lines not at all by default, Parquet with Snappy. Not for `mode: append`.
    compression: Option<Compression>,
    /// Whether the folder gets an empty file `_SUCCESS` when a pipeline with `trigger: available_now` has ended with all
    /// that was there, as Hadoop's jobs do; it goes when the next run begins to write. Not for `mode: append`.
    #[serde(default)]
    success: bool,
    /// How S3 is reached.
    #[serde(default)]
    s3: S3Settings,
}

/// How rows become files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Each batch with rows gives one whole file, `part-…`, in view only when it is committed. Fewer, larger files come
    /// from a longer `trigger`.
    #[default]
    Files,
    /// One growing file, written by one worker. A reader may see the last batch half written.
    Append,
}

fn parse(value: serde_json::Value) -> Result<Box<dyn SinkSettings>, SettingsError> {
    let settings: Settings = settings_of(value)?;
    settings.resolve()?;
    Ok(Box::new(settings))
}

/// Settings with their defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Resolved {
    format: Format,
    compression: Compression,
    header: bool,
    delimiter: u8,
}

impl Settings {
    fn resolve(&self) -> Result<Resolved, SettingsError> {
        let wrong = |field: &str, message: String| SettingsError { path: vec![field.into()], message };
        if self.path.is_empty() {
            return Err(wrong("path", "is empty".into()));
        }
        let format = self.format.or_else(|| Format::of_name(file_name(self.path.trim_end_matches('/'))));
        let Some(format) = format else {
            return Err(wrong("format", "the path's ending does not tell it: give `csv`, `jsonl` or `parquet`".into()));
        };
        let compression = self.compression.unwrap_or(match format {
            Format::Parquet => Compression::Snappy,
            Format::Csv | Format::Jsonl => Compression::None,
        });
        if compression == Compression::Snappy && format != Format::Parquet {
            return Err(wrong("compression", "`snappy` is for Parquet: use `gzip` or `zstd`".into()));
        }
        if self.mode == Mode::Append && format == Format::Parquet {
            return Err(wrong("mode", "Parquet files cannot be appended to: use `mode: files`".into()));
        }
        if self.mode == Mode::Append && !foretell_storage::appends(&self.path) {
            return Err(wrong("mode", "an object of S3 cannot be appended to: use `mode: files`".into()));
        }
        if self.mode == Mode::Append && compression != Compression::None {
            return Err(wrong("compression", "a file that is appended to is not compressed: use `mode: files`".into()));
        }
        if self.mode == Mode::Append && self.success {
            return Err(wrong("success", "marks a folder: use `mode: files`".into()));
        }
        if format != Format::Csv && (self.header.is_some() || self.delimiter.is_some()) {
            let field = if self.header.is_some() { "header" } else { "delimiter" };
            return Err(wrong(field, format!("is for CSV, the format is {}", format.name())));
        }
        let delimiter = match self.delimiter.unwrap_or(',') {
            found if found.is_ascii() && !matches!(found, '"' | '\n' | '\r') => found as u8,
            _ => return Err(wrong("delimiter", "must be one ASCII character, not a quote or a line end".into())),
        };
        Ok(Resolved { format, compression, delimiter, header: self.header.unwrap_or(self.mode == Mode::Files) })
    }

    fn storage(&self, base: &Path) -> Result<(Arc<dyn Storage>, String), Error> {
        foretell_storage::open(&self.path, base, &StorageSettings { s3: self.s3.clone() })
    }

    async fn open_in(
        &self,
        context: &SinkContext,
        storage: Arc<dyn Storage>,
        path: String,
    ) -> Result<Opened, StageError> {
        let resolved = self.resolve().map_err(|error| {
            StageError::settings(format!("sink `{}`: {}: {}", context.sink, error.path.join("."), error.message))
        })?;
        let Resolved { format, compression, header, delimiter } = resolved;
        let timezone = match &context.timezone {
            None => chrono_tz::UTC,
            Some(name) => name
                .parse()
                .map_err(|_| StageError::settings(format!("timezone: `{name}` is not a time zone's name")))?,
        };
        let schema = context.schema.clone();
        let encoder: Box<dyn Encode> =
            format.encoder(Options { schema: schema.clone(), delimiter, compression, timezone })?;
        let shape = Shape::new(&format.extension(compression), &schema);
        let (pipeline, sink, worker) = (context.pipeline.clone(), context.sink.clone(), context.worker.clone());
        match self.mode {
            Mode::Files => {
                let hidden = format!("{path}/_foretell/{}/{}", escape(&pipeline), escape(&sink));
                let extension = format.extension(compression);
                let success = self.success.then(|| success(&path));
                let setup = files::Setup {
                    storage,
                    folder: path,
                    hidden,
                    owner: (pipeline, sink),
                    worker,
                    extension,
                    header,
                    shape,
                    encoder,
                    success,
                };
                let mut files = Files::new(setup);
                files.check().await?;
                Ok(Opened::Files(files))
            }
            Mode::Append => {
                let hidden = format!("{}/_foretell/append/{}", parent(&path), escape(file_name(&path)));
                let setup = append::Setup { storage, path, hidden, pipeline, sink, worker, header, shape, encoder };
                let mut append = Append::new(setup);
                append.check().await?;
                Ok(Opened::Append(append))
            }
        }
    }
}

/// The mark of a folder that is complete.
fn success(folder: &str) -> String {
    format!("{folder}/_SUCCESS")
}

enum Opened {
    Files(Files),
    Append(Append),
}

impl Opened {
    fn boxed(self) -> Box<dyn Sink> {
        match self {
            Opened::Files(sink) => Box::new(sink),
            Opened::Append(sink) => Box::new(sink),
        }
    }
}

#[async_trait]
impl SinkSettings for Settings {
    fn traits(&self) -> SinkTraits {
        let sharing = match (self.mode, foretell_storage::shared(&self.path)) {
            (Mode::Files, true) => Sharing::Shared,
            (Mode::Files, false) => Sharing::Machine,
            (Mode::Append, _) => Sharing::Single,
        };
        // A file that is written slice by slice must be the same as one that is written at once: lines, as they are.
        let lines = self
            .resolve()
            .is_ok_and(|resolved| resolved.format != Format::Parquet && resolved.compression == Compression::None);
        SinkTraits { keeps_positions: true, sharing, atomic: true, slices: lines && self.mode == Mode::Files }
    }

    fn describe(&self) -> String {
        let format = self.resolve().map_or("unknown format", |resolved| resolved.format.name());
        match self.mode {
            Mode::Files => {
                let folder = self.path.trim_end_matches('/');
                // A name that looks like one file's.
                let hint = match Format::of_name(file_name(folder)) {
                    Some(_) if format != "parquet" => "; `mode: append` writes one file",
                    _ => "",
                };
                format!("files in the folder {folder}/ ({format}{hint})")
            }
            Mode::Append => format!("file {} ({format}, appended)", self.path),
        }
    }

    fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    fn home(&self, base: &Path) -> String {
        match (self.mode, foretell_storage::shared(&self.path)) {
            (Mode::Files, true) => String::new(),
            (Mode::Append, true) => machine::shared_home(&self.path),
            (_, false) => self.storage(base).map_or_else(|_| String::new(), |(_, p)| machine::home(Path::new(&p))),
        }
    }

    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>, StageError> {
        let base: &Path = &context.base;
        let (storage, path) = self.storage(base)?;
        Ok(self.open_in(context, storage, path).await?.boxed())
    }

    async fn complete(&self, context: &SinkContext) -> Result<(), StageError> {
        if !self.success {
            return Ok(());
        }
        let (storage, path) = self.storage(&context.base)?;
        let marked = storage.create_new(&success(&path), bytes::Bytes::new()).await;
        storage.settle().await;
        match marked {
            Err(error) if error.kind != ErrorKind::Exists => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
