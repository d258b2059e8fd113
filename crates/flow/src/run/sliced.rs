//! Batches larger than memory: what is there at the start is computed slice by slice, each slice goes to the sinks at
//! once, which set it aside, and the batch that follows stores what they have. Whatever ends it before that leaves
//! nothing behind: the records are read again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::batches::BatchLoop;
use super::collected::Collected;
use super::compute::concat_records;
use super::output::Output;
use super::planner::{empty_records, ranges};
use super::reader::{EpochEnd, ReplayStep, Replaying};
use super::sink_task::Item;
use crate::monitor::Phase;
use crate::{Demand, Event, Partition, Plan, StageError};

/// Bytes in a slice, as [`Limits::slice`](super::Limits::slice) says it of records.
const BYTES: usize = 1 << 20;

/// How long the source may be silent before what there is goes on its way.
const PATIENCE: Duration = Duration::from_secs(1);

/// A batch that is under way.
struct SlicedBatch {
    plan: Plan,
    /// By sink, whether it lacks the batch.
    lacks: Vec<bool>,
    /// Whether it is not a replay.
    new: bool,
    begun: Instant,
    reached: BTreeMap<Partition, i64>,
    rows: usize,
    bytes: usize,
    computed: Duration,
    /// By sink, without rows.
    outputs: Option<Vec<Output>>,
}

impl SlicedBatch {
    fn new(plan: Plan, lacks: Vec<bool>, new: bool) -> Self {
        SlicedBatch {
            plan,
            lacks,
            new,
            begun: Instant::now(),
            reached: BTreeMap::new(),
            rows: 0,
            bytes: 0,
            computed: Duration::ZERO,
            outputs: None,
        }
    }
}

/// Why a batch ends.
enum BatchEnd {
    /// It is full, or the source is silent.
    Batch,
    /// All is taken, or the worker was told to stop: what was set aside is stored.
    Last,
    /// The epoch is over, and what was set aside is void.
    Epoch(EpochEnd),
}

