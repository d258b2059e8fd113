//! The thread that polls the client, and what the source and it share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use foretell_flow::{Demand, Event, Fault, Partition, StageError, Topics};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rdkafka::Offset;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::{Notify, oneshot};

use super::buffer::Buffer;
use super::topics::named;
use super::{out_of_range, reading, unreadable};
use crate::client::Context;
use crate::error;
use crate::inspect::Inspector;
use crate::raw::{Consumer, Handle, Polled, Rebalance};
use crate::settings::Connection;

/// Between polls of a quiet topic; requests wake the thread earlier.
const POLL: Duration = Duration::from_millis(200);
/// A full buffer is waited on this long before fetching stops and polling goes on, so that a pipeline that is just the
/// slower side costs no fetch twice. Rebalances are seen this much later at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// Messages in the buffer at most, however small they are: each costs some hundred bytes besides its own.
const ROWS: usize = 60_000;
/// What the client fetches ahead of a partition, in messages, before it looks at what is there.
const AHEAD: &str = "10000";
/// How long it leaves a partition alone that has so many. The usual second, of which a quick pipeline waits most, makes a
/// limit of what is fetched ahead in each second.
const LOOK_AGAIN: &str = "5";
/// What passes by itself is told this often while it lasts.
const SAY: Duration = Duration::from_secs(30);
/// For a clean end: commits on their way, and leaving the group.
const GOODBYE: Duration = Duration::from_secs(3);

/// How the reader gets its partitions.
pub(super) enum Membership {
    /// From its group, as a member of this stable name.
    Static { name: String },
    /// It takes these, and no group hears of it.
    None { partitions: Vec<Partition> },
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
    /// The group that it is a member of.
    group: Option<String>,
    /// Closed by the thread when it has left the group.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// What the thread, the source and the [watch](super::watch) share.
pub(super) struct Shared {
    /// Grows where topics are found by a pattern.
    topics: Arc<Mutex<Topics>>,
    limit: usize,
    state: Mutex<State>,
    /// For the source: something came.
    came: Notify,
    /// For the thread: something was asked or taken.
    asked: Condvar,
}

#[derive(Default)]
struct State {
    /// Our partitions, by ordinal.
    owned: Vec<i32>,
    /// What the source has not been told.
    rebalances: Vec<Rebalance>,
    buffer: Buffer,
    seek: Option<Seek>,
    /// Whether the group is to deal its partitions again: some are nobody's, or there are more topics.
    deal: bool,
    /// Counts assignments and seeks: what was seen before one of them says nothing of what is read after it.
    epoch: u64,
    /// Why reading cannot go on. Nothing is fetched any more; what was read before is handed out first.
    failure: Option<StageError>,
    /// The log that positions were said of, by topic.
    identities: HashMap<Arc<str>, String>,
    /// When the last broker was lost, as long as nothing came since.
    down: Option<Instant>,
    stop: bool,
    /// Whether nothing is fetched because the buffer is full.
    parked: bool,
}

/// What is being read at a moment.
pub(super) struct Reading {
    pub(super) epoch: u64,
    pub(super) identities: HashMap<Arc<str>, String>,
    /// Whether it is fetched: not while the buffer is full.
    pub(super) fetching: bool,
    /// By ordinal the next offset to fetch.
    pub(super) at: Vec<(i32, i64)>,
}

struct Seek {
    positions: Vec<(i32, i64)>,
    done: oneshot::Sender<Result<(), StageError>>,
}

impl Shared {
    /// The topics as they are known now.
    pub(super) fn topics(&self) -> Topics {
        self.topics.lock().clone()
    }

