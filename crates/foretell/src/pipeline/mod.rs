//! From a pipeline file to a running pipeline.
//!
//! `prepare` loads (`load`, `encoding`, `table`) and plans (`plan`) what the file says (`spec`); `recipes` makes the same
//! stages again for batches that were planned earlier, from what `artifacts` keeps, and `refresh` brings tables up to
//! date, and `reload` models, which `golden` rows try. `source`, `sinks` and `workers` open what there is to be opened, and `observe` does so without leaving a trace.

mod artifacts;
mod bounded;
mod encoding;
mod error;
mod functions;
mod golden;
mod letters;
mod load;
mod observe;
mod plan;
mod prepare;
mod query;
mod recipes;
mod refresh;
mod reload;
mod sinks;
mod source;
mod spec;
mod table;
pub(crate) mod watch;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use foretell_connect::kind::DecodeSpec;
use foretell_flow::{StageFactory, Stages};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::model_file;
use crate::pipeline_file::{FileError, Labels, PipelineFile};
pub(crate) use observe::Begin;

use artifacts::{Artifact, ArtifactStore};
use plan::QueryPlan;
pub(crate) use query::LoadedModel;
use recipes::RecipeStore;
use table::TableVersion;

/// A pipeline whose models are loaded and whose queries are planned; nothing is reached yet.
pub(crate) struct Pipeline {
    /// What the file says.
    pub(crate) file: PipelineFile,
    /// How values are decoded.
    pub(crate) decode: DecodeSpec,
    /// What that was found out from, where the file does not say it.
    pub(crate) inferred: Option<String>,
    /// What is known of its queries.
    pub(crate) planned: QueryPlan,
    /// The models, by name.
    pub(crate) models: BTreeMap<String, (String, Arc<LoadedModel>)>,
    /// What is known of each encoding, in the file's order.
    pub(crate) encodings: Vec<EncodingFacts>,
    recipes: Arc<RecipeStore>,
    artifacts: ArtifactStore,
    /// What is watched of the models.
    pub(crate) watch: Arc<watch::Watch>,
}

/// What is known of an encoding.
pub(crate) struct EncodingFacts {
    /// The class that it behaves as.
    pub(crate) class: &'static str,
    /// How many labels it has.
    pub(crate) labels: usize,
    /// Of its file, if it has one.
    pub(crate) sha256: Option<String>,
}

/// A file has other content than when it was read: what was loaded from it cannot be kept any more.
#[derive(Debug)]
pub(crate) struct Replaced(pub(crate) String);

impl Replaced {
    fn check(loaded: Option<&String>, bytes: &[u8], what: impl Fn() -> String) -> Result<(), Replaced> {
        match loaded {
            Some(loaded) if *loaded != artifacts::sha256(bytes) => Err(Replaced(what())),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Replaced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: its file was replaced while the pipeline started", self.0)
    }
}

impl std::error::Error for Replaced {}

impl Pipeline {
    /// Keeps models, encodings and recipe where a later run of this worker finds them.
    ///
    /// # Errors
    /// [`Replaced`], beside those of reading and keeping.
    pub(crate) async fn keep(&self, worker: &str) -> Result<()> {
        self.artifacts.mark_as(&self.file.name, worker).await?;
        for entry in &self.file.models {
            let bytes = model_file::read_with(&entry.files, &entry.settings.storage())?.bytes;
            let loaded = self.models.get(&entry.name).map(|(loaded, _)| loaded);
            Replaced::check(loaded, &bytes, || format!("model `{}`", entry.name))?;
            self.artifacts.keep(Artifact::Model, bytes).await?;
        }
        for (entry, facts) in self.file.encodings.iter().zip(&self.encodings) {
            let Labels::File(file) = &entry.labels else { continue };
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            Replaced::check(facts.sha256.as_ref(), &bytes, || format!("encoding `{}`", entry.name))?;
            self.artifacts.keep(Artifact::Encoding, bytes).await?;
        }
        self.watch.keep(&self.artifacts, &self.file.name).await?;
        self.recipes.keep().await
    }

    /// Today's decoder and queries.
    pub(crate) fn stages(&self) -> Result<Stages> {
        Ok(self.recipes.stages(&self.recipes.recipe())?)
    }

    /// A reference table as it is now.
    pub(crate) fn table(&self, name: &str) -> Option<TableVersion> {
        self.recipes.table(name)
    }

    /// Reads tables again as often as the file says, until `stop`; with `keep` where a later run finds them.
    pub(crate) fn refresh_tables(&self, keep: bool, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for entry in &self.file.tables {
            let Some(every) = entry.refresh else { continue };
            let artifacts = keep.then(|| self.artifacts.clone());
            let (entry, base, recipes) = (entry.clone(), self.file.base.clone(), self.recipes.clone());
            tasks.spawn(refresh::refresh(entry, every, base, artifacts, recipes, stop.clone()));
        }
        tasks
    }

    /// Looks again and again whether the files of models have changed, until `stop`, as the file asks for; with `keep` what
    /// is taken over is kept where a later run finds it. `told` hears of each model that is taken over.
    pub(crate) fn reload_models(
        &self,
        keep: bool,
        stop: &CancellationToken,
        told: impl Fn(&str, &Arc<LoadedModel>) + Clone + Send + Sync + 'static,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for entry in &self.file.models {
            let Some(every) = entry.settings.refresh else { continue };
            let watch = reload::Reload {
                name: entry.name.clone(),
                files: entry.files.clone(),
                storage: entry.settings.storage(),
                golden: entry.settings.golden.as_ref().map(|golden| self.file.base.join(golden)),
                every: every.0,
                artifacts: keep.then(|| self.artifacts.clone()),
                recipes: self.recipes.clone(),
                planned: self.planned.clone(),
            };
            tasks.spawn(watch.run(stop.clone(), told.clone()));
        }
        tasks
    }

    /// Whether `state:` can be written, without leaving a trace.
    pub(crate) async fn check_state(&self) -> Result<()> {
        self.artifacts.check().await
    }

    /// A stage's error at its place in the file.
    pub(super) fn at(&self, path: &[&str], error: foretell_flow::StageError) -> FileError {
        load::error_at(&self.file, path, error)
    }
}
