//! Plans that some sink still lacks, as all sinks keep them, and the order in which they can be replayed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::testing::{BrokenStep, is_broken};
use crate::{Checkpoint, Partition, Plan, PlanPart, Range};

/// The time and the id of a plan.
type Name = (i64, String);

/// What became of the parts of a leftover plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// These are all.
    All,
    /// Others are of partitions that another worker has.
    Elsewhere,
    /// Others were given up, are gone from the log, or lie before where a sink began.
    Gone,
}

/// By partition, the parts that lie above the lowest sink; none overlaps another.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    pending: BTreeMap<Partition, VecDeque<PlanPart>>,
    /// Where those begin that are pieces of a part: the rest of it is of a plan that was kept later.
    pieces: BTreeSet<(Partition, i64)>,
    /// How many parts of each plan wait.
    waiting: BTreeMap<Name, usize>,
    /// How many parts each plan has, and whether some are of partitions that another worker has.
    all: BTreeMap<Name, (usize, bool)>,
}

/// What of a range no part covers that was chosen already.
fn beside(range: &Range, chosen: &BTreeMap<i64, PlanPart>) -> Vec<(i64, i64)> {
    let mut free = Vec::new();
    let mut at = range.from;
    // They do not overlap: one at most begins before it and reaches into it.
    let first = chosen.range(..=range.from).next_back().map_or(range.from, |(from, _)| *from);
    for part in chosen.range(first..range.to).map(|(_, part)| part).filter(|part| part.range.to > range.from) {
        if at < part.range.from {
            free.push((at, part.range.from));
        }
        at = at.max(part.range.to);
    }
    if at < range.to {
        free.push((at, range.to));
    }
    free
}

fn name(part: &PlanPart) -> Name {
    (part.time, part.id.clone())
}

impl Leftover {
    /// What is kept above the lowest positions, by whichever sink; of parts that contradict each other the one that was
    /// kept last counts, and of the other what lies beside it. `stored`: what sinks had before they were claimed, of any partition.
    pub(super) fn new(held: &[Vec<Checkpoint>], lowest: &BTreeMap<Partition, i64>, stored: &[Vec<Checkpoint>]) -> Self {
        let mut leftover = Leftover::default();
        let held = if is_broken(BrokenStep::PlansOfTheLeaderOnly) { &held[..1] } else { held };
        for (partition, low) in lowest {
            let held = held.iter().flatten().filter(|checkpoint| checkpoint.partition == *partition);
            let kept =
                held.flat_map(|checkpoint| checkpoint.plans.iter().filter(|part| part.range.to <= checkpoint.next));
            let mut parts: Vec<&PlanPart> =
                kept.filter(|part| part.range.to > *low && part.range.from < part.range.to).collect();
            if is_broken(BrokenStep::LeftoverPlansAreAllOrNothing)
                && parts.iter().map(|part| part.range.from).min().is_some_and(|from| from != *low)
            {
                return Leftover::default();
            }
            // What was kept last comes first: the sinks that were there then agreed on it. What was kept earlier is of a
            // sink that was out since, or that lost what it had. A batch that is made again is kept anew, so that the time
            // of the batch would not tell.
            let by_time = is_broken(BrokenStep::PlansAreChosenByTheirTime);
            parts.sort_by_key(|part| std::cmp::Reverse((if by_time { 0 } else { part.kept }, part.time)));
            let mut chosen: BTreeMap<i64, PlanPart> = BTreeMap::new();
            for part in parts {
                let free = beside(&part.range, &chosen);
                let whole = free == [(part.range.from, part.range.to)];
                if !whole && is_broken(BrokenStep::PlansGoWithTheirOverlap) {
                    continue;
                }
                for (from, to) in free.into_iter().filter(|(_, to)| *to > *low) {
                    if !whole {
                        leftover.pieces.insert((partition.clone(), from));
                    }
                    let range = Range { partition: partition.clone(), from, to };
                    chosen.insert(from, PlanPart { range, ..part.clone() });
                }
            }
            for part in chosen.into_values() {
                *leftover.waiting.entry(name(&part)).or_default() += 1;
                leftover.pending.entry(partition.clone()).or_default().push_back(part);
            }
        }
        // Those that no sink lacks any more count, too.
        let all = held.iter().chain(stored).flatten().flat_map(|checkpoint| &checkpoint.plans);
        let all: BTreeSet<_> = all.map(|part| (name(part), &part.range.partition)).collect();
        for (name, partition) in all {
            let (parts, elsewhere) = leftover.all.entry(name).or_default();
            *parts += 1;
            *elsewhere |= !lowest.contains_key(partition);
        }
        leftover
    }

