//! `IsolationForest`: how deep a row falls, against how deep rows of the training fall; what is isolated early is -1.

use arrow_schema::DataType;
use foretell_pickle::View;

use super::forest::{Shape, read_tree};
use crate::attributes::{some_attr, version};
use crate::families::shared::explained::{Shares, Told, explained};
use crate::families::shared::members::sized_array;
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::trees::{Ensemble, Explainer, Gain, Plan, Rule, Tree};
use crate::{Error, InputKind, Output, StepReport, TreesReport};

pub(crate) const FAMILY: Family = Family {
    name: "isolation forests",
    classes: &[("sklearn.ensemble._iforest", "IsolationForest"), ("sklearn.ensemble.iforest", "IsolationForest")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let estimators = view.attr("estimators_")?.items()?;
    let sources = sized_array(loader, view, given)?;
    let age = Age::of(version(view)?);
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
            return Err(Error::state(estimator.path(), "is not a tree of an isolation forest"));
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
    ensemble.trees.iter_mut().zip(&samples).for_each(|(tree, samples)| measure(tree, samples, age));

    let max_samples = match some_attr(view, "max_samples_")? {
        Some(max_samples) => max_samples,
        None => view.attr("_max_samples")?,
    };
    let trees = ensemble.trees.len();
    let expected = age.average_path(max_samples.as_i64()?);
    let (offset, threshold) = match (some_attr(view, "offset_")?, some_attr(view, "behaviour")?) {
        (Some(offset), Some(behaviour)) if behaviour.as_str()? == "old" => {
            (offset.as_f64()?, view.attr("_threshold_")?.as_f64()?)
        }
        (Some(offset), _) => (offset.as_f64()?, 0.0),
        // Until 0.19 a score of one half was not an offset of the file's, and the threshold itself an outlier.
        (None, _) => (-0.5, view.attr("threshold_")?.as_f64()?.next_up()),
    };
    let plan = Plan::new(&ensemble, |_, value| value);
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
    if some_attr(view, "offset_")?.is_none() {
        targets.samples.clear();
    }
    let guarded = version(view)?.is_some_and(|version| version >= (1, 0));
    let depth = run::Depth { expected, trees: trees.trees as f64, by_mean: age != Age::Now, guarded };
    let step = run::Isolation { plan, depth, offset, threshold, finite, checks };
    // As shap does: the mean depth of a row's leaves, before anything is made of it.
    let share = 1.0 / ensemble.trees.len() as f64;
    let explainer = match loader.options.explain {
        true => Explainer::new(&ensemble, |_, depth| depth * share, &[], true),
        false => None,
    };
    let told = Told { shares: explainer.map(Shares::Trees), ..Told::default() };
    let step = explained(Box::new(step), told, &sources, &mut targets);
    let report = StepReport { trees: Some(trees), ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(step), out: Out::Answers(targets), report })
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
fn measure(tree: &mut Tree, samples: &[i64], age: Age) {
    let mut open = vec![(0u32, 1.0)];
    while let Some((index, length)) = open.pop() {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(node) = tree.nodes.get(at) else { continue };
        if node.is_leaf() {
            let leaf = usize::try_from(node.feature).ok();
            let samples = samples.get(at).copied().unwrap_or(0);
            if let Some(value) = leaf.and_then(|leaf| tree.values.get_mut(leaf)) {
                *value = age.depth(length, samples);
            }
        } else {
            open.push((node.left, length + 1.0));
            open.push((node.right, length + 1.0));
        }
    }
}

/// How the library measured the way to a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Until 0.18.
    First,
    /// 0.19 and 0.20.
    Second,
    Now,
}

impl Age {
    fn of(version: Option<(u32, u32)>) -> Self {
        match version {
            Some(version) if version >= (0, 21) => Age::Now,
            Some(version) if version >= (0, 19) => Age::Second,
            _ => Age::First,
        }
    }

    /// Of a leaf with this many nodes on the way to it, in the order of the library's operations.
    fn depth(self, nodes: f64, samples: i64) -> f64 {
        match self {
            Age::Now => nodes + self.average_path(samples) - 1.0,
            _ => nodes - 1.0 + self.average_path(samples),
        }
    }

    /// In a tree of this many rows.
    fn average_path(self, samples: i64) -> f64 {
        const EULER: f64 = 0.577_215_664_901_532_9;
        const EULER_SHORT: f64 = 0.577_215_664_9;
        let rows = samples as f64;
        match (self, samples) {
            (Age::Now, ..=1) => 0.0,
            (Age::First | Age::Second, ..=1) | (Age::Now, 2) => 1.0,
            (Age::First, _) => 2.0 * (rows.ln() + EULER_SHORT) - 2.0 * (rows - 1.0) / rows,
            _ => 2.0 * ((rows - 1.0).ln() + EULER) - 2.0 * (rows - 1.0) / rows,
        }
    }
}

mod run {
    use crate::Method;
    use crate::finite::Finite;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};
    use crate::trees::Plan;

    /// What the sum of a row's depths over all trees is held against.
    #[derive(Debug)]
    pub(super) struct Depth {
        /// The depth of a row that is like all others.
        pub(super) expected: f64,
        pub(super) trees: f64,
        /// Whether the library divided twice.
        pub(super) by_mean: bool,
        /// Whether trees of a single row do not divide by zero.
        pub(super) guarded: bool,
    }

    impl Depth {
        fn share(&self, sum: f64) -> f64 {
            match self.trees * self.expected {
                0.0 if self.guarded => 1.0,
                _ if self.by_mean => sum / self.trees / self.expected,
                all => sum / all,
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Isolation {
        pub(super) plan: Plan<f32, f64>,
        pub(super) depth: Depth,
        pub(super) offset: f64,
        /// Below this a row is an outlier.
        pub(super) threshold: f64,
        pub(super) finite: Finite,
        pub(super) checks: bool,
    }

    impl Predict for Isolation {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            if self.checks {
                self.finite.check(&x, run);
            }
            let mut scores = self.plan.sum(&x, &[0.0], 0.0, None);
            for depth in scores.iter_mut().flatten() {
                *depth = -(2.0_f64.powf(-self.depth.share(*depth)));
            }
            if want == Method::Samples {
                return Answer::F64(scores);
            }
            scores.iter_mut().flatten().for_each(|score| *score -= self.offset);
            if want == Method::Decision {
                return Answer::F64(scores);
            }
            let class = |score: &f64| u32::from(*score >= self.threshold || score.is_nan());
            Answer::Class(scores.iter().map(|column| column.iter().map(class).collect()).collect())
        }
    }
}
