//! Many small batches behind a sink that is away for long: what is held is bounded, and the sink catches up in few writes.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use foretell_flow::*;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::held::held;

const HOUR: Duration = Duration::from_secs(3_600);

fn partition() -> Partition {
    Partition { topic: "orders".into(), index: 0 }
}

/// A hundred records a second.
struct Stream {
    begun: Instant,
    at: i64,
    assigned: bool,
    /// Records that are there at the begin.
    backlog: i64,
}

impl Stream {
    fn end(&self) -> i64 {
        self.backlog + (self.begun.elapsed().as_millis() / 10) as i64
    }
}

struct NoHousekeeping;

#[async_trait]
impl Housekeeping for NoHousekeeping {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        Ok(vec![0; positions.len()])
    }

    async fn commit(&self, _: &[Position], _: &str) -> Result<(), StageError> {
        Ok(())
    }
}

#[async_trait]
impl Source for Stream {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        if !std::mem::replace(&mut self.assigned, true) {
            return Ok(Event::Assigned(vec![partition()]));
        }
        if self.at >= self.end() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let to = self.end().min(self.at + demand.rows as i64);
        let mut records = RecordsBuilder::new("orders".into());
        (self.at..to).for_each(|offset| records.push(0, offset, None, None, Some(b"1"), Vec::new()));
        self.at = to;
        Ok(Event::Records(Chunk {
            records: records.finish(),
            reached: vec![Position { partition: partition(), next: to }],
        }))
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(1)
    }

    async fn bounds(&mut self, _: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let (identity, end) = ("log".into(), self.end());
        Ok(vec![Bounds { partition: partition(), identity, first: 0, end, start: 0, committed: None }])
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        self.at = positions[0].next;
        Ok(())
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(NoHousekeeping)
    }
}

/// What a sink has.
#[derive(Default)]
pub(crate) struct Store {
    next: i64,
    pub(crate) rows: i64,
    plans: VecDeque<PlanPart>,
    writes: usize,
}

struct Table {
    store: Arc<Mutex<Store>>,
    away: Option<Instant>,
    /// How long a write takes.
    takes: Duration,
}

impl Table {
    fn answer(&self) -> Result<(), StageError> {
        match self.away.is_some_and(|until| until > Instant::now()) {
            true => Err(StageError::unavailable("away")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Sink for Table {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        let store = self.store.lock().unwrap();
        let plans = store.plans.iter().cloned().collect();
        Ok(vec![Checkpoint { partition: partition(), identity: "log".into(), next: store.next, plans }])
    }

    async fn claim(&mut self, _: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        // It is away for writes only, so that the epoch goes on.
        self.positions().await
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        tokio::time::sleep(self.takes).await;
        self.answer()?;
        let mut store = self.store.lock().unwrap();
        assert_eq!(write.ranges[0].from, store.next);
        let offsets = write.rows.column(0).as_primitive::<Int64Type>();
        for offset in offsets.values() {
            assert_eq!(*offset, store.rows, "each record once, in order");
            store.rows += 1;
        }
        store.next = write.ranges[0].to;
        store.writes += 1;
        if let Some(keep) = &write.retention {
            store.plans.extend(keep.parts.iter().cloned());
            for floor in &keep.floor {
                while store.plans.front().is_some_and(|part| part.range.to <= floor.next) {
                    store.plans.pop_front();
                }
            }
        }
        Ok(Written::default())
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        unreachable!("the run loop resets nothing")
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("_offset", DataType::Int64, false)]))
}

struct Nothing;

impl Decode for Nothing {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::empty())
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(records.len()));
        let columns = RecordBatch::try_new_with_options(self.schema(), Vec::new(), &rows).unwrap();
        Decoded { columns, bad: Vec::new() }
    }
}

struct Offsets;

impl Query for Offsets {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn scope(&self) -> Scope {
        Scope::Record
    }

    fn run(&mut self, batch: &RecordBatch, _: Option<&Provenance>, _: i64) -> Result<Queried, StageError> {
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        let offsets = column("_offset").as_primitive::<Int64Type>().clone();
        let partitions = column("_partition").as_primitive().clone();
        let rows = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(offsets.values().to_vec()))]).unwrap();
        let provenance = (offsets.len() == rows.num_rows()).then_some(Provenance { partitions, offsets });
        Ok(Queried { rows, provenance, refused: Vec::new() })
    }
}

struct Today;

impl StageFactory for Today {
    fn recipe(&self) -> Arc<Recipe> {
        Arc::default()
    }

    fn stages(&self, _: &Recipe) -> Result<Stages, StageError> {
        let keys = |keys: &BinaryArray| (Arc::new(keys.clone()) as ArrayRef, Vec::new());
        let keys = Keys { data_type: DataType::Binary, decode: Box::new(keys) };
        Ok(Stages { decode: Box::new(Nothing), keys, query: Box::new(Offsets), views: vec![None, None] })
    }
}

pub(crate) type Stores = [Arc<Mutex<Store>>; 2];

