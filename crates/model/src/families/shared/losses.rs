//! The losses of scikit-learn's boosting: what their files name, and what becomes of raw scores.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "columns of equal lengths")]

use arrow_schema::DataType;
use foretell_pickle::{Entry, State};

use crate::families::shared::lone_class;
use crate::labels::Labels;
use crate::loaded::Targets;
use crate::math::scores::{self, Softmax};
use crate::step::Answer;
use crate::{Method, Output};

/// What a raw score is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::families) enum Loss {
    /// Regressions on the scale of the target.
    Identity,
    /// Poisson, gamma: the exponential.
    Log,
    /// Two classes; the score is the log of the odds.
    Logit,
    /// Two classes; the score is half the log of the odds.
    HalfLogit,
    /// One score a class.
    Multinomial,
}

impl Loss {
    /// What a booster with these labels (none for a regression) answers.
    pub(in crate::families) fn targets(self, labels: Option<Labels>) -> Targets {
        let Some(labels) = labels else { return Targets::numbers(1, DataType::Float64) };
        let column = |name: String, class| Output { name, data_type: DataType::Float64, class };
        let decision = if self == Loss::Multinomial {
            let classes = (0..labels.len()).map(|class| labels.text(class));
            classes.map(|class| column(format!("decision_{class}"), Some(class))).collect()
        } else {
            vec![column("decision".to_string(), None)]
        };
        Targets { decision, ..lone_class::targets(labels, DataType::Float64) }
    }
}

/// What decides which class is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::families) enum Choice {
    /// The largest score; of two classes the second where its score is above 0.
    Score,
    /// The same, and 0 is the second class.
    ScoreOrZero,
    /// The largest probability, which scores that are next to each other share.
    Probability,
}

/// What becomes of raw scores in a version of the library.
#[derive(Debug)]
pub(in crate::families) struct Link {
    pub(in crate::families) loss: Loss,
    pub(in crate::families) softmax: Softmax,
    pub(in crate::families) choice: Choice,
}

impl Link {
    /// The answer from raw scores, one vector an output.
    pub(in crate::families) fn answer(&self, mut raw: Vec<Vec<f64>>, want: Method) -> Answer {
        if want == Method::Decision || self.loss == Loss::Identity {
            return Answer::F64(raw);
        }
        if self.loss == Loss::Log {
            raw.iter_mut().flatten().for_each(|x| *x = x.exp());
            return Answer::F64(raw);
        }
        if want != Method::Predict {
            return Answer::F64(self.shares(raw));
        }
        let rows = raw.first().map_or(0, Vec::len);
        let class = match self.choice {
            Choice::Probability => scores::first_largest(&self.shares(raw), rows),
            Choice::ScoreOrZero if raw.len() == 1 => raw.iter().flatten().map(|x| u32::from(*x >= 0.0)).collect(),
            Choice::Score | Choice::ScoreOrZero => scores::best(&raw),
        };
        Answer::Class(vec![class])
    }

    fn shares(&self, mut raw: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        if self.loss == Loss::Multinomial {
            return self.softmax.of(raw);
        }
        let factor = if self.loss == Loss::HalfLogit { 2.0 } else { 1.0 };
        raw.iter_mut().flatten().for_each(|x| *x = scores::expit(factor * *x));
        let no = raw.iter().flatten().map(|yes| 1.0 - yes).collect();
        raw.insert(0, no);
        raw
    }
}

/// Cython's classes bring any state or none.
const ANY: State = State::DICT.or(State::TUPLE).or(State::EMPTY).or(State::SLOTS);

