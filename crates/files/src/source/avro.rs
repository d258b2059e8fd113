//! Avro files: rows from the begin, of which those that were read before are passed over.

#![allow(clippy::arithmetic_side_effects, reason = "rows of a file that are in memory")]

use std::io::{self, BufReader};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use foretell_decode::AvroFile;
use foretell_flow::StageError;
use tokio::runtime::Handle;

use super::input::Raw;
use foretell_connect::storage::Reader;

/// The rows of a file.
pub(super) struct Rows {
    url: String,
    file: AvroFile<BufReader<Raw>>,
    row: i64,
    from: i64,
}

impl Rows {
    /// All but the first `from`. On a thread that may wait.
    pub(super) fn new(
        handle: Handle,
        reader: Box<dyn Reader>,
        (url, size): (&str, u64),
        from: i64,
    ) -> Result<Rows, StageError> {
        let raw = BufReader::new(Raw::new(handle, reader, (0, size)));
        let file = AvroFile::open(raw).map_err(|error| unread(url, &error))?;
        Ok(Rows { url: url.to_string(), file, row: 0, from })
    }

    /// The columns that the file has.
    pub(super) fn schema(&self) -> SchemaRef {
        self.file.schema()
    }

    /// The next rows and the number of the first; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(RecordBatch, i64)>, StageError> {
        while let Some(batch) = self.file.next_rows().map_err(|error| unread(&self.url, &error))? {
            let first = self.row;
            self.row += batch.num_rows() as i64;
            let drop = usize::try_from(self.from - first).unwrap_or_default();
            if drop < batch.num_rows() {
                return Ok(Some((batch.slice(drop, batch.num_rows() - drop), first + drop as i64)));
            }
        }
        Ok(None)
    }
}

fn unread(url: &str, error: &io::Error) -> StageError {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<StageError>()) {
        return error.clone();
    }
    StageError::state(format!("{url}: {error}")).remedy(
        "give `format` where the name's ending does not tell it; a damaged file must be replaced before it is read",
    )
}
