//! Whether topics are fit for what they are to hold, and the topic that keeps the positions, where it is missing.

use std::sync::Arc;
use std::time::Duration;

use foretell_flow::{Fault, SinkInput, StageError};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::target::Target;
use crate::client::Context;
use crate::error;
use crate::inspect::{Inspector, Topic, ask};
use crate::raw;
use crate::settings::Connection;

/// How long a tombstone stays at least; all of the topic is read at each start, and most of it would be these.
const TOMBSTONES: &str = "900000";
/// Replicas of a topic that is created, where there are as many brokers.
const REPLICAS: usize = 3;
const ANSWER: Duration = Duration::from_secs(5);
/// Compaction never touches the newest segment, and all of it is read at each start: a small one is quick.
const SEGMENT: &str = "16777216";

/// Positions are kept in one partition: what a key says last is only true within one.
pub(super) fn one_partition(topic: &str, partitions: i32) -> Result<(), StageError> {
    if partitions == 1 {
        return Ok(());
    }
    let error = StageError::settings(format!("topic `{topic}` keeps the positions, and has {partitions} partitions"));
    Err(error.remedy(format!(
        "positions are kept in one partition, and those in others are not found: create a topic with one partition and \
         `cleanup.policy=compact`, name it (`progress_topic`), and give it the positions by `foretell positions set` before \
         the next run; `{topic}` itself cannot be cut back"
    )))
}

fn admin(connection: &Connection) -> Result<AdminClient<Context>, StageError> {
    let config = connection.config(&[("client.id", "foretell")])?;
    let context = Context::of(connection.tokens());
    let client: AdminClient<Context> = config.create_with_context(context.clone()).map_err(error::config)?;
    raw::log_in(client.inner(), &context)?;
    Ok(client)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

/// Creates the topic where it is missing.
pub(super) async fn ensure(connection: &Connection, inspector: &Arc<Inspector>, topic: &str) -> Result<(), StageError> {
    let name = topic.to_owned();
    if let Some(found) = ask(inspector, move |inspector| inspector.find(&name)).await? {
        return one_partition(topic, found.partitions);
    }
    let name = topic.to_owned();
    let brokers = ask(inspector, move |inspector| inspector.brokers(&name)).await?;
    let failed = |code: Code| {
        let why = error::text(code);
        let error =
            StageError::settings(format!("topic `{topic}`, which keeps the positions, cannot be created: {why}"));
        error.remedy(format!(
            "create it with one partition and `cleanup.policy=compact`, name another (`progress_topic`), or use \
             `delivery: at_least_once`; foretell needs `Read`, `Write` and `Describe` on `{topic}`"
        ))
    };
    // A position that one disk alone has is lost with it, and rows come again.
    let replicas = brokers.min(REPLICAS);
    let safe = i32::try_from(replicas).unwrap_or(1);
    let (safe, usual) = (TopicReplication::Fixed(safe), TopicReplication::Fixed(-1));
    let mut outcome = create(connection, topic, safe, replicas >= REPLICAS, &options()).await?;
    if matches!(outcome, Err(Code::PolicyViolation | Code::InvalidReplicationFactor | Code::InvalidConfig)) {
        outcome = create(connection, topic, usual, false, &options()).await?;
    }
    match outcome {
        Ok(()) | Err(Code::TopicAlreadyExists) => {}
        Err(code) if error::fault(code) == Fault::Unavailable => {
            return Err(error::of(&format!("topic `{topic}`: create"), &KafkaError::AdminOp(code)));
        }
        Err(code) => return Err(failed(code)),
    }
    let name = topic.to_owned();
    match ask(inspector, move |inspector| inspector.awaited(&name)).await? {
        Some(found) => one_partition(topic, found.partitions),
        None => Err(StageError::unavailable(format!("topic `{topic}` was created and is not there yet"))),
    }
}

/// Whether the cluster would create the topic, which means that it has none of this name; nothing is created. Blocks.
/// False where it does not say, or not to us.
pub(super) fn is_free(connection: &Connection, topic: &str) -> bool {
    let options = options().validate_only(true);
    // As many replicas as the cluster makes by itself, which its policies allow.
    let asked = create(connection, topic, TopicReplication::Fixed(-1), false, &options);
    matches!(futures::executor::block_on(asked), Ok(Ok(())))
}

async fn create(
    connection: &Connection,
    topic: &str,
    replication: TopicReplication<'_>,
    two_in_sync: bool,
    options: &AdminOptions,
) -> Result<Result<(), Code>, StageError> {
    let mut new = NewTopic::new(topic, 1, replication)
        .set("cleanup.policy", "compact")
        .set("segment.bytes", SEGMENT)
        .set("delete.retention.ms", TOMBSTONES)
        .set("min.cleanable.dirty.ratio", "0.1");
    if two_in_sync {
        new = new.set("min.insync.replicas", "2");
    }
    let answer = admin(connection)?.create_topics([&new], options).await;
    let answer = answer.map_err(|error| error::of(&format!("topic `{topic}`: create"), &error))?;
    Ok(match answer.into_iter().next() {
        Some(Err((_, code))) => Err(code),
        _ => Ok(()),
    })
}

/// What the cluster says of the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// The largest record that it takes, where the cluster says.
    pub(super) largest: Option<usize>,
    /// Whether it takes no record without a key.
    pub(super) compacted: bool,
}

