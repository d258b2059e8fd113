//! Rows to the bytes of a file: the formats, and what they have in common.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use foretell_flow::StageError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{csv, jsonl, parquet};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Comma-separated values, quoted where needed (RFC 4180). Times as ISO 8601, NULL as an empty field, bytes as text
    /// where they are UTF-8, else as base64, lists and structs as JSON.
    Csv,
    /// One JSON object a line. NULL is `null`; NaN and infinities, which JSON has no number for, are `"NaN"`, `"Infinity"`
    /// and `"-Infinity"`.
    Jsonl,
    /// Apache Parquet, with the columns' own types. Not for `mode: append`.
    Parquet,
}

/// How a file's bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compression {
    /// Not at all.
    None,
    /// gzip; CSV and JSON Lines get `.gz` at the end of their names.
    Gzip,
    /// Zstandard; CSV and JSON Lines get `.zst` at the end of their names.
    Zstd,
    /// Snappy: only Parquet, and its default.
    Snappy,
}

/// What an encoder needs to know.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) schema: SchemaRef,
    pub(super) delimiter: u8,
    pub(super) compression: Compression,
    pub(super) timezone: chrono_tz::Tz,
}

/// Turns rows into bytes: the same rows give the same bytes.
pub(super) trait Encode: Send + Sync {
    /// A whole file of these rows, or, of line formats, a part of one; `header` names the columns first, where the
    /// format does.
    fn encode(&mut self, rows: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError>;
}

impl Format {
    /// The format that a name's ending tells.
    pub(super) fn of_name(name: &str) -> Option<Format> {
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Format::Csv),
            "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
        }
    }

    /// How names of such files end, without the first dot.
    pub(super) fn extension(self, compression: Compression) -> String {
        match (self, compression) {
            (Format::Parquet, _) | (_, Compression::None | Compression::Snappy) => self.name().into(),
            (_, Compression::Gzip) => format!("{}.gz", self.name()),
            (_, Compression::Zstd) => format!("{}.zst", self.name()),
        }
    }

    /// The encoder, tried on no rows: a column's type that the format cannot hold shows here.
    pub(super) fn encoder(self, options: Options) -> Result<Box<dyn Encode>, StageError> {
        let schema = options.schema.clone();
        let mut encoder: Box<dyn Encode> = match self {
            Format::Csv => Box::new(csv::Csv::new(options)),
            Format::Jsonl => Box::new(jsonl::Jsonl::new(options)),
            Format::Parquet => Box::new(parquet::Parquet::new(options)),
        };
        match encoder.encode(&RecordBatch::new_empty(schema), true) {
            Ok(_) => Ok(encoder),
            Err(error) => Err(StageError::settings(format!("the rows cannot be written as {}: {error}", self.name()))
                .remedy("CAST the column in the query to a type that the format has")),
        }
    }
}

/// Compresses the bytes of a line format.
pub(super) fn compress(bytes: Vec<u8>, compression: Compression) -> Result<Vec<u8>, ArrowError> {
    let packed = match compression {
        Compression::None | Compression::Snappy => Ok(bytes),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&bytes).and_then(|()| encoder.finish())
        }
        Compression::Zstd => zstd::encode_all(&bytes[..], 0),
    };
    packed.map_err(|error| ArrowError::IoError(error.to_string(), error))
}
