//! The query crate's query as a stage of the run loop.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::DateTime;
use foretell_flow::{Provenance, Queried, Query, Refused, Scope, StageError};
use foretell_model::{Columns, Method, Model, Outputs, Signature};
use foretell_query::{Context, Provenance as Places, QueryScope, Scored, Scorer};

use super::functions::Functions;
use crate::levels::Watch;

/// A model as the query calls it.
pub(crate) struct LoadedModel {
    /// Its name in the pipeline file.
    name: String,
    /// Of its file.
    sha256: String,
    pub(crate) model: Model,
    unseen: Watch,
    /// Of which answer unknown levels are counted: the first that the query asks for.
    counted: OnceLock<Method>,
}

impl LoadedModel {
    pub(crate) fn new(name: &str, sha256: &str, model: Model) -> LoadedModel {
        LoadedModel {
            name: name.to_string(),
            sha256: sha256.to_string(),
            model,
            unseen: Watch::default(),
            counted: OnceLock::new(),
        }
    }

    /// Of its file.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The function that it gives.
    pub(crate) fn functions(name: &str, model: &Arc<LoadedModel>) -> Functions {
        vec![(name.to_string(), model.clone())]
    }

    /// Says what whoever uses the model should know.
    pub(crate) fn notes(&self) {
        self.model.describe().notes.iter().for_each(|note| tracing::warn!("model {}: {note}", self.name));
    }

    /// Says what was not said yet.
    pub(crate) fn tell(&self) {
        self.unseen.rest().iter().for_each(|what| tracing::warn!("model {}: {what}", self.name));
    }
}

impl AsRef<Model> for LoadedModel {
    fn as_ref(&self) -> &Model {
        &self.model
    }
}

impl Scorer for LoadedModel {
    fn sha256(&self) -> Option<&str> {
        Some(&self.sha256)
    }

    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    fn score(&self, columns: &Columns<'_>, want: Method) -> Outputs {
        let outputs = self.model.score(columns, want);
        // Other answers about the same rows say the same.
        if *self.counted.get_or_init(|| want) == want {
            let told = self.unseen.add(columns.rows(), &outputs.unseen);
            told.iter().for_each(|what| tracing::warn!("model {}: {what}", self.name));
        }
        outputs
    }
}

/// A prepared query, run on the worker's own thread.
pub(crate) struct Stage {
    query: foretell_query::Query,
    observer: Option<Arc<dyn Observer>>,
    /// Of the batch that was run last.
    scored: Vec<Scored>,
}

/// Who is told what models were asked of new batches.
pub(crate) trait Observer: Send + Sync {
    /// The models that it wants to hear of.
    fn models(&self) -> BTreeSet<String>;

    /// What they were asked of a batch, and said.
    fn count(&self, scored: Vec<Scored>);
}

impl Stage {
    /// A query; what its models are asked is told to the observer.
    pub(super) fn new(mut query: foretell_query::Query, observer: Option<Arc<dyn Observer>>) -> Stage {
        let observer = observer.filter(|observer| !observer.models().is_empty());
        if let Some(observer) = &observer {
            query.watch(observer.models());
        }
        Stage { query, observer, scored: Vec::new() }
    }
}

impl Query for Stage {
    fn schema(&self) -> SchemaRef {
        self.query.output_schema().clone()
    }

    fn scope(&self) -> Scope {
        match self.query.scope() {
            QueryScope::RowWise => Scope::Record,
            QueryScope::PerPartition { .. } => Scope::Partition,
            QueryScope::BatchWise { .. } => Scope::Batch,
        }
    }

    fn reads(&self, column: &str) -> bool {
        self.query.reads(column)
    }

    fn run(&mut self, batch: &RecordBatch, from: Option<&Provenance>, time: i64) -> Result<Queried, StageError> {
        let provenance = from.map(|from| Places { partition: from.partitions.clone(), offset: from.offsets.clone() });
        let context = Context { batch_time: DateTime::from_timestamp_micros(time).unwrap_or_default(), provenance };
        // The engine's futures wait for nothing outside; the worker's thread is set aside for this.
        let answer = wait(self.query.run(batch, &context))
            .map_err(|error| StageError::data(format!("query: {error}")).caused_by(error))?;
        self.scored = answer.scored;
        let provenance = answer.provenance.map(|p| Provenance { partitions: p.partition, offsets: p.offset });
        let refused = answer.refused.into_iter().map(|refused| Refused {
            row: refused.row,
            stage: refused.kind().to_string(),
            reason: refused.failure.to_string(),
        });
        Ok(Queried { rows: answer.rows, provenance, refused: refused.collect() })
    }

    fn count(&mut self) {
        let scored = std::mem::take(&mut self.scored);
        if let Some(observer) = self.observer.as_ref().filter(|_| !scored.is_empty()) {
            observer.count(scored);
        }
    }
}

/// Waits for a future on this thread, from within or without the runtime's workers.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}
