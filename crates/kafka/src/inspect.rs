//! Questions to a cluster that need no membership of a group: whether it is there, its topics, where partitions begin
//! and end. All calls block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;

use foretell_flow::{Fault, StageError};

use super::client::{Context, LOGIN, SILENCE, is_login};
use super::error;
use super::raw;
use super::settings::Connection;

/// A cluster that does not answer within this time cannot be reached: with the questions that follow it stays below the
/// 10 s after which a start must have said what is wrong.
const REACH: Duration = Duration::from_secs(7);
/// For one question to a cluster that has answered before.
const ANSWER: Duration = Duration::from_secs(10);
/// For the members of a group, which every broker is asked for.
const MEMBERS: Duration = Duration::from_secs(5);
/// A topic that was just created is not known to every broker at once: it is missing when it is not there this long.
const APPEARS: Duration = Duration::from_secs(3);

/// A connection for questions.
pub(crate) struct Inspector {
    consumer: BaseConsumer<Context>,
    context: Context,
    brokers: String,
    /// Whether it has answered ever: a login that fails later is an outage, as where a password is being changed.
    answered: AtomicBool,
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.brokers)
    }
}

/// A topic as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Its partitions are `0..partitions`.
    pub(crate) partitions: i32,
    /// Cluster id and, where there is one, topic id.
    pub(crate) identity: String,
    /// Replicas of the partition that has the fewest.
    pub(crate) replicas: usize,
    /// Brokers of the cluster.
    pub(crate) brokers: usize,
}

impl Topic {
    /// Whether librdkafka's in-process mock has it, which answers few of the questions.
    pub(crate) fn is_mock(&self) -> bool {
        is_mock(&self.identity)
    }
}

/// Begins the id of librdkafka's in-process mock; it is new with each start.
const MOCK: &str = "mockCluster";

/// Whether a topic of this identity is in librdkafka's in-process mock.
pub(crate) fn is_mock(identity: &str) -> bool {
    identity.starts_with(MOCK)
}

impl Inspector {
    /// Connects nothing yet. With a group, its committed offsets can be asked for.
    pub(crate) fn new(connection: &Connection, group: Option<&str>, isolation: &str) -> Result<Self, StageError> {
        let mut own = vec![("client.id", "foretell"), ("isolation.level", isolation)];
        own.extend(group.map(|group| ("group.id", group)));
        let config = connection.config(&own)?;
        let context = Context::of(connection.tokens());
        let consumer: BaseConsumer<Context> = config.create_with_context(context.clone()).map_err(error::config)?;
        raw::log_in(consumer.client(), &context)?;
        Ok(Inspector { consumer, context, brokers: connection.brokers.0.clone(), answered: AtomicBool::new(false) })
    }

    /// For administrative calls.
    pub(crate) fn client(&self) -> &rdkafka::client::Client<Context> {
        self.consumer().client()
    }

    /// The client, with a token that holds; it is not polled for one.
    fn consumer(&self) -> &BaseConsumer<Context> {
        if let Err(error) = raw::log_in(self.consumer.client(), &self.context) {
            tracing::debug!(target: "foretell::kafka", "{error}");
            self.context.no_token(&error);
        }
        &self.consumer
    }

    /// A topic that must be there.
    ///
    /// # Errors
    /// The cluster cannot be reached, does not let us log in, or has no such topic (with the nearest name).
    pub(crate) fn topic(&self, topic: &str) -> Result<Topic, StageError> {
        self.awaited(topic)?.ok_or_else(|| {
            let all = self.topics().unwrap_or_default();
            let error = StageError::settings(format!("brokers `{}` have no topic `{topic}`", self.brokers));
            match foretell_suggest::nearest(topic, all.iter().map(String::as_str)) {
                Some(near) => error.remedy(format!("did you mean `{near}`?")),
                None if all.is_empty() => error.remedy("create it; the cluster has no topic yet"),
                None => error.remedy("create it, or correct the name"),
            }
        })
    }

    /// A topic, if it appears within a moment.
    pub(crate) fn awaited(&self, topic: &str) -> Result<Option<Topic>, StageError> {
        let begin = Instant::now();
        loop {
            match self.find(topic)? {
                None if begin.elapsed() < APPEARS => std::thread::sleep(Duration::from_millis(100)),
                found => return Ok(found),
            }
        }
    }

