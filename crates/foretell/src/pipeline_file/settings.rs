//! The settings that belong to no component: models and how the pipeline runs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use foretell_connect::human::{HumanDuration, HumanSize};
use foretell_model::Limits;
use foretell_storage::{S3Settings, StorageSettings};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Map;

/// A model file, which becomes an SQL function of the model's name.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelSettings {
    /// The file: a pickle, a joblib file, what XGBoost, LightGBM or CatBoost save, ONNX, PMML, an archive of one of these
    /// (`tar.gz`, zip), or a folder of MLflow. Relative to the pipeline file; or `hdfs://host:port/path`,
    /// `s3://bucket/path`, or as MLflow's registry names it, `models:/NAME@ALIAS` or `models:/NAME/VERSION` (of the server
    /// in MLFLOW_TRACKING_URI).
    #[serde(default)]
    pub(crate) file: Option<String>,
    /// Instead of `file`: the files of a chain, each given what the one before it makes: `[scaler.pkl, model.pkl]`.
    #[serde(default)]
    pub(crate) files: Vec<String>,
    /// Where the model is, in a file that holds several things: `model`, `models[2].best`; a list is a chain:
    /// `[scaler, model]`. Of several `files` one for each, `""` where it is the whole.
    #[serde(default)]
    pub(crate) at: OneOrMore,
    /// The file's SHA-256 in hexadecimal: any other file is refused. Of several `files` a list.
    #[serde(default)]
    pub(crate) sha256: OneOrMore,
    /// Boosting iterations to use: `100` for the first hundred, or `[10, 20]` for those from 10 up to, but not
    /// including, 20.
    #[serde(default)]
    pub(crate) iterations: Option<Iterations>,
    /// How often to look whether the file is another one, e.g. `10s`; by default never, and a new start reads it. Another
    /// file serves the batches that begin after it was read, if the query gives the same columns with it; one that does not
    /// fit is refused, and the model goes on as it was. Not with `sha256`.
    #[serde(default)]
    pub(crate) refresh: Option<HumanDuration>,
    /// Rows with what the model must say of them, which another file is tried on before it is taken: a CSV file with the
    /// model's columns and `prediction`, compared to six digits. Relative to the pipeline file.
    #[serde(default)]
    pub(crate) golden: Option<String>,
    /// The name of another model of this file, its challenger: it is given the same rows, and how far its answers are from
    /// this model's goes to metrics and the page. Nothing that the sinks get changes, and what goes wrong with the challenger
    /// is counted and harms nobody. `NAME_shadow(*)` in the query is its answer, NULL where it refuses a row.
    #[serde(default)]
    pub(crate) shadow: Option<String>,
    /// Whether the rows that the model gets, and its answers, still look like those of before.
    #[serde(default)]
    pub(crate) drift: Option<DriftSettings>,
    /// How S3 is reached.
    #[serde(default)]
    pub(crate) s3: S3Settings,
    /// Other limits for reading the file.
    #[serde(default)]
    pub(crate) limits: ModelLimits,
    /// The levels of text columns that the file does not name, in the order of their codes: `{ DEPT: [a, b] }`.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, Vec<String>>")]
    pub(crate) categories: Map<String, serde_json::Value>,
    /// The names of the model's inputs, in their order, for a file that does not tell them; a FeatureHasher hashes
    /// these.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
}

/// A text, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text, or a list of texts")]
pub(crate) enum OneOrMore {
    /// One.
    One(String),
    /// Several, or none.
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        OneOrMore::More(Vec::new())
    }
}

impl OneOrMore {
    /// All of them.
    pub(crate) fn all(&self) -> &[String] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

impl ModelSettings {
    /// What storages need to know.
    pub(crate) fn storage(&self) -> StorageSettings {
        StorageSettings { s3: self.s3.clone() }
    }

