//! A reference table as it is at one moment.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use foretell_connect::table::{Rows, check_key};
use foretell_files::canonical;
use foretell_flow::StageError;

use super::artifacts::sha256;
use crate::pipeline_file::TableEntry;

/// A table at one moment.
#[derive(Debug, Clone)]
pub(crate) struct TableVersion {
    /// Of `bytes`.
    pub(crate) sha256: String,
    /// Its rows as they are kept.
    pub(crate) bytes: Arc<Vec<u8>>,
    /// Its rows.
    pub(crate) batch: RecordBatch,
}

/// Reads a table and checks its key.
pub(crate) async fn read(entry: &TableEntry, base: &Path) -> Result<TableVersion, StageError> {
    let rows = entry.settings.read(base, &entry.types).await?;
    version(rows, &entry.key)
}

fn version(rows: Rows, key: &[String]) -> Result<TableVersion, StageError> {
    check_key(&rows, key)?;
    TableVersion::of(rows.batch)
}

impl TableVersion {
    pub(super) fn of(batch: RecordBatch) -> Result<TableVersion, StageError> {
        let bytes = canonical::encode(&batch)?;
        Ok(TableVersion { sha256: sha256(&bytes), bytes: Arc::new(bytes), batch })
    }
}
