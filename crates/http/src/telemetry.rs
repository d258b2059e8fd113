//! What is known of a running pipeline: fixed facts, and its workers' monitors.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use foretell_flow::Stats;

use crate::history::History;
use crate::insight::Insight;
use crate::worker::Worker;

/// What does not change while the pipeline runs.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The pipeline's name.
    pub pipeline: String,
    /// The program's version.
    pub version: String,
    /// Its models as it starts, in the file's order.
    pub models: Vec<ModelFacts>,
}

/// A model of the pipeline.
#[derive(Debug, Clone)]
pub struct ModelFacts {
    /// Its name in the pipeline file.
    pub name: String,
    /// The class of its last step.
    pub class: String,
    /// Of its file, in hexadecimal.
    pub sha256: String,
    /// Its card: what it is made of, and what goes in and comes out, line by line under a name.
    pub card: Vec<(String, String)>,
}

/// A running pipeline, as it is shown.
#[derive(Debug)]
pub struct Telemetry {
    pub(crate) facts: Facts,
    models: Mutex<Vec<ModelFacts>>,
    insight: Mutex<Option<Arc<dyn Insight>>>,
    pub(crate) started: (SystemTime, Instant),
    workers: Mutex<Vec<(String, Arc<Stats>)>>,
    stopping: AtomicBool,
    pub(crate) history: Mutex<History>,
}

impl Telemetry {
    /// A pipeline whose workers are not there yet.
    pub fn new(facts: Facts) -> Arc<Telemetry> {
        Arc::new(Telemetry {
            models: Mutex::new(facts.models.clone()),
            insight: Mutex::default(),
            facts,
            started: (SystemTime::now(), Instant::now()),
            workers: Mutex::default(),
            stopping: AtomicBool::new(false),
            history: Mutex::default(),
        })
    }

    /// The models as they are now.
    pub(crate) fn models(&self) -> Vec<ModelFacts> {
        lock(&self.models).clone()
    }

    /// A model is read from another file.
    pub fn renew_model(&self, renewed: ModelFacts) {
        if let Some(model) = lock(&self.models).iter_mut().find(|model| model.name == renewed.name) {
            *model = renewed;
        }
    }

    /// Who tells of models from now on.
    pub fn ask(&self, insight: Arc<dyn Insight>) {
        *lock(&self.insight) = Some(insight);
    }

    pub(crate) fn insight(&self) -> Option<Arc<dyn Insight>> {
        lock(&self.insight).clone()
    }

    /// A worker that begins to run, by its name.
    pub fn watch(&self, name: &str, stats: Arc<Stats>) {
        lock(&self.workers).push((name.to_string(), stats));
    }

    /// The pipeline was told to stop: it is not ready any more.
    pub fn stopping(&self) {
        self.stopping.store(true, Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// The workers as they are now.
    pub(crate) fn workers(&self) -> Vec<Worker> {
        let workers = lock(&self.workers);
        let worker = |(name, stats): &(String, Arc<Stats>)| Worker {
            name: name.clone(),
            counts: stats.snapshot(),
            report: stats.monitor.report(),
        };
        workers.iter().map(worker).collect()
    }
}

/// A panic elsewhere leaves nothing half-written here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
