//! What rows are made with: today's decoder, queries and models, and those of leftover plans.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foretell_connect::decode::{DECODERS, decode_key};
use foretell_flow::{Cook, Keys, Kitchen, Query, Recipe, StageError, records_schema};
use foretell_model::{Limits, LoadOptions, Model};
use foretell_query::{Input, Scorer};
use serde::{Deserialize, Serialize};

use super::query::{Loaded, Stage, wait};
use super::state::{State, Thing, sha256};

/// What the pipeline file says about decoding and queries: the text behind a recipe's `query` hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Text {
    /// The decoder's kind and settings.
    pub(crate) decode: (String, serde_json::Value),
    /// The query over `records`.
    pub(crate) query: String,
    /// Sink name → its own query over `result`.
    pub(crate) views: BTreeMap<String, String>,
    /// Model name → how its file is read.
    pub(crate) models: BTreeMap<String, ModelText>,
}

/// How a model file is read, as far as it decides what the model says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelText {
    /// Where in the file.
    pub(crate) at: Option<String>,
    /// Which boosting rounds.
    pub(crate) iterations: Option<Range<usize>>,
    /// Levels of categorical columns.
    pub(crate) categories: BTreeMap<String, Vec<String>>,
}

impl ModelText {
    pub(crate) fn load(&self, bytes: &[u8], limits: Limits) -> Result<Model, foretell_model::Error> {
        let options = LoadOptions {
            at: self.at.clone(),
            limits,
            categories: self.categories.clone(),
            iterations: self.iterations.clone(),
        };
        Model::load(bytes, &options)
    }
}

/// Models by sha256 and how they were read.
type Models = Mutex<BTreeMap<(String, String), Arc<dyn Scorer>>>;

/// Today's recipe, and a way back to older ones.
pub(crate) struct Pantry {
    recipe: Arc<Recipe>,
    text: Text,
    limits: BTreeMap<String, Limits>,
    /// Sink names, in the order of the lanes.
    lanes: Vec<String>,
    state: State,
    models: Models,
}

impl Pantry {
    /// `models`: name → its file's sha256 and the loaded model.
    pub(crate) fn new(
        text: Text,
        models: BTreeMap<String, (String, Arc<dyn Scorer>)>,
        limits: BTreeMap<String, Limits>,
        lanes: Vec<String>,
        state: State,
    ) -> Result<Pantry> {
        let query = sha256(&serde_json::to_vec(&text)?);
        let hashes = models.iter().map(|(name, (sha256, _))| (name.clone(), sha256.clone())).collect();
        let recipe = Recipe { query, models: hashes, tables: BTreeMap::new() };
        let cached = models.into_iter().map(|(name, (sha256, model))| ((name, sha256), model)).collect();
        Ok(Pantry { recipe: Arc::new(recipe), text, limits, lanes, state, models: Mutex::new(cached) })
    }

    /// Keeps the recipe's text where a later run finds it.
    pub(crate) async fn keep(&self) -> Result<()> {
        self.state.keep(Thing::Recipe, serde_json::to_vec(&self.text)?).await.map(drop)
    }

