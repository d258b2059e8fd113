//! A model's file is looked at again and again: another one takes over at the next batch, if it fits.
//!
//! Each plan names the models it is made with by their SHA-256, so that a batch which is replayed is made with the model of
//! its own time, and workers on several machines may take a file over at different moments.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use foretell_storage::StorageSettings;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::artifacts::{Artifact, ArtifactStore, sha256};
use super::golden;
use super::plan::QueryPlan;
use super::query::LoadedModel;
use super::recipes::RecipeStore;
use crate::model_file;

/// One model that is looked after.
pub(super) struct Reload {
    pub(super) name: String,
    /// One, or those of a chain.
    pub(super) files: Vec<PathBuf>,
    /// What storages need to know.
    pub(super) storage: StorageSettings,
    /// Rows with what the model must say of them.
    pub(super) golden: Option<PathBuf>,
    pub(super) every: Duration,
    /// Without a place to keep models (a dry run) they are only used.
    pub(super) artifacts: Option<ArtifactStore>,
    pub(super) recipes: Arc<RecipeStore>,
    pub(super) planned: QueryPlan,
}

impl Reload {
    /// Looks until `stop`.
    pub(super) async fn run(self, stop: CancellationToken, told: impl Fn(&str, &Arc<LoadedModel>)) {
        let mut seen = self.stamp().await;
        // A file that was swapped while the pipeline was starting is seen by its hash.
        let mut looked = false;
        // The same error again and again, as while a storage is away, is told once.
        let mut last = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
            let now = self.stamp().await;
            if looked && now.is_some() && now == seen {
                continue;
            }
            (seen, looked) = (now, true);
            match self.renew().await {
                Ok(None) => last.clear(),
                Ok(Some(model)) => {
                    last.clear();
                    let (class, sha256) = (model.model.describe().root.class.as_str(), model.sha256());
                    info!(model = self.name, class, sha256, "another model file serves the batches from now on");
                    told(&self.name, &model);
                }
                Err(cause) => {
                    let files: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
                    let files = files.join("+");
                    let cause = format!("{cause:#}");
                    if cause != last {
                        error!(model = self.name, "{files} is refused, and the model goes on as it was: {cause}");
                    }
                    last = cause;
                }
            }
        }
    }

    async fn stamp(&self) -> Option<Vec<String>> {
        let (files, storage) = (self.files.clone(), self.storage.clone());
        tokio::task::spawn_blocking(move || model_file::stamp(&files, &storage)).await.ok().flatten()
    }

    /// Takes the file over, if it is another one and fits.
    async fn renew(&self) -> Result<Option<Arc<LoadedModel>>> {
        let (files, storage) = (self.files.clone(), self.storage.clone());
        let read = tokio::task::spawn_blocking(move || model_file::read_with(&files, &storage))
            .await
            .context("reading it")??;
        let bytes = read.bytes;
        let sha256 = sha256(&bytes);
        if self.recipes.model_of(&self.name).as_deref() == Some(sha256.as_str()) {
            return Ok(None);
        }
        let (spec, limits, explain) = self.recipes.model_spec(&self.name);
        let (name, golden, hash) = (self.name.clone(), self.golden.clone(), sha256.clone());
        let load = move || -> Result<(Arc<LoadedModel>, Vec<u8>)> {
            let model = spec.load(&bytes, limits, explain)?;
            if let Some(golden) = golden {
                golden::check(&model, &golden)?;
            }
            Ok((Arc::new(LoadedModel::new(&name, &hash, model)), bytes))
        };
        let (model, bytes) = tokio::task::spawn_blocking(load).await.context("loading it")??;
        let functions = LoadedModel::functions(&self.name, &model);
        self.recipes.fits(&self.name, functions.clone(), &self.planned).await?;
        // Before the first plan that names it.
        if let Some(artifacts) = &self.artifacts {
            artifacts.keep(Artifact::Model, bytes).await?;
        }
        self.recipes.renew_model(&self.name, &sha256, functions);
        Ok(Some(model))
    }
}