    /// A topic, if it is there now.
    pub(crate) fn find(&self, topic: &str) -> Result<Option<Topic>, StageError> {
        let metadata = self.reach(Some(topic))?;
        let doing = || format!("topic `{topic}`");
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error().map(Code::from) {
            None => {}
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => return Ok(None),
            Some(Code::TopicAuthorizationFailed) => {
                let error = StageError::settings(format!("topic `{topic}`: the brokers do not allow it to this user"));
                return Err(error.remedy(format!("allow the user `Describe`, and `Read` or `Write`, on `{topic}`")));
            }
            Some(code) => {
                return Err(error::of(&doing(), &KafkaError::MetadataFetch(code)));
            }
        }
        let partitions = i32::try_from(found.partitions().len()).unwrap_or(i32::MAX);
        let replicas = found.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
        let brokers = metadata.brokers().len();
        let topic_of = |identity| Ok(Some(Topic { partitions, identity, replicas, brokers }));
        let Some(cluster) = self.client().fetch_cluster_id(ANSWER).filter(|id| !id.is_empty()) else {
            // Half an identity would look like another topic's.
            return Err(StageError::unavailable(format!("brokers `{}` do not tell the cluster's id", self.brokers)));
        };
        if cluster.starts_with(MOCK) {
            return topic_of(cluster);
        }
        match raw::topic_id(self.client(), topic, ANSWER) {
            Ok(Some(id)) => topic_of(format!("{cluster}/{id}")),
            Ok(None) => topic_of(cluster),
            // Brokers without the request. Anything else is passing or a matter of permissions, and an identity that
            // comes and goes would look like another topic.
            Err(KafkaError::AdminOp(Code::UnsupportedFeature | Code::UnsupportedVersion)) => topic_of(cluster),
            // Between the two questions.
            Err(KafkaError::AdminOp(Code::UnknownTopic | Code::UnknownTopicOrPartition)) => Ok(None),
            Err(error) => Err(error::of(&doing(), &error)),
        }
    }

    /// How many brokers there are.
    pub(crate) fn brokers(&self, topic: &str) -> Result<usize, StageError> {
        Ok(self.reach(Some(topic))?.brokers().len())
    }

