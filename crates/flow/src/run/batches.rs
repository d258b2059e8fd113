//! The batch loop of an epoch: the replay of leftover plans, then collecting, planning, computing, handing on.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Settings;
use super::collected::Collected;
use super::collector::{CollectEnd, Collector};
use super::compute::concat_records;
use super::dispatcher::Dispatcher;
use super::leftover::Parts;
use super::operators::{Operators, in_part};
use super::output::{Output, held_bytes};
use super::planner::{Planner, empty_records};
use super::reader::{EpochEnd, Replayed};
use super::sink_task::{Item, Shared};
use super::trigger::{Ticks, Trigger};
use crate::monitor::Phase;
use crate::testing::{BrokenStep, crash_point, is_broken};
use crate::{Plan, Range, Records, Scope, StageError};

/// Takes each batch through its steps: collected, planned, computed, handed on.
pub(super) struct BatchLoop<'a> {
    pub(super) collector: Collector<'a>,
    pub(super) planner: Planner<'a>,
    pub(super) operators: Operators<'a>,
    pub(super) dispatcher: Dispatcher<'a>,
    pub(super) settings: &'a Settings,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) shared: Arc<Shared>,
}

impl BatchLoop<'_> {
    /// Runs batches until the epoch ends: each leftover plan as soon as it comes next, new ones below and above them.
    pub(super) async fn run(&mut self) -> Result<EpochEnd, StageError> {
        let mut ticks = match self.settings.trigger {
            Trigger::Every(every) => Some(Ticks::new(every)),
            Trigger::Continuous | Trigger::AvailableNow => None,
        };
        loop {
            while let Some((plan, parts)) = self.planner.next_leftover() {
                if let Some(end) = self.again(plan, parts).await? {
                    return Ok(end);
                }
                if self.shared.stop.is_cancelled() || self.shutdown.is_cancelled() {
                    return Ok(EpochEnd::Finished);
                }
            }
            if self.planner.is_stuck() {
                warn!("leftover batches wait for each other: the records of one are taken as new");
                self.planner.leftover.forget();
                continue;
            }
            if self.slices() && self.planner.level() {
                self.collector.reader.cap(BTreeMap::new());
                return self.sliced().await;
            }
            self.collector.reader.cap(self.planner.caps());
            let mut collected = Collected::default();
            let turn = self.collector.collect(&self.planner, &mut collected, &mut ticks).await?;
            let over = match turn {
                CollectEnd::Batch => None,
                CollectEnd::Epoch(EpochEnd::Finished) => Some(EpochEnd::Finished),
                CollectEnd::Epoch(end) => return Ok(end),
                CollectEnd::Failed => return Ok(EpochEnd::Finished),
            };
            if !collected.reached.is_empty() && !self.shutdown.is_cancelled() {
                let (plan, records) = self.planner.plan(collected);
                self.send(plan, records, true).await?;
            }
            if let Some(end) = over {
                return Ok(end);
            }
            if self.settings.trigger == Trigger::AvailableNow && self.planner.taken(&BTreeMap::new()) {
                return Ok(EpochEnd::Finished);
            }
        }
    }

    /// Makes a leftover batch again, if its parts suffice. Returns how the epoch ends, if it does.
    async fn again(&mut self, mut plan: Plan, parts: Parts) -> Result<Option<EpochEnd>, StageError> {
        let scope = self.operators.scope(&plan.recipe)?;
        if scope != Scope::Record && !is_broken(BrokenStep::BatchesAreReplayedInPart) {
            if scope == Scope::Batch && parts == Parts::Elsewhere {
                return Err(in_part(&plan));
            }
            let ranges = plan.ranges.len();
            plan.ranges.retain(|range| !self.planner.cuts(range));
            // A sink that has some of its ranges, as after a person has moved positions, cannot get the others alone.
            let gone = parts == Parts::Gone || plan.ranges.len() < ranges || self.planner.lacks(&plan).is_none();
            if plan.ranges.is_empty() || (scope == Scope::Batch && gone) {
                warn!(batch = plan.id, "it cannot be made again as a whole: its records are taken as new");
                return Ok(None);
            }
        }
        if self.slices() && scope == Scope::Record && self.planner.lacks(&plan).is_some() {
            return self.replay(plan).await;
        }
        let stop = self.shared.stop.clone();
        let replay = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Some(EpochEnd::Finished)),
            replay = self.collector.reader.exactly(&plan.ranges, &self.settings.limits) => replay?,
        };
        let records = match replay {
            Replayed::Records(records) => concat_records(records).unwrap_or_else(|| empty_records(&plan.ranges)),
            Replayed::Changed(end) => return Ok(Some(end)),
        };
        self.send(plan, records, false).await?;
        Ok(None)
    }

    fn slices(&self) -> bool {
        self.settings.sliced && self.settings.trigger == Trigger::AvailableNow
    }

    /// Computes a batch and hands it to the leader.
    async fn send(&mut self, plan: Plan, records: Records, new: bool) -> Result<(), StageError> {
        if plan.ranges.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let (bytes, monitor) = (records.bytes(), &self.shared.stats.clone().monitor);
        monitor.phase(Phase::Waiting);
        // A batch that is dropped here has no trace anywhere: its records are read again after the next claim.
        let Some(mut permit) = self.dispatcher.room(bytes).await else { return Ok(()) };
        crash_point("planned");
        let ranges = self.planner.lacking(&plan.ranges);
        let computing = Instant::now();
        let outputs = self.outputs(&plan, &records, &ranges, new).await?;
        let computed = computing.elapsed();
        monitor.phase(Phase::Waiting);
        monitor.leftover(self.planner.leftover.len());
        if !self.dispatcher.more_room(&mut permit, held_bytes(&outputs)).await {
            return Ok(());
        }
        self.planner.advance(&plan.ranges);
        let Some(turn) = self.dispatcher.turn().await else { return Ok(()) };
        let batch = self.dispatcher.batch(plan, ranges, outputs, (records.len(), begun, computed), permit);
        self.dispatcher.hand_on(&Item::Batch(batch, Some(turn)));
        Ok(())
    }

    /// What the sinks get of these records.
    pub(super) async fn outputs(
        &mut self,
        plan: &Plan,
        records: &Records,
        ranges: &[Vec<Range>],
        new: bool,
    ) -> Result<Vec<Output>, StageError> {
        self.shared.stats.monitor.phase(Phase::Computing);
        let around = (&*self.planner.next, self.collector.reader.source());
        self.operators.outputs(plan, records, ranges, new, around).await
    }
}
