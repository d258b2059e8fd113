//! Today's recipe, and the stages of older ones, made again from what was kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use anyhow::{Result, bail};
use foretell_files::canonical;
use foretell_flow::{Recipe, StageError, StageFactory, Stages};
use foretell_model::Limits;
use foretell_query::Table;

use super::artifacts::{Artifact, ArtifactStore, sha256};
use super::functions::{self, Functions, scorers};
use super::plan::{Around, NewSinks, QueryPlan, joinable, plan};
use super::query::{LoadedModel, wait};
use super::spec::{ModelSpec, PipelineSpec, explains};
use super::table::TableVersion;

/// What was loaded from files, by name and sha256.
type Loaded = Mutex<BTreeMap<(String, String), Functions>>;

/// Today's recipe, and a way back to older ones.
pub(crate) struct RecipeStore {
    current: Mutex<Current>,
    spec: PipelineSpec,
    limits: BTreeMap<String, Limits>,
    /// Sink names, in the order of the file.
    sinks: Vec<String>,
    artifacts: ArtifactStore,
    /// Whether a worker has claimed its sinks.
    begun: AtomicBool,
    loaded: Loaded,
    around: Around,
}

/// What changes while the pipeline runs.
struct Current {
    recipe: Arc<Recipe>,
    tables: BTreeMap<String, TableVersion>,
    /// What tables were before: a plan may be made just before a table changes.
    before: BTreeMap<String, TableVersion>,
    /// Recipes of this run that are not today's any more, as long as a batch may need what was kept for them.
    former: Vec<Former>,
    /// By worker, of which recipes sinks kept plans at its last claim; today's may be among them, and be replaced before they
    /// have landed.
    left_over: BTreeMap<String, Vec<Recipe>>,
    /// Workers whose leftover plans are not known at the moment.
    in_doubt: BTreeSet<String>,
}

/// A recipe of before.
struct Former {
    recipe: Recipe,
    /// Alive while a batch that was planned with it is under way.
    under_way: Weak<Recipe>,
    /// When it was replaced, as the artifacts count.
    until: u64,
}

impl Current {
    fn new(recipe: Arc<Recipe>, tables: BTreeMap<String, TableVersion>) -> Current {
        let (before, former, left_over, in_doubt) = (BTreeMap::new(), Vec::new(), BTreeMap::new(), BTreeSet::new());
        Current { recipe, tables, before, former, left_over, in_doubt }
    }

    /// Another recipe takes its place.
    fn replace(&mut self, recipe: Recipe, until: u64) {
        let before = std::mem::replace(&mut self.recipe, Arc::new(recipe));
        let recipe = (*before).clone();
        self.former.push(Former { recipe, under_way: Arc::downgrade(&before), until });
    }

    /// Takes out what no batch needs any more.
    fn passed(&mut self) -> Vec<Former> {
        if !self.in_doubt.is_empty() {
            return Vec::new();
        }
        let left_over = |former: &Former| self.left_over.values().flatten().any(|recipe| *recipe == former.recipe);
        self.former.extract_if(.., |former| former.under_way.strong_count() == 0 && !left_over(former)).collect()
    }
}

impl RecipeStore {
    /// `loaded`: of each model and encoding in a file its name → the file's sha256 and what it gives.
    pub(crate) fn new(
        spec: PipelineSpec,
        loaded: BTreeMap<String, (String, Functions)>,
        tables: BTreeMap<String, TableVersion>,
        limits: BTreeMap<String, Limits>,
        sinks: Vec<String>,
        artifacts: ArtifactStore,
    ) -> Result<RecipeStore> {
        let query = sha256(&serde_json::to_vec(&spec)?);
        let hashes = loaded.iter().map(|(name, (sha256, _))| (name.clone(), sha256.clone())).collect();
        let of_tables = tables.iter().map(|(name, version)| (name.clone(), version.sha256.clone())).collect();
        let recipe = Arc::new(Recipe { query, models: hashes, tables: of_tables });
        let current = Mutex::new(Current::new(recipe, tables));
        let cached = loaded.into_iter().map(|(name, (sha256, functions))| ((name, sha256), functions)).collect();
        let (begun, loaded) = (AtomicBool::new(false), Mutex::new(cached));
        Ok(RecipeStore { current, spec, limits, sinks, artifacts, begun, loaded, around: Around::default() })
    }

    /// What stages are made with beside a recipe.
    pub(crate) fn with(self, around: Around) -> RecipeStore {
        RecipeStore { around, ..self }
    }

    /// A table as it is now.
    pub(crate) fn table(&self, name: &str) -> Option<TableVersion> {
        self.current().tables.get(name).cloned()
    }

