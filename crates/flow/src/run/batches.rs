//! Batches on their way through an epoch: the replay of leftover plans, then collecting, planning, computing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::compute::{Output, SinkShape, StageFactory, Stages, concat_records};
use super::leftover::Leftover;
use super::reader::{End, Reader, Replay};
use super::sink_task::{Batch, Item, Shared};
use super::trigger::{Ticks, Trigger};
use super::{OnBadRecord, Settings};
use crate::{
    BadRecord, Chunk, Event, Location, Partition, Plan, Provenance, Range, Recipe, Records, RecordsBuilder, Scope,
    StageError,
};

/// Bad records named in the log, of one batch; the rest is counted.
const NAMED_BAD_RECORDS: usize = 5;

/// Decoders and queries that are kept ready: today's, and those of some leftover plans or of tables as they were.
const STAGES_KEPT: usize = 4;

/// A decoder and queries, and by sink where its columns are among those that they make, or why they are not.
pub(super) struct Ready {
    stages: Stages,
    fits: Vec<Result<Vec<usize>, String>>,
}

/// What was collected for a batch.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) records: Vec<Records>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) reached: HashMap<Partition, i64>,
}

impl Collected {
    pub(super) fn add(&mut self, chunk: Chunk) {
        self.rows += chunk.records.len();
        self.bytes += chunk.records.bytes();
        self.reached.extend(chunk.reached.into_iter().map(|p| (p.partition, p.next)));
        self.records.push(chunk.records);
    }
}

/// Why collecting stopped.
enum Turn {
    /// A batch is due.
    Batch,
    /// The epoch ends.
    End(End),
    /// A sink failed: its task says why.
    Failed,
}

/// Batches on their way through an epoch.
pub(super) struct Batches<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) factory: &'a dyn StageFactory,
    pub(super) settings: &'a Settings,
    pub(super) shutdown: &'a CancellationToken,
    /// The next offset that no batch has yet.
    pub(super) at: HashMap<Partition, i64>,
    /// By sink, the next offset that it lacks, counting batches under way.
    pub(super) next: Vec<HashMap<Partition, i64>>,
    /// Where the log ended when the epoch began.
    pub(super) ends: HashMap<Partition, i64>,
    pub(super) window: Arc<Semaphore>,
    /// At most one batch waits for the leader while it writes another: the longer it takes, the larger the next.
    pub(super) turns: Arc<Semaphore>,
    /// Slices between here and the slowest sink.
    pub(super) room: Arc<Semaphore>,
    pub(super) stages_by_recipe: HashMap<Recipe, Ready>,
    pub(super) shapes: Vec<SinkShape>,
    pub(super) dead_letters: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) feed: Vec<UnboundedSender<Item>>,
    pub(super) last_time: i64,
    /// Plans that some sink still lacks.
    pub(super) leftover: Leftover,
}

