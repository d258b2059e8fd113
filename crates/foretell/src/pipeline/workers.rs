//! The workers of a pipeline: how many it takes, and one with its source and sinks open.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Result;
use foretell_connect::machine;
use foretell_flow::{Limits, OnBadRecord, Settings, Sharing, SinkStage, Source, Stats, SystemClock, Trigger, Worker};

use super::Pipeline;
use crate::pipeline_file::{self, TriggerMode};

impl Pipeline {
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
        if let Some(sink) = self.sinks().iter().find(|sink| sink.settings.traits().sharing == Sharing::Single) {
            let message =
                format!("{} takes one writer, so {workers} workers cannot share it", sink.settings.describe());
            return Err(self.file.error(&sink.path, message, "run with `--workers 1`").into());
        }
        if !self.planned.by_partition {
            let message =
                format!("the query is {}, so the batch cannot be shared by {workers} workers", self.planned.kind);
            return Err(self.file.error(&["query"], message, "run with `--workers 1`").into());
        }
        Ok(())
    }

    /// How many workers run unless the command line says it: for a source that one process reads alone, one for each core,
    /// where sinks and query allow it.
    pub(crate) fn usual_workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = cores.min(self.file.source.settings.spreads());
        if self.allow_workers(workers).is_ok() { workers } else { 1 }
    }

    /// A worker, its sinks and its source open.
    pub(crate) async fn worker(&self, name: &str, share: (usize, usize), known: &HashSet<String>) -> Result<Worker> {
        let mut sinks = Vec::new();
        for index in 0..self.sinks().len() {
            sinks.push(self.open_sink(index, name).await?);
        }
        let mut known_topics = known.clone();
        known_topics.extend(self.recall(&mut sinks).await?);
        let source = self.file.source.settings.open(&self.source_context(name, share), false).await;
        let source = source.map_err(|error| self.at(&["source", self.file.source.kind], error))?;
        let source = self.replayed(source);
        Ok(self.assemble(source, sinks, name, known_topics))
    }

    /// Where `state:` is, where other machines do not see it and what it keeps changes while the pipeline runs.
    pub(super) fn state_home(&self) -> String {
        let file = &self.file;
        let changes = file.tables.iter().any(|table| table.refresh.is_some())
            || file.models.iter().any(|model| model.settings.refresh.is_some());
        match changes && !foretell_storage::shared(&file.state) {
            true => machine::home(&file.base.join(&file.state)),
            false => String::new(),
        }
    }

    pub(super) fn assemble(
        &self,
        source: Box<dyn Source>,
        sinks: Vec<SinkStage>,
        name: &str,
        known_topics: HashSet<String>,
    ) -> Worker {
        let trigger = &self.file.trigger;
        let sliced = trigger.mode == TriggerMode::AvailableNow
            && self.planned.row_wise
            && sinks.iter().all(|sink| sink.traits.slices);
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
                pipeline_file::OnBadRecord::StopAbove(most) => OnBadRecord::StopAbove(most),
            },
            known_topics,
            exclusive: !self.planned.by_partition,
            sliced,
            state: self.state_home(),
        };
        Worker {
            source,
            sinks,
            factory: self.recipes.clone(),
            settings,
            clock: Arc::new(SystemClock),
            stats: Arc::new(Stats::default()),
        }
    }
}
