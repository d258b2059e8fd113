//! From a pipeline file to a running pipeline: models are loaded, queries planned, sinks and the source opened.

mod kitchen;
mod query;
mod state;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::datatypes::{Schema, SchemaRef};
use foretell_connect::kind::{Role, SinkContext, SinkSettings, SourceContext};
use foretell_flow::{
    Lane, Limits, OnBadRecord, Settings, Sharing, Source, Stats, Takes, Trigger, Worker, dead_letter_schema,
};
use foretell_model::Model;
use foretell_query::Scorer;

use crate::pipeline_file::{self, FileError, ModelEntry, PipelineFile, TriggerMode};
use kitchen::{ModelText, Pantry, Planned, Text};
use query::Loaded;
use state::{State, Thing};

/// The name under which dead letters keep their positions.
const DEAD_LETTERS: &str = "dead_letters";

/// A pipeline whose models are loaded and whose queries are planned; nothing is reached yet.
pub(crate) struct Pipeline {
    /// What the file says.
    pub(crate) file: PipelineFile,
    /// What is known of its queries.
    pub(crate) planned: Planned,
    /// The models, by name.
    pub(crate) models: BTreeMap<String, (String, Arc<Loaded>)>,
    pantry: Arc<Pantry>,
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
    takes: Takes,
    /// Where it begins when it has no position yet.
    backfill: bool,
}

impl Pipeline {
    /// Loads the models and plans the queries.
    pub(crate) async fn prepare(file: PipelineFile) -> Result<Pipeline> {
        let mut models: BTreeMap<String, (String, Arc<Loaded>)> = BTreeMap::new();
        let mut texts = BTreeMap::new();
        for entry in &file.models {
            let (text, sha256, model) = load_model(&file, entry)?;
            texts.insert(entry.name.clone(), text);
            models.insert(entry.name.clone(), (sha256, Arc::new(Loaded(model))));
        }
        let views = file.sinks.iter().filter_map(|sink| Some((sink.name.clone(), sink.query.clone()?.value)));
        let text = Text {
            decode: (file.decode.kind.to_string(), file.decode_settings.clone()),
            query: file.query.value.clone(),
            views: views.collect(),
            models: texts,
        };
        let lanes: Vec<String> = lanes(&file).into_iter().map(|lane| lane.name.to_string()).collect();
        let scorers =
            |models: &BTreeMap<String, (String, Arc<Loaded>)>| -> BTreeMap<String, (String, Arc<dyn Scorer>)> {
                models.iter().map(|(name, (sha, model))| (name.clone(), (sha.clone(), model.clone() as _))).collect()
            };
        let plain = scorers(&models).into_iter().map(|(name, (_, model))| (name, model)).collect();
        let (_, planned) = kitchen::prepare(&text, &plain, &lanes).await.map_err(|error| {
            let view = file.sinks.iter().find(|sink| error.to_string() == format!("sinks.{}.query", sink.name));
            match view {
                Some(sink) => file.error(&["sinks", &sink.name, "query"], chain(&error, 1), ""),
                None => file.error(&["query"], chain(&error, 1), ""),
            }
        })?;
        let state = State::open(&file.state, &file.base)?;
        let limits = file.models.iter().map(|entry| (entry.name.clone(), entry.settings.limits.reader()));
        let pantry = Pantry::new(text, scorers(&models), limits.collect(), lanes, state.clone())?;
        Ok(Pipeline { file, planned, models, pantry: Arc::new(pantry), state })
    }

