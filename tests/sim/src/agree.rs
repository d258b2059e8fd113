//! Invariant 8 to the letter, where rows depend on one record: of the plans that today's sinks keep of an offset, the one
//! that was kept last makes its row in every sink that still lacks it; and where none is kept, sinks differ only where
//! plans are really gone.

use std::collections::BTreeMap;

use foretell_flow::{Plan, PlanPart};

use crate::query::Input;
use crate::sinks::{Commit, Entry, Row};
use crate::world::World;

/// By partition, the plans that are kept, the one that was kept last first: of those that have an offset it counts.
pub(crate) type Kept = BTreeMap<i32, Vec<PlanPart>>;

impl World {
    /// Whether the check is exact in this run: a batch of another scope may be impossible to make again.
    pub(crate) fn is_exact(&self) -> bool {
        !self.checker.other_scopes
    }

    /// What is on its way to a sink may come when that is not in the file any more.
    pub(crate) fn is_of_today(&self, target: usize) -> bool {
        self.checker.sinks.iter().any(|(today, _)| *today == target)
    }

    /// What a sink of today has stored for a partition: under its own name or, as long as nobody was asked, an older one.
    fn entry(&self, (target, name): &(usize, String), index: i32) -> Option<&Entry> {
        let progress = &self.targets[*target].progress;
        let own = progress.get(name).filter(|entries| !entries.is_empty());
        own.or_else(|| progress.values().find(|entries| !entries.is_empty()))?.get(&index)
    }

    /// The plans that today's sinks keep of a partition, the one that was kept last first.
    fn kept(&self, index: i32) -> Vec<PlanPart> {
        let mut parts = Vec::new();
        for sink in &self.checker.sinks {
            let Some(entry) = self.entry(sink, index) else { continue };
            for part in entry.plans.iter().filter(|part| part.range.to <= entry.next) {
                let turn = self.checker.turns.get(&(sink.0, index, part.range.from, part.id.clone()));
                parts.push((turn.copied().unwrap_or_default(), part.clone()));
            }
        }
        parts.sort_by_key(|(turn, _)| std::cmp::Reverse(*turn));
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// The plans that count for a write, before it is stored.
    pub(crate) fn kept_for(&self, commit: &Commit) -> Kept {
        let indexes = commit.ranges.iter().map(|range| range.partition.index);
        indexes.map(|index| (index, self.kept(index))).collect()
    }

    /// A sink takes a plan to keep.
    pub(crate) fn keeps(&mut self, target: usize, part: &PlanPart) {
        self.checker.turn += 1;
        let key = (target, part.range.partition.index, part.range.from, part.id.clone());
        self.checker.turns.insert(key, self.checker.turn);
    }

    /// The plan of these offsets is gone: they are planned anew.
    pub(crate) fn anew(&mut self, index: i32, from: i64, to: i64) {
        self.checker.anew.entry(index).or_default().extend(from..to);
    }

    /// After an edit: offsets that some sink of today lacks and another has, and of which no sink of today keeps a plan.
    pub(crate) fn mark_anew(&mut self) {
        for index in 0..self.log.partitions.len() as i32 {
            let at = |sink: &(usize, String)| match self.entry(sink, index) {
                Some(entry) => Some(entry.next),
                None => self.checker.backfill.contains(&sink.1).then_some(0),
            };
            let at: Vec<i64> = self.checker.sinks.iter().filter_map(at).collect();
            let (Some(lowest), Some(highest)) = (at.iter().min(), at.iter().max()) else { continue };
            let kept = self.kept(index);
            let covered = |offset: i64| kept.iter().any(|part| (part.range.from..part.range.to).contains(&offset));
            let gone: Vec<i64> = (*lowest..*highest).filter(|offset| !covered(*offset)).collect();
            self.checker.anew.entry(index).or_default().extend(gone);
        }
    }

    /// Whether a row is that of the plan that counts.
    pub(crate) fn check_plan(&mut self, commit: &Commit, index: i32, row: &Row, kept: &Kept) {
        let input = self.targets[commit.target].input;
        if !self.is_exact() || input == Input::DeadLetters || !self.is_of_today(commit.target) {
            return;
        }
        let covers = |part: &&PlanPart| (part.range.from..part.range.to).contains(&row.offset);
        let mut covering = kept.get(&index).into_iter().flatten().filter(covers);
        let Some(part) = covering.next() else { return };
        // A database that lost commits takes what an owner of before had on its way.
        if self.checker.lost.get(&commit.target).is_some_and(|lives| commit.life < *lives) {
            self.checker.revived.insert((index, row.offset));
        }
        if self.checker.revived.contains(&(index, row.offset)) {
            return;
        }
        let makes = |part: &PlanPart| {
            let plan = Plan::assemble(vec![part.clone()]);
            plan.iter().any(|plan| self.made(plan, input, index, row))
        };
        // Where clocks jump, the times at which plans are kept do not tell which was the last.
        if !makes(part) && (self.steady || !covering.any(makes)) {
            let id = &part.id;
            self.violated(format!(
                "8: {} has {index}:{} of another plan than {id}, which is kept: {}",
                commit.sink, row.offset, row.text
            ));
        }
    }
}
