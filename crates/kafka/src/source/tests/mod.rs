//! The source with the in-process cluster, which every machine has; and, in `services`, with a real one.

mod services;

use std::sync::Arc;
use std::time::Duration;

use foretell_flow::{Chunk, Demand, Event, Fault, Partition, Position, Source, StageError};
use serde_json::json;
use tokio::time::Instant;

use crate::mock::Mock;
use crate::testing::{batch, put, raw_batch};
use foretell_connect::kind::{DecodeSpec, SourceContext};
use foretell_connect::storage::Local;

use super::KIND;

const DEMAND: Demand = Demand { rows: 1000, bytes: 1 << 20, wait: Duration::from_millis(300) };

fn context(pipeline: &str, worker: &str) -> SourceContext {
    SourceContext {
        pipeline: pipeline.into(),
        worker: worker.into(),
        index: 0,
        workers: 1,
        ends: false,
        decode: DecodeSpec { kind: "json".into(), settings: json!({}) },
        state: (Arc::new(Local), "/nowhere".into()),
        home: String::new(),
        base: ".".into(),
        observe: false,
    }
}

async fn open(settings: serde_json::Value, pipeline: &str, worker: &str) -> Result<Box<dyn Source>, StageError> {
    (KIND.parse)(settings).unwrap().open(&context(pipeline, worker), false).await
}

fn part(topic: &str, index: i32) -> Partition {
    Partition { topic: topic.into(), index }
}

fn at(topic: &str, index: i32, next: i64) -> Position {
    Position { partition: part(topic, index), next }
}

/// Waits for an assignment; what comes before it is void.
async fn assigned(source: &mut Box<dyn Source>) -> Vec<i32> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Event::Assigned(partitions) = source.next(DEMAND).await.unwrap() {
            return partitions.iter().map(|partition| partition.index).collect();
        }
    }
    panic!("no assignment within 30 s");
}