    /// They are read, too, from now on: the group deals its partitions again.
    pub(super) fn add(&self, names: &[String], handle: &Handle) {
        let mut topics = self.topics.lock();
        *topics = names.iter().fold(topics.clone(), |topics, name| topics.with(name));
        drop(topics);
        self.state().deal = true;
        self.asked.notify_one();
        handle.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Notes why reading cannot go on, and says it at once: the pipeline may be long busy with what was read before.
    pub(super) fn fail(&self, failure: StageError) {
        let epoch = self.state().epoch;
        self.fail_in(epoch, failure);
    }

    /// As [`fail`](Self::fail), of what was seen in this epoch.
    pub(super) fn fail_in(&self, epoch: u64, failure: StageError) {
        let mut state = self.state();
        if state.epoch != epoch || state.failure.is_some() {
            return;
        }
        tracing::warn!("{failure}; reading ends here, and what was read before it is stored first");
        state.failure = Some(failure);
        drop(state);
        self.came.notify_one();
        self.asked.notify_one();
    }

    /// What is being read now, for the watch.
    pub(super) fn reading(&self) -> Reading {
        let state = self.state();
        Reading {
            epoch: state.epoch,
            identities: state.identities.clone(),
            fetching: !state.parked && state.failure.is_none() && state.seek.is_none(),
            at: state.buffer.wanted().collect(),
        }
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
        write!(f, "reader of {}", named(&self.shared.topics()))
    }
}

impl Reader {
    /// Joins the group, where it is to join one, and starts polling.
    pub(super) fn start(
        connection: &Connection,
        topics: Arc<Mutex<Topics>>,
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
            // A damaged batch must not pass for records; what comes behind it is void, see [`Buffer`].
            ("check.crcs", "true"),
            ("queued.max.messages.kbytes", ahead.as_str()),
            ("queued.min.messages", AHEAD),
            ("fetch.queue.backoff.ms", LOOK_AGAIN),
            // The end behind a transaction's marker is told by an answer without records, which comes after this time.
            ("fetch.wait.max.ms", "100"),
            // New partitions are seen within this time.
            ("topic.metadata.refresh.interval.ms", "60000"),
        ];
        if let Membership::Static { name } = &options.membership {
            settings.push(("group.instance.id", name.as_str()));
        }
        let config = connection.config(&settings)?;
        let context = Context::of(connection.tokens());
        let consumer = Consumer::new(&config, context.clone()).map_err(error::config)?;
        let mut state = State::default();
        let group = matches!(options.membership, Membership::Static { .. }).then(|| options.group.clone());
        let member = match options.membership {
            Membership::Static { name } => {
                let topics = topics.lock().clone();
                consumer.subscribe(&topics).map_err(|error| error::of(&named(&topics), &error))?;
                name
            }
            Membership::None { partitions } => {
                let topics = topics.lock().clone();
                state.owned = partitions.iter().filter_map(|partition| topics.ordinal(partition)).collect();
                state.rebalances.push(Rebalance::Assigned(partitions));
                String::new()
            }
        };
        let shared = Arc::new(Shared {
            topics,
            limit: options.buffer,
            state: Mutex::new(state),
            came: Notify::new(),
            asked: Condvar::new(),
        });
        let handle = consumer.handle();
        let (end, ended) = mpsc::channel();
        let thread = Thread {
            shared: shared.clone(),
            consumer,
            context,
            inspector,
            member,
            full: None,
            halted: false,
            said: HashMap::new(),
        };
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
        Ok(Reader { shared, handle, group, ended: Mutex::new(ended) })
    }

    /// For the watch.
    pub(super) fn shared(&self) -> (Arc<Shared>, Arc<Handle>) {
        (self.shared.clone(), self.handle.clone())
    }

    /// Its group, and its id there: `None` before it has joined, and where it joins none.
    pub(super) fn member(&self) -> Option<(String, String)> {
        Some((self.group.clone()?, self.handle.member_id()?))
    }

