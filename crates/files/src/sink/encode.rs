//! What the encoders of all formats have in common.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
