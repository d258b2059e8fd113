//! The places that a prepared plan reads at each run: tables, the batch time, and what models refuse.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use crate::batch::Scored;
use crate::failure::Failure;

/// A table whose rows are put in from outside before each run.
pub(crate) struct TableSlot {
    schema: SchemaRef,
    batches: Mutex<Vec<RecordBatch>>,
}

impl TableSlot {
    pub(crate) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Arc<Self> {
        Arc::new(TableSlot { schema, batches: Mutex::new(batches) })
    }

    pub(crate) fn put(&self, batches: Vec<RecordBatch>) {
        *lock(&self.batches) = batches;
    }
}

impl fmt::Debug for TableSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableSlot")
    }
}

impl PartitionStream for TableSlot {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = lock(&self.batches).clone();
        let batches = stream::iter(batches.into_iter().map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// What one run hands to functions and gets from them.
#[derive(Debug, Default)]
pub(crate) struct RunState {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    batch_time: DateTime<Utc>,
    refusals: Vec<(u32, Failure)>,
    watched: BTreeSet<String>,
    scored: Vec<Scored>,
    kept: Vec<Scored>,
}

impl RunState {
    pub(crate) fn start(&self, batch_time: DateTime<Utc>) {
        let mut inner = lock(&self.inner);
        inner.batch_time = batch_time;
        inner.refusals.clear();
        inner.scored.clear();
    }

    /// The models whose calls are remembered from now on.
    pub(crate) fn watch(&self, models: BTreeSet<String>) {
        lock(&self.inner).watched = models;
    }

    /// Whether a model's calls are remembered.
    pub(crate) fn watches(&self, model: &str) -> bool {
        lock(&self.inner).watched.contains(model)
    }

    /// A watched model was called.
    pub(crate) fn scored(&self, scored: Scored) {
        lock(&self.inner).scored.push(scored);
    }

    /// The run went well: what models said in it counts.
    pub(crate) fn keep(&self) {
        let mut inner = lock(&self.inner);
        let scored = std::mem::take(&mut inner.scored);
        inner.kept.extend(scored);
    }

    /// What models said in the runs that went well.
    pub(crate) fn take_kept(&self) -> Vec<Scored> {
        std::mem::take(&mut lock(&self.inner).kept)
    }

    pub(crate) fn batch_time(&self) -> DateTime<Utc> {
        lock(&self.inner).batch_time
    }

    /// A model refuses an input row.
    pub(crate) fn refuse(&self, refusals: impl IntoIterator<Item = (u32, Failure)>) {
        lock(&self.inner).refusals.extend(refusals);
    }

    /// The rows refused since the last call, ascending, each once: its first refusal.
    pub(crate) fn take_refusals(&self) -> Vec<(u32, Failure)> {
        let mut refusals = std::mem::take(&mut lock(&self.inner).refusals);
        refusals.sort_by_key(|(row, _)| *row);
        refusals.dedup_by_key(|(row, _)| *row);
        refusals
    }
}

/// A panic elsewhere leaves nothing half-written here: each critical section is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
