//! The list of files in `state:`: numbered records, each put where none is.
//!
//! A record adds files to the list, and says who added them. Numbers have no holes. A storage that has no locks (HDFS) gets
//! a record at each start as well: whoever finds another's record behind its own knows that two processes read the same
//! files.
//!
//! Records that are long past are put together into one file, a group of them at a time, so that a folder never holds
//! many: looking for new files costs the same however many there were.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foretell_flow::StageError;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::list::{Files, Known, Listed};
use super::settings::MOST_PARTITIONS;
use foretell_connect::machine;
use foretell_connect::storage::path::one_spelling;
use foretell_connect::storage::{ErrorKind, Storage, file_name, list_if_there, parent};

/// Raised when records change their meaning.
const FORMAT: u32 = 1;
/// The folder of what is noted with commits.
const NOTES: &str = "notes";
/// The folder of records that were put together.
const GROUPS: &str = "groups";
/// Records in a group. As many more stay single, so that a process that slept for a while finds what came meanwhile.
const GROUP: u64 = if cfg!(test) { 8 } else { 1024 };
/// Records read at once.
const AT_ONCE: usize = 16;

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

/// Records that were put together.
#[derive(Debug, Serialize, Deserialize)]
struct Group {
    format: u32,
    /// The group of records `[number * GROUP, (number + 1) * GROUP)`.
    number: u64,
    id: String,
    partitions: usize,
    run: Run,
    files: Vec<Listed>,
    /// The number of the record behind them.
    next: u64,
}

/// The records, as far as they were read.
#[derive(Debug)]
pub(super) struct Manifest {
    storage: Arc<dyn Storage>,
    folder: String,
    run: Run,
    next: u64,
    /// How many groups there are, and how many files they have.
    groups: (u64, usize),
    /// Of each record behind them, how many files there are with its own.
    singles: VecDeque<usize>,
    /// Records that are in a group, and still there.
    left: Vec<u64>,
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
        let known =
            Known { id: uuid::Uuid::new_v4().simple().to_string(), partitions, files: Files::default(), entries: 0 };
        let (run, seen) = (Run::this(), HashMap::new());
        let (groups, singles, left) = ((0, 0), VecDeque::new(), Vec::new());
        let mut manifest = Manifest { storage, folder, run, next: 0, groups, singles, left, known, seen };
        manifest.read_all().await?;
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

    fn group_path(&self, group: u64) -> String {
        format!("{}/{GROUPS}/{group:010}.json", self.folder)
    }

