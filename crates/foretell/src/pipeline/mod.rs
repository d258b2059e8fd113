//! From a pipeline file to a running pipeline: models are loaded, queries planned, sinks and the source opened.

mod encoding;
mod observe;
mod query;
mod recipes;
mod state;
mod table;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::datatypes::{Schema, SchemaRef};
use foretell_connect::kind::{DecodeText, SinkContext, SinkSettings, SourceContext};
use foretell_decode::MISSING;
use foretell_flow::{
    Lane, Limits, OnBadRecord, Settings, Sharing, Sink, SinkInput, Source, StageFactory, Stats, Trigger, Worker,
    dead_letter_schema,
};
use foretell_model::Model;
use foretell_query::Scorer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::pipeline_file::{self, EncodingEntry, FileError, Labels, ModelEntry, PipelineFile, TriggerMode};
pub(crate) use observe::Begin;

use encoding::EncodingText;
use query::Loaded;
use recipes::{Functions, ModelText, Planned, RecipeStore, Text};
use state::{State, Thing};
use table::Version;

/// The name under which dead letters keep their positions.
const DEAD_LETTERS: &str = "dead_letters";

/// A pipeline whose models are loaded and whose queries are planned; nothing is reached yet.
pub(crate) struct Pipeline {
    /// What the file says.
    pub(crate) file: PipelineFile,
    /// How values are decoded.
    pub(crate) decode: DecodeText,
    /// What that was found out from, where the file does not say it.
    pub(crate) inferred: Option<String>,
    /// What is known of its queries.
    pub(crate) planned: Planned,
    /// The models, by name.
    pub(crate) models: BTreeMap<String, (String, Arc<Loaded>)>,
    /// Of each encoding, in the file's order: what it is, how many labels it has, and its file's sha256.
    pub(crate) encodings: Vec<(&'static str, usize, Option<String>)>,
    recipes: Arc<RecipeStore>,
    state: State,
}

/// One sink of a pipeline.
pub(crate) struct LaneSpec<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its settings.
    pub(crate) settings: &'a dyn SinkSettings,
    /// Where in the file.
    path: Vec<&'a str>,
    /// Which rows it gets.
    input: SinkInput,
    /// Where it begins when it has no position yet.
    backfill: bool,
    /// Whether it is known to be a new one.
    new: bool,
}