    /// The sinks, in the file's order; dead letters last.
    pub(crate) fn lanes(&self) -> Vec<LaneSpec<'_>> {
        lanes(&self.file)
    }

    /// Keeps models and recipe where a later run finds them.
    pub(crate) async fn keep(&self) -> Result<()> {
        for entry in &self.file.models {
            let bytes = std::fs::read(&entry.file).with_context(|| entry.file.display().to_string())?;
            self.state.keep(Thing::Model, bytes).await?;
        }
        self.pantry.keep().await
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
        if !self.planned.row_wise {
            let message =
                format!("the query is {}, so the batch cannot be shared by {workers} workers", self.planned.kind);
            return Err(self.file.error(&["query"], message, "run with `--workers 1`").into());
        }
        Ok(())
    }

    /// Opens one sink; writes nothing.
    pub(crate) async fn open_sink(&self, index: usize, worker: &str) -> Result<Lane> {
        let lanes = self.lanes();
        let leader = lanes.iter().position(|lane| lane.settings.traits().keeps_positions);
        let spec = lanes.get(index).ok_or_else(|| anyhow!("no sink {index}"))?;
        let schema = match spec.takes {
            Takes::DeadLetters => dead_letter_schema(),
            Takes::Results => self.planned.lanes[index].clone(),
        };
        let columns = spec.settings.columns().map(<[String]>::to_vec);
        let context = SinkContext {
            pipeline: self.file.name.clone(),
            sink: spec.name.to_string(),
            worker: worker.to_string(),
            schema: self.project(spec, &schema, columns.as_deref())?,
            leader: leader == Some(index),
            row_wise: self.planned.row_wise,
            role: if spec.takes == Takes::DeadLetters { Role::DeadLetters } else { Role::Results },
            timezone: self.file.timezone.clone(),
            base: self.file.base.clone(),
        };
        let sink = spec.settings.open(&context).await.map_err(|error| self.at(&spec.path, error))?;
        Ok(Lane {
            name: spec.name.to_string(),
            sink,
            traits: spec.settings.traits(),
            takes: spec.takes,
            columns,
            backfill: spec.backfill,
        })
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

    /// Opens the source. With `probe` it only looks, and joins nothing.
    pub(crate) async fn open_source(&self, worker: &str, workers: usize, probe: bool) -> Result<Box<dyn Source>> {
        let context = SourceContext {
            pipeline: self.file.name.clone(),
            worker: worker.to_string(),
            workers,
            base: self.file.base.clone(),
        };
        let opened = self.file.source.settings.open(&context, probe).await;
        opened.map_err(|error| self.at(&["source", self.file.source.kind], error).into())
    }

    /// A worker, its sinks and its source open.
    pub(crate) async fn worker(&self, name: &str, workers: usize, known: &HashSet<String>) -> Result<Worker> {
        let mut lanes = Vec::new();
        for index in 0..self.lanes().len() {
            lanes.push(self.open_sink(index, name).await?);
        }
        let mut known_topics = known.clone();
        known_topics.extend(topics(&mut lanes).await?);
        Ok(Worker {
            source: self.open_source(name, workers, false).await?,
            lanes,
            kitchen: self.pantry.clone(),
            settings: Settings {
                worker: name.to_string(),
                trigger: match self.file.trigger.mode {
                    TriggerMode::Continuous => Trigger::Continuous,
                    TriggerMode::Every(every) => Trigger::Every(every),
                    TriggerMode::AvailableNow => Trigger::AvailableNow,
                },
                limits: Limits {
                    rows: self.file.trigger.max_rows,
                    bytes: self.file.trigger.max_bytes,
                    window: self.file.window.max(self.file.trigger.max_bytes),
                },
                on_bad_record: match self.file.on_bad_record {
                    pipeline_file::OnBadRecord::Continue => OnBadRecord::Continue,
                    pipeline_file::OnBadRecord::Stop => OnBadRecord::Stop,
                },
                known_topics,
                exclusive: !self.planned.row_wise,
            },
            stats: Arc::new(Stats::default()),
        })
    }

    /// A stage's error at its place in the file.
    fn at(&self, path: &[&str], error: foretell_flow::StageError) -> FileError {
        self.file.error(path, error.message, error.remedy)
    }
}

/// Topics that have positions in some sink.
pub(crate) async fn topics(lanes: &mut [Lane]) -> Result<HashSet<String>> {
    let mut topics = HashSet::new();
    for lane in lanes.iter_mut().filter(|lane| lane.traits.keeps_positions) {
        let held = lane.sink.positions().await.with_context(|| format!("sink `{}`", lane.name))?;
        topics.extend(held.into_iter().map(|holding| holding.partition.topic.to_string()));
    }
    Ok(topics)
}

fn lanes(file: &PipelineFile) -> Vec<LaneSpec<'_>> {
    let mut lanes: Vec<LaneSpec<'_>> = (file.sinks.iter())
        .map(|sink| LaneSpec {
            name: &sink.name,
            settings: &*sink.component.settings,
            path: vec!["sinks", &sink.name, sink.component.kind],
            takes: Takes::Results,
            backfill: sink.backfill,
        })
        .collect();
    if let Some(component) = &file.dead_letters {
        lanes.push(LaneSpec {
            name: DEAD_LETTERS,
            settings: &*component.settings,
            path: vec![DEAD_LETTERS, component.kind],
            takes: Takes::DeadLetters,
            backfill: false,
        });
    }
    lanes
}

fn load_model(file: &PipelineFile, entry: &ModelEntry) -> Result<(ModelText, String, Model)> {
    let wrong = |message: String, remedy: &str| file.error(&["models", &entry.name], message, remedy);
    let shown = entry.file.display();
    let bytes = std::fs::read(&entry.file)
        .map_err(|error| wrong(format!("{shown}: {error}"), "`file` is relative to the pipeline file's folder"))?;
    let sha256 = state::sha256(&bytes);
    if let Some(pinned) = &entry.settings.sha256
        && !pinned.eq_ignore_ascii_case(&sha256)
    {
        let message = format!("{shown}: its sha256 is {sha256}, not the one that is pinned");
        return Err(wrong(message, "is this the model that you meant? then change `sha256`").into());
    }
    let settings = &entry.settings;
    let text = ModelText {
        at: settings.at.clone(),
        iterations: settings.iterations.map(|i| (i.range().0 as usize)..(i.range().1 as usize)),
        categories: settings.levels().map_err(|message| wrong(message, "`{ COLUMN: [level, level] }`"))?,
    };
    let model = text.load(&bytes, settings.limits.reader()).map_err(|error| {
        let remedy = format!("`foretell inspect {shown}` tells what is in it");
        wrong(format!("{shown}: {error}"), &remedy)
    })?;
    Ok((text, sha256, model))
}

/// The causes of an error in one line, without the first `skip` of them.
fn chain(error: &anyhow::Error, skip: usize) -> String {
    error.chain().skip(skip).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
