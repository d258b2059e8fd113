//! What the workers of a process share: the list of files, and what is known of them.

#![allow(clippy::arithmetic_side_effects, reason = "counts of lines and bytes that were read")]

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use foretell_flow::StageError;
use tokio::sync::watch;

use super::find::find;
use super::list::{Known, Listed};
use super::manifest::Manifest;
use super::settings::{Found, ReadOptions, Settings};
use foretell_connect::human::HumanSize;
use foretell_connect::kind::{DecodeSpec, SourceContext};
use foretell_connect::storage::{ErrorKind, Reader, Reading, Stat, Storage, escape};

/// Bytes read at once where lines are only counted.
const COUNT_BLOCK: u64 = 4 << 20;
/// Files that a report names.
const NAMED: usize = 5;
/// A record's bytes, before any was read.
const USUAL_RECORD: u64 = 50;

/// The files of a pipeline.
pub(super) struct Catalog {
    pub(super) settings: Arc<Settings>,
    pub(super) decode: DecodeSpec,
    base: PathBuf,
    /// What the paths mean.
    patterns: Vec<Found>,
    /// Storages by the URL that they were opened with, without the path.
    storages: Mutex<HashMap<String, Arc<dyn Reading>>>,
    manifest: tokio::sync::Mutex<(Manifest, Instant)>,
    known: watch::Sender<Arc<Known>>,
    /// Lines that begin in an entry, of those where they were counted.
    lines: Mutex<HashMap<u64, i64>>,
    /// Files whose beginning is as it should be, by their first entry, and whether that is read as all of the file.
    checked: Mutex<HashMap<u64, bool>>,
    /// Records and bytes read so far.
    read: (AtomicU64, AtomicU64),
    /// Files that were not in the list yet.
    new: usize,
    /// Whether the storage's lock keeps others out.
    locks: bool,
    /// Whether what is found is written down.
    keeps: bool,
}

/// A catalog for as long as its files are read: other processes are kept out.
pub(super) struct Session {
    pub(super) catalog: Arc<Catalog>,
    _lock: Option<Box<dyn Send + Sync>>,
}

impl Session {
    /// Opens the list, adds what is new, and keeps other processes out.
    pub(super) async fn open(settings: Arc<Settings>, context: &SourceContext) -> Result<Session, StageError> {
        let (storage, root) = &context.state;
        let folder = folder(root, &context.pipeline);
        storage.mkdirs(&folder).await?;
        let lock = lock(&**storage, &folder).await?;
        let mut catalog = Catalog::read(settings, context).await?;
        let manifest = &mut catalog.manifest.get_mut().0;
        if !storage.locks() || !manifest.kept() {
            manifest.keep(Vec::new()).await?;
        }
        catalog.keeps = true;
        catalog.new = catalog.look().await?;
        catalog.refuse_nothing(context)?;
        Ok(Session { catalog: Arc::new(catalog), _lock: Some(lock) })
    }

    /// Without keeping anyone out.
    pub(super) fn look_only(catalog: Catalog) -> Session {
        Session { catalog: Arc::new(catalog), _lock: None }
    }
}

impl Catalog {
    /// What is there, without writing anything: files that are new are in the list of this process only.
    pub(super) async fn look_only(settings: Arc<Settings>, context: &SourceContext) -> Result<Catalog, StageError> {
        let mut catalog = Catalog::read(settings, context).await?;
        catalog.new = catalog.look().await?;
        catalog.refuse_nothing(context)?;
        Ok(catalog)
    }

