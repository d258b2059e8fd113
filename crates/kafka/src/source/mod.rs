//! Records from Kafka topics, as one static member of a consumer group (or of none, for a look).
//!
//! A thread of its own polls the client all the time (`reader`), so that a slow pipeline is never thrown out of its
//! group, and fills a bounded buffer (`buffer`); where its id is another member's, `member` says what follows. A task beside it looks at the topic (`watch`) for what the client does
//! not tell. Nothing is fetched between an assignment and the `seek` that says where to begin; where to begin is
//! never the group's committed offset, and never reset by the client.

mod buffer;
mod elsewhere;
mod group;
mod member;
mod reader;
mod registry;
mod signature;
#[cfg(test)]
mod tests;
mod topics;
mod watch;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use foretell_flow::{Bounds, Demand, Event, Fault, Housekeeping, Partition, Position, Source, StageError, Topics};
use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::types::RDKafkaErrorCode as Code;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use tokio::time::Instant;

use crate::error;
use crate::inspect::{Inspector, Topic, ask, blocking, is_mock};
use crate::settings::{Brokers, Connection, Options, Security};
use foretell_connect::human::HumanSize;
use foretell_connect::kind::{
    DecodeSpec, Inferred, Kind, SettingsError, SourceContext, SourceSettings, schema_of, settings_of,
};
use foretell_connect::schemas::Schemas;
use foretell_registry::Registry;
use group::GroupHousekeeping;
use member::StaticMember;
use reader::{Membership, Reader};
use topics::{Interest, named};
use watch::Watch;

/// How the kind is listed.
pub const KIND: Kind<dyn SourceSettings> = Kind {
    name: "kafka",
    inherits: &[],
    schema: schema_of::<Settings>,
    parse: |value| {
        let settings: Settings = settings_of(value)?;
        settings.interest()?;
        Ok(Box::new(settings))
    },
};

/// The buffer of all workers of a process, where the pipeline file does not say.
const BUFFER: usize = 128 * 1024 * 1024;
/// A smaller buffer could not hold a useful batch.
const LEAST_BUFFER: usize = 1024 * 1024;

/// Reads Kafka topics: one (`topic`), several (`topics`), or those whose names match a `pattern`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the cluster is: `host:port`, several by commas or as a list.
    pub brokers: Brokers,
    /// The topic.
    #[serde(default)]
    pub topic: Option<String>,
    /// Several topics, instead of `topic`; the column `_topic` says which a record is from.
    #[serde(default)]
    pub topics: Option<Vec<String>>,
    /// A regular expression, instead of `topic`: every topic whose whole name matches is read, e.g. `orders\..*`. One that
    /// comes later is found within seconds and read from its first record. Names that begin with `__` never match, nor does
    /// `foretell_progress`; take care that no topic that the pipeline writes does.
    #[serde(default)]
    pub pattern: Option<String>,
    /// The consumer group. Default: the pipeline's name. Its committed offsets are for lag tools: where a pipeline goes
    /// on is stored with its results.
    #[serde(default)]
    pub group: Option<String>,
    /// Where a pipeline begins that has no position yet: `earliest` (default), `latest`, or a time such as
    /// `2026-01-31T08:00:00Z`.
    #[serde(default)]
    pub start: Start,
    /// Memory for records that were fetched but not yet processed, shared by all workers of this process. Default:
    /// `128 MiB`.
    #[serde(default)]
    pub buffer: Option<HumanSize>,
    /// The schema registry, where values are in its wire format (`decode: { avro: {} }`).
    #[serde(default)]
    pub registry: Option<foretell_registry::Settings>,
    /// The subject in the registry whose latest schema tells the columns, where `decode` names none. Default: the topic's
    /// name and `-value`.
    #[serde(default)]
    pub subject: Option<String>,
    /// TLS and login.
    #[serde(default)]
    pub security: Security,
    /// Further properties of the Kafka client, by librdkafka's names, e.g. `fetch.min.bytes: 1000`.
    #[serde(default)]
    pub options: Options,
}

