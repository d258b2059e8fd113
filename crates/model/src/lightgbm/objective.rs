//! What an objective does to the sums of the leaves.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "floats")]

use crate::Error;

/// The built-in objectives, by what they do to a sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Objective {
    /// Nothing: most regressions and rankings, and objectives of one's own.
    Identity,
    /// `reg_sqrt`: the square, with the sign kept.
    Square,
    /// Poisson, gamma, Tweedie.
    Exp,
    /// `1 / (1 + exp(-sigmoid * x))` of each output.
    Sigmoid(f64),
    /// `log1p(exp(x))`.
    Softplus,
    /// The same as `log(1 + exp(x))`: libraries before linear trees.
    OldSoftplus,
    /// Probabilities of all classes.
    Softmax,
}

/// Every objective by its name in a model file; sigmoids have their factor beside the name.
const OBJECTIVES: &[(&str, Objective)] = &[
    ("binary", Objective::Sigmoid(1.0)),
    ("cross_entropy", Objective::Sigmoid(1.0)),
    ("cross_entropy_lambda", Objective::Softplus),
    ("custom", Objective::Identity),
    ("fair", Objective::Identity),
    ("gamma", Objective::Exp),
    ("huber", Objective::Identity),
    ("lambdarank", Objective::Identity),
    ("mape", Objective::Identity),
    ("multiclass", Objective::Softmax),
    ("multiclassova", Objective::Sigmoid(1.0)),
    ("none", Objective::Identity),
    ("poisson", Objective::Exp),
    ("quantile", Objective::Identity),
    ("rank_xendcg", Objective::Identity),
    ("regression", Objective::Identity),
    ("regression_l1", Objective::Identity),
    ("tweedie", Objective::Exp),
    ("xendcg", Objective::Identity),
    ("xentlambda", Objective::Softplus),
    ("xentropy", Objective::Sigmoid(1.0)),
];

impl Objective {
    /// From the header's words: `binary sigmoid:1`, `regression sqrt`; no words are an objective of one's own.
    pub(crate) fn from_words(words: &str) -> Result<Self, Error> {
        let mut words = words.split_ascii_whitespace();
        let Some(name) = words.next() else { return Ok(Objective::Identity) };
        let Some(mut objective) = OBJECTIVES.iter().find(|known| known.0 == name).map(|known| known.1) else {
            let all: Vec<&str> = OBJECTIVES.iter().map(|known| known.0).collect();
            return Err(Error::unsupported("", format!("objective {name}"), all.join(", ")));
        };
        for word in words {
            if let (Objective::Sigmoid(factor), Some(given)) = (&mut objective, word.strip_prefix("sigmoid:")) {
                *factor = given.parse().map_err(|_| Error::state("objective", format!("`{given}` is not a number")))?;
            }
            if word == "sqrt" && objective == Objective::Identity {
                objective = Objective::Square;
            }
        }
        Ok(objective)
    }

    /// Sums (one vector an output) become what `predict` of the booster gives.
    pub(crate) fn transform(self, sums: &mut [Vec<f64>]) {
        let all = sums.iter_mut().flatten();
        match self {
            Objective::Identity => {}
            Objective::Square => all.for_each(|x| *x = if *x > 0.0 { *x * *x } else { -*x * *x }),
            Objective::Exp => all.for_each(|x| *x = x.exp()),
            Objective::Sigmoid(factor) => all.for_each(|x| *x = 1.0 / (1.0 + (-factor * *x).exp())),
            Objective::Softplus => all.for_each(|x| *x = x.exp().ln_1p()),
            Objective::OldSoftplus => all.for_each(|x| *x = (1.0 + x.exp()).ln()),
            Objective::Softmax => softmax(sums),
        }
    }
}

fn softmax(sums: &mut [Vec<f64>]) {
    let rows = sums.first().map_or(0, Vec::len);
    for row in 0..rows {
        let largest = sums.iter().map(|column| column[row]).fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for column in sums.iter_mut() {
            column[row] = (column[row] - largest).exp();
            total += column[row];
        }
        sums.iter_mut().for_each(|column| column[row] /= total);
    }
}
