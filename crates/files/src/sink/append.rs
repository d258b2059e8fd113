//! `mode: append`: one growing file with one writer.
//!
//! ```text
//! FOLDER/utime.csv                                   the data
//! FOLDER/_foretell/append/utime.csv/00000000000000000007.wal    the sidecar of the seventh claim
//! FOLDER/_foretell/append/utime.csv/lock             entry while a local writer lives
//! ```
//!
//! The sidecar is a redo log: a batch's positions *and bytes* are written there and synced, which commits it, and then
//! the bytes go to the data file. So a crash between the two needs no truncation (HDFS has none) and no replay that
//! gives the same bytes (without a stored plan it would not): the next claim compares the data file's end with the last
//! frame and appends what is missing. Both files stay open between batches, since on HDFS a sync costs milliseconds and
//! a close half a second.
//!
//! Every claim begins a new sidecar, put where none is, with a number above all others; before it reads the last one it
//! takes that from whoever wrote it ([`Storage::recover`]; locally the lock says that nobody does). So a former writer
//! can commit nothing after the claim, and what it had committed has been read. A writer that finds its number passed
//! stops for good: two writers must not take the file from each other for ever.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use foretell_flow::testing::crash_point;
use foretell_flow::{Checkpoint, Claim, Fault, Reset, Sink, StageError, Write, Written};
use tokio::time::{Duration, Instant, sleep};

use super::encode::Encode;
use super::progress::{Progress, Shape, StoredClaim};
use super::wal::{self, FORMAT, Frame, Snapshot};
use foretell_connect::storage::{Error, ErrorKind, Storage, Writer, list_if_there};

/// The owner of what this sink holds: there is one writer, so one name is enough.
const TOKEN: &str = "append";
/// A sidecar that has grown beyond this is followed by a new one, so that a claim reads little.
const ROLL: u64 = 16 << 20;
/// How long a former local writer, which may still be draining, is waited for.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 12 });

pub(super) struct Append {
    setup: Setup,
    /// The number of the last sidecar that this sink began, or tried to.
    number: Option<u64>,
    lock: Option<Box<dyn Send + Sync>>,
    /// Of the current claim; `None` before it and after an error.
    open: Option<Open>,
}

/// What [`Append::new`] takes.
pub(super) struct Setup {
    pub(super) storage: Arc<dyn Storage>,
    /// The data file.
    pub(super) path: String,
    /// Where the sidecars are.
    pub(super) hidden: String,
    pub(super) pipeline: String,
    pub(super) sink: String,
    pub(super) worker: String,
    pub(super) header: bool,
    pub(super) shape: Shape,
    pub(super) encoder: Box<dyn Encode>,
}

/// What is stored, and the two files, open.
struct Open {
    state: Snapshot,
    sidecar: Box<dyn Writer>,
    /// The sidecar's bytes.
    written: u64,
    data: Box<dyn Writer>,
}

impl Append {
    pub(super) fn new(setup: Setup) -> Self {
        Append { setup, number: None, lock: None, open: None }
    }

    /// Checks what is there, without writing.
    pub(super) async fn check(&mut self) -> Result<(), StageError> {
        let Setup { storage, path, .. } = &self.setup;
        storage.check_folder(foretell_connect::storage::parent(path)).await?;
        if storage.stat(path).await?.is_some_and(|stat| stat.folder) {
            return Err(StageError::settings(format!("{} is a folder", storage.url(path)))
                .remedy("`mode: append` writes one file: give its name"));
        }
        let state = self.stored(None).await?.map(|(state, _)| state);
        self.check_state(state.as_ref())
    }

    fn check_state(&self, state: Option<&Snapshot>) -> Result<(), StageError> {
        let Setup { storage, path, pipeline, sink, shape, .. } = &self.setup;
        let Some(state) = state else { return Ok(()) };
        if (&state.pipeline, &state.sink) != (pipeline, sink) {
            return Err(StageError::settings(format!(
                "{} belongs to sink `{}` of pipeline `{}`",
                storage.url(path),
                state.sink,
                state.pipeline
            ))
            .remedy(format!(
                "a file that is appended to has one writer: choose another path; or, where it was renamed, \
                 `foretell positions adopt PIPELINE {0} {sink}` takes it over",
                match state.pipeline == *pipeline {
                    true => state.sink.clone(),
                    false => format!("{}/{}", state.pipeline, state.sink),
                }
            )));
        }
        shape.check(state.shape.as_ref(), &storage.url(path), &storage.url(&self.setup.hidden))
    }

