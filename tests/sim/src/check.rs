//! The invariants, checked after every step. Numbers are those of docs/reliability.md.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foretell_flow::{Plan, PlanPart, Range, Recipe, Scope};

use crate::agree::Kept;
use crate::log::{good, is_bad, is_hole, partition};
use crate::query::{Edition, Input, expected_row, in_view};
use crate::sinks::{Commit, Kind, Row, owner};
use crate::world::World;

/// What a row was made with: the batch time, and the recipe.
type Stamp = (i64, Recipe);

#[derive(Default)]
pub(crate) struct Checker {
    /// The sinks of today: target and name.
    pub(crate) sinks: Vec<(usize, String)>,
    /// Those that are to begin where a new pipeline would.
    pub(crate) backfill: BTreeSet<String>,
    /// Plans as they were made, by name.
    plans: BTreeMap<String, Arc<Plan>>,
    stamps: BTreeMap<(i32, i64), BTreeMap<usize, Stamp>>,
    /// Offsets that were, or may be, planned twice, because plans of them were lost with what a sink had.
    replanned: BTreeMap<i32, Vec<(i64, i64)>>,
    /// When a sink took a plan to keep: by target, partition, the plan's begin there and its name.
    pub(crate) turns: BTreeMap<(usize, i32, i64, String), u64>,
    pub(crate) turn: u64,
    /// Offsets whose plans are gone.
    pub(crate) anew: BTreeMap<i32, BTreeSet<i64>>,
    /// By target that lost commits: how many lives there were then.
    pub(crate) lost: BTreeMap<usize, usize>,
    /// What such targets lost, where a life that had looked may still take it for what they have: lives there were then, and
    /// the partition and the position of before.
    pub(crate) losses: Vec<(usize, i32, i64)>,
    /// Offsets that such a target took from an owner of before.
    pub(crate) revived: BTreeSet<(i32, i64)>,
    /// Whether there are, or were, rows that depend on more than one record.
    pub(crate) other_scopes: bool,
    /// Whether a person gave records up: then batches that had them are made again without them.
    pub(crate) gave_up: bool,
    /// Whether there are, or were, batches that are taken as a whole.
    pub(crate) whole_batches: bool,
    pub(crate) commits: u64,
    pub(crate) rows: u64,
}

impl Checker {
    /// Plans of these offsets are lost: the sinks need not agree on them.
    pub(crate) fn replanned(&mut self, index: i32, from: i64, to: i64) {
        if from < to {
            self.replanned.entry(index).or_default().push((from, to));
        }
    }

    /// A target lost what it had from an offset on.
    pub(crate) fn forget(&mut self, target: usize, index: i32, from: i64) {
        for (_, stamps) in self.stamps.range_mut((index, from)..(index + 1, i64::MIN)) {
            stamps.remove(&target);
        }
    }

    /// A batch is computed: the first one of a time says what its plan covers.
    pub(crate) fn computed(&mut self, edition: &Edition, time: i64, indexes: &[i32], offsets: &[i64]) {
        let mut ends: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        for (index, offset) in indexes.iter().zip(offsets) {
            let (from, to) = ends.entry(*index).or_insert((*offset, *offset));
            (*from, *to) = ((*from).min(*offset), (*to).max(*offset));
        }
        let shares = |plan: &&Arc<Plan>| {
            plan.time == time && plan.ranges.iter().any(|range| ends.contains_key(&range.partition.index))
        };
        let known = self.plans.values().filter(shares).count() > 0;
        if ends.is_empty() || (known && edition.scope != Scope::Record) {
            return;
        }
        let range =
            |(index, (from, to)): (&i32, &(i64, i64))| Range { partition: partition(*index), from: *from, to: to + 1 };
        let (ranges, recipe) = (ends.iter().map(range).collect::<Vec<_>>(), Arc::new(edition.recipe()));
        if self.plans.values().filter(shares).any(|plan| plan.recipe != recipe) {
            return;
        }
        let id = format!("computed {time} {} {}", ranges[0].partition, ranges[0].from);
        self.plans.entry(id.clone()).or_insert_with(|| Arc::new(Plan { id, time, recipe, ranges }));
    }

