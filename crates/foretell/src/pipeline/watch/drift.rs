//! The rows of a model beside its baseline.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, NullArray};
use foretell_evaluate::drift::{Baseline, Builder, ColumnDrift, Window};
use foretell_http::{ColumnReport, DriftReport};
use tracing::{info, warn};

use crate::pipeline::artifacts::ArtifactStore;
use crate::pipeline_file::DriftSettings;

/// A column is near its baseline again below this part of both thresholds, so that one at a threshold is told once.
const NEAR: f64 = 0.75;

/// What is watched of one model.
pub(super) struct Drift {
    model: String,
    settings: DriftSettings,
    state: State,
    latest: Vec<ColumnDrift>,
    /// The columns that are told to be far from the baseline.
    far: BTreeSet<String>,
    /// Where a baseline of the first rows is kept.
    home: Option<(ArtifactStore, String)>,
}

enum State {
    /// The first rows make the baseline; before any has come, its columns are not known.
    Collecting(Option<(Vec<String>, Builder)>),
    Watching(Window),
}

impl Drift {
    /// With the baseline that the file names, if it names one.
    pub(super) fn new(model: &str, settings: &DriftSettings, base: &Path) -> Result<Drift> {
        let state = match &settings.baseline {
            None => State::Collecting(None),
            Some(path) => {
                let path = base.join(path);
                let shown = path.display();
                let text = std::fs::read(&path).with_context(|| shown.to_string())?;
                let baseline = Baseline::read(&text).with_context(|| shown.to_string())?;
                State::Watching(Window::new(baseline, settings.window))
            }
        };
        Ok(Drift {
            model: model.to_string(),
            settings: settings.clone(),
            state,
            latest: Vec::new(),
            far: BTreeSet::new(),
            home: None,
        })
    }

    /// A baseline of the first rows belongs there; `kept` is the one of an earlier start.
    pub(super) fn keep(&mut self, artifacts: &ArtifactStore, pipeline: &str, kept: Option<Vec<u8>>) -> Result<()> {
        if self.settings.first.is_none() {
            return Ok(());
        }
        self.home = Some((artifacts.clone(), pipeline.to_string()));
        if let Some(kept) = kept {
            let path = artifacts.baseline_path(pipeline, &self.model);
            let damaged = || format!("{path} is damaged: delete it, and the next rows make another baseline");
            let baseline = Baseline::read(&kept).with_context(damaged)?;
            self.state = State::Watching(Window::new(baseline, self.settings.window));
        }
        Ok(())
    }

    /// The next rows: one array a name.
    pub(super) fn add(&mut self, names: &[String], columns: &[ArrayRef]) {
        let rows = columns.first().map_or(0, |column| column.len());
        let mut from = 0;
        if let State::Collecting(building) = &mut self.state {
            let (wanted, builder) = building.get_or_insert_with(|| (names.to_vec(), Builder::new(names)));
            let lacking = self.settings.first.unwrap_or(0).saturating_sub(builder.rows());
            from = usize::try_from(lacking).unwrap_or(usize::MAX).min(rows);
            let absent = || Arc::new(NullArray::new(from)) as ArrayRef;
            let found = |name: &String| {
                let column = names.iter().position(|other| other == name).and_then(|at| columns.get(at));
                column.map_or_else(absent, |column| column.slice(0, from))
            };
            let part: Vec<ArrayRef> = wanted.iter().map(found).collect();
            builder.add(&part);
            if builder.rows() < self.settings.first.unwrap_or(0) {
                return;
            }
            self.begin();
        }
        if from == rows {
            return;
        }
        let State::Watching(window) = &mut self.state else { return };
        let column = |name: &str| {
            let column = names.iter().position(|other| other == name).and_then(|at| columns.get(at));
            column.map(|column| column.slice(from, rows - from))
        };
        let part: Vec<Option<ArrayRef>> = window.baseline().columns.iter().map(|one| column(&one.name)).collect();
        for drift in window.add(&part) {
            let before = self.far.clone();
            self.judge(&drift);
            self.latest = drift;
            self.tell(&before);
        }
    }

