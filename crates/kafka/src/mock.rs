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

/// The cluster; it ends when this is dropped. It stays on its thread; a [`Feed`] may go to another.
pub struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Mock {
    /// One broker with the topic in which Kafka sinks keep their positions.
    ///
    /// # Errors
    /// No port is free.
    pub fn start() -> Result<Mock, StageError> {
        let failed = |error| error::of("in-process Kafka", &error);
        let cluster = MockCluster::new(1).map_err(failed)?;
        let mock = Mock { cluster };
        mock.topic(DEFAULT_PROGRESS_TOPIC, 1)?;
        Ok(mock)
    }

    /// What goes into `brokers`.
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// There is one already.
    pub fn topic(&self, name: &str, partitions: i32) -> Result<(), StageError> {
        let doing = || format!("in-process Kafka: topic `{name}`");
        self.cluster.create_topic(name, partitions, 1).map_err(|error| error::of(&doing(), &error))
    }

    /// Answers the next requests of a kind with errors, instead of those that were given before.
    #[cfg(test)]
    pub(crate) fn refuse(&self, request: rdkafka::types::RDKafkaApiKey, code: RDKafkaErrorCode, times: usize) {
        let code = rdkafka::types::RDKafkaRespErr::try_from(code as i32).unwrap();
        self.cluster.clear_request_errors(request);
        self.cluster.request_errors(request, &vec![code; times]);
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
