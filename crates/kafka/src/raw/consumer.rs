//! A group member that takes messages in batches and is told of each rebalance.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_flow::{Header, Partition, Topics};
use parking_lot::Mutex;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, TopicPartitionList};
use rdkafka_sys as sys;

use super::login;
use crate::client::Context;

/// Messages taken in one call. Larger batches gain nothing that can be measured.
const BATCH: usize = 4096;
/// Of what belongs to no partition.
const NO_LANE: i32 = -1;

/// A change of the assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rebalance {
    /// All partitions that are ours now.
    Assigned(Vec<Partition>),
    /// We have none any more.
    Revoked,
}

/// What one poll brought. Messages and rebalances never come together: a rebalance voids what came with it.
#[derive(Debug)]
pub(crate) enum Polled {
    /// Nothing in time.
    Nothing,
    /// Messages, ends of partitions and errors, in order.
    Batch(Batch),
    /// The assignment changed, in this order; nothing is fetched until [`Consumer::assign`].
    Rebalanced(Vec<Rebalance>),
}

/// What librdkafka's callbacks reach: it holds a plain pointer to this for as long as the client lives.
struct Hooks {
    context: Context,
    rebalances: Mutex<Vec<Rebalance>>,
}

/// The client, alive as long as anything that came out of it.
pub(crate) struct Handle {
    client: NonNull<sys::rd_kafka_t>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    hooks: Box<Hooks>,
}

// SAFETY: a librdkafka client and its queues may be used from any thread at once; `Hooks` is Sync.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: both were created in `Consumer::new` and are freed once, the queue before its client; messages keep
        // an `Arc` of this handle, so none is left. `hooks` is freed after this.
        unsafe {
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
            sys::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}

impl Handle {
    /// Makes a waiting [`Consumer::poll`] return at once.
    pub(crate) fn wake(&self) {
        // SAFETY: the queue lives as long as `self`.
        unsafe { sys::rd_kafka_queue_yield(self.queue.as_ptr()) }
    }

    /// As [`begin_again`](super::begin_again).
    pub(crate) fn begin_again(&self, brokers: &str) {
        // SAFETY: the client lives as long as `self`.
        unsafe { super::brokers::name(self.client.as_ptr(), brokers) }
    }

    /// Sends the group's offsets without waiting for an answer.
    pub(crate) fn commit(&self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        // SAFETY: client and list are alive; the list is copied.
        let code = unsafe { sys::rd_kafka_commit(self.client.as_ptr(), offsets.ptr(), 1) };
        outcome(code, KafkaError::ConsumerCommit)
    }

    /// How far the client is in these partitions (their offsets in the list do not matter): behind the last message
    /// that was taken, or the last transaction marker.
    pub(crate) fn positions(&self, partitions: &TopicPartitionList) -> Vec<(Partition, i64)> {
        let list = partitions.clone();
        // SAFETY: client and list are alive; the call writes offsets into the list and keeps nothing.
        let code = unsafe { sys::rd_kafka_position(self.client.as_ptr(), list.ptr()) };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Vec::new();
        }
        let position = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
            rdkafka::Offset::Offset(offset) => {
                Some((Partition { topic: element.topic().into(), index: element.partition() }, offset))
            }
            _ => None,
        };
        list.elements().into_iter().filter_map(position).collect()
    }

    /// The id that the group gave this member when it joined last; `None` before.
    pub(crate) fn member_id(&self) -> Option<String> {
        // SAFETY: the client is alive; the text is ours, ends with zero, and is freed once, after it is copied.
        unsafe {
            let id = sys::rd_kafka_memberid(self.client.as_ptr());
            if id.is_null() {
                return None;
            }
            let text = CStr::from_ptr(id).to_string_lossy().into_owned();
            sys::rd_kafka_mem_free(self.client.as_ptr(), id.cast());
            (!text.is_empty()).then_some(text)
        }
    }

    /// The error after which this client is of no use, if there was one.
    pub(crate) fn fatal(&self) -> Option<(RDKafkaErrorCode, String)> {
        let mut text: [c_char; 512] = [0; 512];
        // SAFETY: the buffer is as long as said, and what is written is terminated by zero.
        let (code, text) = unsafe {
            let code = sys::rd_kafka_fatal_error(self.client.as_ptr(), text.as_mut_ptr(), text.len());
            (code, CStr::from_ptr(text.as_ptr()))
        };
        (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| (code.into(), text.to_string_lossy().into_owned()))
    }
}

