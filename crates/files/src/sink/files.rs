//! `mode: files`: each batch a whole file, in view only when it is committed.
//!
//! ```text
//! FOLDER/part-0000000042-1f0c9a3e.csv                      in view
//! FOLDER/_foretell/PIPELINE/SINK/staging/TOKEN/7.csv       written and synced, not committed, or about to be moved
//! FOLDER/_foretell/PIPELINE/SINK/log/000000000000/00000000000000000042.json    the commit
//! ```
//!
//! Hadoop's tools, Spark and most readers pass over names that begin with `_`. A write stages its file and syncs it,
//! puts the commit record (see [`super::log`]), and moves the file into view. Whatever dies on the way: without the
//! record the file is nobody's and is deleted by a later claim, with it the next claim finishes the move. Moving is for
//! the live writer alone, or for whoever finds that writer fenced.
//!
//! A batch that comes in slices is written to its staging file as it comes, so that its size needs no memory; its `write`
//! then syncs and commits.
//!
//! Where closing a file is slow (HDFS: half a second), the commit needs the sync only, and close and move follow in the
//! background: a commit costs two syncs and a rename, the file is in view a moment later, and the next record says how
//! far the moves have got.

#![allow(clippy::arithmetic_side_effects, reason = "counts of files and bytes that were written")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use foretell_flow::testing::crash_point;
use foretell_flow::{Checkpoint, Claim, Fault, PlanRetention, Reset, Sink, StageError, Trace, Write, Written};
use tokio::task::JoinSet;

use super::encode::Encode;
use super::log::{Act, Log, Move, Outcome, Staged};
use super::progress::Shape;
use foretell_connect::storage::{ErrorKind, Storage, Writer, escape, list_if_there, unescape};

/// Files on their way into view at once: at half a second each, as many commits a second as make sense.
const MOVING: usize = 32;
/// Conflicts in a row before a write gives up: each is another worker's success.
const ATTEMPTS: usize = 1000;

pub(super) struct Files {
    storage: Arc<dyn Storage>,
    folder: String,
    hidden: String,
    owner: (String, String),
    worker: String,
    extension: String,
    header: bool,
    shape: Shape,
    encoder: Box<dyn Encode>,
    success: Option<String>,
    log: Log,
    /// Of the current claim; `None` before it and after an error.
    claimed: Option<Current>,
    /// Whether the storage was seen to keep what a put promises.
    proven: bool,
    /// What was written of the batch that is under way.
    staged: Option<StagedFile>,
    moving: JoinSet<(u64, Result<(), StageError>)>,
}

/// What one claim's writer knows of itself.
struct Current {
    token: String,
    /// The number of its next file.
    next_file: u64,
    /// Files whose move is not known to be done.
    moving: Vec<u64>,
    /// A move failed: the next write says so, and the claim after it mends it.
    broken: Arc<AtomicBool>,
    /// Fenced writers whose leftovers are cleared; the next record tells so.
    cleared: Vec<String>,
}

/// A file that is being written, not yet committed.
struct StagedFile {
    writer: Box<dyn Writer>,
    path: String,
    told: Staged,
}

/// What [`Files::new`] takes.
pub(super) struct Setup {
    pub(super) storage: Arc<dyn Storage>,
    /// Where the files come into view.
    pub(super) folder: String,
    /// Where log and staging are.
    pub(super) hidden: String,
    /// The pipeline and the sink.
    pub(super) owner: (String, String),
    pub(super) worker: String,
    pub(super) extension: String,
    pub(super) header: bool,
    pub(super) shape: Shape,
    pub(super) encoder: Box<dyn Encode>,
    /// The mark that the folder is complete, if it gets one.
    pub(super) success: Option<String>,
}

impl Files {
    pub(super) fn new(setup: Setup) -> Self {
        let Setup { storage, folder, hidden, owner, worker, extension, header, shape, encoder, success } = setup;
        let log = Log::new(storage.clone(), format!("{hidden}/log"));
        let moving = JoinSet::new();
        Files {
            storage,
            folder,
            hidden,
            owner,
            worker,
            extension,
            header,
            shape,
            encoder,
            success,
            log,
            claimed: None,
            proven: false,
            staged: None,
            moving,
        }
    }

    /// Checks what is there, without writing.
    pub(super) async fn check(&mut self) -> Result<(), StageError> {
        self.storage.check_folder(&self.folder).await?;
        self.log.refresh().await?;
        self.check_shape()
    }

    fn check_shape(&self) -> Result<(), StageError> {
        let (folder, hidden) = (self.storage.url(&self.folder), self.storage.url(&self.hidden));
        self.shape.check(self.log.state.shape.as_ref(), &folder, &hidden)
    }

