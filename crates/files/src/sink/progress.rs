//! Positions and plans as file sinks keep them: one entry a partition, changed by the same few acts in both modes.

use std::collections::VecDeque;

use foretell_flow::{Checkpoint, Claim, Fault, Partition, PlanPart, PlanRetention, Position, Range, Reset, StageError};
use serde::{Deserialize, Serialize};

/// What is stored for every partition, ordered by partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Progress(Vec<PartitionEntry>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PartitionEntry {
    partition: Partition,
    identity: String,
    next: i64,
    /// Who may write: the token of the last claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// One behind the other.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    plans: VecDeque<PlanPart>,
}

/// [`Claim`], stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredClaim {
    partition: Partition,
    identity: String,
    start: i64,
}

impl From<&Claim> for StoredClaim {
    fn from(claim: &Claim) -> Self {
        StoredClaim { partition: claim.partition.clone(), identity: claim.identity.clone(), start: claim.start }
    }
}

/// [`PlanRetention`], stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredRetention {
    #[serde(alias = "pieces")]
    parts: Vec<PlanPart>,
    floor: Vec<Position>,
}

impl From<&PlanRetention> for StoredRetention {
    fn from(keep: &PlanRetention) -> Self {
        StoredRetention { parts: keep.parts.clone(), floor: keep.floor.clone() }
    }
}

impl Progress {
    fn find(&self, partition: &Partition) -> Result<usize, usize> {
        self.0.binary_search_by(|entry| entry.partition.cmp(partition))
    }

    /// Changes an entry that was found.
    fn at(&mut self, at: usize, change: impl FnOnce(&mut PartitionEntry)) {
        if let Some(entry) = self.0.get_mut(at) {
            change(entry);
        }
    }

    /// What is stored for one partition.
    pub(super) fn checkpoint(&self, partition: &Partition) -> Option<Checkpoint> {
        self.find(partition).ok().and_then(|at| self.0.get(at)).map(PartitionEntry::checkpoint)
    }

    /// All that is stored.
    pub(super) fn checkpoints(&self) -> Vec<Checkpoint> {
        self.0.iter().map(PartitionEntry::checkpoint).collect()
    }

    /// Whether a token owns any partition.
    pub(super) fn owns(&self, token: &str) -> bool {
        self.0.iter().any(|entry| entry.owner.as_deref() == Some(token))
    }

    /// Takes everything from an owner.
    pub(super) fn disown(&mut self, token: &str) {
        for entry in self.0.iter_mut().filter(|entry| entry.owner.as_deref() == Some(token)) {
            entry.owner = None;
        }
    }

    /// Gives partitions to an owner; where no position is stored, the claim's start becomes it.
    pub(super) fn claim(&mut self, claims: &[StoredClaim], token: &str) {
        for claim in claims {
            let owner = Some(token.to_string());
            match self.find(&claim.partition) {
                Ok(at) => self.at(at, |entry| entry.owner = owner),
                Err(at) => {
                    let StoredClaim { partition, identity, start } = claim.clone();
                    self.0
                        .insert(at, PartitionEntry { partition, identity, next: start, owner, plans: VecDeque::new() });
                }
            }
        }
    }

    /// Whether these ranges follow what is stored, and are the owner's to write.
    pub(super) fn check(&self, ranges: &[Range], token: &str) -> Result<(), StageError> {
        for range in ranges {
            let partition = &range.partition;
            let entry = self.find(partition).ok().and_then(|at| self.0.get(at));
            let Some(entry) = entry.filter(|entry| entry.owner.as_deref() == Some(token)) else {
                return Err(StageError::fenced(format!("{partition} belongs to another writer now")));
            };
            if entry.next != range.from {
                let text = format!("{partition}: the stored position is {}, not {}", entry.next, range.from);
                return Err(StageError::fenced(text));
            }
            if range.to < range.from {
                let text = format!("{partition}: the range {}..{} goes backwards", range.from, range.to);
                return Err(StageError::new(Fault::State, text));
            }
        }
        Ok(())
    }

    /// Moves positions on and keeps plans, after `check`.
    pub(super) fn advance(&mut self, ranges: &[Range], retention: Option<&StoredRetention>) {
        for range in ranges {
            if let Ok(at) = self.find(&range.partition) {
                self.at(at, |entry| entry.next = range.to);
            }
        }
        let Some(retention) = retention else { return };
        for part in &retention.parts {
            if let Ok(at) = self.find(&part.range.partition) {
                self.at(at, |entry| {
                    // They replace what is stored from their beginning on.
                    while entry.plans.back().is_some_and(|stored| stored.range.to > part.range.from) {
                        entry.plans.pop_back();
                    }
                    entry.plans.push_back(part.clone());
                });
            }
        }
        for floor in &retention.floor {
            if let Ok(at) = self.find(&floor.partition) {
                self.at(at, |entry| {
                    while entry.plans.front().is_some_and(|part| part.range.to <= floor.next) {
                        entry.plans.pop_front();
                    }
                });
            }
        }
    }

    /// Sets or forgets positions.
    pub(super) fn reset(&mut self, reset: &Reset) {
        match reset {
            Reset::Set { position, identity } => {
                let entry = PartitionEntry {
                    partition: position.partition.clone(),
                    identity: identity.clone(),
                    next: position.next,
                    owner: None,
                    plans: VecDeque::new(),
                };
                match self.find(&position.partition) {
                    Ok(at) => self.at(at, |stored| *stored = entry),
                    Err(at) => self.0.insert(at, entry),
                }
            }
            Reset::Forget(Some(partition)) => self.0.retain(|entry| entry.partition != *partition),
            Reset::Forget(None) => self.0.clear(),
        }
    }
}

impl PartitionEntry {
    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            partition: self.partition.clone(),
            identity: self.identity.clone(),
            next: self.next,
            plans: self.plans.iter().cloned().collect(),
        }
    }
}

/// The columns and the format of a sink's files: they may not change between batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    format: String,
    columns: Vec<(String, String)>,
}

impl Shape {
    pub(super) fn new(format: &str, schema: &arrow::datatypes::Schema) -> Self {
        let columns = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().to_string())).collect();
        Shape { format: format.into(), columns }
    }

    /// Whether rows of this shape may follow those at `place`, whose positions are kept in `hidden`.
    pub(super) fn check(&self, stored: Option<&Shape>, place: &str, hidden: &str) -> Result<(), StageError> {
        let Some(stored) = stored.filter(|stored| *stored != self) else { return Ok(()) };
        let text = |columns: &[(String, String)]| {
            columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect::<Vec<_>>().join(", ")
        };
        let (before, now) = match stored.format == self.format {
            true => (text(&stored.columns), text(&self.columns)),
            false => (stored.format.clone(), self.format.clone()),
        };
        Err(StageError::state(format!(
            "the output columns changed: {place} has `{before}`, the pipeline gives `{now}`"
        ))
        .remedy(format!("write to another path, or remove {hidden}, which forgets the positions, and begin anew")))
    }
}
