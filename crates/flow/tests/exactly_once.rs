//! The run loop against sources and sinks in memory that fail, lie dead, lose their assignment and are killed at any
//! moment: every record is in every sink exactly once, in order, made with the same plan in all of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use foretell_flow::*;
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 3;
const RECORDS: i64 = 400;

/// xorshift64*: the same faults for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

fn partition(index: i32) -> Partition {
    Partition { topic: "orders".into(), index }
}

fn is_bad(index: i32, offset: i64) -> bool {
    (offset * 7 + i64::from(index)) % 31 == 0
}

struct MemorySource {
    dice: Dice,
    at: HashMap<i32, i64>,
    assigned: bool,
    rebalances: bool,
    /// Partitions that another worker has.
    elsewhere: usize,
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        tokio::task::yield_now().await;
        if !self.assigned {
            self.assigned = true;
            return Ok(Event::Assigned((0..PARTITIONS).map(partition).collect()));
        }
        if self.rebalances && self.dice.roll(40) == 0 {
            self.assigned = false;
            return Ok(Event::Revoked);
        }
        let mut builder = RecordsBuilder::new("orders".into());
        let mut reached = Vec::new();
        for index in 0..PARTITIONS {
            let at = self.at[&index];
            let to = (at + self.dice.roll(12) as i64).min(RECORDS).min(at + demand.rows as i64);
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
        Ok(PARTITIONS as usize + self.elsewhere)
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let bound = |partition: &Partition| Bounds {
            partition: partition.clone(),
            identity: "log".into(),
            first: 0,
            end: RECORDS,
            start: 0,
            committed: None,
        };
        Ok(partitions.iter().map(bound).collect())
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        for position in positions {
            self.at.insert(position.partition.index, position.next);
        }
        Ok(())
    }

    fn upkeep(&mut self) -> Arc<dyn Upkeep> {
        Arc::new(Advisory)
    }
}

/// Nobody asks it.
struct Advisory;