/// The losses in every home they have had. They are read and never asked: the estimator's parameters say the same.
pub(in crate::families) const ENTRIES: &[Entry] = &[
    Entry::class("_loss", "CyAbsoluteError").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyAbsoluteError"),
    Entry::class("_loss", "CyExponentialLoss").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyExponentialLoss"),
    Entry::class("_loss", "CyHalfBinomialLoss").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyHalfBinomialLoss"),
    Entry::class("_loss", "CyHalfGammaLoss").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyHalfGammaLoss"),
    Entry::class("_loss", "CyHalfMultinomialLoss").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyHalfMultinomialLoss"),
    Entry::class("_loss", "CyHalfPoissonLoss").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyHalfPoissonLoss"),
    Entry::class("_loss", "CyHalfSquaredError").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyHalfSquaredError"),
    Entry::class("_loss", "CyHuberLoss").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyHuberLoss"),
    Entry::class("_loss", "CyPinballLoss").with_state(ANY),
    Entry::function("_loss", "__pyx_unpickle_CyPinballLoss"),
    Entry::class("sklearn._loss._loss", "CyAbsoluteError").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyAbsoluteError"),
    Entry::class("sklearn._loss._loss", "CyExponentialLoss").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyExponentialLoss"),
    Entry::class("sklearn._loss._loss", "CyHalfBinomialLoss").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfBinomialLoss"),
    Entry::class("sklearn._loss._loss", "CyHalfGammaLoss").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfGammaLoss"),
    Entry::class("sklearn._loss._loss", "CyHalfMultinomialLoss").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfMultinomialLoss"),
    Entry::class("sklearn._loss._loss", "CyHalfPoissonLoss").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfPoissonLoss"),
    Entry::class("sklearn._loss._loss", "CyHalfSquaredError").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfSquaredError"),
    Entry::class("sklearn._loss._loss", "CyHuberLoss").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHuberLoss"),
    Entry::class("sklearn._loss._loss", "CyPinballLoss").with_state(ANY),
    Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyPinballLoss"),
    Entry::class("sklearn._loss.link", "HalfLogitLink"),
    Entry::class("sklearn._loss.link", "IdentityLink"),
    Entry::class("sklearn._loss.link", "Interval"),
    Entry::class("sklearn._loss.link", "LogLink"),
    Entry::class("sklearn._loss.link", "LogitLink"),
    Entry::class("sklearn._loss.link", "MultinomialLogit"),
    Entry::class("sklearn._loss.loss", "AbsoluteError"),
    Entry::class("sklearn._loss.loss", "ExponentialLoss"),
    Entry::class("sklearn._loss.loss", "HalfBinomialLoss"),
    Entry::class("sklearn._loss.loss", "HalfGammaLoss"),
    Entry::class("sklearn._loss.loss", "HalfMultinomialLoss"),
    Entry::class("sklearn._loss.loss", "HalfPoissonLoss"),
    Entry::class("sklearn._loss.loss", "HalfSquaredError"),
    Entry::class("sklearn._loss.loss", "HuberLoss"),
    Entry::class("sklearn._loss.loss", "PinballLoss"),
    Entry::class("sklearn.ensemble._gb_losses", "BinomialDeviance"),
    Entry::class("sklearn.ensemble._gb_losses", "ExponentialLoss"),
    Entry::class("sklearn.ensemble._gb_losses", "HuberLossFunction"),
    Entry::class("sklearn.ensemble._gb_losses", "LeastAbsoluteError"),
    Entry::class("sklearn.ensemble._gb_losses", "LeastSquaresError"),
    Entry::class("sklearn.ensemble._gb_losses", "MultinomialDeviance"),
    Entry::class("sklearn.ensemble._gb_losses", "QuantileLossFunction"),
    Entry::class("sklearn.ensemble._hist_gradient_boosting.loss", "BinaryCrossEntropy"),
    Entry::class("sklearn.ensemble._hist_gradient_boosting.loss", "CategoricalCrossEntropy"),
    Entry::class("sklearn.ensemble._hist_gradient_boosting.loss", "LeastAbsoluteDeviation"),
    Entry::class("sklearn.ensemble._hist_gradient_boosting.loss", "LeastSquares"),
    Entry::class("sklearn.ensemble._hist_gradient_boosting.loss", "Poisson"),
    Entry::class("sklearn.ensemble.gradient_boosting", "BinomialDeviance"),
    Entry::class("sklearn.ensemble.gradient_boosting", "ExponentialLoss"),
    Entry::class("sklearn.ensemble.gradient_boosting", "HuberLossFunction"),
    Entry::class("sklearn.ensemble.gradient_boosting", "LeastAbsoluteError"),
    Entry::class("sklearn.ensemble.gradient_boosting", "LeastSquaresError"),
    Entry::class("sklearn.ensemble.gradient_boosting", "LogOddsEstimator"),
    Entry::class("sklearn.ensemble.gradient_boosting", "MeanEstimator"),
    Entry::class("sklearn.ensemble.gradient_boosting", "MultinomialDeviance"),
    Entry::class("sklearn.ensemble.gradient_boosting", "PriorProbabilityEstimator"),
    Entry::class("sklearn.ensemble.gradient_boosting", "QuantileEstimator"),
    Entry::class("sklearn.ensemble.gradient_boosting", "QuantileLossFunction"),
    Entry::class("sklearn.ensemble.gradient_boosting", "ScaledLogOddsEstimator"),
    Entry::class("sklearn.ensemble.gradient_boosting", "ZeroEstimator"),
    Entry::class("sklearn.dummy", "DummyClassifier"),
    Entry::class("sklearn.dummy", "DummyRegressor"),
];
