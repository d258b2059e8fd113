//! The four kinds of sink, as their services behave.

mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use async_trait::async_trait;
use foretell_flow::*;

use crate::log::IDENTITY;
use crate::mutants::Mutant;
use crate::query::Input;
use crate::world::{Context, World};

pub(crate) const PIPELINE: &str = "p";

/// How a sink keeps others away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A database: positions are compared and set in the transaction of the rows.
    Compare,
    /// Kafka: a claim fences earlier producers, partition by partition.
    Fence,
    /// Files: numbered records, each put only where none is.
    Log,
    /// One file: one writer, which a number names.
    Single,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Compare, Kind::Fence, Kind::Log, Kind::Single];

/// A row as it landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) offset: i64,
    pub(crate) text: String,
}

pub(crate) type Rows = BTreeMap<i32, Vec<Row>>;

/// What is stored for one partition.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) begin: i64,
    pub(crate) next: i64,
    pub(crate) plans: Vec<PlanPart>,
}

/// A table, topic, folder or file, and where its sink keeps positions.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) input: Input,
    pub(crate) rows: Rows,
    /// By the sink's name, by partition.
    pub(crate) progress: BTreeMap<String, BTreeMap<i32, Entry>>,
    /// Offsets that a person gave up.
    pub(crate) gaps: BTreeMap<i32, BTreeSet<i64>>,
    /// Which life claimed a partition last.
    owners: BTreeMap<i32, usize>,
    /// Of fences: the newest producer's number, by partition.
    epochs: BTreeMap<i32, u64>,
    /// Of numbered logs: who put each record, and the partitions that it is about.
    log: Vec<(usize, Vec<i32>)>,
    /// Of a single writer: its number.
    lease: u64,
    /// What is behind the recorded length of a file.
    surplus: Rows,
}

impl Target {
    /// Whoever writes must claim again.
    pub(crate) fn forget_producers(&mut self) {
        self.epochs.values_mut().for_each(|epoch| *epoch += 1);
    }

    pub(crate) fn new(kind: Kind, input: Input) -> Target {
        Target {
            kind,
            input,
            rows: Rows::new(),
            progress: BTreeMap::new(),
            gaps: BTreeMap::new(),
            owners: BTreeMap::new(),
            epochs: BTreeMap::new(),
            log: Vec::new(),
            lease: 0,
            surplus: Rows::new(),
        }
    }

    /// Nobody of before writes any more.
    pub(crate) fn fence(&mut self) {
        self.epochs.values_mut().for_each(|epoch| *epoch += 1);
        self.lease += 1;
    }

    /// What a backup puts back; numbers of owners go on.
    pub(crate) fn restore(&mut self, backup: &Target) {
        self.rows.clone_from(&backup.rows);
        self.progress.clone_from(&backup.progress);
        self.gaps.clone_from(&backup.gaps);
    }
}

/// A transaction of a database.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) life: usize,
    pub(crate) target: usize,
    partitions: Vec<i32>,
    /// Whether it was asked to commit.
    pub(crate) sent: bool,
}

/// A write on its way.
#[derive(Clone)]
pub(crate) struct Commit {
    pub(crate) target: usize,
    pub(crate) sink: String,
    pub(crate) life: usize,
    pub(crate) plan: Arc<Plan>,
    pub(crate) ranges: Vec<Range>,
    pub(crate) rows: Rows,
    retention: Option<PlanRetention>,
}

impl Commit {
    fn partitions(&self) -> Vec<i32> {
        self.ranges.iter().map(|range| range.partition.index).collect()
    }

    fn of(&self, index: i32) -> Commit {
        let mut part = self.clone();
        part.ranges.retain(|range| range.partition.index == index);
        part.rows.retain(|other, _| *other == index);
        part
    }
}

impl World {
    fn fits(&self, commit: &Commit) -> bool {
        let entries = self.targets[commit.target].progress.get(&commit.sink);
        let next = |range: &Range| entries.and_then(|entries| entries.get(&range.partition.index)).map(|e| e.next);
        commit.ranges.iter().all(|range| next(range) == Some(range.from))
    }