#[async_trait]
impl Upkeep for Advisory {
    async fn behind(&self, _: &[Position]) -> Result<i64, StageError> {
        Ok(0)
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

/// partition, number, time, recipe: what a sink must see the same of in every replay.
struct Stamp {
    recipe: String,
}

impl Query for Stamp {
    fn schema(&self) -> SchemaRef {
        let fields = [
            ("partition", DataType::Int32),
            ("offset", DataType::Int64),
            ("time", DataType::Int64),
            ("recipe", DataType::Utf8),
        ];
        Arc::new(Schema::new(fields.map(|(name, kind)| Field::new(name, kind, false)).to_vec()))
    }

    fn scope(&self) -> Scope {
        Scope::Record
    }

    fn run(&mut self, batch: &RecordBatch, time: i64) -> Result<Queried, StageError> {
        let rows = batch.num_rows();
        let columns: Vec<ArrayRef> = vec![
            batch.column_by_name("_partition").unwrap().clone(),
            batch.column_by_name("number").unwrap().clone(),
            Arc::new(Int64Array::from(vec![time; rows])),
            Arc::new(StringArray::from(vec![self.recipe.as_str(); rows])),
        ];
        let provenance = Provenance {
            partitions: batch.column_by_name("_partition").unwrap().as_primitive::<Int32Type>().clone(),
            offsets: batch.column_by_name("_offset").unwrap().as_primitive::<Int64Type>().clone(),
        };
        let rows = RecordBatch::try_new(self.schema(), columns).unwrap();
        Ok(Queried { rows, provenance: Some(provenance), refused: Vec::new() })
    }
}

struct Cookbook {
    recipe: Arc<Recipe>,
}

impl Kitchen for Cookbook {
    fn recipe(&self) -> Arc<Recipe> {
        self.recipe.clone()
    }

    fn cook(&self, recipe: &Recipe) -> Result<Cook, StageError> {
        let query = Stamp { recipe: recipe.query.clone() };
        let keys = |keys: &BinaryArray| (Arc::new(keys.clone()) as ArrayRef, Vec::new());
        let keys = Keys { data_type: DataType::Binary, decode: Box::new(keys) };
        Ok(Cook { decode: Box::new(Numbers), keys, query: Box::new(query), views: vec![None, None, None] })
    }
}

/// What survives a crash: a database of one sink.
#[derive(Default)]
struct Store {
    positions: BTreeMap<Partition, i64>,
    plans: Vec<Piece>,
    /// (partition, offset) → the row's text, in the order of arrival.
    rows: Vec<((i32, i64), String)>,
    owner: u64,
}

struct MemorySink {
    store: Arc<Mutex<Store>>,
    dice: Dice,
    faults: bool,
    atomic: bool,
    owner: u64,
    /// Rows of slices, for the next write.
    aside: Vec<RecordBatch>,
}

impl MemorySink {
    fn holdings(&self, store: &Store) -> Vec<Holding> {
        let plans = |p: &Partition| store.plans.iter().filter(|piece| piece.range.partition == *p).cloned().collect();
        let holding = |(p, next): (&Partition, &i64)| Holding {
            partition: p.clone(),
            identity: "log".into(),
            next: *next,
            plans: plans(p),
        };
        store.positions.iter().map(holding).collect()
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
            let indexes = rows.column_by_name("partition").unwrap().as_primitive::<Int32Type>();
            let offsets = rows.column_by_name("offset").unwrap().as_primitive::<Int64Type>();
            for row in 0..rows.num_rows() {
                let place = (indexes.value(row), offsets.value(row));
                if partitions.contains(&place.0) {
                    let cells = rows.columns().iter().map(|c| arrow::util::display::array_value_to_string(c, row));
                    let text = cells.map(Result::unwrap).collect::<Vec<_>>().join(",");
                    store.rows.push((place, text));
                }
            }
        }
        if let Some(keep) = &write.keep {
            let floor: HashMap<_, _> = keep.floor.iter().map(|p| (&p.partition, p.next)).collect();
            store.plans.retain(|piece| floor.get(&piece.range.partition).is_none_or(|f| piece.range.to > *f));
            store.plans.extend(keep.pieces.iter().filter(|p| partitions.contains(&p.range.partition.index)).cloned());
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn positions(&mut self) -> Result<Vec<Holding>, StageError> {
        Ok(self.holdings(&self.store.lock().unwrap()))
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Holding>, StageError> {
        if self.faults && self.dice.roll(10) == 0 {
            return Err(StageError::unavailable("away"));
        }
        self.aside.clear();
        let mut store = self.store.lock().unwrap();
        store.owner += 1;
        self.owner = store.owner;
        for claim in claims {
            store.positions.entry(claim.partition.clone()).or_insert(claim.start);
        }
        Ok(self.holdings(&store))
    }

    async fn slice(&mut self, rows: &RecordBatch) -> Result<(), StageError> {
        tokio::time::sleep(Duration::from_micros(self.dice.roll(100))).await;
        if self.faults && self.dice.roll(400) == 0 {
            return Err(StageError::unavailable("lost before it was set aside"));
        }
        self.aside.push(rows.clone());
        Ok(())
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        let aside = std::mem::take(&mut self.aside);
        let all: Vec<i32> = write.ranges.iter().map(|range| range.partition.index).collect();
        let fate = if self.faults { self.dice.roll(25) } else { u64::MAX };
        tokio::time::sleep(Duration::from_micros(self.dice.roll(300))).await;
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
        tokio::time::sleep(Duration::from_micros(self.dice.roll(300))).await;
        Ok(Written::default())
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        unreachable!("the run loop resets nothing")
    }
}

fn recipe(name: &str) -> Arc<Recipe> {
    Arc::new(Recipe { query: name.into(), ..Recipe::default() })
}

fn worker(seed: u64, stores: &[Arc<Mutex<Store>>; 3], trigger: Trigger, faults: bool, cook: &str) -> Worker {
    batching(seed, stores, trigger, faults, cook, false)
}

/// A worker whose sinks take batches as a whole, or slice by slice.
fn batching(
    seed: u64,
    stores: &[Arc<Mutex<Store>>; 3],
    trigger: Trigger,
    faults: bool,
    cook: &str,
    sliced: bool,
) -> Worker {
    // A sink that takes slices stores a batch as a whole.
    let lane = |index: usize, takes, atomic| Lane {
        name: format!("sink{index}"),
        sink: Box::new(MemorySink {
            store: stores[index].clone(),
            dice: Dice(seed * 31 + index as u64 + 1),
            faults,
            atomic,
            owner: 0,
            aside: Vec::new(),
        }),
        traits: SinkTraits { keeps_positions: true, sharing: Sharing::Shared, atomic, slices: sliced },
        takes,
        schema: match takes {
            Takes::Results => Stamp { recipe: String::new() }.schema(),
            Takes::DeadLetters => dead_letter_schema(false),
        },
        chosen: false,
        backfill: false,
        new: false,
        home: String::new(),
    };
    let source = MemorySource {
        dice: Dice(seed * 77 + 5),
        at: (0..PARTITIONS).map(|index| (index, 0)).collect(),
        assigned: false,
        rebalances: faults,
        elsewhere: 0,
    };
    Worker {
        source: Box::new(source),
        lanes: vec![lane(0, Takes::Results, true), lane(1, Takes::Results, sliced), lane(2, Takes::DeadLetters, true)],
        kitchen: Arc::new(Cookbook { recipe: recipe(cook) }),
        settings: Settings {
            pipeline: "p".into(),
            worker: "0".into(),
            trigger,
            limits: Limits { rows: 40, bytes: 1 << 20, window: 400, slice: 7 },
            on_bad_record: OnBadRecord::Continue,
            known_topics: HashSet::new(),
            exclusive: false,
            sliced,
        },
        stats: Arc::default(),
    }
}

/// Every good record in both result sinks, every bad one in the dead letters; once, in order, with the same stamp.
fn verify(stores: &[Arc<Mutex<Store>>; 3], seed: u64) {
    let rows = |store: usize, index: i32| -> Vec<(i64, String)> {
        let store = stores[store].lock().unwrap();
        store.rows.iter().filter(|((p, _), _)| *p == index).map(|((_, o), text)| (*o, text.clone())).collect()
    };
    for index in 0..PARTITIONS {
        let (bad, good): (Vec<i64>, Vec<i64>) = (0..RECORDS).partition(|offset| is_bad(index, *offset));
        let offsets = |store| rows(store, index).into_iter().map(|(offset, _)| offset).collect::<Vec<_>>();
        assert_eq!(offsets(0), good, "seed {seed}: leader, partition {index}");
        assert_eq!(offsets(1), good, "seed {seed}: follower, partition {index}");
        assert_eq!(offsets(2), bad, "seed {seed}: dead letters, partition {index}");
        assert_eq!(rows(0, index), rows(1, index), "seed {seed}: both sinks hold the same rows");
    }
    for store in stores {
        let store = store.lock().unwrap();
        assert!(store.positions.values().all(|next| *next == RECORDS), "seed {seed}: {:?}", store.positions);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_run_stores_everything_once() {
    let stores: [Arc<Mutex<Store>>; 3] = Default::default();
    worker(1, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    verify(&stores, 1);
    assert!(stores[0].lock().unwrap().plans.len() < 12, "plans that every sink has are trimmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_run_in_slices_stores_everything_once() {
    let stores: [Arc<Mutex<Store>>; 3] = Default::default();
    batching(1, &stores, Trigger::AvailableNow, false, "a", true).run(CancellationToken::new()).await.unwrap();
    verify(&stores, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_rebalances_and_kills_lose_and_double_nothing() {
    let lives = (1..=60).map(|seed| tokio::spawn(killed_again_and_again(seed)));
    for life in futures::future::join_all(lives).await {
        life.unwrap();
    }
}

/// Killed some times at any await: what a crash leaves is what the stores hold. The query changes in between, and whether
/// batches are sliced.
async fn killed_again_and_again(seed: u64) {
    let stores: [Arc<Mutex<Store>>; 3] = Default::default();
    let mut dice = Dice(seed * 1013 + 7);
    for life in 0..6 {
        let cook = if life < 3 { "a" } else { "b" };
        let sliced = !(seed + life).is_multiple_of(3);
        let run = batching(seed * 100 + life, &stores, Trigger::AvailableNow, true, cook, sliced);
        let run = run.run(CancellationToken::new());
        let _ = tokio::time::timeout(Duration::from_millis(dice.roll(25)), run).await;
    }
    let last = batching(seed * 100 + 99, &stores, Trigger::AvailableNow, true, "b", seed.is_multiple_of(2));
    let last = last.run(CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(60), last).await.expect("ends").unwrap();
    verify(&stores, seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_drains_and_the_next_run_goes_on() {
    let stores: [Arc<Mutex<Store>>; 3] = Default::default();
    let shutdown = CancellationToken::new();
    let run = tokio::spawn(worker(9, &stores, Trigger::Continuous, false, "a").run(shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(8)).await;
    shutdown.cancel();
    run.await.unwrap().unwrap();
    let positions: Vec<_> = stores.iter().map(|s| s.lock().unwrap().positions.clone()).collect();
    assert_eq!(positions[0], positions[1], "a drain leaves every sink at one position");
    assert_eq!(positions[0], positions[2]);
    worker(10, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    verify(&stores, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_beyond_the_log_stops_loudly() {
    let stores: [Arc<Mutex<Store>>; 3] = Default::default();
    stores[1].lock().unwrap().positions.insert(partition(1), RECORDS + 5);
    let error = worker(3, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.fault, Fault::State);
    assert_eq!(error.message, "sink `sink1`: orders[1] is read up to 405, but the log ends at 400");
    assert!(error.remedy.contains("foretell positions"), "{}", error.remedy);
    assert!(stores[0].lock().unwrap().rows.is_empty(), "nothing moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_over_whole_batches_wants_all_partitions() {
    let stores: [Arc<Mutex<Store>>; 3] = Default::default();
    let mut shared = worker(8, &stores, Trigger::AvailableNow, false, "a");
    shared.settings.exclusive = true;
    let at = (0..PARTITIONS).map(|index| (index, 0)).collect();
    shared.source = Box::new(MemorySource { dice: Dice(1), at, assigned: false, rebalances: false, elsewhere: 2 });
    let error = shared.run(CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.message.contains("3 of 5 partitions"), "{error}");
    assert!(stores[0].lock().unwrap().positions.is_empty(), "nothing is claimed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_added_sink_starts_where_the_others_are() {
    let stores: [Arc<Mutex<Store>>; 3] = Default::default();
    worker(4, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    *stores[1].lock().unwrap() = Store::default();
    worker(5, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    let added = stores[1].lock().unwrap();
    assert!(added.rows.is_empty());
    assert!(added.positions.values().all(|next| *next == RECORDS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_with_backfill_gets_what_came_before() {
    let stores: [Arc<Mutex<Store>>; 3] = Default::default();
    worker(6, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    *stores[1].lock().unwrap() = Store::default();
    let mut again = worker(7, &stores, Trigger::AvailableNow, false, "a");
    again.lanes[1].backfill = true;
    again.run(CancellationToken::new()).await.unwrap();
    let added = stores[1].lock().unwrap();
    let good = (0..PARTITIONS).flat_map(|index| (0..RECORDS).filter(move |o| !is_bad(index, *o))).count();
    assert_eq!(added.rows.len(), good);
}
