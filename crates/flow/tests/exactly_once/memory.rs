//! A source, sinks, a factory and a worker in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use fastrand::Rng;
use foretell_flow::*;

pub(crate) const PARTITIONS: i32 = 3;
pub(crate) const RECORDS: i64 = 400;

pub(crate) fn partition(index: i32) -> Partition {
    Partition { topic: "orders".into(), index }
}

pub(crate) fn is_bad(index: i32, offset: i64) -> bool {
    (offset * 7 + i64::from(index)) % 31 == 0
}

pub(crate) struct MemorySource {
    pub(crate) random: Rng,
    pub(crate) at: HashMap<i32, i64>,
    pub(crate) assigned: bool,
    pub(crate) rebalances: bool,
    /// Partitions that another worker has.
    pub(crate) elsewhere: usize,
    /// How many partitions it counts first, the last of these at once.
    pub(crate) counts: Vec<usize>,
    /// Partitions that are there now and were not when the run began.
    pub(crate) later: Vec<i32>,
    /// What was noted with commits.
    pub(crate) notes: Vec<String>,
    /// Where the group is.
    pub(crate) committed: HashMap<i32, i64>,
    /// The ends that it tells first, of a log that grows.
    pub(crate) ends: Vec<i64>,
    /// How often it was asked how far behind positions are.
    pub(crate) asked: Arc<AtomicU64>,
}

impl MemorySource {
    /// One that has all partitions, from the beginning.
    pub(crate) fn quiet() -> MemorySource {
        MemorySource {
            random: Rng::with_seed(1),
            at: (0..PARTITIONS).map(|index| (index, 0)).collect(),
            assigned: false,
            rebalances: false,
            elsewhere: 0,
            counts: Vec::new(),
            later: Vec::new(),
            notes: Vec::new(),
            committed: HashMap::new(),
            ends: Vec::new(),
            asked: Arc::default(),
        }
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        tokio::task::yield_now().await;
        if !self.assigned {
            self.assigned = true;
            return Ok(Event::Assigned((0..PARTITIONS).map(partition).collect()));
        }
        if self.rebalances && self.random.u64(..40) == 0 {
            self.assigned = false;
            return Ok(Event::Revoked);
        }
        let mut builder = RecordsBuilder::new("orders".into());
        let mut reached = Vec::new();
        for index in 0..PARTITIONS {
            let at = self.at[&index];
            let to = (at + self.random.u64(..12) as i64).min(RECORDS).min(at + demand.rows as i64);
            for offset in at..to {
                let value = if is_bad(index, offset) { "?".into() } else { offset.to_string() };
                builder.push(index, offset, None, Some(b"k"), Some(value.as_bytes()), Vec::new());
            }
            if to > at {
                self.at.insert(index, to);
                reached.push(Position { partition: partition(index), next: to });
            }
        }
        if reached.is_empty() {
            tokio::time::sleep(demand.wait.min(Duration::from_millis(2))).await;
            return Ok(Event::Idle);
        }
        Ok(Event::Records(Chunk { records: builder.finish(), reached }))
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(self.counts.pop().unwrap_or(PARTITIONS as usize + self.elsewhere - self.later.len()))
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let end = self.ends.pop().unwrap_or(RECORDS);
        let bound = |partition: &Partition| Bounds {
            partition: partition.clone(),
            identity: "log".into(),
            first: 0,
            end,
            // `start: latest` where partitions come later, or the group is somewhere.
            start: if self.later.is_empty() && self.committed.is_empty() { 0 } else { RECORDS },
            committed: self.committed.get(&partition.index).copied(),
        };
        Ok(partitions.iter().map(bound).collect())
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        for position in positions {
            self.at.insert(position.partition.index, position.next);
        }
        Ok(())
    }

    async fn notes(&mut self) -> Result<Vec<String>, StageError> {
        Ok(self.notes.clone())
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(Advisory(self.asked.clone()))
    }
}

/// How often it was asked.
struct Advisory(Arc<AtomicU64>);

#[async_trait]
impl Housekeeping for Advisory {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(positions.iter().map(|position| RECORDS - position.next).collect())
    }

    async fn commit(&self, _: &[Position], _: &str) -> Result<(), StageError> {
        Ok(())
    }
}

/// `records.value` as an integer.
struct Numbers;

