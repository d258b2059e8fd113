//! What is watched of models while they answer: a challenger beside each (`shadow`), and how far the rows of today are from
//! those of before (`drift`). Each new batch is counted once, as its query ran; nothing here reaches what the sinks get.

mod drift;
mod shadow;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter;
use arrow::datatypes::UInt32Type;
use foretell_http::{DriftReport, Insight, ShadowReport};
use foretell_model::{Method, Signature};
use foretell_query::Scored;

use super::artifacts::ArtifactStore;
use super::query::{LoadedModel, Observer};
use crate::pipeline_file::{PipelineFile, TriggerMode, Wrong};
use drift::Drift;
use shadow::Shadow;

/// Of the answers to one batch, which one is compared: the first that the query asked for.
const WANTS: [Method; 5] = [Method::Predict, Method::Transform, Method::Proba, Method::Decision, Method::Samples];

/// More inputs of a model are not compared with a baseline: each is a time series for whoever scrapes.
const MOST_INPUTS: usize = 512;

/// The models that are watched.
pub(crate) struct Watch {
    models: Mutex<BTreeMap<String, Arc<LoadedModel>>>,
    drifts: BTreeMap<String, Mutex<Drift>>,
    /// By champion.
    shadows: BTreeMap<String, Shadow>,
}

impl Watch {
    /// What the file asks for, of the models that could be read.
    pub(super) fn new(
        file: &PipelineFile,
        models: BTreeMap<String, Arc<LoadedModel>>,
        wrong: &mut Wrong,
    ) -> Arc<Watch> {
        let (mut drifts, mut shadows) = (BTreeMap::new(), BTreeMap::new());
        for entry in &file.models {
            let name = &entry.name;
            if let Some(settings) = &entry.settings.drift {
                let made = Drift::new(name, settings, &file.base);
                let made = made.map_err(|error| {
                    let remedy = "`foretell baseline MODEL DATA -o FILE` makes one of the rows of training";
                    file.error(&["models", name, "drift", "baseline"], format!("{error:#}"), remedy)
                });
                drifts.extend(wrong.keep(made).map(|drift| (name.clone(), Mutex::new(drift))));
            }
            let Some(shadow) = &entry.settings.shadow else { continue };
            let (Some(champion), Some(challenger)) = (models.get(name), models.get(shadow)) else { continue };
            // Of what is there now all is compared; on a stream nobody waits for a challenger.
            let patient = file.trigger.mode == TriggerMode::AvailableNow;
            let made = Shadow::new((name, champion), (shadow, challenger), patient).map_err(|message| {
                let remedy = format!("call it in the query: `{shadow}(*)`, whose columns are then found by name");
                file.error(&["models", name, "shadow"], message, remedy)
            });
            shadows.extend(wrong.keep(made).map(|shadow| (name.clone(), shadow)));
        }
        Arc::new(Watch { models: Mutex::new(models), drifts, shadows })
    }

    /// A model is read from another file.
    pub(crate) fn renew(&self, name: &str, model: &Arc<LoadedModel>) {
        let models = {
            let mut models = lock(&self.models);
            models.insert(name.to_string(), model.clone());
            models.clone()
        };
        for (champion, shadow) in &self.shadows {
            if let (Some(champion), Some(challenger)) = (models.get(champion), models.get(shadow.name())) {
                shadow.renew(champion, challenger);
            }
        }
    }

    /// From now on baselines that are made of the first rows are kept in `state:`, and those that are there are used.
    pub(super) async fn keep(&self, artifacts: &ArtifactStore, pipeline: &str) -> Result<()> {
        for (name, drift) in &self.drifts {
            let kept = artifacts.baseline(pipeline, name).await?;
            lock(drift).keep(artifacts, pipeline, kept)?;
        }
        Ok(())
    }

    /// Waits a little for challengers, and says how they did.
    pub(crate) fn finish(&self) {
        self.shadows.values().for_each(Shadow::finish);
    }
}

impl Observer for Watch {
    fn models(&self) -> BTreeSet<String> {
        self.drifts.keys().chain(self.shadows.keys()).cloned().collect()
    }

