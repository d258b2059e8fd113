//! One producer: rows and positions in one transaction, or rows alone. All calls block.

use std::time::{Duration, Instant};

use foretell_flow::testing::crash_point;
use foretell_flow::{Fault, Partition, Provenance, StageError, Topics};
use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::encode::Encoded;
use super::pace::Pace;
use super::progress::Mark;
use super::reports::{Failure, NO_ROW, Reports};
use super::target::Target;
use crate::client::{Context, LOGIN, SILENCE, is_login};
use crate::error::{self, Cause};
use crate::raw;
use crate::settings::Connection;

/// How long a transaction may stay open when its writer is gone: until then readers of committed records wait. Ours are
/// open for one write, and a new owner ends the one before at once.
const OPEN: Duration = Duration::from_secs(20);
/// What brokers allow at most unless they are told otherwise.
const OPEN_AT_MOST: Duration = Duration::from_secs(15 * 60);
/// For the end of one before, which the coordinator looks at every 10 s; and how long one call waits for it, behind which
/// the next goes on.
const INIT: Duration = Duration::from_secs(60);
const INIT_STEP: Duration = Duration::from_secs(1);
/// For the first connection to a broker: where there is none by then, the next call says so.
const CONNECTED: Duration = Duration::from_secs(5);
/// How long it is waited for at first, then twice as long each time: it is there within milliseconds, and the client's own
/// wait misses it where it comes while the wait begins.
const LOOK: Duration = Duration::from_millis(10);
/// For all answers to one write; in a transaction as long as that may be open, and for its end.
const ANSWERS: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(10);
/// Of a value that is too large, this many bytes go to the rejects at most.
const REJECTED_BYTES: usize = 16 * 1024;
/// Records on their way to the broker, in KiB: a write that is larger waits.
const QUEUE_KIB: usize = 64 * 1024;
/// Rows that are handed over in one call.
const TOGETHER: usize = 1024;

/// The producer's settings: transactional with an id. `open` is how long a transaction may stay open, where that is
/// longer than the settings say.
pub(super) fn config(
    connection: &Connection,
    id: Option<&str>,
    largest: Option<usize>,
    open: Option<Duration>,
) -> Result<ClientConfig, StageError> {
    let usual = OPEN.as_millis().to_string();
    // What librdkafka takes for a size.
    let largest = largest.map(|bytes| bytes.clamp(1000, 1_000_000_000));
    // One record always fits.
    let queue = largest.map_or(QUEUE_KIB, |bytes| QUEUE_KIB.max(bytes / 512)).to_string();
    let largest = largest.map(|bytes| bytes.to_string());
    let mut own = vec![
        ("client.id", "foretell"),
        ("partitioner", "murmur2_random"),
        // Half the bytes or fewer for a few percent of a core, and every client can read it.
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
        Some(id) => own.extend([("transactional.id", id), ("transaction.timeout.ms", &usual)]),
        None => own.push(("message.timeout.ms", "30000")),
    }
    let mut config = connection.config(&own)?;
    if let (Some(open), Some(_)) = (open, id) {
        config.set("transaction.timeout.ms", open.as_millis().to_string());
    }
    Ok(config)
}

/// Rows to write, encoded once and written by several writers.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) encoded: Encoded,
    pub(super) provenance: Option<Provenance>,
    /// What the provenance's numbers mean.
    pub(super) topics: Topics,
    pub(super) target: Target,
    /// Whether the target takes no record without a key, as far as is known.
    pub(super) compacted: bool,
}