    async fn model(&self, name: &str, sha256: &str, text: &Text) -> Result<Arc<dyn Scorer>, StageError> {
        let key = (name.to_string(), sha256.to_string());
        if let Some(model) = self.cache().get(&key) {
            return Ok(model.clone());
        }
        let bytes = self.state.get(Thing::Model, sha256).await?;
        let limits = self.limits.get(name).cloned().unwrap_or_default();
        let how = text.models.get(name).cloned().unwrap_or_default();
        let model = how.load(&bytes, limits).map_err(|error| StageError::state(format!("model `{name}`: {error}")))?;
        let model: Arc<dyn Scorer> = Arc::new(Loaded(model));
        self.cache().insert(key, model.clone());
        Ok(model)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Arc<dyn Scorer>>> {
        self.models.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn cook_async(&self, recipe: &Recipe) -> Result<Cook, StageError> {
        let text = if recipe.query == self.recipe.query {
            self.text.clone()
        } else {
            let bytes = self.state.get(Thing::Recipe, &recipe.query).await?;
            serde_json::from_slice(&bytes).map_err(|_| StageError::state("a kept recipe does not read"))?
        };
        let mut models: BTreeMap<String, Arc<dyn Scorer>> = BTreeMap::new();
        for (name, sha256) in &recipe.models {
            models.insert(name.clone(), self.model(name, sha256, &text).await?);
        }
        let prepared = prepare(&text, &models, &self.lanes).await;
        prepared.map(|(cook, _)| cook).map_err(|error| StageError::settings(format!("{error:#}")))
    }
}

impl Kitchen for Pantry {
    fn recipe(&self) -> Arc<Recipe> {
        self.recipe.clone()
    }

    fn cook(&self, recipe: &Recipe) -> Result<Cook, StageError> {
        wait(self.cook_async(recipe))
    }
}

/// What is known of a pipeline's queries once they are planned.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// The result's columns.
    pub(crate) result: SchemaRef,
    /// By lane: what its own query gives, or the result.
    pub(crate) lanes: Vec<SchemaRef>,
    /// `row-wise`, or what makes it otherwise, for people.
    pub(crate) kind: String,
    /// Whether each row of every lane comes from one record.
    pub(crate) row_wise: bool,
}

/// The decoder and the queries of a text, with these models; the lanes by their sinks' names.
pub(crate) async fn prepare(
    text: &Text,
    models: &BTreeMap<String, Arc<dyn Scorer>>,
    lanes: &[String],
) -> Result<(Cook, Planned)> {
    let (kind, settings) = &text.decode;
    let decoder = DECODERS.iter().find(|decoder| decoder.name == kind).ok_or_else(|| anyhow!("no decoder `{kind}`"))?;
    let settings = (decoder.parse)(settings.clone())
        .map_err(|error| anyhow!("decode: {kind}: {}: {}", error.path.join("."), error.message))?;
    let decode = settings.open()?;
    let key = settings.key();
    let keys = Keys { data_type: key.arrow(), decode: Box::new(move |keys| decode_key(key, keys)) };
    let input = Input {
        table: "records".into(),
        schema: records_schema(&decode.schema(), &keys.data_type),
        decoded: decode.schema().fields().iter().map(|field| field.name().clone()).collect(),
    };
    let query = foretell_query::Query::prepare(&text.query, &input, models, Vec::new()).await.context("query")?;
    let result = query.output_schema().clone();
    let mut planned = Planned {
        result: result.clone(),
        lanes: Vec::new(),
        kind: query.kind().to_string(),
        row_wise: query.kind().is_row_wise(),
    };
    let mut views: Vec<Option<Box<dyn Query>>> = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let Some(sql) = text.views.get(lane) else {
            planned.lanes.push(result.clone());
            views.push(None);
            continue;
        };
        let input = Input {
            table: "result".into(),
            schema: view_schema(&result, query.kind().is_row_wise()),
            decoded: result.fields().iter().map(|field| field.name().clone()).collect(),
        };
        let view = foretell_query::Query::prepare(sql, &input, models, Vec::new())
            .await
            .with_context(|| format!("sinks.{lane}.query"))?;
        planned.row_wise &= view.kind().is_row_wise();
        planned.lanes.push(view.output_schema().clone());
        views.push(Some(Box::new(Stage(view))));
    }
    Ok((Cook { decode, keys, query: Box::new(Stage(query)), views }, planned))
}

/// The result as a sink's own query sees it.
fn view_schema(result: &SchemaRef, row_wise: bool) -> SchemaRef {
    if !row_wise {
        return result.clone();
    }
    let mut fields: Vec<_> = result.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("_partition", DataType::Int32, false)));
    fields.push(Arc::new(Field::new("_offset", DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}