/// Where a pipeline begins that has no position yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is still there.
    #[default]
    Earliest,
    /// At the next record.
    Latest,
    /// At the first record written at or after this time, in milliseconds since the epoch.
    Time(i64),
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "earliest" => Ok(Start::Earliest),
            "latest" => Ok(Start::Latest),
            text => match DateTime::parse_from_rfc3339(text) {
                Ok(time) => Ok(Start::Time(time.timestamp_millis())),
                Err(_) => Err(D::Error::custom(format!(
                    "`{text}` is not `earliest`, `latest` or a time such as `2026-01-31T08:00:00Z`"
                ))),
            },
        }
    }
}

impl JsonSchema for Start {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`earliest`, `latest`, or a time such as `2026-01-31T08:00:00Z`.",
            "anyOf": [{ "enum": ["earliest", "latest"] }, { "type": "string", "format": "date-time" }],
            "default": "earliest",
        })
    }
}

impl Settings {
    fn interest(&self) -> Result<Interest, SettingsError> {
        Interest::new(self.topic.as_deref(), self.topics.as_deref(), self.pattern.as_deref())
    }

    fn connection(&self, context: &SourceContext) -> Connection {
        Connection::new(&self.brokers, &self.security, &self.options, &context.base)
    }
}

#[async_trait]
impl SourceSettings for Settings {
    fn describe(&self) -> String {
        let group = self.group.as_deref().unwrap_or("the pipeline's name");
        let topics = self.interest().map(|interest| interest.describe()).unwrap_or_default();
        format!("{topics} at {} (group {group})", self.brokers.0)
    }

    fn schemas(&self, base: &Path) -> Result<Option<Arc<dyn Schemas>>, StageError> {
        let registry = self.registry.as_ref().map(|registry| Registry::new(registry, base)).transpose()?;
        Ok(registry.map(|registry| Arc::new(registry) as Arc<dyn Schemas>))
    }

    fn infers(&self) -> bool {
        self.registry.is_some()
    }

    async fn infer(&self, base: &Path, given: Option<&DecodeSpec>) -> Result<Inferred, StageError> {
        let Some(registry) = &self.registry else {
            return Err(StageError::settings("the columns are not known").remedy("write `decode` with its `columns`"));
        };
        let topic = match (&self.subject, &self.topic, self.topics.as_deref()) {
            (None, Some(topic), _) | (None, None, Some([topic, ..])) => Some(topic),
            _ => None,
        };
        let subject = match (&self.subject, topic) {
            (Some(subject), _) => subject.clone(),
            (None, Some(topic)) => format!("{topic}-value"),
            (None, None) => {
                let error = StageError::settings("topics found by a pattern have no one schema that tells the columns");
                return Err(
                    error.remedy("name the `subject` whose latest schema does, or write `decode` with its `columns`")
                );
            }
        };
        registry::decode(&Registry::new(registry, base)?, &subject, given).await
    }

    async fn open(&self, context: &SourceContext, probe: bool) -> Result<Box<dyn Source>, StageError> {
        let group = self.group.clone().unwrap_or_else(|| context.pipeline.clone());
        let connection = self.connection(context);
        let isolation = self.options.get("isolation.level").unwrap_or_else(|| "read_committed".into());
        let interest = self.interest().map_err(|error| StageError::settings(error.message))?;
        if let Some(registry) = &self.registry {
            Registry::new(registry, &context.base)?.check().await?;
        }
        let (settings, context) = (self.clone(), context.clone());
        let source = blocking(move || {
            let inspector = Arc::new(Inspector::new(&connection, Some(&group), &isolation)?);
            let topics = interest.begin(&inspector)?;
            let (mut at_begin, mut mock) = (HashMap::new(), false);
            for topic in topics.names() {
                let found = inspector.topic(topic)?;
                mock |= found.is_mock();
                at_begin.insert(topic.clone(), found.partitions);
            }
            let shared = Arc::new(Mutex::new(topics.clone()));
            let (member, reader) = match probe {
                true => (None, None),
                false => {
                    let buffer =
                        settings.buffer.map_or(BUFFER, |size| size.0).checked_div(context.workers).unwrap_or(BUFFER);
                    let options = reader::Options {
                        membership: match context.observe {
                            true => Membership::None { partitions: partitions_of(&topics, &at_begin) },
                            false => {
                                let name = format!("{group}-{}", context.worker);
                                Membership::Static { name, leaves: context.ends }
                            }
                        },
                        group,
                        client: elsewhere::client(&context.home),
                        isolation,
                        buffer: buffer.max(LEAST_BUFFER),
                    };
                    let mut member = StaticMember::new(&connection, &options);
                    if let Some(member) = member.as_mut().filter(|_| !mock) {
                        member.look(&inspector, &topics);
                    }
                    (member, Some(Reader::start(&connection, shared.clone(), options, inspector.clone())?))
                }
            };
            let signature = member.as_ref().map(StaticMember::signature);
            let housekeeping = GroupHousekeeping::new(shared.clone(), inspector.clone(), reader.as_ref(), signature);
            let (topics, start) = (shared, settings.start);
            Ok(KafkaSource {
                interest,
                topics,
                at_begin,
                start,
                inspector,
                member,
                reader,
                watch: None,
                housekeeping,
                dealt: false,
            })
        });
        let mut source = source.await?;
        source.look_out();
        Ok(Box::new(source))
    }
}

