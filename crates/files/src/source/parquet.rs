//! Parquet files: row groups, of which only the columns that are wanted are fetched.

#![allow(clippy::arithmetic_side_effects, reason = "rows and places in a file whose footer was checked")]

use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use bytes::Bytes;
use foretell_flow::StageError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use crate::footer::reading;
use foretell_connect::storage::Reader;

/// What is read of a file's end at first; most footers are smaller.
const TAIL: u64 = 64 << 10;
/// Rows of a batch.
const ROWS: usize = 32 << 10;

/// The footer of a file. On a thread that may wait.
pub(super) fn footer(
    handle: &Handle,
    reader: &dyn Reader,
    url: &str,
    size: u64,
) -> Result<ArrowReaderMetadata, StageError> {
    let mut tail = TAIL.min(size);
    let mut parser = ParquetMetaDataReader::new();
    loop {
        let bytes: Bytes = handle.block_on(reader.read(size - tail, size, Vec::new()))?.into();
        match parser.try_parse_sized(&bytes, size) {
            Ok(()) => break,
            Err(ParquetError::NeedMoreData(needed)) if (needed as u64) > tail && needed as u64 <= size => {
                tail = needed as u64;
            }
            Err(error) => return Err(damaged(url, &error)),
        }
    }
    let metadata = parser.finish().map_err(|error| damaged(url, &error))?;
    reading(Arc::new(metadata)).map_err(|error| damaged(url, &error))
}

fn damaged(url: &str, error: &ParquetError) -> StageError {
    StageError::state(format!("{url}: not a Parquet file that can be read: {error}")).remedy(
        "give `format` where the name's ending does not tell it; a damaged file must be replaced before it is read",
    )
}

/// The row groups that begin in a range of a file.
pub(super) struct RowGroups {
    handle: Handle,
    reader: Box<dyn Reader>,
    url: String,
    size: u64,
    footer: ArrowReaderMetadata,
    columns: ProjectionMask,
    /// Row groups to read, the next one last.
    open: Vec<usize>,
    batches: Option<ParquetRecordBatchReader>,
    row: i64,
    from: i64,
}

impl RowGroups {
    /// Those that begin in bytes `[from, to)`, without the first `row` rows; only columns of these names.
    pub(super) fn new(
        handle: Handle,
        reader: Box<dyn Reader>,
        (url, size): (&str, u64),
        range: (u64, u64),
        row: i64,
        names: &[String],
    ) -> Result<RowGroups, StageError> {
        let footer = footer(&handle, &*reader, url, size)?;
        let schema = footer.parquet_schema();
        let wanted = schema.root_schema().get_fields().iter().enumerate();
        let wanted: Vec<usize> =
            wanted.filter(|(_, field)| names.iter().any(|name| name == field.name())).map(|(at, _)| at).collect();
        let columns = ProjectionMask::roots(schema, wanted);
        let open = within(footer.metadata(), range).into_iter().rev().collect();
        Ok(RowGroups { handle, reader, url: url.into(), size, columns, open, batches: None, row: 0, from: row, footer })
    }

    /// The columns that the file has.
    pub(super) fn schema(&self) -> &Schema {
        self.footer.schema()
    }

    /// The next rows and the number of the first; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(RecordBatch, i64)>, StageError> {
        loop {
            if let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
                let batch = batch.map_err(|error| damaged(&self.url, &error.into()))?;
                let first = self.row;
                self.row += batch.num_rows() as i64;
                let drop = usize::try_from(self.from - first).unwrap_or_default();
                if drop < batch.num_rows() {
                    return Ok(Some((batch.slice(drop, batch.num_rows() - drop), first + drop as i64)));
                }
                continue;
            }
            let Some(group) = self.open.pop() else { return Ok(None) };
            self.batches = None;
            let rows = self.footer.metadata().row_group(group).num_rows();
            if self.row + rows <= self.from {
                self.row += rows;
                continue;
            }
            self.batches = Some(self.open_group(group)?);
        }
    }

    fn open_group(&self, group: usize) -> Result<ParquetRecordBatchReader, StageError> {
        let mut chunks = Vec::new();
        for (column, chunk) in self.footer.metadata().row_group(group).columns().iter().enumerate() {
            if self.columns.leaf_included(column) {
                let (from, length) = chunk.byte_range();
                let read = self.reader.read(from, from.saturating_add(length).min(self.size), Vec::new());
                chunks.push((from, Bytes::from(self.handle.block_on(read)?)));
            }
        }
        let chunks = Chunks { size: self.size, chunks: Arc::new(chunks) };
        ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, self.footer.clone())
            .with_row_groups(vec![group])
            .with_projection(self.columns.clone())
            .with_batch_size(ROWS)
            .build()
            .map_err(|error| damaged(&self.url, &error))
    }
}

/// Row groups by where their first column begins.
fn within(metadata: &ParquetMetaData, (from, to): (u64, u64)) -> Vec<usize> {
    let begin = |group: usize| {
        let columns = metadata.row_group(group).columns().iter();
        columns.map(|column| column.byte_range().0).min().unwrap_or_default()
    };
    (0..metadata.num_row_groups()).filter(|group| (from..to).contains(&begin(*group))).collect()
}

/// How many rows of a file come before those of a range.
pub(super) fn rows_before(metadata: &ParquetMetaData, from: u64) -> i64 {
    within(metadata, (0, from)).into_iter().map(|group| metadata.row_group(group).num_rows()).sum()
}

/// The parts of a file that were fetched.
#[derive(Clone)]
struct Chunks {
    size: u64,
    chunks: Arc<Vec<(u64, Bytes)>>,
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.size
    }
}

impl Chunks {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let holds = |(from, bytes): &&(u64, Bytes)| (*from..*from + bytes.len() as u64).contains(&start);
        let (from, bytes) = self.chunks.iter().find(holds).ok_or_else(outside)?;
        Ok(bytes.slice((start - from) as usize..))
    }
}

fn outside() -> ParquetError {
    ParquetError::EOF("a page lies outside of its column".into())
}

impl ChunkReader for Chunks {
    type T = io::Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.from(start).map(io::Cursor::new)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if bytes.len() < length { Err(outside()) } else { Ok(bytes.slice(..length)) }
    }
}