    /// A table has other rows from the next batch on.
    pub(crate) fn renew(&self, name: &str, version: TableVersion) {
        let mut current = self.current();
        let mut recipe = (*current.recipe).clone();
        recipe.tables.insert(name.to_string(), version.sha256.clone());
        if let Some(before) = current.tables.insert(name.to_string(), version) {
            current.before.insert(name.to_string(), before);
        }
        current.replace(recipe, self.artifacts.turn());
        drop(current);
        self.release();
    }

    /// What this run kept, and no batch needs any more, goes.
    fn release(&self) {
        let (passed, needed) = {
            let mut current = self.current();
            let passed = current.passed();
            let mut needed: Vec<Recipe> = current.former.iter().map(|former| former.recipe.clone()).collect();
            needed.push((*current.recipe).clone());
            (passed, needed)
        };
        let Some(until) = passed.iter().map(|former| former.until).max() else { return };
        let passed: Vec<Recipe> = passed.into_iter().map(|former| former.recipe).collect();
        let artifacts = self.artifacts.clone();
        tokio::spawn(async move {
            if let Err(error) = artifacts.release(&passed, &needed, until).await {
                tracing::debug!("what is not needed any more stays in `state` until the next start: {error}");
            }
        });
    }

    /// Whether a model of another file fits in the place of the one that is there: the queries can be planned with it, and
    /// give the same columns.
    pub(crate) async fn fits(&self, name: &str, functions: Functions, planned: &QueryPlan) -> Result<()> {
        let (mut all, tables) = self.gather(&self.recipe(), &self.spec).await?;
        all.retain(|(known, _)| known != name);
        all.extend(functions);
        let (_, next) = plan(&self.spec, all, tables, &self.sinks, None, &self.around).await?;
        if next.result != planned.result || next.sinks != planned.sinks {
            bail!("the query would give other columns than with the model before");
        }
        Ok(())
    }

    /// The SHA-256 of a model's file as it is now.
    pub(crate) fn model_of(&self, name: &str) -> Option<String> {
        self.current().recipe.models.get(name).cloned()
    }

    /// A model is read from another file from the next batch on.
    pub(crate) fn renew_model(&self, name: &str, sha256: &str, functions: Functions) {
        let before = {
            let mut current = self.current();
            let mut recipe = (*current.recipe).clone();
            let before = recipe.models.insert(name.to_string(), sha256.to_string());
            current.replace(recipe, self.artifacts.turn());
            before
        };
        self.release();
        let mut cache = self.cache();
        // Those of earlier files are read again from `state:` where a leftover plan needs them.
        cache.retain(|(known, version), _| known != name || Some(version) == before.as_ref());
        cache.insert((name.to_string(), sha256.to_string()), functions);
    }

