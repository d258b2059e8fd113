//! Rows as records of a Kafka topic.
//!
//! Exactly once: the rows of each source partition and the position that they reach are written in one transaction, the
//! position as a record of a compacted topic (`progress`). The transactional id names the source's partition, so that
//! a new owner fences the one before; only then does it read what is stored. That works for any cluster, the source's
//! own or another. Rows of a query over whole batches go into one transaction with all positions.
//!
//! Consumers must read with `isolation.level=read_committed`, which Java's do not by default.

mod encode;
mod land;
mod pace;
mod progress;
mod publish;
mod reports;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod topics;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_flow::{Sharing, Sink, SinkTraits, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::inspect::Inspector;
use crate::settings::{Brokers, Connection, Options, Security};
use encode::Encoder;
use foretell_connect::kind::{Kind, SinkContext, SinkSettings, schema_of, settings_of};
use foretell_registry::Registry;
use land::KafkaSink;
use publish::Publisher;
use target::Target;

/// How the kind is listed.
pub const KIND: Kind<dyn SinkSettings> = Kind {
    name: "kafka",
    inherits: &[&["brokers", "security"], &["registry"]],
    schema: schema_of::<Settings>,
    parse: |value| Ok(Box::new(settings_of::<Settings>(value)?)),
};

/// The topic in which positions are kept where the pipeline file does not say.
pub const DEFAULT_PROGRESS_TOPIC: &str = "foretell_progress";

/// Writes rows to a Kafka topic.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the cluster is: `host:port`, several by commas or as a list. Default: the source's, with its `security`.
    pub brokers: Brokers,
    /// The topic. It must exist.
    pub topic: String,
    /// Column that gives the key; its hash chooses the partition, as Java's producer does it. Without it records have
    /// no key and are spread; a compacted topic takes none of those.
    #[serde(default)]
    pub key: Option<String>,
    /// The value as a text in which `{Column}` stands for that column's value, e.g. `Patient {PNO}: {PRETIME} minutes`.
    /// `{{` and `}}` are braces. Instead of `format`.
    #[serde(default)]
    pub value: Option<String>,
    /// The value as a JSON object (default), as a line of CSV; or in the wire format of the `registry` as an Avro record
    /// (`avro`), a Protobuf message (`protobuf`) or a JSON object with a JSON Schema (`json_schema`).
    #[serde(default)]
    pub format: Option<Format>,
    /// Columns of the value, in this order, for `format`. Default: all.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// The column that says of a row that it is a deletion: where it is true, the record has its key and no value, which
    /// deletes the key from a compacted topic. The column itself is not part of values. `_deleted` is what decoders give
    /// (`tombstones: delete`).
    #[serde(default)]
    pub delete: Option<String>,
    /// Headers: name → column.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `exactly_once` (default): in transactions, for consumers that read committed records only. `at_least_once`:
    /// without, quicker; after a crash some records come twice.
    #[serde(default)]
    pub delivery: Delivery,
    /// The compacted topic that keeps the positions, in its one partition; created where it is missing, with three
    /// replicas and `min.insync.replicas=2` where there are three brokers. Default: `foretell_progress`.
    #[serde(default)]
    pub progress_topic: Option<String>,
    /// Topic for rows whose record the topic does not take (too large; without a key where it is compacted): the
    /// beginning of the value, with the reason in headers. Without it such a row stops the pipeline.
    #[serde(default)]
    pub rejects: Option<String>,
    /// The schema registry, for `format: avro`, `protobuf` and `json_schema`. Default: the source's, where it is on the same brokers.
    #[serde(default)]
    pub registry: Option<foretell_registry::Settings>,
    /// The name of the record, e.g. `com.example.Reading`. Default: the topic's, with `_` for what a name cannot have.
    #[serde(default)]
    pub record: Option<String>,
    /// The subject of the schema in the registry. Default: what `subject_strategy` says.
    #[serde(default)]
    pub subject: Option<String>,
    /// How the subject is called where `subject` does not say it.
    #[serde(default)]
    pub subject_strategy: Option<SubjectStrategy>,
    /// Whether the schema of the columns is registered where it is not there yet (default: true); otherwise it must be.
    #[serde(default = "register")]
    pub register: bool,
    /// TLS and login.
    #[serde(default)]
    pub security: Security,
    /// Further properties of the Kafka client, by librdkafka's names, e.g. `compression.codec: zstd` (default: lz4).
    #[serde(default)]
    pub options: Options,
}

