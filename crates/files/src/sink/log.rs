//! The commit log of `mode: files`: numbered records, each put where none is.
//!
//! A record is one atomic act over any number of partitions: a claim, a write, or a reset. Its number is its name, so of
//! two writers that both think they are next only one succeeds; the other reads what came between and then knows
//! whether its partitions are still its own. Claims are records as well: whoever has not read the claim cannot have the
//! next number, so a writer is fenced from that number on.
//!
//! Records lie in segments, folders of [`SEGMENT`] numbers. The first record of a segment begins with a snapshot of
//! everything before it, so a start reads one segment at most, and older segments go as whole folders. That is also what
//! keeps a writer that slept for days from putting a record under a number long past: its folder is gone, and a record
//! is never put into a folder that is not there. Where there are no folders (S3), whoever has put a record looks at the
//! log afterwards: a segment goes only when the second one behind it has begun.

use std::sync::Arc;

use foretell_flow::{Partition, Position, Range, Reset, StageError};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::progress::{Progress, Shape, StoredClaim, StoredRetention};
use super::wal::checksum;
use foretell_connect::storage::{Error, ErrorKind, Storage, list_if_there};

/// Records a segment: small enough to be read at every start, large enough that snapshots are rare.
const SEGMENT: u64 = 64;
/// Records read at once.
const AT_ONCE: usize = 16;
/// Raised when records change their meaning.
const FORMAT: u32 = 1;

/// Everything that the log says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Names the log for ever; part of the names of its data files.
    pub(super) log: String,
    pub(super) shape: Option<Shape>,
    pub(super) progress: Progress,
    /// Writers that may have left something behind, oldest first.
    pub(super) writers: Vec<WriterEntry>,
}

/// One claim's writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WriterEntry {
    /// New with every claim; names its staging folder.
    pub(super) token: String,
    worker: String,
    /// Committed files that may not be in view yet.
    pub(super) moves: Vec<Move>,
}

/// A committed file: from its staging name to its name in view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Move {
    pub(super) number: u64,
    pub(super) from: String,
    pub(super) to: String,
}

/// A data file, as a write's record tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staged {
    /// Counts the writer's files.
    pub(super) number: u64,
    /// Its name within the writer's staging folder.
    pub(super) name: String,
    /// How its name ends.
    pub(super) extension: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// What a record does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    /// A writer takes partitions over; an earlier writer of the same worker loses all of its own.
    Claim { token: String, worker: String, claims: Vec<StoredClaim>, shape: Shape },
    /// A batch, or its part.
    Write {
        token: String,
        /// The plan's id.
        batch: String,
        ranges: Vec<Range>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<Staged>,
        #[serde(default, alias = "keep", skip_serializing_if = "Option::is_none")]
        retention: Option<StoredRetention>,
        /// The writer's files below this number are in view.
        settled: u64,
        /// Earlier writers that left nothing behind any more.
        #[serde(default, alias = "buried", skip_serializing_if = "Vec::is_empty")]
        cleared: Vec<String>,
    },
    /// A position set by hand.
    Set { position: Position, identity: String },
    /// Positions forgotten by hand: of one partition, or all, and then the columns, too.
    Forget { partition: Option<Partition> },
}

impl From<&Reset> for Act {
    fn from(reset: &Reset) -> Self {
        match reset {
            Reset::Set { position, identity } => Act::Set { position: position.clone(), identity: identity.clone() },
            Reset::Forget(partition) => Act::Forget { partition: partition.clone() },
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    number: u64,
    /// Tells one's own record from another's where the outcome of a put was unknown.
    nonce: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<State>,
    #[serde(flatten)]
    act: Act,
}

/// Between a record and its checksum, which is the object's last member.
const SUM: &[u8] = b",\"sum\":\"";

/// A record's bytes, with the checksum of what they are without it.
fn encode(record: &Record) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(record)?;
    let sum = checksum(&bytes, &[]);
    bytes.pop();
    bytes.extend_from_slice(SUM);
    bytes.extend_from_slice(format!("{sum:08x}\"}}").as_bytes());
    Ok(bytes)
}

/// Reads a record; those of earlier versions have no checksum.
fn decode(bytes: &[u8]) -> Result<Record, String> {
    const TAIL: usize = SUM.len() + 10;
    let tail = bytes.len().checked_sub(TAIL).and_then(|at| bytes.split_at_checked(at));
    if let Some((record, sum)) = tail.and_then(|(record, tail)| Some((record, tail.strip_prefix(SUM)?))) {
        let found = format!("{:08x}\"}}", checksum(&[record, b"}"].concat(), &[]));
        if found.as_bytes() != sum {
            return Err("it does not fit its checksum".into());
        }
    }
    serde_json::from_slice(bytes).map_err(|error| format!("not a commit record: {error}"))
}

/// Whether a record was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// Another's record came first; it has been read, so look again.
    Overtaken,
}

/// The log, as far as it was read.
#[derive(Debug)]
pub(super) struct Log {
    storage: Arc<dyn Storage>,
    folder: String,
    pub(super) state: State,
    /// The number of the next record.
    next: u64,
}

