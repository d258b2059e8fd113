//! Logs that end with their process, and batches that take longer than the trigger's interval.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use foretell_flow::*;
use tokio_util::sync::CancellationToken;

fn partition() -> Partition {
    Partition { topic: "socket".into(), index: 0 }
}

/// A log of this many records from `first` on, which come `at_once` at a time.
struct Log {
    identity: String,
    first: i64,
    end: i64,
    at: i64,
    at_once: i64,
    assigned: bool,
}

impl Log {
    fn new(identity: &str, first: i64, records: i64) -> Log {
        Log { identity: identity.into(), first, end: first + records, at: first, at_once: 10, assigned: false }
    }
}

#[async_trait]
impl Source for Log {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        if !std::mem::replace(&mut self.assigned, true) {
            return Ok(Event::Assigned(vec![partition()]));
        }
        if self.at == self.end {
            tokio::time::sleep(demand.wait).await;
            return Ok(Event::Idle);
        }
        let mut records = RecordsBuilder::new("socket".into());
        let to = self.end.min(self.at + self.at_once.min(demand.rows as i64));
        for offset in self.at..to {
            records.push(0, offset, None, None, Some(b"x"), Vec::new());
            if offset % 10 == 3 {
                records.cut_last(10_000_000, "source test", "too long".into());
            }
        }
        self.at = to;
        let reached = vec![Position { partition: partition(), next: to }];
        Ok(Event::Records(Chunk { records: records.finish(), reached }))
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(1)
    }

    async fn bounds(&mut self, _: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let (identity, first, end) = (self.identity.clone(), self.first, self.end);
        Ok(vec![Bounds { partition: partition(), identity, first, end, start: first, committed: None }])
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        self.at = positions[0].next;
        Ok(())
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(Advisory)
    }
}

/// Nobody asks it.
struct Advisory;

#[async_trait]
impl Housekeeping for Advisory {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        Ok(vec![0; positions.len()])
    }

    async fn commit(&self, _: &[Position], _: &str) -> Result<(), StageError> {
        Ok(())
    }
}

/// What a sink has stored.
#[derive(Default)]
struct Store {
    checkpoint: Option<Checkpoint>,
    offsets: Vec<i64>,
    sizes: Vec<i64>,
}

struct Table {
    store: Arc<Mutex<Store>>,
    /// How long a write takes.
    input: Duration,
}

#[async_trait]
impl Sink for Table {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Ok(self.store.lock().unwrap().checkpoint.iter().cloned().collect())
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        let Claim { partition, identity, start } = claims[0].clone();
        let mut store = self.store.lock().unwrap();
        Ok(vec![
            store.checkpoint.get_or_insert(Checkpoint { partition, identity, next: start, plans: Vec::new() }).clone(),
        ])
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        tokio::time::sleep(self.input).await;
        let mut store = self.store.lock().unwrap();
        let checkpoint = store.checkpoint.as_mut().unwrap();
        if checkpoint.next != write.ranges[0].from {
            return Err(StageError::fenced("compare-and-set"));
        }
        checkpoint.next = write.ranges[0].to;
        checkpoint.plans.extend(write.retention.iter().flat_map(|keep| keep.parts.clone()));
        store.offsets.extend(write.provenance.as_ref().unwrap().offsets.values());
        if let Some(sizes) = write.rows.column_by_name("value_size") {
            store.sizes.extend(sizes.as_primitive::<Int64Type>().values());
        }
        Ok(Written::default())
    }

    async fn reset(&mut self, reset: &Reset) -> Result<(), StageError> {
        let Reset::Set { position, identity } = reset.clone() else { panic!("only ever set") };
        let Position { partition, next } = position;
        self.store.lock().unwrap().checkpoint = Some(Checkpoint { partition, identity, next, plans: Vec::new() });
        Ok(())
    }
}

/// Records as they are.
struct Plain;