impl Decode for Numbers {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]))
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let mut bad = Vec::new();
        let mut numbers = Vec::new();
        for row in 0..records.len() {
            match std::str::from_utf8(records.values.value(row)).unwrap().parse::<i64>() {
                Ok(number) => numbers.push(number),
                Err(_) => bad.push(Refused { row, stage: "decode".into(), reason: "not a number".into() }),
            }
        }
        let columns = RecordBatch::try_new(self.schema(), vec![Arc::new(Int64Array::from(numbers))]).unwrap();
        Decoded { columns, bad }
    }
}

/// A pipeline file as it was at one time.
#[derive(Clone)]
pub(crate) struct Edition {
    pub(crate) name: &'static str,
    /// The result's columns: some of partition, offset, time, recipe, in any order.
    pub(crate) columns: &'static [&'static str],
    pub(crate) scope: Scope,
    /// The sinks of results, in this order: name, and whether it has a query of its own.
    pub(crate) sinks: Vec<(&'static str, bool)>,
}

pub(crate) const COLUMNS: [&str; 4] = ["partition", "offset", "time", "recipe"];

fn schema_of(columns: &[&str]) -> SchemaRef {
    let kind = |name: &str| match name {
        "partition" => DataType::Int32,
        "recipe" => DataType::Utf8,
        _ => DataType::Int64,
    };
    Arc::new(Schema::new(columns.iter().map(|name| Field::new(*name, kind(name), false)).collect::<Vec<_>>()))
}

/// What a sink must see the same of in every replay.
struct Stamp(Edition);

impl Query for Stamp {
    fn schema(&self) -> SchemaRef {
        schema_of(self.0.columns)
    }

    fn scope(&self) -> Scope {
        self.0.scope
    }

    fn run(&mut self, batch: &RecordBatch, _: Option<&Provenance>, time: i64) -> Result<Queried, StageError> {
        let rows = batch.num_rows();
        let column = |name: &&str| -> ArrayRef {
            match *name {
                "partition" => batch.column_by_name("_partition").unwrap().clone(),
                "offset" => batch.column_by_name("number").unwrap().clone(),
                "time" => Arc::new(Int64Array::from(vec![time; rows])),
                _ => Arc::new(StringArray::from(vec![self.0.name; rows])),
            }
        };
        let provenance = (self.0.scope != Scope::Batch).then(|| provenance(batch));
        let rows = RecordBatch::try_new(self.schema(), self.0.columns.iter().map(column).collect()).unwrap();
        Ok(Queried { rows, provenance, refused: Vec::new() })
    }
}

fn provenance(batch: &RecordBatch) -> Provenance {
    Provenance {
        partitions: batch.column_by_name("_partition").unwrap().as_primitive::<Int32Type>().clone(),
        offsets: batch.column_by_name("_offset").unwrap().as_primitive::<Int64Type>().clone(),
    }
}

/// A sink's own query: every third row goes, and the columns have another order.
struct Thirds;

pub(crate) fn in_thirds(offset: i64) -> bool {
    offset % 3 != 0
}

impl Query for Thirds {
    fn schema(&self) -> SchemaRef {
        schema_of(&["offset", "recipe", "partition", "time"])
    }

    fn scope(&self) -> Scope {
        Scope::Record
    }

    fn run(&mut self, batch: &RecordBatch, _: Option<&Provenance>, _: i64) -> Result<Queried, StageError> {
        let offsets = batch.column_by_name("offset").unwrap().as_primitive::<Int64Type>().clone();
        let keep: BooleanArray = offsets.values().iter().map(|offset| Some(in_thirds(*offset))).collect();
        let kept = filter_record_batch(batch, &keep).unwrap();
        let columns = self.schema().fields().iter().map(|f| kept.column_by_name(f.name()).unwrap().clone()).collect();
        let rows = RecordBatch::try_new(self.schema(), columns).unwrap();
        Ok(Queried { rows, provenance: Some(provenance(&kept)), refused: Vec::new() })
    }
}

/// Today's edition, and those of before.
pub(crate) struct Editions {
    pub(crate) today: Edition,
    pub(crate) editions: Vec<Edition>,
}

impl StageFactory for Editions {
    fn recipe(&self) -> Arc<Recipe> {
        recipe(self.today.name)
    }