    /// How a model's file is read, and within which limits.
    pub(crate) fn model_spec(&self, name: &str) -> (ModelSpec, Limits, bool) {
        let spec = self.spec.models.get(name).cloned().unwrap_or_default();
        (spec, self.limits.get(name).cloned().unwrap_or_default(), explains(name, self.spec.queries()))
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps the recipe's spec and the tables where a later run finds them.
    pub(crate) async fn keep(&self) -> Result<()> {
        let tables: Vec<TableVersion> = self.current().tables.values().cloned().collect();
        for version in tables {
            self.artifacts.keep(Artifact::Table, version.bytes.to_vec()).await?;
        }
        self.artifacts.keep(Artifact::Recipe, serde_json::to_vec(&self.spec)?).await.map(drop)
    }

    async fn load(&self, name: &str, sha256: &str, spec: &PipelineSpec) -> Result<Functions, StageError> {
        let key = (name.to_string(), sha256.to_string());
        if let Some(functions) = self.cache().get(&key) {
            return Ok(functions.clone());
        }
        let limits = self.limits.get(name).cloned().unwrap_or_default();
        let functions: Functions = if let Some(encoding) = spec.encodings.get(name) {
            let bytes = self.artifacts.get(Artifact::Encoding, sha256).await?;
            let encoding = encoding.load(&bytes, limits);
            let wrong = |error| StageError::state(format!("encoding `{name}`: {error:#}"));
            functions::of_encoding(name, encoding.map_err(wrong)?)
        } else {
            let bytes = self.artifacts.get(Artifact::Model, sha256).await?;
            let model = spec.models.get(name).cloned().unwrap_or_default();
            let wrong = |error| StageError::state(format!("model `{name}`: {error}"));
            let model = model.load(&bytes, limits, explains(name, spec.queries())).map_err(wrong)?;
            LoadedModel::functions(name, &Arc::new(LoadedModel::new(name, sha256, model)))
        };
        self.cache().insert(key, functions.clone());
        Ok(functions)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Functions>> {
        self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn stages_async(&self, recipe: &Recipe) -> Result<Stages, StageError> {
        let current = self.recipe();
        if recipe.query == current.query {
            let (functions, tables) = self.gather(recipe, &self.spec).await?;
            let prepared = plan(&self.spec, functions, tables, &self.sinks, None, &self.around).await;
            return prepared.map(|(stages, _)| stages).map_err(|error| StageError::settings(error.to_string()));
        }
        let bytes = self.artifacts.get(Artifact::Recipe, &recipe.query).await?;
        let spec: PipelineSpec =
            serde_json::from_slice(&bytes).map_err(|_| StageError::state("a kept recipe does not read"))?;
        let (functions, tables) = self.gather(recipe, &spec).await?;
        let new_sinks = match spec.new_sinks(&self.spec).as_slice() {
            [] => None,
            views => {
                let (functions, tables) = self.gather(&current, &self.spec).await?;
                let functions =
                    scorers(&self.spec, functions).map_err(|error| StageError::settings(error.to_string()))?;
                Some(NewSinks { views: views.iter().cloned().collect(), functions, tables })
            }
        };
        let prepared = plan(&spec, functions, tables, &self.sinks, new_sinks.as_ref(), &self.around).await;
        prepared.map(|(stages, _)| stages).map_err(|error| {
            StageError::state(format!(
                "batches that some sink lacks were planned with another query, and cannot be made again: {error}"
            ))
            .remedy(
                "run the pipeline file as it was before, until `foretell positions show` tells that every sink has \
                 caught up; or give them up with `foretell positions set`",
            )
        })
    }

    /// What a recipe's queries call and join.
    async fn gather(&self, recipe: &Recipe, spec: &PipelineSpec) -> Result<(Functions, Vec<Table>), StageError> {
        let mut functions = Functions::new();
        for (name, sha256) in &recipe.models {
            functions.extend(self.load(name, sha256, spec).await?);
        }
        let mut tables = Vec::with_capacity(recipe.tables.len());
        for (name, sha256) in &recipe.tables {
            let at_hand = {
                let current = self.current();
                let versions = [current.tables.get(name), current.before.get(name)];
                let version = versions.into_iter().flatten().find(|version| version.sha256 == *sha256);
                version.map(|version| version.batch.clone())
            };
            let batch = match at_hand {
                Some(batch) => batch,
                None => canonical::decode(self.artifacts.get(Artifact::Table, sha256).await?)?,
            };
            tables.push(joinable(name, batch));
        }
        Ok((functions, tables))
    }
}

impl StageFactory for RecipeStore {
    fn recipe(&self) -> Arc<Recipe> {
        self.current().recipe.clone()
    }

    fn stages(&self, recipe: &Recipe) -> Result<Stages, StageError> {
        wait(self.stages_async(recipe))
    }

    fn begins(&self, worker: &str, mut leftover: Vec<Recipe>) {
        {
            let mut current = self.current();
            current.in_doubt.remove(worker);
            current.left_over.insert(worker.to_owned(), leftover.clone());
        }
        self.release();
        // Of several workers in this process the first: behind it batches are under way.
        if self.begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let artifacts = self.artifacts.clone();
        leftover.push((*self.recipe()).clone());
        tokio::spawn(async move {
            if let Err(error) = artifacts.collect(&leftover).await {
                tracing::debug!("what is not needed any more stays in `state`: {error}");
            }
        });
    }

    fn ends(&self, worker: &str) {
        self.current().in_doubt.insert(worker.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(model: &str) -> Recipe {
        let models = BTreeMap::from([("m".to_string(), model.to_string())]);
        Recipe { query: "q".into(), models, tables: BTreeMap::new() }
    }

    #[test]
    fn what_a_leftover_batch_needs_stays_when_its_model_is_replaced_after_the_claim() {
        let mut current = Current::new(Arc::new(recipe("one")), BTreeMap::new());
        current.left_over.insert("0".into(), vec![recipe("one")]);
        current.left_over.insert("1".into(), Vec::new());
        current.replace(recipe("two"), 1);
        current.replace(recipe("three"), 2);
        let passed =
            |current: &mut Current| -> Vec<Recipe> { current.passed().into_iter().map(|one| one.recipe).collect() };
        assert_eq!(passed(&mut current), [recipe("two")], "no batch was planned with it");
        current.left_over.insert("0".into(), Vec::new());
        assert_eq!(passed(&mut current), [recipe("one")], "the sinks have all of it at the next claim");
    }
}