fn outcome(code: RDKafkaRespErr, error: impl FnOnce(RDKafkaErrorCode) -> KafkaError) -> KafkaResult<()> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(error(code.into())),
    }
}

/// One client that consumes. Polled by one thread; [`Handle`] is for the others.
pub(crate) struct Consumer {
    handle: Arc<Handle>,
    taken: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: `taken` is empty between calls; the rest is Send.
unsafe impl Send for Consumer {}

impl Consumer {
    /// A client with these settings; it joins nothing yet.
    pub(crate) fn new(config: &ClientConfig, context: Context) -> KafkaResult<Consumer> {
        let native = config.create_native_config()?;
        let hooks = Box::new(Hooks { context, rebalances: Mutex::new(Vec::new()) });
        let mut text: [c_char; 512] = [0; 512];
        // SAFETY: `hooks` is on the heap and outlives the client (`Handle` drops it last). On success librdkafka owns
        // the configuration, so it must not be dropped here.
        unsafe {
            sys::rd_kafka_conf_set_opaque(native.ptr(), ptr::from_ref(&*hooks).cast_mut().cast::<c_void>());
            sys::rd_kafka_conf_set_rebalance_cb(native.ptr(), Some(rebalance));
            sys::rd_kafka_conf_set_error_cb(native.ptr(), Some(error));
            sys::rd_kafka_conf_set_log_cb(native.ptr(), Some(log));
            sys::rd_kafka_conf_set_oauthbearer_token_refresh_cb(native.ptr(), Some(token));
            sys::rd_kafka_conf_enable_sasl_queue(native.ptr(), 1);
            let native = ManuallyDrop::new(native);
            let kind = sys::rd_kafka_type_t::RD_KAFKA_CONSUMER;
            let Some(client) = NonNull::new(sys::rd_kafka_new(kind, native.ptr(), text.as_mut_ptr(), text.len()))
            else {
                drop(ManuallyDrop::into_inner(native));
                let text = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
                return Err(KafkaError::ClientCreation(text));
            };
            sys::rd_kafka_set_log_level(client.as_ptr(), config.log_level as c_int);
            sys::rd_kafka_poll_set_consumer(client.as_ptr());
            login::in_background(client.as_ptr());
            let Some(queue) = NonNull::new(sys::rd_kafka_queue_get_consumer(client.as_ptr())) else {
                sys::rd_kafka_destroy(client.as_ptr());
                return Err(KafkaError::ClientCreation("a consumer needs a group".into()));
            };
            let handle = Arc::new(Handle { client, queue, hooks });
            Ok(Consumer { handle, taken: vec![ptr::null_mut(); BATCH] })
        }
    }

    /// For other threads.
    pub(crate) fn handle(&self) -> Arc<Handle> {
        self.handle.clone()
    }

    /// Joins the group for these topics.
    pub(crate) fn subscribe(&self, topics: &Topics) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(topics.names().len());
        for topic in topics.names() {
            list.add_topic_unassigned(topic);
        }
        // SAFETY: client and list are alive; the list is copied.
        let code = unsafe { sys::rd_kafka_subscribe(self.handle.client.as_ptr(), list.ptr()) };
        outcome(code, |code| KafkaError::Subscription(code.to_string()))
    }

    /// Fetches exactly these partitions, each from its offset; whatever was fetched before is dropped.
    pub(crate) fn assign(&self, positions: &TopicPartitionList) -> KafkaResult<()> {
        // SAFETY: client and list are alive; the list is copied.
        let code = unsafe { sys::rd_kafka_assign(self.handle.client.as_ptr(), positions.ptr()) };
        outcome(code, KafkaError::Rebalance)
    }

    /// What is there, or what comes first within `wait`.
    pub(crate) fn poll(&mut self, wait: Duration) -> Polled {
        let mut taken = self.take(0);
        if taken == 0 {
            let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
            // SAFETY: the queue is alive; a message that is returned is ours to free.
            let first = unsafe { sys::rd_kafka_consume_queue(self.handle.queue.as_ptr(), wait) };
            if let (false, Some(slot)) = (first.is_null(), self.taken.first_mut()) {
                *slot = first;
                taken = self.take(1);
            }
        }
        let messages: Box<[_]> = self.taken.get(..taken).unwrap_or_default().into();
        let batch = Batch { messages, ordinals: Vec::new(), handle: self.handle.clone() };
        let rebalances = std::mem::take(&mut *self.handle.hooks.rebalances.lock());
        match (rebalances.is_empty(), taken) {
            (false, _) => Polled::Rebalanced(rebalances),
            (true, 0) => Polled::Nothing,
            _ => Polled::Batch(batch),
        }
    }

