//! The sinks of a pipeline: which there are, and how they are opened.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::datatypes::{Schema, SchemaRef};
use foretell_connect::kind::{Proof, SinkContext, SinkSettings};
use foretell_flow::{Sink, SinkInput, SinkStage, dead_letter_schema};

use super::Pipeline;
use crate::pipeline_file::{self, PipelineFile};

/// The name under which dead letters keep their positions.
const DEAD_LETTERS: &str = "dead_letters";

/// One sink of a pipeline.
pub(crate) struct SinkSpec<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its settings.
    pub(crate) settings: &'a dyn SinkSettings,
    /// Where in the file.
    pub(super) path: Vec<&'a str>,
    /// Which rows it gets.
    input: SinkInput,
    /// Where it begins when it has no position yet.
    backfill: bool,
    /// Whether it is known to be a new one.
    new: bool,
}

impl Pipeline {
    /// The sinks, in the file's order; dead letters last.
    pub(crate) fn sinks(&self) -> Vec<SinkSpec<'_>> {
        of_file(&self.file)
    }

    /// Everything that was there is stored, by all workers: tells the sinks.
    pub(crate) async fn complete(&self) -> Result<()> {
        for (index, spec) in self.sinks().iter().enumerate() {
            let (context, _) = self.sink_context(index, "complete")?;
            spec.settings.complete(&context).await.map_err(|error| self.at(&spec.path, error))?;
        }
        Ok(())
    }

    pub(super) fn sink_context(&self, index: usize, worker: &str) -> Result<(SinkContext, Option<Vec<String>>)> {
        let sinks = self.sinks();
        let leader = sinks.iter().position(|sink| sink.settings.traits().keeps_positions);
        let spec = sinks.get(index).ok_or_else(|| anyhow!("no sink {index}"))?;
        let schema = match spec.input {
            SinkInput::DeadLetters => dead_letter_schema(self.file.source.settings.places()),
            SinkInput::Results => self.planned.sinks[index].clone(),
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
    pub(crate) async fn open_sink(&self, index: usize, worker: &str) -> Result<SinkStage> {
        self.open_sink_as(index, worker, None).await
    }

    /// Has one sink's service tried for what is promised.
    pub(crate) async fn prove_sink(&self, index: usize) -> Result<Vec<Proof>> {
        let sinks = self.sinks();
        let spec = sinks.get(index).ok_or_else(|| anyhow!("no sink {index}"))?;
        let (context, _) = self.sink_context(index, "check")?;
        spec.settings.prove(&context).await.map_err(|error| self.at(&spec.path, error).into())
    }

    /// Opens one sink, or another in its place.
    pub(super) async fn open_sink_as(
        &self,
        index: usize,
        worker: &str,
        other: Option<&dyn SinkSettings>,
    ) -> Result<SinkStage> {
        let sinks = self.sinks();
        let spec = sinks.get(index).ok_or_else(|| anyhow!("no sink {index}"))?;
        let (context, columns) = self.sink_context(index, worker)?;
        let settings = other.unwrap_or(spec.settings);
        let sink = settings.open(&context).await.map_err(|error| self.at(&spec.path, error))?;
        Ok(SinkStage {
            name: spec.name.to_string(),
            inner: sink,
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
        let sinks = self.sinks();
        let spec = sinks.get(index).ok_or_else(|| anyhow!("no sink {index}"))?;
        let (mut context, _) = self.sink_context(index, "positions")?;
        (context.pipeline, context.sink) = (pipeline.into(), sink.into());
        spec.settings.open(&context).await.map_err(|error| self.at(&spec.path, error).into())
    }

    /// Notes that a sink's positions were forgotten on purpose.
    pub(crate) async fn forget(&self, sink: &str) -> Result<()> {
        self.artifacts.forget(&self.file.name, sink).await
    }

    /// The topics in which sinks have positions. A sink whose positions were forgotten on purpose counts as new.
    pub(crate) async fn recall(&self, sinks: &mut [SinkStage]) -> Result<HashSet<String>> {
        let mut topics = HashSet::new();
        for sink in sinks.iter_mut().filter(|sink| sink.traits.keeps_positions) {
            let held = sink.inner.positions().await.with_context(|| format!("sink `{}`", sink.name))?;
            sink.new |= self.artifacts.is_forgotten(&self.file.name, &sink.name, !held.is_empty()).await?;
            topics.extend(held.into_iter().map(|holding| holding.partition.topic.to_string()));
        }
        Ok(topics)
    }

    fn project(&self, spec: &SinkSpec<'_>, schema: &SchemaRef, columns: Option<&[String]>) -> Result<SchemaRef> {
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
}

/// The sinks of a file, in its order; dead letters last.
pub(super) fn of_file(file: &PipelineFile) -> Vec<SinkSpec<'_>> {
    let mut sinks: Vec<SinkSpec<'_>> = (file.sinks.iter())
        .map(|sink| SinkSpec {
            name: &sink.name,
            settings: &*sink.component.settings,
            path: vec!["sinks", &sink.name, sink.component.kind],
            input: SinkInput::Results,
            backfill: sink.backfill,
            new: sink.new,
        })
        .collect();
    if let Some(component) = &file.dead_letters {
        sinks.push(SinkSpec {
            name: DEAD_LETTERS,
            settings: &*component.settings,
            path: vec![DEAD_LETTERS, component.kind],
            input: SinkInput::DeadLetters,
            backfill: false,
            new: false,
        });
    }
    sinks
}
