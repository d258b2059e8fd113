//! One sink in the run loop: writes batch after batch, settles what is unknown, and says how far it got.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::output::Output;
use super::progress::{Positions, Stats};
use crate::testing::{BrokenStep, is_broken};
use crate::{
    Checkpoint, Claim, Fault, Partition, Plan, PlanPart, PlanRetention, Position, Range, Sink, SinkTraits, StageError,
    Write,
};

/// A sink without rows to write stores its position at least this often.
const EMPTY_AT_MOST: Duration = Duration::from_secs(1);

/// Waits between attempts while a service is away: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// A sink that has not answered for so long is named in the log, and again each time so long.
const SILENT: Duration = Duration::from_secs(30);

/// Which rows a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkInput {
    /// The query's.
    Results,
    /// Bad records.
    DeadLetters,
}

/// A sink and its place in the pipeline.
pub struct SinkStage {
    /// Its name in the pipeline file.
    pub name: String,
    /// The sink.
    pub inner: Box<dyn Sink>,
    /// How it behaves.
    pub traits: SinkTraits,
    /// Which rows it gets.
    pub input: SinkInput,
    /// The columns that it was opened with: it gets these, in this order, of any recipe's result.
    pub schema: SchemaRef,
    /// Whether the pipeline file chooses them: then a result may have others, which it does not get.
    pub chosen: bool,
    /// Where it has no position yet: begin where a new pipeline would, not where the other sinks are.
    pub backfill: bool,
    /// Whether it is known to be a new one where it has no position yet.
    pub new: bool,
    /// Where it writes, if one machine or one worker alone may write there: what tells machines of one name apart, a
    /// space, and the place as people know it. Else empty.
    pub home: String,
}

impl SinkStage {
    /// An error of this sink, with its name.
    pub(super) fn named(&self, mut error: StageError) -> StageError {
        error.message = format!("sink `{}`: {}", self.name, error.message);
        error
    }
}

/// Waits for a sink, and says now and then that it is waited for. `more`: what waits behind it, for people.
pub(super) async fn warn_while_waiting<T>(
    sink: &str,
    doing: &str,
    more: impl Fn() -> String,
    work: impl Future<Output = T>,
) -> T {
    let since = Instant::now();
    let mut told = tokio::time::interval_at(since + SILENT, SILENT);
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = told.tick() => {
                let seconds = since.elapsed().as_secs();
                warn!(sink, seconds, "no answer from the sink while {doing}{}: it is waited for", more());
            }
        }
    }
}

/// A batch on its way to the sinks.
pub(super) struct Batch {
    pub(super) plan: Arc<Plan>,
    /// By sink: what it lacks of the plan; empty where it has all of it.
    pub(super) ranges: Vec<Vec<Range>>,
    /// By sink.
    pub(super) outputs: Vec<Output>,
    /// How many records it holds.
    pub(super) records: usize,
    /// How many bytes these have.
    pub(super) bytes: usize,
    /// When it began.
    pub(super) begun: Instant,
    /// How long decoding and the queries took.
    pub(super) computed: Duration,
    /// Told when every sink has it.
    pub(super) stats: Arc<Stats>,
    /// Its place in the window; given back when every sink has it.
    pub(super) _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.stats.monitor.done(self.bytes);
    }
}

/// Rows of the batch that is under way, computed before it is whole.
pub(super) struct Slice {
    /// By sink.
    pub(super) outputs: Vec<Output>,
    /// Given back when every sink has set it aside.
    pub(super) _room: tokio::sync::OwnedSemaphorePermit,
}

/// What is handed to a sink.
#[derive(Clone)]
pub(super) enum Item {
    /// A slice of the batch that comes next.
    Slice(Arc<Slice>),
    /// A batch, with the turn that is free again when the first sink has it.
    Batch(Arc<Batch>, Option<Arc<tokio::sync::OwnedSemaphorePermit>>),
}

/// What the sinks of an epoch share.
pub(super) struct Shared {
    pub(super) positions: Positions,
    pub(super) stats: Arc<Stats>,
    /// By sink, the records on their way to it.
    pub(super) waiting: Vec<AtomicU64>,
    /// The epoch is over: finish the write at hand, take no other.
    pub(super) stop: CancellationToken,
}

