//! The compacted topic that keeps positions and plans.
//!
//! A position's key is `["pipeline","sink","topic",0]`, its value `{"next":120,"identity":"…"}`. A plan's piece has the
//! piece's first offset behind that in its key. A record without value erases. What a key says last is true once its
//! transaction is committed; a reader therefore reads committed records only, up to the end that there was when it
//! began, behind transactions of others that are still open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foretell_flow::{Holding, Partition, Piece, StageError};
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;
use serde::{Deserialize, Serialize};

use super::land::Target;
use super::writer::Mark;
use crate::kafka::client::Context;
use crate::kafka::error;
use crate::kafka::inspect::{Inspector, ask};
use crate::kafka::raw::{Consumer, Polled};
use crate::kafka::settings::Connection;

/// An open transaction of another writer whose process died ends within 30 s; then this much for reading.
const READ: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(5);
/// Compaction never touches the newest segment, and all of it is read at each start: a small one is quick.
const SEGMENT: &str = "16777216";

/// What is stored for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) identity: String,
    pub(super) next: i64,
    /// By first offset.
    pub(super) pieces: BTreeMap<i64, Piece>,
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

impl Owner {
    /// The transactional id for a partition, or for batches that cannot be cut by partition.
    pub(super) fn id(&self, partition: Option<&Partition>) -> String {
        let (pipeline, sink) = (escaped(&self.pipeline), escaped(&self.sink));
        match partition {
            Some(Partition { topic, index }) => format!("foretell/{pipeline}/{sink}/{}/{index}", escaped(topic)),
            None => format!("foretell/{pipeline}/{sink}"),
        }
    }

    fn key(&self, partition: &Partition, piece: Option<i64>) -> String {
        let mut parts: Vec<serde_json::Value> = vec![
            self.pipeline.as_str().into(),
            self.sink.as_str().into(),
            (*partition.topic).into(),
            partition.index.into(),
        ];
        parts.extend(piece.map(serde_json::Value::from));
        serde_json::Value::from(parts).to_string()
    }

    /// The record that sets a position.
    pub(super) fn position(&self, partition: &Partition, next: i64, identity: &str) -> Result<Mark, StageError> {
        let stored = Stored { next, identity: identity.to_owned() };
        Ok((self.key(partition, None), Some(json(&stored)?)))
    }

    /// The record that keeps a piece of a plan.
    pub(super) fn piece(&self, piece: &Piece) -> Result<Mark, StageError> {
        Ok((self.key(&piece.range.partition, Some(piece.range.from)), Some(json(piece)?)))
    }

    /// The record that erases a position, or a piece by its first offset.
    pub(super) fn erase(&self, partition: &Partition, piece: Option<i64>) -> Mark {
        (self.key(partition, piece), None)
    }

