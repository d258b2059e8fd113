//! The thread that polls the client, and what the source and it share.

mod thread;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use foretell_flow::{Demand, Event, Partition, StageError, Topics};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rdkafka::Offset;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::{Notify, oneshot};

use super::buffer::Buffer;
use super::topics::named;
use crate::client::Context;
use crate::error;
use crate::inspect::Inspector;
use crate::raw::{Consumer, Handle, Rebalance};
use crate::settings::Connection;
use thread::Thread;

/// Messages in the buffer at most, however small they are: each costs some hundred bytes besides its own.
const ROWS: usize = 30_000;
/// What the client fetches ahead of a partition, in messages, before it looks at what is there.
const AHEAD: &str = "5000";
/// Bytes of a partition in one answer, unless its first batch has more: of small messages the usual megabyte is some ten
/// thousands, which cost ten times their own bytes until they are read.
const ANSWER: &str = "524288";
/// How long it leaves a partition alone that has so many. The usual second, of which a quick pipeline waits most, makes a
/// limit of what is fetched ahead in each second.
const LOOK_AGAIN: &str = "5";
/// A member that says nothing for so many milliseconds is taken for gone, where `options` do not say.
pub(super) const SESSION: &str = "20000";
/// For a clean end: commits on their way, and leaving the group.
const GOODBYE: Duration = Duration::from_secs(3);

/// How the reader gets its partitions.
#[derive(Clone)]
pub(super) enum Membership {
    /// From its group, as a member of this stable name. One that leaves lets others have its partitions as soon as it ends;
    /// any other keeps them for as long as its session, to be back under its name.
    Static { name: String, leaves: bool },
    /// It takes these, and no group hears of it.
    None { partitions: Vec<Partition> },
}

/// How the reader behaves.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) group: String,
    pub(super) membership: Membership,
    /// What the group calls its client; it tells [where](super::elsewhere) the worker keeps what is its machine's own.
    pub(super) client: String,
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
    /// Whether the group says that another member has this one's id. This client is of no use from then on.
    fenced: bool,
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
            ("client.id", options.client.as_str()),
            // The client consumes under no other; as long as it does not subscribe, the group does not know of it.
            ("group.id", options.group.as_str()),
            ("session.timeout.ms", SESSION),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("isolation.level", options.isolation.as_str()),
            // A damaged batch must not pass for records; what comes behind it is void, see [`Buffer`].
            ("check.crcs", "true"),
            ("queued.max.messages.kbytes", ahead.as_str()),
            ("queued.min.messages", AHEAD),
            ("fetch.message.max.bytes", ANSWER),
            ("fetch.queue.backoff.ms", LOOK_AGAIN),
            // The end behind a transaction's marker is told by an answer without records, which comes after this time.
            ("fetch.wait.max.ms", "100"),
            // New partitions are seen within this time.
            ("topic.metadata.refresh.interval.ms", "60000"),
        ];
        if let Membership::Static { name, .. } = &options.membership {
            settings.push(("group.instance.id", name.as_str()));
        }
        let config = connection.config(&settings)?;
        let context = Context::of(connection.tokens());
        let consumer = Consumer::new(&config, context.clone()).map_err(error::config)?;
        let mut state = State::default();
        let group = matches!(options.membership, Membership::Static { .. }).then(|| options.group.clone());
        let grouped = group.is_some();
        let leaves = matches!(options.membership, Membership::Static { leaves: true, .. });
        match options.membership {
            Membership::Static { .. } => {
                let topics = topics.lock().clone();
                consumer.subscribe(&topics).map_err(|error| error::of(&named(&topics), &error))?;
            }
            Membership::None { partitions } => {
                let topics = topics.lock().clone();
                state.owned = partitions.iter().filter_map(|partition| topics.ordinal(partition)).collect();
                state.rebalances.push(Rebalance::Assigned(partitions));
            }
        }
        let shared = Arc::new(Shared {
            topics,
            limit: options.buffer,
            state: Mutex::new(state),
            came: Notify::new(),
            asked: Condvar::new(),
        });
        let handle = consumer.handle();
        let of_thread = shared.clone();
        let (brokers, (end, ended)) = (connection.brokers.0.clone(), mpsc::channel());
        let thread = Thread::new(shared.clone(), consumer, context, inspector, brokers, grouped).leaving(leaves);
        std::thread::Builder::new()
            .name("kafka source".into())
            .spawn(move || {
                let _end = end;
                // Who waits for records would wait for ever.
                if let Err(error) = StageError::guarded("the Kafka source", || thread.run()) {
                    of_thread.state().failure.get_or_insert(error);
                    of_thread.came.notify_one();
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

    /// Whether the group says that another member has its id: nothing comes any more.
    pub(super) fn fenced(&self) -> bool {
        self.shared.state().fenced
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