    fn may_differ(&self, index: i32, offset: i64) -> bool {
        // A batch that is taken as a whole, of which something was given up, is another batch in all its partitions.
        if self.gave_up && self.whole_batches {
            return true;
        }
        self.replanned.get(&index).is_some_and(|ranges| ranges.iter().any(|(from, to)| (*from..*to).contains(&offset)))
    }
}

/// The offsets that a sink must have of a range.
fn offsets(input: Input, index: i32, from: i64, to: i64) -> Vec<i64> {
    match input {
        Input::Result => good(index, from, to).collect(),
        Input::View => good(index, from, to).filter(|offset| in_view(*offset)).collect(),
        Input::DeadLetters => (from..to).filter(|offset| !is_hole(index, *offset) && is_bad(index, *offset)).collect(),
    }
}

impl World {
    /// A write was stored. `before`: where its partitions were.
    pub(crate) fn check_commit(&mut self, commit: &Commit, before: &BTreeMap<i32, i64>, kept: &Kept) {
        self.checker.commits += 1;
        let (kind, input) = (self.targets[commit.target].kind, self.targets[commit.target].input);
        let (sink, plan) = (commit.sink.clone(), commit.plan.clone());
        let known = self.checker.plans.entry(plan.id.clone()).or_insert_with(|| plan.clone()).clone();
        if (known.time, &known.recipe) != (plan.time, &plan.recipe) {
            self.violated(format!("8: plan {} is replayed with another time or recipe", plan.id));
        }
        for range in &commit.ranges {
            let index = range.partition.index;
            let at = before.get(&index).copied().unwrap_or(range.from);
            if range.from != at {
                self.violated(format!("5: {sink} stores {index}:{}..{} at {at}", range.from, range.to));
            }
            if range.to <= at {
                self.violated(format!("9: {sink} goes back in {index} from {at} to {}", range.to));
            }
            if kind != Kind::Compare && owner(self, commit.target, index) != Some(commit.life) {
                self.violated(format!("14: {sink} takes {index} from life {}, which does not own it", commit.life));
            }
            let expected = offsets(input, index, range.from, range.to);
            let rows = commit.rows.get(&index).cloned().unwrap_or_default();
            let found: Vec<i64> = rows.iter().map(|row| row.offset).collect();
            if found != expected && !self.is_a_step_of_two(&rows) {
                self.violated(format!(
                    "1 to 4, other records in a write: {found:?} and not {expected:?}: {sink} {index}:{}..{} of {}",
                    range.from, range.to, plan.id
                ));
            }
            // A write may be of several plans: the one that made a row is known by the row.
            let mut plans: Vec<Arc<Plan>> = vec![known.clone()];
            let overlaps = |other: &&Arc<Plan>| {
                other.ranges.iter().any(|r| r.partition == range.partition && r.from < range.to && range.from < r.to)
            };
            plans.extend(self.checker.plans.values().filter(overlaps).cloned());
            for row in &rows {
                match plans.iter().find(|plan| self.made(plan, input, index, row)) {
                    Some(plan) => {
                        let plan = plan.clone();
                        self.check_stamp(commit, index, row, &plan, kept);
                    }
                    None if let Some(plan) = self.made_alone(input, index, row) => {
                        self.check_stamp(commit, index, row, &plan, kept);
                    }
                    None => self.violated(format!("7, another value: {}: {sink} of {}", row.text, plan.id)),
                }
            }
            self.checker.rows += rows.len() as u64;
            if let [_] = self.checker.sinks[..]
                && self.targets[commit.target].progress[&sink].get(&index).is_some_and(|entry| !entry.plans.is_empty())
            {
                self.violated(format!("11: {sink} keeps plans, and there is no other sink"));
            }
            self.check_target(commit.target, &sink, index);
        }
        if commit.rows.iter().any(|(index, rows)| !rows.is_empty() && !before.contains_key(index)) {
            self.violated(format!("3: {sink} gets rows of a partition that the write does not cover"));
        }
    }