/// A sink at work: the task that owns the sink for an epoch.
pub(super) struct SinkTask {
    pub(super) sink: SinkStage,
    pub(super) index: usize,
    pub(super) leads: bool,
    /// Where the plans that are stored here end, by partition.
    pub(super) plans: BTreeMap<Partition, i64>,
    /// When what it keeps in this epoch is kept.
    pub(super) kept_at: i64,
    /// Whether there is another sink.
    pub(super) others: bool,
    /// Whether the progress line counts what this sink stores.
    pub(super) counts: bool,
    pub(super) claims: Vec<Claim>,
    pub(super) shared: Arc<Shared>,
    pub(super) followers: Vec<UnboundedSender<Item>>,
    /// Rows that the sink has set aside for the next write.
    pub(super) aside: usize,
}

impl SinkTask {
    /// Writes what comes until the channel closes or the epoch ends. The sink comes back whatever happens.
    pub(super) async fn run(mut self, mut batches: UnboundedReceiver<Item>) -> (SinkStage, Result<(), StageError>) {
        // Whatever ends it but the end of the channel, a panic too, ends the epoch.
        let stop = self.shared.stop.clone().drop_guard();
        let outcome = self.follow(&mut batches).await;
        if outcome.is_ok() || is_broken(BrokenStep::FailedSinksStopNobody) {
            stop.disarm();
        }
        (self.sink, outcome)
    }

