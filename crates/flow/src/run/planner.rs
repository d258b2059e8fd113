//! The second third of the batch loop: what was collected, or is left over, becomes a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::Settings;
use super::collected::Collected;
use super::compute::{StageFactory, concat_records};
use super::leftover::{Leftover, Parts};
use crate::testing::{BrokenStep, is_broken};
use crate::{Clock, Partition, Plan, Range, Records, RecordsBuilder, Topics};

/// Alone decides which ranges a batch covers, its time and its recipe, and when a leftover plan is replayed: a batch has
/// no part that a sink has already, and cuts no leftover plan.
pub(super) struct Planner<'a> {
    pub(super) factory: &'a dyn StageFactory,
    pub(super) settings: &'a Settings,
    pub(super) clock: &'a dyn Clock,
    /// The next offset that no batch has yet.
    pub(super) at: BTreeMap<Partition, i64>,
    /// By sink, the next offset that it lacks, counting batches under way.
    pub(super) next: Vec<BTreeMap<Partition, i64>>,
    /// Where the log ended when the epoch began.
    pub(super) ends: BTreeMap<Partition, i64>,
    pub(super) last_time: i64,
    /// When the epoch began, as the clock had it.
    pub(super) begun: i64,
    /// Plans that some sink still lacks.
    pub(super) leftover: Leftover,
}

impl Planner<'_> {
    /// The plan to make again next, and what became of its other parts.
    pub(super) fn next_leftover(&mut self) -> Option<(Plan, Parts)> {
        let (waits, stuck) = (self.waits(), self.is_stuck());
        let (mut plan, parts) = self.leftover.next(&self.at, &waits, stuck)?;
        if is_broken(BrokenStep::ReplaysHaveANewTime) {
            plan.time = self.begin().time;
        }
        Some((plan, parts))
    }

    /// Partitions that wait for others, where batches are taken as a whole: a sink that is ahead lacks what comes next in
    /// them, and would lack a part of a batch.
    fn waits(&self) -> BTreeSet<Partition> {
        let mut waits = BTreeSet::new();
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
    pub(super) fn caps(&self) -> BTreeMap<Partition, i64> {
        let waits = self.waits();
        let mut caps = BTreeMap::new();
        if is_broken(BrokenStep::PlansAcrossPositions) {
            return caps;
        }
        for (partition, at) in &self.at {
            let ahead = self.next.iter().filter_map(|next| next.get(partition).copied().filter(|next| next > at));
            let waits = waits.contains(partition).then_some(*at);
            if let Some(cap) = ahead.chain(waits).chain(self.leftover.begin(partition)).min() {
                caps.insert(partition.clone(), cap);
            }
        }
        caps
    }

    /// Whether a sink is in the middle of a range, or the range a piece of what was planned: histories of sinks differ.
    pub(super) fn cuts(&self, range: &Range) -> bool {
        let mut next = self.next.iter().filter_map(|next| next.get(&range.partition));
        self.leftover.is_piece(range) || next.any(|next| range.from < *next && *next < range.to)
    }

    /// Whether nothing can go on: no leftover plan comes next, and every partition waits for one.
    pub(super) fn is_stuck(&self) -> bool {
        let caps = self.caps();
        self.leftover.len() > 0
            && self.at.iter().all(|(partition, at)| caps.get(partition).is_some_and(|cap| cap <= at))
    }

    /// Whether all sinks lack the same.
    pub(super) fn level(&self) -> bool {
        self.next.iter().all(|next| *next == self.next[0])
    }

    /// Whether everything that was there at the start is taken, with what is reached beside.
    pub(super) fn taken(&self, reached: &BTreeMap<Partition, i64>) -> bool {
        let at = |partition| reached.get(partition).or_else(|| self.at.get(partition));
        self.ends.iter().all(|(partition, end)| at(partition).is_some_and(|at| at >= end))
    }

    /// A new plan over what was collected.
    pub(super) fn plan(&mut self, collected: Collected) -> (Plan, Records) {
        let mut plan = self.begin();
        plan.ranges = ranges(&self.at, collected.reached);
        let records = concat_records(collected.records).unwrap_or_else(|| empty_records(&plan.ranges));
        (plan, records)
    }

    /// A new plan that covers nothing yet.
    pub(super) fn begin(&mut self) -> Plan {
        self.last_time = self.clock.now().max(self.last_time + 1);
        Plan {
            // A clock that goes back repeats times, and a plan that only one sink has kept may have this one.
            id: format!("{}-{:x}-{}", self.settings.worker, self.begun, self.last_time),
            time: self.last_time,
            recipe: self.factory.recipe(),
            ranges: Vec::new(),
        }
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

    /// By sink, what of these ranges it lacks.
    pub(super) fn lacking(&self, ranges: &[Range]) -> Vec<Vec<Range>> {
        self.next.iter().map(|next| clip(ranges, next)).collect()
    }

    /// By sink whether it lacks a plan; `None` where one has a part of it.
    pub(super) fn lacks(&self, plan: &Plan) -> Option<Vec<bool>> {
        let lacks = |next| match clip(&plan.ranges, next) {
            rest if rest.is_empty() => Some(false),
            rest => (rest == plan.ranges).then_some(true),
        };
        self.next.iter().map(lacks).collect()
    }
}

/// From where the batch begins to where it reached, by partition.
pub(super) fn ranges(at: &BTreeMap<Partition, i64>, reached: BTreeMap<Partition, i64>) -> Vec<Range> {
    let from = |partition: &Partition, to: i64| at.get(partition).copied().unwrap_or(to);
    let ranges = reached.into_iter().map(|(partition, to)| Range { from: from(&partition, to), to, partition });
    let mut ranges: Vec<Range> = ranges.filter(|range| range.from < range.to).collect();
    ranges.sort_by(|a, b| a.partition.cmp(&b.partition));
    ranges
}

/// What of these ranges a sink lacks.
fn clip(ranges: &[Range], next: &BTreeMap<Partition, i64>) -> Vec<Range> {
    let clipped = ranges.iter().map(|range| {
        let from = next.get(&range.partition).map_or(range.from, |next| range.from.max(*next));
        Range { from, ..range.clone() }
    });
    clipped.filter(|range| range.from < range.to).collect()
}

pub(super) fn empty_records(ranges: &[Range]) -> Records {
    let topics = ranges.iter().fold(Topics::default(), |topics, range| topics.with(&range.partition.topic));
    RecordsBuilder::of_topics(topics).finish()
}
