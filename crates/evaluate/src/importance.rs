//! Which features matter to the model: what its trees gained by them, or how much worse it gets when one is shuffled.

use arrow::array::{ArrayRef, UInt32Array};

use crate::answers::floats;
use crate::compare::Predictions;
use crate::error::Error;
use crate::sample::{SampleRows, scramble};
use crate::task::{Scores, Task};

/// The features that matter, the most important first.
#[derive(Debug, PartialEq)]
pub struct Importance {
    /// What is measured.
    pub measure: Measure,
    /// Of trees a share of all gains, else what is lost.
    pub features: Vec<(String, f64)>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// What the splits by the feature gained in training, as a share.
    Gain,
    /// How many splits look at the feature, as a share; where the file keeps no gains.
    Splits,
    /// How much the error grows on this many rows when the feature's values are shuffled among them.
    Shuffled(usize),
}

/// Rows that are scored again for each feature.
const ROWS: usize = 2_000;
/// How many times each feature is shuffled.
const TIMES: u64 = 3;
/// More features would take too long.
const FEATURES: usize = 200;

/// More features would take too long to shuffle one by one; fewer rows would tell nothing.
fn can_be_shuffled(sample: &SampleRows, names: &[String]) -> bool {
    names.len() <= FEATURES && sample.len() >= 2
}

impl Importance {
    /// Of trees: by feature its name, what its splits gained and how many there are. Where the file keeps no gains, the
    /// splits count.
    pub fn of_splits(features: &[(&str, f64, usize)]) -> Importance {
        let gains: f64 = features.iter().map(|(_, gain, _)| gain).sum();
        let splits: usize = features.iter().map(|(_, _, splits)| splits).sum();
        let (measure, share): (_, &dyn Fn(f64, usize) -> f64) = match gains > 0.0 {
            true => (Measure::Gain, &|gain, _| gain / gains),
            false => (Measure::Splits, &|_, count| count as f64 / splits as f64),
        };
        sorted(measure, features.iter().map(|(name, gain, count)| (name.to_string(), share(*gain, *count))).collect())
    }

    /// How much worse the answers get when a feature's values are shuffled among the rows; `None` where there are too
    /// many features or too few rows. `predict` asks the model.
    ///
    /// # Errors
    /// Those of `predict`, and answers that do not fit the task.
    pub fn by_shuffling(
        task: &Task,
        sample: &SampleRows,
        names: &[String],
        predict: impl Fn(&[ArrayRef], usize) -> Result<Predictions, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Option<Importance>, Error> {
        if !can_be_shuffled(sample, names) {
            return Ok(None);
        }
        let error = |sample: &SampleRows| {
            let predictions = predict(&sample.features, sample.len()).map_err(Error::Predict)?;
            error(task, sample, &predictions)
        };
        shuffle(sample, names, error).map(Some)
    }
}

fn sorted(measure: Measure, mut features: Vec<(String, f64)>) -> Importance {
    features.sort_by(|a, b| b.1.total_cmp(&a.1));
    Importance { measure, features }
}

fn shuffle(
    sample: &SampleRows,
    names: &[String],
    error: impl Fn(&SampleRows) -> Result<f64, Error>,
) -> Result<Importance, Error> {
    let rows = sample.len().min(ROWS);
    let first: Vec<u32> = (0..rows as u32).collect();
    let sample = sample.select(&first)?;
    let before = error(&sample)?;
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
            after += error(&shuffled)? / TIMES as f64;
        }
        features.push((name.clone(), after - before));
    }
    Ok(sorted(Measure::Shuffled(rows), features))
}

/// The mean absolute error, or the log loss where there are probabilities, else the share of wrong classes.
fn error(task: &Task, sample: &SampleRows, predictions: &Predictions) -> Result<f64, Error> {
    let mean = |losses: &mut dyn Iterator<Item = f64>| {
        // A row may be refused once a value is shuffled in.
        let (sum, count) = losses.filter(|loss| loss.is_finite()).fold((0.0, 0.0), |(s, n), loss| (s + loss, n + 1.0));
        if count > 0.0 { sum / count } else { f64::NAN }
    };
    match task {
        Task::Regression => {
            let predicted = floats(&predictions.predicted)?;
            Ok(mean(&mut predicted.iter().zip(&sample.actual).map(|(p, a)| (p - a).abs())))
        }
        Task::Classification(classes) if classes.scores == Some(Scores::Probabilities) => {
            let proba = classes.score_columns(&predictions.scores)?;
            let losses = sample.actual.iter().enumerate().map(|(row, actual)| {
                let own = proba.get(*actual as usize).map_or(f64::NAN, |column| column[row]);
                -own.clamp(classes.clip, 1.0 - classes.clip).ln()
            });
            Ok(mean(&mut { losses }))
        }
        Task::Classification(classes) => {
            let indices = classes.indices(&predictions.predicted)?;
            let wrong = |(index, actual): (&Option<u32>, &f64)| match index {
                Some(index) => f64::from(u8::from(f64::from(*index) != *actual)),
                None => f64::NAN,
            };
            Ok(mean(&mut indices.iter().zip(&sample.actual).map(wrong)))
        }
    }
}