impl Decode for Plain {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::empty())
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(records.len()));
        Decoded {
            columns: RecordBatch::try_new_with_options(Decode::schema(self), vec![], &rows).unwrap(),
            bad: Vec::new(),
        }
    }
}

impl Query for Plain {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("_offset", DataType::Int64, false)]))
    }

    fn scope(&self) -> Scope {
        Scope::Record
    }

    fn run(&mut self, batch: &RecordBatch, _: Option<&Provenance>, _: i64) -> Result<Queried, StageError> {
        let provenance = Provenance {
            partitions: batch.column_by_name("_partition").unwrap().as_primitive::<Int32Type>().clone(),
            offsets: batch.column_by_name("_offset").unwrap().as_primitive::<Int64Type>().clone(),
        };
        let rows = vec![batch.column_by_name("_offset").unwrap().clone()];
        let rows = RecordBatch::try_new(Query::schema(self), rows).unwrap();
        Ok(Queried { rows, provenance: Some(provenance), refused: Vec::new() })
    }
}

impl StageFactory for Plain {
    fn recipe(&self) -> Arc<Recipe> {
        Arc::default()
    }

    fn stages(&self, _: &Recipe) -> Result<Stages, StageError> {
        let keys = |keys: &BinaryArray| (Arc::new(keys.clone()) as ArrayRef, Vec::new());
        let keys = Keys { data_type: DataType::Binary, decode: Box::new(keys) };
        Ok(Stages { decode: Box::new(Plain), keys, query: Box::new(Plain), views: vec![None, None, None] })
    }
}

type Stores = [Arc<Mutex<Store>>; 3];

/// A leader, a follower and dead letters.
fn worker(log: Log, stores: &Stores, trigger: Trigger) -> Worker {
    let sink = |index: usize, takes| SinkStage {
        name: format!("sink{index}"),
        inner: Box::new(Table { store: stores[index].clone(), input: Duration::ZERO }),
        traits: SinkTraits { keeps_positions: true, sharing: Sharing::Single, atomic: true, slices: false },
        input: takes,
        schema: match takes {
            SinkInput::Results => Query::schema(&Plain),
            SinkInput::DeadLetters => dead_letter_schema(false),
        },
        chosen: false,
        backfill: false,
        new: false,
        home: String::new(),
    };
    Worker {
        source: Box::new(log),
        sinks: vec![sink(0, SinkInput::Results), sink(1, SinkInput::Results), sink(2, SinkInput::DeadLetters)],
        factory: Arc::new(Plain),
        settings: Settings {
            pipeline: "p".into(),
            worker: "0".into(),
            trigger,
            limits: Limits { rows: 40, bytes: 1 << 20, window: 1 << 20, slice: 7 },
            on_bad_record: OnBadRecord::Continue,
            known_topics: HashSet::from(["socket".to_string()]),
            exclusive: false,
            sliced: false,
            state: String::new(),
        },
        clock: Arc::new(SystemClock),
        stats: Arc::default(),
    }
}

async fn run(log: Log, stores: &Stores) -> Result<(), StageError> {
    worker(log, stores, Trigger::AvailableNow).run(CancellationToken::new()).await
}

fn checkpoint(stores: &Stores, sink: usize) -> (String, i64) {
    let store = stores[sink].lock().unwrap();
    let checkpoint = store.checkpoint.as_ref().unwrap();
    (checkpoint.identity.clone(), checkpoint.next)
}

