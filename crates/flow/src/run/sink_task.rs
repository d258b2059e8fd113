//! One sink in the run loop: writes batch after batch, settles what is unknown, and says how far it got.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::output::Output;
use super::progress::{Positions, Stats, lock};
use crate::testing::{BrokenStep, crash_point, is_broken};
use crate::{
    Checkpoint, Claim, Fault, Partition, Plan, PlanPart, PlanRetention, Position, Range, Sink, SinkTraits, StageError,
    Write,
};

/// A sink without rows to write stores its position at least this often.
const EMPTY_AT_MOST: Duration = Duration::from_secs(1);

/// How many rows, and batches, go into one write where many wait for a sink.
const TOGETHER: (usize, usize) = (50_000, 1_000);

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
    /// By sink: what it gets, until it takes that.
    pub(super) outputs: Vec<Mutex<Option<Output>>>,
    /// How many records it holds.
    pub(super) records: usize,
    /// How many bytes of the window it takes.
    pub(super) bytes: usize,
    /// When it began.
    pub(super) begun: Instant,
    /// How long decoding and the queries took.
    pub(super) computed: Duration,
    /// Told when every sink has it.
    pub(super) shared: Arc<Shared>,
    /// Its place in the window; given back when every sink has it.
    pub(super) _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.shared.under_way.fetch_sub(1, Relaxed);
        self.shared.stats.monitor.done(self.bytes);
    }
}

impl Batch {
    /// What a sink gets; it holds that from now on.
    fn take(&self, sink: usize) -> Option<Output> {
        lock(&self.outputs[sink]).take()
    }

    /// How many rows a sink gets, and whether it is known of each where it comes from.
    fn rows(&self, sink: usize) -> (usize, bool) {
        lock(&self.outputs[sink]).as_ref().map_or((0, false), |o| (o.rows.num_rows(), o.provenance.is_some()))
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
    /// Batches between their computation and the slowest sink.
    pub(super) under_way: AtomicU64,
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
        // What came and did not go with the write before it.
        let mut next: Option<Item> = None;
        loop {
            let due = empty.as_ref().map_or_else(|| Instant::now() + EMPTY_AT_MOST, |empty| empty.due);
            let item = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                item = std::future::ready(next.take()), if next.is_some() => item,
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
            let ranges = &batch.ranges[self.index];
            if ranges.is_empty() {
                self.forward(&Item::Batch(batch, None));
                continue;
            }
            if batch.rows(self.index).0 == 0 && self.aside == 0 && !self.leads {
                self.arrived(batch.records);
                match (&mut empty, batch.take(self.index)) {
                    (Some(empty), _) => empty.extend(ranges),
                    (None, Some(output)) => {
                        empty = Some(EmptyWrite::new(batch.plan.clone(), ranges.clone(), output));
                    }
                    (None, None) => return Err(taken_twice()),
                }
                continue;
            }
            let mut together = vec![batch];
            if !self.leads && self.aside == 0 && self.sink.traits.keeps_positions {
                next = self.more(&mut together, batches);
            }
            let mut write = self.together(&together)?;
            if let Some(empty) = empty.take() {
                write.ranges = empty.before(write.ranges);
            }
            let writing = Instant::now();
            self.write(write).await?;
            for batch in together {
                self.arrived(batch.records);
                if self.counts {
                    let work = batch.computed + writing.elapsed();
                    self.shared.stats.stored(batch.records, batch.begun.elapsed(), work);
                    self.shared.stats.monitor.batch(batch.begun.elapsed());
                }
                self.forward(&Item::Batch(batch, None));
            }
        }
    }

    /// Adds batches that wait already to a write: a sink that was away catches up with many of them in one act. What
    /// does not go with them is returned.
    fn more(&self, together: &mut Vec<Arc<Batch>>, batches: &mut UnboundedReceiver<Item>) -> Option<Item> {
        let (mut rows, located) = together[0].rows(self.index);
        while rows < TOGETHER.0 && together.len() < TOGETHER.1 {
            match batches.try_recv().ok()? {
                Item::Batch(batch, _) if batch.ranges[self.index].is_empty() => {}
                Item::Batch(batch, turn) => {
                    let (more, locates) = batch.rows(self.index);
                    if rows + more > TOGETHER.0 || (more > 0 && locates != located) {
                        return Some(Item::Batch(batch, turn));
                    }
                    rows += more;
                    together.push(batch);
                }
                slice @ Item::Slice(_) => return Some(slice),
            }
        }
        None
    }

