//! The source of a pipeline: opened to be read, or to be looked at.

use anyhow::Result;
use foretell_connect::kind::{DecodeSpec, SourceContext};
use foretell_flow::Source;

use super::Pipeline;
use super::bounded::Bounded;
use super::letters::Letters;
use crate::pipeline_file::{self, TriggerMode};

impl Pipeline {
    /// What the source is opened with by one of several workers.
    pub(super) fn source_context(&self, worker: &str, (index, workers): (usize, usize)) -> SourceContext {
        SourceContext {
            pipeline: self.file.name.clone(),
            worker: worker.to_string(),
            index,
            workers,
            ends: self.file.trigger.mode == TriggerMode::AvailableNow,
            // Letters in files are lines, whatever they hold.
            decode: match self.file.replays && self.file.source.kind == "file" {
                true => DecodeSpec { kind: "line".to_string(), settings: serde_json::json!({}) },
                false => self.decode.clone(),
            },
            state: self.artifacts.location(),
            home: self.state_home(),
            base: self.file.base.clone(),
            observe: false,
        }
    }

    /// The source of a replay: what was there at its beginning, each letter as the record that it was.
    pub(super) fn replayed(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        if !self.file.replays {
            return source;
        }
        let source: Box<dyn Source> = match self.file.source.kind {
            "kafka" => source,
            _ => Box::new(Letters(source)),
        };
        Box::new(Bounded::new(source))
    }

    /// Opens the source only to look: it joins nothing.
    pub(crate) async fn look_at_source(&self, who: &str) -> Result<Box<dyn Source>> {
        let opened = self.file.source.settings.open(&self.source_context(who, (0, 1)), true).await;
        opened.map_err(|error| self.at(&["source", self.file.source.kind], error).into())
    }

    /// Opens the source to read it from a task that joins nothing and leaves no trace.
    pub(crate) async fn watch_source(&self, who: &str) -> Result<Box<dyn Source>> {
        let context = SourceContext { observe: true, ..self.source_context(who, (0, 1)) };
        let opened = self.file.source.settings.open(&context, false).await;
        let opened = opened.map_err(|error| self.at(&["source", self.file.source.kind], error))?;
        Ok(self.replayed(opened))
    }

    /// What the source has, for people.
    pub(crate) async fn report(&self) -> Result<Vec<String>> {
        let report = self.file.source.settings.report(&self.source_context("report", (0, 1))).await;
        report.map_err(|error| self.at(&["source", self.file.source.kind], error).into())
    }

    /// Runs the first records of what is there through decoder and query, stores nothing, and says which of them are
    /// bad.
    pub(crate) async fn try_out(&self) -> Result<Vec<String>> {
        let source = ["source", self.file.source.kind];
        let heads = self.file.source.settings.head(&self.source_context("check", (0, 1))).await;
        let heads = heads.map_err(|error| self.at(&source, error))?;
        let (mut told, mut all) = (Vec::new(), 0);
        if heads.is_empty() {
            return Ok(told);
        }
        let mut stages = self.stages()?;
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
}