    /// The plan of a row that says itself what it was made with, where that depends on one record: two workers whose
    /// clocks jumped may give one time to two plans, of which one was lost.
    fn made_alone(&self, input: Input, index: i32, row: &Row) -> Option<Plan> {
        let cell = |name: &str| row.text.split(',').find_map(|cell| cell.strip_prefix(name)?.strip_prefix('='));
        let edition = self
            .editions
            .get(cell("recipe")?)
            .filter(|edition| edition.scope == Scope::Record || input == Input::View)?;
        let time = cell("time")?.parse().ok()?;
        let range = Range { partition: partition(index), from: row.offset, to: row.offset + 1 };
        let plan = |model: i64| Plan {
            id: "alone".into(),
            time,
            recipe: Arc::new(Edition { model, ..edition.clone() }.recipe()),
            ranges: vec![range.clone()],
        };
        (0..9).map(plan).find(|plan| self.made(plan, input, index, row))
    }

    /// Whether a plan makes this row of its record.
    pub(crate) fn made(&self, plan: &Plan, input: Input, index: i32, row: &Row) -> bool {
        let Some(edition) = self.editions.get(&plan.recipe.query) else { return false };
        let covers = |range: &Range| range.partition.index == index && (range.from..range.to).contains(&row.offset);
        if !plan.ranges.iter().any(covers) {
            return false;
        }
        let text = expected_row(edition, input, plan, &plan.ranges, index, row.offset);
        // A batch of which something was given up is made again without that.
        let cells = |text: &str| -> Vec<String> {
            let counts = |cell: &&str| !self.checker.gave_up || !cell.starts_with("records=");
            text.split(',').filter(counts).map(str::to_string).collect()
        };
        cells(&row.text) == cells(&text)
    }

    /// A mutant stores rows apart: the check of what the target holds sees that.
    fn is_a_step_of_two(&self, rows: &[Row]) -> bool {
        rows.is_empty() && self.is(crate::mutants::Mutant::RowsAreStoredBeforePositions)
    }

    fn check_stamp(&mut self, commit: &Commit, index: i32, row: &Row, plan: &Plan, kept: &Kept) {
        self.check_plan(commit, index, row, kept);
        if self.targets[commit.target].input == Input::DeadLetters {
            return;
        }
        let stamp: Stamp = (plan.time, (*plan.recipe).clone());
        let exact = self.is_exact();
        let mut stamps = self.checker.stamps.remove(&(index, row.offset)).unwrap_or_default();
        let counts = |target: usize| {
            !exact || self.checker.sinks.iter().any(|(other, _)| *other == target && target != commit.target)
        };
        let differs =
            stamps.iter().find(|(target, theirs)| **target != commit.target && counts(**target) && **theirs != stamp);
        // A topic stores by partition what it gets after a change from a query over whole batches, and may get a part of a
        // batch only: the rest cannot be made by itself, and is planned anew. See docs/reliability.md.
        let is_whole = |recipe: &Recipe| self.editions.get(&recipe.query).is_some_and(|e| e.scope == Scope::Batch);
        let in_part =
            self.targets[commit.target].kind == Kind::Fence && differs.is_some_and(|(_, (_, recipe))| is_whole(recipe));
        let differs = differs.map(|(target, (time, recipe))| format!("{time} {} in target {target}", recipe.query));
        stamps.insert(commit.target, stamp);
        self.checker.stamps.insert((index, row.offset), stamps);
        let covers = |part: &PlanPart| (part.range.from..part.range.to).contains(&row.offset);
        let may_differ = match exact {
            true => {
                let anew = self.checker.anew.get(&index).is_some_and(|anew| anew.contains(&row.offset));
                anew || !self.is_of_today(commit.target) || kept.get(&index).is_some_and(|kept| kept.iter().any(covers))
            }
            false => in_part || self.checker.may_differ(index, row.offset),
        };
        if let Some(theirs) = differs.filter(|_| !may_differ) {
            let text = &row.text;
            self.violated(format!(
                "8: {} has {index}:{} of another plan than {theirs}: {text}",
                commit.sink, row.offset
            ));
        }
    }