impl Pipeline {
    /// Loads the models and plans the queries.
    pub(crate) async fn prepare(file: PipelineFile) -> Result<Pipeline> {
        let mut models: BTreeMap<String, (String, Arc<Loaded>)> = BTreeMap::new();
        let mut texts = BTreeMap::new();
        for entry in &file.models {
            let (text, sha256, model) = load_model(&file, entry)?;
            texts.insert(entry.name.clone(), text);
            models.insert(entry.name.clone(), (sha256, Arc::new(Loaded::new(&entry.name, model))));
        }
        let (mut decode, inferred) = decode(&file).await?;
        keep_levels(&mut decode, models.values().map(|(_, loaded)| &loaded.model));
        let mut loads: BTreeMap<String, (String, Functions)> = BTreeMap::new();
        for (name, (sha256, model)) in &models {
            loads.insert(name.clone(), (sha256.clone(), vec![(name.clone(), model.clone() as Arc<dyn Scorer>)]));
        }
        let mut encoding_texts = BTreeMap::new();
        let mut encodings = Vec::new();
        for entry in &file.encodings {
            let (text, sha256, encoding) = load_encoding(&file, entry)?;
            encodings.push((encoding.class(), encoding.labels(), sha256.clone()));
            if let Some(sha256) = sha256 {
                let functions = encoding::functions(&entry.name, encoding);
                if loads.insert(entry.name.clone(), (sha256, functions)).is_some() {
                    let message = format!("`{}` is a model, too", entry.name);
                    return Err(file.error(&["encodings", &entry.name], message, "rename one of them").into());
                }
            }
            encoding_texts.insert(entry.name.clone(), text);
        }
        let mut tables = BTreeMap::new();
        for entry in &file.tables {
            let read = table::read(entry, &file.base).await;
            let version = read.map_err(|e| file.error(&["tables", &entry.name], e.message, e.remedy))?;
            tables.insert(entry.name.clone(), version);
        }
        let views = file.sinks.iter().filter_map(|sink| Some((sink.name.clone(), sink.query.clone()?.value)));
        let lanes: Vec<String> = lanes(&file).into_iter().map(|lane| lane.name.to_string()).collect();
        let mut sinks = lanes.clone();
        sinks.sort();
        let text = Text {
            sinks,
            decode: (decode.kind.clone(), decode.settings.clone()),
            query: file.query.value.clone(),
            views: views.collect(),
            models: texts,
            encodings: encoding_texts,
        };
        let functions = loads.values().flat_map(|(_, functions)| functions.iter().cloned()).collect();
        let joinable = tables.iter().map(|(name, version)| recipes::joinable(name, version.batch.clone())).collect();
        let (_, planned) = recipes::prepare(&text, functions, joinable, &lanes, None).await.map_err(|error| {
            let place = error.to_string();
            let view = file.sinks.iter().find(|sink| place == format!("sinks.{}.query", sink.name));
            let encoding = file.encodings.iter().find(|entry| place == format!("encodings.{}", entry.name));
            match (view, encoding) {
                (Some(sink), _) => file.error(&["sinks", &sink.name, "query"], causes(&error), ""),
                (_, Some(entry)) => file.error(&["encodings", &entry.name], causes(&error), ""),
                _ if place == "query" => file.error(&["query"], causes(&error), ""),
                // What was found out of the source's data stands nowhere in the file.
                _ if inferred.is_some() => file.error(&["source", file.source.kind], causes(&error), ""),
                _ if file.decode.is_some() => file.error(&["decode"], causes(&error), ""),
                _ => file.error(&[], causes(&error), ""),
            }
        })?;
        let state = State::open(&file.state, &file.base)?;
        let of_models = file.models.iter().map(|entry| (&entry.name, &entry.settings.limits));
        let of_encodings = file.encodings.iter().map(|entry| (&entry.name, &entry.settings.limits));
        let limits = of_models.chain(of_encodings).map(|(name, limits)| (name.clone(), limits.reader()));
        let recipes = RecipeStore::new(text, loads, tables, limits.collect(), lanes, state.clone())?;
        Ok(Pipeline { file, decode, inferred, planned, models, encodings, recipes: Arc::new(recipes), state })
    }