    /// Rows, positions and plans in one act.
    fn apply(&mut self, commit: &Commit) {
        let mutant = self.mutant;
        let kept = self.kept_for(commit);
        let target = &mut self.targets[commit.target];
        if mutant != Some(Mutant::PositionsAreStoredWithoutRows) {
            for (index, rows) in &commit.rows {
                target.rows.entry(*index).or_default().extend(rows.iter().cloned());
            }
        }
        let entries = target.progress.entry(commit.sink.clone()).or_default();
        let mut before = BTreeMap::new();
        for range in &commit.ranges {
            let entry = entries.entry(range.partition.index).or_insert(Entry {
                begin: range.from,
                next: range.from,
                plans: Vec::new(),
            });
            before.insert(range.partition.index, entry.next);
            entry.next = range.to;
        }
        if let Some(retention) = commit.retention.as_ref().filter(|_| mutant != Some(Mutant::PlansAreNotKept)) {
            for part in &retention.parts {
                if let Some(entry) = entries.get_mut(&part.range.partition.index)
                    && commit.ranges.iter().any(|range| range.partition == part.range.partition)
                {
                    entry.plans.retain(|kept| kept.range.to <= part.range.from);
                    entry.plans.push(part.clone());
                }
            }
            for floor in &retention.floor {
                if let Some(entry) = entries.get_mut(&floor.partition.index) {
                    entry.plans.retain(|part| part.range.to > floor.next);
                }
            }
        }
        let ranges: Vec<String> =
            commit.ranges.iter().map(|r| format!("{}:{}..{}", r.partition.index, r.from, r.to)).collect();
        self.note(format!("life {} {} stores {} of {}", commit.life, commit.sink, ranges.join(" "), commit.plan.id));
        for part in commit.retention.iter().flat_map(|retention| &retention.parts) {
            self.keeps(commit.target, part);
        }
        self.check_commit(commit, &before, &kept);
        // What was on its way to a sink that was taken out meanwhile is planned anew for the others.
        if !self.is_of_today(commit.target) {
            for range in &commit.ranges {
                self.checker.replanned(range.partition.index, range.from, range.to);
            }
        }
        // What was on its way when the pipeline file was changed knows nothing of that.
        if commit.life < self.era {
            self.mark_anew();
        }
    }
}

pub(crate) struct SimSink {
    context: Context,
    target: usize,
    sink: String,
    kind: Kind,
    schema: SchemaRef,
    /// Whether a write over several partitions is one act.
    atomic: bool,
    /// Rows of slices, for the next write.
    staged: Vec<RecordBatch>,
    /// Of fences: our producers' numbers.
    epochs: BTreeMap<i32, u64>,
    /// Of fences: where we are, as the claim read it; nothing else is compared.
    ledger: BTreeMap<i32, i64>,
    /// Of numbered logs: how many records we know.
    known: usize,
    /// Of numbered logs: partitions that another claimed since.
    lost: BTreeSet<i32>,
    /// Of a single writer: our number.
    lease: u64,
}

impl SimSink {
    pub(crate) fn new(context: Context, target: usize, sink: String, schema: SchemaRef, atomic: bool) -> SimSink {
        let kind = context.with(|world| world.targets[target].kind);
        SimSink {
            context,
            target,
            sink,
            kind,
            schema,
            atomic,
            staged: Vec::new(),
            epochs: BTreeMap::new(),
            ledger: BTreeMap::new(),
            known: 0,
            lost: BTreeSet::new(),
            lease: 0,
        }
    }

    fn service(&self) -> Option<usize> {
        Some(self.target)
    }

