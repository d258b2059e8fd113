//! One producer: rows and positions in one transaction, or rows alone. All calls block.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foretell_flow::{Provenance, StageError};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::encode::Encoded;
use super::land::Target;
use crate::kafka::client::{Context, flush};
use crate::kafka::error;
use crate::kafka::settings::Connection;

/// How long a transaction may stay open when its writer is gone: until then readers of committed records wait. Ours are
/// open for one write, and a new owner ends the one before at once.
const OPEN: &str = "20000";
/// For the end of one before: it may be open as long as [`OPEN`], and the coordinator looks every 10 s.
const INIT: Duration = Duration::from_secs(60);
/// For all answers to one write.
const ANSWERS: Duration = Duration::from_secs(30);
/// Of a value that is too large, this many bytes go to the rejects at most.
const REJECTED_BYTES: usize = 16 * 1024;
/// Records on their way to the broker, in KiB: a write that is larger waits.
const QUEUE_KIB: usize = 64 * 1024;
/// Marks a record whose failure is not a row's.
const NO_ROW: usize = usize::MAX;

/// What failed: row and code.
#[derive(Debug, Clone, Default)]
struct Reports {
    context: Context,
    failed: Arc<Mutex<Vec<(usize, Code)>>>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.context.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn stats(&self, _: Statistics) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, row: usize) {
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).push((row, code));
        }
    }
}

/// The producer's settings: transactional with an id.
pub(super) fn config(
    connection: &Connection,
    id: Option<&str>,
    largest: Option<usize>,
) -> Result<ClientConfig, StageError> {
    // What librdkafka takes for a size.
    let largest = largest.map(|bytes| bytes.clamp(1000, 1_000_000_000));
    // One record always fits.
    let queue = largest.map_or(QUEUE_KIB, |bytes| QUEUE_KIB.max(bytes / 512)).to_string();
    let largest = largest.map(|bytes| bytes.to_string());
    let mut own = vec![
        ("client.id", "foretell"),
        ("partitioner", "murmur2_random"),
        // Half the bytes or fewer for a few percent of a core; every client reads it.
        ("compression.codec", "lz4"),
        // A flush does not wait for it.
        ("linger.ms", "5"),
        ("enable.idempotence", "true"),
        ("delivery.report.only.error", "true"),
        ("queue.buffering.max.kbytes", &queue),
        // The next transaction meets the end of the one before: trying again at once is quicker than the default 100 ms.
        ("retry.backoff.ms", "1"),
    ];
    own.extend(largest.as_deref().map(|largest| ("message.max.bytes", largest)));
    match id {
        Some(id) => own.extend([("transactional.id", id), ("transaction.timeout.ms", OPEN)]),
        None => own.push(("message.timeout.ms", "30000")),
    }
    connection.config(&own)
}

/// Rows to write, encoded once and written by several writers.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) encoded: Encoded,
    pub(super) provenance: Option<Provenance>,
    pub(super) target: Target,
}

/// A record of the progress topic; without a value it erases its key.
pub(super) type Mark = (String, Option<String>);

/// A producer. After an error it must not be used again: whether its transaction ended is unknown.
pub(super) struct Writer {
    producer: BaseProducer<Reports>,
    reports: Reports,
    id: Option<String>,
    /// Of a rejected row's key and value, this many bytes are kept each.
    rejected: usize,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "writer {}", self.id.as_deref().unwrap_or("without transactions"))
    }
}

impl Writer {
    /// With an id: fences every earlier producer of that id and waits until its transaction has ended.
    pub(super) fn open(
        connection: &Connection,
        id: Option<String>,
        largest: Option<usize>,
    ) -> Result<Writer, StageError> {
        let reports = Reports::default();
        let config = config(connection, id.as_deref(), largest)?;
        let producer: BaseProducer<Reports> = config.create_with_context(reports.clone()).map_err(error::config)?;
        let rejected = largest.map_or(REJECTED_BYTES, |largest| REJECTED_BYTES.min(largest / 4));
        let writer = Writer { producer, reports, id, rejected };
        if writer.id.is_some() {
            writer.producer.init_transactions(INIT).map_err(|error| writer.failed(&error))?;
        }
        Ok(writer)
    }

    fn doing(&self, target: &str) -> String {
        match &self.id {
            Some(id) => format!("transactional id `{id}`"),
            None => format!("topic `{target}`"),
        }
    }

    fn failed(&self, error: &KafkaError) -> StageError {
        let found = error::of(&self.doing(""), error);
        match error.rdkafka_error_code() {
            Some(Code::TransactionalIdAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                found.remedy("allow the user `Write` and `Describe` on transactional ids that begin with `foretell/`")
            }
            _ => found,
        }
    }

    /// Writes rows (all where not said which) and marks; with an id in one transaction. How many rows went to the
    /// rejects.
    pub(super) fn write(&self, job: &Job, rows: &[usize], marks: &[Mark]) -> Result<u64, StageError> {
        self.reports.failed.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if self.id.is_some() {
            self.producer.begin_transaction().map_err(|error| self.failed(&error))?;
        }
        let mut rejected = 0;
        for row in rows {
            if !self.row(job, *row)? {
                self.reject(job, *row)?;
                rejected += 1;
            }
        }
        self.mark(&job.target.progress, marks)?;
        self.end(&job.target.topic)?;
        Ok(rejected)
    }

