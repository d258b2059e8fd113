//! The compacted topic that keeps positions and plans.
//!
//! A position's key is `["pipeline","sink","topic",0]`, its value `{"next":120,"identity":"…"}`. The key of a plan's
//! part ends with the part's first offset. A record without value erases. What a key says last is true once its
//! transaction is committed; a reader therefore reads committed records only, up to the end that there was when it
//! began, behind transactions of others that are still open.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use foretell_flow::{Checkpoint, Partition, PlanPart, StageError};
use rdkafka::Offset;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;
use serde::{Deserialize, Serialize};

use super::topics::{is_free, one_partition};
use crate::client::Context;
use crate::error;
use crate::inspect::Inspector;
use crate::raw::{Consumer, Polled};
use crate::settings::Connection;

/// Nothing comes for this long while it is read: an open transaction of another writer whose process died ends within
/// 30 s.
const SILENCE: Duration = Duration::from_secs(60);
/// A reading that takes long is reported this often.
const SAY: Duration = Duration::from_secs(5);
/// What was read longer ago than this is read again from the beginning: tombstones behind it may be gone by now.
const FRESH: Duration = Duration::from_secs(450);

/// A record of the progress topic; without a value it erases its key.
pub(super) type Mark = (String, Option<String>);

/// What is stored for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) identity: String,
    pub(super) next: i64,
    /// By first offset.
    pub(super) parts: BTreeMap<i64, PlanPart>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    next: i64,
    identity: String,
}

/// Whose positions these are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) pipeline: String,
    pub(super) sink: String,
}

/// `%` and `/` are escaped, so that two owners never share an id.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

/// Who writes rows and positions, under a transactional id of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Lane {
    /// Those of one partition.
    Of(Partition),
    /// Those of any partitions together. Two take turns: the marks of a transaction are written while the next one, of the
    /// other, begins.
    Even,
    /// See [`Even`](Lane::Even).
    Odd,
}

impl Lane {
    pub(super) const SHARED: [Lane; 2] = [Lane::Even, Lane::Odd];

    pub(super) fn is_shared(&self) -> bool {
        !matches!(self, Lane::Of(_))
    }

    /// Whose turn it is behind this one.
    pub(super) fn next(&self) -> Lane {
        match self {
            Lane::Even => Lane::Odd,
            Lane::Odd => Lane::Even,
            Lane::Of(partition) => Lane::Of(partition.clone()),
        }
    }
}

impl Owner {
    /// The transactional id.
    pub(super) fn id(&self, lane: &Lane) -> String {
        let (pipeline, sink) = (escaped(&self.pipeline), escaped(&self.sink));
        match lane {
            Lane::Of(Partition { topic, index }) => format!("foretell/{pipeline}/{sink}/{}/{index}", escaped(topic)),
            Lane::Even => format!("foretell/{pipeline}/{sink}"),
            // No topic has an empty name.
            Lane::Odd => format!("foretell/{pipeline}/{sink}//odd"),
        }
    }

    fn key(&self, partition: &Partition, part: Option<i64>) -> String {
        let mut parts: Vec<serde_json::Value> = vec![
            self.pipeline.as_str().into(),
            self.sink.as_str().into(),
            (*partition.topic).into(),
            partition.index.into(),
        ];
        parts.extend(part.map(serde_json::Value::from));
        serde_json::Value::from(parts).to_string()
    }

    /// The record that sets a position.
    pub(super) fn position(&self, partition: &Partition, next: i64, identity: &str) -> Result<Mark, StageError> {
        let stored = Stored { next, identity: identity.to_owned() };
        Ok((self.key(partition, None), Some(json(&stored)?)))
    }

    /// The record that keeps a part of a plan.
    pub(super) fn part(&self, part: &PlanPart) -> Result<Mark, StageError> {
        Ok((self.key(&part.range.partition, Some(part.range.from)), Some(json(part)?)))
    }

    /// The record that erases a position, or a plan's part by its first offset.
    pub(super) fn erase(&self, partition: &Partition, part: Option<i64>) -> Mark {
        (self.key(partition, part), None)
    }