/// The next chunk.
async fn chunk(source: &mut Box<dyn Source>) -> Chunk {
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline {
        match source.next(DEMAND).await.unwrap() {
            Event::Records(chunk) => return chunk,
            Event::Idle => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("no records within 15 s");
}

/// Reads until `count` records are there: (partition, offset, value), and where each partition has got.
async fn read(source: &mut Box<dyn Source>, count: usize) -> Vec<(i32, i64, String)> {
    let mut rows = Vec::new();
    while rows.len() < count {
        let chunk = chunk(source).await;
        let records = chunk.records;
        for row in 0..records.len() {
            let value = String::from_utf8(records.values.value(row).to_vec()).unwrap();
            rows.push((records.partitions.value(row), records.offsets.value(row), value));
        }
    }
    rows
}

/// What comes until the source fails: (partition, value), and the failure.
async fn until_failure(source: &mut Box<dyn Source>) -> (Vec<(i32, String)>, StageError) {
    let begin = Instant::now();
    let mut rows = Vec::new();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(60), "no failure within a minute");
        match source.next(DEMAND).await {
            Ok(Event::Records(chunk)) => {
                let records = chunk.records;
                for row in 0..records.len() {
                    let value = String::from_utf8_lossy(records.values.value(row)).into_owned();
                    rows.push((records.partitions.value(row), value));
                }
            }
            Ok(Event::Idle) => {}
            Ok(event) => panic!("{event:?}"),
            Err(error) => return (rows, error),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_batch_ends_the_reading_behind_the_last_good_one() {
    let mock = Mock::start().unwrap();
    let good = |values: &[&[u8]]| batch(0, values);
    let damaged = |mut batch: Vec<u8>| {
        // A byte of the last value.
        let at = batch.len() - 3;
        batch[at] ^= 1;
        batch
    };
    let damages: [(&str, Vec<u8>, &str); 3] = [
        ("sum", damaged(good(&[b"3333", b"4444"])), "failed CRC32C check"),
        // A checksum that fits and content that is not lz4, and a codec that nobody knows.
        ("lz4", raw_batch(3, 2, b"no frame of lz4"), "Decompression (codec 0x3)"),
        ("codec", raw_batch(7, 2, b"anything"), "Decompression (codec 0x7)"),
    ];
    for (name, damage, text) in damages {
        let topic = format!("damage-{name}");
        mock.topic(&topic, 2).unwrap();
        put(&mock.brokers(), &topic, 0, &[good(&[b"1", b"2", b"3"])]);
        put(&mock.brokers(), &topic, 1, &[good(&[b"0", b"1111"]), damage, good(&[b"55", b"66"]), good(&[b"7"])]);
        let settings = json!({ "brokers": mock.brokers(), "topic": topic, "options": { "session.timeout.ms": 6000 } });
        let mut source = open(settings, name, "0").await.unwrap();
        assigned(&mut source).await;
        source.seek(&[at(&topic, 0, 0), at(&topic, 1, 0)]).await.unwrap();
        let (mut rows, error) = until_failure(&mut source).await;
        rows.retain(|row| row.0 == 1);
        assert_eq!(rows, [(1, "0".into()), (1, "1111".into())], "{name}");
        assert_eq!(error.fault, Fault::State, "{name}: {error}");
        assert!(error.message.starts_with(&format!("{topic}[1]: offset 2 cannot be read: ")), "{error}");
        assert!(error.message.contains(text), "{error}");
        assert!(error.remedy.contains("`foretell positions set`"), "{error}");

        // Behind it, reading goes on.
        source.seek(&[at(&topic, 0, 0), at(&topic, 1, 4)]).await.unwrap();
        let rows = read(&mut source, 6).await;
        let of: Vec<_> = rows.iter().filter(|row| row.0 == 1).map(|row| (row.1, row.2.as_str())).collect();
        assert_eq!(of, [(4, "55"), (5, "66"), (6, "7")], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_permanent_ends_the_reading_and_what_passes_does_not() {
    use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaErrorCode as Code};
    let mock = Mock::start().unwrap();
    let options = json!({ "session.timeout.ms": 6000, "fetch.error.backoff.ms": 10 });
    for (code, wanted) in [
        (Code::KafkaStorageError, None),
        (Code::UnknownTopicOrPartition, None),
        (Code::TopicAuthorizationFailed, Some(Fault::Settings)),
        (Code::InvalidMessage, Some(Fault::State)),
        (Code::UnsupportedCompressionType, Some(Fault::State)),
    ] {
        let topic = format!("errors-{}", code as i32);
        mock.topic(&topic, 1).unwrap();
        mock.feed().unwrap().produce(&topic, None, [(None, &b"one"[..])]).unwrap();
        let settings = json!({ "brokers": mock.brokers(), "topic": topic, "options": options });
        let mut source = open(settings, &topic, "0").await.unwrap();
        assigned(&mut source).await;
        mock.refuse(Api::Fetch, code, 3);
        source.seek(&[at(&topic, 0, 0)]).await.unwrap();
        match wanted {
            None => assert_eq!(read(&mut source, 1).await[0].2, "one", "{code}"),
            Some(fault) => {
                let (rows, error) = until_failure(&mut source).await;
                assert_eq!((rows.len(), error.fault), (0, fault), "{code}: {error}");
                assert!(!error.remedy.is_empty(), "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_serves_the_source() {
    let mock = Mock::start().unwrap();
    mock.topic("Pdata", 3).unwrap();
    let settings = json!({ "brokers": mock.brokers(), "topic": "Pdata", "options": { "session.timeout.ms": 6000 } });
    let mut source = open(settings, "mri", "0").await.unwrap();
    assert_eq!(assigned(&mut source).await, [0, 1, 2]);
    let parts = [part("Pdata", 0), part("Pdata", 1), part("Pdata", 2)];
    let bounds = source.bounds(&parts).await.unwrap();
    assert_eq!(bounds[2].end, 0);
    source.seek(&[at("Pdata", 0, 0), at("Pdata", 1, 0), at("Pdata", 2, 0)]).await.unwrap();
    mock.feed().unwrap().produce("Pdata", None, [(Some(&b"k"[..]), &b"one"[..])]).unwrap();
    assert_eq!(read(&mut source, 1).await[0].2, "one");
}
