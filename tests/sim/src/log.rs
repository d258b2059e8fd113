//! The log, the consumer group, and the source of one member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use foretell_flow::*;
use tokio::time::Instant;

use crate::mutants::Mutant;
use crate::world::{Context, World};

pub(crate) const TOPIC: &str = "orders";
pub(crate) const IDENTITY: &str = "cluster/orders";

/// Stands in every record's value: no log line and no error may hold it.
pub(crate) const SECRET: &str = "s3cret";

pub(crate) fn partition(index: i32) -> Partition {
    Partition { topic: TOPIC.into(), index }
}

/// Whether there is no record at an offset: a transaction marker, or a record that compaction took.
pub(crate) fn is_hole(index: i32, offset: i64) -> bool {
    (offset * 5 + i64::from(index)) % 9 == 4
}

/// Whether the record does not decode.
pub(crate) fn is_bad(index: i32, offset: i64) -> bool {
    (offset * 7 + i64::from(index)) % 13 == 0
}

/// The offsets of good records.
pub(crate) fn good(index: i32, from: i64, to: i64) -> impl Iterator<Item = i64> {
    (from..to).filter(move |offset| !is_hole(index, *offset) && !is_bad(index, *offset))
}

/// A partition of the log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogPartition {
    pub(crate) first: i64,
    pub(crate) end: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) partitions: Vec<LogPartition>,
    /// Whether a pipeline without positions begins at the end.
    pub(crate) latest: bool,
    /// How many partitions there were when the pipeline was opened for the first time.
    pub(crate) at_first: Option<usize>,
    /// Records that are still to come.
    pub(crate) budget: i64,
}

impl Log {
    pub(crate) fn append(&mut self, index: usize, records: i64) {
        let records = records.min(self.budget);
        self.budget -= records;
        self.partitions[index].end += records;
    }
}

/// A member of the group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) life: usize,
    /// The generation whose assignment it knows.
    heard: u64,
    /// It hears nothing of the group until then, though it thinks that it is a member.
    pub(crate) deaf_until: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) members: BTreeMap<usize, Member>,
    generation: u64,
    assignment: BTreeMap<usize, Vec<i32>>,
    committed: BTreeMap<i32, i64>,
    notes: BTreeMap<i32, String>,
}

impl World {
    pub(crate) fn join(&mut self, life: usize) {
        let slot = self.lives[life].slot;
        let known = self.group.members.contains_key(&slot);
        self.group.members.insert(slot, Member { life, heard: 0, deaf_until: Instant::now() });
        // A member that comes again under its name has the partitions of before.
        if !known || self.random.bool() {
            self.rebalance();
        }
    }

    /// A member ends, or is not heard of any more.
    pub(crate) fn leave(&mut self, life: usize) {
        let slot = self.lives[life].slot;
        if self.group.members.get(&slot).is_some_and(|member| member.life == life) {
            self.group.members.remove(&slot);
            self.rebalance();
        }
    }

    pub(crate) fn rebalance(&mut self) {
        let group = &mut self.group;
        group.generation += 1;
        group.assignment.clear();
        let slots: Vec<usize> = group.members.keys().copied().collect();
        for slot in &slots {
            group.assignment.insert(*slot, Vec::new());
        }
        for index in (0..self.log.partitions.len()).filter(|_| !slots.is_empty()) {
            let slot = slots[(index + group.generation as usize) % slots.len()];
            group.assignment.get_mut(&slot).expect("a member").push(index as i32);
        }
        let line = format!("group {}: {:?}", self.group.generation, self.group.assignment);
        self.note(line);
    }
}

pub(crate) struct SimSource {
    pub(crate) context: Context,
    joined: bool,
    /// Whether it was asked how many partitions there are.
    counted: bool,
    assigned: Vec<i32>,
    at: BTreeMap<i32, i64>,
}

impl SimSource {
    pub(crate) fn new(context: Context) -> SimSource {
        SimSource { context, joined: false, counted: false, assigned: Vec::new(), at: BTreeMap::new() }
    }

    /// What the group has to say.
    fn news(&mut self) -> Option<Event> {
        let life = self.context.life;
        self.context.clone().with(|world| {
            if !self.joined {
                self.joined = true;
                world.join(life);
            }
            let slot = world.lives[life].slot;
            let generation = world.group.generation;
            let assignment = world.group.assignment.get(&slot).cloned().unwrap_or_default();
            let revokes = world.random.bool();
            let member = world.group.members.get_mut(&slot)?;
            if member.heard == generation || member.deaf_until > Instant::now() {
                return None;
            }
            if !self.assigned.is_empty() && revokes {
                self.assigned.clear();
                world.note(format!("life {life} hears: revoked"));
                return Some(Event::Revoked);
            }
            member.heard = generation;
            self.assigned = assignment;
            self.at.clear();
            world.note(format!("life {life} hears: {:?}", self.assigned));
            Some(Event::Assigned(self.assigned.iter().map(|index| partition(*index)).collect()))
        })
    }