/// Why a row cannot go into its topic, and what can be done.
type Refusal = (String, &'static str);

/// Why a write did not happen.
pub(super) enum Stop {
    /// The broker refuses a row.
    Row(StageError),
    /// The transaction was not over within the time that it may be open; the next one may be open this long.
    Late(StageError, Duration),
    Error(StageError),
}

impl From<StageError> for Stop {
    fn from(error: StageError) -> Stop {
        Stop::Error(error)
    }
}

/// A producer. After an error it must not be used again: whether its transaction ended is unknown.
pub(super) struct Writer {
    producer: BaseProducer<Reports>,
    reports: Reports,
    id: Option<String>,
    /// How long a transaction may stay open.
    open: Duration,
    /// Of a rejected row's key and value, this many bytes are kept each.
    rejected: usize,
    pace: Pace,
    /// When the last transaction ended, and how long the next is to stay away.
    ended: Mutex<(Instant, Duration)>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "writer {}", self.id.as_deref().unwrap_or("without transactions"))
    }
}

impl Writer {
    /// With an id: fences every earlier producer of that id and waits until its transaction has ended. `known` is a topic
    /// that is there.
    pub(super) fn open(
        connection: &Connection,
        id: Option<String>,
        known: &str,
        largest: Option<usize>,
        open: Option<Duration>,
    ) -> Result<Writer, StageError> {
        let reports = Reports::new(Context::of(connection.tokens()));
        let config = config(connection, id.as_deref(), largest, open)?;
        let open = config.get("transaction.timeout.ms").and_then(|millis| millis.parse().ok());
        let open = open.map_or(OPEN, Duration::from_millis);
        let producer: BaseProducer<Reports> = config.create_with_context(reports.clone()).map_err(error::config)?;
        // Whether one is to be had at all was seen when the sink was opened.
        raw::log_in(producer.client(), &reports.context).map_err(|mut error| {
            error.fault = Fault::Unavailable;
            error
        })?;
        let rejected = largest.map_or(REJECTED_BYTES, |largest| REJECTED_BYTES.min(largest / 4));
        let writer = Writer {
            producer,
            reports,
            id,
            open,
            rejected,
            pace: Pace::default(),
            ended: Mutex::new((Instant::now(), Duration::ZERO)),
        };
        if writer.id.is_some() {
            writer.connected(known);
            writer.fence()?;
        }
        Ok(writer)
    }

    /// Fences earlier producers of the id and waits until their transaction has ended.
    fn fence(&self) -> Result<(), StageError> {
        let begun = Instant::now();
        loop {
            let Err(error) = self.producer.init_transactions(INIT_STEP) else { return Ok(()) };
            self.producer.poll(Duration::ZERO);
            self.let_in("", begun)?;
            let goes_on = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !goes_on || begun.elapsed() >= INIT {
                return Err(self.failed(&error));
            }
        }
    }

    /// Whether brokers have not refused the login, of what began then: nothing else would be told before it has timed out.
    fn let_in(&self, target: &str, begun: Instant) -> Result<(), StageError> {
        let refused = self.reports.context.refused(SILENCE).filter(|_| begun.elapsed() >= LOGIN);
        refused.map_or(Ok(()), |why| Err(self.refuses(target, &why)))
    }

    fn refuses(&self, target: &str, why: &str) -> StageError {
        StageError::unavailable(format!("{}: the brokers refuse the login: {why}", self.doing(target)))
            .remedy("check `security`: whether the password, the ticket or what gives tokens has changed")
    }

