//! One producer: rows and positions in one transaction, or rows alone. All calls block.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foretell_flow::{Provenance, StageError};
use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::encode::Encoded;
use super::land::Target;
use crate::kafka::client::{Context, flush};
use crate::kafka::error::{self, Cause};
use crate::kafka::raw;
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

/// A record that did not arrive.
#[derive(Debug, Clone)]
struct Failure {
    row: usize,
    topic: String,
    code: Code,
    /// What the broker says of it, where it says more than the code.
    text: String,
}

#[derive(Debug, Clone, Default)]
struct Reports {
    context: Context,
    failed: Arc<Mutex<Vec<Failure>>>,
}

impl Reports {
    fn failed(&self) -> MutexGuard<'_, Vec<Failure>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        if let Err((error, message)) = result {
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            // Records that were dropped because of another one are no news.
            if !matches!(code, Code::PurgeQueue | Code::PurgeInflight) || self.failed().is_empty() {
                let text = raw::produce_error(message).unwrap_or_else(|| error::text(code));
                self.failed().push(Failure { row, topic: message.topic().to_owned(), code, text });
            }
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
    /// Whether the target takes no record without a key, as far as is known: a broker that says so is believed.
    pub(super) compacted: Arc<AtomicBool>,
}

/// Why a row cannot go into its topic, and what can be done.
type Refusal = (String, &'static str);

/// Why a write did not happen.
enum Stop {
    /// These rows are refused, and by their cause perhaps others with them.
    Rows(Vec<Failure>),
    Error(StageError),
}

impl From<StageError> for Stop {
    fn from(error: StageError) -> Stop {
        Stop::Error(error)
    }
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

    /// Writes rows and marks; with an id in one transaction. Rows that the topic does not take go to the rejects; how many
    /// did.
    pub(super) fn write(&self, job: &Job, rows: &[usize], marks: &[Mark]) -> Result<u64, StageError> {
        let mut refused: BTreeMap<usize, Refusal> = BTreeMap::new();
        let mut todo: Cow<'_, [usize]> = rows.into();
        loop {
            let failures = match self.attempt(job, &todo, &mut refused, marks) {
                Ok(()) => return Ok(refused.len() as u64),
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Rows(failures)) => failures,
            };
            let before = refused.len();
            for failure in failures.iter().filter(|failure| failure.code != Code::InvalidDifferentRecord) {
                refused.insert(failure.row, self.refusal(job, failure, failures.len())?);
            }
            if refused.len() == before {
                return Err(StageError::unavailable(format!("topic `{}`: a batch is refused", job.target.topic)));
            }
            match self.id {
                Some(_) => self.producer.abort_transaction(ANSWERS).map_err(|error| self.failed(&error))?,
                // The others are written.
                None => todo = failures.iter().map(|failure| failure.row).collect(),
            }
        }
    }

    /// Writes once.
    fn attempt(
        &self,
        job: &Job,
        rows: &[usize],
        refused: &mut BTreeMap<usize, Refusal>,
        marks: &[Mark],
    ) -> Result<(), Stop> {
        self.reports.failed().clear();
        if self.id.is_some() {
            self.producer.begin_transaction().map_err(|error| self.failed(&error))?;
        }
        for row in rows {
            if !refused.contains_key(row)
                && let Some(refusal) = self.row(job, *row)?
            {
                refused.insert(*row, refusal);
            }
            if let Some((reason, remedy)) = refused.get(row) {
                self.reject(job, *row, reason, remedy)?;
            }
        }
        self.mark(&job.target.progress, marks)?;
        self.end(&job.target.topic)
    }

    /// Why the broker does not take a row, of `together` that it refused at once.
    fn refusal(&self, job: &Job, failure: &Failure, together: usize) -> Result<Refusal, StageError> {
        let topic = &job.target.topic;
        match failure.code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge if together > 1 => {
                let error = StageError::settings(format!(
                    "topic `{topic}`: a batch of {together} records is too large for it: its `max.message.bytes` cannot be \
                     read, or was lowered since the start"
                ));
                Err(error.remedy(
                    "allow the user `DescribeConfigs` on the topic and start again, or say its size: `options: { \
                     message.max.bytes: … }`",
                ))
            }
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Ok(too_large(job, failure.row)),
            _ if job.encoded.key(failure.row).is_none() && failure.text.contains("ompacted") => {
                job.compacted.store(true, Relaxed);
                Ok(without_key(job))
            }
            _ => Ok((format!("topic `{topic}` refuses the record: {}", failure.text), OTHERS)),
        }
    }

    /// Writes marks alone, in a transaction.
    pub(super) fn only_marks(&self, progress: &str, marks: &[Mark]) -> Result<(), StageError> {
        self.producer.begin_transaction().map_err(|error| self.failed(&error))?;
        let written = self.mark(progress, marks).map_err(Stop::Error).and_then(|()| self.end(progress));
        written.map_err(|stop| match stop {
            Stop::Error(error) => error,
            Stop::Rows(_) => StageError::state(format!("topic `{progress}`: a position is refused")),
        })
    }

    fn mark(&self, progress: &str, marks: &[Mark]) -> Result<(), StageError> {
        for (key, value) in marks {
            let mut record = BaseRecord::with_opaque_to(progress, NO_ROW).key(key.as_bytes());
            record.payload = value.as_deref().map(str::as_bytes);
            // The one that is read, whatever the topic has become.
            record.partition = Some(0);
            if !self.send(record)? {
                return Err(StageError::settings(format!("topic `{progress}`: a position is too large for it")));
            }
        }
        Ok(())
    }

    /// Hands a row over, or says why it cannot go in.
    fn row(&self, job: &Job, row: usize) -> Result<Option<Refusal>, StageError> {
        let mut record = BaseRecord::with_opaque_to(&job.target.topic, row);
        record.key = job.encoded.key(row);
        if record.key.is_none() && job.compacted.load(Relaxed) {
            return Ok(Some(without_key(job)));
        }
        record.payload = job.encoded.value(row);
        record.headers = job.encoded.headers(row);
        Ok((!self.send(record)?).then(|| too_large(job, row)))
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
                    // A transaction with a failure is void; without one the other records are written all the same.
                    if self.hopeless() {
                        return Ok(true);
                    }
                    std::thread::sleep(Duration::from_millis(1));
                    record = back;
                }
                // What came before it in the transaction is why.
                _ if self.hopeless() => return Ok(true),
                _ => return Err(self.failed(&error)),
            }
        }
    }

    /// Whether what is written now cannot be kept. The end says why.
    fn hopeless(&self) -> bool {
        let failed = self.reports.failed();
        match self.id {
            Some(_) => !failed.is_empty(),
            None => failed.iter().any(|failure| error::cause(failure.code) != Cause::Row),
        }
    }

    /// Sets a row aside.
    fn reject(&self, job: &Job, row: usize, reason: &str, remedy: &str) -> Result<(), StageError> {
        let size = size(job, row);
        let place = match &job.provenance {
            Some(from) if row < from.offsets.len() => {
                format!("partition {}, offset {}", from.partitions.value(row), from.offsets.value(row))
            }
            _ => format!("row {row} of the batch"),
        };
        let Some(rejects) = &job.target.rejects else {
            let error = StageError::settings(format!("{place}: {reason}"));
            return Err(error.remedy(remedy));
        };
        let add =
            |headers: OwnedHeaders, name: &str, value: &str| headers.insert(Header { key: name, value: Some(value) });
        let mut headers = OwnedHeaders::new_with_capacity(6);
        if let Some(from) = job.provenance.as_ref().filter(|from| row < from.offsets.len()) {
            headers = add(headers, "__connect.errors.partition", &from.partitions.value(row).to_string());
            headers = add(headers, "__connect.errors.offset", &from.offsets.value(row).to_string());
        }
        headers = add(headers, "__connect.errors.stage", "sink kafka");
        headers = add(headers, "__connect.errors.exception.message", reason);
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

    /// Waits for all answers; with an id, commits.
    fn end(&self, target: &str) -> Result<(), Stop> {
        let answered = flush(&self.producer, ANSWERS);
        if !self.reports.failed().is_empty() || !answered {
            return Err(self.outcome(target));
        }
        if self.id.is_some() {
            self.producer.commit_transaction(ANSWERS).map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Why records did not arrive.
    fn outcome(&self, target: &str) -> Stop {
        if let Some((code, text)) = self.producer.client().fatal_error() {
            let message = format!("{}: {text}", self.doing(target));
            return Stop::Error(StageError { fault: error::fault(code), message, remedy: String::new() });
        }
        let failed = self.reports.failed();
        let of_a_row = |failure: &&Failure| failure.row != NO_ROW && error::cause(failure.code) == Cause::Row;
        // What is not a row's comes first; a record that was dropped says nothing.
        let dropped = |failure: &Failure| matches!(failure.code, Code::PurgeQueue | Code::PurgeInflight);
        if let Some(failure) = failed.iter().find(|failure| !of_a_row(failure) && !dropped(failure)) {
            let error = error::of(&format!("topic `{}`", failure.topic), &KafkaError::MessageProduction(failure.code));
            let topic = &failure.topic;
            return Stop::Error(match failure.code {
                Code::TopicAuthorizationFailed => error.remedy(format!("allow the user `Write` on `{topic}`")),
                Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                    error.remedy(format!("create topic `{topic}` again, or name another"))
                }
                Code::UnsupportedCompressionType => error.remedy("name another `options: { compression.codec: … }`"),
                _ => error,
            });
        }
        let rows: Vec<Failure> = failed.iter().filter(of_a_row).cloned().collect();
        match rows.is_empty() {
            false => Stop::Rows(rows),
            true => Stop::Error(StageError::unavailable(format!(
                "topic `{target}`: no answer within {} s",
                ANSWERS.as_secs()
            ))),
        }
    }
}

const OTHERS: &str = "name a topic for such rows: `rejects`";

/// The bytes of a row's key and value.
fn size(job: &Job, row: usize) -> usize {
    job.encoded.value(row).map_or(0, <[u8]>::len) + job.encoded.key(row).map_or(0, <[u8]>::len)
}

fn too_large(job: &Job, row: usize) -> Refusal {
    (
        format!("a record of {} bytes is too large for topic `{}`", size(job, row), job.target.topic),
        "raise the topic's `max.message.bytes`, or name a topic for such rows: `rejects`",
    )
}

fn without_key(job: &Job) -> Refusal {
    (
        format!("topic `{}` is compacted and takes no record without a key", job.target.topic),
        "name a `key` that is never null, or a topic for such rows: `rejects`",
    )
}
