//! The list of files in `state:`: numbered records, each put where none is.
//!
//! A record adds files to the list, and says who added them. Numbers have no holes. A storage that has no locks (HDFS) gets
//! a record at each start as well: whoever finds another's record behind its own knows that two processes read the same
//! files.

use std::collections::HashMap;
use std::sync::Arc;

use foretell_flow::StageError;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::settings::{MOST_PARTITIONS, ReadOptions};
use foretell_connect::machine;
use foretell_connect::storage::path::one_spelling;
use foretell_connect::storage::{ErrorKind, Storage, file_name, list_if_there, parent};

/// Raised when records change their meaning.
const FORMAT: u32 = 1;
/// The folder of what is noted with commits.
const NOTES: &str = "notes";
/// Records read at once.
const AT_ONCE: usize = 16;

/// A file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Its path or URL.
    pub(super) url: String,
    pub(super) size: u64,
    /// Of the storage: the time of its last change, or its ETag.
    pub(super) version: String,
    /// When it was changed last, in milliseconds since the epoch.
    pub(super) modified: i64,
    #[serde(alias = "how")]
    pub(super) options: ReadOptions,
    /// The number of its first entry.
    pub(super) first: u64,
    /// How many entries it has.
    pub(super) entries: u64,
    /// Bytes an entry.
    pub(super) split: u64,
}

impl Listed {
    /// The bytes of an entry, by its number.
    pub(super) fn range(&self, entry: u64) -> (u64, u64) {
        let from = entry.saturating_sub(self.first).saturating_mul(self.split);
        (from, from.saturating_add(self.split).min(self.size))
    }
}

/// Who reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    nonce: String,
    host: String,
    pid: u32,
}

impl Run {
    fn this() -> Run {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        Run { nonce, host: machine::host(), pid: std::process::id() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    number: u64,
    /// Names the list for ever.
    id: String,
    #[serde(alias = "lanes")]
    partitions: usize,
    run: Run,
    files: Vec<Listed>,
}

/// Everything that the records say.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) partitions: usize,
    pub(super) files: Vec<Arc<Listed>>,
    /// How many entries the files have.
    pub(super) entries: u64,
}

impl Known {
    /// The file that an entry is of.
    pub(super) fn file(&self, entry: u64) -> Option<&Arc<Listed>> {
        let behind = self.files.partition_point(|file| file.first <= entry);
        self.files.get(behind.checked_sub(1)?).filter(|file| entry < file.first.saturating_add(file.entries))
    }

    /// Adds files, whose entries follow those that are there.
    pub(super) fn add(&mut self, files: Vec<Listed>) {
        for mut file in files {
            file.first = self.entries;
            self.entries = self.entries.saturating_add(file.entries);
            self.files.push(Arc::new(file));
        }
    }
}

/// The records, as far as they were read.
#[derive(Debug)]
pub(super) struct Manifest {
    storage: Arc<dyn Storage>,
    folder: String,
    run: Run,
    next: u64,
    pub(super) known: Known,
    /// Versions by URL.
    seen: HashMap<String, String>,
}

impl Manifest {
    /// Reads what is there; an empty list, not yet kept, where nothing is.
    pub(super) async fn read(
        storage: Arc<dyn Storage>,
        folder: String,
        partitions: usize,
    ) -> Result<Manifest, StageError> {
        let known = Known { id: uuid::Uuid::new_v4().simple().to_string(), partitions, files: Vec::new(), entries: 0 };
        let mut manifest = Manifest { storage, folder, run: Run::this(), next: 0, known, seen: HashMap::new() };
        manifest.read_on().await?;
        Ok(manifest)
    }

    /// Whether there is a list in `state:`.
    pub(super) fn kept(&self) -> bool {
        self.next > 0
    }

    /// The version of a file that is in the list.
    pub(super) fn version(&self, url: &str) -> Option<&str> {
        self.seen.get(url).map(String::as_str)
    }

    /// Where people find it.
    pub(super) fn place(&self) -> String {
        self.storage.url(&self.folder)
    }

    fn path(&self, number: u64) -> String {
        format!("{}/{number:010}.json", self.folder)
    }

