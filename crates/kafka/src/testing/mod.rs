//! What the tests of the Kafka source and sink share: a real broker from the environment, topics of their own.

pub(crate) mod proxy;
pub(crate) mod tokens;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// The broker for tests.
pub(crate) fn brokers() -> String {
    std::env::var("FORETELL_KAFKA")
        .expect("FORETELL_KAFKA must name a Kafka broker: `dev/services up kafka` starts one")
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap()
}

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4().simple())
}

/// A topic of its own.
pub(crate) async fn topic(name: &str, partitions: i32) -> String {
    let name = unique(name);
    create(&name, partitions, &[]).await;
    name
}

pub(crate) async fn create(name: &str, partitions: i32, config: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    topic.config = config.to_vec();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    for outcome in admin().create_topics([&topic], &options).await.unwrap() {
        outcome.unwrap();
    }
    // The broker tells of it, and of a leader for each partition, a moment later: on a busy machine a long one.
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let begin = Instant::now();
    while !led(&consumer, name, partitions) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{name} is not there after a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether each of this many partitions has a leader.
fn led(consumer: &BaseConsumer, name: &str, partitions: i32) -> bool {
    let Ok(metadata) = consumer.fetch_metadata(Some(name), Duration::from_secs(20)) else { return false };
    let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
    found.is_some_and(|topic| {
        let led = topic.partitions().iter().filter(|partition| partition.error().is_none() && partition.leader() >= 0);
        i32::try_from(led.count()).is_ok_and(|led| led == partitions)
    })
}

pub(crate) async fn delete(name: &str) {
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    for outcome in admin().delete_topics(&[name], &options).await.unwrap() {
        outcome.unwrap();
    }
}

/// Sets a topic's configuration; what is not named is as the cluster has it.
pub(crate) async fn alter(name: &str, config: &[(&str, &str)]) {
    let mut all = AlterConfig::new(ResourceSpecifier::Topic(name));
    for (key, value) in config {
        all = all.set(key, value);
    }
    for outcome in admin().alter_configs([&all], &AdminOptions::new()).await.unwrap() {
        outcome.unwrap();
    }
}

/// More partitions.
pub(crate) async fn grow(name: &str, partitions: usize) {
    let more = NewPartitions::new(name, partitions);
    for outcome in admin().create_partitions([&more], &AdminOptions::new()).await.unwrap() {
        outcome.unwrap();
    }
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let begin = Instant::now();
    while !led(&consumer, name, i32::try_from(partitions).unwrap()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{name} does not grow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A batch as producers write it, of one record each value, with its checksum, to be damaged.
pub(crate) fn batch(attributes: i16, values: &[&[u8]]) -> Vec<u8> {
    let mut records = Vec::new();
    for (delta, value) in values.iter().enumerate() {
        let mut record = vec![0];
        varint(&mut record, 0);
        varint(&mut record, i64::try_from(delta).unwrap());
        varint(&mut record, -1);
        varint(&mut record, i64::try_from(value.len()).unwrap());
        record.extend_from_slice(value);
        varint(&mut record, 0);
        varint(&mut records, i64::try_from(record.len()).unwrap());
        records.extend(record);
    }
    raw_batch(attributes, values.len(), &records)
}

/// A batch with these bytes for its records.
pub(crate) fn raw_batch(attributes: i16, count: usize, records: &[u8]) -> Vec<u8> {
    let count = i32::try_from(count).unwrap();
    let mut summed = Vec::new();
    summed.extend(attributes.to_be_bytes());
    summed.extend((count - 1).to_be_bytes());
    summed.extend([0_i64, 0, -1].iter().flat_map(|number| number.to_be_bytes()));
    summed.extend((-1_i16).to_be_bytes());
    summed.extend([-1, count].iter().flat_map(|number: &i32| number.to_be_bytes()));
    summed.extend_from_slice(records);
    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes());
    batch.extend(i32::try_from(4 + 1 + 4 + summed.len()).unwrap().to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&summed).to_be_bytes());
    batch.extend(summed);
    batch
}

fn varint(into: &mut Vec<u8>, number: i64) {
    let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
    while zigzag >= 0x80 {
        into.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    into.push(zigzag as u8);
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |sum: u32, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 * (sum & 1))))
}

/// Hands batches to a broker as they are. A real one looks at their checksums; the in-process mock does not.
pub(crate) fn put(broker: &str, topic: &str, partition: i32, batches: &[Vec<u8>]) {
    let mut stream = TcpStream::connect(broker).unwrap();
    for batch in batches {
        let text = |text: &str| [&i16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
        let mut request = Vec::new();
        // Produce, version 7; correlation; client; no transaction; all replicas; timeout; one topic, one partition.
        request.extend([0_i16, 7].iter().flat_map(|number| number.to_be_bytes()));
        request.extend(1_i32.to_be_bytes());
        request.extend(text("test"));
        request.extend([-1_i16, -1].iter().flat_map(|number| number.to_be_bytes()));
        request.extend([10_000_i32, 1].iter().flat_map(|number| number.to_be_bytes()));
        request.extend(text(topic));
        request
            .extend([1, partition, i32::try_from(batch.len()).unwrap()].iter().flat_map(|number| number.to_be_bytes()));
        request.extend_from_slice(batch);
        stream.write_all(&i32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut answer).unwrap();
        // Correlation, topics, its name, partitions, the partition; then its error.
        let at = 4 + 4 + 2 + topic.len() + 4 + 4;
        assert_eq!(answer[at..at + 2], [0, 0], "the broker does not take the batch");
    }
}
