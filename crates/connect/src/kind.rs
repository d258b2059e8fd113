//! What a component declares of itself, so that the pipeline file, its JSON Schema, the docs and the tests find it by
//! walking a list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use foretell_flow::{Decode, Records, Sharing, Sink, SinkInput, SinkTraits, Source, StageError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::key_type::KeyType;
use crate::schemas::Schemas;
use crate::storage::Storage;
use crate::table::Rows;

/// A kind of component: its name in the pipeline file and how its settings are read. `S` is what the settings become.
pub struct Kind<S: ?Sized + 'static> {
    /// The key in the pipeline file, e.g. `kafka`.
    pub name: &'static str,
    /// Keys that a sink takes from a source of the same name: how services are reached, a group for each. Of a group it takes
    /// none where it gives any itself; and where that is the first, which says what the others belong to, none at all.
    pub inherits: &'static [&'static [&'static str]],
    /// The settings' JSON Schema; its descriptions are the user docs.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads the settings. The error carries the path of the field at fault.
    pub parse: fn(serde_json::Value) -> Result<Box<S>, SettingsError>,
}

/// Settings that cannot be parsed: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// Keys from the component down to the field, e.g. `["columns", "3"]`.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
}

/// A type's JSON Schema, for [`Kind::schema`].
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Reads settings of a type, for [`Kind::parse`].
///
/// # Errors
/// Unknown or missing fields and wrong types, with their path.
pub fn settings_of<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().iter().filter_map(segment).collect();
        SettingsError { path, message: error.into_inner().to_string() }
    })
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<String> {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

/// How a record's bytes become columns, as the pipeline file says it: a decoder's kind and settings.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DecodeSpec {
    /// The kind, e.g. `csv`.
    pub kind: String,
    /// Its settings.
    pub settings: serde_json::Value,
}

/// A decoding that a source found out by looking at its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Inferred {
    /// The decoder, with its columns.
    pub decode: DecodeSpec,
    /// What it was found from, for people.
    pub from: String,
}

/// The first records of a file.
#[derive(Debug, Clone)]
pub struct Head {
    /// Which file.
    pub file: String,
    /// Its first records.
    pub records: Records,
    /// The line of each, from 1; the number of its row where there are no lines.
    pub lines: Vec<i64>,
}

/// What a source is opened with.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// The pipeline's name.
    pub pipeline: String,
    /// This worker's stable name, unique within the pipeline, e.g. `0`: static group membership depends on it.
    pub worker: String,
    /// Which of this process's workers it is, from 0.
    pub index: usize,
    /// How many workers of this process share the source's buffer budget.
    pub workers: usize,
    /// Whether the pipeline ends when all that is there is read.
    pub ends: bool,
    /// How values are decoded.
    pub decode: DecodeSpec,
    /// Where a source may keep what it must know at the next start: `state:`, and a folder in it.
    pub state: (Arc<dyn Storage>, String),
    /// The [place](crate::machine::home) of `state:`, where other machines do not see it and what it keeps changes while
    /// the pipeline runs. Empty: it does not matter who reads a record again.
    pub home: String,
    /// Relative paths in settings are relative to this folder (the pipeline file's).
    pub base: PathBuf,
    /// Whether records are only looked at, for a dry run: the source joins no group, takes every partition for itself
    /// and leaves no trace of its own anywhere (no offset, no manifest, no spool). `commit` is never called.
    pub observe: bool,
}

/// What a sink is opened with.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// The pipeline's name: with the sink's, the identity under which positions are stored.
    pub pipeline: String,
    /// The sink's name in the pipeline file.
    pub sink: String,
    /// This worker's stable name.
    pub worker: String,
    /// The columns it will get.
    pub schema: SchemaRef,
    /// Whether it stores the plans.
    pub leader: bool,
    /// Whether each row comes from one partition, and says from which: then it can be written by partition.
    pub by_partition: bool,
    /// What the rows are: results, or dead letters (the columns of `dead_letter_schema`).
    pub input: SinkInput,
    /// How UTC times are written where a sink's type has no time zone: an IANA name such as `Asia/Shanghai`.
    pub timezone: Option<String>,
    /// Relative paths in settings are relative to this folder (the pipeline file's).
    pub base: PathBuf,
}

/// Settings of a source, resolved by `open`.
#[async_trait]
pub trait SourceSettings: Send + Sync {
    /// For messages: the consumer group or its equivalent, and anything special about what the source promises.
    fn describe(&self) -> String;

    /// How many workers may read.
    fn sharing(&self) -> Sharing {
        Sharing::Shared
    }

    /// Whether records are there again after a crash, until every sink has them.
    fn replays(&self) -> bool {
        true
    }

    /// Reaches the service and joins. With `probe` it only looks (service there, topic there, credentials right) and
    /// joins nothing: what `foretell check` does.
    async fn open(&self, context: &SourceContext, probe: bool) -> Result<Box<dyn Source>, StageError>;

    /// Whether `decode`, or its `columns`, may be left out, because [`infer`](SourceSettings::infer) finds them.
    fn infers(&self) -> bool {
        false
    }