    fn sidecar(&self, number: u64) -> String {
        format!("{}/{number:020}.wal", self.setup.hidden)
    }

    /// The numbers of the sidecars that are there, ascending.
    async fn numbers(&self) -> Result<Vec<u64>, Error> {
        let number = |name: &str| name.strip_suffix(".wal")?.parse().ok();
        let entries = list_if_there(&*self.setup.storage, &self.setup.hidden).await?;
        let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| number(&entry.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What the last sidecar (below a number, which then is taken from its writer) says, and its last frame's data.
    async fn stored(&self, below: Option<u64>) -> Result<Option<(Snapshot, Bytes)>, StageError> {
        let storage = &self.setup.storage;
        for number in self.numbers().await?.into_iter().rev().filter(|number| below.is_none_or(|b| *number < b)) {
            let path = self.sidecar(number);
            if below.is_some() {
                storage.recover(&path).await?;
            }
            let bytes = storage.read(&path).await?;
            let wrong = |what: &str| {
                StageError::state(format!("{}: {what}", storage.url(&path)))
                    .remedy("the sidecar is damaged or of another version: restore it, or begin with another path")
            };
            let frames = wal::decode(&bytes).map_err(|error| wrong(&error.to_string()))?;
            let mut frames = frames.into_iter();
            // A writer that died before its first frame was whole has committed nothing: the one before it counts.
            let Some((first, _)) = frames.next() else { continue };
            let Frame::Snapshot(mut state) = first else { return Err(wrong("does not begin with a snapshot")) };
            if state.format != FORMAT {
                return Err(wrong(&format!("format {} is not known", state.format)));
            }
            let mut last = Bytes::new();
            for (frame, data) in frames {
                let Frame::Write { ranges, retention, .. } = frame else { return Err(wrong("has a second snapshot")) };
                state.progress.advance(&ranges, retention.as_ref());
                state.length = state.length.saturating_add(data.len() as u64);
                if !data.is_empty() {
                    last = data;
                }
            }
            return Ok(Some((state, last)));
        }
        Ok(None)
    }

    /// Takes the file over and begins a sidecar with the state that `change` makes of the stored one. With `accept`, a
    /// data file that is not as it was written is taken as it is.
    async fn begin(&mut self, accept: bool, change: impl FnOnce(&mut Snapshot)) -> Result<(), StageError> {
        self.open = None;
        let storage = self.setup.storage.clone();
        storage.mkdirs(&self.setup.hidden).await?;
        self.take_lock().await?;
        let (number, mut sidecar) = self.next_sidecar().await?;

        let stored = self.stored(Some(number)).await?;
        self.check_state(stored.as_ref().map(|(state, _)| state))?;
        let (mut state, last) = match stored {
            Some((state, last)) => (state, last),
            None => (self.first_state().await?, Bytes::new()),
        };
        let data = match self.redo(&state, last).await {
            Err(error) if accept && error.fault == Fault::State => {
                state.length = self.first_state().await?.length;
                self.redo(&state, Bytes::new()).await?
            }
            other => other?,
        };
        state.worker = self.setup.worker.clone();
        state.shape = Some(self.setup.shape.clone());
        change(&mut state);

        let frame = encode(&Frame::Snapshot(state.clone()), &[])?;
        let written = frame.len() as u64;
        sidecar.write(frame).await?;
        sidecar.sync().await?;
        // Only now: a claim that dies before this line leaves the one before it to count.
        for old in self.numbers().await?.into_iter().filter(|old| *old < number) {
            if let Err(error) = storage.delete(&self.sidecar(old)).await {
                tracing::debug!("{error}");
            }
        }
        self.open = Some(Open { state, sidecar, written, data });
        Ok(())
    }

    async fn take_lock(&mut self) -> Result<(), StageError> {
        let Setup { storage, hidden, path, .. } = &self.setup;
        let begun = Instant::now();
        while self.lock.is_none() {
            match storage.lock(&format!("{hidden}/lock")).await {
                Ok(lock) => self.lock = Some(lock),
                Err(error) if error.kind == ErrorKind::Exists && begun.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(200)).await;
                }
                Err(error) if error.kind == ErrorKind::Exists => {
                    return Err(StageError::settings(format!("{} has a writer already", storage.url(path)))
                        .remedy("a file that is appended to has one writer: stop the other, or use `mode: files`"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Begins a sidecar above all others.
    async fn next_sidecar(&mut self) -> Result<(u64, Box<dyn Writer>), StageError> {
        let taken_over = |storage: &dyn Storage, path: &str| {
            StageError::settings(format!("another writer has taken {} over", storage.url(path)))
                .remedy("a file that is appended to has one writer: stop one of the two, or use `mode: files`")
        };
        loop {
            let highest = self.numbers().await?.last().copied();
            if self.number.is_some() && highest > self.number {
                return Err(taken_over(&*self.setup.storage, &self.setup.path));
            }
            let number = highest.max(self.number).map_or(0, |number| number.saturating_add(1));
            match self.setup.storage.writer(&self.sidecar(number)).await {
                Ok(writer) => {
                    // Someone may have gone far ahead and cleared up between our look and the file's making.
                    if self.numbers().await?.last() == Some(&number) {
                        self.number = Some(number);
                        return Ok((number, writer));
                    }
                    self.setup.storage.delete(&self.sidecar(number)).await?;
                }
                Err(error) if error.kind == ErrorKind::Exists => {}
                Err(error) => {
                    // It may be there all the same, and is ours then.
                    self.number = self.number.map(|_| number);
                    return Err(error.into());
                }
            }
        }
    }

    /// Nothing is stored: the file, if there is one, is written on as it is.
    async fn first_state(&self) -> Result<Snapshot, StageError> {
        let Setup { storage, path, pipeline, sink, worker, shape, .. } = &self.setup;
        let length = match storage.stat(path).await? {
            Some(_) => {
                storage.recover(path).await?;
                storage.stat(path).await?.map_or(0, |stat| stat.length)
            }
            None => 0,
        };
        if length > 0 && storage.read_range(path, length.saturating_sub(1), length).await?.as_ref() != b"\n" {
            return Err(StageError::state(format!("{} does not end with a whole line", storage.url(path)))
                .remedy("complete or remove its last line, or choose another path"));
        }
        Ok(Snapshot {
            format: FORMAT,
            pipeline: pipeline.clone(),
            sink: sink.clone(),
            worker: worker.clone(),
            shape: Some(shape.clone()),
            progress: Progress::default(),
            length,
        })
    }

    /// Opens the data file and appends what a crash kept out of it.
    async fn redo(&self, state: &Snapshot, last: Bytes) -> Result<Box<dyn Writer>, StageError> {
        let Setup { storage, path, .. } = &self.setup;
        let wrong = |what: String| {
            StageError::state(format!("{}: {what}", storage.url(path)))
                .remedy("restore the file; or accept it as it is with `foretell positions set` for each partition")
        };
        let (length, new) = match storage.stat(path).await? {
            None if state.length == 0 || state.length == last.len() as u64 => {
                let mut new = storage.writer(path).await?;
                new.sync().await?;
                (0, Some(new))
            }
            None => return Err(wrong(format!("the file is gone, {} bytes were written", state.length))),
            Some(_) => {
                storage.recover(path).await?;
                (storage.stat(path).await?.map_or(0, |stat| stat.length), None)
            }
        };
        let Some(start) = state.length.checked_sub(last.len() as u64) else {
            return Err(wrong("the sidecar tells a length below that of its last batch".to_string()));
        };
        if length > state.length {
            return Err(wrong(format!("has {length} bytes, {} were written: someone else writes to it", state.length)));
        }
        if length < start {
            return Err(wrong(format!("has {length} bytes, {start} were written")));
        }
        let there = length.saturating_sub(start) as usize;
        if there > 0 && storage.read_range(path, start, length).await? != last.slice(..there) {
            return Err(wrong(format!("the bytes from {start} on are not those that were written")));
        }
        let mut data = match new {
            Some(new) => new,
            None => storage.append(path).await?,
        };
        if there < last.len() {
            data.write(last.slice(there..)).await?;
            data.sync().await?;
        }
        Ok(data)
    }

    async fn write_open(&mut self, write: &Write) -> Result<(), StageError> {
        let Some(open) = &mut self.open else {
            return Err(StageError::fenced("the sink was not claimed since its last error"));
        };
        open.state.progress.check(&write.ranges, TOKEN)?;
        let data: Bytes = match write.rows.num_rows() {
            0 => Bytes::new(),
            _ => {
                let header = self.setup.header && open.state.length == 0;
                let encoded = self.setup.encoder.encode(&write.rows, header);
                encoded.map_err(|error| StageError::settings(format!("the rows cannot be written: {error}")))?.into()
            }
        };
        let retention = write.retention.as_ref().map(Into::into);
        let frame = Frame::Write { batch: write.plan.id.clone(), ranges: write.ranges.clone(), retention };
        let bytes = encode(&frame, &data)?;
        open.written = open.written.saturating_add(bytes.len() as u64);
        open.sidecar.write(bytes).await?;
        open.sidecar.sync().await?;
        // Committed.
        crash_point("append-recorded");
        if !data.is_empty() {
            open.data.write(data.clone()).await?;
            open.data.sync().await?;
        }
        crash_point("append-written");
        open.state.length = open.state.length.saturating_add(data.len() as u64);
        let Frame::Write { ranges, retention, .. } = frame else { return Ok(()) };
        open.state.progress.advance(&ranges, retention.as_ref());
        if open.written > ROLL {
            self.roll().await?;
        }
        Ok(())
    }

    /// Follows a long sidecar with a new one.
    async fn roll(&mut self) -> Result<(), StageError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let old = self.number;
        let (_, mut sidecar) = self.next_sidecar().await?;
        let frame = encode(&Frame::Snapshot(open.state.clone()), &[])?;
        open.written = frame.len() as u64;
        sidecar.write(frame).await?;
        sidecar.sync().await?;
        let mut full = std::mem::replace(&mut open.sidecar, sidecar);
        full.close().await?;
        if let Some(old) = old {
            self.setup.storage.delete(&self.sidecar(old)).await?;
        }
        self.open = Some(open);
        Ok(())
    }
}

fn encode(frame: &Frame, data: &[u8]) -> Result<Bytes, StageError> {
    wal::encode(frame, data).map_err(|error| StageError::state(error.to_string()))
}

#[async_trait]
impl Sink for Append {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        match &self.open {
            Some(open) => Ok(open.state.progress.checkpoints()),
            None => Ok(self.stored(None).await?.map_or_else(Vec::new, |(state, _)| state.progress.checkpoints())),
        }
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        let claimed: Vec<StoredClaim> = claims.iter().map(Into::into).collect();
        self.begin(false, |state| {
            state.progress.disown(TOKEN);
            state.progress.claim(&claimed, TOKEN);
        })
        .await?;
        let progress = self.open.as_ref().map(|open| &open.state.progress);
        Ok(claims.iter().filter_map(|claim| progress?.checkpoint(&claim.partition)).collect())
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        let written = self.write_open(write).await;
        if written.is_err() {
            self.open = None;
        }
        written.map(|()| Written::default())
    }

    async fn hand_over(&mut self, pipeline: &str, sink: &str) -> Result<(), StageError> {
        self.begin(false, |state| (state.pipeline, state.sink) = (pipeline.into(), sink.into())).await?;
        self.close().await
    }

    async fn reset(&mut self, reset: &Reset) -> Result<(), StageError> {
        self.begin(true, |state| state.progress.reset(reset)).await?;
        self.close().await
    }

    async fn close(&mut self) -> Result<(), StageError> {
        if let Some(mut open) = self.open.take() {
            let (data, sidecar) = tokio::join!(open.data.close(), open.sidecar.close());
            data.and(sidecar)?;
        }
        self.setup.storage.settle().await;
        self.lock = None;
        Ok(())
    }
}