    async fn read(settings: Arc<Settings>, context: &SourceContext) -> Result<Catalog, StageError> {
        let (storage, root) = &context.state;
        let folder = folder(root, &context.pipeline);
        let manifest = Manifest::read(storage.clone(), folder, settings.partitions()).await?;
        if let Some(partitions) =
            settings.partitions_given().filter(|partitions| *partitions != manifest.known.partitions)
        {
            let message = format!(
                "`partitions` is {partitions}, but {} was begun with {}: positions are stored by partition",
                manifest.place(),
                manifest.known.partitions
            );
            return Err(StageError::settings(message)
                .remedy("write the number it was begun with, or give the pipeline another name"));
        }
        let patterns = settings.places(&context.base)?;
        Ok(Catalog {
            decode: context.decode.clone(),
            base: context.base.clone(),
            patterns,
            storages: Mutex::default(),
            known: watch::Sender::new(Arc::new(manifest.known.clone())),
            manifest: tokio::sync::Mutex::new((manifest, Instant::now())),
            lines: Mutex::default(),
            checked: Mutex::default(),
            read: Default::default(),
            new: 0,
            locks: storage.locks(),
            keeps: false,
            settings,
        })
    }

    fn refuse_nothing(&self, context: &SourceContext) -> Result<(), StageError> {
        let known = self.known();
        if !known.files.is_empty() || !context.ends {
            return Ok(());
        }
        Err(StageError::settings(format!("no file matches {}", self.settings.paths().join(", ")))
            .remedy("names that begin with `_` or `.` and empty files do not count"))
    }

    /// What is in the list now.
    pub(super) fn known(&self) -> Arc<Known> {
        self.known.borrow().clone()
    }

    /// What was noted with commits.
    pub(super) async fn notes(&self) -> Result<Vec<String>, StageError> {
        self.manifest.lock().await.0.notes().await
    }

    /// Keeps what is noted with a commit.
    pub(super) async fn keep_note(&self, note: &str) -> Result<(), StageError> {
        self.manifest.lock().await.0.note(note).await
    }

    /// The lists of other pipelines in the same `state:` that have a file of ours.
    pub(super) async fn kin(&self) -> Result<Vec<String>, StageError> {
        let ours: HashSet<String> = self.known().files.iter().map(|file| file.url.clone()).collect();
        let others = self.manifest.lock().await.0.others().await?;
        let shares = |known: &Known| known.files.iter().any(|file| ours.contains(&file.url));
        Ok(others.into_iter().filter(shares).map(|known| known.id).collect())
    }

    /// Resolves when the list has grown beyond this many entries.
    pub(super) async fn grown(&self, entries: u64) {
        let mut known = self.known.subscribe();
        // The sender lives as long as the catalog.
        let _ = known.wait_for(|known| known.entries > entries).await;
    }

    /// Looks for new files, where it is time to, whichever worker asks.
    pub(super) async fn watch(&self) -> Result<(), StageError> {
        let due = match self.manifest.try_lock() {
            Ok(manifest) => manifest.1.elapsed() >= self.settings.poll.0,
            Err(_) => false,
        };
        if due {
            self.look().await?;
        }
        Ok(())
    }

    /// Fails where another process has begun to read the same files.
    pub(super) async fn check_alone(&self) -> Result<(), StageError> {
        if self.locks {
            return Ok(());
        }
        self.manifest.lock().await.0.check_alone().await
    }

    /// Lists the files and adds those that are new; says how many.
    async fn look(&self) -> Result<usize, StageError> {
        let mut manifest = self.manifest.lock().await;
        let mut new = Vec::new();
        for (storage, path) in &self.patterns {
            for (path, stat) in find(&**storage, path).await? {
                let url = storage.url(&path);
                match manifest.0.version(&url) {
                    Some(version) if version == stat.version => {}
                    Some(_) => return Err(changed(&url, "another file has its name now", &manifest.0.place())),
                    None => new.push(self.listed(url, &stat)?),
                }
            }
        }
        new.sort_by(|a, b| a.url.cmp(&b.url));
        new.dedup_by(|a, b| a.url == b.url);
        let count = new.len();
        if count > 0 && self.keeps {
            manifest.0.keep(new).await?;
        } else {
            manifest.0.known.add(new);
        }
        manifest.1 = Instant::now();
        if count > 0 {
            self.known.send_replace(Arc::new(manifest.0.known.clone()));
            tracing::debug!(files = count, "new files");
        }
        Ok(count)
    }