    /// The logs that positions are said of from now on, by topic.
    pub(super) fn identify(&self, identities: impl IntoIterator<Item = (Arc<str>, String)>) {
        self.shared.state().identities.extend(identities);
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
                Rebalance::Assigned(ours) => Event::Assigned(ours),
            }));
        }
        let chunk = state.buffer.take(&shared.topics(), demand);
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
        let gone = || StageError::unavailable(format!("{}: the reader has ended", named(&self.shared.topics())));
        outcome.await.map_err(|_| gone())?
    }

    /// Has the group deal its partitions again: an assignment follows.
    pub(super) fn deal(&self) {
        self.shared.state().deal = true;
        self.shared.asked.notify_one();
        self.handle.wake();
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
        let topics = self.shared.topics();
        let ours = positions.iter().filter(|(ordinal, _)| owned.contains(ordinal)).copied();
        let list = list(&topics, ours);
        if list.count() == 0 {
            return Ok(());
        }
        for (ordinal, _) in positions {
            let Partition { topic, index } = topics.partition(*ordinal);
            if let Some(mut element) = list.find_partition(&topic, index) {
                element.set_metadata(note);
            }
        }
        self.handle.commit(&list).map_err(|error| error::of(&named(&topics), &error))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.asked.notify_one();
        self.handle.wake();
        // What is not committed by then is not lost: the group's offset is advisory.
        let ended = self.ended.get_mut();
        let _ = ended.recv_timeout(GOODBYE);
    }
}