    async fn follow(&mut self, batches: &mut UnboundedReceiver<Item>) -> Result<(), StageError> {
        let stop = self.shared.stop.clone();
        let mut empty: Option<EmptyWrite> = None;
        loop {
            let due = empty.as_ref().map_or_else(|| Instant::now() + EMPTY_AT_MOST, |empty| empty.due);
            let item = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                item = batches.recv() => item,
                () = tokio::time::sleep_until(due), if empty.is_some() && self.aside == 0 => {
                    self.flush(&mut empty).await?;
                    continue;
                }
            };
            let (batch, _turn) = match item {
                Some(Item::Batch(batch, turn)) => (batch, turn),
                Some(Item::Slice(slice)) => {
                    self.set_aside(&slice).await?;
                    self.forward(&Item::Slice(slice));
                    continue;
                }
                // Rows that were set aside and whose batch never came are void.
                None if self.aside > 0 => return Ok(()),
                None => return self.flush(&mut empty).await,
            };
            let output = &batch.outputs[self.index];
            let ranges = &batch.ranges[self.index];
            if ranges.is_empty() {
                self.forward(&Item::Batch(batch, None));
                continue;
            }
            if output.rows.num_rows() == 0 && self.aside == 0 && !self.leads {
                self.arrived(batch.records);
                match &mut empty {
                    Some(empty) => empty.extend(ranges),
                    None => empty = Some(EmptyWrite::new(batch.plan.clone(), ranges.clone(), output.clone())),
                }
                continue;
            }
            let mut write = Write {
                plan: batch.plan.clone(),
                ranges: ranges.clone(),
                rows: output.rows.clone(),
                provenance: output.provenance.clone(),
                topics: output.topics.clone(),
                retention: self.retention(&batch.plan, ranges),
            };
            if let Some(empty) = empty.take() {
                write.ranges = empty.before(write.ranges);
            }
            let writing = Instant::now();
            self.write(write).await?;
            self.arrived(batch.records);
            if self.counts {
                let work = batch.computed + writing.elapsed();
                self.shared.stats.stored(batch.records, batch.begun.elapsed(), work);
                self.shared.stats.monitor.batch(batch.begun.elapsed());
            }
            self.forward(&Item::Batch(batch, None));
        }
    }

    fn forward(&self, item: &Item) {
        for follower in &self.followers {
            // A follower that is gone has failed and ends the epoch itself.
            let _ = follower.send(item.clone());
        }
    }

    async fn set_aside(&mut self, slice: &Slice) -> Result<(), StageError> {
        let rows = &slice.outputs[self.index].rows;
        if rows.num_rows() > 0 {
            self.sink.inner.slice(rows).await.map_err(|error| self.sink.named(error))?;
            self.aside += rows.num_rows();
        }
        Ok(())
    }

    fn arrived(&self, records: usize) {
        self.shared.stats.monitor.arrived(self.index, records);
        if let Some(waiting) = self.shared.waiting.get(self.index) {
            let _ = waiting.fetch_update(Relaxed, Relaxed, |waiting| Some(waiting.saturating_sub(records as u64)));
        }
    }

    /// What is kept with a write: the plan of rows that another sink still lacks, whichever sink has them first; and what
    /// of that may go.
    fn retention(&mut self, plan: &Plan, ranges: &[Range]) -> Option<PlanRetention> {
        if !self.sink.traits.keeps_positions {
            return None;
        }
        let floor: Vec<Position> = match self.others && !is_broken(BrokenStep::PlansAreTrimmedTooEarly) {
            true => self.shared.positions.lowest(Some(self.index)),
            false => ranges.iter().map(|r| Position { partition: r.partition.clone(), next: r.to }).collect(),
        };
        let lacking = |part: &PlanPart| {
            let here = |partition: &Partition| *partition == part.range.partition;
            let has_it = |floor: &Position| here(&floor.partition) && floor.next >= part.range.to;
            ranges.iter().any(|range| here(&range.partition)) && !floor.iter().any(has_it)
        };
        let parts: Vec<_> = plan.parts().filter(lacking).map(|part| PlanPart { kept: self.kept_at, ..part }).collect();
        if parts.is_empty() && self.plans.is_empty() {
            return None;
        }
        for part in &parts {
            let end = self.plans.entry(part.range.partition.clone()).or_insert(part.range.to);
            *end = (*end).max(part.range.to);
        }
        for floor in &floor {
            if self.plans.get(&floor.partition).is_some_and(|end| *end <= floor.next) {
                self.plans.remove(&floor.partition);
            }
        }
        Some(PlanRetention { parts, floor })
    }

    async fn flush(&mut self, empty: &mut Option<EmptyWrite>) -> Result<(), StageError> {
        let Some(empty) = empty.take() else { return Ok(()) };
        if !self.sink.traits.keeps_positions {
            self.shared.positions.advance(self.index, &empty.ranges);
            self.shared.stats.monitor.stored(self.index, &empty.ranges);
            return Ok(());
        }
        let Output { rows, provenance, topics } = empty.output;
        let (plan, ranges) = (empty.plan, empty.ranges);
        self.write(Write { plan, ranges, rows, provenance, topics, retention: None }).await
    }

    /// Writes until it is stored: after an error the sink is claimed again and what it says is believed.
    async fn write(&mut self, write: Write) -> Result<(), StageError> {
        let mut todo = write;
        let aside = std::mem::take(&mut self.aside);
        let whole = todo.ranges.clone();
        let mut backoff = BACKOFF.0;
        loop {
            let waiting = || match self.shared.waiting.get(self.index).map(|waiting| waiting.load(Relaxed)) {
                Some(records) if records > 0 => format!(", {records} records wait"),
                _ => String::new(),
            };
            let begun = Instant::now();
            let writing = self.sink.inner.write(&todo);
            let error = match warn_while_waiting(&self.sink.name, "writing", waiting, writing).await {
                Ok(written) => {
                    self.shared.stats.rejected(written.rejected);
                    self.shared.stats.monitor.written(self.index, begun.elapsed(), written.rejected);
                    if written.rejected > 0 {
                        warn!(
                            sink = self.sink.name,
                            rows = written.rejected,
                            "rows that this sink refused are in its rejects"
                        );
                    }
                    break;
                }
                Err(error) if error.fault == Fault::Unavailable && is_broken(BrokenStep::UnknownIsTakenForStored) => {
                    break;
                }
                Err(error) if error.fault == Fault::Unavailable => self.sink.named(error),
                Err(error) => return Err(self.sink.named(error)),
            };
            debug!(batch = todo.plan.id, "{error}: trying again");
            self.shared.stats.monitor.sink_away(self.index, &error.message);
            let checkpoints = self.claim_again(&mut backoff).await?;
            match outstanding(&todo, &checkpoints, &self.sink.name)? {
                // Its rows are gone: the next epoch makes them again.
                Some(_) if aside > 0 => return Err(error),
                Some(rest) => todo = rest,
                None => break,
            }
        }
        self.shared.positions.advance(self.index, &whole);
        self.shared.stats.monitor.stored(self.index, &whole);
        Ok(())
    }

    async fn claim_again(&mut self, backoff: &mut Duration) -> Result<Vec<Checkpoint>, StageError> {
        loop {
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return Err(StageError::unavailable("stopped while the service was away")),
                () = tokio::time::sleep(*backoff) => {}
            }
            *backoff = (*backoff * 2).min(BACKOFF.1);
            if !self.sink.traits.keeps_positions {
                return Ok(Vec::new());
            }
            let claiming = self.sink.inner.claim(&self.claims);
            match warn_while_waiting(&self.sink.name, "claiming", String::new, claiming).await {
                Ok(checkpoints) => return Ok(checkpoints),
                Err(error) if error.fault == Fault::Unavailable => {
                    let error = self.sink.named(error);
                    debug!("{error}: trying again");
                    self.shared.stats.monitor.sink_away(self.index, &error.message);
                }
                Err(error) => return Err(self.sink.named(error)),
            }
        }
    }
}