    /// One write of several batches: each keeps the rows, the time and the recipe of its plan.
    fn together(&mut self, batches: &[Arc<Batch>]) -> Result<Write, StageError> {
        let mut outputs = Vec::with_capacity(batches.len());
        let mut ranges: Vec<Range> = Vec::new();
        let mut retention: Option<PlanRetention> = None;
        for batch in batches {
            outputs.push(batch.take(self.index).ok_or_else(taken_twice)?);
            extend(&mut ranges, &batch.ranges[self.index]);
            if let Some(PlanRetention { parts, floor }) = self.retention(&batch.plan, &batch.ranges[self.index]) {
                let all = retention.get_or_insert_with(|| PlanRetention { parts: Vec::new(), floor: Vec::new() });
                all.parts.extend(parts);
                all.floor = floor;
            }
        }
        // A batch without rows says nothing of where they come from.
        if outputs.iter().any(|output| output.rows.num_rows() > 0) {
            outputs.retain(|output| output.rows.num_rows() > 0);
        }
        let Output { rows, provenance, topics } = Output::concat(&outputs)?;
        let plan = batches[batches.len() - 1].plan.clone();
        Ok(Write { plan, ranges, rows, provenance, topics, retention })
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
        let alone = !self.others && is_broken(BrokenStep::PlansStayWithoutFollowers);
        if !self.sink.traits.keeps_positions || alone {
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
            crash_point("writing");
            let writing = self.sink.inner.write(&todo);
            let error = match warn_while_waiting(&self.sink.name, "writing", waiting, writing).await {
                Ok(written) => {
                    crash_point("written");
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
    let held: BTreeMap<&Partition, &Checkpoint> = checkpoints.iter().map(|h| (&h.partition, h)).collect();
    let mut rest = Vec::new();
    for range in &write.ranges {
        match held.get(&range.partition) {
            // A sink that keeps no positions: at least once.
            None => rest.push(range.clone()),
            Some(held) if held.next == range.from => rest.push(range.clone()),
            Some(held) if held.next == range.to && is_ours(write, held) => {}
            Some(held) if held.next == range.to => {
                return Err(StageError::fenced(format!(
                    "sink `{sink}`: another worker stored {} from {} to {}",
                    range.partition, range.from, range.to
                )));
            }
            Some(held) => {
                return Err(StageError::fenced(format!(
                    "sink `{sink}`: {} is at {}, where {} or {} was expected",
                    range.partition, held.next, range.from, range.to
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

/// Whether what is stored where a write was to reach is that write. Where positions are compared, an earlier owner may
/// have stored a batch of its own over the same records; the other sinks must get that one, which is kept for them.
fn is_ours(write: &Write, held: &Checkpoint) -> bool {
    let mut parts = write.retention.iter().flat_map(|retention| &retention.parts);
    let kept = |part: &PlanPart| held.plans.iter().any(|kept| kept.id == part.id && kept.range == part.range);
    parts.all(|part| part.range.partition != held.partition || kept(part))
        || is_broken(BrokenStep::ReachedIsTakenForStored)
}

/// Makes ranges reach as far as those that follow them.
fn extend(ranges: &mut Vec<Range>, more: &[Range]) {
    for range in more {
        match ranges.iter_mut().find(|r| r.partition == range.partition) {
            Some(own) => own.to = range.to,
            None => ranges.push(range.clone()),
        }
    }
}

fn taken_twice() -> StageError {
    StageError::defect("a sink is handed a batch twice")
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
        extend(&mut self.ranges, ranges);
    }

    /// These ranges, begun where the empty ones began.
    fn before(mut self, ranges: Vec<Range>) -> Vec<Range> {
        self.extend(&ranges);
        self.ranges
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use arrow::datatypes::Schema;

    use super::*;
    use crate::{Recipe, Write};

    #[test]
    fn what_another_stored_over_the_same_records_is_not_taken_for_ones_own() {
        let partition = Partition { topic: "t".into(), index: 0 };
        let range = Range { partition: partition.clone(), from: 5, to: 7 };
        let part = |id: &str| PlanPart {
            id: id.into(),
            time: 1,
            recipe: Recipe::default(),
            range: range.clone(),
            kept: 0,
            of: 1,
        };
        let held = |next: i64, plans: Vec<PlanPart>| {
            [Checkpoint { partition: partition.clone(), identity: "log".into(), next, plans }]
        };
        let plan = Plan { id: "ours".into(), time: 1, recipe: Arc::default(), ranges: vec![range.clone()] };
        let mut write = Write {
            plan: Arc::new(plan),
            ranges: vec![range.clone()],
            rows: RecordBatch::new_empty(Arc::new(Schema::empty())),
            provenance: None,
            topics: crate::Topics::default(),
            retention: Some(PlanRetention { parts: vec![part("ours")], floor: Vec::new() }),
        };
        let stored = |write: &Write, held: &[Checkpoint]| match outstanding(write, held, "s") {
            Ok(rest) => rest.is_none().to_string(),
            Err(error) => format!("{:?}: {}", error.fault, error.message),
        };
        assert_eq!(stored(&write, &held(7, vec![part("ours")])), "true");
        assert_eq!(stored(&write, &held(5, Vec::new())), "false", "it is written again");
        let another = "Fenced: sink `s`: another worker stored t[0] from 5 to 7";
        assert_eq!(stored(&write, &held(7, vec![part("another")])), another);
        assert_eq!(stored(&write, &held(7, Vec::new())), another);
        write.retention = None;
        assert_eq!(stored(&write, &held(7, Vec::new())), "true", "no other sink lacks it");
    }
}