/// One member of a group. Without a reader it was opened only to look.
struct KafkaSource {
    interest: Interest,
    topics: Arc<Mutex<Topics>>,
    /// By topic, how many partitions there were when this was opened.
    at_begin: HashMap<Arc<str>, i32>,
    start: Start,
    inspector: Arc<Inspector>,
    /// `None` where it joins no group.
    member: Option<StaticMember>,
    reader: Option<Reader>,
    watch: Option<Watch>,
    housekeeping: Arc<GroupHousekeeping>,
    /// Whether the first assignment was looked at.
    dealt: bool,
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.interest.describe())
    }
}

impl KafkaSource {
    fn reader(&self) -> Result<&Reader, StageError> {
        let error = || StageError::settings(format!("{} was opened only to look", self.interest.describe()));
        self.reader.as_ref().ok_or_else(error)
    }

    fn topics(&self) -> Topics {
        self.topics.lock().clone()
    }

    /// Begins to look at the topics beside the reading.
    fn look_out(&mut self) {
        // Who only looks takes what is there.
        let finds = matches!(self.interest, Interest::Pattern(..)) && self.member.is_some();
        let interest = finds.then(|| self.interest.clone());
        self.watch = self.reader.as_ref().map(|reader| Watch::start(reader, interest, self.inspector.clone()));
    }

    /// The group says that another member has this one's id.
    async fn fenced(&mut self, wait: Duration) -> Result<Event, StageError> {
        let own = self.reader()?.member().map(|(_, id)| id);
        let topics = self.topics();
        let Some(member) = &mut self.member else { return Ok(Event::Idle) };
        if let Some(event) = member.fenced(&topics, &self.inspector, own, wait).await? {
            return Ok(event);
        }
        let reader = member.join(&self.topics, &self.inspector)?;
        let signature = Some(member.signature());
        let old = self.reader.replace(reader);
        // It waits for its client to end.
        tokio::task::spawn_blocking(move || drop(old));
        let (topics, inspector) = (self.topics.clone(), self.inspector.clone());
        self.housekeeping = GroupHousekeeping::new(topics, inspector, self.reader.as_ref(), signature);
        self.look_out();
        Ok(Event::Idle)
    }