    /// How a file of the list is read: as it was cut, by today's settings where that makes no difference to its rows'
    /// numbers.
    pub(super) fn options(&self, file: &Listed) -> ReadOptions {
        let now = self.settings.options(&file.url, Some(&self.decode.kind)).unwrap_or(file.options);
        let text = !now.format.is_typed() && !file.options.format.is_typed();
        ReadOptions {
            format: if text { now.format } else { file.options.format },
            header: now.header,
            encoding: now.encoding,
            ..file.options
        }
    }

    fn listed(&self, url: String, stat: &Stat) -> Result<Listed, StageError> {
        let options = self.settings.options(&url, Some(&self.decode.kind)).map_err(StageError::settings)?;
        let split = self.settings.split(options).unwrap_or(stat.length).max(1);
        Ok(Listed {
            url,
            size: stat.length,
            version: stat.version.clone(),
            modified: stat.modified,
            options,
            first: 0,
            entries: stat.length.div_ceil(split),
            split,
        })
    }

    /// Opens a file of the list, if it is still the one that was seen.
    pub(super) async fn reader(&self, file: &Listed) -> Result<Box<dyn Reader>, StageError> {
        let (storage, path) = self.storage(&file.url)?;
        let stat = storage.stat(&path).await?;
        let why = match &stat {
            None => Some("is gone".to_string()),
            Some(stat) if stat.length != file.size => {
                Some(format!("had {} bytes and has {} now", file.size, stat.length))
            }
            Some(stat) if stat.version != file.version => Some("was written again".to_string()),
            Some(_) => None,
        };
        if let Some(why) = why {
            return Err(self.changed(file, &why));
        }
        storage.reader(&path, &stat.unwrap_or_default()).await.map_err(|error| match error.kind {
            ErrorKind::Changed | ErrorKind::Missing => self.changed(file, "was replaced"),
            _ => error.into(),
        })
    }

    /// The loud stop for a file that is not the one that was seen.
    pub(super) fn changed(&self, file: &Listed, why: &str) -> StageError {
        changed(&file.url, why, "the list in `state`")
    }