    /// Rows by the place of their columns, as the sink's schema names these places.
    fn rows_of(&self, batches: &[RecordBatch]) -> Rows {
        let mut rows = Rows::new();
        for batch in batches {
            let column = |name: &str| batch.column(self.schema.index_of(name).expect("it has the column"));
            let indexes = column("partition").as_primitive::<Int32Type>().clone();
            let offsets = column("offset").as_primitive::<Int64Type>().clone();
            let dead = self.schema.index_of("stage").is_ok();
            for row in 0..batch.num_rows() {
                let cell = |(field, column): (&Arc<arrow::datatypes::Field>, &Arc<dyn Array>)| {
                    let value = match column.as_primitive_opt::<Int64Type>() {
                        Some(values) => values.value(row).to_string(),
                        None => match column.as_primitive_opt::<Int32Type>() {
                            Some(values) => values.value(row).to_string(),
                            None => column.as_string::<i32>().value(row).to_string(),
                        },
                    };
                    format!("{}={value}", field.name())
                };
                let text = match dead {
                    true => "dead letter".to_string(),
                    false => {
                        let mut cells: Vec<String> =
                            self.schema.fields().iter().zip(batch.columns()).map(cell).collect();
                        cells.sort();
                        cells.join(",")
                    }
                };
                rows.entry(indexes.value(row)).or_default().push(Row { offset: offsets.value(row), text });
            }
        }
        rows
    }

    fn checkpoints(&self, world: &World, only: Option<&[Claim]>) -> Vec<Checkpoint> {
        let entries = world.targets[self.target].progress.get(&self.sink);
        let wanted = |index: i32| only.is_none_or(|claims| claims.iter().any(|c| c.partition.index == index));
        let checkpoint = |(index, entry): (&i32, &Entry)| Checkpoint {
            partition: crate::log::partition(*index),
            identity: IDENTITY.into(),
            next: entry.next,
            plans: entry.plans.clone(),
        };
        entries.into_iter().flatten().filter(|(index, _)| wanted(**index)).map(checkpoint).collect()
    }

    fn store_begins(&self, world: &mut World, claims: &[Claim]) {
        for claim in claims {
            let index = claim.partition.index;
            let overwrites = world.is(Mutant::ClaimsOverwritePositions);
            let entries = world.targets[self.target].progress.entry(self.sink.clone()).or_default();
            let stored = entries.contains_key(&index);
            if !stored || overwrites {
                let entry = Entry { begin: claim.start, next: claim.start, plans: Vec::new() };
                entries.insert(index, entry);
                world.note(format!("life {} {} begins {index} at {}", self.context.life, self.sink, claim.start));
                world.check_begin(self.context.life, self.target, &self.sink, index, claim.start);
            }
            world.targets[self.target].owners.insert(index, self.context.life);
        }
    }

    async fn claim_partitions(&mut self, claims: &[Claim]) -> Result<(), StageError> {
        match self.kind {
            Kind::Compare => {
                let partitions: Vec<i32> = claims.iter().map(|claim| claim.partition.index).collect();
                // A row that is locked is waited for: a commit may be on its way.
                self.wait_for_locks(&partitions, None).await?;
                self.context.clone().with(|world| self.store_begins(world, claims));
            }
            Kind::Fence => {
                self.epochs.clear();
                for claim in claims {
                    self.context.pause("init transactions").await;
                    self.context.answer(self.service(), "init transactions")?;
                    self.context.clone().with(|world| {
                        let index = claim.partition.index;
                        let unfenced = world.is(Mutant::ClaimsFenceNobody);
                        let epoch = world.targets[self.target].epochs.entry(index).or_default();
                        if !unfenced {
                            *epoch += 1;
                        }
                        self.epochs.insert(index, *epoch);
                        self.store_begins(world, std::slice::from_ref(claim));
                    });
                }
            }
            Kind::Log => loop {
                let known = self.context.with(|world| world.targets[self.target].log.len());
                self.context.pause("read the log").await;
                self.context.answer(self.service(), "put a claim")?;
                let put = self.context.clone().with(|world| {
                    let partitions = claims.iter().map(|claim| claim.partition.index).collect();
                    let target = &mut world.targets[self.target];
                    if target.log.len() != known {
                        return false;
                    }
                    target.log.push((self.context.life, partitions));
                    self.known = known + 1;
                    self.lost.clear();
                    self.store_begins(world, claims);
                    true
                });
                if put {
                    break;
                }
            },
            Kind::Single => self.context.clone().with(|world| {
                let (unfenced, keeps) = (world.is(Mutant::SingleWritersAreMany), world.is(Mutant::SurplusStays));
                let target = &mut world.targets[self.target];
                if !unfenced {
                    target.lease += 1;
                }
                self.lease = target.lease;
                if !keeps {
                    target.surplus.clear();
                }
                self.store_begins(world, claims);
            }),
        }
        Ok(())
    }

