//! The thread that polls the client, and what the source and it share.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use foretell_flow::{Demand, Event, Partition, StageError};
use rdkafka::Offset;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::{Notify, oneshot};

use super::buffer::Buffer;
use super::{out_of_range, reading};
use crate::kafka::client::Context;
use crate::kafka::error;
use crate::kafka::inspect::Inspector;
use crate::kafka::raw::{Consumer, Handle, Polled, Rebalance};
use crate::kafka::settings::Connection;

/// Between polls of a quiet topic; requests wake the thread earlier.
const POLL: Duration = Duration::from_millis(200);
/// A full buffer is waited on this long before fetching stops and polling goes on, so that a pipeline that is just the
/// slower side costs no fetch twice. Rebalances are seen this much later at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// Messages in the buffer at most, however small they are: each costs about 150 bytes besides its own.
const ROWS: usize = 500_000;
/// For a clean end: commits on their way, and the member's goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// How the reader gets its partitions.
pub(super) enum Membership {
    /// From its group, as a member of this stable name.
    Static { name: String },
    /// It takes these, and no group hears of it.
    None { partitions: Vec<i32> },
}

/// How the reader behaves.
pub(super) struct Options {
    pub(super) group: String,
    pub(super) membership: Membership,
    pub(super) isolation: String,
    /// Bytes of buffered messages.
    pub(super) buffer: usize,
}

/// The source's end of the thread.
pub(super) struct Reader {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
    /// Closed by the thread when it has left the group.
    ended: Mutex<mpsc::Receiver<()>>,
}

struct Shared {
    topic: Arc<str>,
    limit: usize,
    state: Mutex<State>,
    /// For the source: something came.
    came: Notify,
    /// For the thread: something was asked or taken.
    asked: Condvar,
}

#[derive(Default)]
struct State {
    /// Our partitions by number.
    owned: Vec<i32>,
    /// What the source has not been told.
    rebalances: Vec<Rebalance>,
    buffer: Buffer,
    seek: Option<Seek>,
    failure: Option<StageError>,
    /// When the last broker was lost, as long as nothing came since.
    down: Option<Instant>,
    stop: bool,
    /// Whether nothing is fetched because the buffer is full.
    parked: bool,
}

struct Seek {
    positions: Vec<(i32, i64)>,
    done: oneshot::Sender<Result<(), StageError>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self, buffer: &Buffer) -> bool {
        buffer.bytes() >= self.limit || buffer.rows() >= ROWS
    }

    fn drained(&self, buffer: &Buffer) -> bool {
        buffer.bytes() <= self.limit / 2 && buffer.rows() <= ROWS / 2
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reader of {}", self.shared.topic)
    }
}

impl Reader {
    /// Joins the group, where it is to join one, and starts polling.
    pub(super) fn start(
        connection: &Connection,
        topic: Arc<str>,
        options: Options,
        inspector: Arc<Inspector>,
    ) -> Result<Reader, StageError> {
        // What librdkafka fetches ahead comes on top of our buffer; an eighth of it keeps the brokers busy.
        let ahead = (options.buffer / 8 / 1024).clamp(1024, 64 * 1024).to_string();
        let mut settings = vec![
            ("client.id", "foretell"),
            // The client consumes under no other; as long as it does not subscribe, the group does not know of it.
            ("group.id", options.group.as_str()),
            ("session.timeout.ms", "20000"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("isolation.level", options.isolation.as_str()),
            ("queued.max.messages.kbytes", ahead.as_str()),
            // New partitions are seen within this time.
            ("topic.metadata.refresh.interval.ms", "60000"),
        ];
        if let Membership::Static { name } = &options.membership {
            settings.push(("group.instance.id", name.as_str()));
        }
        let config = connection.config(&settings)?;
        let context = Context::default();
        let consumer = Consumer::new(&config, context.clone()).map_err(error::config)?;
        let mut state = State::default();
        let member = match options.membership {
            Membership::Static { name } => {
                consumer.subscribe(&topic).map_err(|error| error::of(&format!("topic `{topic}`"), &error))?;
                name
            }
            Membership::None { partitions } => {
                state.owned.clone_from(&partitions);
                state.rebalances.push(Rebalance::Assigned(partitions));
                String::new()
            }
        };
        let shared = Arc::new(Shared {
            topic,
            limit: options.buffer,
            state: Mutex::new(state),
            came: Notify::new(),
            asked: Condvar::new(),
        });
        let handle = consumer.handle();
        let (end, ended) = mpsc::channel();
        let thread = Thread { shared: shared.clone(), consumer, context, inspector, member, full: None };
        std::thread::Builder::new()
            .name("kafka source".into())
            .spawn(move || {
                let _end = end;
                let shared = thread.shared.clone();
                // Who waits for records would wait for ever.
                if let Err(error) = StageError::guarded("the Kafka source", || thread.run()) {
                    shared.state().failure.get_or_insert(error);
                    shared.came.notify_one();
                }
            })
            .map_err(|error| StageError::unavailable(format!("no thread for the Kafka source: {error}")))?;
        Ok(Reader { shared, handle, ended: Mutex::new(ended) })
    }

    /// Resolves when something came after this call.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + '_ {
        let mut changed = Box::pin(self.shared.came.notified());
        changed.as_mut().enable();
        changed
    }

