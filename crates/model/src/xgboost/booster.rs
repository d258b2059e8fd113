//! A booster as its file describes it, checked.

use super::objective::Objective;
use crate::Error;
use crate::trees::{Ensemble, Rule, Tree};

/// What the formats say, before it is checked.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The version that wrote it; raw binaries without one count as 0.90 or older.
    pub(crate) version: Option<[u32; 3]>,
    pub(crate) features: usize,
    /// 0 or 1 where there are no classes.
    pub(crate) classes: usize,
    /// Targets of a multi-output regression; at least 1.
    pub(crate) targets: usize,
    /// One for all outputs, or one each.
    pub(crate) base_score: Vec<f32>,
    /// Whether `base_score` is a margin already: binaries before 1.0.
    pub(crate) base_is_margin: bool,
    /// Whether `base_score` is still to be learned from the first round's labels.
    pub(crate) base_to_learn: bool,
    pub(crate) objective: String,
    pub(crate) booster: String,
    pub(crate) trees: Vec<Tree>,
    /// Values of one leaf: 1, or the targets of a multi-target tree.
    pub(crate) width: usize,
    /// dart: the weight of each tree; otherwise empty.
    pub(crate) weights: Vec<f32>,
    /// gblinear: `(features + 1) * outputs`, the last row the bias.
    pub(crate) linear: Vec<f32>,
    pub(crate) parallel: usize,
    /// Where each iteration's trees start, with the end; empty where the file does not tell.
    pub(crate) iterations: Vec<usize>,
    pub(crate) names: Vec<String>,
    /// `float`, `int`, `i`, `q`, `c`, …
    pub(crate) types: Vec<String>,
    pub(crate) attributes: Vec<(String, String)>,
    /// The levels of each feature that the caller gives by level (3.1 and later); empty where there is none.
    pub(crate) levels: Vec<Vec<String>>,
    /// The same levels as numbers, of those features whose levels are numbers.
    pub(crate) numbers: Vec<Vec<f64>>,
}

/// A checked booster.
#[derive(Debug)]
pub(crate) struct Booster {
    pub(crate) version: Option<[u32; 3]>,
    pub(crate) objective: Objective,
    pub(crate) objective_name: String,
    pub(crate) booster: String,
    pub(crate) classes: usize,
    pub(crate) outputs: usize,
    /// The base margin of each output.
    pub(crate) base: Vec<f32>,
    pub(crate) ensemble: Ensemble,
    pub(crate) depth: usize,
    pub(crate) weights: Vec<f32>,
    pub(crate) linear: Option<Vec<f32>>,
    pub(crate) names: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) levels: Vec<Vec<String>>,
    pub(crate) numbers: Vec<Vec<f64>>,
    pub(crate) parallel: usize,
    iterations: Vec<usize>,
}