/// What of a write is still to be done, by what the sink says it holds; `None` when all of it is stored.
fn outstanding(write: &Write, checkpoints: &[Checkpoint], sink: &str) -> Result<Option<Write>, StageError> {
    let held: BTreeMap<&Partition, i64> = checkpoints.iter().map(|h| (&h.partition, h.next)).collect();
    let mut rest = Vec::new();
    for range in &write.ranges {
        match held.get(&range.partition) {
            // A sink that keeps no positions: at least once.
            None => rest.push(range.clone()),
            Some(next) if *next == range.from => rest.push(range.clone()),
            Some(next) if *next == range.to => {}
            Some(next) => {
                return Err(StageError::fenced(format!(
                    "sink `{sink}`: {} is at {next}, where {} or {} was expected",
                    range.partition, range.from, range.to
                )));
            }
        }
    }
    if rest.is_empty() {
        return Ok(None);
    }
    if rest.len() == write.ranges.len() {
        return Ok(Some(write.clone()));
    }
    let (rows, provenance) = (write.rows.clone(), write.provenance.clone());
    let output = Output { rows, provenance, topics: write.topics.clone() };
    let Some(Output { rows, provenance, topics }) = output.of_ranges(&rest) else {
        return Err(StageError::state(format!(
            "sink `{sink}`: a batch that cannot be cut by partition is stored for some of its partitions only"
        ))
        .remedy("`foretell positions show` tells what is stored"));
    };
    let retention = write.retention.as_ref().map(|keep| PlanRetention {
        parts: keep
            .parts
            .iter()
            .filter(|part| rest.iter().any(|r| r.partition == part.range.partition))
            .cloned()
            .collect(),
        floor: keep.floor.clone(),
    });
    Ok(Some(Write { plan: write.plan.clone(), ranges: rest, rows, provenance, topics, retention }))
}

/// Positions that advance without rows are written with the next rows, or after a while.
struct EmptyWrite {
    plan: Arc<Plan>,
    ranges: Vec<Range>,
    output: Output,
    due: Instant,
}

impl EmptyWrite {
    fn new(plan: Arc<Plan>, ranges: Vec<Range>, output: Output) -> Self {
        EmptyWrite { plan, ranges, output, due: Instant::now() + EMPTY_AT_MOST }
    }

    fn extend(&mut self, ranges: &[Range]) {
        for range in ranges {
            match self.ranges.iter_mut().find(|r| r.partition == range.partition) {
                Some(own) => own.to = range.to,
                None => self.ranges.push(range.clone()),
            }
        }
    }

    /// These ranges, begun where the empty ones began.
    fn before(mut self, ranges: Vec<Range>) -> Vec<Range> {
        self.extend(&ranges);
        self.ranges
    }
}
