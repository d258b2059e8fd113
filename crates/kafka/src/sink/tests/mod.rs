//! The sink with the in-process cluster, which every machine has; and, in `services`, with a real one.

mod services;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use foretell_flow::{Claim, Fault, Partition, Plan, Provenance, Range, Recipe, Sink, SinkInput, StageError, Write};
use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::mock::Mock;
use crate::testing::unique;
use foretell_connect::kind::SinkContext;

use super::KIND;

/// A record as a consumer sees it: partition, key, value, headers.
type Seen = (i32, Option<String>, Option<String>, Vec<(String, Option<String>)>);

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// All committed records of a topic.
fn consume(brokers: &str, topic: &str, isolation: &str) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", unique("see"))
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
    let mut left: Vec<i32> = (0..metadata.topics()[0].partitions().len() as i32).collect();
    let mut list = TopicPartitionList::new();
    for partition in &left {
        list.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut seen = Vec::new();
    while !left.is_empty() {
        match consumer.poll(Duration::from_secs(20)).expect("nothing within 20 s") {
            Ok(message) => {
                let headers = message.headers().map_or(Vec::new(), |headers| {
                    headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
                });
                seen.push((message.partition(), text(message.key()), text(message.payload()), headers));
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(partition)) => left.retain(|other| *other != partition),
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

fn rows(ids: &[i64]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

fn context(schema: SchemaRef, pipeline: &str) -> SinkContext {
    SinkContext {
        pipeline: pipeline.into(),
        sink: "out".into(),
        worker: "0".into(),
        schema,
        leader: true,
        by_partition: true,
        input: SinkInput::Results,
        timezone: None,
        base: ".".into(),
    }
}

async fn try_open(settings: Value, context: &SinkContext) -> Result<Box<dyn Sink>, StageError> {
    (KIND.parse)(settings).unwrap().open(context).await
}

fn part(index: i32) -> Partition {
    Partition { topic: "Pdata".into(), index }
}

fn claims(parts: std::ops::Range<i32>) -> Vec<Claim> {
    parts.map(|index| Claim { partition: part(index), identity: "cluster/topic".into(), start: 100 }).collect()
}

fn range(index: i32, from: i64, to: i64) -> Range {
    Range { partition: part(index), from, to }
}

/// A write of rows whose ids are their offsets.
fn write(ranges: &[Range], from: &[(i32, i64)]) -> Write {
    let recipe = Arc::new(Recipe { query: "q".into(), ..Recipe::default() });
    let id = ranges.iter().map(|r| format!("{}-{}", r.partition, r.from)).collect::<Vec<_>>().join(",");
    Write {
        plan: Arc::new(Plan { id, time: 7, recipe, ranges: ranges.to_vec() }),
        ranges: ranges.to_vec(),
        rows: rows(&from.iter().map(|(_, offset)| *offset).collect::<Vec<_>>()),
        provenance: Some(Provenance {
            partitions: Int32Array::from_iter_values(from.iter().map(|(partition, _)| *partition)),
            offsets: Int64Array::from_iter_values(from.iter().map(|(_, offset)| *offset)),
        }),
        topics: foretell_flow::Topics::default(),
        retention: None,
    }
}

fn next(holdings: &[foretell_flow::Checkpoint]) -> Vec<(i32, i64)> {
    holdings.iter().map(|holding| (holding.partition.index, holding.next)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_permanent_stops_and_what_passes_is_tried_again() {
    use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaErrorCode as Code};
    let mock = Mock::start().unwrap();
    mock.topic("out", 1).unwrap();
    let settings = json!({ "brokers": mock.brokers(), "topic": "out", "value": "{id}" });
    let context = context(rows(&[]).schema(), "permanent");
    for (api, code, wanted) in [
        (Api::AddPartitionsToTxn, Code::TopicAuthorizationFailed, Fault::Settings),
        (Api::Produce, Code::TopicAuthorizationFailed, Fault::Settings),
        (Api::Produce, Code::PolicyViolation, Fault::Settings),
        (Api::Produce, Code::UnsupportedCompressionType, Fault::Settings),
        (Api::Produce, Code::InvalidRecord, Fault::Settings),
        (Api::Produce, Code::InvalidTimestamp, Fault::Settings),
        (Api::Produce, Code::UnknownProducerId, Fault::Unavailable),
        (Api::Produce, Code::ProducerFenced, Fault::Fenced),
    ] {
        let mut sink = try_open(settings.clone(), &context).await.unwrap();
        let next = sink.claim(&claims(0..1)).await.unwrap()[0].next;
        mock.refuse(api, code, 1);
        let begin = Instant::now();
        let error = sink.write(&write(&[range(0, next, next + 1)], &[(0, next)])).await.unwrap_err();
        assert_eq!(error.fault, wanted, "{api:?} {code}: {error}");
        assert!(begin.elapsed() < Duration::from_secs(15), "{api:?} {code}: {:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_serves_the_sink() {
    let mock = Mock::start().unwrap();
    mock.topic("utime", 1).unwrap();
    let brokers = mock.brokers();
    let settings = json!({ "brokers": brokers, "topic": "utime", "value": "{id}" });
    let context = context(rows(&[]).schema(), "mri");
    let mut sink = try_open(settings.clone(), &context).await.unwrap();
    assert!(sink.positions().await.unwrap().is_empty());
    sink.claim(&claims(0..3)).await.unwrap();
    sink.write(&write(&[range(0, 100, 102), range(1, 100, 101)], &[(0, 100), (0, 101), (1, 100)])).await.unwrap();
    sink.close().await.unwrap();
    let mut again = try_open(settings, &context).await.unwrap();
    assert_eq!(next(&again.claim(&claims(0..3)).await.unwrap()), [(0, 102), (1, 101), (2, 100)]);
    assert_eq!(consume(&brokers, "utime", "read_committed").len(), 3);
}

#[test]
fn subjects_are_called_as_the_strategy_says() {
    let subject = |more: &[(&str, &str)]| {
        let mut settings = json!({ "brokers": "b", "topic": "readings", "format": "avro" });
        for (key, value) in more {
            settings[*key] = json!(value);
        }
        let settings: super::Settings = foretell_connect::kind::settings_of(settings).unwrap();
        settings.subject("com.example.Reading").map_err(|error| error.to_string())
    };
    assert_eq!(subject(&[]).unwrap(), "readings-value");
    assert_eq!(subject(&[("subject_strategy", "topic")]).unwrap(), "readings-value");
    assert_eq!(subject(&[("subject_strategy", "record")]).unwrap(), "com.example.Reading");
    assert_eq!(subject(&[("subject_strategy", "topic_record")]).unwrap(), "readings-com.example.Reading");
    assert_eq!(subject(&[("subject", "s")]).unwrap(), "s");
    assert!(
        subject(&[("subject", "s"), ("subject_strategy", "record")]).unwrap_err().contains("leave one of them out")
    );
}
