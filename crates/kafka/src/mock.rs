//! A Kafka cluster inside this process, for the demo and for tests that need no isolation: its transactions always
//! succeed and isolate nothing, and each partition keeps its last 5 MiB.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaErrorCode;

use foretell_flow::StageError;

use super::error;
use super::raw;
use crate::sink::DEFAULT_PROGRESS_TOPIC;

/// The cluster; it ends when this is dropped. A [`Feed`] may go to another thread.
pub struct Mock {
    /// A client whose cluster is within it.
    client: BaseProducer,
}

impl Mock {
    /// One broker with the topic in which Kafka sinks keep their positions.
    ///
    /// # Errors
    /// No port is free.
    pub fn start() -> Result<Mock, StageError> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1");
        // Said of every such client, which is what this one is for.
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
        let mock = Mock { client: config.create().map_err(error::config)? };
        // A group's first member would wait 3 s for others.
        raw::mock_groups_at_once(mock.client.client());
        mock.topic(DEFAULT_PROGRESS_TOPIC, 1)?;
        Ok(mock)
    }

    /// What goes into `brokers`.
    pub fn brokers(&self) -> String {
        self.cluster().map_or_else(String::new, |cluster| cluster.bootstrap_servers())
    }

    /// Always there: the client was told to make it.
    fn cluster(&self) -> Option<MockCluster<'_, DefaultProducerContext>> {
        self.client.client().mock_cluster()
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// There is one already.
    pub fn topic(&self, name: &str, partitions: i32) -> Result<(), StageError> {
        let doing = || format!("in-process Kafka: topic `{name}`");
        let created = self.cluster().map_or(Ok(()), |cluster| cluster.create_topic(name, partitions, 1));
        created.map_err(|error| error::of(&doing(), &error))
    }

    /// Answers the next requests of a kind with errors, instead of those that were given before.
    #[cfg(test)]
    pub(crate) fn refuse(&self, request: rdkafka::types::RDKafkaApiKey, code: RDKafkaErrorCode, times: usize) {
        let code = rdkafka::types::RDKafkaRespErr::try_from(code as i32).unwrap();
        let cluster = self.cluster().unwrap();
        cluster.clear_request_errors(request);
        cluster.request_errors(request, &vec![code; times]);
    }

    /// Writes records to it.
    ///
    /// # Errors
    /// The client does not start.
    pub fn feed(&self) -> Result<Feed, StageError> {
        Feed::new(&self.brokers())
    }
}

/// Writes plain records to a cluster, partitioned as Java's producer does.
pub struct Feed {
    producer: BaseProducer,
}

impl Feed {
    /// Connects when something is written.
    ///
    /// # Errors
    /// The client does not start.
    pub fn new(brokers: &str) -> Result<Feed, StageError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("partitioner", "murmur2_random").set("linger.ms", "5");
        config.set("delivery.report.only.error", "true");
        Ok(Feed { producer: config.create().map_err(error::config)? })
    }

    /// Writes records (key, value), to one partition or to those of their keys, and waits until they are there. Blocks.
    ///
    /// # Errors
    /// The cluster does not take them within 30 s.
    pub fn produce<'a>(
        &self,
        topic: &str,
        partition: Option<i32>,
        records: impl IntoIterator<Item = (Option<&'a [u8]>, &'a [u8])>,
    ) -> Result<(), StageError> {
        let doing = || format!("topic `{topic}`");
        for (key, value) in records {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value);
            record.key = key;
            record.partition = partition;
            while let Err((error, back)) = self.producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error::of(&doing(), &error));
                }
                self.producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        match flush(&self.producer, Duration::from_secs(30)) {
            true => Ok(()),
            false => Err(StageError::unavailable(format!("{}: not written within 30 s", doing()))),
        }
    }
}

/// Waits until each message has its answer; whether that came in time. The producer reports errors only
/// (`delivery.report.only.error`): successes are not handed out one by one.
fn flush(producer: &BaseProducer, wait: Duration) -> bool {
    let begun = Instant::now();
    while !raw::flush(producer.client(), Duration::from_millis(50)) {
        if begun.elapsed() >= wait {
            return false;
        }
        producer.poll(Duration::ZERO);
    }
    true
}