impl Batches<'_> {
    /// Runs batches until the epoch ends: each leftover plan as soon as it comes next, new ones below and above them.
    pub(super) async fn run(&mut self) -> Result<End, StageError> {
        let mut ticks = match self.settings.trigger {
            Trigger::Every(every) => Some(Ticks::new(every)),
            Trigger::Continuous | Trigger::AvailableNow => None,
        };
        loop {
            while let Some(plan) = self.next_leftover() {
                if let Some(end) = self.again(plan).await? {
                    return Ok(end);
                }
                if self.shared.stop.is_cancelled() || self.shutdown.is_cancelled() {
                    return Ok(End::Finished);
                }
            }
            if self.slices() && self.level() {
                self.reader.cap(HashMap::new());
                return self.sliced().await;
            }
            self.reader.cap(self.caps());
            let mut collected = Collected::default();
            let turn = self.collect(&mut collected, &mut ticks).await?;
            let over = match turn {
                Turn::Batch => None,
                Turn::End(End::Finished) => Some(End::Finished),
                Turn::End(end) => return Ok(end),
                Turn::Failed => return Ok(End::Finished),
            };
            if !collected.reached.is_empty() && !self.shutdown.is_cancelled() {
                let (plan, records) = self.plan(collected);
                self.send(plan, records, true).await?;
            }
            if let Some(end) = over {
                return Ok(end);
            }
            if self.settings.trigger == Trigger::AvailableNow && self.taken(&Collected::default()) {
                return Ok(End::Finished);
            }
        }
    }

    /// Makes a leftover batch again. Returns how the epoch ends, if it does.
    async fn again(&mut self, plan: Plan) -> Result<Option<End>, StageError> {
        if self.slices() && self.lacks(&plan).is_some() {
            return self.replay(plan).await;
        }
        let stop = self.shared.stop.clone();
        let replay = tokio::select! {
            replay = self.reader.exactly(&plan.ranges, &self.settings.limits) => replay?,
            () = stop.cancelled() => return Ok(Some(End::Finished)),
        };
        let records = match replay {
            Replay::Records(records) => concat_records(records).unwrap_or_else(|| empty_records(&plan.ranges)),
            Replay::Changed(end) => return Ok(Some(end)),
        };
        self.send(plan, records, false).await?;
        Ok(None)
    }

    /// The plan to make again next.
    fn next_leftover(&mut self) -> Option<Plan> {
        let waits = self.waits();
        self.leftover.next(&self.at, &waits)
    }

    /// Partitions that wait for others, where batches are taken as a whole: a sink that is ahead lacks what comes next in
    /// them, and would lack a part of a batch.
    fn waits(&self) -> HashSet<Partition> {
        let mut waits = HashSet::new();
        if self.settings.exclusive {
            let ahead = |(partition, next): (&Partition, &i64)| self.at.get(partition).is_some_and(|at| at < next);
            for next in self.next.iter().filter(|next| next.iter().any(ahead)) {
                waits.extend(next.iter().filter(|entry| !ahead(*entry)).map(|(partition, _)| partition.clone()));
            }
        }
        waits
    }

    /// Where the next new batch must end in a partition: a plan has no part that a sink has already, and a leftover plan
    /// is not cut.
    fn caps(&self) -> HashMap<Partition, i64> {
        let waits = self.waits();
        let mut caps = HashMap::new();
        for (partition, at) in &self.at {
            let ahead = self.next.iter().filter_map(|next| next.get(partition).copied().filter(|next| next > at));
            let waits = waits.contains(partition).then_some(*at);
            if let Some(cap) = ahead.chain(waits).chain(self.leftover.begin(partition)).min() {
                caps.insert(partition.clone(), cap);
            }
        }
        caps
    }

    fn slices(&self) -> bool {
        self.settings.sliced && self.settings.trigger == Trigger::AvailableNow
    }

    /// Whether all sinks lack the same.
    fn level(&self) -> bool {
        self.next.iter().all(|next| *next == self.next[0])
    }

    /// Whether everything that was there at the start is taken, with what is collected.
    pub(super) fn taken(&self, collected: &Collected) -> bool {
        let at = |partition| collected.reached.get(partition).or_else(|| self.at.get(partition));
        self.ends.iter().all(|(partition, end)| at(partition).is_some_and(|at| at >= end))
    }

    /// Collects records until a batch is due.
    async fn collect(&mut self, collected: &mut Collected, ticks: &mut Option<Ticks>) -> Result<Turn, StageError> {
        let limits = self.settings.limits;
        if self.settings.trigger == Trigger::AvailableNow && self.taken(collected) {
            return Ok(Turn::End(End::Finished));
        }
        let stop = self.shared.stop.clone();
        if let Some(ticks) = ticks {
            tokio::select! {
                () = tokio::time::sleep_until(ticks.due().into()) => {}
                () = self.shutdown.cancelled() => return Ok(Turn::End(End::Finished)),
                () = stop.cancelled() => return Ok(Turn::Failed),
            }
        }
        // The largest batch comes from asking as late as possible.
        tokio::select! {
            turn = self.turns.acquire() => drop(turn),
            () = self.shutdown.cancelled() => return Ok(Turn::End(End::Finished)),
            () = stop.cancelled() => return Ok(Turn::Failed),
        }
        let patience = if ticks.is_some() { Duration::from_millis(20) } else { Duration::from_secs(1) };
        let begun = Instant::now();
        loop {
            let mut demand = limits.demand(patience);
            demand.rows -= collected.rows.min(demand.rows - 1);
            demand.bytes -= collected.bytes.min(demand.bytes - 1);
            let event = tokio::select! {
                event = self.reader.next(demand) => event?,
                () = self.shutdown.cancelled() => return Ok(Turn::End(End::Finished)),
                () = stop.cancelled() => return Ok(Turn::Failed),
            };
            match event {
                Event::Records(chunk) => {
                    let quiet = chunk.records.is_empty();
                    collected.add(chunk);
                    let full = collected.rows >= limits.rows || collected.bytes >= limits.bytes;
                    let due = match ticks {
                        Some(ticks) if full || begun.elapsed() > ticks.every() / 2 => {
                            if ticks.begin(Instant::now(), full) {
                                self.shared.stats.late();
                            }
                            true
                        }
                        Some(_) => false,
                        // Positions that move without records wait for records, or for a quiet moment.
                        None => !quiet || self.settings.trigger == Trigger::AvailableNow && self.taken(collected),
                    };
                    if due {
                        return Ok(Turn::Batch);
                    }
                }
                Event::Idle => {
                    if let Some(ticks) = ticks
                        && ticks.begin(Instant::now(), false)
                        && collected.rows > 0
                    {
                        self.shared.stats.late();
                    }
                    return Ok(Turn::Batch);
                }
                Event::Ended => return Ok(Turn::End(End::Finished)),
                Event::Revoked => return Ok(Turn::End(End::Revoked)),
                Event::Assigned(partitions) => return Ok(Turn::End(End::Assigned(partitions))),
            }
        }
    }

    /// A new plan over what was collected.
    fn plan(&mut self, collected: Collected) -> (Plan, Records) {
        let mut plan = self.begin();
        plan.ranges = ranges(&self.at, collected.reached);
        let records = concat_records(collected.records).unwrap_or_else(|| empty_records(&plan.ranges));
        (plan, records)
    }

    /// A new plan that covers nothing yet.
    pub(super) fn begin(&mut self) -> Plan {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.last_time = i64::try_from(now.as_micros()).unwrap_or(i64::MAX).max(self.last_time + 1);
        Plan {
            id: format!("{}-{}", self.settings.worker, self.last_time),
            time: self.last_time,
            recipe: self.factory.recipe(),
            ranges: Vec::new(),
        }
    }

    /// Computes a batch and hands it to the leader.
    async fn send(&mut self, plan: Plan, records: Records, new: bool) -> Result<(), StageError> {
        if plan.ranges.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        // A batch that is dropped here has no trace anywhere: its records are read again after the next claim.
        let permit = tokio::select! {
            permit = permit(&self.window, records.bytes(), self.settings.limits.window) => permit,
            () = self.shared.stop.cancelled() => return Ok(()),
            () = self.shutdown.cancelled() => return Ok(()),
        };
        let ranges: Vec<Vec<Range>> = self.next.iter().map(|next| clip(&plan.ranges, next)).collect();
        let computing = Instant::now();
        let outputs = self.outputs(&plan, &records, &ranges, new).await?;
        let computed = computing.elapsed();
        self.advance(&plan.ranges);
        let turn = tokio::select! {
            turn = self.turns.clone().acquire_owned() => turn.ok().map(Arc::new),
            () = self.shared.stop.cancelled() => return Ok(()),
            () = self.shutdown.cancelled() => return Ok(()),
        };
        let batch = self.batch(plan, ranges, outputs, (records.len(), begun, computed), permit);
        self.hand_on(&Item::Batch(batch, turn));
        Ok(())
    }

    /// A batch on its way. `work`: how many records, since when, and how long they took to compute.
    pub(super) fn batch(
        &self,
        plan: Plan,
        ranges: Vec<Vec<Range>>,
        outputs: Vec<Output>,
        (records, begun, computed): (usize, Instant, Duration),
        permit: OwnedSemaphorePermit,
    ) -> Arc<Batch> {
        for (waiting, _) in self.shared.waiting.iter().zip(&ranges).filter(|(_, ranges)| !ranges.is_empty()) {
            waiting.fetch_add(records as u64, Relaxed);
        }
        let plan = Arc::new(plan);
        Arc::new(Batch { plan, ranges, outputs, records, begun, computed, _permit: permit })
    }

    /// What the sinks get of these records; bad ones are counted and told on the way.
    pub(super) async fn outputs(
        &mut self,
        plan: &Plan,
        records: &Records,
        ranges: &[Vec<Range>],
        new: bool,
    ) -> Result<Vec<Output>, StageError> {
        let (mut outputs, bad) = tokio::task::block_in_place(|| self.compute(plan, records, ranges, new))?;
        self.bad_records(&bad, records).await?;
        let letters =
            self.shapes.iter().zip(ranges).map(|(shape, ranges)| shape.takes_dead_letters() && !ranges.is_empty());
        let letters: Vec<bool> = letters.collect();
        for (index, output) in outputs.iter_mut().enumerate().filter(|(index, _)| letters[*index]) {
            if let Some(provenance) = &output.provenance
                && let Some(places) = self.reader.source().places(provenance).await?
            {
                *output = output.clone().with_places(&places);
            }
            let shape = &self.shapes[index];
            let found = shape.find(&output.rows.schema()).map_err(|why| misfit(shape, plan, &why))?;
            *output = output.columns(&found)?;
        }
        Ok(outputs)
    }

    /// These ranges are under way.
    pub(super) fn advance(&mut self, ranges: &[Range]) {
        for range in ranges {
            self.at.insert(range.partition.clone(), range.to);
            for next in &mut self.next {
                let at = next.entry(range.partition.clone()).or_insert(range.to);
                *at = (*at).max(range.to);
            }
        }
    }

    /// Hands something to the leader, or, where nobody leads, to all sinks.
    pub(super) fn hand_on(&self, item: &Item) {
        for sender in &self.feed {
            // A sink that is gone has failed; its task says why.
            let _ = sender.send(item.clone());
        }
    }

    /// One output a sink, and, of a new batch, the records that could not go on. Sinks that lack the same ranges share
    /// one computation.
    fn compute(
        &mut self,
        plan: &Plan,
        records: &Records,
        ranges: &[Vec<Range>],
        new: bool,
    ) -> Result<(Vec<Output>, Vec<BadRecord>), StageError> {
        if !self.stages_by_recipe.contains_key(&*plan.recipe) {
            if self.stages_by_recipe.len() >= STAGES_KEPT {
                let today = self.factory.recipe();
                self.stages_by_recipe.retain(|recipe, _| *recipe == *today);
            }
            let stages = self.factory.stages(&plan.recipe)?;
            let made = stages.made(&self.shapes);
            let fits = self.shapes.iter().zip(&made).map(|(shape, made)| shape.find(made)).collect();
            self.stages_by_recipe.insert((*plan.recipe).clone(), Ready { stages, fits });
        }
        let Ready { stages, fits } = self.stages_by_recipe.get_mut(&*plan.recipe).expect("it was put there");
        let mut outputs: Vec<Option<Output>> = vec![None; ranges.len()];
        let mut bad = Vec::new();
        for sink in 0..ranges.len() {
            if outputs[sink].is_some() {
                continue;
            }
            if ranges[sink].is_empty() {
                outputs[sink] = Some(self.shapes[sink].empty());
                continue;
            }
            let whole = ranges[sink] == plan.ranges;
            if !whole && let Some(cut) = cut(stages.scope(), &ranges[sink], &plan.ranges) {
                return Err(StageError::state(format!(
                    "sink `{}` is at {} in {}, in the middle of a batch from {} to {} whose query takes it as a whole: it \
                     cannot be replayed in part",
                    self.shapes[sink].name,
                    self.next[sink].get(&cut.partition).copied().unwrap_or(cut.from),
                    cut.partition,
                    cut.from,
                    cut.to
                ))
                .remedy(format!(
                    "`foretell positions set PIPELINE --sink {} --partition {} --offset {}` moves it to the batch's end, \
                     with {} to its begin",
                    self.shapes[sink].name, cut.partition, cut.to, cut.from
                )));
            }
            let computed = if whole {
                stages.run(records, plan.time, &self.shapes)?
            } else {
                stages.run(&records.filter(&inside(records, &ranges[sink])), plan.time, &self.shapes)?
            };
            if whole && new {
                bad = computed.bad;
            }
            for (other, output) in computed.outputs.into_iter().enumerate() {
                if outputs[other].is_none() && ranges[other] == ranges[sink] {
                    let shape = &self.shapes[other];
                    outputs[other] = Some(match &fits[other] {
                        // Places come later.
                        _ if shape.takes_dead_letters() => output,
                        Ok(columns) => output.columns(columns)?,
                        Err(why) => return Err(misfit(shape, plan, why)),
                    });
                }
            }
        }
        Ok((outputs.into_iter().flatten().collect(), bad))
    }

    /// Counts bad records, names the first few where nobody else keeps them, and stops where that is asked for.
    async fn bad_records(&mut self, bad: &[BadRecord], records: &Records) -> Result<(), StageError> {
        let Some(first) = bad.first() else { return Ok(()) };
        if self.settings.on_bad_record == OnBadRecord::Stop {
            let place = self.place(first, records).await?;
            return Err(StageError::state(place).remedy("`on_bad_record: continue` and `dead_letters:` set it aside"));
        }
        self.shared.stats.bad(bad.len());
        if !self.dead_letters {
            for b in bad.iter().take(NAMED_BAD_RECORDS) {
                warn!("bad record: {}", self.place(b, records).await?);
            }
            if bad.len() > NAMED_BAD_RECORDS {
                warn!("and {} more bad records in this batch", bad.len() - NAMED_BAD_RECORDS);
            }
        }
        Ok(())
    }

    /// Where a bad record is and what is wrong with it, in a line.
    async fn place(&mut self, bad: &BadRecord, records: &Records) -> Result<String, StageError> {
        let (partitions, offsets) = (records.partitions.slice(bad.row, 1), records.offsets.slice(bad.row, 1));
        let (partition, offset) = (partitions.value(0), offsets.value(0));
        let places = self.reader.source().places(&Provenance { partitions, offsets }).await?;
        let place = match places.as_deref() {
            Some([Location { file, line: Some(line) }]) => format!("{file} line {line}"),
            Some([Location { file, line: None }]) => format!("{file}[{partition}] offset {offset}"),
            _ => format!("{}[{partition}] offset {offset}", records.topic),
        };
        Ok(format!("{place}: {}: {}", bad.stage, bad.reason))
    }
}