/// By ordinal, where to read.
pub(super) fn list(topics: &Topics, positions: impl IntoIterator<Item = (i32, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (ordinal, offset) in positions {
        let Partition { topic, index } = topics.partition(ordinal);
        // Fails only for an offset that cannot be expressed: a negative one, which no log has.
        let _ = list.add_partition_offset(&topic, index, Offset::Offset(offset.max(0)));
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
    /// Whether nothing is fetched because of a failure.
    halted: bool,
    /// When what passes by itself was told last, by partition and code.
    said: HashMap<(i32, i32), Instant>,
}

impl Thread {
    fn run(mut self) {
        while !self.stopped() {
            self.seek();
            self.deal();
            if !self.room() {
                continue;
            }
            match self.consumer.poll(POLL) {
                Polled::Nothing => self.fatal(),
                Polled::Rebalanced(rebalances) => self.rebalanced(rebalances),
                Polled::Batch(mut batch) => {
                    batch.tell_apart(&self.shared.topics());
                    let errors: Vec<(i32, i64, Code, String)> = batch
                        .iter()
                        .filter_map(|message| {
                            let code = message.error().filter(|code| *code != Code::PartitionEOF)?;
                            Some((message.ordinal(), message.offset(), code, message.error_text()))
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
            state.epoch = state.epoch.saturating_add(1);
            state.failure = None;
            state.parked = false;
            list(&self.shared.topics(), state.buffer.wanted())
        };
        self.full = None;
        self.halted = false;
        let outcome = self.assign(&wanted);
        // Nobody may be waiting any more.
        let _ = done.send(outcome);
    }

    /// Joins its group once more. Of the group's leader that makes the coordinator deal anew; of another member it
    /// changes nothing.
    fn deal(&self) {
        if !std::mem::take(&mut self.shared.state().deal) {
            return;
        }
        if self.member.is_empty() {
            // It has what it took.
            let mut state = self.shared.state();
            let topics = self.shared.topics();
            let owned = Rebalance::Assigned(state.owned.iter().map(|ordinal| topics.partition(*ordinal)).collect());
            state.rebalances.push(owned);
            drop(state);
            return self.shared.came.notify_one();
        }
        let topics = self.shared.topics();
        tracing::info!("{}: some partitions are nobody's in the group yet: joining it again", named(&topics));
        if let Err(error) = self.consumer.subscribe(&topics) {
            self.shared.fail(error::of(&named(&topics), &error));
        }
    }

    fn assign(&self, list: &TopicPartitionList) -> Result<(), StageError> {
        self.consumer.assign(list).map_err(|error| error::of(&named(&self.shared.topics()), &error))
    }

    /// Whether to poll now. A buffer that stays full stops the fetching, and so does a failure; polling goes on.
    fn room(&mut self) -> bool {
        let mut state = self.shared.state();
        if state.failure.is_some() {
            drop(state);
            if !std::mem::replace(&mut self.halted, true)
                && let Err(error) = self.assign(&TopicPartitionList::new())
            {
                tracing::debug!(%error, "fetching goes on after a failure");
            }
            return true;
        }
        if state.parked {
            if self.shared.drained(&state.buffer) {
                state.parked = false;
                let wanted = list(&self.shared.topics(), state.buffer.wanted());
                drop(state);
                if let Err(error) = self.assign(&wanted) {
                    self.shared.fail(error);
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
            self.shared.asked.wait_for(&mut state, Duration::from_millis(50));
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
        self.halted = false;
        let mut state = self.shared.state();
        state.epoch = state.epoch.saturating_add(1);
        state.parked = false;
        // Of partitions that are another member's now. One that does not pass comes again.
        state.failure = None;
        let topics = self.shared.topics();
        for rebalance in &rebalances {
            state.buffer.void();
            state.owned = match rebalance {
                Rebalance::Assigned(ours) => ours.iter().filter_map(|partition| topics.ordinal(partition)).collect(),
                Rebalance::Revoked => Vec::new(),
            };
        }
        tracing::debug!(member = self.member, owned = ?state.owned, "{}: assignment", named(&topics));
        state.down = None;
        state.rebalances.extend(rebalances);
        drop(state);
        self.shared.came.notify_one();
    }

    /// An error among the messages.
    fn failed(&mut self, ordinal: i32, offset: i64, code: Code, text: &str) {
        if self.shared.state().failure.is_some() {
            // Those that follow the first are its consequences.
            return;
        }
        let topics = self.shared.topics();
        let (topic, partition) = (topics.topic(ordinal.max(0)), topics.index(ordinal.max(0)));
        let failure = match code {
            Code::Fatal => return self.fatal(),
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
                let stored = self.shared.state().buffer.wanted().find(|(at, _)| *at == ordinal);
                let position = stored.map_or(offset, |(_, position)| position);
                out_of_range(&self.inspector, &topic, partition, position)
            }
            // Whether it is gone for good is seen by the watch.
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::UnknownTopicId => {
                return self.say(ordinal, code, text);
            }
            code if ordinal >= 0 && offset >= 0 && error::breaks(code) => {
                unreadable(&topic, partition, offset, code, text)
            }
            // The client goes on by itself: connections come back, a rebalance follows.
            code if error::fault(code) == Fault::Unavailable => return self.say(ordinal, code, text),
            code => reading(&topic, code, text),
        };
        self.shared.fail(failure);
    }

    /// Tells what is expected to pass by itself: once, and again while it lasts.
    fn say(&mut self, ordinal: i32, code: Code, text: &str) {
        let now = Instant::now();
        let said = self.said.get(&(ordinal, code as i32));
        if said.is_some_and(|said| now.duration_since(*said) < SAY) {
            tracing::debug!(ordinal, "{text}");
            return;
        }
        self.said.insert((ordinal, code as i32), now);
        let topics = self.shared.topics();
        match ordinal {
            0.. => tracing::warn!("{}: {text}: trying again", topics.partition(ordinal)),
            _ => tracing::warn!("{}: {text}: trying again", named(&topics)),
        }
    }

    /// An error after which this client is of no use.
    fn fatal(&mut self) {
        let Some((code, text)) = self.consumer.handle().fatal() else { return };
        let topics = named(&self.shared.topics());
        let failure = match code {
            Code::FencedInstanceId => {
                StageError::settings(format!("{topics}: another process joined the group as `{}`", self.member))
                    .remedy("each worker needs an id of its own: `--worker-id`; or this is an old process: let it end")
            }
            code => reading(&self.shared.topics().topic(0), code, &text),
        };
        self.shared.fail(failure);
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
