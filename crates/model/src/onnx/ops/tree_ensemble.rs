//! `TreeEnsemble` of `ai.onnx.ml` 5: nodes that branch and leaves in lists of their own, words as numbers.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "places are checked before they are used")]

use super::super::proto::Node;
use super::super::tensor::Kind;
use super::elementwise::numbers;
use super::scores::Post;
use super::tree_scores::{Aggregate, Finish};
use super::trees::{Branch, FEATURES, Forest, Mode, compile};
use super::{Compiled, Operator};
use crate::Error;

pub(super) const OPERATORS: &[Operator] = &[("TreeEnsemble", |node, _| ensemble(node))];

const MODES: &[Mode] =
    &[Mode::LessEqual, Mode::Less, Mode::GreaterEqual, Mode::Greater, Mode::Equal, Mode::NotEqual, Mode::Member];

fn ensemble(node: &Node<'_>) -> Result<Compiled, Error> {
    let one_of = |name: &str, at: i64, count: usize| {
        let place = usize::try_from(at).ok().filter(|at| *at < count);
        place.ok_or_else(|| {
            Error::unsupported(node.place.clone(), format!("{name}={at}"), format!("0 to {}", count - 1))
        })
    };
    let aggregates = [Aggregate::Average, Aggregate::Sum, Aggregate::Min, Aggregate::Max];
    let aggregate = aggregates[one_of("aggregate_function", node.int("aggregate_function", 1), aggregates.len())?];
    let posts = [Post::None, Post::Logistic, Post::Softmax, Post::SoftmaxZero, Post::Probit];
    let post = posts[one_of("post_transform", node.int("post_transform", 0), posts.len())?];
    let forest = forest(node)?;
    if forest.is_double {
        return Err(Error::unsupported(node.place.clone(), "trees of float64", "trees of float32"));
    }
    let trees = forest.trees.len();
    compile(node, forest, aggregate, Finish::Regression { aggregate, trees, post })
}

/// The lists of an ensemble.
struct Lists<'n> {
    node: &'n Node<'n>,
    features: &'n [i64],
    yes: &'n [i64],
    no: &'n [i64],
    yes_is_leaf: &'n [i64],
    no_is_leaf: &'n [i64],
    missing: &'n [i64],
    modes: Vec<Mode>,
    splits: Vec<f64>,
    /// The set of each node that asks for one, in their order, and how many ask before each node.
    sets: Vec<Vec<f64>>,
    asked_before: Vec<usize>,
    targets: &'n [i64],
    weights: Vec<f64>,
}

fn values(node: &Node<'_>, name: &str) -> Result<(Vec<f64>, Kind), Error> {
    let tensor = node.tensor(name)?.ok_or_else(|| node.error(format!("it has no `{name}`")))?;
    let kind = tensor.data.kind();
    Ok((numbers(&tensor).map_err(|fault| node.error(fault.to_string()))?, kind))
}