    /// A key: whose it is, its partition, and the first offset of a plan's part.
    fn read_key(key: &[u8]) -> Option<(Owner, Partition, Option<i64>)> {
        let parts: Vec<serde_json::Value> = serde_json::from_slice(key).ok()?;
        let (pipeline, sink) = (parts.first()?.as_str()?.to_owned(), parts.get(1)?.as_str()?.to_owned());
        let index = i32::try_from(parts.get(3)?.as_i64()?).ok()?;
        let part = match parts.get(4) {
            Some(from) => Some(from.as_i64()?),
            None => None,
        };
        Some((Owner { pipeline, sink }, Partition { topic: parts.get(2)?.as_str()?.into(), index }, part))
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, StageError> {
    serde_json::to_string(value).map_err(|error| StageError::state(format!("a position is not JSON: {error}")))
}

/// What becomes of transactions that are open while the topic is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// Their end is waited for: after a fence, when those that are left are not ours and end soon.
    WaitFor,
    /// What they hold is left out. Before a fence: it may be our own that died, which only the fence ends.
    LeaveOut,
}

/// By key, what it says last.
type Last = HashMap<Box<[u8]>, Box<[u8]>>;

/// What the topic says of one owner, as far as it was read.
#[derive(Debug)]
pub(super) struct Ledger {
    owner: Owner,
    topic: String,
    /// The next offset to read.
    next: i64,
    /// When all of it was read last.
    read: Option<Instant>,
    positions: BTreeMap<Partition, Stored>,
    parts: BTreeMap<Partition, BTreeMap<i64, PlanPart>>,
    /// Of other owners: the identities of the logs that they have positions of.
    others: BTreeMap<Owner, BTreeMap<Partition, String>>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.next, self.identity)
    }
}

impl Ledger {
    pub(super) fn new(owner: Owner, topic: String) -> Ledger {
        Ledger {
            owner,
            topic,
            next: 0,
            read: None,
            positions: BTreeMap::new(),
            parts: BTreeMap::new(),
            others: BTreeMap::new(),
        }
    }

    /// As if nothing had been read yet.
    fn clear(&mut self) {
        *self = Ledger::new(self.owner.clone(), self.topic.clone());
    }

    /// Other owners of positions, each with the identities of its logs.
    pub(super) fn others(&self) -> impl Iterator<Item = (&Owner, Vec<String>)> {
        let named = self.others.iter().filter(|(_, logs)| !logs.is_empty());
        named.map(|(owner, logs)| (owner, logs.values().cloned().collect()))
    }

    /// What is stored for a partition.
    pub(super) fn entry(&self, partition: &Partition) -> Option<Entry> {
        let Stored { next, identity } = self.positions.get(partition)?;
        let parts = self.parts.get(partition).cloned().unwrap_or_default();
        Some(Entry { identity: identity.clone(), next: *next, parts })
    }

    /// Everything that is stored.
    pub(super) fn holdings(&self) -> Vec<Checkpoint> {
        let checkpoint = |partition: &Partition| Some(self.entry(partition)?.holding(partition.clone()));
        self.positions.keys().filter_map(checkpoint).collect()
    }

    /// Reads what was added, up to the end that there is now. Blocks. No topic, nothing stored. What was read before an
    /// error stays read.
    pub(super) fn refresh(
        &mut self,
        connection: &Connection,
        inspector: &Inspector,
        open: Open,
    ) -> Result<(), StageError> {
        let found = match inspector.find(&self.topic)? {
            // A broker may not know it yet; who creates topics does, and then nobody waits for it.
            None if open == Open::LeaveOut && is_free(connection, &self.topic) => None,
            None => inspector.awaited(&self.topic)?,
            found => found,
        };
        match (found, open) {
            (Some(found), _) => one_partition(&self.topic, found.partitions)?,
            (None, Open::LeaveOut) => {
                self.clear();
                return Ok(());
            }
            // It was there before the fence: taking it for empty would mean beginning anew.
            (None, Open::WaitFor) => {
                return Err(StageError::unavailable(format!("topic `{}` is not there just now", self.topic)));
            }
        }
        let at = |at| {
            let found = inspector.offsets(&self.topic, &[0], at)?;
            found.first().copied().ok_or_else(|| StageError::unavailable(format!("topic `{}`: no answer", self.topic)))
        };
        let (first, end) = (at(Offset::Beginning)?, at(Offset::End)?);
        // Another topic of the same name, or one whose tombstones were not all seen.
        if end < self.next || self.read.is_some_and(|read| read.elapsed() > FRESH) {
            self.clear();
        }
        self.next = self.next.max(first);
        if self.next < end {
            self.read(connection, end, open)?;
        }
        self.read = Some(Instant::now());
        Ok(())
    }