    async fn wait_for_locks(&self, partitions: &[i32], take: Option<u64>) -> Result<(), StageError> {
        for _ in 0..200 {
            // A process that was killed meanwhile asks for nothing.
            if !self.context.with(|world| world.lives[self.context.life].alive) {
                std::future::pending::<()>().await;
            }
            let free = self.context.with(|world| {
                let locked = |t: &Transaction| {
                    t.target == self.target && t.partitions.iter().any(|index| partitions.contains(index))
                };
                let free = !world.transactions.values().any(locked);
                if let (true, Some(id)) = (free, take) {
                    let transaction = Transaction {
                        life: self.context.life,
                        target: self.target,
                        partitions: partitions.to_vec(),
                        sent: false,
                    };
                    world.transactions.insert(id, transaction);
                }
                free
            });
            if free {
                return Ok(());
            }
            self.context.pause("wait for a lock").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(StageError::unavailable("a lock is not given up"))
    }
}

#[async_trait]
impl Sink for SimSink {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        self.context.pause("positions").await;
        self.context.answer(self.service(), "positions")?;
        Ok(self.context.with(|world| self.checkpoints(world, None)))
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        self.context.pause("claim").await;
        self.context.answer(self.service(), "claim")?;
        if !self.context.with(|world| world.is(Mutant::SlicesOutliveAClaim)) {
            self.staged.clear();
        }
        // What was read before others were fenced may be out of date.
        let early = self.context.with(|world| self.checkpoints(world, Some(claims)));
        self.claim_partitions(claims).await?;
        self.context.pause("claimed").await;
        self.context.answer(self.service(), "claimed")?;
        let held = self.context.with(|world| match world.is(Mutant::PositionsAreReadBeforeTheFence) {
            true if early.len() == claims.len() => early,
            _ => self.checkpoints(world, Some(claims)),
        });
        self.ledger = held.iter().map(|held| (held.partition.index, held.next)).collect();
        Ok(held)
    }

    async fn slice(&mut self, rows: &RecordBatch) -> Result<(), StageError> {
        self.context.pause("slice").await;
        self.context.answer(self.service(), "slice")?;
        self.staged.push(rows.clone());
        Ok(())
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        self.context.pause("write").await;
        let mut batches = std::mem::take(&mut self.staged);
        batches.push(write.rows.clone());
        let commit = Commit {
            target: self.target,
            sink: self.sink.clone(),
            life: self.context.life,
            plan: write.plan.clone(),
            ranges: write.ranges.clone(),
            rows: self.rows_of(&batches),
            retention: write.retention.clone(),
        };
        self.context.answer(self.service(), "write")?;
        match self.kind {
            Kind::Compare => self.write_compare(commit).await?,
            Kind::Fence => self.write_fence(commit).await?,
            Kind::Log => self.write_log(commit).await?,
            Kind::Single => self.write_single(commit).await?,
        }
        self.context.pause("written").await;
        Ok(Written::default())
    }

    async fn traces(&mut self) -> Result<Vec<Trace>, StageError> {
        self.context.pause("traces").await;
        self.context.answer(self.service(), "traces")?;
        Ok(self.context.with(|world| {
            if world.is(Mutant::ResetIsSilent) {
                return Vec::new();
            }
            let target = &world.targets[self.target];
            let others = target.progress.iter().filter(|(name, entries)| **name != self.sink && !entries.is_empty());
            let mut traces: Vec<Trace> = others
                .map(|(name, _)| Trace::Sink {
                    pipeline: PIPELINE.into(),
                    sink: name.clone(),
                    logs: vec![IDENTITY.into()],
                })
                .collect();
            let own = target.progress.get(&self.sink).is_some_and(|entries| !entries.is_empty());
            if traces.is_empty() && !own && target.rows.values().any(|rows| !rows.is_empty()) {
                traces.push(Trace::Rows("rows in its table".into()));
            }
            traces
        }))
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        Err(StageError::defect("the run loop resets a log that did not end"))
    }
}

/// Who may write to a target now: the checker's question.
pub(crate) fn owner(world: &World, target: usize, index: i32) -> Option<usize> {
    world.targets[target].owners.get(&index).copied()
}
