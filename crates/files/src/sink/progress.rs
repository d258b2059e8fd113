//! Positions and plans as file sinks keep them: one entry a partition, changed by the same few acts in both modes.

use foretell_flow::{Checkpoint, Claim, Fault, Partition, PlanPart, PlanRetention, Position, Range, Reset, StageError};
use serde::{Deserialize, Serialize};

/// What is stored for every partition, ordered by partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Progress(Vec<Held>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    partition: Partition,
    identity: String,
    next: i64,
    /// Who may write: the token of the last claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    plans: Vec<PlanPart>,
}

/// [`Claim`], stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claimed {
    partition: Partition,
    identity: String,
    start: i64,
}

impl From<&Claim> for Claimed {
    fn from(claim: &Claim) -> Self {
        Claimed { partition: claim.partition.clone(), identity: claim.identity.clone(), start: claim.start }
    }
}

/// [`PlanRetention`], stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pieces: Vec<PlanPart>,
    floor: Vec<Position>,
}

impl From<&PlanRetention> for Kept {
    fn from(keep: &PlanRetention) -> Self {
        Kept { pieces: keep.parts.clone(), floor: keep.floor.clone() }
    }
}

impl Progress {
    fn find(&self, partition: &Partition) -> Result<usize, usize> {
        self.0.binary_search_by(|held| held.partition.cmp(partition))
    }

    /// What is stored for one partition.
    pub(super) fn holding(&self, partition: &Partition) -> Option<Checkpoint> {
        self.find(partition).ok().and_then(|at| self.0.get(at)).map(Held::holding)
    }

    /// All that is stored.
    pub(super) fn holdings(&self) -> Vec<Checkpoint> {
        self.0.iter().map(Held::holding).collect()
    }

    /// Whether a token owns any partition.
    pub(super) fn owns(&self, token: &str) -> bool {
        self.0.iter().any(|held| held.owner.as_deref() == Some(token))
    }

    /// Takes everything from an owner.
    pub(super) fn disown(&mut self, token: &str) {
        for held in self.0.iter_mut().filter(|held| held.owner.as_deref() == Some(token)) {
            held.owner = None;
        }
    }

    /// Gives partitions to an owner; where no position is stored, the claim's start becomes it.
    pub(super) fn claim(&mut self, claims: &[Claimed], token: &str) {
        for claim in claims {
            let owner = Some(token.to_string());
            match self.find(&claim.partition) {
                Ok(at) => self.0[at].owner = owner,
                Err(at) => {
                    let Claimed { partition, identity, start } = claim.clone();
                    self.0.insert(at, Held { partition, identity, next: start, owner, plans: Vec::new() });
                }
            }
        }
    }

    /// Whether these ranges follow what is stored, and are the owner's to write.
    pub(super) fn check(&self, ranges: &[Range], token: &str) -> Result<(), StageError> {
        for range in ranges {
            let partition = &range.partition;
            let held = self.find(partition).ok().and_then(|at| self.0.get(at));
            let Some(held) = held.filter(|held| held.owner.as_deref() == Some(token)) else {
                return Err(StageError::fenced(format!("{partition} belongs to another writer now")));
            };
            if held.next != range.from {
                let text = format!("{partition}: the stored position is {}, not {}", held.next, range.from);
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
    pub(super) fn advance(&mut self, ranges: &[Range], keep: Option<&Kept>) {
        for range in ranges {
            if let Ok(at) = self.find(&range.partition) {
                self.0[at].next = range.to;
            }
        }
        let Some(keep) = keep else { return };
        for piece in &keep.pieces {
            if let Ok(at) = self.find(&piece.range.partition) {
                let plans = &mut self.0[at].plans;
                plans.retain(|stored| stored.range.from != piece.range.from);
                plans.push(piece.clone());
                plans.sort_by_key(|piece| piece.range.from);
            }
        }
        for floor in &keep.floor {
            if let Ok(at) = self.find(&floor.partition) {
                self.0[at].plans.retain(|piece| piece.range.to > floor.next);
            }
        }
    }

    /// Sets or forgets positions.
    pub(super) fn reset(&mut self, reset: &Reset) {
        match reset {
            Reset::Set { position, identity } => {
                let held = Held {
                    partition: position.partition.clone(),
                    identity: identity.clone(),
                    next: position.next,
                    owner: None,
                    plans: Vec::new(),
                };
                match self.find(&position.partition) {
                    Ok(at) => self.0[at] = held,
                    Err(at) => self.0.insert(at, held),
                }
            }
            Reset::Forget(Some(partition)) => self.0.retain(|held| held.partition != *partition),
            Reset::Forget(None) => self.0.clear(),
        }
    }
}

impl Held {
    fn holding(&self) -> Checkpoint {
        Checkpoint {
            partition: self.partition.clone(),
            identity: self.identity.clone(),
            next: self.next,
            plans: self.plans.clone(),
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
