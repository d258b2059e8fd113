//! Which features matter to the model: what its trees gained by them, or how much worse it gets when one is shuffled.

use anyhow::Result;
use arrow::array::UInt32Array;
use foretell_model::{Columns, Method, Model, Scratch};

use super::rows::floats;
use super::sample::{Part, scramble};
use super::task::Task;

/// The features that matter, the most important first.
#[derive(Debug, PartialEq)]
pub(super) struct Importance {
    pub(super) measure: Measure,
    /// Of trees a share of all gains, else what is lost.
    pub(super) features: Vec<(String, f64)>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Measure {
    /// What the splits by the feature gained in training, as a share.
    Gain,
    /// How many splits look at the feature, as a share; where the file keeps no gains.
    Splits,
    /// How much the error grows on so many rows when the feature's values are shuffled among them.
    Shuffled(usize),
}

/// Rows that are scored again for each feature.
const ROWS: usize = 2_000;
/// Each feature is shuffled so often.
const TIMES: u64 = 3;
/// More features would take too long.
const FEATURES: usize = 200;

/// Of the trees, where the model is one ensemble of them, else by shuffling the sample; `None` where neither is possible.
pub(super) fn importance(model: &Model, task: &Task, sample: &Part, names: &[String]) -> Result<Option<Importance>> {
    let steps = model.describe().root.walk();
    let ensembles: Vec<_> = steps.iter().filter_map(|step| step.trees.as_ref()).collect();
    if let [trees] = &ensembles[..]
        && !trees.features.is_empty()
    {
        let gains: f64 = trees.features.iter().map(|one| one.gain).sum();
        let splits: usize = trees.features.iter().map(|one| one.splits).sum();
        let share = |one: &foretell_model::FeatureUse| match gains > 0.0 {
            true => one.gain / gains,
            false => one.splits as f64 / splits as f64,
        };
        let measure = if gains > 0.0 { Measure::Gain } else { Measure::Splits };
        let features = trees.features.iter().map(|one| (one.name.clone(), share(one))).collect();
        return Ok(Some(sorted(measure, features)));
    }
    if names.len() > FEATURES || sample.len() < 2 {
        return Ok(None);
    }
    shuffle(model, task, sample, names).map(Some)
}

fn sorted(measure: Measure, mut features: Vec<(String, f64)>) -> Importance {
    features.sort_by(|a, b| b.1.total_cmp(&a.1));
    Importance { measure, features }
}

fn shuffle(model: &Model, task: &Task, sample: &Part, names: &[String]) -> Result<Importance> {
    let rows = sample.len().min(ROWS);
    let first: Vec<u32> = (0..rows as u32).collect();
    let sample = sample.select(&first)?;
    let before = error(model, task, &sample)?;
    let mut features = Vec::with_capacity(names.len());
    for (feature, name) in names.iter().enumerate() {
        let mut after = 0.0;
        for time in 0..TIMES {
            let mut order = first.clone();
            // Fisher and Yates, with numbers that are the same at every run.
            for at in (1..rows).rev() {
                let random = scramble(((feature as u64) << 40) ^ (time << 32) ^ at as u64);
                order.swap(at, (random % (at as u64 + 1)) as usize);
            }
            let mut shuffled = sample.select(&first)?;
            let column = &sample.features[feature];
            shuffled.features[feature] = arrow::compute::take(column.as_ref(), &UInt32Array::from(order), None)?;
            after += error(model, task, &shuffled)? / TIMES as f64;
        }
        features.push((name.clone(), after - before));
    }
    Ok(sorted(Measure::Shuffled(rows), features))
}

/// The mean absolute error, or the log loss where there are probabilities, else the share of wrong classes.
fn error(model: &Model, task: &Task, sample: &Part) -> Result<f64> {
    let rows = sample.len();
    let columns = Columns::new(&sample.features, rows);
    let score = |want| model.score(&columns, want, &mut Scratch::default());
    let mean = |losses: &mut dyn Iterator<Item = f64>| {
        // A row may be refused once a value is shuffled in.
        let (sum, count) = losses.filter(|loss| loss.is_finite()).fold((0.0, 0.0), |(s, n), loss| (s + loss, n + 1.0));
        if count > 0.0 { sum / count } else { f64::NAN }
    };
    match task {
        Task::Numbers => {
            let predicted = score(Method::Predict).columns;
            let predicted = predicted.first().map_or(Ok(Vec::new()), floats)?;
            Ok(mean(&mut predicted.iter().zip(&sample.actual).map(|(p, a)| (p - a).abs())))
        }
        Task::Classes(classes) if classes.scores == Some(Method::Proba) => {
            let proba = score(Method::Proba).columns.iter().map(floats).collect::<Result<Vec<_>>>()?;
            let losses = sample.actual.iter().enumerate().map(|(row, actual)| {
                let own = proba.get(*actual as usize).map_or(f64::NAN, |column| column[row]);
                -own.clamp(classes.clip, 1.0 - classes.clip).ln()
            });
            Ok(mean(&mut { losses }))
        }
        Task::Classes(classes) => {
            let predicted = score(Method::Predict).columns;
            let Some(labels) = predicted.first() else { return Ok(f64::NAN) };
            let indices = classes.indices(labels)?;
            let wrong = |(index, actual): (&Option<u32>, &f64)| match index {
                Some(index) => f64::from(u8::from(f64::from(*index) != *actual)),
                None => f64::NAN,
            };
            Ok(mean(&mut indices.iter().zip(&sample.actual).map(wrong)))
        }
    }
}