fn register() -> bool {
    true
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// An object by column names.
    Json,
    /// A line of CSV without its end.
    Csv,
    /// An Avro record, behind a zero byte and its schema's number.
    Avro,
    /// An object by column names, behind a zero byte and its schema's number.
    JsonSchema,
    /// A Protobuf message, behind a zero byte, its schema's number and the message's index in it.
    Protobuf,
}

/// How a subject is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectStrategy {
    /// The topic's name and `-value` (default).
    Topic,
    /// The record's name.
    Record,
    /// The topic's name, `-`, the record's name.
    TopicRecord,
}

/// What is promised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Each row once, for consumers that read committed records only.
    #[default]
    ExactlyOnce,
    /// No row is lost; after a crash some come twice.
    AtLeastOnce,
}

impl Settings {
    fn subject(&self, record: &str) -> Result<String, StageError> {
        let topic = &self.topic;
        Ok(match (&self.subject, self.subject_strategy) {
            (Some(_), Some(_)) => {
                let error = StageError::settings("`subject_strategy` means nothing beside `subject`");
                return Err(error.remedy("leave one of them out"));
            }
            (Some(subject), None) => subject.clone(),
            (None, None | Some(SubjectStrategy::Topic)) => format!("{topic}-value"),
            (None, Some(SubjectStrategy::Record)) => record.to_owned(),
            (None, Some(SubjectStrategy::TopicRecord)) => format!("{topic}-{record}"),
        })
    }

    /// Where the schema of values is registered.
    async fn publisher(&self, encoder: &Encoder, context: &SinkContext) -> Result<Option<Publisher>, StageError> {
        if encoder.registered().is_none() {
            return Ok(None);
        }
        let Some(registry) = &self.registry else {
            let error = StageError::settings("`format: avro`, `protobuf` and `json_schema` need the schema's number");
            return Err(error.remedy("give the sink its `registry: { url: … }`"));
        };
        let registry = Registry::new(registry, &context.base)?;
        let subject = self.subject(encoder.record_name().unwrap_or_default())?;
        let publisher = Publisher { registry, subject, register: self.register };
        match self.register {
            true => publisher.registry.check().await?,
            false => drop(publisher.number(encoder).await?),
        }
        Ok(Some(publisher))
    }
}

#[async_trait]
impl SinkSettings for Settings {
    fn traits(&self) -> SinkTraits {
        SinkTraits {
            keeps_positions: self.delivery == Delivery::ExactlyOnce,
            sharing: Sharing::Shared,
            // Known only with the query: rows of one over whole batches do go into one transaction.
            atomic: false,
            slices: false,
        }
    }

    fn describe(&self) -> String {
        format!("topic {} at {}", self.topic, self.brokers.0)
    }

    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>, StageError> {
        let encoder = Encoder::new(self, context)?;
        let publisher = self.publisher(&encoder, context).await?;
        let connection = Connection::new(&self.brokers, &self.security, &self.options, &context.base);
        // The end of the progress topic that counts is the one behind transactions that are still open.
        let inspector = Arc::new(Inspector::new(&connection, None, "read_uncommitted")?);
        let target = Target {
            topic: self.topic.clone(),
            progress: self.progress_topic.clone().unwrap_or_else(|| DEFAULT_PROGRESS_TOPIC.into()),
            rejects: self.rejects.clone(),
            exactly_once: self.delivery == Delivery::ExactlyOnce,
            keyed: self.key.is_some(),
        };
        for (setting, topic) in [("topic", Some(&target.topic)), ("rejects", target.rejects.as_ref())] {
            if target.exactly_once && topic == Some(&target.progress) {
                let error = format!("`{setting}` is `{}`, the topic that keeps the positions", target.progress);
                return Err(StageError::settings(error).remedy("name another one, or another `progress_topic`"));
            }
        }
        // Properties that librdkafka does not take are an error here, not at the first claim.
        writer::config(&connection, None, None, None)?;
        let limits = topics::examine(&connection, &inspector, &target, context.input).await?;
        Ok(Box::new(KafkaSink::new(connection, inspector, target, encoder, context, limits).publishing(publisher)))
    }
}

/// Where a column is in the rows, or an error with the nearest name.
fn column(context: &SinkContext, setting: &str, name: &str) -> Result<usize, StageError> {
    context.schema.index_of(name).map_err(|_| {
        let names = || context.schema.fields().iter().map(|field| field.name().as_str());
        let all: Vec<&str> = names().collect();
        let error = StageError::settings(format!("`{setting}`: there is no column `{name}`"));
        match foretell_suggest::nearest(name, names()) {
            Some(near) => error.remedy(format!("did you mean `{near}`?")),
            None => error.remedy(format!("the columns are `{}`", all.join("`, `"))),
        }
    })
}
