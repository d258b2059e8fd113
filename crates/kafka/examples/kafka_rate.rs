//! How many records a second the Kafka source and sink move: `kafka_rate BROKERS [RECORDS]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use foretell_connect::kind::{DecodeSpec, SinkContext, SourceContext};
use foretell_connect::storage::Local;
use foretell_flow::{Claim, Demand, Event, Partition, Plan, Position, Provenance, Range, Recipe, SinkInput, Write};
use foretell_kafka::mock::Feed;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use serde_json::json;

const PARTITIONS: i32 = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().ok_or("BROKERS is missing")?;
    let count: i64 = arguments.next().map_or(Ok(3_000_000), |text| text.parse())?;
    let name = format!("rate-{}", uuid::Uuid::new_v4().simple());
    let (input, output) = (format!("{name}-in"), format!("{name}-out"));
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", &brokers).create()?;
    let topics = [&input, &output].map(|topic| NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(-1)));
    admin.create_topics(&topics, &AdminOptions::new()).await?;

    // As long as an exam order: seven numbers by commas.
    let feed = Feed::new(&brokers)?;
    let values: Vec<String> =
        (0..count).map(|n| format!("{},{},{},1,{},2,0", n % 97, n % 31, n % 13, n % 90)).collect();
    for partition in 0..PARTITIONS {
        let own = values.iter().skip(partition as usize).step_by(PARTITIONS as usize);
        feed.produce(&input, Some(partition), own.map(|value| (Some(&b"key"[..]), value.as_bytes())))?;
    }
    read(&brokers, &input, &name, count).await?;
    for rows in [1, 1000, 100_000] {
        write(&brokers, &output, &name, rows).await?;
    }
    admin.delete_topics(&[&input, &output], &AdminOptions::new()).await?;
    Ok(())
}

async fn read(brokers: &str, topic: &str, name: &str, count: i64) -> Result<(), Box<dyn std::error::Error>> {
    let settings =
        (foretell_kafka::SOURCE.parse)(json!({ "brokers": brokers, "topic": topic })).map_err(|e| e.message)?;
    let context = SourceContext {
        pipeline: name.into(),
        worker: "0".into(),
        index: 0,
        workers: 1,
        ends: false,
        decode: DecodeSpec { kind: "json".into(), settings: json!({}) },
        state: (Arc::new(Local), "/nowhere".into()),
        home: String::new(),
        base: ".".into(),
        observe: false,
    };
    let mut source = settings.open(&context, false).await?;
    let demand = Demand { rows: 65_536, bytes: 16 << 20, wait: Duration::from_secs(1) };
    let (mut begin, mut read, mut chunks) = (Instant::now(), 0, 0);
    while read < count {
        match source.next(demand).await? {
            Event::Assigned(partitions) => {
                begin = Instant::now();
                let positions = partitions.into_iter().map(|partition| Position { partition, next: 0 });
                source.seek(&positions.collect::<Vec<_>>()).await?;
            }
            Event::Records(chunk) => {
                read += chunk.records.len() as i64;
                chunks += 1;
            }
            _ => {}
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "source: {read} records in {seconds:.2} s, {:.0} a second, {} a chunk",
        read as f64 / seconds,
        read / chunks
    );
    Ok(())
}

async fn write(brokers: &str, topic: &str, name: &str, rows: usize) -> Result<(), Box<dyn std::error::Error>> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let batch = RecordBatch::try_from_iter([("PNO", ids.clone()), ("PRETIME", ids)])?;
    let value = "The Patient NO. is {PNO}, need {PRETIME} minutes to detect by MRI";
    let settings = json!({ "brokers": brokers, "topic": topic, "value": value });
    let context = SinkContext {
        pipeline: name.into(),
        sink: format!("out-{rows}"),
        worker: "0".into(),
        schema: batch.schema(),
        leader: true,
        by_partition: true,
        input: SinkInput::Results,
        timezone: None,
        base: ".".into(),
    };
    let mut sink = (foretell_kafka::SINK.parse)(settings).map_err(|error| error.message)?.open(&context).await?;
    let partition = |index| Partition { topic: "in".into(), index };
    let claim = |index| Claim { partition: partition(index), identity: "c/t".into(), start: 0 };
    let begin = Instant::now();
    sink.claim(&(0..PARTITIONS).map(claim).collect::<Vec<_>>()).await?;
    let claimed = begin.elapsed();
    let mut times = Vec::new();
    let batches = (1_000_000 / rows).clamp(5, 200);
    for step in 0..batches as i64 {
        let range = |index| Range { partition: partition(index), from: step, to: step + 1 };
        let ranges: Vec<Range> = (0..PARTITIONS).map(range).collect();
        let plan = Plan { id: step.to_string(), time: 0, recipe: Arc::new(Recipe::default()), ranges: ranges.clone() };
        let partitions = Int32Array::from_iter_values((0..rows).map(|row| (row as i32) % PARTITIONS));
        let offsets = Int64Array::from_iter_values(0..rows as i64);
        let write = Write {
            plan: Arc::new(plan),
            ranges,
            rows: batch.clone(),
            provenance: Some(Provenance { partitions, offsets }),
            topics: foretell_flow::Topics::default(),
            retention: None,
        };
        let begin = Instant::now();
        sink.write(&write).await?;
        times.push(begin.elapsed());
    }
    let total: Duration = times.iter().sum();
    times.sort();
    let rate = (rows * batches) as f64 / total.as_secs_f64();
    println!(
        "sink: {rows} rows a batch in {PARTITIONS} transactions: {rate:.0} a second, p50 {:.1} ms, p99 {:.1} ms; claim {:.0} ms",
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() * 99 / 100].as_secs_f64() * 1e3,
        claimed.as_secs_f64() * 1e3
    );
    Ok(())
}
