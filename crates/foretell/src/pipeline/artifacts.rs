//! `state:`: what leftover plans may still need, kept under its sha256. It never holds a position.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use foretell_connect::storage::{self, ErrorKind, Storage};
use foretell_flow::StageError;
use foretell_storage::StorageSettings;
use sha2::{Digest, Sha256};

/// A folder of what never changes, by its sha256.
#[derive(Debug, Clone)]
pub(crate) struct ArtifactStore {
    storage: Arc<dyn Storage>,
    root: String,
}

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
        Ok(ArtifactStore { storage, root })
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
        let bytes = self.storage.read(&path).await.map_err(|error| match error.kind {
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

/// The sha256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