    /// Reads the records that were put since. Says who else put one.
    async fn read_on(&mut self) -> Result<Option<Run>, StageError> {
        let names = list_if_there(&*self.storage, &self.folder).await?;
        let number = |name: &str| name.strip_suffix(".json")?.parse::<u64>().ok();
        let mut numbers: Vec<u64> = names.iter().filter_map(|entry| number(&entry.name)).collect();
        numbers.retain(|number| *number >= self.next);
        numbers.sort_unstable();
        let (storage, paths) = (&self.storage, numbers.iter().map(|number| self.path(*number)));
        let reads: Vec<_> = paths.map(|path| async move { Ok((storage.read(&path).await?, path)) }).collect();
        let records: Result<Vec<_>, StageError> = stream::iter(reads).buffered(AT_ONCE).try_collect().await;
        let mut other = None;
        for (bytes, path) in records? {
            let damaged = |what: String| {
                StageError::state(format!("{}: {what}", self.storage.url(&path))).remedy(format!(
                    "restore it, or remove {} and `foretell positions forget`: then all files are read again",
                    self.place()
                ))
            };
            let record: Record =
                serde_json::from_slice(&bytes).map_err(|error| damaged(format!("not a list of files: {error}")))?;
            if record.format != FORMAT {
                return Err(damaged(format!("lists of format {} are not known", record.format)));
            }
            if record.number != self.next {
                return Err(damaged(format!("record {} is missing", self.next)));
            }
            let whole = |file: &Listed| file.split > 0 && file.entries == file.size.div_ceil(file.split);
            if !(1..=usize::from(MOST_PARTITIONS)).contains(&record.partitions) {
                return Err(damaged(format!("{} partitions: 1 to {MOST_PARTITIONS} are possible", record.partitions)));
            }
            if !record.files.iter().all(whole) {
                return Err(damaged("its files are cut in a way that cannot be".to_string()));
            }
            if record.run != self.run {
                other = Some(record.run.clone());
            }
            self.apply(record);
        }
        Ok(other)
    }

    fn apply(&mut self, record: Record) {
        self.known.id = record.id;
        self.known.partitions = record.partitions;
        // A list may be older than the one spelling that a path has.
        self.seen.extend(record.files.iter().map(|file| (one_spelling(&file.url), file.version.clone())));
        self.known.add(record.files);
        self.next = record.number.saturating_add(1);
    }

    /// Keeps files behind those that are there.
    pub(super) async fn keep(&mut self, files: Vec<Listed>) -> Result<(), StageError> {
        if !self.kept() {
            self.storage.mkdirs(&self.folder).await?;
        }
        let record = Record {
            format: FORMAT,
            number: self.next,
            id: self.known.id.clone(),
            partitions: self.known.partitions,
            run: self.run.clone(),
            files,
        };
        let bytes = serde_json::to_vec(&record).map_err(|error| StageError::state(error.to_string()))?;
        match self.storage.create_new(&self.path(record.number), bytes.into()).await {
            Ok(()) => {
                self.apply(record);
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::Exists => match self.read_on().await? {
                Some(other) => Err(self.shared_with(&other)),
                // A put that was tried twice on the way has found its own record.
                None => Ok(()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The lists beside this one, of other pipelines.
    pub(super) async fn others(&self) -> Result<Vec<Known>, StageError> {
        let (above, own) = (parent(&self.folder), file_name(&self.folder));
        let mut others = Vec::new();
        for entry in list_if_there(&*self.storage, above).await? {
            if entry.name != own && entry.stat.folder {
                let folder = format!("{above}/{}", entry.name);
                others.push(Manifest::read(self.storage.clone(), folder, self.known.partitions).await?.known);
            }
        }
        Ok(others)
    }

    /// What was noted with commits.
    pub(super) async fn notes(&self) -> Result<Vec<String>, StageError> {
        let folder = format!("{}/{NOTES}", self.folder);
        let entries = list_if_there(&*self.storage, &folder).await?;
        let mut notes = Vec::with_capacity(entries.len());
        for entry in entries {
            let bytes = self.storage.read(&format!("{folder}/{}", entry.name)).await?;
            notes.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(notes)
    }

    /// Keeps a note, once.
    pub(super) async fn note(&self, note: &str) -> Result<(), StageError> {
        let folder = format!("{}/{NOTES}", self.folder);
        let mut sum = flate2::Crc::new();
        sum.update(note.as_bytes());
        self.storage.mkdirs(&folder).await?;
        let path = format!("{folder}/{:08x}-{}", sum.sum(), note.len());
        match self.storage.create_new(&path, note.to_owned().into()).await {
            Err(error) if error.kind != ErrorKind::Exists => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Fails where another process has begun to read the same files since.
    pub(super) async fn check_alone(&mut self) -> Result<(), StageError> {
        match self.read_on().await? {
            Some(other) => Err(self.shared_with(&other)),
            None => Ok(()),
        }
    }

    fn shared_with(&self, other: &Run) -> StageError {
        StageError::settings(format!(
            "another process (host {}, process {}) reads the same files for this pipeline",
            other.host, other.pid
        ))
        .remedy("one process reads a pipeline's files: more workers come from `--workers`, or give the pipeline another name")
    }
}