impl Parts {
    /// Checks what a format said.
    pub(crate) fn build(mut self) -> Result<Booster, Error> {
        let state = |message: String| Error::state("XGBoost model", message);
        let objective = match Objective::from_name(&self.objective)? {
            Objective::Logistic if self.version.is_none_or(|version| version < [1, 6, 0]) => Objective::OldLogistic,
            objective => objective,
        };
        let since = |first: [u32; 3]| self.version.is_some_and(|version| version >= first);
        let outputs = self.classes.max(self.targets).max(1);
        if self.features > FEATURES || outputs > OUTPUTS {
            return Err(state(format!(
                "{} features and {outputs} outputs; at most {FEATURES} and {OUTPUTS} are read",
                self.features
            )));
        }
        if !self.levels.is_empty() && self.levels.len() != self.features {
            return Err(state(format!("categories of {} features for {}", self.levels.len(), self.features)));
        }
        let base: Vec<f32> = match self.base_score.as_slice() {
            [one] => vec![*one; outputs],
            all if all.len() == outputs => all.to_vec(),
            all => return Err(state(format!("{} base scores for {outputs} outputs", all.len()))),
        };
        // From 1.3 on the raw margin is what `base_score` is given as, too.
        let raw = objective == Objective::LogitRaw && since([1, 3, 0]);
        // From 3.1 on it is nothing but a number before there is a round that it is learned with.
        let is_margin = self.base_is_margin || raw || (self.base_to_learn && since([3, 1, 0]));
        let margin = |base: f32| if is_margin { base } else { objective.margin(base, since([3, 2, 0])) };
        let base = base.into_iter().map(margin).collect();
        let linear = self.booster == "gblinear";
        let weights = self.features.checked_add(1).and_then(|n| n.checked_mul(outputs));
        if linear && self.linear.is_empty() && self.base_to_learn {
            // Written before the first round.
            self.linear = vec![0.0; weights.unwrap_or_default()];
        }
        if linear && Some(self.linear.len()) != weights {
            return Err(state(format!("{} weights for {} features", self.linear.len(), self.features)));
        }
        if !self.weights.is_empty() && self.weights.len() != self.trees.len() {
            return Err(state(format!("{} tree weights for {} trees", self.weights.len(), self.trees.len())));
        }
        let named = |all: &[String]| all.is_empty() || all.len() == self.features;
        if !named(&self.names) || !named(&self.types) {
            return Err(state(format!(
                "{} feature names and {} types for {} features",
                self.names.len(),
                self.types.len(),
                self.features
            )));
        }
        let iterations = if self.iterations.is_empty() {
            let each = if self.width > 1 { 1 } else { outputs };
            let each = each.saturating_mul(self.parallel.max(1));
            let count = self.trees.len().div_ceil(each);
            (0..=count).map(|index| index.saturating_mul(each).min(self.trees.len())).collect()
        } else {
            if self.iterations.last() != Some(&self.trees.len()) || !self.iterations.is_sorted() {
                return Err(state("the trees of the iterations are not the trees that are there".to_string()));
            }
            self.iterations
        };
        let ensemble = Ensemble {
            trees: self.trees,
            width: self.width.max(1),
            outputs,
            features: self.features,
            rule: Rule::Less,
        };
        let depth = ensemble.check("")?;
        Ok(Booster {
            version: self.version,
            objective,
            objective_name: self.objective,
            booster: self.booster,
            classes: self.classes,
            outputs,
            base,
            ensemble,
            depth,
            weights: self.weights,
            linear: linear.then_some(self.linear),
            types: self.types,
            names: self.names,
            attributes: self.attributes,
            levels: self.levels,
            numbers: self.numbers,
            parallel: self.parallel.max(1),
            iterations,
        })
    }
}

/// More features than this are not a model but an attack on memory.
const FEATURES: usize = 1 << 24;
/// Likewise classes and targets.
const OUTPUTS: usize = 1 << 16;

impl Booster {
    /// The value of an attribute such as `best_iteration`.
    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().rev().find(|entry| entry.0 == key).map(|entry| entry.1.as_str())
    }

    /// How many iterations (boosting rounds) there are.
    pub(crate) fn rounds(&self) -> usize {
        self.iterations.len().saturating_sub(1)
    }

    /// Keeps the trees of the iterations `from..to` only; `to` beyond the end is the end.
    pub(crate) fn keep_iterations(&mut self, from: usize, to: usize) {
        let at = |index: usize| self.iterations.get(index.min(self.rounds())).copied().unwrap_or_default();
        let (first, end) = (at(from), at(to.max(from)));
        self.ensemble.trees.truncate(end);
        self.ensemble.trees.drain(..first.min(end));
        if !self.weights.is_empty() {
            self.weights.truncate(end);
            self.weights.drain(..first.min(end));
        }
    }

    /// Whether the version sums the trees first and adds the base to the sum: 1.2 and older, dart of 1.3.
    pub(crate) fn adds_base_last(&self) -> bool {
        let first = if self.booster == "dart" { [1, 4, 0] } else { [1, 3, 0] };
        self.version.is_none_or(|version| version < first)
    }

    pub(crate) fn version_text(&self) -> Option<String> {
        self.version.map(|[major, minor, patch]| format!("{major}.{minor}.{patch}"))
    }
}
