//! A source, a decoder, a query and a sink in memory: `cargo run -p foretell-flow --example in_memory`.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use foretell_flow::*;
use tokio_util::sync::CancellationToken;

/// A log of the numbers 0 to 9 that ends.
struct Numbers {
    assigned: bool,
    at: i64,
}

const END: i64 = 10;

fn partition() -> Partition {
    Partition { topic: "numbers".into(), index: 0 }
}

#[async_trait]
impl Source for Numbers {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        if !std::mem::replace(&mut self.assigned, true) {
            return Ok(Event::Assigned(vec![partition()]));
        }
        if self.at == END {
            return Ok(Event::Ended);
        }
        let to = END.min(self.at + demand.rows as i64);
        let mut records = RecordsBuilder::new("numbers".into());
        for offset in self.at..to {
            records.push(0, offset, None, None, Some(offset.to_string().as_bytes()), Vec::new());
        }
        self.at = to;
        let reached = vec![Position { partition: partition(), next: to }];
        Ok(Event::Records(Chunk { records: records.finish(), reached }))
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(1)
    }

    async fn bounds(&mut self, _: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let identity = "numbers from 0 to 9".into();
        Ok(vec![Bounds { partition: partition(), identity, first: 0, end: END, start: 0, committed: None }])
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        self.at = positions.first().map_or(self.at, |position| position.next);
        Ok(())
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(Nobody)
    }
}

/// Nobody looks at how far this pipeline is.
struct Nobody;

#[async_trait]
impl Housekeeping for Nobody {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        Ok(positions.iter().map(|position| END - position.next).collect())
    }

    async fn commit(&self, _: &[Position], _: &str) -> Result<(), StageError> {
        Ok(())
    }
}

fn number(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Int64, false)]))
}

/// `number`: the record's value.
struct Parse;

impl Decode for Parse {
    fn schema(&self) -> SchemaRef {
        number("number")
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let parse = |row| std::str::from_utf8(records.value(row)?).ok()?.parse::<i64>().ok();
        let mut bad = Vec::new();
        let mut numbers = Vec::new();
        for row in 0..records.len() {
            match parse(row) {
                Some(number) => numbers.push(number),
                None => bad.push(Refused { row, stage: "decode".into(), reason: "not a number".into() }),
            }
        }
        let columns = RecordBatch::try_new(number("number"), vec![Arc::new(Int64Array::from(numbers))]);
        Decoded { columns: columns.expect("one column of numbers"), bad }
    }
}

/// `SELECT number * number AS square FROM records`.
struct Square;

impl Query for Square {
    fn schema(&self) -> SchemaRef {
        number("square")
    }

    fn scope(&self) -> Scope {
        Scope::Record
    }

    fn run(&mut self, batch: &RecordBatch, _: Option<&Provenance>, _: i64) -> Result<Queried, StageError> {
        let of = |name: &str| batch.column_by_name(name).expect("it is in `records`");
        let squares: Int64Array = of("number").as_primitive::<Int64Type>().unary(|number| number * number);
        let provenance = Provenance {
            partitions: of("_partition").as_primitive().clone(),
            offsets: of("_offset").as_primitive().clone(),
        };
        let rows = RecordBatch::try_new(number("square"), vec![Arc::new(squares)]).expect("one column");
        Ok(Queried { rows, provenance: Some(provenance), refused: Vec::new() })
    }
}

struct Factory;

impl StageFactory for Factory {
    fn recipe(&self) -> Arc<Recipe> {
        Arc::new(Recipe { query: "squares".into(), ..Recipe::default() })
    }

    fn stages(&self, _: &Recipe) -> Result<Stages, StageError> {
        let keys = |keys: &BinaryArray| (Arc::new(keys.clone()) as ArrayRef, Vec::new());
        let keys = Keys { data_type: DataType::Binary, decode: Box::new(keys) };
        Ok(Stages { decode: Box::new(Parse), keys, query: Box::new(Square), views: vec![None] })
    }
}

/// What the sink stores, behind one lock: rows and positions change together.
#[derive(Default)]
struct Stored {
    squares: Vec<i64>,
    positions: BTreeMap<Partition, (String, i64)>,
}

struct Memory(Arc<Mutex<Stored>>);

impl Memory {
    fn stored(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.0.lock().expect("nobody panics with it")
    }
}

#[async_trait]
impl Sink for Memory {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        let checkpoint = |(partition, (identity, next)): (&Partition, &(String, i64))| Checkpoint {
            partition: partition.clone(),
            identity: identity.clone(),
            next: *next,
            // The only sink keeps no plans for others.
            plans: Vec::new(),
        };
        Ok(self.stored().positions.iter().map(checkpoint).collect())
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        for claim in claims {
            let begin = (claim.identity.clone(), claim.start);
            self.stored().positions.entry(claim.partition.clone()).or_insert(begin);
        }
        self.positions().await
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        let mut stored = self.stored();
        for range in &write.ranges {
            match stored.positions.get_mut(&range.partition) {
                Some((_, next)) if *next == range.from => *next = range.to,
                _ => return Err(StageError::fenced("another worker wrote")),
            }
        }
        stored.squares.extend(write.rows.column(0).as_primitive::<Int64Type>().values());
        Ok(Written::default())
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        self.stored().positions.clear();
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), StageError> {
    let stored = Arc::new(Mutex::new(Stored::default()));
    // The second worker finds that everything is done.
    for worker in ["first", "second"] {
        let sink = SinkStage {
            name: "squares".into(),
            inner: Box::new(Memory(stored.clone())),
            traits: SinkTraits { keeps_positions: true, sharing: Sharing::Single, atomic: true, slices: false },
            input: SinkInput::Results,
            schema: number("square"),
            chosen: false,
            backfill: false,
            new: false,
            home: String::new(),
        };
        let settings = Settings {
            pipeline: "squares".into(),
            worker: worker.into(),
            trigger: Trigger::AvailableNow,
            limits: Limits { rows: 4, ..Limits::default() },
            on_bad_record: OnBadRecord::Stop,
            known_topics: HashSet::new(),
            exclusive: false,
            sliced: false,
            state: String::new(),
        };
        let worker = Worker {
            source: Box::new(Numbers { assigned: false, at: 0 }),
            sinks: vec![sink],
            factory: Arc::new(Factory),
            settings,
            clock: Arc::new(SystemClock),
            stats: Arc::new(Stats::default()),
        };
        worker.run(CancellationToken::new()).await?;
        println!("{:?}", stored.lock().expect("nobody panics with it").squares);
    }
    Ok(())
}