    /// Reads up to `end`.
    fn read(&mut self, connection: &Connection, end: i64, open: Open) -> Result<(), StageError> {
        let config = connection.config(&[
            ("client.id", "foretell"),
            // Needed for an assignment by hand; it is never joined and nothing is committed.
            ("group.id", &self.owner.pipeline),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("check.crcs", "true"),
            // The end is told by an answer without records, which comes after this time where nothing is added.
            ("fetch.wait.max.ms", "10"),
            // It is one partition, and all of it is wanted.
            ("fetch.message.max.bytes", "8388608"),
            // Where the usual 100,000 messages wait, the client pauses for a second, which is most of the time of a long one.
            ("queued.min.messages", "1000000"),
            ("fetch.queue.backoff.ms", "5"),
        ])?;
        let mut consumer = Consumer::new(&config, Context::of(connection.tokens())).map_err(error::config)?;
        let mut from = TopicPartitionList::with_capacity(1);
        let doing = || format!("topic `{}`", self.topic);
        let added = from.add_partition_offset(&self.topic, 0, Offset::Offset(self.next));
        added.and_then(|()| consumer.assign(&from)).map_err(|error| error::of(&doing(), &error))?;
        let mut last = Last::default();
        let outcome = self.read_into(&mut last, &mut consumer, end, open);
        // What was read before an error stays read.
        for (key, value) in last {
            if let Err(error) = self.apply(&key, Some(&value)) {
                // It must not be taken for read.
                self.clear();
                return Err(error);
            }
        }
        outcome
    }

    /// Reads up to `end`: what each key says last. Millions of records say little in the end, so that only that is looked
    /// into.
    fn read_into(&mut self, last: &mut Last, consumer: &mut Consumer, end: i64, open: Open) -> Result<(), StageError> {
        let anew = self.positions.is_empty() && self.parts.is_empty() && self.others.is_empty();
        let (mut heard, mut said) = (Instant::now(), Instant::now());
        // Where an open transaction begins, as far as the broker has said.
        let mut stable = None;
        while self.next < end {
            let before = self.next;
            if let Polled::Batch(batch) = consumer.poll(Duration::from_millis(500)) {
                for message in batch.iter() {
                    match message.error() {
                        None => {
                            let key = message.key().unwrap_or_default();
                            match message.value() {
                                Some(value) => drop(last.insert(key.into(), value.into())),
                                None => {
                                    last.remove(key);
                                    if !anew {
                                        self.apply(key, None)?;
                                    }
                                }
                            }
                            self.next = message.offset().saturating_add(1);
                        }
                        Some(Code::PartitionEOF) => {
                            self.next = self.next.max(message.offset());
                            stable = Some(self.next);
                            if open == Open::LeaveOut {
                                return Ok(());
                            }
                        }
                        Some(code) if message.ordinal() == 0 && error::breaks(code) => {
                            let (at, text) = (message.offset(), message.error_text());
                            let message = format!("topic `{}`: offset {at} cannot be read: {text}", self.topic);
                            return Err(StageError::new(error::fault(code), message));
                        }
                        // It passes, or is of the group, which is not ours to join.
                        Some(_) => tracing::debug!(topic = self.topic, "{}", message.error_text()),
                    }
                }
            }
            if self.next > before {
                heard = Instant::now();
            }
            let (at, waits) = (self.next, stable == Some(self.next));
            if said.elapsed() > SAY {
                said = Instant::now();
                let doing = if waits { "waiting for an open transaction to end" } else { "reading the positions" };
                tracing::info!(topic = self.topic, at, end, "{doing}");
            }
            if heard.elapsed() > SILENCE {
                return Err(silent(&self.topic, at, end, waits));
            }
        }
        Ok(())
    }

    fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let Some((owner, partition, part)) = Owner::read_key(key) else { return Ok(()) };
        if owner != self.owner {
            if part.is_none() {
                let logs = self.others.entry(owner).or_default();
                match value.and_then(|value| serde_json::from_slice::<Stored>(value).ok()) {
                    Some(stored) => drop(logs.insert(partition, stored.identity)),
                    None => drop(logs.remove(&partition)),
                }
            }
            return Ok(());
        }
        let unreadable = |error: serde_json::Error| {
            StageError::state(format!(
                "topic `{}`: what is stored for {partition} is not a position: {error}",
                self.topic
            ))
            .remedy("`foretell positions set` stores one")
        };
        match (part, value) {
            (None, Some(value)) => {
                let stored = serde_json::from_slice(value).map_err(unreadable)?;
                self.positions.insert(partition, stored);
            }
            (None, None) => drop(self.positions.remove(&partition)),
            (Some(from), Some(value)) => {
                let part = serde_json::from_slice(value).map_err(unreadable)?;
                self.parts.entry(partition).or_default().insert(from, part);
            }
            (Some(from), None) => {
                if let Some(parts) = self.parts.get_mut(&partition) {
                    parts.remove(&from);
                }
            }
        }
        Ok(())
    }
}

