//! What the pipeline file says of files.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::{Encoding, EncodingSetting};
use foretell_connect::human::{HumanDuration, HumanSize};
use foretell_connect::kind::{DecodeSpec, SettingsError};
use foretell_connect::storage::{Reading, file_name};
use foretell_storage::{S3Settings, StorageSettings};

/// More would make plans and positions large, and no machine has as many cores.
pub(super) const MOST_PARTITIONS: u16 = 1024;
const PARTITIONS: u16 = 16;
/// Large enough that the search for its first line costs nothing, small enough that a file of some ten MB keeps all
/// cores busy.
const SPLIT: HumanSize = HumanSize(8 << 20);
const LEAST_SPLIT: usize = 1024;
const POLL: HumanDuration = HumanDuration(std::time::Duration::from_secs(1));

/// Reads files: local, on HDFS or S3. With `trigger: available_now` those that are there, then the pipeline ends;
/// otherwise also those that come, for ever. Each file is read once; it must not change after it was seen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// A file, a folder (the files in it) or a glob (`*`, `?`, `[a-z]`, `**`), or a list of these: a local path (relative
    /// to the pipeline file), `hdfs://host:port/path` or `s3://bucket/path`. Names that begin with `_` or `.` are passed
    /// over.
    path: Paths,
    /// What is in them. Default: what `decode` says, else what the names end with (`.csv`, `.tsv`, `.jsonl`, `.ndjson`,
    /// `.json`, `.parquet`, `.avro`, `.txt`, `.log`).
    #[serde(default)]
    format: Option<Format>,
    /// Whether the first line of a file names its columns. Of CSV by default yes: then it must have the names of `decode`'s
    /// columns, in their order.
    #[serde(default)]
    header: Option<bool>,
    /// CSV: whether quoted fields may hold line ends. Then a file is not split, so that one worker reads it. Default: no: a
    /// record is a line.
    #[serde(default)]
    multiline: bool,
    /// How files are compressed. Default: what the names end with (`.gz`, `.zst`). A compressed file is not split.
    #[serde(default)]
    compression: Option<Compression>,
    /// The encoding of texts, e.g. `utf-16`, `latin1` or `gbk`. Bytes that are not in it make bad records. A file in UTF-16
    /// is not split, nor is one of JSON in an encoding whose letters have several bytes. Default: UTF-8.
    #[serde(default)]
    encoding: EncodingSetting,
    /// How many partitions the files are dealt out to, and so the most workers that can read at once. Kept in `state`;
    /// it cannot be changed later. Default: 16.
    #[serde(default)]
    partitions: Option<u16>,
    /// Files are cut into parts of this size, which are read in parallel. Default: 8 MiB.
    #[serde(default = "split")]
    split: HumanSize,
    /// How often new files are looked for. Default: `1s`.
    #[serde(default = "poll")]
    pub(super) poll: HumanDuration,
    /// How S3 is reached.
    #[serde(default)]
    s3: S3Settings,
}

/// One path, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a path, or a list of paths")]
enum Paths {
    One(String),
    Many(Vec<String>),
}

/// A storage, and a path or pattern there.
pub(super) type Found = (Arc<dyn Reading>, String);

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Comma-separated values.
    Csv,
    /// JSON objects: one a line, the elements of one array, or one after the other over several lines. A file that is not
    /// one object a line is not split.
    Json,
    /// One JSON object a line, and nothing else.
    Jsonl,
    /// One record a line, whatever is in it.
    Lines,
    /// Apache Parquet.
    Parquet,
    /// Avro object files. A file is not split.
    Avro,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How a file is read. What its rows' numbers depend on is kept with it, so that they mean the same for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadOptions {
    pub(super) format: Format,
    /// A header is a line like others, which is passed over: whether there is one may be corrected.
    #[serde(skip)]
    pub(super) header: bool,
    /// Of texts in other encodings than UTF-8; line ends are the same in any, but for wide ones.
    #[serde(skip)]
    pub(super) encoding: Option<Encoding>,
    pub(super) multiline: bool,
    #[serde(alias = "packing")]
    pub(super) compression: Compression,
}

impl ReadOptions {
    /// Whether the bytes must be in UTF-8 before anything is looked for in them: line ends in wide encodings, quotes and
    /// braces in those whose letters may end with such a byte. Such a file is not split.
    pub(super) fn transcoded_first(self) -> Option<Encoding> {
        let deep = self.multiline || self.format == Format::Json;
        self.encoding.filter(|encoding| encoding.is_wide() || (deep && !encoding.is_single_byte()))
    }

    /// The encoding of lines, where lines are cut before they are in UTF-8.
    pub(super) fn encoding_of_lines(self) -> Option<Encoding> {
        self.encoding.filter(|_| self.transcoded_first().is_none())
    }
}

fn split() -> HumanSize {
    SPLIT
}

fn poll() -> HumanDuration {
    POLL
}

impl Compression {
    /// What a file's name tells.
    pub(super) fn of_name(name: &str) -> Compression {
        match name.to_ascii_lowercase().rsplit_once('.') {
            Some((_, "gz")) => Compression::Gzip,
            Some((_, "zst")) => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Jsonl => "jsonl",
            Format::Lines => "lines",
            Format::Parquet => "parquet",
            Format::Avro => "avro",
        }
    }

    /// Whether its rows come as columns that have types.
    pub(super) fn is_typed(self) -> bool {
        matches!(self, Format::Parquet | Format::Avro)
    }