    /// The names of all topics that we may see.
    pub(crate) fn names(&self) -> Result<Vec<String>, StageError> {
        Ok(self.reach(None)?.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    fn topics(&self) -> KafkaResult<Vec<String>> {
        let metadata = self.consumer().fetch_metadata(None, Duration::from_secs(2))?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// Asks for a topic until an answer comes, a login fails, or it takes too long.
    fn reach(&self, topic: Option<&str>) -> Result<rdkafka::metadata::Metadata, StageError> {
        let begun = Instant::now();
        self.drain();
        self.context.forget_others();
        loop {
            let error = match self.consumer().fetch_metadata(topic, Duration::from_millis(1500)) {
                Ok(metadata) => {
                    self.context.forget();
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(metadata);
                }
                Err(error) => error,
            };
            raw::begin_again(self.consumer.client(), &self.brokers);
            // Errors are handed to the context by a poll.
            self.drain();
            if let Some(failure) = self.unreachable(begun) {
                return Err(failure);
            }
            let retry = matches!(
                error.rdkafka_error_code(),
                Some(Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown)
            );
            if !retry {
                return Err(error::of(&format!("brokers `{}`", self.brokers), &error));
            }
        }
    }

    /// Serves logs and errors that have come up.
    fn drain(&self) {
        for _ in 0..64 {
            let _ = self.consumer.poll(Duration::ZERO);
        }
    }

    /// Why no answer comes; `None` as long as there is hope.
    fn unreachable(&self, begun: Instant) -> Option<StageError> {
        let errors = self.context.errors();
        let brokers = &self.brokers;
        let late = begun.elapsed() >= REACH;
        let now = errors.iter().find(|report| is_login(report.code) && report.at >= begun);
        let earlier = || self.context.refused(SILENCE).filter(|_| begun.elapsed() >= LOGIN);
        if let Some(why) = now.map(|report| report.reason.clone()).or_else(earlier) {
            let fault = match self.answered.load(Ordering::Relaxed) {
                true => Fault::Unavailable,
                false => Fault::Settings,
            };
            let remedy = match why.contains("GSSAPI") {
                true => "see `klist`, run `kinit`, or set KRB5_CLIENT_KTNAME to a keytab",
                false => "check `security`: mechanism, username and password",
            };
            let error = StageError::new(fault, format!("brokers `{brokers}` refuse the login: {why}"));
            return Some(error.remedy(remedy));
        }
        if let Some(report) = errors.iter().find(|report| report.code == Code::SSL) {
            let error = StageError::settings(format!("brokers `{brokers}`: TLS fails: {}", report.reason));
            return Some(error.remedy("check `security: { tls: … }` and the port"));
        }
        if let Some(report) = errors.iter().find(|report| report.code == Code::Resolve) {
            // Names come and go where containers are restarted.
            let error = StageError::unavailable(format!("brokers `{brokers}`: {}", report.reason));
            return Some(error.remedy("check `brokers`"));
        }
        // The last word of librdkafka is `1/1 brokers are down`; what went wrong is before it.
        let why = errors.iter().rev().find(|report| report.code != Code::AllBrokersDown);
        let down = errors.iter().any(|report| report.code == Code::AllBrokersDown);
        if !(late || down) {
            return None;
        }
        let why = match (why, late) {
            (Some(why), _) => why.reason.clone(),
            (None, true) => format!("no answer within {} s", REACH.as_secs()),
            (None, false) => "all connections are down".into(),
        };
        let error = StageError::unavailable(format!("brokers `{brokers}` cannot be reached: {why}"));
        Some(error.remedy("check `brokers` and `security`, and that Kafka is running"))
    }

    /// For each partition the offset at a point: [`Offset::Beginning`], [`Offset::End`], or the first record at or
    /// after a time in milliseconds ([`Offset::Offset`]); the end where there is no such record.
    pub(crate) fn offsets(&self, topic: &str, partitions: &[i32], at: Offset) -> Result<Vec<i64>, StageError> {
        let doing = || format!("topic `{topic}`: offsets");
        let answer = self.consumer().offsets_for_times(list(topic, partitions, at), ANSWER);
        let answer = answer.map_err(|error| error::of(&doing(), &error))?;
        let mut found = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let element = answer.find_partition(topic, *partition);
            let element = element.ok_or_else(|| StageError::unavailable(format!("{}: no answer", doing())))?;
            element.error().map_err(|error| match error.rdkafka_error_code() {
                // The topic is there: a broker that does not lead the partition any more, or not yet, was asked.
                Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
                    StageError::unavailable(format!("{}: partition {partition} has no leader that answers", doing()))
                }
                _ => error::of(&doing(), &error),
            })?;
            found.push(match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
        }
        if found.iter().all(Option::is_some) {
            return Ok(found.into_iter().flatten().collect());
        }
        if at == Offset::End {
            return Err(StageError::unavailable(format!("{}: no end is known", doing())));
        }
        let ends = self.offsets(topic, partitions, Offset::End)?;
        Ok(found.into_iter().zip(ends).map(|(found, end)| found.unwrap_or(end)).collect())
    }

    /// Who is in a group now; `None` where that cannot be told.
    pub(crate) fn members(&self, group: &str) -> Option<Vec<raw::Member>> {
        raw::members(self.client(), group, MEMBERS).unwrap_or_else(|error| {
            tracing::debug!(group, %error, "the group's members are not known");
            None
        })
    }

    /// What the group committed last, and what it noted with that.
    pub(crate) fn committed(&self, topic: &str, partitions: &[i32]) -> Result<Vec<Option<(i64, String)>>, StageError> {
        let answer = self.consumer().committed_offsets(list(topic, partitions, Offset::Invalid), ANSWER);
        let answer = answer.map_err(|error| error::of(&format!("topic `{topic}`: committed offsets"), &error))?;
        let committed = |partition: &i32| {
            let element = answer.find_partition(topic, *partition)?;
            match element.offset() {
                Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
                _ => None,
            }
        };
        Ok(partitions.iter().map(committed).collect())
    }
}

fn list(topic: &str, partitions: &[i32], offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        // Fails only for an offset that cannot be expressed; these can.
        let _ = list.add_partition_offset(topic, *partition, offset);
    }
    list
}

/// Runs a blocking call on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, StageError> + Send + 'static,
) -> Result<T, StageError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => answer,
        Err(_) => Err(StageError::new(Fault::Unavailable, "a Kafka call did not end")),
    }
}

/// As [`blocking`], with an inspector that is kept.
pub(crate) async fn ask<T: Send + 'static>(
    inspector: &Arc<Inspector>,
    question: impl FnOnce(&Inspector) -> Result<T, StageError> + Send + 'static,
) -> Result<T, StageError> {
    let inspector = inspector.clone();
    blocking(move || question(&inspector)).await
}