    /// When what sinks keep from now on is kept: after all that they keep.
    pub(super) fn kept_at(now: i64, held: &[Vec<Checkpoint>]) -> i64 {
        let kept = held.iter().flatten().flat_map(|checkpoint| &checkpoint.plans).map(|part| part.kept);
        kept.max().map_or(now, |last| now.max(last.saturating_add(1)))
    }

    /// Whether what begins there is a piece of a part. Rows that depend on one record can be made of it, others cannot.
    pub(super) fn is_piece(&self, range: &Range) -> bool {
        self.pieces.contains(&(range.partition.clone(), range.from))
    }

    /// How many plans wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The latest batch time among them.
    pub(super) fn last_time(&self) -> Option<i64> {
        self.waiting.keys().map(|(time, _)| *time).max()
    }

    /// Where the next part of a partition begins.
    pub(super) fn begin(&self, partition: &Partition) -> Option<i64> {
        self.pending.get(partition)?.front().map(|part| part.range.from)
    }

    /// The earliest plan all of whose parts come next, and what became of its other parts; `None` while what lies below
    /// some of them is not done. `at`: the next offset that no batch has yet. `waits`: partitions of which nothing may
    /// come yet. `stuck`: nothing but a plan in parts can come next.
    pub(super) fn next(
        &mut self,
        at: &BTreeMap<Partition, i64>,
        waits: &BTreeSet<Partition>,
        stuck: bool,
    ) -> Option<(Plan, Parts)> {
        let at = |partition: &Partition| at.get(partition).copied().unwrap_or(i64::MAX);
        let done: Vec<Partition> = self.pending.keys().cloned().collect();
        for partition in done {
            while self.pending.get(&partition).and_then(VecDeque::front).is_some_and(|p| p.range.to <= at(&partition)) {
                self.pop(&partition);
            }
        }
        let mut ready: BTreeMap<Name, Vec<Partition>> = BTreeMap::new();
        let mut gaps = false;
        for (partition, parts) in &self.pending {
            match parts.front() {
                Some(part) if part.range.from <= at(partition) && !waits.contains(partition) => {
                    ready.entry(name(part)).or_default().push(partition.clone());
                }
                Some(_) => gaps = true,
                None => {}
            }
        }
        let whole = ready.iter().find(|(name, at)| self.waiting.get(*name).is_some_and(|all| *all == at.len()));
        // Plans that wait for each other are of sinks whose histories differ: they are replayed in parts.
        let (_, partitions) = whole.or_else(|| if gaps && !stuck { None } else { ready.iter().next() })?;
        let parts: Vec<PlanPart> = partitions.clone().iter().filter_map(|partition| self.pop(partition)).collect();
        let first = parts.first()?;
        let found = match self.all.get(&name(first)) {
            Some((all, _)) if parts.len() == if first.of > 0 { first.of } else { *all } => Parts::All,
            Some((_, true)) => Parts::Elsewhere,
            _ => Parts::Gone,
        };
        Some((Plan::assemble(parts).into_iter().next()?, found))
    }

    /// Gives up the part that comes next in some partition.
    pub(super) fn forget(&mut self) {
        if let Some(partition) = self.pending.keys().next().cloned() {
            self.pop(&partition);
        }
    }

