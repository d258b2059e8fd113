//! `state:`: what leftover plans may still need, kept under its sha256. It never holds a position.
//!
//! Several pipelines and workers may share the folder. Each marks what it needs, before it keeps it; at its next start it
//! takes the marks back of what no plan and no setting needs any more, and what nobody has marked then is deleted; so it does
//! while it runs, of versions of models and tables that others have replaced. What nobody ever marked, as an earlier version
//! kept it, stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use foretell_connect::storage::{self, ErrorKind, Storage, list_if_there};
use foretell_flow::{Recipe, StageError};
use foretell_storage::StorageSettings;
use sha2::{Digest, Sha256};

/// A folder of what never changes, by its sha256.
#[derive(Debug, Clone)]
pub(crate) struct ArtifactStore {
    storage: Arc<dyn Storage>,
    root: String,
    /// Shared by all copies.
    marks: Arc<Mutex<Marks>>,
    /// Nothing is kept while something of this run goes.
    going: Arc<tokio::sync::RwLock<()>>,
}

/// What one worker's process marks.
#[derive(Debug, Default)]
struct Marks {
    /// The folder of marks, once it is known who marks.
    folder: Option<String>,
    /// Marks of earlier lives that nothing in this one has renewed.
    old: BTreeSet<String>,
    /// What this life has kept, and at which turn it did so last.
    kept: BTreeMap<String, u64>,
    turn: u64,
}

/// The folder of marks, by pipeline and worker.
const MARKS: &str = "needed";
/// How the name of an artifact ends while it is looked whether anybody needs it.
const LEAVING: &str = ".leaving";

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Artifact {
    /// A model file's bytes.
    Model,
    /// The bytes of an encoding's file.
    Encoding,
    /// A reference table's rows.
    Table,
    /// What the pipeline file says about decoding and queries, as JSON.
    Recipe,
}

impl Artifact {
    fn folder(self) -> &'static str {
        match self {
            Artifact::Model => "models",
            Artifact::Encoding => "encodings",
            Artifact::Table => "tables",
            Artifact::Recipe => "recipes",
        }
    }
}