    fn storage(&self, url: &str) -> Result<Found, StageError> {
        let authority = match url.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()),
            None => String::new(),
        };
        let mut storages = self.storages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(storage) = storages.get(&authority) {
            return Ok((storage.clone(), url.get(authority.len()..).unwrap_or_default().to_string()));
        }
        let (storage, path) = foretell_storage::open_reading(url, &self.base, &self.settings.storage())?;
        storages.insert(authority, storage.clone());
        Ok((storage, path))
    }

    /// An entry was read to its end: this many lines begin in it.
    pub(super) fn counted(&self, entry: u64, lines: i64) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).insert(entry, lines);
    }

    /// How many lines of its file begin before an entry.
    pub(super) async fn lines_before(&self, file: &Listed, entry: u64) -> Result<i64, StageError> {
        let mut lines = 0;
        let mut reader = None;
        for earlier in file.first..entry {
            let known = self.lines.lock().unwrap_or_else(PoisonError::into_inner).get(&earlier).copied();
            lines += match known {
                Some(known) => known,
                None => {
                    let reader = match &reader {
                        Some(reader) => reader,
                        None => reader.insert(self.reader(file).await?),
                    };
                    let count = count(&**reader, file.range(earlier)).await?;
                    self.counted(earlier, count);
                    count
                }
            };
        }
        Ok(lines)
    }

    /// Whether a file's first entry is read as all of the file; `None` where its beginning was not checked yet.
    pub(super) fn checked(&self, file: &Listed) -> Option<bool> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(&file.first).copied()
    }

    /// A file's beginning is as it should be.
    pub(super) fn found_sound(&self, file: &Listed, whole: bool) {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).insert(file.first, whole);
    }

    /// Takes note of what was read, for estimates.
    pub(super) fn note(&self, records: usize, bytes: usize) {
        self.read.0.fetch_add(records as u64, Relaxed);
        self.read.1.fetch_add(bytes as u64, Relaxed);
    }

    /// How many records are in this many bytes, going by what was read.
    pub(super) fn estimate(&self, bytes: u64) -> i64 {
        let (records, read) = (self.read.0.load(Relaxed), self.read.1.load(Relaxed));
        let records = match read {
            0 => bytes / USUAL_RECORD,
            _ => (bytes as f64 * records as f64 / read as f64) as u64,
        };
        i64::try_from(records).unwrap_or(i64::MAX)
    }

    /// How many files earlier runs have listed.
    pub(super) fn seen_before(&self) -> usize {
        self.known().files.len().saturating_sub(self.new)
    }

    /// Files to look into before a run: the first of those that no run has seen, else the last of all, so far as they are
    /// still there.
    pub(super) async fn samples(&self, most: usize) -> Vec<Arc<Listed>> {
        let known = self.known();
        let old = known.files.len().saturating_sub(self.new);
        let mut files: Vec<Arc<Listed>> = known.files.range(old, known.files.len()).take(most).cloned().collect();
        for file in known.files.iter().rev().skip(self.new).take(most.saturating_sub(files.len())) {
            // What a run has read may be gone, or replaced: then that run says so.
            if self.reader(file).await.is_ok() {
                files.push(file.clone());
            }
        }
        files
    }

    /// What is there, for people.
    pub(super) fn report(&self) -> Vec<String> {
        let known = self.known();
        let bytes: u64 = known.files.iter().map(|file| file.size).sum();
        let mut lines = vec![format!(
            "{} files, {}, in {} parts for {} partitions; {} of them not seen before",
            known.files.len(),
            HumanSize(bytes as usize),
            known.entries,
            known.partitions,
            self.new,
        )];
        let named = known.files.range(known.files.len().saturating_sub(NAMED), known.files.len());
        lines.extend(named.map(|file| {
            let options = self.options(file);
            let header = if options.header { ", with a header" } else { "" };
            format!("{} ({}, {}{header})", file.url, HumanSize(file.size as usize), options.format.name())
        }));
        if known.files.len() > NAMED {
            lines.insert(1, format!("the last {NAMED}:"));
        }
        lines
    }
}

fn folder(root: &str, pipeline: &str) -> String {
    format!("{root}/files/{}", escape(pipeline))
}

async fn lock(storage: &dyn Storage, folder: &str) -> Result<Box<dyn Send + Sync>, StageError> {
    storage.lock(&format!("{folder}/lock")).await.map_err(|error| match error.kind {
        ErrorKind::Exists => {
            StageError::settings(format!("another process reads this pipeline's files: it holds {}", error.place))
                .remedy("one process reads a pipeline's files: more workers come from `--workers`")
        }
        _ => error.into(),
    })
}

fn changed(url: &str, why: &str, list: &str) -> StageError {
    StageError::state(format!("{url}: {why}; a file is read once, and must not change after it was seen")).remedy(format!(
        "put it back as it was and give new data a name of its own; or remove {list} and `foretell positions forget`: then \
         all files are read again"
    ))
}

/// How many lines begin in a range of bytes.
async fn count(reader: &dyn Reader, (from, to): (u64, u64)) -> Result<i64, StageError> {
    // A line begins behind each line end, and at the file's beginning.
    let (mut at, end) = (from.saturating_sub(1), to - 1);
    let mut lines = i64::from(from == 0);
    let mut block = Vec::new();
    while at < end {
        block.clear();
        block = reader.read(at, end.min(at + COUNT_BLOCK), block).await?;
        if block.is_empty() {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &block).count() as i64;
        at += block.len() as u64;
    }
    Ok(lines)
}