    /// The sinks, in the file's order; dead letters last.
    pub(crate) fn lanes(&self) -> Vec<LaneSpec<'_>> {
        lanes(&self.file)
    }

    /// Keeps models, encodings and recipe where a later run finds them.
    pub(crate) async fn keep(&self) -> Result<()> {
        let models = self.file.models.iter().map(|entry| (Thing::Model, &entry.file));
        let encodings = self.file.encodings.iter().filter_map(|entry| match &entry.labels {
            Labels::File(file) => Some((Thing::Encoding, file)),
            Labels::Here(_) => None,
        });
        for (thing, file) in models.chain(encodings) {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            self.state.keep(thing, bytes).await?;
        }
        self.recipes.keep().await
    }

    /// A reference table as it is now.
    pub(crate) fn table(&self, name: &str) -> Option<Version> {
        self.recipes.table(name)
    }

    /// Reads tables again as often as the file says, until `stop`; with `keep` where a later run finds them.
    pub(crate) fn refresh_tables(&self, keep: bool, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for entry in &self.file.tables {
            let Some(every) = entry.refresh else { continue };
            let state = keep.then(|| self.state.clone());
            let (entry, base, recipes) = (entry.clone(), self.file.base.clone(), self.recipes.clone());
            tasks.spawn(table::refresh(entry, every, base, state, recipes, stop.clone()));
        }
        tasks
    }

    /// Whether `state:` can be written, without leaving a trace.
    pub(crate) async fn check_state(&self) -> Result<()> {
        self.state.check().await
    }

    /// Refuses more workers than sinks and queries allow.
    pub(crate) fn allow_workers(&self, workers: usize) -> Result<()> {
        if workers < 2 {
            return Ok(());
        }
        let source = &self.file.source;
        if source.settings.sharing() == Sharing::Single {
            let message = format!("a {} source takes one worker, so {workers} workers cannot share it", source.kind);
            return Err(self.file.error(&["source", source.kind], message, "run with `--workers 1`").into());
        }
        if let Some(lane) = self.lanes().iter().find(|lane| lane.settings.traits().sharing == Sharing::Single) {
            let message =
                format!("{} takes one writer, so {workers} workers cannot share it", lane.settings.describe());
            return Err(self.file.error(&lane.path, message, "run with `--workers 1`").into());
        }
        if !self.planned.by_partition {
            let message =
                format!("the query is {}, so the batch cannot be shared by {workers} workers", self.planned.kind);
            return Err(self.file.error(&["query"], message, "run with `--workers 1`").into());
        }
        Ok(())
    }

    /// How many workers run where nobody says it: of a source that one process reads alone as many as there are cores,
    /// where sinks and query allow it.
    pub(crate) fn usual_workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = cores.min(self.file.source.settings.spreads());
        if self.allow_workers(workers).is_ok() { workers } else { 1 }
    }

    /// Everything that was there is stored, by all workers: tells the sinks.
    pub(crate) async fn complete(&self) -> Result<()> {
        for (index, spec) in self.lanes().iter().enumerate() {
            let (context, _) = self.sink_context(index, "complete")?;
            spec.settings.complete(&context).await.map_err(|error| self.at(&spec.path, error))?;
        }
        Ok(())
    }

    fn sink_context(&self, index: usize, worker: &str) -> Result<(SinkContext, Option<Vec<String>>)> {
        let lanes = self.lanes();
        let leader = lanes.iter().position(|lane| lane.settings.traits().keeps_positions);
        let spec = lanes.get(index).ok_or_else(|| anyhow!("no sink {index}"))?;
        let schema = match spec.input {
            SinkInput::DeadLetters => dead_letter_schema(self.file.source.settings.places()),
            SinkInput::Results => self.planned.lanes[index].clone(),
        };
        let columns = spec.settings.columns().map(<[String]>::to_vec);
        let context = SinkContext {
            pipeline: self.file.name.clone(),
            sink: spec.name.to_string(),
            worker: worker.to_string(),
            schema: self.project(spec, &schema, columns.as_deref())?,
            leader: leader == Some(index),
            by_partition: self.planned.by_partition,
            input: spec.input,
            timezone: self.file.timezone.clone(),
            base: self.file.base.clone(),
        };
        Ok((context, columns))
    }

    /// Opens one sink; writes nothing.
    pub(crate) async fn open_sink(&self, index: usize, worker: &str) -> Result<Lane> {
        self.open_sink_as(index, worker, None).await
    }

    /// Opens one sink, or another in its place.
    async fn open_sink_as(&self, index: usize, worker: &str, other: Option<&dyn SinkSettings>) -> Result<Lane> {
        let lanes = self.lanes();
        let spec = lanes.get(index).ok_or_else(|| anyhow!("no sink {index}"))?;
        let (context, columns) = self.sink_context(index, worker)?;
        let settings = other.unwrap_or(spec.settings);
        let sink = settings.open(&context).await.map_err(|error| self.at(&spec.path, error))?;
        Ok(Lane {
            name: spec.name.to_string(),
            sink,
            traits: settings.traits(),
            input: spec.input,
            schema: context.schema,
            chosen: columns.is_some(),
            backfill: spec.backfill,
            new: spec.new,
            home: settings.home(&self.file.base),
        })
    }

    /// Opens what a sink was under another name, of this pipeline or another.
    pub(crate) async fn open_sink_of(&self, index: usize, pipeline: &str, sink: &str) -> Result<Box<dyn Sink>> {
        let lanes = self.lanes();
        let spec = lanes.get(index).ok_or_else(|| anyhow!("no sink {index}"))?;
        let (mut context, _) = self.sink_context(index, "positions")?;
        (context.pipeline, context.sink) = (pipeline.into(), sink.into());
        spec.settings.open(&context).await.map_err(|error| self.at(&spec.path, error).into())
    }

    /// Notes that a sink's positions were forgotten on purpose.
    pub(crate) async fn forget(&self, sink: &str) -> Result<()> {
        self.state.forget(&self.file.name, sink).await
    }

    /// The topics that sinks have positions of; and a sink whose positions were forgotten on purpose is a new one.
    pub(crate) async fn recall(&self, lanes: &mut [Lane]) -> Result<HashSet<String>> {
        let mut topics = HashSet::new();
        for lane in lanes.iter_mut().filter(|lane| lane.traits.keeps_positions) {
            let held = lane.sink.positions().await.with_context(|| format!("sink `{}`", lane.name))?;
            lane.new |= self.state.is_forgotten(&self.file.name, &lane.name, !held.is_empty()).await?;
            topics.extend(held.into_iter().map(|holding| holding.partition.topic.to_string()));
        }
        Ok(topics)
    }

    fn project(&self, spec: &LaneSpec<'_>, schema: &SchemaRef, columns: Option<&[String]>) -> Result<SchemaRef> {
        let Some(columns) = columns else { return Ok(schema.clone()) };
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            fields.push(schema.field_with_name(column).map_err(|_| {
                let names = || schema.fields().iter().map(|field| field.name().as_str());
                let message =
                    format!("column `{column}` is not in the result, which has {}", pipeline_file::list(names()));
                let remedy = pipeline_file::nearest(column, names()).map(|near| format!("did you mean `{near}`?"));
                self.file.error(&spec.path, message, remedy.unwrap_or_default())
            })?);
        }
        Ok(Arc::new(Schema::new(fields.into_iter().cloned().collect::<Vec<_>>())))
    }

    /// What the source is opened with by one of several workers.
    fn source_context(&self, worker: &str, (index, workers): (usize, usize)) -> SourceContext {
        SourceContext {
            pipeline: self.file.name.clone(),
            worker: worker.to_string(),
            index,
            workers,
            ends: self.file.trigger.mode == TriggerMode::AvailableNow,
            decode: self.decode.clone(),
            state: self.state.place(),
            base: self.file.base.clone(),
            observe: false,
        }
    }

    /// Opens the source to look only: it joins nothing.
    pub(crate) async fn look_at_source(&self, who: &str) -> Result<Box<dyn Source>> {
        let opened = self.file.source.settings.open(&self.source_context(who, (0, 1)), true).await;
        opened.map_err(|error| self.at(&["source", self.file.source.kind], error).into())
    }

    /// What the source has, for people.
    pub(crate) async fn report(&self) -> Result<Vec<String>> {
        let report = self.file.source.settings.report(&self.source_context("report", (0, 1))).await;
        report.map_err(|error| self.at(&["source", self.file.source.kind], error).into())
    }

    /// Runs the first records of what is there through decoder and query, which stores nothing; says what is bad of them.
    pub(crate) async fn try_out(&self) -> Result<Vec<String>> {
        let source = ["source", self.file.source.kind];
        let heads = self.file.source.settings.head(&self.source_context("check", (0, 1))).await;
        let heads = heads.map_err(|error| self.at(&source, error))?;
        let (mut told, mut all) = (Vec::new(), 0);
        if heads.is_empty() {
            return Ok(told);
        }
        let mut stages = self.recipes.stages(&self.recipes.recipe())?;
        for head in heads.iter().filter(|head| !head.records.is_empty()) {
            let now = chrono::Utc::now().timestamp_micros();
            let bad = stages.try_out(&head.records, now).map_err(|error| self.at(&["query"], error))?;
            let Some(first) = bad.first() else { continue };
            let line = head.lines.get(first.row).copied().unwrap_or_default();
            let of = head.records.len();
            told.push(format!(
                "{}: {} of its first {of} records {} bad, the first on line {line}: {}: {}",
                head.file,
                bad.len(),
                if bad.len() == 1 { "is" } else { "are" },
                first.stage,
                first.reason
            ));
            all += usize::from(bad.len() == of);
        }
        let stops = self.file.on_bad_record == pipeline_file::OnBadRecord::Stop;
        if let Some(first) = told.first().filter(|_| stops || all == heads.len()) {
            let remedy =
                if stops { "`on_bad_record: stop` would stop there" } else { "is `decode` right for these files?" };
            return Err(self.file.error(&source, first, remedy).into());
        }
        Ok(told)
    }

    /// A worker, its sinks and its source open.
    pub(crate) async fn worker(&self, name: &str, share: (usize, usize), known: &HashSet<String>) -> Result<Worker> {
        let mut lanes = Vec::new();
        for index in 0..self.lanes().len() {
            lanes.push(self.open_sink(index, name).await?);
        }
        let mut known_topics = known.clone();
        known_topics.extend(self.recall(&mut lanes).await?);
        let source = self.file.source.settings.open(&self.source_context(name, share), false).await;
        let source = source.map_err(|error| self.at(&["source", self.file.source.kind], error))?;
        Ok(self.assemble(source, lanes, name, known_topics))
    }

    fn assemble(&self, source: Box<dyn Source>, lanes: Vec<Lane>, name: &str, known_topics: HashSet<String>) -> Worker {
        let trigger = &self.file.trigger;
        let sliced = trigger.mode == TriggerMode::AvailableNow
            && self.planned.row_wise
            && lanes.iter().all(|lane| lane.traits.slices);
        let (rows, bytes) = trigger.limits(sliced);
        let settings = Settings {
            pipeline: self.file.name.clone(),
            worker: name.to_string(),
            trigger: match trigger.mode {
                TriggerMode::Continuous => Trigger::Continuous,
                TriggerMode::Every(every) => Trigger::Every(every),
                TriggerMode::AvailableNow => Trigger::AvailableNow,
            },
            limits: Limits { rows, bytes, window: self.file.window.max(bytes), ..Limits::default() },
            on_bad_record: match self.file.on_bad_record {
                pipeline_file::OnBadRecord::Continue => OnBadRecord::Continue,
                pipeline_file::OnBadRecord::Stop => OnBadRecord::Stop,
            },
            known_topics,
            exclusive: !self.planned.by_partition,
            sliced,
        };
        Worker { source, lanes, factory: self.recipes.clone(), settings, stats: Arc::new(Stats::default()) }
    }

    /// A stage's error at its place in the file.
    fn at(&self, path: &[&str], error: foretell_flow::StageError) -> FileError {
        self.file.error(path, error.message, error.remedy)
    }
}