    fn records(&mut self, demand: Demand) -> Result<Option<Chunk>, StageError> {
        let (assigned, at) = (self.assigned.clone(), &mut self.at);
        self.context.with(|world| {
            let mut builder = RecordsBuilder::new(TOPIC.into());
            let mut reached = Vec::new();
            for index in assigned {
                // Nothing is fetched before it is sought.
                let Some(from) = at.get(&index).copied() else { continue };
                let log = world.log.partitions[index as usize];
                if from < log.first {
                    return Err(StageError::state(format!(
                        "{TOPIC}[{index}]: position {from} is out of range: the log begins at {}",
                        log.first
                    )));
                }
                let room = demand.rows.saturating_sub(builder.len()) as i64;
                let most = if world.faults.jitter { world.random.i64(0..6) } else { 4 };
                let to = log.end.min(from + most.min(room));
                for offset in (from..to).filter(|offset| !is_hole(index, *offset)) {
                    let value = if is_bad(index, offset) { "?".to_string() } else { offset.to_string() };
                    let value = format!("{SECRET}{value}");
                    builder.push(index, offset, None, None, Some(value.as_bytes()), Vec::new());
                }
                if to > from {
                    at.insert(index, to);
                    reached.push(Position { partition: partition(index), next: to });
                }
            }
            Ok((!reached.is_empty()).then(|| Chunk { records: builder.finish(), reached }))
        })
    }
}

#[async_trait]
impl Source for SimSource {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        self.context.pause("next").await;
        self.context.answer(None, "next")?;
        if let Some(event) = self.news() {
            return Ok(event);
        }
        if let Some(chunk) = self.records(demand)? {
            return Ok(Event::Records(chunk));
        }
        tokio::time::sleep(demand.wait).await;
        Ok(Event::Idle)
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        self.context.pause("partitions").await;
        self.context.answer(None, "partitions")?;
        let again = std::mem::replace(&mut self.counted, true);
        Ok(self.context.with(|world| {
            // What the first lives count is what was there.
            if world.lives[self.context.life].first && !again {
                let count = world.log.partitions.len();
                world.log.at_first = world.log.at_first.max(Some(count));
            }
            // As if all that there will ever be had been there.
            if world.is(Mutant::LaterPartitionsBeginAtTheEnd) { usize::MAX } else { world.log.partitions.len() }
        }))
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        self.context.pause("bounds").await;
        self.context.answer(None, "bounds")?;
        Ok(self.context.with(|world| {
            let bound = |partition: &Partition| {
                let log = world.log.partitions[partition.index as usize];
                Bounds {
                    partition: partition.clone(),
                    identity: IDENTITY.into(),
                    first: log.first,
                    end: log.end,
                    start: if world.log.latest { log.end } else { log.first },
                    committed: world.group.committed.get(&partition.index).copied(),
                }
            };
            partitions.iter().map(bound).collect()
        }))
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        self.context.pause("seek").await;
        self.context.answer(None, "seek")?;
        for position in positions {
            let at = self.at.entry(position.partition.index).or_insert(position.next);
            if !self.context.with(|world| world.is(Mutant::SeekIsForgotten)) {
                *at = position.next;
            }
        }
        Ok(())
    }

    async fn notes(&mut self) -> Result<Vec<String>, StageError> {
        self.context.pause("notes").await;
        self.context.answer(None, "notes")?;
        Ok(self.context.with(|world| match world.is(Mutant::ResetIsSilent) {
            true => Vec::new(),
            false => world.group.notes.values().cloned().collect(),
        }))
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(SimHousekeeping(self.context.clone()))
    }
}

struct SimHousekeeping(Context);

#[async_trait]
impl Housekeeping for SimHousekeeping {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        self.0.pause("behind").await;
        self.0.answer(None, "behind")?;
        Ok(self.0.with(|world| {
            positions.iter().map(|p| world.log.partitions[p.partition.index as usize].end - p.next).collect()
        }))
    }

    async fn commit(&self, positions: &[Position], note: &str) -> Result<(), StageError> {
        self.0.pause("commit to the group").await;
        self.0.answer(None, "commit to the group")?;
        self.0.with(|world| {
            for position in positions {
                let index = position.partition.index;
                let committed = world.group.committed.entry(index).or_insert(position.next);
                *committed = (*committed).max(position.next);
                world.group.notes.insert(index, note.to_string());
            }
        });
        Ok(())
    }
}

/// Topics that have positions, as a start reads them.
pub(crate) fn known_topics(world: &World) -> std::collections::HashSet<String> {
    let any = world.targets.iter().any(|target| target.progress.values().any(|entries| !entries.is_empty()));
    any.then(|| TOPIC.to_string()).into_iter().collect()
}

/// How long the group waits for a member that is not heard of.
pub(crate) const SESSION: Duration = Duration::from_secs(4);