    /// Writes marks alone, in a transaction.
    pub(super) fn only_marks(&self, progress: &str, marks: &[Mark]) -> Result<(), StageError> {
        self.producer.begin_transaction().map_err(|error| self.failed(&error))?;
        self.mark(progress, marks)?;
        self.end(progress)
    }

    fn mark(&self, progress: &str, marks: &[Mark]) -> Result<(), StageError> {
        for (key, value) in marks {
            let mut record = BaseRecord::with_opaque_to(progress, NO_ROW).key(key.as_bytes());
            record.payload = value.as_deref().map(str::as_bytes);
            if !self.send(record)? {
                return Err(StageError::settings(format!("topic `{progress}`: a position is too large for it")));
            }
        }
        Ok(())
    }

    /// Whether it fits.
    fn row(&self, job: &Job, row: usize) -> Result<bool, StageError> {
        let mut record = BaseRecord::with_opaque_to(&job.target.topic, row);
        record.key = job.encoded.key(row);
        record.payload = job.encoded.value(row);
        record.headers = job.encoded.headers(row);
        self.send(record)
    }

    /// Hands a record over. Whether it fits.
    fn send(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<bool, StageError> {
        loop {
            let Err((error, back)) = self.producer.send(record) else { return Ok(true) };
            match error.rdkafka_error_code() {
                Some(Code::MessageSizeTooLarge) => return Ok(false),
                Some(Code::QueueFull) => {
                    // Answers of records that failed are polled out; the others make room by themselves.
                    self.producer.poll(Duration::ZERO);
                    if self.any_failed() {
                        return Err(self.outcome(back.topic));
                    }
                    std::thread::sleep(Duration::from_millis(1));
                    record = back;
                }
                _ => return Err(self.failed(&error)),
            }
        }
    }

    /// A row that is too large for the topic.
    fn reject(&self, job: &Job, row: usize) -> Result<(), StageError> {
        let topic = &job.target.topic;
        let size = job.encoded.value(row).map_or(0, <[u8]>::len) + job.encoded.key(row).map_or(0, <[u8]>::len);
        let place = match &job.provenance {
            Some(from) if row < from.offsets.len() => {
                format!("partition {}, offset {}", from.partitions.value(row), from.offsets.value(row))
            }
            _ => format!("row {row} of the batch"),
        };
        let reason = format!("a record of {size} bytes is too large for topic `{topic}`");
        let Some(rejects) = &job.target.rejects else {
            let error = StageError::settings(format!("{place}: {reason}"));
            return Err(error.remedy("raise the topic's `max.message.bytes`, or name a topic for such rows: `rejects`"));
        };
        let add =
            |headers: OwnedHeaders, name: &str, value: &str| headers.insert(Header { key: name, value: Some(value) });
        let mut headers = OwnedHeaders::new_with_capacity(6);
        if let Some(from) = job.provenance.as_ref().filter(|from| row < from.offsets.len()) {
            headers = add(headers, "__connect.errors.partition", &from.partitions.value(row).to_string());
            headers = add(headers, "__connect.errors.offset", &from.offsets.value(row).to_string());
        }
        headers = add(headers, "__connect.errors.stage", "sink kafka");
        headers = add(headers, "__connect.errors.exception.message", &reason);
        headers = add(headers, "foretell.value.size", &size.to_string());
        let cut =
            |bytes: Option<&'_ [u8]>| bytes.map(|bytes| bytes.iter().take(self.rejected).copied().collect::<Vec<u8>>());
        let (key, value) = (cut(job.encoded.key(row)), cut(job.encoded.value(row)));
        let mut record = BaseRecord::with_opaque_to(rejects, NO_ROW).headers(headers);
        record.key = key.as_deref();
        record.payload = value.as_deref();
        match self.send(record)? {
            true => Ok(()),
            false => Err(StageError::settings(format!("topic `{rejects}`: not even {} bytes fit", self.rejected))),
        }
    }

    fn any_failed(&self) -> bool {
        !self.reports.failed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Waits for all answers; with an id, commits.
    fn end(&self, target: &str) -> Result<(), StageError> {
        let answered = flush(&self.producer, ANSWERS);
        if self.any_failed() || !answered {
            return Err(self.outcome(target));
        }
        if self.id.is_some() {
            self.producer.commit_transaction(ANSWERS).map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Why records did not arrive.
    fn outcome(&self, target: &str) -> StageError {
        if let Some((code, text)) = self.producer.client().fatal_error() {
            let message = format!("{}: {text}", self.doing(target));
            return StageError { fault: error::fault(code), message, remedy: String::new() };
        }
        let failed = self.reports.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.first() {
            Some((_, code)) => error::of(&format!("topic `{target}`"), &KafkaError::MessageProduction(*code)),
            None => StageError::unavailable(format!("topic `{target}`: no answer within {} s", ANSWERS.as_secs())),
        }
    }
}
