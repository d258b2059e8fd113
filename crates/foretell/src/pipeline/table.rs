//! A reference table as it is at one moment.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use foretell_connect::table::{Rows, check_key};
use foretell_files::{canonical, table as file};
use foretell_flow::StageError;

use super::artifacts::sha256;
use crate::pipeline_file::{TableEntry, TableSource};

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
    let rows = match &entry.source {
        TableSource::Sql(settings) => settings.read(base).await?,
        TableSource::File { name, format, types } => {
            let path = base.join(name);
            let bytes = tokio::fs::read(&path).await.map_err(|error| {
                StageError::unavailable(format!("{}: {error}", path.display()))
                    .remedy("`file` is relative to the pipeline file's folder")
            })?;
            let (name, format, types) = (path.display().to_string(), *format, types.clone());
            let reading = tokio::task::spawn_blocking(move || file::read(&name, format, bytes, &types));
            reading.await.map_err(|_| StageError::unavailable("reading was interrupted"))??
        }
    };
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