/// Of CSV, words that mean a missing value and are a level of a model are values in the columns of that level's name: the
/// model can only have met them as such. Where the file says what is missing, that counts.
fn keep_levels<'a>(decode: &mut DecodeText, models: impl Iterator<Item = &'a Model>) {
    let names_words = decode.settings.get("missing").is_some();
    let Some(columns) = decode.settings.get_mut("columns").and_then(serde_json::Value::as_array_mut) else { return };
    if decode.kind != "csv" || names_words {
        return;
    }
    let mut levels: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for model in models {
        for (feature, words) in crate::levels::words(model) {
            let name = model.signature().inputs.get(feature).and_then(|input| input.name.clone());
            levels.entry(name.unwrap_or_default()).or_default().extend(words);
        }
    }
    for column in columns.iter_mut().filter_map(serde_json::Value::as_object_mut) {
        for (name, spec) in column.iter_mut() {
            let Some(words) = levels.get(name.as_str()) else { continue };
            if let Some(text) = spec.as_str() {
                *spec = serde_json::json!({ "type": text });
            }
            let is_text = spec["type"].as_str().is_some_and(|found| found.starts_with("utf8"));
            let Some(details) = spec.as_object_mut().filter(|details| is_text && !details.contains_key("missing"))
            else {
                continue;
            };
            let missing: Vec<&str> = MISSING.into_iter().filter(|word| !words.contains(word)).collect();
            details.insert("missing".to_string(), missing.into());
        }
    }
}