    fn stages(&self, recipe: &Recipe) -> Result<Stages, StageError> {
        let edition = self.editions.iter().chain([&self.today]).find(|edition| edition.name == recipe.query).unwrap();
        let keys = |keys: &BinaryArray| (Arc::new(keys.clone()) as ArrayRef, Vec::new());
        let keys = Keys { data_type: DataType::Binary, decode: Box::new(keys) };
        // What the edition does not know of a sink is as it is today.
        let own = |(name, today): &(&str, bool)| {
            let then = edition.sinks.iter().find(|(sink, _)| sink == name).map_or(*today, |(_, own)| *own);
            then.then(|| Box::new(Thirds) as Box<dyn Query>)
        };
        let views = self.today.sinks.iter().map(own).chain([None]).collect();
        Ok(Stages { decode: Box::new(Numbers), keys, query: Box::new(Stamp(edition.clone())), views })
    }
}

/// What survives a crash: a database of one sink.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) positions: BTreeMap<Partition, i64>,
    /// Where it began.
    pub(crate) begin: BTreeMap<Partition, i64>,
    pub(crate) plans: Vec<PlanPart>,
    /// (partition, offset) → the row's text, in the order of arrival.
    pub(crate) rows: Vec<((i32, i64), String)>,
    pub(crate) owner: u64,
}

/// A sink that takes columns by their place, as the columns that it was opened with.
struct MemorySink {
    store: Arc<Mutex<Store>>,
    schema: SchemaRef,
    random: Rng,
    faults: bool,
    atomic: bool,
    owner: u64,
    /// Rows of slices, for the next write.
    aside: Vec<RecordBatch>,
}

impl MemorySink {
    fn checkpoints(&self, store: &Store) -> Vec<Checkpoint> {
        let plans = |p: &Partition| store.plans.iter().filter(|part| part.range.partition == *p).cloned().collect();
        let checkpoint = |(p, next): (&Partition, &i64)| Checkpoint {
            partition: p.clone(),
            identity: "log".into(),
            next: *next,
            plans: plans(p),
        };
        store.positions.iter().map(checkpoint).collect()
    }

    fn apply(&self, write: &Write, aside: &[RecordBatch], partitions: &[i32]) -> Result<(), StageError> {
        let mut store = self.store.lock().unwrap();
        if store.owner != self.owner {
            return Err(StageError::fenced("another owner"));
        }
        let ranges = || write.ranges.iter().filter(|range| partitions.contains(&range.partition.index));
        if ranges().any(|range| store.positions[&range.partition] != range.from) {
            return Err(StageError::fenced("compare-and-set"));
        }
        for range in ranges() {
            store.positions.insert(range.partition.clone(), range.to);
        }
        for rows in aside.iter().chain([&write.rows]) {
            let column = |name: &str| rows.column(self.schema.index_of(name).unwrap());
            let indexes = column("partition").as_primitive::<Int32Type>();
            let offsets = column("offset").as_primitive::<Int64Type>();
            for row in 0..rows.num_rows() {
                let place = (indexes.value(row), offsets.value(row));
                if partitions.contains(&place.0) {
                    let cell = |(field, column): (&Arc<Field>, &ArrayRef)| {
                        let value = arrow::util::display::array_value_to_string(column, row).unwrap();
                        format!("{}={value}", field.name())
                    };
                    let mut cells: Vec<String> = self.schema.fields().iter().zip(rows.columns()).map(cell).collect();
                    cells.sort();
                    store.rows.push((place, cells.join(",")));
                }
            }
        }
        if let Some(keep) = &write.retention {
            let floor: HashMap<_, _> = keep.floor.iter().map(|p| (&p.partition, p.next)).collect();
            for part in keep.parts.iter().filter(|p| partitions.contains(&p.range.partition.index)) {
                store
                    .plans
                    .retain(|kept| kept.range.partition != part.range.partition || kept.range.to <= part.range.from);
                store.plans.push(part.clone());
            }
            store.plans.retain(|part| floor.get(&part.range.partition).is_none_or(|f| part.range.to > *f));
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Ok(self.checkpoints(&self.store.lock().unwrap()))
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        if self.faults && self.random.u64(..10) == 0 {
            return Err(StageError::unavailable("away"));
        }
        self.aside.clear();
        let mut store = self.store.lock().unwrap();
        store.owner += 1;
        self.owner = store.owner;
        for claim in claims {
            store.positions.entry(claim.partition.clone()).or_insert(claim.start);
            store.begin.entry(claim.partition.clone()).or_insert(claim.start);
        }
        Ok(self.checkpoints(&store))
    }

    async fn slice(&mut self, rows: &RecordBatch) -> Result<(), StageError> {
        tokio::time::sleep(Duration::from_micros(self.random.u64(..100))).await;
        if self.faults && self.random.u64(..400) == 0 {
            return Err(StageError::unavailable("lost before it was set aside"));
        }
        self.aside.push(rows.clone());
        Ok(())
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        let aside = std::mem::take(&mut self.aside);
        let all: Vec<i32> = write.ranges.iter().map(|range| range.partition.index).collect();
        let fate = if self.faults { self.random.u64(..25) } else { u64::MAX };
        tokio::time::sleep(Duration::from_micros(self.random.u64(..300))).await;
        match fate {
            0 => return Err(StageError::unavailable("lost before the commit")),
            1 => {
                self.apply(write, &aside, &all)?;
                return Err(StageError::unavailable("lost after the commit"));
            }
            2 if !self.atomic => {
                self.apply(write, &aside, &all[..1])?;
                return Err(StageError::unavailable("stored in part"));
            }
            _ => self.apply(write, &aside, &all)?,
        }
        tokio::time::sleep(Duration::from_micros(self.random.u64(..300))).await;
        Ok(Written::default())
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        unreachable!("the run loop resets nothing")
    }
}

pub(crate) fn recipe(name: &str) -> Arc<Recipe> {
    Arc::new(Recipe { query: name.into(), ..Recipe::default() })
}

pub(crate) const DEAD_LETTERS: &str = "dead_letters";

/// How a worker is to run.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) seed: u64,
    pub(crate) trigger: Trigger,
    pub(crate) faults: bool,
    /// Whether sinks take batches slice by slice.
    pub(crate) sliced: bool,
}