    /// What there is to say now.
    pub(super) fn take(&self, demand: Demand) -> Result<Option<Event>, StageError> {
        let shared = &self.shared;
        let mut state = shared.state();
        if !state.rebalances.is_empty() {
            return Ok(Some(match state.rebalances.remove(0) {
                Rebalance::Revoked => Event::Revoked,
                Rebalance::Assigned(numbers) => {
                    let partition = |index| Partition { topic: shared.topic.clone(), index };
                    Event::Assigned(numbers.into_iter().map(partition).collect())
                }
            }));
        }
        let chunk = state.buffer.take(&shared.topic, demand);
        let rows = state.buffer.rows();
        let resume = state.parked && shared.drained(&state.buffer);
        // The records before a failure come first.
        if let (true, Some(failure)) = (chunk.is_none() && rows == 0, &state.failure) {
            return Err(failure.clone());
        }
        drop(state);
        shared.asked.notify_one();
        if resume {
            self.handle.wake();
        }
        Ok(chunk.map(Event::Records))
    }

    /// For how long no broker has been there; zero where one answered since.
    pub(super) fn down_for(&self) -> Duration {
        self.shared.state().down.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// A broker answered.
    pub(super) fn answered(&self) {
        self.shared.state().down = None;
    }

    /// Reads on from these offsets.
    pub(super) async fn seek(&self, positions: Vec<(i32, i64)>) -> Result<(), StageError> {
        let (done, outcome) = oneshot::channel();
        self.shared.state().seek = Some(Seek { positions, done });
        self.shared.asked.notify_one();
        self.handle.wake();
        let gone = || StageError::unavailable(format!("topic `{}`: the reader has ended", self.shared.topic));
        outcome.await.map_err(|_| gone())?
    }

    /// For commits beside the reading.
    pub(super) fn committer(&self) -> Committer {
        Committer { shared: self.shared.clone(), handle: self.handle.clone() }
    }
}

/// Sends the group's offsets.
pub(super) struct Committer {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
}

impl Committer {
    /// Sends those of partitions that are ours, with a note, without waiting.
    pub(super) fn commit(&self, positions: &[(i32, i64)], note: &str) -> Result<(), StageError> {
        let owned = self.shared.state().owned.clone();
        let ours = positions.iter().filter(|(partition, _)| owned.contains(partition)).copied();
        let list = list(&self.shared.topic, ours);
        if list.count() == 0 {
            return Ok(());
        }
        for (partition, _) in positions {
            if let Some(mut element) = list.find_partition(&self.shared.topic, *partition) {
                element.set_metadata(note);
            }
        }
        self.handle.commit(&list).map_err(|error| error::of(&format!("topic `{}`", self.shared.topic), &error))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.asked.notify_one();
        self.handle.wake();
        // What is not committed by then is not lost: the group's offset is advisory.
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(GOODBYE);
    }
}

fn list(topic: &str, positions: impl IntoIterator<Item = (i32, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in positions {
        // Fails only for an offset that cannot be said: a negative one, which no log has.
        let _ = list.add_partition_offset(topic, partition, Offset::Offset(offset.max(0)));
    }
    list
}

struct Thread {
    shared: Arc<Shared>,
    consumer: Consumer,
    context: Context,
    inspector: Arc<Inspector>,
    member: String,
    /// Since when the buffer is full.
    full: Option<Instant>,
}

impl Thread {
    fn run(mut self) {
        while !self.stopped() {
            self.seek();
            if !self.room() {
                continue;
            }
            match self.consumer.poll(POLL) {
                Polled::Nothing => self.fatal(),
                Polled::Rebalanced(rebalances) => self.rebalanced(rebalances),
                Polled::Batch(batch) => {
                    let errors: Vec<(i32, i64, Code, String)> = batch
                        .iter()
                        .filter_map(|message| {
                            let code = message.error().filter(|code| *code != Code::PartitionEOF)?;
                            Some((message.partition(), message.offset(), code, message.error_text()))
                        })
                        .collect();
                    let mut state = self.shared.state();
                    state.buffer.push(batch);
                    if errors.is_empty() {
                        state.down = None;
                    }
                    drop(state);
                    for (partition, offset, code, text) in errors {
                        self.failed(partition, offset, code, &text);
                    }
                    self.shared.came.notify_one();
                }
            }
            self.watch();
        }
        self.consumer.close();
    }

    fn stopped(&self) -> bool {
        self.shared.state().stop
    }

    /// Does what `seek` asked for.
    fn seek(&mut self) {
        let Some(Seek { mut positions, done }) = self.shared.state().seek.take() else { return };
        let wanted = {
            let mut state = self.shared.state();
            // A partition that was lost in between is another member's business now.
            positions.retain(|(partition, _)| state.owned.contains(partition));
            state.buffer.seek(&positions);
            state.failure = None;
            state.parked = false;
            list(&self.shared.topic, state.buffer.wanted())
        };
        self.full = None;
        let outcome = self.assign(&wanted);
        // Nobody may be waiting any more.
        let _ = done.send(outcome);
    }

    fn assign(&self, list: &TopicPartitionList) -> Result<(), StageError> {
        self.consumer.assign(list).map_err(|error| error::of(&format!("topic `{}`", self.shared.topic), &error))
    }

    /// Whether to poll now. A buffer that stays full stops the fetching, and polling goes on.
    fn room(&mut self) -> bool {
        let mut state = self.shared.state();
        if state.parked {
            if self.shared.drained(&state.buffer) {
                state.parked = false;
                let wanted = list(&self.shared.topic, state.buffer.wanted());
                drop(state);
                if let Err(error) = self.assign(&wanted) {
                    self.shared.state().failure = Some(error);
                }
            }
            return true;
        }
        if !self.shared.full(&state.buffer) {
            self.full = None;
            return true;
        }
        let since = *self.full.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            drop(self.shared.asked.wait_timeout(state, Duration::from_millis(50)));
            return false;
        }
        state.parked = true;
        drop(state);
        self.full = None;
        if let Err(error) = self.assign(&TopicPartitionList::new()) {
            tracing::debug!(%error, "fetching goes on with a full buffer");
        }
        true
    }

    fn rebalanced(&mut self, rebalances: Vec<Rebalance>) {
        // Nothing is fetched until the next `seek`.
        self.full = None;
        let mut state = self.shared.state();
        state.parked = false;
        for rebalance in &rebalances {
            state.buffer.void();
            state.owned = match rebalance {
                Rebalance::Assigned(numbers) => numbers.clone(),
                Rebalance::Revoked => Vec::new(),
            };
        }
        tracing::debug!(topic = &*self.shared.topic, member = self.member, owned = ?state.owned, "assignment");
        state.down = None;
        state.rebalances.extend(rebalances);
        drop(state);
        self.shared.came.notify_one();
    }

    /// An error among the messages.
    fn failed(&mut self, partition: i32, offset: i64, code: Code, text: &str) {
        let failure = match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
                let stored = self.shared.state().buffer.wanted().find(|(index, _)| *index == partition);
                let position = stored.map_or(offset, |(_, position)| position);
                out_of_range(&self.inspector, &self.shared.topic, partition, position)
            }
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                let error = StageError::state(format!("topic `{}` is gone: {text}", self.shared.topic));
                error.remedy("create it again and `foretell positions forget` what is stored for the old one")
            }
            // The client goes on by itself: connections come back, a rebalance follows.
            code if error::fault(code) == foretell_flow::Fault::Unavailable => {
                tracing::debug!(topic = &*self.shared.topic, partition, "{text}");
                return;
            }
            code => reading(&self.shared.topic, code, text),
        };
        self.shared.state().failure.get_or_insert(failure);
        self.shared.came.notify_one();
    }

    /// An error after which this client is of no use.
    fn fatal(&mut self) {
        let Some((code, text)) = self.consumer.handle().fatal() else { return };
        let topic = &self.shared.topic;
        let failure = match code {
            Code::FencedInstanceId => {
                StageError::settings(format!("topic `{topic}`: another process joined the group as `{}`", self.member))
                    .remedy("each worker needs an id of its own: `--worker-id`; or this is an old process: let it end")
            }
            code => reading(topic, code, &text),
        };
        self.shared.state().failure.get_or_insert(failure);
        self.shared.came.notify_one();
    }

    /// Notes that all brokers are away.
    fn watch(&self) {
        let Some(last) = self.context.errors().into_iter().rfind(|report| report.code == Code::AllBrokersDown) else {
            return;
        };
        self.context.forget();
        self.shared.state().down.get_or_insert(last.at);
        self.shared.came.notify_one();
    }
}
