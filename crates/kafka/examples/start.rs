//! How long a sink takes to learn where it is, after this many commits to the topic that keeps the positions:
//! `start BROKERS [COMMITS]`.
//!
//! Each commit is a position of one of twelve partitions, a plan's part and the end of one, as a sink that leads writes
//! them; they are written in few large transactions, so that the example itself ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema};
use foretell_connect::kind::SinkContext;
use foretell_flow::{Claim, Partition, SinkInput};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

const PARTITIONS: i64 = 12;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().ok_or("BROKERS is missing")?;
    let commits: i64 = arguments.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let name = format!("start-{}", uuid::Uuid::new_v4().simple());
    let progress = format!("{name}-progress");
    let context = SinkContext {
        pipeline: name.clone(),
        sink: "out".into(),
        worker: "0".into(),
        schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)])),
        leader: true,
        by_partition: true,
        input: SinkInput::Results,
        timezone: None,
        base: ".".into(),
    };
    // The target does not matter here: nothing is written to it.
    let settings = || json!({ "brokers": brokers, "topic": name, "progress_topic": progress, "key": "id" });
    let claims: Vec<Claim> = (0..PARTITIONS as i32)
        .map(|index| Claim {
            partition: Partition { topic: "orders".into(), index },
            identity: "cluster/topic".into(),
            start: 0,
        })
        .collect();
    create(&brokers, &progress).await?;
    create(&brokers, &name).await?;
    let open = || async {
        let kind = (foretell_kafka::SINK.parse)(settings()).map_err(|error| error.message)?;
        Ok::<_, Box<dyn std::error::Error>>(kind.open(&context).await?)
    };
    open().await?.claim(&claims).await?;

    let begun = Instant::now();
    fill(&brokers, &progress, &name, commits)?;
    println!("{commits} commits written in {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let mut sink = open().await?;
    let held = sink.claim(&claims).await?;
    let next: Vec<i64> = held.iter().map(|held| held.next).collect();
    println!("claimed in {:.1} s; positions {next:?}", begun.elapsed().as_secs_f64());
    Ok(())
}

/// The topic as a sink creates it.
async fn create(brokers: &str, topic: &str) -> Result<(), Box<dyn std::error::Error>> {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::client::DefaultClientContext;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "compact")
        .set("segment.bytes", "16777216")
        .set("delete.retention.ms", "900000")
        .set("min.cleanable.dirty.ratio", "0.1");
    admin.create_topics([&new], &AdminOptions::new()).await?;
    Ok(())
}

fn fill(brokers: &str, topic: &str, pipeline: &str, commits: i64) -> Result<(), Box<dyn std::error::Error>> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", topic)
        .set("compression.codec", "lz4")
        .set("linger.ms", "50")
        .set("delivery.report.only.error", "true")
        .create()?;
    producer.init_transactions(Duration::from_secs(60))?;
    let plan = json!({
        "id": "w-1", "time": 1_700_000_000_000_000_i64,
        "recipe": { "query": "0".repeat(64), "models": {}, "tables": {} },
        "range": { "partition": { "topic": "orders", "index": 0 }, "from": 0, "to": 1 },
    })
    .to_string();
    let send = |key: String, value: Option<&str>| -> Result<(), Box<dyn std::error::Error>> {
        let mut record = BaseRecord::<str, str>::to(topic).key(&key).partition(0);
        record.payload = value;
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(10));
            record = back;
        }
        Ok(())
    };
    for first in (0..commits).step_by(100_000) {
        producer.begin_transaction()?;
        for commit in first..commits.min(first + 100_000) {
            let (index, next) = (commit % PARTITIONS, commit / PARTITIONS);
            let key = |from: Option<i64>| match from {
                None => json!([pipeline, "out", "orders", index]).to_string(),
                Some(from) => json!([pipeline, "out", "orders", index, from]).to_string(),
            };
            send(key(None), Some(&json!({ "next": next + 1, "identity": "cluster/topic" }).to_string()))?;
            send(key(Some(next)), Some(&plan))?;
            if next > 0 {
                send(key(Some(next - 1)), None)?;
            }
        }
        producer.commit_transaction(Duration::from_secs(60))?;
    }
    Ok(())
}