impl Log {
    pub(super) fn new(storage: Arc<dyn Storage>, folder: String) -> Self {
        Log { storage, folder, state: State::default(), next: 0 }
    }

    fn segment_folder(&self, segment: u64) -> String {
        format!("{}/{segment:012}", self.folder)
    }

    fn path(&self, number: u64) -> String {
        format!("{}/{number:020}.json", self.segment_folder(number / SEGMENT))
    }

    /// Reads whatever was put since the last time. No log yet is an empty one.
    pub(super) async fn refresh(&mut self) -> Result<(), StageError> {
        self.read_on(None).await.map(|_| ())
    }

    /// As `refresh`; says whether the record with this nonce was among them.
    async fn read_on(&mut self, nonce: Option<&str>) -> Result<bool, StageError> {
        // A segment can be trimmed while it is read; then a later one is there.
        for _ in 0..10 {
            let mut segments: Vec<u64> =
                self.names(&self.folder).await?.iter().filter_map(|n| n.parse().ok()).collect();
            segments.sort_unstable();
            let mut gone = false;
            let mut found = false;
            if segments.is_empty() {
                (self.next, self.state) = (0, State::default());
            }
            // The newest one may still be empty: its maker has not put the first record yet.
            while let Some(segment) = segments.pop() {
                let first = segment.saturating_mul(SEGMENT);
                let names = self.names(&self.segment_folder(segment)).await?;
                let mut numbers: Vec<u64> =
                    names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
                numbers.sort_unstable();
                if numbers.first() != Some(&first) {
                    continue;
                }
                if self.next <= first {
                    self.next = first;
                }
                numbers.retain(|number| *number >= self.next);
                // Several at once: a record that a crash left open on HDFS takes seconds to become readable.
                let reads: Vec<_> = numbers.into_iter().map(|number| self.read(number)).collect();
                let records: Vec<Option<Record>> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
                for record in records {
                    let Some(record) = record else {
                        gone = true;
                        break;
                    };
                    found |= nonce == Some(record.nonce.as_str());
                    self.apply(record)?;
                }
                break;
            }
            if !gone {
                return Ok(found);
            }
            self.next = 0;
        }
        Err(StageError::unavailable(format!("{} changes faster than it can be read", self.storage.url(&self.folder))))
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, Error> {
        let entries = list_if_there(&*self.storage, folder).await?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    async fn read(&self, number: u64) -> Result<Option<Record>, StageError> {
        let path = self.path(number);
        let bytes = match self.storage.read(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == ErrorKind::Missing => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let wrong = |what: String| {
            StageError::state(format!("{}: {what}", self.storage.url(&path)))
                .remedy("the commit log is damaged: restore the file, or start anew with another path")
        };
        let record = decode(&bytes).map_err(wrong)?;
        if record.format != FORMAT {
            return Err(wrong(format!("commit records of format {} are not known", record.format)));
        }
        if record.number != number {
            return Err(wrong(format!("says that it is record {}", record.number)));
        }
        Ok(Some(record))
    }

    fn apply(&mut self, record: Record) -> Result<(), StageError> {
        if let Some(snapshot) = record.snapshot {
            self.state = snapshot;
        }
        let number = record.number;
        self.state.apply(record.act, number).map_err(|error| {
            StageError::state(format!("{}: {error}", self.storage.url(&self.path(number))))
                .remedy("the commit log is damaged: restore the file, or start anew with another path")
        })?;
        self.next = number.saturating_add(1);
        Ok(())
    }

    /// Puts the next record. The caller has checked the act against the state as it is now.
    ///
    /// # Errors
    /// Other than a conflict: the outcome is unknown until the log is read again.
    pub(super) async fn commit(&mut self, act: Act) -> Result<Outcome, StageError> {
        let number = self.next;
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let mut snapshot = None;
        if number.is_multiple_of(SEGMENT) {
            if !self.begin_segment(number).await? {
                self.next = 0;
                self.refresh().await?;
                return Ok(Outcome::Overtaken);
            }
            let mut state = self.state.clone();
            if state.log.is_empty() {
                state.log = uuid::Uuid::new_v4().simple().to_string();
            }
            snapshot = Some(state);
        }
        let record = Record { format: FORMAT, number, nonce: nonce.clone(), snapshot, act };
        let bytes = encode(&record).map_err(|error| StageError::state(error.to_string()))?;
        match self.storage.create_new(&self.path(number), bytes.into()).await {
            Ok(()) => {
                self.check_current(number).await?;
                self.apply(record)?;
                self.trim(number).await;
                Ok(Outcome::Committed)
            }
            Err(error) if matches!(error.kind, ErrorKind::Exists | ErrorKind::Missing) => {
                if error.kind == ErrorKind::Missing {
                    // The segment was trimmed: what we know is long past.
                    self.next = 0;
                }
                // A put that was tried twice on the way can find its own record.
                match self.read_on(Some(&nonce)).await? {
                    true => Ok(Outcome::Committed),
                    false => Ok(Outcome::Overtaken),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a segment's folder. False where the log went on without us: a folder is made first and the log looked at
    /// then, so that if it goes after that, the put fails.
    async fn begin_segment(&self, number: u64) -> Result<bool, StageError> {
        let segment = number / SEGMENT;
        self.storage.mkdirs(&self.segment_folder(segment)).await?;
        let segments: Vec<u64> = self.names(&self.folder).await?.iter().filter_map(|n| n.parse().ok()).collect();
        let current = match number.checked_sub(1) {
            Some(before) => self.storage.stat(&self.path(before)).await?.is_some(),
            None => true,
        };
        Ok(current && segments.into_iter().all(|other| other <= segment))
    }

    /// Fails where a record that was put may lie in a segment that had been trimmed.
    ///
    /// One that is not trimmed has all its numbers taken before the second one behind it begins. So a record that could
    /// be put, with that one there, is nobody's; unless the second one began after the put, which a pause of 64 records
    /// makes possible. What holds then is what the log says to the next claim.
    async fn check_current(&self, number: u64) -> Result<(), StageError> {
        if self.storage.folders() {
            return Ok(());
        }
        let latest = self.names(&self.folder).await?.iter().filter_map(|name| name.parse::<u64>().ok()).max();
        if latest.is_some_and(|latest| latest >= (number / SEGMENT).saturating_add(2)) {
            let log = self.storage.url(&self.folder);
            return Err(StageError::unavailable(format!(
                "{log} went on while a record was put: its outcome is unknown"
            )));
        }
        Ok(())
    }

    /// Deletes old segments, keeping one: best effort, the next time gets what is left.
    async fn trim(&self, number: u64) {
        if !number.is_multiple_of(SEGMENT) {
            return;
        }
        let keep = (number / SEGMENT).saturating_sub(1);
        let Ok(names) = self.names(&self.folder).await else { return };
        for segment in names.iter().filter_map(|name| name.parse().ok()).filter(|segment| *segment < keep) {
            if let Err(error) = self.storage.delete(&self.segment_folder(segment)).await {
                tracing::debug!("{error}");
            }
        }
    }
}

impl State {
    fn apply(&mut self, act: Act, number: u64) -> Result<(), StageError> {
        match act {
            Act::Claim { token, worker, claims, shape } => {
                for writer in self.writers.iter().filter(|writer| writer.worker == worker) {
                    self.progress.disown(&writer.token);
                }
                self.progress.claim(&claims, &token);
                self.shape = Some(shape);
                self.writers.push(WriterEntry { token, worker, moves: Vec::new() });
            }
            Act::Write { token, ranges, file, retention, settled, cleared, .. } => {
                self.progress.check(&ranges, &token)?;
                self.progress.advance(&ranges, retention.as_ref());
                let to = file.as_ref().map(|file| self.view_name(number, &file.extension));
                if let Some(writer) = self.writers.iter_mut().find(|writer| writer.token == token) {
                    writer.moves.retain(|earlier| earlier.number >= settled);
                    if let Some((file, to)) = file.zip(to) {
                        writer.moves.push(Move { number: file.number, from: file.name, to });
                    }
                }
                self.writers.retain(|writer| !cleared.contains(&writer.token));
            }
            Act::Set { position, identity } => self.progress.reset(&Reset::Set { position, identity }),
            Act::Forget { partition } => {
                if partition.is_none() {
                    self.shape = None;
                }
                self.progress.reset(&Reset::Forget(partition));
            }
        }
        Ok(())
    }

    /// The name of a record's data file: in the log's order, and never one that another log gives.
    fn view_name(&self, number: u64, extension: &str) -> String {
        format!("part-{number:010}-{}.{extension}", self.log.get(..8).unwrap_or(&self.log))
    }

    /// The name in view of a writer's file.
    pub(super) fn target(&self, token: &str, number: u64) -> Option<Move> {
        let writer = self.writers.iter().find(|writer| writer.token == token)?;
        writer.moves.iter().find(|file| file.number == number).cloned()
    }

    /// Writers that can write no more, other than `token`.
    pub(super) fn dead(&self, token: &str) -> Vec<WriterEntry> {
        let dead = |writer: &&WriterEntry| writer.token != token && !self.progress.owns(&writer.token);
        self.writers.iter().filter(dead).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_damaged_is_not_read() {
        let record = Record {
            format: FORMAT,
            number: 7,
            nonce: "n".into(),
            snapshot: None,
            act: Act::Forget { partition: None },
        };
        let bytes = encode(&record).unwrap();
        assert_eq!(decode(&bytes).unwrap().number, 7);
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap().number, 7, "an earlier version reads it, too");
        let old = serde_json::to_vec(&record).unwrap();
        assert_eq!(decode(&old).unwrap().number, 7, "records of earlier versions have no checksum");
        let text = String::from_utf8(bytes).unwrap();
        let changed = text.replace("\"number\":7", "\"number\":8");
        assert_ne!(changed, text);
        assert_eq!(decode(changed.as_bytes()).unwrap_err(), "it does not fit its checksum");
        for at in 0..text.len() - 1 {
            let _ = decode(text.get(at..).unwrap().as_bytes());
            assert!(decode(text.get(..at).unwrap().as_bytes()).is_err(), "cut at {at}");
        }
    }
}