    /// The decoder that fits.
    pub(super) fn decoder(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Json | Format::Jsonl => "json",
            Format::Lines => "line",
            Format::Parquet => "parquet",
            Format::Avro => "avro",
        }
    }

    fn of_decoder(kind: &str) -> Option<Format> {
        [Format::Csv, Format::Json, Format::Lines, Format::Parquet, Format::Avro]
            .into_iter()
            .find(|format| format.decoder() == kind)
    }

    fn of_name(name: &str) -> Option<Format> {
        match unpacked(&name.to_ascii_lowercase()).rsplit_once('.')?.1 {
            "csv" | "tsv" => Some(Format::Csv),
            "jsonl" | "ndjson" | "json" => Some(Format::Json),
            "parquet" => Some(Format::Parquet),
            "avro" => Some(Format::Avro),
            "txt" | "log" => Some(Format::Lines),
            _ => None,
        }
    }
}

impl Settings {
    /// What contradicts itself whatever the files are.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |field: &str, message: &str| SettingsError { path: vec![field.into()], message: message.into() };
        if self.paths().is_empty() || self.paths().iter().any(|path| path.is_empty()) {
            return Err(wrong("path", "is empty"));
        }
        if self.partitions.is_some_and(|partitions| !(1..=MOST_PARTITIONS).contains(&partitions)) {
            return Err(wrong("partitions", &format!("1 to {MOST_PARTITIONS} are possible")));
        }
        if self.split.0 < LEAST_SPLIT {
            return Err(wrong("split", &format!("{LEAST_SPLIT} bytes at least")));
        }
        if self.multiline && self.format.is_some_and(|format| format != Format::Csv) {
            return Err(wrong("multiline", "is for CSV"));
        }
        if self.encoding.0.is_some() && self.format.is_some_and(Format::is_typed) {
            return Err(wrong("encoding", "is for texts: those in a Parquet or Avro file are in UTF-8"));
        }
        let plain = matches!(self.format, Some(Format::Parquet | Format::Avro | Format::Json | Format::Jsonl));
        if self.header == Some(true) && plain {
            return Err(wrong("header", "is for CSV and lines"));
        }
        let packed = matches!(self.compression, Some(Compression::Gzip | Compression::Zstd));
        if packed && self.format.is_some_and(Format::is_typed) {
            let kind = if self.format == Some(Format::Avro) { "an Avro" } else { "a Parquet" };
            return Err(wrong("compression", &format!("{kind} file says itself how it is compressed")));
        }
        Ok(())
    }

    pub(super) fn paths(&self) -> &[String] {
        match &self.path {
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths,
        }
    }

    pub(super) fn partitions(&self) -> usize {
        usize::from(self.partitions.unwrap_or(PARTITIONS))
    }

    /// What the pipeline file itself says of partitions.
    pub(super) fn partitions_given(&self) -> Option<usize> {
        self.partitions.map(usize::from)
    }

    /// Whether the pipeline file itself says that the first line names the columns.
    pub(super) fn names_columns(&self) -> bool {
        self.header == Some(true)
    }

    pub(super) fn describe(&self) -> String {
        format!("files {}", self.paths().join(", "))
    }

    /// How a file of this name is read; `decoder` is `decode`'s kind, if there is one.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(super) fn options(&self, url: &str, decoder: Option<&str>) -> Result<ReadOptions, String> {
        let name = file_name(url);
        let compression = self.compression.unwrap_or_else(|| Compression::of_name(name));
        let decoded = decoder.and_then(Format::of_decoder);
        let Some(format) = self.format.or(decoded).or_else(|| Format::of_name(name)) else {
            return Err(format!("{url}: the name's ending does not tell what is in it: give `format`"));
        };
        let typed = decoder.and_then(Format::of_decoder).is_some_and(Format::is_typed);
        if (typed || format.is_typed()) && decoder.is_some_and(|decoder| decoder != format.decoder()) {
            let decoder = decoder.unwrap_or_default();
            return Err(format!("{url} is read as {}, which `decode: {decoder}` does not take", format.name()));
        }
        if self.multiline && format != Format::Csv {
            return Err(format!("`multiline` is for CSV, but {url} is read as {}", format.name()));
        }
        let header = self.header.unwrap_or(format == Format::Csv);
        let compression = if format.is_typed() { Compression::None } else { compression };
        let encoding = self.encoding.0.filter(|_| !format.is_typed());
        Ok(ReadOptions { format, header, encoding, multiline: self.multiline, compression })
    }

    /// The size of the parts of a file that is read like this.
    pub(super) fn split(&self, options: ReadOptions) -> Option<u64> {
        let whole = options.transcoded_first().is_some()
            || options.multiline
            || options.compression != Compression::None
            || options.format == Format::Avro;
        (!whole).then_some(self.split.0 as u64)
    }

    /// The storage and path of each pattern.
    pub(super) fn places(&self, base: &Path) -> Result<Vec<Found>, foretell_connect::storage::Error> {
        let settings = self.storage();
        self.paths().iter().map(|path| foretell_storage::open_reading(path, base, &settings)).collect()
    }

    /// What storages need to know.
    pub(super) fn storage(&self) -> StorageSettings {
        StorageSettings { s3: self.s3.clone() }
    }
}

/// A file's name without the ending that says how it is packed.
pub fn unpacked(name: &str) -> &str {
    name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name)
}

/// Whether the file's name says that tabs separate its fields.
pub(super) fn is_tabbed(url: &str) -> bool {
    unpacked(&file_name(url).to_ascii_lowercase()).ends_with(".tsv")
}

/// The dialect by which quoted line ends are found.
pub(super) fn dialect(decode: &DecodeSpec) -> foretell_decode::fields::Dialect {
    let comma = foretell_decode::fields::Dialect { delimiter: b',', quote: Some(b'"') };
    match decode.kind.as_str() {
        "csv" => foretell_decode::outline(&decode.settings).map_or(comma, |outline| outline.dialect),
        _ => comma,
    }
}
