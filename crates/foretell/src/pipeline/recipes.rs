//! What rows are made with: today's decoder, queries and models, and those of leftover plans.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foretell_decode::{DECODERS, decode_key};
use foretell_files::keep;
use foretell_flow::{Keys, Query, Recipe, StageError, StageFactory, Stages, records_schema};
use foretell_model::{Limits, LoadOptions, Model};
use foretell_query::{Input, Scorer, Table};
use serde::{Deserialize, Serialize};

use super::encoding::{self, EncodingText};
use super::query::{Loaded, Stage, wait};
use super::state::{State, Thing, sha256};
use super::table::Version;

/// What the pipeline file says about decoding and queries: the text behind a recipe's `query` hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Text {
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
    pub(crate) models: BTreeMap<String, ModelText>,
    /// Encoding name → how its labels are read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) encodings: BTreeMap<String, EncodingText>,
}

/// The SQL functions that a model or an encoding gives, by name.
pub(crate) type Functions = Vec<(String, Arc<dyn Scorer>)>;

/// How a model file is read, as far as it decides what the model says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelText {
    /// Where in the file.
    pub(crate) at: Option<String>,
    /// Which boosting rounds.
    pub(crate) iterations: Option<Range<usize>>,
    /// Levels of categorical columns.
    pub(crate) categories: BTreeMap<String, Vec<String>>,
    /// Names of the inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) columns: Vec<String>,
}

impl ModelText {
    pub(crate) fn load(&self, bytes: &[u8], limits: Limits) -> Result<Model, foretell_model::Error> {
        let options = LoadOptions {
            at: self.at.clone(),
            limits,
            categories: self.categories.clone(),
            columns: self.columns.clone(),
            iterations: self.iterations.clone(),
        };
        Model::load(bytes, &options)
    }
}

/// What was loaded from files, by name and sha256.
type Loads = Mutex<BTreeMap<(String, String), Functions>>;

/// Today's recipe, and a way back to older ones.
pub(crate) struct RecipeStore {
    today: Mutex<Today>,
    text: Text,
    limits: BTreeMap<String, Limits>,
    /// Sink names, in the order of the lanes.
    lanes: Vec<String>,
    state: State,
    loads: Loads,
}

/// What changes while the pipeline runs.
struct Today {
    recipe: Arc<Recipe>,
    tables: BTreeMap<String, Version>,
    /// What tables were before: a plan may be made just before a table changes.
    before: BTreeMap<String, Version>,
}

impl RecipeStore {
    /// `loads`: of each model and encoding in a file its name → the file's sha256 and what it gives.
    pub(crate) fn new(
        text: Text,
        loads: BTreeMap<String, (String, Functions)>,
        tables: BTreeMap<String, Version>,
        limits: BTreeMap<String, Limits>,
        lanes: Vec<String>,
        state: State,
    ) -> Result<RecipeStore> {
        let query = sha256(&serde_json::to_vec(&text)?);
        let hashes = loads.iter().map(|(name, (sha256, _))| (name.clone(), sha256.clone())).collect();
        let of_tables = tables.iter().map(|(name, version)| (name.clone(), version.sha256.clone())).collect();
        let recipe = Arc::new(Recipe { query, models: hashes, tables: of_tables });
        let today = Mutex::new(Today { recipe, tables, before: BTreeMap::new() });
        let cached = loads.into_iter().map(|(name, (sha256, functions))| ((name, sha256), functions)).collect();
        Ok(RecipeStore { today, text, limits, lanes, state, loads: Mutex::new(cached) })
    }

    /// A table as it is now.
    pub(crate) fn table(&self, name: &str) -> Option<Version> {
        self.today().tables.get(name).cloned()
    }

    /// A table has other rows from the next batch on.
    pub(crate) fn renew(&self, name: &str, version: Version) {
        let mut today = self.today();
        let mut recipe = (*today.recipe).clone();
        recipe.tables.insert(name.to_string(), version.sha256.clone());
        if let Some(before) = today.tables.insert(name.to_string(), version) {
            today.before.insert(name.to_string(), before);
        }
        today.recipe = Arc::new(recipe);
    }