/// Whether the topics are fit for what they are to hold, and what the target takes. Nothing is changed.
pub(super) async fn examine(
    connection: &Connection,
    inspector: &Arc<Inspector>,
    target: &Target,
    input: SinkInput,
) -> Result<Limits, StageError> {
    let (topic, rejects) = (target.topic.clone(), target.rejects.clone());
    let progress = target.exactly_once.then(|| target.progress.clone());
    let asked = ask(inspector, move |inspector| {
        let found = inspector.topic(&topic)?;
        rejects.map(|rejects| inspector.topic(&rejects)).transpose()?;
        // Not created here: a check moves nothing.
        let progress = progress.map(|progress| inspector.find(&progress)).transpose()?.flatten();
        Ok((found.is_mock(), progress))
    });
    let (mock, progress) = asked.await?;
    if let Some(found) = &progress {
        one_partition(&target.progress, found.partitions)?;
    }
    if mock {
        return Ok(Limits::default());
    }
    let kept = progress.as_ref().map(|_| &target.progress);
    let names: Vec<&String> = [Some(&target.topic), target.rejects.as_ref(), kept].into_iter().flatten().collect();
    let configs = describe(connection, &names).await?;
    let config = |topic: &str| configs.iter().find(|(name, _)| name == topic).map(|(_, config)| config);
    if let (Some(found), Some(config)) = (&progress, config(&target.progress)) {
        fit_to_keep(&target.progress, found, config)?;
    }
    if let Some(rejects) = target.rejects.as_ref().filter(|topic| config(topic).is_some_and(Config::compacted)) {
        return Err(compacted(rejects, "rows that are set aside keep their key, or have none"));
    }
    let Some(config) = config(&target.topic) else { return Ok(Limits::default()) };
    match (config.compacted(), input) {
        (true, SinkInput::DeadLetters) => {
            Err(compacted(&target.topic, "dead letters have their records' keys, or none"))
        }
        (true, SinkInput::Results) if !target.keyed => {
            let error = StageError::settings(format!(
                "topic `{}` is compacted (`cleanup.policy={}`) and takes no record without a key, and there is no `key`",
                target.topic, config.policy
            ));
            Err(error.remedy("name the column that is the key: `key: …`; or write to a topic that is not compacted"))
        }
        (compacted, _) => Ok(Limits { largest: config.largest, compacted }),
    }
}

fn compacted(topic: &str, why: &str) -> StageError {
    let error = StageError::settings(format!(
        "topic `{topic}` is compacted: it takes no record without a key, and keeps one of each key; {why}"
    ));
    error.remedy("name a topic with `cleanup.policy=delete`")
}

/// What matters in a topic's configuration.
#[derive(Debug, Default)]
struct Config {
    policy: String,
    largest: Option<usize>,
    in_sync: Option<usize>,
}

impl Config {
    fn compacted(&self) -> bool {
        self.policy.split(',').any(|policy| policy.trim() == "compact")
    }
}