fn passing(name: &str) -> String {
    format!("{EPHEMERAL_LOG}{name}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ended_with_its_process_is_followed_by_the_next_one() {
    let stores = Stores::default();
    run(Log::new(&passing("a"), 1000, 50), &stores).await.unwrap();
    // It died before its follower had the last batch, whose plan the leader still keeps.
    stores[1].lock().unwrap().checkpoint.as_mut().unwrap().next = 1040;
    stores[1].lock().unwrap().offsets.truncate(36);
    assert!(!stores[0].lock().unwrap().checkpoint.as_ref().unwrap().plans.is_empty());

    run(Log::new(&passing("b"), 5000, 20), &stores).await.unwrap();
    let good = |range: std::ops::Range<i64>| range.filter(|offset| offset % 10 != 3);
    let leader: Vec<i64> = good(1000..1050).chain(good(5000..5020)).collect();
    let follower: Vec<i64> = good(1000..1040).chain(good(5000..5020)).collect();
    assert_eq!(stores[0].lock().unwrap().offsets, leader, "nothing is lost or doubled that the leader had");
    assert_eq!(stores[1].lock().unwrap().offsets, follower, "what nobody can read again is not made up");
    for sink in 0..3 {
        assert_eq!(checkpoint(&stores, sink), (passing("b"), 5020));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lasts_is_never_given_up_for_another() {
    let stores = Stores::default();
    run(Log::new("spool a", 0, 50), &stores).await.unwrap();
    for other in ["spool b".to_string(), passing("b")] {
        let error = run(Log::new(&other, 0, 90), &stores).await.unwrap_err();
        assert_eq!(error.fault, Fault::State);
        assert!(error.message.contains("is not the log that its position 50 was read from"), "{error}");
        assert_eq!(checkpoint(&stores, 0), ("spool a".to_string(), 50));
    }
    // From memory to a spool: what was in memory is gone anyway.
    let stores = Stores::default();
    run(Log::new(&passing("a"), 1000, 50), &stores).await.unwrap();
    run(Log::new("spool a", 0, 50), &stores).await.unwrap();
    assert_eq!(checkpoint(&stores, 2), ("spool a".to_string(), 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_on_the_same_sinks_stops_the_first_one() {
    let stores = Stores::default();
    let mut first = worker(Log::new(&passing("a"), 1000, 1_000_000), &stores, Trigger::Continuous);
    first.sinks[0].inner = Box::new(Table { store: stores[0].clone(), input: Duration::from_millis(20) });
    let first = tokio::spawn(first.run(CancellationToken::new()));
    while stores[0].lock().unwrap().offsets.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run(Log::new(&passing("b"), 5_000_000, 50), &stores).await.unwrap();
    let error = tokio::time::timeout(Duration::from_secs(20), first).await.expect("it stops").unwrap().unwrap_err();
    assert!(error.message.contains("another process runs the same pipeline"), "{error}");
    assert_eq!(checkpoint(&stores, 0), (passing("b"), 5_000_050));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_record_is_a_dead_letter_with_its_whole_size() {
    let stores = Stores::default();
    run(Log::new("log", 0, 50), &stores).await.unwrap();
    let letters = stores[2].lock().unwrap();
    assert_eq!(letters.offsets, [3, 13, 23, 33, 43]);
    assert_eq!(letters.sizes, [10_000_000; 5]);
    assert_eq!(stores[0].lock().unwrap().offsets.len(), 45);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_longer_than_the_interval_follow_at_once_and_nothing_piles_up() {
    const EVERY: Duration = Duration::from_millis(100);
    let stores = Stores::default();
    let mut worker = worker(Log::new("log", 0, 400), &stores, Trigger::Every(EVERY));
    worker.sinks[0].inner = Box::new(Table { store: stores[0].clone(), input: 3 * EVERY });
    let (stats, shutdown) = (worker.stats.clone(), CancellationToken::new());
    let begun = Instant::now();
    let running = tokio::spawn(worker.run(shutdown.clone()));
    while stats.snapshot().records < 400 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen = stats.snapshot();
    assert_eq!(seen.batches, 10, "of forty records, which is the most");
    assert!(begun.elapsed() >= 10 * 3 * EVERY && stats.longest() >= 3 * EVERY);
    assert!(seen.late > 0, "and it is told: {seen:?}");
    assert_eq!(stats.longest(), Duration::ZERO, "the longest since it was asked last");
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(stores[1].lock().unwrap().offsets.len(), 360);
}