    /// Reads everything.
    async fn read_all(&mut self) -> Result<(), StageError> {
        let number = |name: &str| name.strip_suffix(".json")?.parse::<u64>().ok();
        let groups = list_if_there(&*self.storage, &format!("{}/{GROUPS}", self.folder)).await?;
        let mut groups: Vec<u64> = groups.iter().filter_map(|entry| number(&entry.name)).collect();
        groups.sort_unstable();
        let paths: Vec<String> = groups.into_iter().map(|group| self.group_path(group)).collect();
        for (path, bytes) in self.read_files(paths).await? {
            let group: Group = self.parse(&path, &bytes)?;
            self.check(&path, (group.format, group.number, self.groups.0), group.partitions, &group.files)?;
            self.apply_group(group);
        }
        let names = list_if_there(&*self.storage, &self.folder).await?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|entry| number(&entry.name)).collect();
        numbers.sort_unstable();
        self.left = numbers.iter().copied().filter(|number| *number < self.next).collect();
        numbers.retain(|number| *number >= self.next);
        let paths = numbers.into_iter().map(|number| self.path(number)).collect();
        for (path, bytes) in self.read_files(paths).await? {
            let record: Record = self.parse(&path, &bytes)?;
            self.check(&path, (record.format, record.number, self.next), record.partitions, &record.files)?;
            self.apply(record);
        }
        Ok(())
    }

    /// Several at once, in their order.
    async fn read_files(&self, paths: Vec<String>) -> Result<Vec<(String, bytes::Bytes)>, StageError> {
        let storage = &self.storage;
        let reads: Vec<_> =
            paths.into_iter().map(|path| async move { Ok((storage.read(&path).await?, path)) }).collect();
        let read: Result<Vec<_>, StageError> = stream::iter(reads).buffered(AT_ONCE).try_collect().await;
        Ok(read?.into_iter().map(|(bytes, path)| (path, bytes)).collect())
    }

    /// Reads the records that were put since. Says who else put one.
    async fn read_on(&mut self) -> Result<Option<Run>, StageError> {
        let mut other = None;
        loop {
            let path = self.path(self.next);
            let bytes = match self.storage.read(&path).await {
                Ok(bytes) => bytes,
                // Numbers have no holes.
                Err(error) if error.kind == ErrorKind::Missing => break,
                Err(error) => return Err(error.into()),
            };
            let record: Record = self.parse(&path, &bytes)?;
            self.check(&path, (record.format, record.number, self.next), record.partitions, &record.files)?;
            if record.run != self.run {
                other = Some(record.run.clone());
            }
            self.apply(record);
        }
        match other {
            None => self.overtaken().await,
            other => Ok(other),
        }
    }

    /// Who went on so far that the next record is in a group already.
    async fn overtaken(&self) -> Result<Option<Run>, StageError> {
        let path = self.group_path(self.next / GROUP);
        match self.storage.read(&path).await {
            Ok(bytes) => Ok(Some(self.parse::<Group>(&path, &bytes)?.run)),
            Err(error) if error.kind == ErrorKind::Missing => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn damaged(&self, path: &str, what: String) -> StageError {
        StageError::state(format!("{}: {what}", self.storage.url(path))).remedy(format!(
            "restore it, or remove {} and `foretell positions forget`: then all files are read again",
            self.place()
        ))
    }

    fn parse<T: for<'a> Deserialize<'a>>(&self, path: &str, bytes: &[u8]) -> Result<T, StageError> {
        serde_json::from_slice(bytes).map_err(|error| self.damaged(path, format!("not a list of files: {error}")))
    }

    /// What a record or a group says of itself: its format, its number and the one that comes next.
    fn check(
        &self,
        path: &str,
        (format, number, next): (u32, u64, u64),
        partitions: usize,
        files: &[Listed],
    ) -> Result<(), StageError> {
        let whole = |file: &Listed| file.split > 0 && file.entries == file.size.div_ceil(file.split);
        let what = if format != FORMAT {
            format!("lists of format {format} are not known")
        } else if number != next {
            format!("record {next} is missing")
        } else if !(1..=usize::from(MOST_PARTITIONS)).contains(&partitions) {
            format!("{partitions} partitions: 1 to {MOST_PARTITIONS} are possible")
        } else if !files.iter().all(whole) {
            "its files are cut in a way that cannot be".to_string()
        } else {
            return Ok(());
        };
        Err(self.damaged(path, what))
    }

    fn see(&mut self, id: String, partitions: usize, files: Vec<Listed>) {
        self.known.id = id;
        self.known.partitions = partitions;
        // A list may be older than the one spelling that a path has.
        self.seen.extend(files.iter().map(|file| (one_spelling(&file.url), file.version.clone())));
        self.known.add(files);
    }

    fn apply_group(&mut self, group: Group) {
        self.see(group.id, group.partitions, group.files);
        self.groups = (group.number.saturating_add(1), self.known.files.len());
        self.next = group.next;
    }

    fn apply(&mut self, record: Record) {
        self.see(record.id, record.partitions, record.files);
        self.singles.push_back(self.known.files.len());
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
                // Where no lock keeps others out: the number may have been another's, and be gone into a group.
                if !self.storage.locks()
                    && let Some(other) = self.overtaken().await?
                {
                    return Err(self.shared_with(&other));
                }
                self.apply(record);
                if let Err(error) = self.put_together().await {
                    tracing::debug!("the list of files is not put together: {error}");
                }
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

    /// Puts records that are long past into groups. A crash in between leaves them beside their group, for the next time.
    async fn put_together(&mut self) -> Result<(), StageError> {
        while self.next >= self.groups.0.saturating_add(2).saturating_mul(GROUP) {
            let last = usize::try_from(GROUP).unwrap_or(usize::MAX).saturating_sub(1);
            let Some(end) = self.singles.get(last).copied() else { break };
            let number = self.groups.0;
            let (first, next) = (number.saturating_mul(GROUP), number.saturating_add(1).saturating_mul(GROUP));
            let group = Group {
                format: FORMAT,
                number,
                id: self.known.id.clone(),
                partitions: self.known.partitions,
                run: self.run.clone(),
                files: self.known.files.range(self.groups.1, end).map(|file| (**file).clone()).collect(),
                next,
            };
            let bytes = serde_json::to_vec(&group).map_err(|error| StageError::state(error.to_string()))?;
            self.storage.mkdirs(&format!("{}/{GROUPS}", self.folder)).await?;
            match self.storage.create_new(&self.group_path(number), bytes.into()).await {
                Err(error) if error.kind != ErrorKind::Exists => return Err(error.into()),
                _ => {}
            }
            self.groups = (number.saturating_add(1), end);
            self.singles.drain(..=last);
            self.left.extend(first..next);
        }
        while let Some(number) = self.left.last() {
            self.storage.delete(&self.path(*number)).await?;
            self.left.pop();
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use foretell_connect::storage::Local;

    use super::super::settings::{Compression, Format, ReadOptions};
    use super::*;

    fn file(number: u64) -> Listed {
        Listed {
            url: format!("/in/{number}.csv"),
            size: 10,
            version: number.to_string(),
            modified: 0,
            options: ReadOptions {
                format: Format::Csv,
                header: false,
                encoding: None,
                multiline: false,
                compression: Compression::None,
            },
            first: 0,
            entries: 2,
            split: 5,
        }
    }

    fn urls(manifest: &Manifest) -> Vec<String> {
        manifest.known.files.iter().map(|file| file.url.clone()).collect()
    }

    async fn open(folder: &std::path::Path) -> Manifest {
        Manifest::read(Arc::new(Local), folder.display().to_string(), 4).await.unwrap()
    }

    #[tokio::test]
    async fn a_list_of_many_files_is_in_few_and_reads_the_same() {
        let folder = crate::testing::folder();
        let mut manifest = open(folder.path()).await;
        let wanted: Vec<String> = (0..3000).map(|number| file(number).url).collect();
        for number in 0..150 {
            manifest.keep((number * 20..number * 20 + 20).map(file).collect()).await.unwrap();
            let there = std::fs::read_dir(folder.path()).unwrap().count() as u64;
            assert!(there <= 2 * GROUP + 1, "{there} records lie there after {number}");
        }
        assert_eq!(urls(&manifest), wanted);
        let again = open(folder.path()).await;
        assert_eq!((urls(&again), again.next, again.known.entries), (wanted, 150, 6000));
        assert_eq!(again.known.id, manifest.known.id);
        for entry in [0, 1, 2, 2047, 2048, 2049, 5999] {
            assert_eq!(again.known.file(entry).unwrap().url, file(entry / 2).url);
        }
        assert!(again.known.file(6000).is_none());
        assert_eq!(again.version("/in/77.csv"), Some("77"));
    }

    #[tokio::test]
    async fn what_a_crash_left_beside_its_group_counts_once_and_goes() {
        let folder = crate::testing::folder();
        let mut manifest = open(folder.path()).await;
        let copy = folder.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        for number in 0..2 * GROUP {
            manifest.keep(vec![file(number)]).await.unwrap();
            let name = format!("{number:010}.json");
            if folder.path().join(&name).exists() {
                std::fs::copy(folder.path().join(&name), copy.join(&name)).unwrap();
            }
        }
        for number in 0..3 {
            let name = format!("{number:010}.json");
            std::fs::copy(copy.join(&name), folder.path().join(&name)).unwrap();
        }
        let mut again = open(folder.path()).await;
        assert_eq!(urls(&again), urls(&manifest));
        again.keep(vec![file(99)]).await.unwrap();
        assert!(!folder.path().join("0000000002.json").exists());
    }

    #[tokio::test]
    async fn who_slept_while_another_went_on_is_told() {
        let folder = crate::testing::folder();
        let mut sleeper = open(folder.path()).await;
        sleeper.keep(vec![file(0)]).await.unwrap();
        let mut other = open(folder.path()).await;
        for number in 1..4 * GROUP {
            other.keep(vec![file(number)]).await.unwrap();
        }
        // Its next number is free again.
        assert!(!folder.path().join("0000000001.json").exists());
        let error = sleeper.check_alone().await.unwrap_err();
        assert!(error.message.contains("another process"), "{error}");
    }
}