/// A plan whose rows do not have the columns that a sink was opened with.
fn misfit(shape: &SinkShape, plan: &Plan, why: &str) -> StageError {
    let ranges: Vec<String> = plan.ranges.iter().map(|r| format!("{} {} to {}", r.partition, r.from, r.to)).collect();
    StageError::state(format!(
        "sink `{}` lacks a batch ({}) that was planned with another query, model or table, whose result {why}",
        shape.name,
        ranges.join(", ")
    ))
    .remedy(format!(
        "run the pipeline file as it was before, until `foretell positions show` tells that every sink has caught up; \
         or give the batch up in this sink with `foretell positions set PIPELINE --sink {}`",
        shape.name
    ))
}

/// From where the batch begins to where it reached, by partition.
pub(super) fn ranges(at: &HashMap<Partition, i64>, reached: HashMap<Partition, i64>) -> Vec<Range> {
    let from = |partition: &Partition, to: i64| at.get(partition).copied().unwrap_or(to);
    let ranges = reached.into_iter().map(|(partition, to)| Range { from: from(&partition, to), to, partition });
    let mut ranges: Vec<Range> = ranges.filter(|range| range.from < range.to).collect();
    ranges.sort_by(|a, b| a.partition.cmp(&b.partition));
    ranges
}

/// Room in the window for a batch; a batch larger than the window takes all of it.
pub(super) async fn permit(window: &Arc<Semaphore>, bytes: usize, whole: usize) -> OwnedSemaphorePermit {
    let permits = u32::try_from(bytes.clamp(1, whole)).unwrap_or(u32::MAX);
    window.clone().acquire_many_owned(permits).await.expect("the window is never closed")
}