/// The configurations of topics, by name; without those that may not be read, which is told.
async fn describe(connection: &Connection, topics: &[&String]) -> Result<Vec<(String, Config)>, StageError> {
    let specifiers: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let doing = || {
        format!("the configuration of topics `{}`", topics.iter().map(|t| t.as_str()).collect::<Vec<_>>().join("`, `"))
    };
    let answer = match admin(connection)?.describe_configs(&specifiers, &options()).await {
        Ok(answer) => answer,
        Err(error) => match error.rdkafka_error_code() {
            Some(Code::UnsupportedFeature | Code::UnsupportedVersion) => return Ok(Vec::new()),
            _ => return Err(error::of(&doing(), &error)),
        },
    };
    let mut configs = Vec::with_capacity(topics.len());
    for (topic, found) in topics.iter().zip(answer) {
        let found = match found {
            Ok(found) => found,
            Err(code) if error::fault(code) == Fault::Unavailable => {
                return Err(error::of(&doing(), &KafkaError::AdminOp(code)));
            }
            Err(code) => {
                let why = error::text(code);
                tracing::warn!(
                    "topic `{topic}`: its configuration cannot be read ({why}), so whether it is fit is not checked; allow \
                     the user `DescribeConfigs` on it"
                );
                continue;
            }
        };
        let value = |name: &str| found.get(name).and_then(|entry| entry.value.clone());
        let number = |name: &str| value(name)?.parse().ok();
        let policy = value("cleanup.policy").unwrap_or_default();
        let config = Config { policy, largest: number("max.message.bytes"), in_sync: number("min.insync.replicas") };
        configs.push(((*topic).clone(), config));
    }
    Ok(configs)
}

/// Stops where positions would be lost by themselves; warns where the loss of one disk may lose them.
fn fit_to_keep(topic: &str, found: &Topic, config: &Config) -> Result<(), StageError> {
    if config.policy != "compact" {
        let error = StageError::settings(format!(
            "topic `{topic}` keeps the positions, and its cleanup.policy is `{}`",
            config.policy
        ));
        return Err(error.remedy("set `cleanup.policy=compact`: positions must not be deleted with age"));
    }
    let (replicas, in_sync) = (found.replicas, config.in_sync.unwrap_or(1));
    if in_sync > replicas {
        let error = StageError::settings(format!(
            "topic `{topic}` keeps the positions, and cannot be written: it has {replicas} replicas, and \
             `min.insync.replicas={in_sync}`"
        ));
        return Err(error.remedy("lower `min.insync.replicas`, or add replicas"));
    }
    if let Some(warning) = frail(replicas, in_sync, found.brokers) {
        tracing::warn!("topic `{topic}` keeps the positions: {warning}");
    }
    Ok(())
}

/// What may lose positions although the cluster has more brokers.
fn frail(replicas: usize, in_sync: usize, brokers: usize) -> Option<String> {
    let wanted = brokers.min(REPLICAS);
    if replicas < wanted {
        return Some(format!(
            "it has {replicas} replicas in a cluster of {brokers} brokers; when they are lost, rows come again; raise them \
             to {wanted}"
        ));
    }
    (replicas >= REPLICAS && in_sync < 2).then(|| {
        format!(
            "with `min.insync.replicas={in_sync}` one broker that fails may lose some, and rows come again; set it to 2"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_disk_may_lose_is_told_where_there_are_more() {
        for (replicas, in_sync, brokers, frail_too) in
            [(1, 1, 1, false), (1, 1, 3, true), (2, 1, 2, false), (2, 2, 5, true), (3, 1, 3, true), (3, 2, 3, false)]
        {
            assert_eq!(frail(replicas, in_sync, brokers).is_some(), frail_too, "{replicas} {in_sync} {brokers}");
        }
        let found = Topic { partitions: 1, identity: "c/1".into(), replicas: 1, brokers: 1 };
        let config = Config { policy: "compact".into(), largest: None, in_sync: Some(2) };
        let error = fit_to_keep("p", &found, &config).unwrap_err();
        assert!(error.message.contains("it has 1 replicas, and `min.insync.replicas=2`"), "{error}");
    }
}
