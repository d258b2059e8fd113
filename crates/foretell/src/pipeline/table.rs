//! Reference tables: read at start, kept by their sha256, and read again on a schedule.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use arrow::array::RecordBatch;
use foretell_connect::table::{Rows, check_key};
use foretell_files::{keep, table as file};
use foretell_flow::StageError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::recipes::RecipeStore;
use super::state::{State, Thing, sha256};
use crate::pipeline_file::{TableEntry, TableSource};

/// A table at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Of `bytes`.
    pub(crate) sha256: String,
    /// Its rows as they are kept.
    pub(crate) bytes: Arc<Vec<u8>>,
    /// Its rows.
    pub(crate) batch: RecordBatch,
}

/// Reads a table and checks its key.
pub(crate) async fn read(entry: &TableEntry, base: &Path) -> Result<Version, StageError> {
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

fn version(rows: Rows, key: &[String]) -> Result<Version, StageError> {
    check_key(&rows, key)?;
    Version::of(rows.batch)
}

impl Version {
    fn of(batch: RecordBatch) -> Result<Version, StageError> {
        let bytes = keep::encode(&batch)?;
        Ok(Version { sha256: sha256(&bytes), bytes: Arc::new(bytes), batch })
    }
}

/// Reads a table again and again, until `stop`. Without a place to keep its versions (a dry run) they are only used.
pub(super) async fn refresh(
    entry: TableEntry,
    every: Duration,
    base: std::path::PathBuf,
    state: Option<State>,
    recipes: Arc<RecipeStore>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        match renew(&entry, &base, state.as_ref(), &recipes).await {
            Ok(None) => {}
            Ok(Some(rows)) => info!(table = entry.name, rows, "read again: other rows than before"),
            Err(error) => warn!(table = entry.name, "not read again, the rows of before stay: {error:#}"),
        }
    }
}

/// How many rows a table has now, if they are others than before.
async fn renew(entry: &TableEntry, base: &Path, state: Option<&State>, recipes: &RecipeStore) -> Result<Option<usize>> {
    let mut version = read(entry, base).await?;
    let Some(before) = recipes.table(&entry.name) else { return Ok(None) };
    if before.batch.schema() != version.batch.schema() {
        let fitted = foretell_sql::table::refit(&version.batch, &before.batch.schema());
        let Some(batch) = fitted else {
            let message = "its columns are others than when the pipeline started, or its decimals have more digits; a new \
                           start takes them";
            return Err(StageError::settings(message).into());
        };
        version = Version::of(batch)?;
    }
    if before.sha256 == version.sha256 {
        return Ok(None);
    }
    // Before the first plan that names it.
    if let Some(state) = state {
        state.keep(Thing::Table, version.bytes.to_vec()).await?;
    }
    let rows = version.batch.num_rows();
    recipes.renew(&entry.name, version);
    Ok(Some(rows))
}