    /// Any snapshot is complete below its position, in order, and has nothing beyond it.
    pub(crate) fn check_target(&mut self, target: usize, sink: &str, index: i32) {
        let Some(entry) = self.targets[target].progress.get(sink).and_then(|entries| entries.get(&index)) else {
            return;
        };
        let gaps = self.targets[target].gaps.get(&index);
        let expected = offsets(self.targets[target].input, index, entry.begin, entry.next);
        let expected: Vec<i64> =
            expected.into_iter().filter(|offset| gaps.is_none_or(|gaps| !gaps.contains(offset))).collect();
        let rows = self.targets[target].rows.get(&index).into_iter().flatten().map(|row| row.offset);
        let rows: Vec<i64> = rows.collect();
        if rows != expected {
            let doubled: BTreeSet<i64> = rows.iter().copied().collect();
            let number = if doubled.len() < rows.len() {
                "2, a record twice"
            } else if expected.iter().any(|offset| !doubled.contains(offset)) {
                "1 and 6, a record is lost below the position"
            } else {
                "3 and 4, a phantom or another order"
            };
            let (begin, next) = (entry.begin, entry.next);
            self.violated(format!("{number}: {sink} {index} {begin}..{next}: {rows:?} and not {expected:?}"));
        }
    }

    /// A sink begins in a partition of which it had no position.
    pub(crate) fn check_begin(&mut self, life: usize, target: usize, sink: &str, index: i32, start: i64) {
        let other_name =
            self.targets[target].progress.iter().any(|(name, entries)| name != sink && !entries.is_empty());
        if other_name || self.targets[target].rows.get(&index).is_some_and(|rows| !rows.is_empty()) {
            return self.violated(format!("1 and 2, a silent reset: {sink} begins in {index} where rows are"));
        }
        self.mark_anew();
        let log = self.log.partitions[index as usize];
        let entry = |(other, name): &(usize, String)| {
            let entries = self.targets[*other].progress.get(name)?;
            // One that is filled up may have begun a moment ago.
            let counts = name != sink && !self.checker.backfill.contains(name);
            entries.get(&index).filter(|_| counts).map(|entry| entry.next)
        };
        let others: Vec<i64> = self.checker.sinks.iter().filter_map(entry).collect();
        let latest = others.iter().copied().min();
        let filled = self
            .checker
            .sinks
            .iter()
            .filter(|(_, name)| name != sink)
            .filter_map(|(other, name)| Some(self.targets[*other].progress.get(name)?.get(&index)?.next));
        let filled = filled.min();
        let is_later = self.log.at_first.is_some_and(|count| index as usize >= count);
        let bound = match latest {
            _ if self.checker.backfill.contains(sink) => {
                if self.log.latest {
                    log.end
                } else {
                    log.first
                }
            }
            Some(latest) => latest.max(log.first),
            // There are none but such as are filled up.
            None if let Some(filled) = filled => filled.max(log.first),
            None if self.log.latest && !is_later => log.end,
            None => log.first,
        };
        // Several first lives: each found another latest place.
        let raced = self.log.latest && self.lives.iter().filter(|life| life.first).count() > 1;
        // It looked, and then the other sink lost commits: as if the new one had been there before that.
        let looked = |(lives, lost, next): &(usize, i32, i64)| life < *lives && *lost == index && start <= *next;
        if start > bound && !raced && !self.checker.losses.iter().any(looked) {
            self.violated(format!("1: {sink} begins in {index} at {start}, and {bound} would be the latest place"));
        }
        if let (true, Some(to)) = (self.checker.backfill.contains(sink), others.iter().copied().max()) {
            self.checker.replanned(index, start, to);
        }
    }
}