    fn pop(&mut self, partition: &Partition) -> Option<PlanPart> {
        let parts = self.pending.get_mut(partition)?;
        let part = parts.pop_front()?;
        if parts.is_empty() {
            self.pending.remove(partition);
        }
        let name = name(&part);
        if let Some(waiting) = self.waiting.get_mut(&name) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(&name);
            }
        }
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipe;

    fn partition() -> Partition {
        Partition { topic: "t".into(), index: 0 }
    }

    fn part(id: &str, time: i64, kept: i64, from: i64, to: i64) -> PlanPart {
        let range = Range { partition: partition(), from, to };
        PlanPart { id: id.into(), time, recipe: Recipe::default(), range, kept, of: 1 }
    }

    fn held(next: i64, plans: Vec<PlanPart>) -> Vec<Checkpoint> {
        vec![Checkpoint { partition: partition(), identity: "log".into(), next, plans }]
    }

    #[test]
    fn a_plan_whose_other_parts_were_let_go_is_not_whole() {
        let found = |of| {
            let part = PlanPart { of, ..part("a", 1, 1, 3, 5) };
            let mut leftover = Leftover::new(&[held(9, vec![part])], &BTreeMap::from([(partition(), 3)]), &[]);
            leftover.next(&BTreeMap::from([(partition(), 3)]), &BTreeSet::new(), false).unwrap().1
        };
        assert_eq!([found(1), found(2)], [Parts::All, Parts::Gone]);
        assert_eq!(found(0), Parts::All, "an earlier version did not say how many there were");
    }

    #[test]
    fn of_plans_that_contradict_each_other_the_one_kept_last_counts() {
        // Sink b lacks what a made again of an old plan after the sink `own`, which is back, had planned it anew.
        let a = held(19, vec![part("old", 5, 9, 13, 19)]);
        let own = held(23, vec![part("new", 7, 7, 13, 19), part("newer", 8, 8, 19, 23)]);
        let sinks = [a, held(13, Vec::new()), own];
        let mut leftover = Leftover::new(&sinks, &BTreeMap::from([(partition(), 13)]), &[]);
        let names = [13, 19].map(|at| {
            let (plan, parts) = leftover.next(&BTreeMap::from([(partition(), at)]), &BTreeSet::new(), false).unwrap();
            (plan.id, parts)
        });
        assert_eq!(names, [("old".to_owned(), Parts::All), ("newer".to_owned(), Parts::All)]);
        assert!([13, 19].iter().all(|from| !leftover.is_piece(&Range { partition: partition(), from: *from, to: 30 })));
        assert_eq!(
            (Leftover::kept_at(3, &sinks), Leftover::kept_at(30, &sinks), Leftover::kept_at(3, &[])),
            (10, 30, 3)
        );
    }

    #[test]
    fn what_lies_beside_a_plan_that_was_kept_later_is_made_again() {
        // The sink `own` was out while 13 to 17 were planned anew, and kept 10 to 20 and 20 to 24 before that; sink c has
        // nothing of all that.
        let a = held(17, vec![part("new", 7, 9, 13, 17)]);
        let own = held(24, vec![part("old", 5, 3, 10, 20), part("older", 4, 2, 9, 24)]);
        let sinks = [a, own, held(10, Vec::new())];
        let mut leftover = Leftover::new(&sinks, &BTreeMap::from([(partition(), 10)]), &[]);
        let mut at = 10;
        let mut found = Vec::new();
        while let Some((plan, _)) = leftover.next(&BTreeMap::from([(partition(), at)]), &BTreeSet::new(), false) {
            let range = plan.ranges[0].clone();
            at = range.to;
            found.push((plan.id, range.from, range.to, leftover.is_piece(&range)));
        }
        let found: Vec<_> = found.iter().map(|(id, from, to, piece)| (id.as_str(), *from, *to, *piece)).collect();
        assert_eq!(
            found,
            [("old", 10, 13, true), ("new", 13, 17, false), ("old", 17, 20, true), ("older", 20, 24, true)]
        );
    }
}
