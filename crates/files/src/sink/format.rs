//! The formats in which rows are written.

use arrow::array::RecordBatch;
use foretell_flow::StageError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::encode::{Compression, Encode, Options};
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
