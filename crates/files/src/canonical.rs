//! Reference tables as bytes that repeat.
//!
//! A table's version is the sha256 of its bytes as [`encode`] gives them: the same rows always give the same bytes, so
//! that a batch which is run again finds the very table that it was run with.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use foretell_flow::StageError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// The table as bytes (Parquet); the same rows give the same bytes.
///
/// # Errors
/// A column of a type that cannot be kept.
pub fn encode(batch: &RecordBatch) -> Result<Vec<u8>, StageError> {
    let wrong = |error| StageError::settings(format!("the table cannot be kept: {error}"));
    let properties = WriterProperties::builder()
        .set_created_by("foretell".to_string())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).map_err(wrong)?;
    writer.write(batch).map_err(wrong)?;
    writer.into_inner().map_err(wrong)
}

/// A table from the bytes that [`encode`] gave.
///
/// # Errors
/// They are others.
pub fn decode(bytes: impl Into<Bytes>) -> Result<RecordBatch, StageError> {
    let wrong = |error: String| StageError::state(format!("a kept table does not read: {error}"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.into()).map_err(|e| wrong(e.to_string()))?;
    let schema = builder.schema().clone();
    let batches = builder.build().map_err(|e| wrong(e.to_string()))?.collect::<Result<Vec<_>, _>>();
    concat_batches(&schema, &batches.map_err(|e| wrong(e.to_string()))?).map_err(|e| wrong(e.to_string()))
}