impl ArtifactStore {
    pub(crate) fn open(url: &str, base: &Path) -> Result<ArtifactStore> {
        let (storage, root) = foretell_storage::open(url, base, &StorageSettings::default()).context("`state`")?;
        Ok(ArtifactStore { storage, root, marks: Arc::default(), going: Arc::default() })
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on marks are this worker's. Those of its earlier lives are there until [`collect`](Self::collect).
    pub(crate) async fn mark_as(&self, pipeline: &str, worker: &str) -> Result<()> {
        let folder = format!("{}/{MARKS}/{}/{}", self.root, storage::escape(pipeline), storage::escape(worker));
        let old = list_if_there(&*self.storage, &folder).await.context("`state`")?;
        let old = old.into_iter().map(|entry| entry.name).collect();
        *self.marks() = Marks { folder: Some(folder), old, ..Marks::default() };
        Ok(())
    }

    /// Marks what is kept next.
    async fn mark(&self, artifact: Artifact, sha256: &str) -> Result<(), storage::Error> {
        let name = format!("{}-{sha256}", artifact.folder());
        let folder = {
            let mut marks = self.marks();
            marks.old.remove(&name);
            marks.turn += 1;
            let turn = marks.turn;
            marks.kept.insert(name.clone(), turn);
            marks.folder.clone()
        };
        let Some(folder) = folder else { return Ok(()) };
        self.storage.mkdirs(&folder).await?;
        match self.storage.create_new(&format!("{folder}/{name}"), Vec::new().into()).await {
            Err(error) if error.kind != ErrorKind::Exists => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes what earlier lives of this worker needed and what neither these recipes nor anybody else needs. To be called
    /// while no batch of this process is under way.
    pub(crate) async fn collect(&self, recipes: &[Recipe]) -> Result<(), storage::Error> {
        let needed = names(recipes);
        let (folder, old) = {
            let marks = self.marks();
            let Some(folder) = marks.folder.clone() else { return Ok(()) };
            (folder, marks.old.difference(&needed).cloned().collect::<Vec<_>>())
        };
        for name in old {
            // It may have been kept again since.
            if !self.marks().old.remove(&name) {
                continue;
            }
            self.take_back(&folder, &name).await?;
        }
        Ok(())
    }

    /// How often something was kept.
    pub(crate) fn turn(&self) -> u64 {
        self.marks().turn
    }

    /// Deletes what recipes of this life needed until a turn, and what neither others nor anybody else needs.
    pub(crate) async fn release(&self, past: &[Recipe], needed: &[Recipe], until: u64) -> Result<(), storage::Error> {
        let _going = self.going.write().await;
        for name in names(past).difference(&names(needed)) {
            let folder = {
                let mut marks = self.marks();
                // It may have been kept again since, for a recipe to come.
                if marks.kept.get(name).is_none_or(|turn| *turn > until) {
                    continue;
                }
                marks.kept.remove(name);
                marks.folder.clone()
            };
            let Some(folder) = folder else { return Ok(()) };
            self.take_back(&folder, name).await?;
        }
        Ok(())
    }

    /// Takes a mark back, and deletes what nobody else has marked.
    async fn take_back(&self, folder: &str, name: &str) -> Result<(), storage::Error> {
        self.storage.delete(&format!("{folder}/{name}")).await?;
        if let Some((kind, sha256)) = name.split_once('-')
            && !self.is_marked(name).await?
        {
            self.delete(name, &format!("{}/{kind}/{sha256}", self.root)).await?;
        }
        Ok(())
    }

    /// Deletes an artifact that nobody has marked. Who marks it meanwhile either finds it gone, and keeps it again, or was
    /// there before it was moved away: then it is put back.
    async fn delete(&self, name: &str, path: &str) -> Result<(), storage::Error> {
        let leaving = format!("{path}{LEAVING}");
        self.storage.delete(&leaving).await?;
        match self.storage.rename_new(path, &leaving).await {
            Err(error) if error.kind == ErrorKind::Missing => return Ok(()),
            moved => moved?,
        }
        if self.is_marked(name).await? {
            match self.storage.rename_new(&leaving, path).await {
                Err(error) if error.kind == ErrorKind::Exists => {}
                moved => return moved,
            }
        }
        tracing::debug!("{} is not needed any more", self.storage.url(path));
        self.storage.delete(&leaving).await
    }

    /// Whether any worker of any pipeline has marked it.
    async fn is_marked(&self, name: &str) -> Result<bool, storage::Error> {
        let all = format!("{}/{MARKS}", self.root);
        for pipeline in list_if_there(&*self.storage, &all).await? {
            let folder = format!("{all}/{}", pipeline.name);
            for worker in list_if_there(&*self.storage, &folder).await? {
                if self.storage.stat(&format!("{folder}/{}/{name}", worker.name)).await?.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Where it is, for those who keep something else there.
    pub(crate) fn location(&self) -> (Arc<dyn Storage>, String) {
        (self.storage.clone(), self.root.clone())
    }

    fn path(&self, artifact: Artifact, sha256: &str) -> String {
        format!("{}/{}/{sha256}", self.root, artifact.folder())
    }

    /// Whether it can be written, without leaving a trace.
    pub(crate) async fn check(&self) -> Result<()> {
        self.storage.check_folder(&self.root).await.context("`state`")
    }

    /// Keeps bytes; what is there already stays.
    pub(crate) async fn keep(&self, artifact: Artifact, bytes: Vec<u8>) -> Result<String> {
        let sha256 = sha256(&bytes);
        let _kept = self.going.read().await;
        self.mark(artifact, &sha256).await.context("`state`")?;
        self.storage.mkdirs(&format!("{}/{}", self.root, artifact.folder())).await.context("`state`")?;
        match self.storage.create_new(&self.path(artifact, &sha256), bytes.into()).await {
            Ok(()) => Ok(sha256),
            Err(error) if error.kind == ErrorKind::Exists => Ok(sha256),
            Err(error) => Err(error).context("`state`"),
        }
    }

    /// Where the baseline of a model's first rows is kept.
    pub(crate) fn baseline_path(&self, pipeline: &str, model: &str) -> String {
        format!("{}/baselines/{}/{}", self.root, storage::escape(pipeline), storage::escape(model))
    }

    /// The baseline of a model's first rows, if one was made.
    pub(crate) async fn baseline(&self, pipeline: &str, model: &str) -> Result<Option<Vec<u8>>> {
        match self.storage.read(&self.baseline_path(pipeline, model)).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(error) if error.kind == ErrorKind::Missing => Ok(None),
            Err(error) => Err(error).context("`state`"),
        }
    }

    /// Keeps the baseline of a model's first rows; one that is there already stays.
    pub(crate) async fn keep_baseline(&self, pipeline: &str, model: &str, text: Vec<u8>) -> Result<()> {
        let path = self.baseline_path(pipeline, model);
        self.storage.mkdirs(storage::parent(&path)).await.context("`state`")?;
        match self.storage.create_new(&path, text.into()).await {
            Err(error) if error.kind != ErrorKind::Exists => Err(error).context("`state`"),
            _ => Ok(()),
        }
    }

    fn forgotten(&self, pipeline: &str, sink: &str) -> String {
        format!("{}/forgotten/{}/{}", self.root, storage::escape(pipeline), storage::escape(sink))
    }

    /// Notes that a sink's positions were forgotten on purpose: its next start does not ask where they are.
    pub(crate) async fn forget(&self, pipeline: &str, sink: &str) -> Result<()> {
        let path = self.forgotten(pipeline, sink);
        self.storage.mkdirs(storage::parent(&path)).await.context("`state`")?;
        match self.storage.create_new(&path, Vec::new().into()).await {
            Err(error) if error.kind != ErrorKind::Exists => Err(error).context("`state`"),
            _ => Ok(()),
        }
    }

    /// Whether a sink's positions were forgotten on purpose. Where it has some again, that is over.
    pub(crate) async fn is_forgotten(&self, pipeline: &str, sink: &str, has_positions: bool) -> Result<bool> {
        let path = self.forgotten(pipeline, sink);
        let noted = self.storage.stat(&path).await.context("`state`")?.is_some();
        if noted && has_positions {
            self.storage.delete(&path).await.context("`state`")?;
        }
        Ok(noted && !has_positions)
    }

    /// What was kept.
    pub(crate) async fn get(&self, artifact: Artifact, sha256: &str) -> Result<Vec<u8>, StageError> {
        let path = self.path(artifact, sha256);
        let mut read = self.storage.read(&path).await;
        if read.as_ref().is_err_and(|error| error.kind == ErrorKind::Missing) {
            read = self.storage.read(&format!("{path}{LEAVING}")).await.or(read);
        }
        let bytes = read.map_err(|error| match error.kind {
            ErrorKind::Missing => StageError::state(format!(
                "{} is gone: a batch that some sink still lacks was planned with it, and can only be replayed with it",
                self.storage.url(&path)
            ))
            .remedy(
                "put it back, or give the batch up in the sinks that lack it: `foretell positions show` tells where \
                 they are, `foretell positions set` moves them",
            ),
            _ => error.into(),
        })?;
        if self::sha256(&bytes) != sha256 {
            return Err(StageError::state(format!("{} was changed: its sha256 is another", self.storage.url(&path))));
        }
        Ok(bytes.to_vec())
    }
}

/// What recipes need, as marks are named.
fn names(recipes: &[Recipe]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for recipe in recipes {
        needed.insert(format!("{}-{}", Artifact::Recipe.folder(), recipe.query));
        for sha256 in recipe.models.values() {
            needed.extend([Artifact::Model, Artifact::Encoding].map(|kind| format!("{}-{sha256}", kind.folder())));
        }
        needed.extend(recipe.tables.values().map(|sha256| format!("{}-{sha256}", Artifact::Table.folder())));
    }
    needed
}

/// The sha256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(query: &str, model: &str) -> Recipe {
        let models = [("m".to_string(), sha256(model.as_bytes()))].into();
        Recipe { query: sha256(query.as_bytes()), models, ..Recipe::default() }
    }

    async fn life(folder: &Path, pipeline: &str, worker: &str, query: &str, model: &str, plans: &[Recipe]) {
        let store = ArtifactStore::open(folder.to_str().unwrap(), Path::new("/")).unwrap();
        store.mark_as(pipeline, worker).await.unwrap();
        store.keep(Artifact::Model, model.into()).await.unwrap();
        store.keep(Artifact::Recipe, query.into()).await.unwrap();
        store.collect(plans).await.unwrap();
    }

    async fn there(folder: &Path, models: &[&str]) -> Vec<bool> {
        let store = ArtifactStore::open(folder.to_str().unwrap(), Path::new("/")).unwrap();
        let mut there = Vec::new();
        for model in models {
            there.push(store.get(Artifact::Model, &sha256(model.as_bytes())).await.is_ok());
        }
        there
    }

    #[tokio::test]
    async fn what_no_plan_and_no_setting_needs_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let all = ["one", "two", "three", "old"];
        // An earlier version kept this one, and marked nothing.
        let old = ArtifactStore::open(folder.to_str().unwrap(), Path::new("/")).unwrap();
        old.keep(Artifact::Model, "old".into()).await.unwrap();
        life(folder, "p", "0", "q", "one", &[]).await;
        // A plan of the first life is left over in the second, and not in the third.
        life(folder, "p", "0", "q", "two", &[recipe("q", "one")]).await;
        assert_eq!(there(folder, &all).await, [true, true, false, true]);
        life(folder, "p", "0", "q", "three", &[]).await;
        assert_eq!(there(folder, &all).await, [false, false, true, true]);
        let recipes = std::fs::read_dir(folder.join("recipes")).unwrap().count();
        assert_eq!(recipes, 1, "today's is needed, though no plan has it");
    }

    #[tokio::test]
    async fn what_another_worker_or_pipeline_needs_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        life(folder, "p", "0", "q", "one", &[]).await;
        life(folder, "p", "1", "q", "one", &[]).await;
        life(folder, "other", "0", "q2", "one", &[]).await;
        life(folder, "p", "0", "q", "two", &[]).await;
        assert_eq!(there(folder, &["one"]).await, [true]);
        life(folder, "p", "1", "q", "two", &[]).await;
        assert_eq!(there(folder, &["one"]).await, [true]);
        life(folder, "other", "0", "q2", "two", &[]).await;
        assert_eq!(there(folder, &["one", "two"]).await, [false, true]);
    }

    #[tokio::test]
    async fn what_a_run_does_not_need_any_more_goes_unless_it_was_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let store = ArtifactStore::open(folder.to_str().unwrap(), Path::new("/")).unwrap();
        store.mark_as("p", "0").await.unwrap();
        let all = ["one", "two", "three"];
        for model in all {
            store.keep(Artifact::Model, model.into()).await.unwrap();
        }
        let until = store.turn();
        store.keep(Artifact::Model, "two".into()).await.unwrap();
        let past = all.map(|model| recipe("q", model));
        store.release(&past[..2], &past[2..], until).await.unwrap();
        assert_eq!(there(folder, &all).await, [false, true, true], "the second one was kept again");
        store.release(&past[1..2], &past[2..], store.turn()).await.unwrap();
        assert_eq!(there(folder, &all).await, [false, false, true]);
    }

    #[tokio::test]
    async fn what_a_crash_left_on_its_way_out_is_still_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        life(folder, "p", "0", "q", "one", &[]).await;
        let path = folder.join("models").join(sha256(b"one"));
        std::fs::rename(&path, format!("{}{LEAVING}", path.display())).unwrap();
        assert_eq!(there(folder, &["one"]).await, [true]);
        life(folder, "p", "0", "q", "one", &[]).await;
        assert!(path.exists(), "kept again");
    }
}