    /// The levels of text columns.
    ///
    /// # Errors
    /// A column whose levels are not a list of texts.
    pub(crate) fn levels(&self) -> Result<BTreeMap<String, Vec<String>>, String> {
        let levels = |(column, levels): (&String, &serde_json::Value)| {
            serde_json::from_value(levels.clone())
                .map(|levels| (column.clone(), levels))
                .map_err(|_| format!("categories: `{column}`: a list of texts is needed"))
        };
        self.categories.iter().map(levels).collect()
    }
}

/// With what the latest rows are compared, and from which distance on it is told.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DriftSettings {
    /// What `foretell baseline MODEL DATA` wrote. Relative to the pipeline file.
    #[serde(default)]
    pub(crate) baseline: Option<String>,
    /// Instead of `baseline`: the first rows that come, this many; the baseline made of them is kept in `state:`.
    #[serde(default)]
    pub(crate) first: Option<u64>,
    /// How many of the latest rows are compared. Default: 10000. The window moves by a tenth of it.
    #[serde(default = "window")]
    pub(crate) window: u64,
    /// A Population Stability Index above this is told. Default: 0.2.
    #[serde(default = "threshold")]
    pub(crate) psi: f64,
    /// A Kolmogorov–Smirnov statistic above this is told. Default: 0.2.
    #[serde(default = "threshold")]
    pub(crate) ks: f64,
}

fn window() -> u64 {
    10_000
}

fn threshold() -> f64 {
    0.2
}

/// Limits for reading a model file; they exist because a small file can claim to be huge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelLimits {
    /// Memory for the file's objects.
    #[serde(default)]
    pub(crate) memory: Option<HumanSize>,
    /// Size of the file after decompression.
    #[serde(default)]
    pub(crate) unpacked: Option<HumanSize>,
}

impl ModelLimits {
    /// As the reader of model files takes them.
    pub(crate) fn reader(&self) -> Limits {
        let default = Limits::default();
        Limits {
            memory: self.memory.map_or(default.memory, |size| size.0 as u64),
            unpacked: self.unpacked.map_or(default.unpacked, |size| size.0 as u64),
            ..default
        }
    }
}

/// Which boosting iterations to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of iterations, or `[from, to]`")]
pub(crate) enum Iterations {
    /// The first ones, this many.
    First(u32),
    /// From the first up to, but not including, the second.
    Range([u32; 2]),
}

impl Iterations {
    /// As a half-open range.
    pub(crate) fn range(self) -> (u32, u32) {
        match self {
            Iterations::First(count) => (0, count),
            Iterations::Range([from, to]) => (from, to),
        }
    }
}

/// What becomes of a pipeline when a record is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnBadRecord {
    /// Counted and logged, without its value; the stream goes on.
    #[default]
    Continue,
    /// The pipeline stops, naming the record.
    Stop,
    /// The pipeline stops where more than this many of a million of the latest records are bad.
    StopAbove(u32),
}

/// The short form.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnBadRecordName {
    /// Counted and logged, without its value; the stream goes on.
    Continue,
    /// The pipeline stops before the record's batch, naming the record.
    Stop,
}

/// The long form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OnBadRecordDetails {
    /// The pipeline stops before it stores a batch by which more than this share of the latest records (at least 1,000) is
    /// bad; a batch job ends with exit code 3 where more of all its records are. E.g. `5%`.
    stop_above: Percent,
}

/// A share, in parts of a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Percent(u32);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match number.filter(|number| (0.0..100.0).contains(number)) {
            Some(number) => Ok(Percent((number * 10_000.0).round() as u32)),
            None => Err(D::Error::custom("not a share, expected percent from `0%` to below `100%`, such as `5%`")),
        }
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

impl<'de> Deserialize<'de> for OnBadRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnBadRecordVisitor)
    }
}

struct OnBadRecordVisitor;