/// How values are decoded: what the file says, completed by what the source finds.
async fn decode(file: &PipelineFile) -> Result<(DecodeText, Option<String>)> {
    if let Some(decode) = file.decode.as_ref().filter(|_| !file.infer) {
        return Ok((decode.clone(), None));
    }
    let inferred = file.source.settings.infer(&file.base, file.decode.as_ref()).await;
    let inferred = inferred.map_err(|error| file.error(&["source", file.source.kind], error.message, error.remedy))?;
    Ok((inferred.decode, Some(inferred.from)))
}

fn lanes(file: &PipelineFile) -> Vec<LaneSpec<'_>> {
    let mut lanes: Vec<LaneSpec<'_>> = (file.sinks.iter())
        .map(|sink| LaneSpec {
            name: &sink.name,
            settings: &*sink.component.settings,
            path: vec!["sinks", &sink.name, sink.component.kind],
            input: SinkInput::Results,
            backfill: sink.backfill,
            new: sink.new,
        })
        .collect();
    if let Some(component) = &file.dead_letters {
        lanes.push(LaneSpec {
            name: DEAD_LETTERS,
            settings: &*component.settings,
            path: vec![DEAD_LETTERS, component.kind],
            input: SinkInput::DeadLetters,
            backfill: false,
            new: false,
        });
    }
    lanes
}