    fn count(&self, scored: Vec<Scored>) {
        let mut by_model: BTreeMap<String, Vec<Scored>> = BTreeMap::new();
        for call in scored {
            by_model.entry(call.model.clone()).or_default().push(call);
        }
        for (name, calls) in by_model {
            let asked = WANTS.into_iter().find(|want| calls.iter().any(|call| call.want == *want));
            let Some(want) = asked else { continue };
            let (own, others): (Vec<Scored>, Vec<Scored>) = calls.into_iter().partition(|call| call.want == want);
            let own = each_row_once(own);
            if let Some(shadow) = self.shadows.get(&name) {
                own.iter().for_each(|call| shadow.ask(call));
            }
            let signature = lock(&self.models).get(&name).cloned();
            if let (Some(drift), Some(model)) = (self.drifts.get(&name), signature) {
                let proba = each_row_once(others.into_iter().filter(|call| call.want == Method::Proba).collect());
                let mut drift = lock(drift);
                for (at, call) in own.iter().enumerate() {
                    // Beside the answers those that were asked for, too, of the same rows.
                    let beside = proba.get(at).filter(|other| other.rows == call.rows);
                    let calls: Vec<&Scored> = std::iter::once(call).chain(beside).collect();
                    let (names, columns) = table(foretell_query::Scorer::signature(&*model), &calls);
                    drift.add(&names, &columns);
                }
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Insight for Watch {
    fn shadows(&self) -> Vec<ShadowReport> {
        self.shadows.values().map(Shadow::report).collect()
    }

    fn drifts(&self) -> Vec<DriftReport> {
        self.drifts.values().map(|drift| lock(drift).report()).collect()
    }
}

/// The names of a model's inputs, as a baseline has them.
pub(crate) fn input_names(signature: &Signature) -> Vec<String> {
    let name =
        |(at, input): (usize, &foretell_model::Input)| input.name.clone().unwrap_or_else(|| format!("feature {at}"));
    signature.inputs.iter().enumerate().take(MOST_INPUTS).map(name).collect()
}

/// Inputs and answers side by side, each under a name of its own.
fn table(signature: &Signature, calls: &[&Scored]) -> (Vec<String>, Vec<ArrayRef>) {
    let mut names = input_names(signature);
    let mut columns: Vec<ArrayRef> =
        calls.first().map(|call| call.columns.iter().take(MOST_INPUTS).cloned().collect()).unwrap_or_default();
    names.truncate(columns.len());
    columns.truncate(names.len());
    for call in calls.iter().filter(|call| call.want != Method::Transform) {
        for (output, answer) in signature.outputs(call.want).iter().zip(&call.answers) {
            if !names.contains(&output.name) {
                names.push(output.name.clone());
                columns.push(answer.clone());
            }
        }
    }
    (names, columns)
}

/// A query may ask of the same row twice.
fn each_row_once(calls: Vec<Scored>) -> Vec<Scored> {
    let mut last: Option<u32> = None;
    let ascend = calls.iter().all(|call| {
        call.rows.null_count() == 0
            && call.rows.values().iter().all(|row| last.replace(*row).is_none_or(|before| before < *row))
    });
    if ascend {
        return calls;
    }
    let mut seen: HashSet<u32> = HashSet::new();
    let mut once = Vec::with_capacity(calls.len());
    for call in calls {
        let new: BooleanArray = call.rows.iter().map(|row| Some(row.is_none_or(|row| seen.insert(row)))).collect();
        let keep = |column: &ArrayRef| filter(column, &new).ok();
        let columns: Option<Vec<ArrayRef>> = call.columns.iter().map(keep).collect();
        let answers: Option<Vec<ArrayRef>> = call.answers.iter().map(keep).collect();
        if let (Some(columns), Some(answers), Ok(rows)) = (columns, answers, filter(&call.rows, &new)) {
            once.push(Scored { rows: rows.as_primitive::<UInt32Type>().clone(), columns, answers, ..call });
        }
    }
    once
}

/// A panic elsewhere leaves nothing half-written here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