/// The databases of all sinks there ever were, by name.
pub(crate) type World = BTreeMap<&'static str, Arc<Mutex<Store>>>;

/// A worker for an edition of the pipeline file; `editions` are those of before.
pub(crate) fn worker_of(world: &mut World, today: &Edition, editions: &[Edition], way: Way) -> Worker {
    let Way { seed, trigger, faults, sliced } = way;
    let exclusive = today.scope == Scope::Batch;
    let names: Vec<(&'static str, Option<bool>)> =
        today.sinks.iter().map(|(name, own)| (*name, Some(*own))).chain([(DEAD_LETTERS, None)]).collect();
    let sink = |(index, (name, own)): (usize, (&'static str, Option<bool>))| {
        // A sink that takes slices stores a batch as a whole; so must one of batches that are whole.
        let atomic = sliced || exclusive || index != 1;
        let schema = match own {
            None => dead_letter_schema(false),
            Some(true) => Thirds.schema(),
            Some(false) => schema_of(today.columns),
        };
        SinkStage {
            name: name.into(),
            inner: Box::new(MemorySink {
                store: world.entry(name).or_default().clone(),
                schema: schema.clone(),
                random: Rng::with_seed(seed * 31 + index as u64 + 1),
                faults,
                atomic,
                owner: 0,
                aside: Vec::new(),
            }),
            traits: SinkTraits { keeps_positions: true, sharing: Sharing::Shared, atomic, slices: sliced },
            input: if own.is_some() { SinkInput::Results } else { SinkInput::DeadLetters },
            schema,
            chosen: false,
            backfill: false,
            new: false,
            home: String::new(),
        }
    };
    let sinks = names.into_iter().enumerate().map(sink).collect();
    let source = MemorySource { random: Rng::with_seed(seed * 77 + 5), rebalances: faults, ..MemorySource::quiet() };
    Worker {
        source: Box::new(source),
        sinks,
        factory: Arc::new(Editions { today: today.clone(), editions: editions.to_vec() }),
        settings: Settings {
            pipeline: "p".into(),
            worker: "0".into(),
            trigger,
            limits: Limits { rows: 40, bytes: 1 << 20, window: 12_000, slice: 7 },
            on_bad_record: OnBadRecord::Continue,
            known_topics: HashSet::new(),
            exclusive,
            sliced,
            state: String::new(),
        },
        clock: Arc::new(SystemClock),
        stats: Arc::default(),
    }
}