    /// Takes what is there into the slots behind the first `from`; how many are filled then.
    fn take(&mut self, from: usize) -> usize {
        let slots = self.taken.get_mut(from..).unwrap_or_default();
        // SAFETY: the queue is alive and the slots are as many as said; messages are ours to free.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.handle.queue.as_ptr(), 0, slots.as_mut_ptr(), slots.len())
        };
        from.saturating_add(usize::try_from(count).unwrap_or(0))
    }

    /// Leaves its group for good, which a static member does no more once it closes. What comes meanwhile is dropped.
    pub(crate) fn leave(&mut self, patience: Duration) {
        let begun = Instant::now();
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_unsubscribe(self.handle.client.as_ptr()) };
        // The client forgets its id when it tells the group.
        while self.handle.member_id().is_some() && begun.elapsed() < patience {
            self.poll(Duration::from_millis(5));
        }
    }

    /// Ends: waits for commits on their way, and for the group's word where it leaves. A static member that has not left
    /// stays known to its group until its session ends.
    pub(crate) fn close(&self) {
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_consumer_close(self.handle.client.as_ptr()) };
    }
}

/// Messages as they came; freed together.
pub(crate) struct Batch {
    messages: Box<[*mut sys::rd_kafka_message_t]>,
    /// By message its ordinal, where there are several topics.
    ordinals: Vec<i32>,
    handle: Arc<Handle>,
}

// SAFETY: the messages are owned, never changed, and keep their client alive through `handle`.
unsafe impl Send for Batch {}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} messages", self.messages.len())
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for message in &self.messages {
            // SAFETY: each is owned by this batch and freed once; the client is alive through `handle`.
            unsafe { sys::rd_kafka_message_destroy(*message) }
        }
        debug_assert!(Arc::strong_count(&self.handle) > 0);
    }
}

impl Batch {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// One of them.
    pub(crate) fn get(&self, index: usize) -> Option<Message<'_>> {
        // SAFETY: librdkafka returned these pointers as messages; they live until the batch is dropped.
        let message = self.messages.get(index).map(|message| unsafe { &**message })?;
        Some(Message(message, self.ordinals.get(index).copied().unwrap_or(message.partition)))
    }

    /// Tells messages of several topics apart: from now on [`Message::ordinal`] is that of these topics.
    pub(crate) fn tell_apart(&mut self, topics: &Topics) {
        if topics.names().len() < 2 {
            return;
        }
        let mut last: Option<(&CStr, Arc<str>)> = None;
        let mut ordinals = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            // SAFETY: as in `get`; the name lives as long as the message's topic, which the message keeps alive.
            let (message, name) = unsafe {
                let message = &**message;
                (message, (!message.rkt.is_null()).then(|| CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt))))
            };
            let Some(name) = name.filter(|_| message.partition >= 0) else {
                ordinals.push(NO_LANE);
                continue;
            };
            let topic = match &last {
                Some((known, topic)) if *known == name => topic.clone(),
                _ => name.to_string_lossy().into(),
            };
            last = Some((name, topic.clone()));
            ordinals.push(topics.ordinal(&Partition { topic, index: message.partition }).unwrap_or(NO_LANE));
        }
        self.ordinals = ordinals;
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// A message, the end of a partition, or an error.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a>(&'a sys::rd_kafka_message_t, i32);

