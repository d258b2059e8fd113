//! `IsolationForest`: how deep a row falls, against how deep rows of the training fall; what is isolated early is -1.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use arrow_schema::DataType;
use foretell_pickle::View;

use super::Family;
use super::finite::Finite;
use super::forest::{Shape, read_tree};
use super::inner::array;
use crate::labels::Labels;
use crate::loader::{Loaded, Loader, Out, Source, Targets, some_attr, version};
use crate::step::Step;
use crate::trees::{Ensemble, Gain, Plan, Rule, Tree};
use crate::{Error, InputKind, Output, StepReport, TreesReport};

pub(crate) const FAMILY: Family = Family {
    name: "isolation forests",
    classes: &[("sklearn.ensemble._iforest", "IsolationForest"), ("sklearn.ensemble.iforest", "IsolationForest")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let estimators = view.attr("estimators_")?.items()?;
    if view.get_attr("offset_")?.is_none() {
        let supported = "forests of scikit-learn 0.20 and later";
        return Err(Error::unsupported(view.path(), "IsolationForest of 0.19 and older", supported));
    }
    let Some(sources) = array(loader, view, given)? else {
        return Err(Error::state(view.path(), "does not tell how many features it has"));
    };
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let features = sources.len();
    let picked = view.attr("estimators_features_")?.items()?;
    if estimators.is_empty() || picked.len() != estimators.len() {
        let message = format!("the columns of {} trees for {}", picked.len(), estimators.len());
        return Err(Error::state(view.path(), message));
    }
    // Trees that were given every column were given them in order, whatever is written beside them.
    let subset = view.attr("_max_features")?.as_usize()? != features;
    let mut ensemble = Ensemble { trees: Vec::new(), width: 1, outputs: 1, features, rule: Rule::LessEqual };
    let mut samples = Vec::new();
    for (estimator, picked) in estimators.iter().zip(&picked) {
        let shape = Shape::read(estimator)?;
        if (shape.outputs, shape.classes) != (1, 1) || (!subset && shape.features != features) {
            return Err(Error::state(estimator.path(), "is no tree of an isolation forest"));
        }
        let tree = estimator.attr("tree_")?;
        let (mut read, _) = read_tree(&tree, 1)?;
        if subset {
            place(&mut read, &picked.array()?.u64s()?);
        }
        let state = tree.state()?;
        let Some(nodes) = state.get("nodes")? else { return Err(Error::state(tree.path(), "`nodes` is missing")) };
        samples.push(nodes.array()?.field("n_node_samples")?.i64s()?);
        ensemble.trees.push(read);
    }
    let depth = ensemble.check(&view.path())?;
    ensemble.trees.iter_mut().zip(&samples).for_each(|(tree, samples)| measure(tree, samples));

    let max_samples = match some_attr(view, "max_samples_")? {
        Some(max_samples) => max_samples,
        None => view.attr("_max_samples")?,
    };
    let trees = ensemble.trees.len();
    let expected = trees as f64 * average_path(max_samples.as_i64()?);
    let threshold = match some_attr(view, "behaviour")? {
        Some(behaviour) if behaviour.as_str()? == "old" => view.attr("_threshold_")?.as_f64()?,
        _ => 0.0,
    };
    let plan = Plan::new(&ensemble, depth, |_, value| value);
    let trees = TreesReport {
        trees,
        nodes: ensemble.nodes(),
        max_depth: depth,
        kernel: plan.kernel(),
        bytes: ensemble.bytes().saturating_add(plan.bytes()),
        features: ensemble.uses(Gain::Averaged, sources.iter().map(|source| source.label.as_str())),
    };
    // From 1.6 on nothing is checked: a row that is not finite falls somewhere.
    let checks = version(view)?.is_none_or(|version| version < (1, 6));
    let finite = Finite::new("IsolationForest", &sources, false, true);
    let mut targets = Targets::classes(vec![Labels::Int(vec![-1, 1])], DataType::Float64);
    targets.proba.clear();
    let output = |name: &str| vec![Output { name: name.to_string(), data_type: DataType::Float64, class: None }];
    (targets.decision, targets.samples) = (output("decision"), output("score"));
    let offset = view.attr("offset_")?.as_f64()?;
    let step = run::Isolation { plan, expected, offset, threshold, finite, checks };
    let report = StepReport { trees: Some(trees), ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// Says the features of a tree, which counts only those it was given, as the forest counts them. What is out of range
/// stays so and is found when the trees are checked.
fn place(tree: &mut Tree, picked: &[u64]) {
    for node in tree.nodes.iter_mut().filter(|node| !node.is_leaf()) {
        let index = usize::try_from(node.feature).unwrap_or(usize::MAX);
        let feature = picked.get(index).and_then(|feature| u32::try_from(*feature).ok());
        node.feature = feature.unwrap_or(u32::MAX);
    }
}

/// Gives each leaf of a checked tree the nodes on the way to it, and what a tree of its rows would have added.
fn measure(tree: &mut Tree, samples: &[i64]) {
    let mut open = vec![(0u32, 1.0)];
    while let Some((index, length)) = open.pop() {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(node) = tree.nodes.get(at) else { continue };
        if node.is_leaf() {
            let leaf = usize::try_from(node.feature).ok();
            let samples = samples.get(at).copied().unwrap_or(0);
            if let Some(value) = leaf.and_then(|leaf| tree.values.get_mut(leaf)) {
                *value = length + average_path(samples) - 1.0;
            }
        } else {
            open.push((node.left, length + 1.0));
            open.push((node.right, length + 1.0));
        }
    }
}

/// The average way to a leaf in a tree of so many rows.
fn average_path(samples: i64) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match samples {
        ..=1 => 0.0,
        2 => 1.0,
        more => {
            let rows = more as f64;
            2.0 * ((rows - 1.0).ln() + EULER) - 2.0 * (rows - 1.0) / rows
        }
    }
}

mod run {
    use crate::Want;
    use crate::families::finite::Finite;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};
    use crate::trees::Plan;

    #[derive(Debug)]
    pub(super) struct Isolation {
        pub(super) plan: Plan<f32, f64>,
        /// The depth of a row that is like all others, over all trees.
        pub(super) expected: f64,
        pub(super) offset: f64,
        /// Below this a row is an outlier.
        pub(super) threshold: f64,
        pub(super) finite: Finite,
        pub(super) checks: bool,
    }

    impl Predict for Isolation {
        fn answer(&self, x: Matrix, want: Want, run: &mut Run) -> Answer {
            if self.checks {
                self.finite.check(&x, run);
            }
            let mut scores = self.plan.sum(&x, &[0.0], 0.0, None);
            for depth in scores.iter_mut().flatten() {
                let share = if self.expected == 0.0 { 1.0 } else { *depth / self.expected };
                *depth = -(-share).exp2();
            }
            if want == Want::Samples {
                return Answer::F64(scores);
            }
            scores.iter_mut().flatten().for_each(|score| *score -= self.offset);
            if want == Want::Decision {
                return Answer::F64(scores);
            }
            let class = |score: &f64| u32::from(*score >= self.threshold || score.is_nan());
            Answer::Class(scores.iter().map(|column| column.iter().map(class).collect()).collect())
        }
    }
}