    /// A key: whose it is, its partition, and the first offset of a piece.
    fn read_key(key: &[u8]) -> Option<(Owner, Partition, Option<i64>)> {
        let parts: Vec<serde_json::Value> = serde_json::from_slice(key).ok()?;
        let (pipeline, sink) = (parts.first()?.as_str()?.to_owned(), parts.get(1)?.as_str()?.to_owned());
        let index = i32::try_from(parts.get(3)?.as_i64()?).ok()?;
        let piece = match parts.get(4) {
            Some(from) => Some(from.as_i64()?),
            None => None,
        };
        Some((Owner { pipeline, sink }, Partition { topic: parts.get(2)?.as_str()?.into(), index }, piece))
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, StageError> {
    serde_json::to_string(value).map_err(|error| StageError::state(format!("a position is no JSON: {error}")))
}

/// What becomes of transactions that are open while the topic is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// Their end is waited for: after a fence, when those that are left are not ours and end soon.
    WaitFor,
    /// What they hold is left out. Before a fence: it may be our own that died, which only the fence ends.
    LeaveOut,
}

/// What the topic says of one owner, as far as it was read.
#[derive(Debug)]
pub(super) struct Ledger {
    owner: Owner,
    topic: String,
    /// The next offset to read.
    next: i64,
    positions: BTreeMap<Partition, Stored>,
    pieces: BTreeMap<Partition, BTreeMap<i64, Piece>>,
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
        Ledger { owner, topic, next: 0, positions: BTreeMap::new(), pieces: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// Other owners of positions, each with the identities of its logs.
    pub(super) fn others(&self) -> impl Iterator<Item = (&Owner, Vec<String>)> {
        let named = self.others.iter().filter(|(_, logs)| !logs.is_empty());
        named.map(|(owner, logs)| (owner, logs.values().cloned().collect()))
    }

    /// What is stored for a partition.
    pub(super) fn entry(&self, partition: &Partition) -> Option<Entry> {
        let Stored { next, identity } = self.positions.get(partition)?;
        let pieces = self.pieces.get(partition).cloned().unwrap_or_default();
        Some(Entry { identity: identity.clone(), next: *next, pieces })
    }

    /// Everything that is stored.
    pub(super) fn holdings(&self) -> Vec<Holding> {
        let holding = |partition: &Partition| Some(self.entry(partition)?.holding(partition.clone()));
        self.positions.keys().filter_map(holding).collect()
    }

    /// Reads what was added, up to the end that there is now. Blocks. No topic, nothing stored.
    pub(super) fn refresh(
        &mut self,
        connection: &Connection,
        inspector: &Inspector,
        open: Open,
    ) -> Result<(), StageError> {
        if inspector.find(&self.topic)?.is_none() {
            *self = Ledger::new(self.owner.clone(), self.topic.clone());
            return Ok(());
        }
        let at = |at| {
            let found = inspector.offsets(&self.topic, &[0], at)?;
            found.first().copied().ok_or_else(|| StageError::unavailable(format!("topic `{}`: no answer", self.topic)))
        };
        let (first, end) = (at(Offset::Beginning)?, at(Offset::End)?);
        if end < self.next {
            // Another topic of the same name.
            *self = Ledger::new(self.owner.clone(), self.topic.clone());
        }
        self.next = self.next.max(first);
        if self.next >= end {
            return Ok(());
        }
        let config = connection.config(&[
            ("client.id", "foretell"),
            // Needed for an assignment by hand; it is never joined and nothing is committed.
            ("group.id", &self.owner.pipeline),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
        ])?;
        let mut consumer = Consumer::new(&config, Context::default()).map_err(error::config)?;
        let mut from = TopicPartitionList::with_capacity(1);
        let doing = || format!("topic `{}`", self.topic);
        let added = from.add_partition_offset(&self.topic, 0, Offset::Offset(self.next));
        added.and_then(|()| consumer.assign(&from)).map_err(|error| error::of(&doing(), &error))?;
        let begin = Instant::now();
        let mut said = false;
        while self.next < end {
            if let Polled::Batch(batch) = consumer.poll(Duration::from_millis(500)) {
                for message in batch.iter() {
                    match message.error() {
                        None => {
                            self.apply(message.key().unwrap_or_default(), message.value())?;
                            self.next = message.offset().saturating_add(1);
                        }
                        Some(Code::PartitionEOF) => {
                            self.next = self.next.max(message.offset());
                            if open == Open::LeaveOut {
                                return Ok(());
                            }
                        }
                        Some(code) if message.partition() == 0 => {
                            let message = format!("topic `{}`: {}", self.topic, message.error_text());
                            return Err(StageError { fault: error::fault(code), message, remedy: String::new() });
                        }
                        // Of the group, which is not ours to join.
                        Some(_) => {}
                    }
                }
            }
            let waited = begin.elapsed();
            if waited > Duration::from_secs(3) && !said {
                said = true;
                tracing::info!(topic = self.topic, at = self.next, end, "waiting for an open transaction to end");
            }
            if waited > READ {
                let message =
                    format!("topic `{}`: an open transaction at offset {} does not end", self.topic, self.next);
                return Err(StageError::unavailable(message));
            }
        }
        Ok(())
    }

    fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let Some((owner, partition, piece)) = Owner::read_key(key) else { return Ok(()) };
        if owner != self.owner {
            if piece.is_none() {
                let logs = self.others.entry(owner).or_default();
                match value.and_then(|value| serde_json::from_slice::<Stored>(value).ok()) {
                    Some(stored) => drop(logs.insert(partition, stored.identity)),
                    None => drop(logs.remove(&partition)),
                }
            }
            return Ok(());
        }
        let unreadable = |error: serde_json::Error| {
            StageError::state(format!("topic `{}`: what is stored for {partition} is no position: {error}", self.topic))
                .remedy("`foretell positions set` stores one")
        };
        match (piece, value) {
            (None, Some(value)) => {
                let stored = serde_json::from_slice(value).map_err(unreadable)?;
                self.positions.insert(partition, stored);
            }
            (None, None) => drop(self.positions.remove(&partition)),
            (Some(from), Some(value)) => {
                let piece = serde_json::from_slice(value).map_err(unreadable)?;
                self.pieces.entry(partition).or_default().insert(from, piece);
            }
            (Some(from), None) => {
                if let Some(pieces) = self.pieces.get_mut(&partition) {
                    pieces.remove(&from);
                }
            }
        }
        Ok(())
    }
}

impl Entry {
    pub(super) fn holding(&self, partition: Partition) -> Holding {
        let plans = self.pieces.values().cloned().collect();
        Holding { partition, identity: self.identity.clone(), next: self.next, plans }
    }
}

fn admin(connection: &Connection) -> Result<AdminClient<Context>, StageError> {
    let config = connection.config(&[("client.id", "foretell")])?;
    config.create_with_context(Context::default()).map_err(error::config)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

/// Creates the topic where it is missing.
pub(super) async fn ensure(
    connection: &Connection,
    inspector: &std::sync::Arc<Inspector>,
    topic: &str,
) -> Result<(), StageError> {
    let name = topic.to_owned();
    let there = move |inspector: &Inspector| Ok(inspector.find(&name)?.is_some());
    if ask(inspector, there.clone()).await? {
        return Ok(());
    }
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "compact")
        .set("segment.bytes", SEGMENT)
        .set("min.cleanable.dirty.ratio", "0.1");
    let failed = |why: String| {
        let error =
            StageError::settings(format!("topic `{topic}`, which keeps the positions, cannot be created: {why}"));
        error.remedy(format!(
            "create it with one partition and `cleanup.policy=compact`, name another (`progress_topic`), or use \
             `delivery: at_least_once`; foretell needs `Read`, `Write` and `Describe` on `{topic}`"
        ))
    };
    let answer = admin(connection)?.create_topics([&new], &options()).await;
    let outcome = answer.map_err(|error| failed(error.to_string()))?.into_iter().next();
    match outcome {
        Some(Err((_, code))) if code != Code::TopicAlreadyExists => return Err(failed(error::text(code))),
        _ => {}
    }
    let begin = Instant::now();
    while !ask(inspector, there.clone()).await? {
        if begin.elapsed() > ANSWER {
            return Err(StageError::unavailable(format!("topic `{topic}` was created and is not there yet")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The largest record that the target takes, where the cluster says; and whether the progress topic is fit to keep
/// positions.
pub(super) async fn topic_limits(
    connection: &Connection,
    inspector: &std::sync::Arc<Inspector>,
    target: &Target,
) -> Result<Option<usize>, StageError> {
    let progress = target.progress.clone();
    let kept = target.exactly_once && ask(inspector, move |inspector| Ok(inspector.find(&progress)?.is_some())).await?;
    let mut specifiers = vec![ResourceSpecifier::Topic(&target.topic)];
    if kept {
        specifiers.push(ResourceSpecifier::Topic(&target.progress));
    }
    // A cluster that does not say (no permission, the in-process mock) is believed to be as usual.
    let Ok(answer) = admin(connection)?.describe_configs(&specifiers, &options()).await else { return Ok(None) };
    let mut answer = answer.into_iter();
    let mut largest = None;
    if let Some(Ok(found)) = answer.next() {
        largest = found.get("max.message.bytes").and_then(|entry| entry.value.as_deref()?.parse().ok());
    }
    if let Some(Ok(found)) = answer.next() {
        let policy = found.get("cleanup.policy").and_then(|entry| entry.value.clone()).unwrap_or_default();
        if policy != "compact" {
            let topic = &target.progress;
            let error = StageError::settings(format!(
                "topic `{topic}` keeps the positions, and its cleanup.policy is `{policy}`"
            ));
            return Err(error.remedy("set `cleanup.policy=compact`: positions must not be deleted with age"));
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_do_not_share_ids_or_keys() {
        let owner = |pipeline: &str, sink: &str| Owner { pipeline: pipeline.into(), sink: sink.into() };
        let partition = Partition { topic: "Pdata".into(), index: 2 };
        assert_eq!(owner("mri", "utime").id(Some(&partition)), "foretell/mri/utime/Pdata/2");
        assert_ne!(owner("a/b", "c").id(Some(&partition)), owner("a", "b/c").id(Some(&partition)));
        let key = owner("m\"ri", "utime").key(&partition, Some(7));
        assert_eq!(key, r#"["m\"ri","utime","Pdata",2,7]"#);
        assert_eq!(Owner::read_key(key.as_bytes()), Some((owner("m\"ri", "utime"), partition, Some(7))));
        assert_eq!(Owner::read_key(b"[1,2]"), None);
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
}
