//! What the thread does: it polls the client, fills the buffer and says what fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_flow::{Fault, StageError};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::{Seek, Shared, list};
use crate::client::Context;
use crate::error;
use crate::inspect::Inspector;
use crate::raw::{Consumer, Polled, Rebalance};
use crate::source::topics::named;
use crate::source::{out_of_range, reading, unreadable};

/// Between polls of a quiet topic; requests wake the thread earlier.
const POLL: Duration = Duration::from_millis(200);
/// A full buffer is waited on this long before fetching stops and polling goes on, so that a pipeline that is just the
/// slower side costs no fetch twice. Rebalances are seen this much later at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether the client has forgotten every broker.
const LOOK: Duration = Duration::from_secs(2);
/// For leaving the group; a group that could not be left forgets the member when its session ends.
const LEAVE: Duration = Duration::from_secs(1);
/// What passes by itself is told this often while it lasts.
const SAY: Duration = Duration::from_secs(30);

pub(super) struct Thread {
    shared: Arc<Shared>,
    consumer: Consumer,
    context: Context,
    inspector: Arc<Inspector>,
    /// As the settings name them.
    brokers: String,
    /// When it was looked last whether the client knows any.
    looked: Instant,
    /// Whether it is a member of a group.
    grouped: bool,
    /// Whether it leaves its group when it ends.
    leaves: bool,
    /// Since when the buffer is full.
    full: Option<Instant>,
    /// Whether nothing is fetched because of a failure.
    halted: bool,
    /// When what passes by itself was told last, by partition and code.
    said: HashMap<(i32, i32), Instant>,
}

impl Thread {
    pub(super) fn new(
        shared: Arc<Shared>,
        consumer: Consumer,
        context: Context,
        inspector: Arc<Inspector>,
        brokers: String,
        grouped: bool,
    ) -> Thread {
        let (looked, full, halted, said) = (Instant::now(), None, false, HashMap::new());
        Thread { shared, consumer, context, inspector, brokers, looked, grouped, leaves: false, full, halted, said }
    }

    /// Whether it leaves its group when it ends.
    pub(super) fn leaving(self, leaves: bool) -> Thread {
        Thread { leaves, ..self }
    }

    pub(super) fn run(mut self) {
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
        if self.leaves {
            self.consumer.leave(LEAVE);
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
        if !self.grouped {
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
        tracing::debug!(owned = ?state.owned, "{}: assignment", named(&topics));
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
        if code == Code::FencedInstanceId {
            self.shared.state().fenced = true;
            return self.shared.came.notify_one();
        }
        self.shared.fail(reading(&self.shared.topics().topic(0), code, &text));
    }

    /// Notes that all brokers are away, and names them again where the client has forgotten them.
    fn watch(&mut self) {
        if self.looked.elapsed() > LOOK {
            self.looked = Instant::now();
            self.consumer.handle().begin_again(&self.brokers);
        }
        let Some(last) = self.context.errors().into_iter().rfind(|report| report.code == Code::AllBrokersDown) else {
            return;
        };
        self.context.forget();
        self.shared.state().down.get_or_insert(last.at);
        self.shared.came.notify_one();
    }
}
