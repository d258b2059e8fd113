//! The suites for sinks and sources, held against ones in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use foretell_flow::testing::{sinks, sources};
use foretell_flow::*;

/// By pipeline and sink: what is stored. Rows are everybody's.
#[derive(Default)]
struct Stored {
    owner: u64,
    held: BTreeMap<(String, String), BTreeMap<Partition, Checkpoint>>,
    rows: Vec<(i32, i64)>,
}

struct MemorySink {
    stored: Arc<Mutex<Stored>>,
    name: (String, String),
    owner: u64,
    aside: Vec<(i32, i64)>,
    /// Changes until it dies.
    life: usize,
}

fn pairs(rows: &RecordBatch) -> Vec<(i32, i64)> {
    let (partitions, offsets) =
        (rows.column(0).as_primitive::<Int32Type>(), rows.column(1).as_primitive::<Int64Type>());
    partitions.values().iter().copied().zip(offsets.values().iter().copied()).collect()
}

impl MemorySink {
    /// Changes what is stored; at its death before or behind that.
    fn change<T>(&mut self, change: impl FnOnce(&mut Stored) -> T) -> Result<T, StageError> {
        let died = || StageError::unavailable("died");
        let life = self.life;
        self.life = life.saturating_sub(1);
        match life {
            0 => Err(died()),
            1 => {
                change(&mut self.stored.lock().unwrap());
                Err(died())
            }
            _ => Ok(change(&mut self.stored.lock().unwrap())),
        }
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        let stored = self.stored.lock().unwrap();
        Ok(stored.held.get(&self.name).into_iter().flat_map(|held| held.values().cloned()).collect())
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        self.aside.clear();
        let name = self.name.clone();
        self.owner = self.change(|stored| {
            stored.owner += 1;
            let held = stored.held.entry(name).or_default();
            for Claim { partition, identity, start } in claims {
                held.entry(partition.clone()).or_insert_with(|| Checkpoint {
                    partition: partition.clone(),
                    identity: identity.clone(),
                    next: *start,
                    plans: Vec::new(),
                });
            }
            stored.owner
        })?;
        let mut held = self.positions().await?;
        held.retain(|held| claims.iter().any(|claim| claim.partition == held.partition));
        Ok(held)
    }

    async fn slice(&mut self, rows: &RecordBatch) -> Result<(), StageError> {
        self.aside.extend(pairs(rows));
        Ok(())
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        let (name, owner) = (self.name.clone(), self.owner);
        let mut rows = std::mem::take(&mut self.aside);
        rows.extend(pairs(&write.rows));
        self.change(|stored| {
            let held = stored.held.entry(name).or_default();
            let fits = |range: &Range| held.get(&range.partition).is_some_and(|held| held.next == range.from);
            if owner != stored.owner || !write.ranges.iter().all(fits) {
                return Err(StageError::fenced("another worker wrote"));
            }
            for range in &write.ranges {
                held.get_mut(&range.partition).unwrap().next = range.to;
            }
            if let Some(keep) = &write.retention {
                for part in &keep.parts {
                    let plans = &mut held.get_mut(&part.range.partition).unwrap().plans;
                    plans.retain(|kept| kept.range.to <= part.range.from);
                    plans.push(part.clone());
                }
                for floor in &keep.floor {
                    if let Some(held) = held.get_mut(&floor.partition) {
                        held.plans.retain(|kept| kept.range.to > floor.next);
                    }
                }
            }
            stored.rows.extend(rows);
            Ok(Written::default())
        })?
    }

    async fn traces(&mut self) -> Result<Vec<Trace>, StageError> {
        let stored = self.stored.lock().unwrap();
        let others = stored.held.iter().filter(|(name, held)| **name != self.name && !held.is_empty());
        Ok(others
            .map(|((pipeline, sink), held)| Trace::Sink {
                pipeline: pipeline.clone(),
                sink: sink.clone(),
                logs: held.values().map(|held| held.identity.clone()).collect(),
            })
            .collect())
    }

    async fn hand_over(&mut self, pipeline: &str, sink: &str) -> Result<(), StageError> {
        let (from, to) = (self.name.clone(), (pipeline.to_string(), sink.to_string()));
        self.change(|stored| {
            let held = stored.held.remove(&from).unwrap_or_default();
            stored.held.insert(to, held);
        })
    }

