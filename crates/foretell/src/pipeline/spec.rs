//! What a pipeline file says about decoding, queries, models and encodings: the text behind a recipe's hash.
//!
//! It is stored as JSON, so the names of its fields and the shape of its values stay.

use std::collections::BTreeMap;
use std::ops::Range;

use foretell_model::{Limits, LoadOptions, Model};
use serde::{Deserialize, Serialize};

use super::encoding::EncodingSpec;

/// What the pipeline file says about decoding and queries: the text behind a recipe's `query` hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PipelineSpec {
    /// The names of all sinks, sorted; none in what earlier versions kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sinks: Vec<String>,
    /// The decoder's kind and settings.
    pub(crate) decode: (String, serde_json::Value),
    /// The query over `records`.
    pub(crate) query: String,
    /// Sink name → its own query over `result`.
    pub(crate) views: BTreeMap<String, String>,
    /// Model name → how its file is read.
    pub(crate) models: BTreeMap<String, ModelSpec>,
    /// Model name → the name of its challenger.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) shadows: BTreeMap<String, String>,
    /// Encoding name → how its labels are read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) encodings: BTreeMap<String, EncodingSpec>,
}

/// Whether one of these queries asks why a model says what it says.
pub(super) fn explains<'q>(model: &str, queries: impl IntoIterator<Item = &'q str>) -> bool {
    let asked = ["contribs", "reasons", "leaf"].map(|what| format!("{model}_{what}").to_lowercase());
    let asks = |query: String| asked.iter().any(|name| query.contains(name));
    queries.into_iter().any(|query| asks(query.to_lowercase()))
}

impl PipelineSpec {
    /// All queries.
    pub(super) fn queries(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.query.as_str()).chain(self.views.values().map(String::as_str))
    }

    /// The sinks that this text does not know and that have a query of their own in a later one: name and query.
    pub(super) fn new_sinks(&self, later: &PipelineSpec) -> Vec<(String, String)> {
        let unknown = |name: &String| match self.sinks.is_empty() {
            // Of an earlier version: whether a sink was there without a query is not known.
            true => !self.views.contains_key(name),
            false => !self.sinks.contains(name),
        };
        later.views.iter().filter(|(name, _)| unknown(name)).map(|(name, sql)| (name.clone(), sql.clone())).collect()
    }
}

/// How a model file is read, as far as it decides what the model says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelSpec {
    /// Where in the file.
    pub(crate) at: Option<String>,
    /// Where in the file, or in each of several files, the estimators of a chain are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) chain: Vec<String>,
    /// Which boosting rounds.
    pub(crate) iterations: Option<Range<usize>>,
    /// Levels of categorical columns.
    pub(crate) categories: BTreeMap<String, Vec<String>>,
    /// Names of the inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) columns: Vec<String>,
}

impl ModelSpec {
    /// `explain`: whether the query asks why the model says what it says.
    pub(crate) fn load(&self, bytes: &[u8], limits: Limits, explain: bool) -> Result<Model, foretell_package::Error> {
        let options = LoadOptions {
            explain,
            at: self.at.iter().chain(&self.chain).cloned().collect(),
            limits,
            categories: self.categories.clone(),
            columns: self.columns.clone(),
            iterations: self.iterations.clone(),
        };
        foretell_package::load(bytes, &options)
    }
}