impl BatchLoop<'_> {
    /// Runs batches until the epoch ends.
    pub(super) async fn sliced(&mut self) -> Result<EpochEnd, StageError> {
        loop {
            let mut batch = SlicedBatch::new(self.planner.begin(), vec![true; self.planner.next.len()], true);
            let turn = self.grow(&mut batch).await?;
            if let BatchEnd::Epoch(end) = turn {
                return Ok(end);
            }
            self.store(batch).await;
            if matches!(turn, BatchEnd::Last) {
                return Ok(EpochEnd::Finished);
            }
        }
    }

    /// Makes a leftover batch again. Returns how the epoch ends, if it does.
    pub(super) async fn replay(&mut self, plan: Plan) -> Result<Option<EpochEnd>, StageError> {
        let Some(lacks) = self.planner.lacks(&plan) else { return Ok(None) };
        let (limits, shared, ranges) = (self.settings.limits, self.shared.clone(), plan.ranges.clone());
        let mut replaying = Replaying::new(&ranges);
        let mut batch = SlicedBatch::new(plan, lacks, false);
        let mut slice = Collected::default();
        loop {
            shared.stats.monitor.phase(Phase::Collecting);
            let demand = Demand { rows: limits.slice, bytes: BYTES, wait: PATIENCE };
            let part = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(Some(EpochEnd::Finished)),
                () = shared.stop.cancelled() => return Ok(Some(EpochEnd::Finished)),
                part = self.collector.reader.part(&mut replaying, demand) => part?,
            };
            let over = match part {
                ReplayStep::Records(chunk) => {
                    slice.add(chunk);
                    false
                }
                ReplayStep::Over => true,
                ReplayStep::Changed(end) => return Ok(Some(end)),
            };
            if (over || slice.rows >= limits.slice || slice.bytes >= BYTES)
                && !self.hand_on_slice(&mut batch, std::mem::take(&mut slice)).await?
            {
                return Ok(Some(EpochEnd::Finished));
            }
            if over {
                self.store(batch).await;
                return Ok(None);
            }
        }
    }

    /// Slice after slice, until the batch ends.
    async fn grow(&mut self, batch: &mut SlicedBatch) -> Result<BatchEnd, StageError> {
        let (limits, stop) = (self.settings.limits, self.shared.stop.clone());
        let mut slice = Collected::default();
        loop {
            let reached = with(&batch.reached, &slice.reached);
            let (all, room) = (self.planner.taken(&reached), limits.rows.saturating_sub(batch.rows + slice.rows));
            let full = room == 0 || batch.bytes + slice.bytes >= limits.bytes;
            if slice.rows >= limits.slice || slice.bytes >= BYTES || all || full {
                let slice = std::mem::take(&mut slice);
                if !self.hand_on_slice(batch, slice).await? {
                    return Ok(BatchEnd::Epoch(EpochEnd::Finished));
                }
            }
            match (all, full) {
                (true, _) => return Ok(BatchEnd::Last),
                (false, true) => return Ok(BatchEnd::Batch),
                (false, false) => {}
            }
            self.shared.stats.monitor.phase(Phase::Collecting);
            let demand = Demand { rows: limits.slice.min(room), bytes: BYTES, wait: PATIENCE };
            let event = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(BatchEnd::Last),
                () = stop.cancelled() => return Ok(BatchEnd::Epoch(EpochEnd::Finished)),
                event = self.collector.reader.next(demand) => event?,
            };
            let turn = match event {
                Event::Records(chunk) => {
                    slice.add(chunk);
                    continue;
                }
                Event::Idle => BatchEnd::Batch,
                Event::Ended => BatchEnd::Last,
                Event::Revoked => return Ok(BatchEnd::Epoch(EpochEnd::Revoked)),
                Event::Assigned(partitions) => return Ok(BatchEnd::Epoch(EpochEnd::Assigned(partitions))),
            };
            return match self.hand_on_slice(batch, slice).await? {
                true => Ok(turn),
                false => Ok(BatchEnd::Epoch(EpochEnd::Finished)),
            };
        }
    }

    /// Computes a slice and hands it to the leader; false where a sink failed, whose task says why.
    async fn hand_on_slice(&mut self, batch: &mut SlicedBatch, slice: Collected) -> Result<bool, StageError> {
        if slice.reached.is_empty() {
            return Ok(true);
        }
        let at = self.planner.at.iter().chain(&batch.reached).map(|(partition, at)| (partition.clone(), *at)).collect();
        let plan = Plan { ranges: ranges(&at, slice.reached.clone()), ..batch.plan.clone() };
        let records = concat_records(slice.records).unwrap_or_else(|| empty_records(&plan.ranges));
        let lacking = |lacks: &bool| if *lacks { plan.ranges.clone() } else { Vec::new() };
        let lacking: Vec<_> = batch.lacks.iter().map(lacking).collect();
        let computing = Instant::now();
        let outputs = self.outputs(&plan, &records, &lacking, batch.new).await?;
        batch.computed += computing.elapsed();
        batch.reached.extend(slice.reached);
        batch.rows += slice.rows;
        batch.bytes += slice.bytes;
        batch.outputs.get_or_insert_with(|| outputs.iter().map(Output::empty).collect());
        Ok(self.dispatcher.slice(outputs).await)
    }

    /// The batch is whole: what the sinks have set aside is to be stored.
    async fn store(&mut self, batch: SlicedBatch) {
        let SlicedBatch { mut plan, lacks, new, begun, reached, rows, computed, outputs, .. } = batch;
        if new {
            plan.ranges = ranges(&self.planner.at, reached);
        }
        let Some(outputs) = outputs.filter(|_| !plan.ranges.is_empty()) else { return };
        self.planner.advance(&plan.ranges);
        let lacking: Vec<_> =
            lacks.into_iter().map(|lacks| if lacks { plan.ranges.clone() } else { Vec::new() }).collect();
        // It holds no rows.
        let permit = self.dispatcher.reserve(1).await;
        let batch = self.dispatcher.batch(plan, lacking, outputs, (rows, begun, computed), permit);
        self.dispatcher.hand_on(&Item::Batch(batch, None));
    }
}

/// Where a batch reaches with one more slice.
fn with(batch: &BTreeMap<Partition, i64>, slice: &BTreeMap<Partition, i64>) -> BTreeMap<Partition, i64> {
    batch.iter().chain(slice).map(|(partition, next)| (partition.clone(), *next)).collect()
}