/// Nothing came for long.
fn silent(topic: &str, at: i64, end: i64, waits: bool) -> StageError {
    let seconds = SILENCE.as_secs();
    match waits {
        true => StageError::unavailable(format!(
            "topic `{topic}`: a transaction that is open at offset {at} has not ended for {seconds} s, and what is behind \
             it cannot be read"
        ))
        .remedy(format!(
            "`kafka-transactions.sh find-hanging` and `abort --topic {topic} --partition 0 --start-offset {at}` end one \
             that hangs"
        )),
        false => StageError::unavailable(format!(
            "topic `{topic}`: nothing came for {seconds} s at offset {at}, and it goes on to {end}"
        )),
    }
}

impl Entry {
    pub(super) fn holding(&self, partition: Partition) -> Checkpoint {
        let plans = self.parts.values().cloned().collect();
        Checkpoint { partition, identity: self.identity.clone(), next: self.next, plans }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_do_not_share_ids_or_keys() {
        let owner = |pipeline: &str, sink: &str| Owner { pipeline: pipeline.into(), sink: sink.into() };
        let partition = Partition { topic: "Pdata".into(), index: 2 };
        assert_eq!(owner("mri", "utime").id(&Lane::Of(partition.clone())), "foretell/mri/utime/Pdata/2");
        assert_ne!(
            owner("a/b", "c").id(&Lane::Of(partition.clone())),
            owner("a", "b/c").id(&Lane::Of(partition.clone()))
        );
        let key = owner("m\"ri", "utime").key(&partition, Some(7));
        assert_eq!(key, r#"["m\"ri","utime","Pdata",2,7]"#);
        assert_eq!(Owner::read_key(key.as_bytes()), Some((owner("m\"ri", "utime"), partition, Some(7))));
        assert_eq!(Owner::read_key(b"[1,2]"), None);
    }

    #[test]
    fn silence_names_its_cause() {
        let error = silent("p", 7, 20, true);
        assert!(error.message.contains("a transaction that is open at offset 7 has not ended for 60 s"), "{error}");
        let error = silent("p", 7, 20, false);
        assert_eq!(error.message, "topic `p`: nothing came for 60 s at offset 7, and it goes on to 20");
    }

    #[test]
    fn what_a_key_says_last_is_true_and_no_value_erases() {
        let owner = Owner { pipeline: "p".into(), sink: "s".into() };
        let partition = Partition { topic: "t".into(), index: 0 };
        let mut ledger = Ledger::new(owner.clone(), "progress".into());
        let mut say = |(key, value): Mark| ledger.apply(key.as_bytes(), value.as_deref().map(str::as_bytes));
        say(owner.position(&partition, 5, "c/1").unwrap()).unwrap();
        say(owner.position(&partition, 9, "c/1").unwrap()).unwrap();
        say(("not json".into(), None)).unwrap();
        let error = say((owner.key(&partition, None), Some("{}".into()))).unwrap_err();
        assert_eq!(error.fault, foretell_flow::Fault::State);
        assert_eq!(ledger.holdings()[0].next, 9);
        let (key, _) = owner.erase(&partition, None);
        ledger.apply(key.as_bytes(), None).unwrap();
        assert_eq!(ledger.holdings(), []);
    }

    proptest::proptest! {
        /// Two owners never share a key or an id, and a key says what it was made of.
        #[test]
        fn a_key_says_what_it_was_made_of(
            names in proptest::array::uniform2(("[a/%\"\\u{e9}]{1,4}", "[a/%\"\\u{e9}]{1,4}", "[a/%]{1,4}")),
            index: i32,
            part: Option<i64>,
        ) {
            let owned = |(pipeline, sink, topic): &(String, String, String)| {
                let owner = Owner { pipeline: pipeline.clone(), sink: sink.clone() };
                (owner, Partition { topic: topic.as_str().into(), index })
            };
            let [one, other] = names.each_ref().map(owned);
            let key = one.0.key(&one.1, part);
            proptest::prop_assert_eq!(Owner::read_key(key.as_bytes()), Some((one.0.clone(), one.1.clone(), part)));
            let same = one == other;
            proptest::prop_assert_eq!(one.0.id(&Lane::Of(one.1.clone())) == other.0.id(&Lane::Of(other.1.clone())), same);
            proptest::prop_assert_eq!(one.0.key(&one.1, part) == other.0.key(&other.1, part), same);
        }

        #[test]
        fn no_key_is_too_odd(key: Vec<u8>) {
            let _ = Owner::read_key(&key);
        }
    }
}