/// A file's bytes and their sha256, which must be the pinned one where one is.
fn read_pinned(
    file: &PipelineFile,
    place: &[&str],
    path: &Path,
    pinned: Option<&String>,
) -> Result<(Vec<u8>, String), FileError> {
    let wrong = |message: String, remedy: &str| file.error(place, message, remedy);
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| wrong(format!("{shown}: {error}"), "`file` is relative to the pipeline file's folder"))?;
    let sha256 = state::sha256(&bytes);
    match pinned {
        Some(pinned) if !pinned.eq_ignore_ascii_case(&sha256) => {
            let message = format!("{shown}: its sha256 is {sha256}, not the one that is pinned");
            Err(wrong(message, "is this the file that you meant? then change `sha256`"))
        }
        _ => Ok((bytes, sha256)),
    }
}

fn load_encoding(
    file: &PipelineFile,
    entry: &EncodingEntry,
) -> Result<(EncodingText, Option<String>, foretell_model::Encoding)> {
    let place = ["encodings", &entry.name];
    let text = EncodingText::of(entry);
    let (bytes, sha256, shown) = match &entry.labels {
        Labels::Here(_) => (Vec::new(), None, String::new()),
        Labels::File(path) => {
            let (bytes, sha256) = read_pinned(file, &place, path, entry.settings.sha256.as_ref())?;
            (bytes, Some(sha256), format!("{}: ", path.display()))
        }
    };
    let encoding = text.load(&bytes, entry.settings.limits.reader());
    Ok((text, sha256, encoding.map_err(|error| file.error(&place, format!("{shown}{error:#}"), ""))?))
}

fn load_model(file: &PipelineFile, entry: &ModelEntry) -> Result<(ModelText, String, Model)> {
    let place = ["models", &entry.name];
    let wrong = |message: String, remedy: &str| file.error(&place, message, remedy);
    let shown = entry.file.display();
    let (bytes, sha256) = read_pinned(file, &place, &entry.file, entry.settings.sha256.as_ref())?;
    let settings = &entry.settings;
    let text = ModelText {
        at: settings.at.clone(),
        iterations: settings.iterations.map(|i| (i.range().0 as usize)..(i.range().1 as usize)),
        categories: settings.levels().map_err(|message| wrong(message, "`{ COLUMN: [level, level] }`"))?,
        columns: settings.columns.clone(),
    };
    let model = text.load(&bytes, settings.limits.reader()).map_err(|error| {
        let remedy = format!("`foretell inspect {shown}` tells what is in it");
        wrong(format!("{shown}: {error}"), &remedy)
    })?;
    Ok((text, sha256, model))
}

/// The causes of an error in one line; without the first, where there are others.
fn causes(error: &anyhow::Error) -> String {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let causes = texts.get(1..).filter(|causes| !causes.is_empty()).unwrap_or(&texts);
    causes.join(": ")
}