    /// Completes what the pipeline file says about decoding by looking at the data.
    async fn infer(&self, _base: &Path, _given: Option<&DecodeSpec>) -> Result<Inferred, StageError> {
        Err(StageError::settings("the columns cannot be found out from this source").remedy("write `decode`"))
    }

    /// Where its records' schemas come from, where those name them by number. `base` as in [`SourceContext`].
    ///
    /// # Errors
    /// Settings that do not read.
    fn schemas(&self, _base: &Path) -> Result<Option<Arc<dyn Schemas>>, StageError> {
        Ok(None)
    }

    /// Whether its records have places: then dead letters name file and line.
    fn places(&self) -> bool {
        false
    }

    /// How many workers of one process can share it without being told how many, where the sinks and the query allow it:
    /// the reading is spread over all cores.
    fn spreads(&self) -> usize {
        1
    }

    /// The first records of what is there, read as a run would read them, for `foretell check`; nothing moves. Empty for
    /// a source that only knows what is there when it has joined.
    ///
    /// # Errors
    /// What a run would stop at.
    async fn head(&self, _context: &SourceContext) -> Result<Vec<Head>, StageError> {
        Ok(Vec::new())
    }

    /// Just after opening: how many of the files an earlier run has already seen.
    async fn seen_before(&self) -> usize {
        0
    }

    /// What is there, for people: one line each.
    async fn report(&self, _context: &SourceContext) -> Result<Vec<String>, StageError> {
        Ok(Vec::new())
    }
}

/// What becomes of a record without a value, as Kafka has them for keys that are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tombstones {
    /// It is a bad record.
    #[default]
    Bad,
    /// It is passed over.
    Skip,
    /// It is a row in which all decoded columns are NULL and the column `_deleted` is true; of other records that is false.
    /// A sink that has the setting `delete` deletes what is there under the row's key.
    Delete,
}

/// Settings of a decoder.
pub trait DecodeSettings: Send + Sync {
    /// The decoder. A fresh one for each worker.
    ///
    /// # Errors
    /// Settings that contradict each other.
    fn open(&self) -> Result<Box<dyn Decode>, StageError>;

    /// The same, of a source whose records name their schemas by number: where those come from.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_with(&self, _schemas: Option<Arc<dyn Schemas>>) -> Result<Box<dyn Decode>, StageError> {
        self.open()
    }

    /// How keys are read, for `decode_key`: the type of `_key`.
    fn key(&self) -> KeyType;

    /// Headers that become columns: column → header.
    fn headers(&self) -> Option<&BTreeMap<String, String>> {
        None
    }

    /// What a record without a value is.
    fn tombstones(&self) -> Tombstones {
        Tombstones::Bad
    }
}

/// Settings of a sink, resolved by `open`.
#[async_trait]
pub trait SinkSettings: Send + Sync {
    /// How it behaves; known without reaching anything.
    fn traits(&self) -> SinkTraits;

    /// One line for people: where the rows land (no secrets), e.g. `table result (mysql)`.
    fn describe(&self) -> String;

    /// Columns to take from the result, in order; all where `None`. The caller hands over just these.
    fn columns(&self) -> Option<&[String]> {
        None
    }

    /// Where it writes, where one machine or one worker alone may write: [`SinkStage::home`](foretell_flow::SinkStage::home). Else
    /// empty. `base` as in [`SinkContext`].
    fn home(&self, _base: &Path) -> String {
        String::new()
    }

    /// Reaches the service, checks everything that can be wrong (address, credentials, table, columns and their types,
    /// folder, topic) and writes nothing. This is what `foretell check` does.
    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>, StageError>;

    /// Runs what every sink must hold (`foretell_flow::testing::sinks`) on the service itself, in a place of its own there that
    /// it removes in the end. Empty where services of this kind do not differ in it.
    ///
    /// # Errors
    /// The service is away, or that place cannot be made.
    async fn prove(&self, _context: &SinkContext) -> Result<Vec<Proof>, StageError> {
        Ok(Vec::new())
    }

    /// Everything that was there when the run began is stored, and all workers' sinks are closed: marks it, where the
    /// settings ask for that. Only of a pipeline that ends, and not where it was told to stop.
    async fn complete(&self, _context: &SinkContext) -> Result<(), StageError> {
        Ok(())
    }
}

/// Something that a service was tried for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What holds.
    pub what: String,
    /// Else what was seen instead. It shows no record and no secret.
    pub outcome: Result<(), String>,
}

/// Settings of a reference table: where its rows are.
#[async_trait]
pub trait TableSettings: Send + Sync {
    /// Whether the pipeline file may give types of columns beside them (`types`); else what to do instead.
    fn takes_types(&self) -> Result<(), &'static str>;

    /// Reads all rows. `base` as in [`SinkContext`]; `types` has the types of columns by name, empty where
    /// [`takes_types`](TableSettings::takes_types) refuses them.
    ///
    /// # Errors
    /// [`Unavailable`](foretell_flow::Fault::Unavailable) where they cannot be reached; otherwise what a person must
    /// change. No value is shown.
    async fn read(&self, base: &Path, types: &serde_json::Map<String, serde_json::Value>) -> Result<Rows, StageError>;
}