impl<'de> Visitor<'de> for OnBadRecordVisitor {
    type Value = OnBadRecord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`continue`, `stop` or `{ stop_above: 5% }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OnBadRecord, E> {
        match text {
            "continue" => Ok(OnBadRecord::Continue),
            "stop" => Ok(OnBadRecord::Stop),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnBadRecord, A::Error> {
        let details = OnBadRecordDetails::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(OnBadRecord::StopAbove(details.stop_above.0))
    }
}

impl JsonSchema for OnBadRecord {
    fn schema_name() -> Cow<'static, str> {
        "OnBadRecord".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<OnBadRecordName>();
        let details = generator.subschema_for::<OnBadRecordDetails>();
        schemars::json_schema!({
            "description": "What becomes of a pipeline when a record is bad: `continue` (it is set aside, or counted and \
                logged without its value), `stop` (also where there are dead letters), or `{ stop_above: 5% }`. Default: \
                `continue`.",
            "anyOf": [name, details]
        })
    }
}

/// When a batch begins, and how large it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// When.
    pub(crate) mode: TriggerMode,
    /// Most records of one batch, where that is said.
    pub(crate) max_rows: Option<usize>,
    /// Most bytes (keys and values) of one batch, where that is said.
    pub(crate) max_bytes: Option<usize>,
}

/// When a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TriggerMode {
    /// As soon as there is work.
    Continuous,
    /// At this interval.
    Every(Duration),
    /// Everything that is there at the start; then the pipeline ends.
    AvailableNow,
}

/// Records and bytes of a batch that is in memory as a whole.
const WHOLE: (usize, usize) = (100_000, 32 << 20);
/// Of one that goes to its sinks slice by slice.
const SLICED: (usize, usize) = (5_000_000, 128 << 20);
/// More bytes than a batch can be allowed: a column of texts or bytes holds 2 GiB.
const MOST_BYTES: usize = 1 << 30;

impl Default for Trigger {
    fn default() -> Self {
        Trigger { mode: TriggerMode::Continuous, max_rows: None, max_bytes: None }
    }
}

impl Trigger {
    /// Most records, and most bytes, of one batch.
    pub(crate) fn limits(&self, sliced: bool) -> (usize, usize) {
        let (rows, bytes) = if sliced { SLICED } else { WHOLE };
        (self.max_rows.unwrap_or(rows), self.max_bytes.unwrap_or(bytes))
    }
}

/// The long form of a trigger.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TriggerDetails {
    /// How often batches begin: `3s`.
    #[serde(default)]
    every: Option<HumanDuration>,
    /// Instead of `every`: `continuous` or `available_now`.
    #[serde(default)]
    mode: Option<TriggerName>,
    /// The most records in one batch. Default: 100000; with `available_now`, files and a query that looks at one record
    /// at a time: 5000000.
    #[serde(default)]
    max_rows: Option<usize>,
    /// The most bytes (keys and values) in one batch. Default: 32 MiB, or 128 MiB where `max_rows` is 5000000. At most
    /// 1 GiB.
    #[serde(default)]
    max_bytes: Option<HumanSize>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TriggerName {
    /// A batch begins as soon as there is work.
    Continuous,
    /// All that is there at the start, then the pipeline ends.
    AvailableNow,
}

impl TriggerName {
    fn mode(self) -> TriggerMode {
        match self {
            TriggerName::Continuous => TriggerMode::Continuous,
            TriggerName::AvailableNow => TriggerMode::AvailableNow,
        }
    }
}

impl<'de> Deserialize<'de> for Trigger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TriggerVisitor)
    }
}

struct TriggerVisitor;

impl<'de> Visitor<'de> for TriggerVisitor {
    type Value = Trigger;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`continuous`, `available_now` or `{ every: 3s }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Trigger, E> {
        let name = TriggerName::deserialize(serde::de::value::StrDeserializer::<E>::new(text))
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
        Ok(Trigger { mode: name.mode(), ..Trigger::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Trigger, A::Error> {
        let details = TriggerDetails::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        let mode = match (details.every, details.mode) {
            (Some(every), None) if every.0.is_zero() => {
                return Err(A::Error::custom("`every` is zero: write `continuous` for batches without a pause"));
            }
            (Some(every), None) => TriggerMode::Every(every.0),
            (None, Some(mode)) => mode.mode(),
            (None, None) => TriggerMode::Continuous,
            (Some(_), Some(_)) => return Err(A::Error::custom("either `every` or `mode`, not both")),
        };
        let (max_rows, max_bytes) = (details.max_rows, details.max_bytes.map(|size| size.0));
        if max_rows == Some(0) || max_bytes == Some(0) {
            return Err(A::Error::custom("a batch must be allowed at least one row and one byte"));
        }
        if max_bytes.is_some_and(|bytes| bytes > MOST_BYTES) {
            return Err(A::Error::custom(
                "`max_bytes` is at most 1 GiB: columns of a batch count their bytes in 31 bits",
            ));
        }
        Ok(Trigger { mode, max_rows, max_bytes })
    }
}

impl JsonSchema for Trigger {
    fn schema_name() -> Cow<'static, str> {
        "Trigger".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<TriggerName>();
        let details = generator.subschema_for::<TriggerDetails>();
        schemars::json_schema!({
            "description": "When a batch begins: `continuous` (as soon as there is work), `{ every: 3s }`, or \
                `available_now` (all that is there, then the pipeline ends). Default: `continuous`.",
            "anyOf": [name, details]
        })
    }
}