    fn today(&self) -> std::sync::MutexGuard<'_, Today> {
        self.today.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps the recipe's text and the tables where a later run finds them.
    pub(crate) async fn keep(&self) -> Result<()> {
        let tables: Vec<Version> = self.today().tables.values().cloned().collect();
        for version in tables {
            self.state.keep(Thing::Table, version.bytes.to_vec()).await?;
        }
        self.state.keep(Thing::Recipe, serde_json::to_vec(&self.text)?).await.map(drop)
    }

    async fn load(&self, name: &str, sha256: &str, text: &Text) -> Result<Functions, StageError> {
        let key = (name.to_string(), sha256.to_string());
        if let Some(functions) = self.cache().get(&key) {
            return Ok(functions.clone());
        }
        let limits = self.limits.get(name).cloned().unwrap_or_default();
        let functions: Functions = if let Some(how) = text.encodings.get(name) {
            let bytes = self.state.get(Thing::Encoding, sha256).await?;
            let encoding = how.load(&bytes, limits);
            let wrong = |error| StageError::state(format!("encoding `{name}`: {error:#}"));
            encoding::functions(name, encoding.map_err(wrong)?)
        } else {
            let bytes = self.state.get(Thing::Model, sha256).await?;
            let how = text.models.get(name).cloned().unwrap_or_default();
            let wrong = |error| StageError::state(format!("model `{name}`: {error}"));
            let model = how.load(&bytes, limits).map_err(wrong)?;
            vec![(name.to_string(), Arc::new(Loaded::new(name, model)))]
        };
        self.cache().insert(key, functions.clone());
        Ok(functions)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Functions>> {
        self.loads.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn stages_async(&self, recipe: &Recipe) -> Result<Stages, StageError> {
        let today = self.recipe();
        if recipe.query == today.query {
            let (functions, tables) = self.gather(recipe, &self.text).await?;
            let prepared = prepare(&self.text, functions, tables, &self.lanes, None).await;
            return prepared.map(|(stages, _)| stages).map_err(|error| StageError::settings(format!("{error:#}")));
        }
        let bytes = self.state.get(Thing::Recipe, &recipe.query).await?;
        let text: Text =
            serde_json::from_slice(&bytes).map_err(|_| StageError::state("a kept recipe does not read"))?;
        let (functions, tables) = self.gather(recipe, &text).await?;
        let newcomers = match text.newcomers(&self.text).as_slice() {
            [] => None,
            views => {
                let (functions, tables) = self.gather(&today, &self.text).await?;
                let functions =
                    scorers(&self.text, functions).map_err(|error| StageError::settings(error.to_string()))?;
                Some(Newcomers { views: views.iter().cloned().collect(), functions, tables })
            }
        };
        let prepared = prepare(&text, functions, tables, &self.lanes, newcomers.as_ref()).await;
        prepared.map(|(stages, _)| stages).map_err(|error| {
            StageError::state(format!(
                "batches that some sink lacks were planned with another query, and cannot be made again: {error:#}"
            ))
            .remedy(
                "run the pipeline file as it was before, until `foretell positions show` tells that every sink has \
                 caught up; or give them up with `foretell positions set`",
            )
        })
    }

    /// What a recipe's queries call and join.
    async fn gather(&self, recipe: &Recipe, text: &Text) -> Result<(Functions, Vec<Table>), StageError> {
        let mut functions = Functions::new();
        for (name, sha256) in &recipe.models {
            functions.extend(self.load(name, sha256, text).await?);
        }
        let mut tables = Vec::with_capacity(recipe.tables.len());
        for (name, sha256) in &recipe.tables {
            let at_hand = {
                let today = self.today();
                let versions = [today.tables.get(name), today.before.get(name)];
                let version = versions.into_iter().flatten().find(|version| version.sha256 == *sha256);
                version.map(|version| version.batch.clone())
            };
            let batch = match at_hand {
                Some(batch) => batch,
                None => keep::decode(self.state.get(Thing::Table, sha256).await?)?,
            };
            tables.push(joinable(name, batch));
        }
        Ok((functions, tables))
    }
}

impl Text {
    /// The sinks that this text does not know and that have a query of their own in a later one: name and query.
    fn newcomers(&self, later: &Text) -> Vec<(String, String)> {
        let unknown = |name: &String| match self.sinks.is_empty() {
            // Of an earlier version: whether a sink was there without a query is not known.
            true => !self.views.contains_key(name),
            false => !self.sinks.contains(name),
        };
        later.views.iter().filter(|(name, _)| unknown(name)).map(|(name, sql)| (name.clone(), sql.clone())).collect()
    }
}

/// Models and encodings as queries call them, by name.
type Scorers = BTreeMap<String, Arc<dyn Scorer>>;

/// Sinks that a recipe does not know: their queries of today, over its result.
pub(crate) struct Newcomers {
    views: BTreeMap<String, String>,
    functions: Scorers,
    tables: Vec<Table>,
}

/// The functions of a recipe beside those of its own encodings.
fn scorers(text: &Text, functions: Functions) -> Result<Scorers> {
    let mut models = Scorers::new();
    let mut all = functions;
    for (name, how) in text.encodings.iter().filter(|(_, how)| !how.has_file()) {
        let encoding = how.load(&[], Limits::default()).with_context(|| format!("encodings.{name}"))?;
        all.extend(encoding::functions(name, encoding));
    }
    for (name, scorer) in all {
        if models.contains_key(&name) {
            let twice = anyhow!("two functions are called `{name}`: rename the model or the encoding");
            return Err(twice.context("query"));
        }
        models.insert(name, scorer);
    }
    Ok(models)
}

impl StageFactory for RecipeStore {
    fn recipe(&self) -> Arc<Recipe> {
        self.today().recipe.clone()
    }

    fn stages(&self, recipe: &Recipe) -> Result<Stages, StageError> {
        wait(self.stages_async(recipe))
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
    /// Whether each row of every lane comes from one partition.
    pub(crate) by_partition: bool,
    /// Whether each row of every lane comes from one record.
    pub(crate) row_wise: bool,
}

/// A table as the queries take it.
pub(crate) fn joinable(name: &str, batch: RecordBatch) -> Table {
    Table { name: name.to_string(), schema: batch.schema(), batches: vec![batch] }
}

/// The decoder and the queries of a text, with these tables, and these functions beside those of its own encodings; the
/// lanes by their sinks' names. Sinks that the text does not know are `newcomers`.
pub(crate) async fn prepare(
    text: &Text,
    functions: Functions,
    tables: Vec<Table>,
    lanes: &[String],
    newcomers: Option<&Newcomers>,
) -> Result<(Stages, Planned)> {
    let models = &scorers(text, functions)?;
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
    let query = foretell_query::Query::prepare(&text.query, &input, models, tables.clone()).await.context("query")?;
    let result = query.output_schema().clone();
    let mut planned = Planned {
        result: result.clone(),
        lanes: Vec::new(),
        kind: query.kind().to_string(),
        by_partition: query.kind().is_by_partition(),
        row_wise: query.kind().is_row_wise(),
    };
    let mut views: Vec<Option<Box<dyn Query>>> = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let newcomer = newcomers.and_then(|newcomers| Some((newcomers.views.get(lane)?, newcomers)));
        let (models, tables) = newcomer.map_or((models, &tables), |(_, new)| (&new.functions, &new.tables));
        let Some(sql) = newcomer.map(|(sql, _)| sql).or_else(|| text.views.get(lane)) else {
            planned.lanes.push(result.clone());
            views.push(None);
            continue;
        };
        let input = Input {
            table: "result".into(),
            schema: view_schema(&result, query.kind().is_by_partition()),
            decoded: result.fields().iter().map(|field| field.name().clone()).collect(),
        };
        let view = foretell_query::Query::prepare(sql, &input, models, tables.clone())
            .await
            .with_context(|| format!("sinks.{lane}.query"))?;
        planned.by_partition &= view.kind().is_by_partition();
        planned.row_wise &= view.kind().is_row_wise();
        planned.lanes.push(view.output_schema().clone());
        views.push(Some(Box::new(Stage(view))));
    }
    Ok((Stages { decode, keys, query: Box::new(Stage(query)), views }, planned))
}

/// The result as a sink's own query sees it.
fn view_schema(result: &SchemaRef, by_partition: bool) -> SchemaRef {
    if !by_partition {
        return result.clone();
    }
    let mut fields: Vec<_> = result.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("_partition", DataType::Int32, false)));
    fields.push(Arc::new(Field::new("_offset", DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}