/// What of these ranges a sink lacks.
pub(super) fn clip(ranges: &[Range], next: &HashMap<Partition, i64>) -> Vec<Range> {
    let clipped = ranges.iter().map(|range| {
        let from = next.get(&range.partition).map_or(range.from, |next| range.from.max(*next));
        Range { from, ..range.clone() }
    });
    clipped.filter(|range| range.from < range.to).collect()
}

/// Which range of a plan, a part of which is lacking, cannot be computed in parts.
fn cut<'p>(scope: Scope, part: &[Range], plan: &'p [Range]) -> Option<&'p Range> {
    let whole = |range: &Range| part.contains(range);
    let begun = |range: &Range| part.iter().any(|part| part.partition == range.partition);
    match scope {
        Scope::Record => None,
        Scope::Partition => plan.iter().find(|range| begun(range) && !whole(range)),
        Scope::Batch => plan.iter().find(|range| !whole(range)),
    }
}

/// Which records lie in these ranges.
fn inside(records: &Records, ranges: &[Range]) -> arrow::array::BooleanArray {
    let pairs = records.partitions.values().iter().zip(records.offsets.values());
    pairs
        .map(|(index, offset)| {
            Some(ranges.iter().any(|r| r.partition.index == *index && (r.from..r.to).contains(offset)))
        })
        .collect()
}

pub(super) fn empty_records(ranges: &[Range]) -> Records {
    let topic = ranges.first().map_or_else(|| Arc::from(""), |range| range.partition.topic.clone());
    RecordsBuilder::new(topic).finish()
}