fn forest<'n>(node: &'n Node<'n>) -> Result<Forest, Error> {
    let targets = usize::try_from(node.int("n_targets", 1)).ok().filter(|targets| *targets > 0);
    let targets = targets.ok_or_else(|| node.error("it has no targets"))?;
    let (modes, _) = values(node, "nodes_modes")?;
    let (splits, kind) = values(node, "nodes_splits")?;
    let (weights, weight_kind) = values(node, "leaf_weights")?;
    let mode = |mode: &f64| {
        let known = "BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, BRANCH_GT, BRANCH_EQ, BRANCH_NEQ, BRANCH_MEMBER";
        let found = MODES.get(*mode as usize).copied().filter(|_| *mode >= 0.0);
        found.ok_or_else(|| Error::unsupported(node.place.clone(), format!("the mode {mode}"), known))
    };
    let sets = match node.tensor("membership_values")? {
        Some(_) => {
            let (all, _) = values(node, "membership_values")?;
            // Each set ends with NaN.
            let mut sets: Vec<Vec<f64>> = all.split(|value| value.is_nan()).map(<[f64]>::to_vec).collect();
            if all.last().is_some_and(|last| last.is_nan()) {
                sets.pop();
            }
            sets
        }
        None => Vec::new(),
    };
    let modes = modes.iter().map(mode).collect::<Result<Vec<_>, Error>>()?;
    let mut asked = 0;
    let mut asked_before = Vec::with_capacity(modes.len());
    for mode in &modes {
        asked_before.push(asked);
        asked += usize::from(*mode == Mode::Member);
    }
    let lists = Lists {
        node,
        features: node.ints("nodes_featureids"),
        yes: node.ints("nodes_truenodeids"),
        no: node.ints("nodes_falsenodeids"),
        yes_is_leaf: node.ints("nodes_trueleafs"),
        no_is_leaf: node.ints("nodes_falseleafs"),
        missing: node.ints("nodes_missing_value_tracks_true"),
        modes,
        splits,
        sets,
        asked_before,
        targets: node.ints("leaf_targetids"),
        weights,
    };
    let count = lists.modes.len();
    let same = [lists.features, lists.yes, lists.no, lists.yes_is_leaf, lists.no_is_leaf];
    let missing_fits = lists.missing.is_empty() || lists.missing.len() == count;
    if count == 0 || same.iter().any(|one| one.len() != count) || lists.splits.len() != count || !missing_fits {
        return Err(node.error(format!("its lists of {count} nodes are of different lengths")));
    }
    if lists.targets.len() != lists.weights.len() {
        return Err(node.error("its lists of leaves are of different lengths"));
    }
    if asked != lists.sets.len() {
        return Err(node.error(format!("{} sets for {asked} nodes that ask for one", lists.sets.len())));
    }
    let mut seen = vec![false; count];
    let roots = node.ints("tree_roots");
    let trees = roots.iter().map(|root| lists.tree(*root, targets, &mut seen)).collect::<Result<Vec<_>, Error>>()?;
    if trees.is_empty() {
        return Err(node.error("it has no trees"));
    }
    let width = lists.features.iter().copied().max().unwrap_or(0);
    if lists.features.iter().any(|feature| !(0..FEATURES).contains(feature)) {
        return Err(node.error("a feature is out of range"));
    }
    let is_double = kind == Kind::F64 || weight_kind == Kind::F64;
    Ok(Forest { trees, targets, features: width as usize + 1, is_double, base: Vec::new() })
}

impl Lists<'_> {
    /// One tree, its root first. No node may be part of two.
    fn tree(&self, root: i64, targets: usize, seen: &mut [bool]) -> Result<Vec<Branch>, Error> {
        let mut out: Vec<Branch> = Vec::new();
        // Where in the lists it is, whether among the leaves, and which branch of which parent it is.
        let mut open = vec![(root, false, None::<(usize, bool)>)];
        while let Some((at, is_leaf, parent)) = open.pop() {
            let place = out.len();
            match parent {
                Some((parent, true)) => out[parent].yes = place,
                Some((parent, false)) => out[parent].no = place,
                None => {}
            }
            if is_leaf {
                out.push(self.leaf(at, targets)?);
                continue;
            }
            let at = usize::try_from(at).ok().filter(|at| *at < self.modes.len());
            let at = at.ok_or_else(|| self.node.error("a node is out of range"))?;
            if std::mem::replace(&mut seen[at], true) {
                return Err(self.node.error(format!("node {at} has two parents")));
            }
            let set = match self.modes[at] {
                Mode::Member => self.sets[self.asked_before[at]].clone(),
                _ => Vec::new(),
            };
            out.push(Branch {
                mode: self.modes[at],
                feature: u32::try_from(self.features[at]).unwrap_or(0),
                value: self.splits[at],
                set,
                yes: 0,
                no: 0,
                missing_is_yes: self.missing.get(at).is_some_and(|flag| *flag != 0),
                weights: Vec::new(),
            });
            open.push((self.no[at], self.no_is_leaf[at] != 0, Some((place, false))));
            open.push((self.yes[at], self.yes_is_leaf[at] != 0, Some((place, true))));
        }
        Ok(out)
    }

    fn leaf(&self, at: i64, targets: usize) -> Result<Branch, Error> {
        let at = usize::try_from(at).ok().filter(|at| *at < self.weights.len());
        let at = at.ok_or_else(|| self.node.error("a leaf is out of range"))?;
        let target = usize::try_from(self.targets[at]).ok().filter(|target| *target < targets);
        let target = target.ok_or_else(|| self.node.error(format!("target {} is out of range", self.targets[at])))?;
        Ok(Branch {
            mode: Mode::Leaf,
            feature: 0,
            value: 0.0,
            set: Vec::new(),
            yes: 0,
            no: 0,
            missing_is_yes: false,
            weights: vec![(target, self.weights[at])],
        })
    }
}
