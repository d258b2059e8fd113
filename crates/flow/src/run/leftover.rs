//! Plans that some sink still lacks, as all sinks keep them, and the order in which they can be replayed.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::{Checkpoint, Partition, Plan, PlanPart};

/// The time and the id of a plan.
type Name = (i64, String);

/// By partition, the pieces that lie above the lowest sink; none overlaps another.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    pending: BTreeMap<Partition, VecDeque<PlanPart>>,
    /// How many pieces of each plan wait.
    waiting: HashMap<Name, usize>,
}

fn name(piece: &PlanPart) -> Name {
    (piece.time, piece.id.clone())
}

impl Leftover {
    /// What is kept above the lowest positions, by whichever sink; of pieces that contradict each other the one that
    /// begins first, or is kept by the first sink, counts.
    pub(super) fn new(held: &[Vec<Checkpoint>], lowest: &HashMap<Partition, i64>) -> Self {
        let mut leftover = Leftover::default();
        for (partition, low) in lowest {
            let held = held.iter().flatten().filter(|holding| holding.partition == *partition);
            let kept = held.flat_map(|holding| holding.plans.iter().filter(|piece| piece.range.to <= holding.next));
            let mut pieces: Vec<&PlanPart> =
                kept.filter(|piece| piece.range.to > *low && piece.range.from < piece.range.to).collect();
            pieces.sort_by_key(|piece| piece.range.from);
            let mut end = i64::MIN;
            for piece in pieces {
                if piece.range.from >= end {
                    end = piece.range.to;
                    *leftover.waiting.entry(name(piece)).or_default() += 1;
                    leftover.pending.entry(partition.clone()).or_default().push_back(piece.clone());
                }
            }
        }
        leftover
    }

    /// How many plans wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The latest batch time among them.
    pub(super) fn last_time(&self) -> Option<i64> {
        self.waiting.keys().map(|(time, _)| *time).max()
    }

    /// Where the next piece of a partition begins.
    pub(super) fn begin(&self, partition: &Partition) -> Option<i64> {
        self.pending.get(partition)?.front().map(|piece| piece.range.from)
    }

    /// The earliest plan all of whose pieces come next; none while what lies below some of them is not done. `at`: the
    /// next offset that no batch has yet. `waits`: partitions of which nothing may come yet.
    pub(super) fn next(&mut self, at: &HashMap<Partition, i64>, waits: &HashSet<Partition>) -> Option<Plan> {
        let at = |partition: &Partition| at.get(partition).copied().unwrap_or(i64::MAX);
        let done: Vec<Partition> = self.pending.keys().cloned().collect();
        for partition in done {
            while self.pending.get(&partition).and_then(VecDeque::front).is_some_and(|p| p.range.to <= at(&partition)) {
                self.pop(&partition);
            }
        }
        let mut ready: BTreeMap<Name, Vec<Partition>> = BTreeMap::new();
        let mut gaps = false;
        for (partition, pieces) in &self.pending {
            match pieces.front() {
                Some(piece) if piece.range.from <= at(partition) && !waits.contains(partition) => {
                    ready.entry(name(piece)).or_default().push(partition.clone());
                }
                Some(_) => gaps = true,
                None => {}
            }
        }
        let whole = ready.iter().find(|(name, at)| self.waiting.get(*name).is_some_and(|all| *all == at.len()));
        // Plans that wait for each other are of sinks whose histories differ: they are replayed in parts.
        let (_, partitions) = whole.or_else(|| if gaps { None } else { ready.iter().next() })?;
        let pieces: Vec<PlanPart> = partitions.clone().iter().filter_map(|partition| self.pop(partition)).collect();
        Plan::assemble(pieces).into_iter().next()
    }

    fn pop(&mut self, partition: &Partition) -> Option<PlanPart> {
        let pieces = self.pending.get_mut(partition)?;
        let piece = pieces.pop_front()?;
        if pieces.is_empty() {
            self.pending.remove(partition);
        }
        let name = name(&piece);
        if let Some(waiting) = self.waiting.get_mut(&name) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(&name);
            }
        }
        Some(piece)
    }
}