fn worker(stores: &Stores, backlog: i64, away: Option<Duration>) -> Worker {
    at_pace(stores, backlog, away, Trigger::Continuous, Duration::from_millis(2))
}

/// `takes`: how long each write takes.
pub(crate) fn at_pace(
    stores: &Stores,
    backlog: i64,
    away: Option<Duration>,
    trigger: Trigger,
    takes: Duration,
) -> Worker {
    let sink = |index: usize| SinkStage {
        name: ["leader", "follower"][index].into(),
        inner: Box::new(Table {
            store: stores[index].clone(),
            away: away.filter(|_| index == 1).map(|away| Instant::now() + away),
            takes,
        }),
        traits: SinkTraits { keeps_positions: true, sharing: Sharing::Shared, atomic: true, slices: false },
        input: SinkInput::Results,
        schema: schema(),
        chosen: false,
        backfill: false,
        new: false,
        home: String::new(),
    };
    Worker {
        source: Box::new(Stream { begun: Instant::now(), at: 0, assigned: false, backlog }),
        sinks: vec![sink(0), sink(1)],
        factory: Arc::new(Today),
        settings: Settings {
            pipeline: "p".into(),
            worker: "0".into(),
            trigger,
            limits: Limits::default(),
            on_bad_record: OnBadRecord::Continue,
            known_topics: HashSet::new(),
            exclusive: false,
            sliced: false,
            state: String::new(),
        },
        clock: Arc::new(SystemClock),
        stats: Arc::default(),
    }
}

pub(crate) fn on_a_virtual_clock(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test);
}

/// Until the follower has what the leader has now.
async fn caught_up(stores: &Stores) {
    let to = stores[0].lock().unwrap().next;
    for _ in 0..60_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if stores[1].lock().unwrap().next >= to {
            return;
        }
    }
    panic!("the follower lacks records: {} of {to}", stores[1].lock().unwrap().next);
}

#[test]
fn an_hour_of_small_batches_behind_a_sink_that_is_away_is_bounded() {
    on_a_virtual_clock(async {
        let stores = Stores::default();
        let before = held();
        let worker = worker(&stores, 0, Some(HOUR));
        let (stats, shutdown) = (worker.stats.clone(), CancellationToken::new());
        let run = tokio::spawn(worker.run(shutdown.clone()));
        tokio::time::sleep(HOUR - Duration::from_secs(1)).await;
        let report = stats.monitor.report();
        let leader = stores[0].lock().unwrap().next;
        let (batches, bytes, grown) = (report.batches, report.bytes, held() - before);
        println!("{batches} batches, {bytes} bytes, {grown} held, {leader} records in the leader");
        assert!(grown < (bytes + bytes / 4) as i64, "what is held is what is counted: {grown} of {bytes} bytes");
        assert!(report.batches > 5_000 && report.batches < 20_000, "{} batches", report.batches);
        assert!(report.bytes < 96 << 20, "{} bytes", report.bytes);
        assert!(leader > 350_000, "the leader goes on: {leader} records");
        let before = stores[1].lock().unwrap().writes;
        caught_up(&stores).await;
        let writes = stores[1].lock().unwrap().writes - before;
        println!("caught up in {writes} writes");
        assert!(writes < 100, "{writes} writes");
        tokio::time::sleep(Duration::from_secs(5)).await;
        let few = stores[0].lock().unwrap().plans.len();
        assert!(few < 20, "plans that every sink has are let go: {few}");
        shutdown.cancel();
        run.await.unwrap().unwrap();
    });
}

#[test]
fn a_hundred_thousand_leftover_plans_are_replayed_in_few_writes() {
    const PLANS: i64 = 100_000;
    on_a_virtual_clock(async {
        let stores = Stores::default();
        {
            let mut leader = stores[0].lock().unwrap();
            let part = |n: i64| PlanPart {
                id: format!("0-{n}"),
                time: n,
                recipe: Recipe::default(),
                range: Range { partition: partition(), from: n * 3, to: n * 3 + 3 },
                kept: 1,
                of: 0,
            };
            leader.plans = (0..PLANS).map(part).collect();
            (leader.next, leader.rows) = (PLANS * 3, PLANS * 3);
        }
        let begun = std::time::Instant::now();
        let worker = worker(&stores, PLANS * 3, None);
        let shutdown = CancellationToken::new();
        let stats = worker.stats.clone();
        let run = tokio::spawn(worker.run(shutdown.clone()));
        let mut most = 0;
        while stores[1].lock().unwrap().next < PLANS * 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            most = most.max(stats.monitor.report().bytes);
            assert!(!run.is_finished());
        }
        let writes = stores[1].lock().unwrap().writes;
        println!("{writes} writes, at most {most} bytes, {:?} of processor time", begun.elapsed());
        assert!(writes < 1_000, "{writes} writes of {PLANS} plans");
        assert!(most <= Limits::default().window);
        shutdown.cancel();
        run.await.unwrap().unwrap();
    });
}