    /// The first rows are there.
    fn begin(&mut self) {
        let State::Collecting(Some((_, builder))) = std::mem::replace(&mut self.state, State::Collecting(None)) else {
            return;
        };
        let baseline = builder.finish();
        info!(model = self.model, rows = baseline.rows, "the baseline is made: later rows are compared with it");
        if let Some((artifacts, pipeline)) = self.home.clone() {
            let (model, text) = (self.model.clone(), baseline.json().to_string().into_bytes());
            tokio::spawn(async move {
                if let Err(error) = artifacts.keep_baseline(&pipeline, &model, text).await {
                    warn!(model, "the baseline cannot be kept, and the next start makes another one: {error:#}");
                }
            });
        }
        self.state = State::Watching(Window::new(baseline, self.settings.window));
    }

    /// Which columns are far from the baseline: from a threshold on, and until both figures are well below theirs.
    fn judge(&mut self, drift: &[ColumnDrift]) {
        for column in drift {
            let above = |part: f64| {
                column.psi > self.settings.psi * part || column.ks.is_some_and(|ks| ks > self.settings.ks * part)
            };
            if above(1.0) {
                self.far.insert(column.name.clone());
            } else if !above(NEAR) {
                self.far.remove(&column.name);
            }
        }
    }

    /// Says which columns have gone far from the baseline since `before`, and which have come back.
    fn tell(&self, before: &BTreeSet<String>) {
        for column in &self.latest {
            let (model, name) = (&self.model, column.name.as_str());
            let (psi, ks) = (round(column.psi), column.ks.map(round));
            match (before.contains(name), self.far.contains(name)) {
                (false, true) => {
                    warn!(
                        model,
                        column = name,
                        psi,
                        ks,
                        "drift: the latest values are not distributed as those of the baseline"
                    );
                }
                (true, false) => {
                    info!(
                        model,
                        column = name,
                        psi,
                        ks,
                        "drift is over: the latest values are distributed as those of the baseline"
                    );
                }
                _ => {}
            }
        }
    }

    pub(super) fn report(&self) -> DriftReport {
        let column = |column: &ColumnDrift| ColumnReport {
            name: column.name.clone(),
            psi: column.psi,
            ks: column.ks,
            alarm: self.far.contains(&column.name),
            edges: column.edges.clone(),
            before: column.before.clone(),
            now: column.now.clone(),
        };
        let (baseline, rows) = match &self.state {
            State::Collecting(_) => (None, 0),
            State::Watching(window) => (Some(window.baseline().rows), window.rows()),
        };
        DriftReport {
            model: self.model.clone(),
            baseline,
            rows,
            window: self.settings.window,
            columns: self.latest.iter().map(column).collect(),
        }
    }
}

/// For people: four digits behind the point.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_at_its_threshold_is_far_until_it_is_well_below() {
        let settings = DriftSettings { baseline: None, first: Some(10), window: 10, psi: 0.2, ks: 0.2 };
        let mut drift = Drift::new("m", &settings, Path::new("")).unwrap();
        let mut is_far = |psi: f64, ks: Option<f64>| {
            let column = ColumnDrift { name: "x".into(), psi, ks, edges: vec![], before: vec![], now: vec![] };
            drift.judge(&[column]);
            drift.far.contains("x")
        };
        assert!(!is_far(0.19, None), "it has not been above");
        assert!(is_far(0.21, None));
        assert!(is_far(0.19, None), "below the threshold, and not well below");
        assert!(is_far(0.1, Some(0.16)), "the other figure is not well below");
        assert!(!is_far(0.14, Some(0.14)));
        assert!(is_far(0.0, Some(0.21)), "by either");
    }
}
