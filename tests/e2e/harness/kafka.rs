//! Topics: made, filled, and read as a careful consumer would.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{service, until, wait};

/// Records may be larger than brokers take by default.
const LARGEST: &str = "20000000";

/// A record as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Record {
    pub(crate) fn key(&self) -> String {
        String::from_utf8(self.key.clone().expect("a key")).unwrap()
    }

    pub(crate) fn value(&self) -> String {
        String::from_utf8(self.value.clone().expect("a value")).unwrap()
    }
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", service("FORETELL_KAFKA"));
    config
}

fn admin() -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    (config().create().unwrap(), options)
}

pub(crate) fn create(topic: &str, partitions: i32) {
    let (admin, options) = admin();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("max.message.bytes", LARGEST);
    for outcome in wait(admin.create_topics([&new], &options)).unwrap() {
        outcome.unwrap();
    }
    // The broker tells of it a moment later, on a busy machine a long one.
    until("the topic is known, and who leads its partitions", || led(topic, partitions));
}

/// Whether each of this many partitions has a leader.
fn led(topic: &str, partitions: i32) -> bool {
    let consumer: BaseConsumer = config().create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    found.is_some_and(|found| {
        let led = found.partitions().iter().filter(|partition| partition.error().is_none() && partition.leader() >= 0);
        led.count() == usize::try_from(partitions).unwrap()
    })
}

pub(crate) fn delete(topic: &str) {
    let (admin, options) = admin();
    for outcome in wait(admin.delete_topics(&[topic], &options)).unwrap() {
        outcome.unwrap();
    }
}

/// Whether there is such a topic.
pub(crate) fn exists(topic: &str) -> bool {
    let consumer: BaseConsumer = config().create().unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(20)).unwrap();
    metadata.topics().iter().any(|found| found.name() == topic)
}

/// Whether the brokers know a consumer group.
pub(crate) fn group_exists(group: &str) -> bool {
    let consumer: BaseConsumer = config().create().unwrap();
    let list = consumer.fetch_group_list(None, Duration::from_secs(20)).unwrap();
    list.groups().iter().any(|found| found.name() == group)
}

/// Writes records (partition or else the key's, key, value), and returns when the broker has them.
pub(crate) fn produce<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    topic: &str,
    records: impl IntoIterator<Item = (Option<i32>, Option<K>, Option<V>)>,
) {
    let mut config = config();
    config.set("partitioner", "murmur2_random").set("message.max.bytes", LARGEST).set("linger.ms", "5");
    let producer: BaseProducer = config.create().unwrap();
    for (partition, key, value) in records {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.partition = partition;
        record.key = key.as_ref().map(AsRef::as_ref);
        record.payload = value.as_ref().map(AsRef::as_ref);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(10));
            record = back;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// All records that were committed, up to the end of each partition.
pub(crate) fn read(topic: &str) -> Vec<Record> {
    let mut config = config();
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true").set("group.id", "e2e");
    config.set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    let mut ahead: HashSet<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    assert!(!ahead.is_empty(), "there is no topic {topic}");
    let mut assignment = TopicPartitionList::new();
    for partition in &ahead {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut records, since) = (Vec::new(), Instant::now());
    while !ahead.is_empty() {
        assert!(since.elapsed() < Duration::from_secs(60), "{topic} is not read to its end");
        match consumer.poll(Duration::from_millis(500)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ahead.remove(&partition)),
            Some(Err(error)) => panic!("{topic}: {error}"),
            Some(Ok(message)) => {
                let headers = message.headers().map(|headers| {
                    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
                    headers.iter().map(|header| (header.key.to_string(), text(header.value))).collect()
                });
                records.push(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: headers.unwrap_or_default(),
                });
            }
        }
    }
    records
}

/// What a group has noted with its offsets, of three partitions.
pub(crate) fn notes(group: &str, topic: &str) -> Vec<String> {
    let consumer: BaseConsumer = config().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..3 {
        list.add_partition(topic, partition);
    }
    let committed = consumer.committed_offsets(list, Duration::from_secs(10)).unwrap();
    let notes = committed.elements().iter().map(|element| element.metadata().to_string()).collect::<Vec<_>>();
    notes.into_iter().filter(|note| !note.is_empty()).collect()
}