    /// Waits for an answer of a broker that the cluster has named: those of the settings are let go as soon as they have named
    /// the others, and a client that has no connection at that moment asks for the coordinator half a second later.
    fn connected(&self, known: &str) {
        let (begun, mut look) = (Instant::now(), LOOK);
        while begun.elapsed() < CONNECTED {
            match self.producer.client().fetch_metadata(Some(known), look) {
                Ok(answer) if answer.orig_broker_id() >= 0 => return,
                Ok(_) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => look = look.saturating_mul(2),
            }
        }
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
            Some(code) if is_login(code) => {
                self.refuses("", &self.reports.context.refused(SILENCE).unwrap_or_else(|| error::text(code)))
            }
            Some(Code::TransactionalIdAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                found.remedy("allow the user `Write` and `Describe` on transactional ids that begin with `foretell/`")
            }
            Some(Code::TopicAuthorizationFailed) => {
                found.remedy("allow the user `Write` on the topic, on that of the positions and on `rejects`")
            }
            _ => found,
        }
    }

    /// Writes rows and marks; with an id in one transaction. Rows that are known not to fit go to the rejects; how many
    /// did.
    pub(super) fn write(&self, job: &Job, rows: &[usize], marks: &[Mark]) -> Result<u64, Stop> {
        let begun = Instant::now();
        let outcome = self.write_all(job, rows, marks);
        match outcome {
            Err(Stop::Error(error)) => Err(self.late(begun, rows.len().saturating_add(marks.len()), error)),
            outcome => outcome,
        }
    }

    /// An error that came of a transaction which was open for too long. Where no record of it arrived it is not that.
    fn late(&self, begun: Instant, sent: usize, error: StageError) -> Stop {
        let arrived = self.reports.failed().len() < sent;
        if self.id.is_none() || !arrived || begun.elapsed() < self.open.mul_f64(0.9) {
            return Stop::Error(error);
        }
        let next = self.open.saturating_mul(2).min(OPEN_AT_MOST).max(self.open);
        let (open, more) = (self.open.as_secs_f64(), next.as_secs_f64());
        let message = format!(
            "{}: the transaction was not over within {open} s, as long as it may be open ({}); the next may be open {more} s",
            self.doing(""),
            error.message
        );
        Stop::Late(StageError::unavailable(message), next)
    }

    fn write_all(&self, job: &Job, rows: &[usize], marks: &[Mark]) -> Result<u64, Stop> {
        self.reports.failed().clear();
        let begun = Instant::now();
        if self.id.is_some() {
            self.producer.begin_transaction().map_err(|error| self.failed(&error))?;
        }
        // First, so that the coordinator hears of their partition together with those of the rows, and not behind them.
        self.mark(&job.target.progress, marks)?;
        let rejected = self.rows(job, rows)?;
        self.end(&job.target.topic).map_err(|error| self.refused(job).unwrap_or(Stop::Error(error)))?;
        if self.id.is_some() {
            let rest = self.pace.rest(rows.len(), begun.elapsed());
            *self.ended.lock() = (Instant::now(), rest);
        }
        Ok(rejected)
    }

    /// Waits until the next transaction may begin.
    pub(super) fn rest(&self) {
        let (ended, rest) = *self.ended.lock();
        std::thread::sleep(rest.saturating_sub(ended.elapsed()));
    }

    /// The row that the broker refuses, if that is why nothing was written.
    fn refused(&self, job: &Job) -> Option<Stop> {
        let failed = self.reports.failed();
        if failed.iter().any(|failure| !failure.of_a_row() && !failure.dropped()) {
            return None;
        }
        let rows: Vec<&Failure> = failed.iter().filter(|failure| failure.of_a_row()).collect();
        // librdkafka does not always tell the one that is at fault from the others of its batch.
        let without_key = |failure: &&&Failure| job.encoded.key(failure.row).is_none();
        let named = |failure: &&&Failure| failure.code != Code::InvalidDifferentRecord;
        let one = rows.iter().find(without_key).or_else(|| rows.iter().find(named)).or_else(|| rows.first())?;
        let (topic, text) = (&job.target.topic, error::text(one.code));
        let what = match (one.code, job.encoded.key(one.row)) {
            (Code::MessageSizeTooLarge | Code::MessageBatchTooLarge, _) => {
                format!("topic `{topic}` takes no batch of {} records that is so large: {text}", rows.len())
            }
            (_, None) => format!("topic `{topic}` refuses the record, which has no key: {text}"),
            (_, Some(_)) => format!("topic `{topic}` refuses the record, or another of its batch: {text}"),
        };
        let error = StageError::settings(format!("{}: {what}", place(job, one.row)));
        Some(Stop::Row(match one.code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => error.remedy(
                "allow the user `DescribeConfigs` on the topic, or give its `max.message.bytes`: `options: { \
                 message.max.bytes: … }`",
            ),
            Code::InvalidTimestamp => error.remedy("compare the clocks of this machine and the broker"),
            _ => error.remedy("a compacted topic takes no record without a key: name a `key` that is never null"),
        }))
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
            // The one that is read, whatever the topic has become.
            record.partition = Some(0);
            if !self.send(record)? {
                return Err(StageError::settings(format!("topic `{progress}`: a position is too large for it")));
            }
        }
        Ok(())
    }

    /// Hands rows over, in their order; how many were set aside.
    fn rows(&self, job: &Job, rows: &[usize]) -> Result<u64, StageError> {
        let (mut rest, mut rejected) = (rows, 0_u64);
        // One by one where each may be refused, or where the client takes no other way.
        let together = if job.compacted || !job.encoded.is_plain() { 0 } else { TOGETHER };
        while !rest.is_empty() {
            let (chunk, mut behind) = rest.split_at(rest.len().min(together));
            let plain = chunk.iter().map(|row| (job.encoded.key(*row), job.encoded.value(*row), *row));
            let failed = match chunk.is_empty() {
                true => Vec::new(),
                false => raw::produce(self.producer.client(), &job.target.topic, plain),
            };
            let mut alone = Vec::new();
            for (index, code) in failed {
                match code {
                    Code::MessageSizeTooLarge => alone.extend(chunk.get(index).copied()),
                    Code::QueueFull => {
                        // None behind it was taken.
                        alone.extend(chunk.get(index).copied());
                        behind = rest.get(index.saturating_add(1)..).unwrap_or_default();
                        break;
                    }
                    // The transaction cannot go on. Its answers say why.
                    Code::State if self.id.is_some() => {}
                    _ if self.hopeless() => {}
                    code => return Err(self.failed(&KafkaError::MessageProduction(code))),
                }
            }
            if together == 0
                && let Some((row, after)) = behind.split_first()
            {
                alone.push(*row);
                behind = after;
            }
            for row in alone {
                if let Some((reason, remedy)) = self.row(job, row)? {
                    self.reject(job, row, &reason, remedy)?;
                    rejected = rejected.saturating_add(1);
                }
            }
            rest = behind;
        }
        Ok(rejected)
    }

    /// Hands a row over, or says why it cannot go in.
    fn row(&self, job: &Job, row: usize) -> Result<Option<Refusal>, StageError> {
        let mut record = BaseRecord::with_opaque_to(&job.target.topic, row);
        record.key = job.encoded.key(row);
        if record.key.is_none() && job.compacted {
            return Ok(Some(without_key(job)));
        }
        record.payload = job.encoded.value(row);
        record.headers = job.encoded.headers(row);
        Ok((!self.send(record)?).then(|| too_large(job, row)))
    }

    /// Hands a record over. Whether it fits.
    fn send(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<bool, StageError> {
        let begun = Instant::now();
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
                    self.let_in(back.topic, begun)?;
                    std::thread::sleep(Duration::from_millis(1));
                    record = back;
                }
                // The transaction cannot go on. Its answers say why.
                Some(Code::State) if self.id.is_some() => return Ok(true),
                _ if self.hopeless() => return Ok(true),
                _ => return Err(self.failed(&error)),
            }
        }
    }

    /// Whether what is written now cannot be kept. The end says why.
    fn hopeless(&self) -> bool {
        let failed = self.reports.failed();
        match self.id {
            Some(_) => failed.iter().any(|failure| !failure.dropped()),
            None => failed.iter().any(|failure| error::cause(failure.code) != Cause::Row),
        }
    }

    /// Sets a row aside.
    fn reject(&self, job: &Job, row: usize, reason: &str, remedy: &str) -> Result<(), StageError> {
        let size = size(job, row);
        let Some(rejects) = &job.target.rejects else {
            let error = StageError::settings(format!("{}: {reason}", place(job, row)));
            return Err(error.remedy(remedy));
        };
        let add =
            |headers: OwnedHeaders, name: &str, value: &str| headers.insert(Header { key: name, value: Some(value) });
        let mut headers = OwnedHeaders::new_with_capacity(7);
        if let Some(from) = job.provenance.as_ref().filter(|from| row < from.offsets.len()) {
            let Partition { topic, index } = job.topics.partition(from.partitions.value(row));
            if job.topics.names().len() > 1 {
                headers = add(headers, "__connect.errors.topic", &topic);
            }
            headers = add(headers, "__connect.errors.partition", &index.to_string());
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

    /// Waits for all answers, or for the first that makes the others void; with an id, commits.
    fn end(&self, target: &str) -> Result<(), StageError> {
        let answers = self.answers();
        let begun = Instant::now();
        while !raw::flush(self.producer.client(), Duration::from_millis(50)) {
            self.producer.poll(Duration::ZERO);
            if self.hopeless() || begun.elapsed() >= answers {
                return Err(self.outcome(target));
            }
            self.let_in(target, begun)?;
        }
        if !self.reports.failed().is_empty() {
            return Err(self.outcome(target));
        }
        // What was said of logins is over.
        self.reports.context.forget();
        if self.id.is_some() {
            crash_point("kafka-before-commit");
            self.producer.commit_transaction(answers).map_err(|error| self.failed(&error))?;
            crash_point("kafka-after-commit");
        }
        Ok(())
    }

    fn answers(&self) -> Duration {
        if self.id.is_some() { self.open.saturating_add(END) } else { ANSWERS }
    }

    /// Why records did not arrive.
    fn outcome(&self, target: &str) -> StageError {
        if let Some((code, text)) = self.producer.client().fatal_error() {
            let message = format!("{}: {text}", self.doing(target));
            return StageError::new(error::fault(code), message);
        }
        let failed = self.reports.failed();
        // What is not a row's comes first; a record that was dropped says nothing.
        let failure = failed.iter().find(|failure| !failure.of_a_row() && !failure.dropped());
        let Some(Failure { topic, code, .. }) = failure.or_else(|| failed.iter().find(|failure| !failure.dropped()))
        else {
            // Records are dropped where the transaction itself fails, and then none can begin: that says why.
            if self.id.is_some()
                && let Err(error) = self.producer.begin_transaction()
                && error.rdkafka_error_code() != Some(Code::State)
            {
                return self.failed(&error);
            }
            return StageError::unavailable(format!(
                "topic `{target}`: no answer within {} s",
                self.answers().as_secs()
            ));
        };
        let error = error::of(&format!("topic `{topic}`"), &KafkaError::MessageProduction(*code));
        match code {
            Code::TopicAuthorizationFailed => error.remedy(format!("allow the user `Write` on `{topic}`")),
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                error.remedy(format!("create topic `{topic}` again, or name another"))
            }
            Code::UnsupportedCompressionType => error.remedy("name another `options: { compression.codec: … }`"),
            _ => error,
        }
    }
}

/// Where a row comes from.
fn place(job: &Job, row: usize) -> String {
    match &job.provenance {
        Some(from) if row < from.offsets.len() => {
            let (ordinal, offset) = (from.partitions.value(row), from.offsets.value(row));
            match job.topics.names() {
                [_, _, ..] => format!("{}, offset {offset}", job.topics.partition(ordinal)),
                _ => format!("partition {ordinal}, offset {offset}"),
            }
        }
        _ => format!("row {row} of the batch"),
    }
}

/// The bytes of a row's key and value.
fn size(job: &Job, row: usize) -> usize {
    [job.encoded.value(row), job.encoded.key(row)].into_iter().flatten().map(<[u8]>::len).sum()
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
