//! Reference tables are read again as often as the file says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use foretell_flow::StageError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::artifacts::{Artifact, ArtifactStore};
use super::recipes::RecipeStore;
use super::table::{TableVersion, read};
use crate::pipeline_file::TableEntry;

/// Reads a table again and again, until `stop`. Without a place to keep its versions (a dry run) they are only used.
pub(super) async fn refresh(
    entry: TableEntry,
    every: Duration,
    base: std::path::PathBuf,
    artifacts: Option<ArtifactStore>,
    recipes: Arc<RecipeStore>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        match renew(&entry, &base, artifacts.as_ref(), &recipes).await {
            Ok(None) => {}
            Ok(Some(rows)) => info!(table = entry.name, rows, "read again: other rows than before"),
            Err(error) => warn!(table = entry.name, "not read again, the earlier rows stay: {error:#}"),
        }
    }
}

/// How many rows a table has now, if they are others than before.
async fn renew(
    entry: &TableEntry,
    base: &Path,
    artifacts: Option<&ArtifactStore>,
    recipes: &RecipeStore,
) -> Result<Option<usize>> {
    let mut version = read(entry, base).await?;
    let Some(before) = recipes.table(&entry.name) else { return Ok(None) };
    if before.batch.schema() != version.batch.schema() {
        let fitted = foretell_sql::table::refit(&version.batch, &before.batch.schema());
        let Some(batch) = fitted else {
            let message = "its columns are others than when the pipeline started, or its decimals have more digits; a new \
                           start takes them";
            return Err(StageError::settings(message).into());
        };
        version = TableVersion::of(batch)?;
    }
    if before.sha256 == version.sha256 {
        return Ok(None);
    }
    // Before the first plan that names it.
    if let Some(artifacts) = artifacts {
        artifacts.keep(Artifact::Table, version.bytes.to_vec()).await?;
    }
    let rows = version.batch.num_rows();
    recipes.renew(&entry.name, version);
    Ok(Some(rows))
}