    /// Whether this is the first assignment, and some partition is neither in it nor was ever another member's: who comes
    /// back under its name within its session gets what it had before, also where the topic has grown meanwhile.
    async fn is_short(&mut self, event: &Event) -> bool {
        let Event::Assigned(ours) = event else { return false };
        if ours.is_empty() || std::mem::replace(&mut self.dealt, true) {
            return false;
        }
        let (topics, ours) = (self.topics(), ours.clone());
        let short = ask(&self.inspector, move |inspector| {
            for topic in topics.names() {
                let is_ours = |index| ours.iter().any(|ours| ours.topic == *topic && ours.index == index);
                let all = 0..inspector.topic(topic)?.partitions;
                let others: Vec<i32> = all.filter(|index| !is_ours(*index)).collect();
                if !others.is_empty() && inspector.committed(topic, &others)?.iter().any(Option::is_none) {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        // A group that may not be read is no reason to stop.
        short.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "whether all partitions are somebody's is not known");
            false
        })
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        let begun = Instant::now();
        loop {
            let reader = self.reader()?;
            let changed = reader.changed();
            if reader.fenced() {
                drop(changed);
                return self.fenced(demand.wait).await;
            }
            if let Some(event) = reader.take(demand)? {
                drop(changed);
                if self.is_short(&event).await {
                    self.reader()?.deal();
                    continue;
                }
                return Ok(event);
            }
            if reader.down_for() > Duration::from_secs(60) {
                let topic = self.topics().topic(0);
                // Either it answers, and was just silent, or this says why not.
                ask(&self.inspector, move |inspector| inspector.find(&topic).map(drop)).await?;
                self.reader()?.answered();
                continue;
            }
            if tokio::time::timeout(demand.wait.saturating_sub(begun.elapsed()), changed).await.is_err() {
                return Ok(Event::Idle);
            }
        }
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        let topics = self.topics();
        let found = ask(&self.inspector, move |inspector| {
            topics.names().iter().try_fold(0_usize, |all, topic| {
                Ok(all.saturating_add(usize::try_from(inspector.topic(topic)?.partitions).unwrap_or_default()))
            })
        });
        found.await
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let mut by_topic: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
        for Partition { topic, index } in partitions {
            by_topic.entry(topic.clone()).or_default().push(*index);
        }
        let (topics, start, at_begin) = (named(&self.topics()), self.start, self.at_begin.clone());
        let member = self.reader.as_ref().and_then(Reader::member);
        let answer = ask(&self.inspector, move |inspector| {
            let mut answer = Vec::new();
            for (topic, numbers) in &by_topic {
                answer.extend(bounds(inspector, topic, numbers, start)?);
            }
            // What was not there when the pipeline began is read from its first record.
            for bound in &mut answer {
                let Partition { topic, index } = &bound.partition;
                if at_begin.get(topic).is_none_or(|count| index >= count) {
                    bound.start = bound.first;
                }
            }
            // What a client believes may be old: it hears of the group with its next heartbeat. Who claims partitions that
            // are another's by now fences it off.
            let mock = answer.first().is_some_and(|bound| is_mock(&bound.identity));
            match member.filter(|_| !mock) {
                Some((group, id))
                    if inspector
                        .members(&group)
                        .is_some_and(|members| members.iter().all(|member| member.id != id)) =>
                {
                    let gone = format!("{topics}: this worker is not in its group `{group}` any more");
                    Err(StageError::unavailable(gone))
                }
                _ => Ok(answer),
            }
        });
        let answer = answer.await?;
        if let Some(reader) = &self.reader {
            reader.identify(answer.iter().map(|bound| (bound.partition.topic.clone(), bound.identity.clone())));
        }
        Ok(answer)
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        let topics = self.topics();
        let ordinals =
            positions.iter().filter_map(|position| Some((topics.ordinal(&position.partition)?, position.next)));
        self.reader()?.seek(ordinals.collect()).await
    }

    async fn notes(&mut self) -> Result<Vec<String>, StageError> {
        let topics = self.topics();
        ask(&self.inspector, move |inspector| group::notes(inspector, &topics)).await
    }

    async fn elsewhere(&mut self) -> Result<usize, StageError> {
        match &self.member {
            Some(member) => member.elsewhere(&self.inspector).await,
            None => Ok(0),
        }
    }

    fn grows(&self) -> bool {
        matches!(self.interest, Interest::Pattern(..))
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        self.housekeeping.clone()
    }
}

/// All partitions of these topics.
fn partitions_of(topics: &Topics, counts: &HashMap<Arc<str>, i32>) -> Vec<Partition> {
    let mut all = Vec::new();
    for topic in topics.names() {
        let count = counts.get(topic).copied().unwrap_or_default();
        all.extend((0..count).map(|index| Partition { topic: topic.clone(), index }));
    }
    all
}

fn bounds(inspector: &Inspector, topic: &str, partitions: &[i32], start: Start) -> Result<Vec<Bounds>, StageError> {
    let Topic { partitions: count, identity, .. } = inspector.topic(topic)?;
    if let Some(missing) = partitions.iter().find(|partition| !(0..count).contains(*partition)) {
        let error =
            StageError::state(format!("topic `{topic}` has {count} partitions, and none with number {missing}"));
        return Err(error.remedy("`foretell positions forget` drops what is stored for it"));
    }
    let first = inspector.offsets(topic, partitions, Offset::Beginning)?;
    let end = inspector.offsets(topic, partitions, Offset::End)?;
    let start = match start {
        Start::Earliest => first.clone(),
        Start::Latest => end.clone(),
        Start::Time(millis) => inspector.offsets(topic, partitions, Offset::Offset(millis.max(0)))?,
    };
    let committed = match inspector.committed(topic, partitions) {
        Ok(committed) => committed,
        // Where sinks keep no positions, the group does.
        Err(error) if error.fault == Fault::Unavailable => return Err(error),
        // A group that may not be read is no reason to stop.
        Err(error) => {
            tracing::debug!(topic, %error, "the group's offsets are not known");
            vec![None; partitions.len()]
        }
    };
    let rows = partitions.iter().zip(first).zip(end).zip(start).zip(committed);
    Ok(rows
        .map(|((((index, first), end), start), committed)| Bounds {
            partition: Partition { topic: topic.into(), index: *index },
            identity: identity.clone(),
            first,
            end,
            start,
            committed: committed.map(|(offset, _)| offset),
        })
        .collect())
}

/// The loud stop for a position that the log does not have.
fn out_of_range(inspector: &Inspector, topic: &str, partition: i32, position: i64) -> StageError {
    let ends = |at| inspector.offsets(topic, &[partition], at).ok().and_then(|found| found.first().copied());
    let message = match (ends(Offset::Beginning), ends(Offset::End)) {
        (Some(first), _) if position < first => return below_start(topic, partition, position, first),
        (_, Some(end)) if position > end => {
            format!(
                "{topic}[{partition}]: position {position} is beyond the log's end, {end}: was the topic recreated?"
            )
        }
        _ => format!("{topic}[{partition}]: position {position} is not in the log"),
    };
    StageError::state(message).remedy(ELSEWHERE)
}

const ELSEWHERE: &str =
    "`foretell positions show` says what each sink holds; `foretell positions set` or `forget` goes on elsewhere";

/// Records went before they were read.
fn below_start(topic: &str, partition: i32, position: i64, first: i64) -> StageError {
    let gone = first.saturating_sub(position);
    StageError::state(format!(
        "{topic}[{partition}]: position {position} is below the log's start, {first}: {gone} offsets are gone"
    ))
    .remedy(ELSEWHERE)
}

/// A part of the log that cannot be read.
fn unreadable(topic: &str, partition: i32, offset: i64, code: Code, text: &str) -> StageError {
    let place = format!("{topic}[{partition}]: offset {offset}");
    match code {
        Code::TopicAuthorizationFailed => {
            StageError::settings(format!("{topic}[{partition}]: {text}")).remedy(format!("allow the user `Read` on `{topic}`"))
        }
        Code::MessageSizeTooLarge => StageError::settings(format!("{place}: {text}"))
            .remedy("`options: { receive.message.max.bytes: …, fetch.message.max.bytes: … }` lets larger records in"),
        _ => StageError::state(format!("{place} cannot be read: {text}")).remedy(
                "where it is damaged on the broker's disk, another replica may have it whole; `foretell positions set` to an \
                 offset behind that batch goes on without its records",
            ),
    }
}

/// The fault of an error that the group or a partition reports while reading.
fn reading(topic: &str, code: Code, text: &str) -> StageError {
    let error = StageError::new(error::fault(code), format!("topic `{topic}`: {text}"));
    match code {
        Code::GroupAuthorizationFailed => {
            error.remedy("allow the user `Read` on the consumer group: `group`, or the pipeline's name")
        }
        Code::TopicAuthorizationFailed => error.remedy(format!("allow the user `Read` and `Describe` on `{topic}`")),
        Code::InconsistentGroupProtocol => {
            error.remedy("members of this group assign partitions in another way: name another `group`")
        }
        _ => error,
    }
}