impl<'a> Message<'a> {
    /// What is wrong, if this is not a message; [`RDKafkaErrorCode::PartitionEOF`] says that `offset` is the end.
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        (self.0.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| self.0.err.into())
    }

    /// The text of an error.
    pub(crate) fn error_text(&self) -> String {
        // SAFETY: for an error the payload is its text, terminated by zero; the function falls back to the code's name.
        let text = unsafe { sys::rd_kafka_message_errstr(self.0) };
        match text.is_null() {
            true => String::new(),
            // SAFETY: checked above; it lives as long as the message.
            false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
        }
    }

    /// The ordinal of its partition; negative for an error that concerns none.
    pub(crate) fn ordinal(&self) -> i32 {
        self.1
    }

    /// The offset; of an end, the offset that comes next.
    pub(crate) fn offset(&self) -> i64 {
        self.0.offset
    }

    /// The key.
    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka gives pointer and length of one buffer that lives as long as the message.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// The value.
    pub(crate) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// The bytes of key and value.
    pub(crate) fn size(&self) -> usize {
        self.0.key_len.saturating_add(self.0.len)
    }

    /// Milliseconds since the epoch.
    pub(crate) fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and `kind` may be written to.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        (time >= 0).then_some(time)
    }

    /// The headers.
    pub(crate) fn headers(&self) -> Vec<Header> {
        let mut found = Vec::new();
        let mut list = ptr::null_mut();
        // SAFETY: the message is alive and owns the list; names end with zero, values have the length given, and both
        // are copied here.
        unsafe {
            if sys::rd_kafka_message_headers(self.0, &raw mut list) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return found;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            while sys::rd_kafka_header_get_all(list, found.len(), &raw mut name, &raw mut value, &raw mut size)
                == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                let key = CStr::from_ptr(name).to_string_lossy().into_owned();
                found.push(Header { key, value: bytes(value, size).map(<[u8]>::to_vec) });
            }
        }
        found
    }
}

/// # Safety
/// `start` is null or the start of `len` bytes that live as long as `'a`.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), len) })
}

unsafe extern "C" fn rebalance(
    client: *mut sys::rd_kafka_t,
    code: sys::rd_kafka_resp_err_t,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` is the `Hooks` set in `Consumer::new`, alive as long as the client; the list is borrowed from
    // librdkafka for this call. An empty assignment keeps the member in its group and fetches nothing, until the run
    // loop has claimed the partitions and knows where to begin.
    unsafe {
        let hooks = &*opaque.cast::<Hooks>();
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let list = &*partitions;
            let count = usize::try_from(list.cnt).unwrap_or(0);
            let elements = if count == 0 { &[] } else { slice::from_raw_parts(list.elems, count) };
            let partition = |element: &sys::rd_kafka_topic_partition_t| Partition {
                topic: CStr::from_ptr(element.topic).to_string_lossy().into(),
                index: element.partition,
            };
            let mut ours: Vec<Partition> = elements.iter().map(partition).collect();
            ours.sort_unstable();
            sys::rd_kafka_assign(client, TopicPartitionList::new().ptr());
            hooks.rebalances.lock().push(Rebalance::Assigned(ours));
        } else {
            sys::rd_kafka_assign(client, ptr::null());
            hooks.rebalances.lock().push(Rebalance::Revoked);
        }
        sys::rd_kafka_yield(client);
    }
}

unsafe extern "C" fn error(_: *mut sys::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: `opaque` as in `rebalance`; the reason is text that ends with zero.
    let (hooks, reason) = unsafe { (&*opaque.cast::<Hooks>(), CStr::from_ptr(reason)) };
    let code = RDKafkaRespErr::try_from(code).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from);
    hooks.context.error(KafkaError::Global(code), &reason.to_string_lossy());
}

unsafe extern "C" fn token(client: *mut sys::rd_kafka_t, _: *const c_char, opaque: *mut c_void) {
    // SAFETY: `opaque` as in `rebalance`; the client is the one that calls.
    unsafe { login::renew(client, &(*opaque.cast::<Hooks>()).context) }
}

unsafe extern "C" fn log(client: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, text: *const c_char) {
    // SAFETY: the client's opaque is the `Hooks`; both texts end with zero.
    unsafe {
        let hooks = sys::rd_kafka_opaque(client).cast::<Hooks>();
        if let Some(hooks) = hooks.as_ref() {
            let (facility, text) = (CStr::from_ptr(facility), CStr::from_ptr(text));
            let level = match level {
                ..=3 => RDKafkaLogLevel::Error,
                4 => RDKafkaLogLevel::Warning,
                5 => RDKafkaLogLevel::Notice,
                6 => RDKafkaLogLevel::Info,
                _ => RDKafkaLogLevel::Debug,
            };
            hooks.context.log(level, &facility.to_string_lossy(), &text.to_string_lossy());
        }
    }
}