    /// The logs of all sinks that write to this folder: of which pipeline and sink.
    async fn logs(&self) -> Result<Vec<(String, String, Log)>, StageError> {
        let all = format!("{}/_foretell", self.folder);
        let mut logs = Vec::new();
        for pipeline in self.names(&all).await? {
            for sink in self.names(&format!("{all}/{pipeline}")).await? {
                let names = (unescape(&pipeline), unescape(&sink));
                let (Some(of), Some(name)) = names else { continue };
                let mut log = Log::new(self.storage.clone(), format!("{all}/{pipeline}/{sink}/log"));
                log.refresh().await?;
                logs.push((of, name, log));
            }
        }
        Ok(logs)
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, StageError> {
        let entries = list_if_there(&*self.storage, folder).await?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    fn staging(&self, token: &str) -> String {
        format!("{}/staging/{token}", self.hidden)
    }

    /// Clears what fenced writers left behind: committed files come into view, the others go.
    async fn clear(&self, token: &str) -> Result<Vec<String>, StageError> {
        let mut cleared = Vec::new();
        for writer in self.log.state.dead(token) {
            let staging = self.staging(&writer.token);
            for file in &writer.moves {
                let (from, to) = (format!("{staging}/{}", file.from), format!("{}/{}", self.folder, file.to));
                match self.storage.recover(&from).await {
                    Ok(()) => {}
                    Err(error) if error.kind == ErrorKind::Missing => {}
                    Err(error) => return Err(error.into()),
                }
                finish(&*self.storage, &from, &to).await?;
            }
            self.storage.delete(&staging).await?;
            cleared.push(writer.token);
        }
        Ok(cleared)
    }

    /// Moves a committed file into view, at once or in the background.
    async fn reveal(&mut self, mut writer: Box<dyn Writer>, from: String, file: &Move) -> Result<(), StageError> {
        let Some(claimed) = &mut self.claimed else { return Ok(()) };
        let to = format!("{}/{}", self.folder, file.to);
        if !self.storage.slow_close() {
            writer.close().await?;
            return finish(&*self.storage, &from, &to).await;
        }
        claimed.moving.push(file.number);
        let (storage, broken, number) = (self.storage.clone(), claimed.broken.clone(), file.number);
        self.moving.spawn(async move {
            let done = match writer.close().await {
                Ok(()) => finish(&*storage, &from, &to).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = &done {
                tracing::warn!("a committed file is not in view yet: {error}");
                broken.store(true, Ordering::Release);
            }
            (number, done)
        });
        Ok(())
    }

    /// Takes note of finished moves; waits for some where too many are under way.
    async fn collect(&mut self) {
        while let Some(joined) = match self.moving.len() >= MOVING {
            true => self.moving.join_next().await,
            false => self.moving.try_join_next(),
        } {
            if let (Ok((number, Ok(()))), Some(claimed)) = (joined, &mut self.claimed) {
                claimed.moving.retain(|moving| *moving != number);
            }
        }
    }

    /// The token of the claim that holds.
    fn token(&self) -> Result<String, StageError> {
        let Some(claimed) = &self.claimed else {
            return Err(StageError::fenced("the sink was not claimed since its last error"));
        };
        if claimed.broken.load(Ordering::Acquire) {
            return Err(StageError::unavailable("a committed file did not come into view"));
        }
        Ok(claimed.token.clone())
    }

    async fn write_claimed(&mut self, write: &Write) -> Result<Written, StageError> {
        self.collect().await;
        let token = self.token()?;
        self.log.state.progress.check(&write.ranges, &token)?;

        let staged = match self.stage(&write.rows, &token).await {
            Ok(staged) => staged,
            Err(error) => {
                // The folder is removed by the next claim that finds us fenced.
                self.log.refresh().await?;
                self.log.state.progress.check(&write.ranges, &token)?;
                return Err(error);
            }
        };
        crash_point("file-staged");
        let path = staged.as_ref().map(|staged| staged.path.clone());
        let written = self.commit_staged(write, &token, staged).await;
        if let (Err(error), Some(path)) = (&written, path)
            && error.fault == Fault::Fenced
        {
            // Surely not committed, and perhaps nobody looks there again.
            self.drop_staged(&token, &path).await;
        }
        written
    }

    async fn drop_staged(&self, token: &str, path: &str) {
        let cleared = !self.log.state.writers.iter().any(|writer| writer.token == token);
        let staging = self.staging(token);
        if let Err(error) = self.storage.delete(if cleared { &staging } else { path }).await {
            tracing::debug!("{error}");
        }
    }

    /// The batch's file with its last rows, synced, where nobody sees it; `None` for a batch without rows.
    async fn stage(&mut self, rows: &RecordBatch, token: &str) -> Result<Option<StagedFile>, StageError> {
        if rows.num_rows() > 0 {
            self.add(rows, token).await?;
        }
        let Some(mut staged) = self.staged.take() else { return Ok(None) };
        staged.writer.sync().await?;
        Ok(Some(staged))
    }

    /// Writes rows to the batch's file.
    async fn add(&mut self, rows: &RecordBatch, token: &str) -> Result<(), StageError> {
        let header = self.header && self.staged.is_none();
        let encoded = self.encoder.encode(rows, header);
        let bytes = encoded.map_err(|error| StageError::settings(format!("the rows cannot be written: {error}")))?;
        let mut staged = match self.staged.take() {
            Some(staged) => staged,
            None => self.begin(token).await?,
        };
        staged.told.rows += rows.num_rows() as u64;
        staged.told.bytes += bytes.len() as u64;
        staged.writer.write(bytes.into()).await?;
        self.staged = Some(staged);
        Ok(())
    }

    /// A new file where nobody sees it.
    async fn begin(&mut self, token: &str) -> Result<StagedFile, StageError> {
        let number = self.claimed.as_ref().map_or(0, |claimed| claimed.next_file);
        if number == 0 {
            self.storage.mkdirs(&self.staging(token)).await?;
        }
        if let Some(claimed) = &mut self.claimed {
            claimed.next_file += 1;
        }
        let name = format!("{number}.{}", self.extension);
        let path = format!("{}/{name}", self.staging(token));
        let told = Staged { number, name, extension: self.extension.clone(), rows: 0, bytes: 0 };
        let writer = self.storage.writer(&path).await?;
        Ok(StagedFile { writer, path, told })
    }

    async fn commit_staged(
        &mut self,
        write: &Write,
        token: &str,
        staged: Option<StagedFile>,
    ) -> Result<Written, StageError> {
        for _ in 0..ATTEMPTS {
            self.log.state.progress.check(&write.ranges, token)?;
            let claimed = self.claimed.as_ref();
            let number = claimed.map_or(0, |claimed| claimed.next_file);
            let act = Act::Write {
                token: token.to_string(),
                batch: write.plan.id.clone(),
                ranges: write.ranges.clone(),
                file: staged.as_ref().map(|staged| staged.told.clone()),
                retention: write.retention.as_ref().map(Into::into),
                // This write's own file is not in view yet.
                settled: claimed
                    .and_then(|claimed| claimed.moving.iter().min().copied())
                    .unwrap_or(number - u64::from(staged.is_some())),
                cleared: claimed.map(|claimed| claimed.cleared.clone()).unwrap_or_default(),
            };
            if self.log.commit(act).await? == Outcome::Committed {
                crash_point("file-recorded");
                if let Some(claimed) = &mut self.claimed {
                    claimed.cleared.clear();
                }
                if let Some(StagedFile { writer, path, told }) = staged
                    && let Some(target) = self.log.state.target(token, told.number)
                {
                    self.reveal(writer, path, &target).await?;
                }
                crash_point("file-in-view");
                return Ok(Written::default());
            }
        }
        Err(StageError::unavailable(format!("the commit log was busy {ATTEMPTS} times in a row")))
    }
}

/// Whether a file's name is one that a log gives.
fn is_ours(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_prefix("part-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(number, rest)| {
        let log = rest.split('.').next().unwrap_or_default();
        number.len() == 10 && digits(number) && log.len() == 8 && log.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Moves a committed file into view; someone who found its writer fenced may have done it already.
async fn finish(storage: &dyn Storage, from: &str, to: &str) -> Result<(), StageError> {
    let moved = storage.rename_new(from, to).await;
    let Err(error) = moved else { return Ok(()) };
    let (left, there) = (storage.stat(from).await?.is_some(), storage.stat(to).await?.is_some());
    match error.kind {
        ErrorKind::Missing | ErrorKind::Exists if there && !left => Ok(()),
        ErrorKind::Missing if !left => {
            // It was synced before its record, so it was in view: a reader that clears the folder has taken it.
            tracing::warn!("the committed file {} is not there: taken away since, it seems", storage.url(to));
            Ok(())
        }
        ErrorKind::Exists => Err(StageError::state(format!("{} is taken by another file", storage.url(to)))
            .remedy(format!("move it away; the committed file is {}", storage.url(from)))),
        _ => Err(error.into()),
    }
}

#[async_trait]
impl Sink for Files {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        self.log.refresh().await?;
        Ok(self.log.state.progress.checkpoints())
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        // Our own moves first: they are about to be finished for us otherwise.
        while self.moving.join_next().await.is_some() {}
        (self.claimed, self.staged) = (None, None);
        if !self.proven {
            self.storage.prove_puts(&format!("{}/log", self.hidden)).await?;
            self.proven = true;
        }
        self.log.refresh().await?;
        self.check_shape()?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        loop {
            let act = Act::Claim {
                token: token.clone(),
                worker: self.worker.clone(),
                claims: claims.iter().map(Into::into).collect(),
                shape: self.shape.clone(),
            };
            if self.log.commit(act).await? == Outcome::Committed {
                break;
            }
            self.check_shape()?;
        }
        if let Some(success) = &self.success {
            self.storage.delete(success).await?;
        }
        let cleared = self.clear(&token).await?;
        self.claimed = Some(Current { token, next_file: 0, moving: Vec::new(), broken: Arc::default(), cleared });
        let progress = &self.log.state.progress;
        Ok(claims.iter().filter_map(|claim| progress.checkpoint(&claim.partition)).collect())
    }

    async fn slice(&mut self, rows: &RecordBatch) -> Result<(), StageError> {
        let added = match self.token() {
            Ok(token) => self.add(rows, &token).await,
            Err(error) => Err(error),
        };
        if added.is_err() {
            (self.claimed, self.staged) = (None, None);
        }
        added
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        let written = self.write_claimed(write).await;
        if written.is_err() {
            (self.claimed, self.staged) = (None, None);
        }
        written
    }

    async fn traces(&mut self) -> Result<Vec<Trace>, StageError> {
        let mut traces = Vec::new();
        let logs = self.logs().await?;
        for (pipeline, sink, log) in &logs {
            let checkpoints = log.state.progress.checkpoints();
            if !checkpoints.is_empty() && (pipeline, sink) != (&self.owner.0, &self.owner.1) {
                let logs = checkpoints.into_iter().map(|checkpoint| checkpoint.identity).collect();
                traces.push(Trace::Sink { pipeline: pipeline.clone(), sink: sink.clone(), logs });
            }
        }
        if logs.is_empty() {
            let files = self.names(&self.folder).await?.iter().filter(|name| is_ours(name)).count();
            if files > 0 {
                let folder = self.storage.url(&self.folder);
                traces.push(Trace::Rows(format!(
                    "{files} files of foretell's in {folder}, but no `_foretell` beside them"
                )));
            }
        }
        Ok(traces)
    }

    async fn hand_over(&mut self, pipeline: &str, sink: &str) -> Result<(), StageError> {
        let hidden = format!("{}/_foretell/{}/{}", self.folder, escape(pipeline), escape(sink));
        let mut log = Log::new(self.storage.clone(), format!("{hidden}/log"));
        log.refresh().await?;
        // Whoever wrote under the old name is fenced, and what it committed comes into view.
        let checkpoints = self.positions().await?;
        let claim = |checkpoint: &Checkpoint| Claim {
            partition: checkpoint.partition.clone(),
            identity: checkpoint.identity.clone(),
            start: checkpoint.next,
        };
        let claims: Vec<Claim> = checkpoints.iter().map(claim).collect();
        let checkpoints = self.claim(&claims).await?;
        let claims: Vec<Claim> = checkpoints.iter().map(claim).collect();
        let token = uuid::Uuid::new_v4().simple().to_string();
        let claimed = Act::Claim {
            token: token.clone(),
            worker: self.worker.clone(),
            claims: claims.iter().map(Into::into).collect(),
            shape: self.shape.clone(),
        };
        let pieces = checkpoints.into_iter().flat_map(|checkpoint| checkpoint.plans).collect();
        let keep = PlanRetention { parts: pieces, floor: Vec::new() };
        let kept = Act::Write {
            token,
            batch: String::new(),
            ranges: Vec::new(),
            file: None,
            retention: Some((&keep).into()),
            settled: 0,
            cleared: Vec::new(),
        };
        for act in [claimed, kept] {
            if log.commit(act).await? == Outcome::Overtaken {
                return Err(StageError::unavailable(format!("{} is written to", self.storage.url(&hidden))));
            }
        }
        self.claimed = None;
        self.storage.delete(&self.hidden).await?;
        Ok(())
    }

    async fn reset(&mut self, reset: &Reset) -> Result<(), StageError> {
        self.log.refresh().await?;
        while self.log.commit(reset.into()).await? == Outcome::Overtaken {}
        Ok(())
    }

    async fn close(&mut self) -> Result<(), StageError> {
        while self.moving.join_next().await.is_some() {}
        self.claimed = None;
        if let Some(StagedFile { writer, path, .. }) = self.staged.take() {
            // A batch that never became whole.
            drop(writer);
            self.storage.delete(&path).await?;
        }
        self.storage.settle().await;
        Ok(())
    }
}
