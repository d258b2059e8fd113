//! What an objective does to `base_score` and to the margins.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "floats")]

use crate::Error;

/// The built-in objectives, by what they do to a margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objective {
    /// Nothing: most regressions and rankings.
    Identity,
    /// `binary:logitraw`: no transform, yet before 1.3 `base_score` is a probability.
    LogitRaw,
    /// `binary:logistic`, `reg:logistic`: the sigmoid.
    Logistic,
    /// The same before 1.6, which had no bound below.
    OldLogistic,
    /// Poisson, gamma, Tweedie, survival: the exponential.
    Exp,
    /// `binary:hinge`: 1 above 0.
    Hinge,
    /// `multi:softprob`: probabilities of all classes.
    Softprob,
    /// `multi:softmax`: the class of the largest margin.
    Softmax,
}

/// Every objective by its name in a model file.
const OBJECTIVES: &[(&str, Objective)] = &[
    ("reg:squarederror", Objective::Identity),
    ("reg:linear", Objective::Identity),
    ("reg:squaredlogerror", Objective::Identity),
    ("reg:pseudohubererror", Objective::Identity),
    ("reg:absoluteerror", Objective::Identity),
    ("reg:quantileerror", Objective::Identity),
    ("reg:logistic", Objective::Logistic),
    ("binary:logistic", Objective::Logistic),
    ("binary:logitraw", Objective::LogitRaw),
    ("binary:hinge", Objective::Hinge),
    ("multi:softprob", Objective::Softprob),
    ("multi:softmax", Objective::Softmax),
    ("count:poisson", Objective::Exp),
    ("reg:gamma", Objective::Exp),
    ("reg:tweedie", Objective::Exp),
    ("survival:cox", Objective::Exp),
    ("survival:aft", Objective::Exp),
    ("rank:pairwise", Objective::Identity),
    ("rank:ndcg", Objective::Identity),
    ("rank:map", Objective::Identity),
];

impl Objective {
    pub(crate) fn from_name(name: &str) -> Result<Self, Error> {
        // GPU builds of old wrote `gpu:reg:linear` for the same thing.
        let plain = name.strip_prefix("gpu:").unwrap_or(name);
        match OBJECTIVES.iter().find(|known| known.0 == plain) {
            Some(known) => Ok(known.1),
            None => {
                let all: Vec<&str> = OBJECTIVES.iter().map(|known| known.0).collect();
                Err(Error::unsupported("", format!("objective {name}"), all.join(", ")))
            }
        }
    }

    /// `base_score` as a margin. The logit is `-logf(1 / b - 1)`, as the library computes it; from 3.2 on a share is
    /// `bounded` first, so that labels that are all the same have one.
    pub(crate) fn margin(self, base_score: f32, bounded: bool) -> f32 {
        const LEAST: f32 = 1e-6;
        match self {
            Objective::Logistic if bounded => -(1.0 / base_score.clamp(LEAST, 1.0 - LEAST) - 1.0).ln(),
            Objective::Logistic | Objective::OldLogistic | Objective::LogitRaw => -(1.0 / base_score - 1.0).ln(),
            Objective::Exp => base_score.ln(),
            _ => base_score,
        }
    }

    /// Margins (one vector an output) become what `predict` of the booster gives.
    pub(crate) fn transform(self, margins: &mut [Vec<f32>]) {
        match self {
            Objective::Identity | Objective::LogitRaw | Objective::Softmax => {}
            Objective::Logistic => margins.iter_mut().flatten().for_each(|x| *x = sigmoid(*x)),
            Objective::OldLogistic => margins.iter_mut().flatten().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            Objective::Exp => margins.iter_mut().flatten().for_each(|x| *x = x.exp()),
            Objective::Hinge => margins.iter_mut().flatten().for_each(|x| *x = if *x > 0.0 { 1.0 } else { 0.0 }),
            Objective::Softprob => softmax(margins),
        }
    }
}

/// `1 / (expf(min(-x, 88.7)) + 1 + 1e-16)` in float32.
pub(crate) fn sigmoid(x: f32) -> f32 {
    const LIMIT: f32 = 88.7;
    1.0 / ((-x).min(LIMIT).exp() + 1.0 + 1e-16)
}

/// The sum is float64, the division float32.
fn softmax(margins: &mut [Vec<f32>]) {
    let rows = margins.first().map_or(0, Vec::len);
    for row in 0..rows {
        let largest = margins.iter().map(|column| column[row]).fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0_f64;
        for column in margins.iter_mut() {
            column[row] = (column[row] - largest).exp();
            sum += f64::from(column[row]);
        }
        for column in margins.iter_mut() {
            column[row] /= sum as f32;
        }
    }
}