    async fn reset(&mut self, reset: &Reset) -> Result<(), StageError> {
        let name = self.name.clone();
        self.change(|stored| {
            let held = stored.held.entry(name).or_default();
            match reset {
                Reset::Set { position: Position { partition, next }, identity } => {
                    let (partition, identity) = (partition.clone(), identity.clone());
                    held.insert(partition.clone(), Checkpoint { partition, identity, next: *next, plans: Vec::new() });
                }
                Reset::Forget(Some(partition)) => {
                    held.remove(partition);
                }
                Reset::Forget(None) => held.clear(),
            }
        })
    }
}

#[derive(Default)]
struct Memory(Arc<Mutex<Stored>>);

impl Memory {
    fn sink(&self, name: (&str, &str), life: usize) -> Box<dyn Sink> {
        let name = (name.0.into(), name.1.into());
        Box::new(MemorySink { stored: self.0.clone(), name, owner: 0, aside: Vec::new(), life })
    }
}

#[async_trait]
impl sinks::Subject for Memory {
    fn traits(&self) -> SinkTraits {
        SinkTraits { keeps_positions: true, sharing: Sharing::Shared, atomic: true, slices: true }
    }

    async fn renew(&mut self) {
        self.0 = Arc::default();
    }

    async fn open(&mut self) -> Box<dyn Sink> {
        self.sink((sinks::PIPELINE, sinks::SINK), usize::MAX)
    }

    async fn open_mortal(&mut self, nth: usize) -> Option<Box<dyn Sink>> {
        Some(self.sink((sinks::PIPELINE, sinks::SINK), nth))
    }

    async fn open_as(&mut self, pipeline: &str, sink: &str) -> Option<Box<dyn Sink>> {
        Some(self.sink((pipeline, sink), usize::MAX))
    }

    async fn landed(&mut self) -> Vec<(i32, i64)> {
        self.0.lock().unwrap().rows.clone()
    }
}

#[tokio::test]
async fn a_sink_in_memory() {
    sinks::run(&mut Memory::default()).await;
}

/// Two partitions of this many records; the second has a hole, as compaction leaves them.
struct MemorySource {
    at: [i64; 2],
    assigned: bool,
    ends: bool,
}

const END: i64 = 20;

fn partitions() -> Vec<Partition> {
    (0..2).map(|index| Partition { topic: "orders".into(), index }).collect()
}

fn is_there(index: i32, offset: i64) -> bool {
    index == 0 || !(5..9).contains(&offset)
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        if !std::mem::replace(&mut self.assigned, true) {
            return Ok(Event::Assigned(partitions()));
        }
        let mut builder = RecordsBuilder::new("orders".into());
        let mut reached = Vec::new();
        for (partition, at) in partitions().into_iter().zip(&mut self.at) {
            let to = END.min(*at + demand.rows as i64 / 2);
            for offset in (*at..to).filter(|offset| is_there(partition.index, *offset)) {
                builder.push(partition.index, offset, None, None, Some(offset.to_string().as_bytes()), Vec::new());
            }
            if to > *at {
                *at = to;
                reached.push(Position { partition, next: to });
            }
        }
        Ok(match (reached.is_empty(), self.ends) {
            (true, true) => Event::Ended,
            (true, false) => Event::Idle,
            (false, _) => Event::Records(Chunk { records: builder.finish(), reached }),
        })
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(2)
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let bound = |partition: &Partition| Bounds {
            partition: partition.clone(),
            identity: "log".into(),
            first: 0,
            end: END,
            start: 0,
            committed: None,
        };
        Ok(partitions.iter().map(bound).collect())
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        for position in positions {
            self.at[position.partition.index as usize] = position.next;
        }
        Ok(())
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        unreachable!("nobody asks")
    }
}

struct MemoryLog {
    ends: bool,
}

#[async_trait]
impl sources::Log for MemoryLog {
    async fn open(&mut self) -> Box<dyn Source> {
        Box::new(MemorySource { at: [0; 2], assigned: false, ends: self.ends })
    }

    fn records(&self) -> usize {
        (0..2).flat_map(|index| (0..END).filter(move |offset| is_there(index, *offset))).count()
    }

    fn ends(&self) -> bool {
        self.ends
    }
}

#[tokio::test]
async fn a_source_in_memory() {
    for ends in [true, false] {
        sources::run(&mut MemoryLog { ends }).await;
    }
}
