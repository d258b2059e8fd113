//! scikit-learn's decision trees and their forests.
//!
//! X is cast to float32 and compared with float64 thresholds. A forest sums its trees in order in float64 and divides
//! by their number; a class is the first of the largest probabilities.

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{self, some_attr};
use crate::families::shared::explained::{Shares, Told, explained};
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::math::scores::pairwise_sum;
use crate::step::Step;
use crate::trees::{Ensemble, Explainer, Gain, Landing, NONE, Node, Numbers, Plan, Rule, Tree};
use crate::{Error, InputKind, StepReport, TreesReport};

pub(crate) const FAMILY: Family = Family {
    name: "trees and forests of scikit-learn",
    classes: &[
        ("imblearn.ensemble._forest", "BalancedRandomForestClassifier"),
        ("sklearn.ensemble._forest", "ExtraTreesClassifier"),
        ("sklearn.ensemble._forest", "ExtraTreesRegressor"),
        ("sklearn.ensemble._forest", "RandomForestClassifier"),
        ("sklearn.ensemble._forest", "RandomForestRegressor"),
        ("sklearn.ensemble.forest", "ExtraTreesClassifier"),
        ("sklearn.ensemble.forest", "ExtraTreesRegressor"),
        ("sklearn.ensemble.forest", "RandomForestClassifier"),
        ("sklearn.ensemble.forest", "RandomForestRegressor"),
        ("sklearn.tree._classes", "DecisionTreeClassifier"),
        ("sklearn.tree._classes", "DecisionTreeRegressor"),
        ("sklearn.tree._classes", "ExtraTreeClassifier"),
        ("sklearn.tree._classes", "ExtraTreeRegressor"),
        ("sklearn.tree.tree", "DecisionTreeClassifier"),
        ("sklearn.tree.tree", "DecisionTreeRegressor"),
        ("sklearn.tree.tree", "ExtraTreeClassifier"),
        ("sklearn.tree.tree", "ExtraTreeRegressor"),
    ],
    globals: &[Entry::class("sklearn.tree._tree", "Tree")],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let is_classifier = class.ends_with("Classifier");
    let is_forest = class.contains("Forest") || class.starts_with("ExtraTrees");
    let trees = if is_forest { view.attr("estimators_")?.items()? } else { vec![view.clone()] };
    let Some(first) = trees.first() else {
        return Err(Error::state(view.path(), "the forest has no tree"));
    };
    let shape = Shape::read(first)?;
    let labels = if is_classifier { labels(view, shape.outputs)? } else { Vec::new() };
    let width = shape.outputs.checked_mul(shape.classes).filter(|width| *width > 0 && *width <= WIDTH);
    let Some(width) = width else {
        return Err(Error::state(view.path(), format!("{} outputs of {} classes", shape.outputs, shape.classes)));
    };
    if labels.iter().any(|labels| labels.len() > shape.classes || labels.len() == 0)
        || (!is_classifier && shape.classes != 1)
    {
        return Err(Error::state(view.path(), "the classes are not those of the trees"));
    }

    let version = attributes::version_inside(view, first)?;
    let mut ensemble =
        Ensemble { trees: Vec::new(), width, outputs: width, features: shape.features, rule: Rule::LessEqual };
    let mut knows_missing = true;
    for tree in &trees {
        if Shape::read(tree)? != shape {
            return Err(Error::state(tree.path(), "the tree has other features or outputs than the first one"));
        }
        let (mut read, has_missing) = read_tree(&tree.attr("tree_")?, width)?;
        knows_missing &= has_missing;
        if is_classifier && normalises(version, has_missing) {
            let classes: Vec<usize> = labels.iter().map(Labels::len).collect();
            normalise(&mut read.values, shape.classes, &classes, width);
        }
        ensemble.trees.push(read);
    }
    let depth = ensemble.check(&view.path())?;
    let names = attributes::feature_names(view)?;
    let sources = loader.sources(view, given, shape.features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let allows_nan = knows_missing && allows_nan(first, is_forest, version)?;

    let plan = Plan::new(&ensemble, |_, value| value);
    let trees = TreesReport {
        trees: ensemble.trees.len(),
        nodes: ensemble.nodes(),
        max_depth: depth,
        kernel: plan.kernel(),
        bytes: ensemble.bytes().saturating_add(plan.bytes()),
        features: ensemble.uses(Gain::Averaged, sources.iter().map(|source| source.label.as_str())),
    };
    let report = StepReport { trees: Some(trees), ..StepReport::default() };
    let mut targets = if is_classifier {
        Targets::classes(labels.clone(), DataType::Float64)
    } else {
        Targets::numbers(shape.outputs, DataType::Float64)
    };
    let share = if is_forest { 1.0 / ensemble.trees.len() as f64 } else { 1.0 };
    // Several targets of classes stand beside each other with gaps.
    let explains = loader.options.explain && (!is_classifier || labels.len() == 1);
    let explainer = match explains {
        true => Explainer::new(&ensemble, |_, value| value * share, &[], true),
        false => None,
    };
    let landing = loader.lands().then(|| Landing::new(&ensemble, Numbers::Nodes, true));
    let told = Told { shares: explainer.map(Shares::Trees), landing, ..Told::default() };
    let scorer = score::Forest {
        plan,
        divide: is_forest.then_some(ensemble.trees.len() as f64),
        classes: labels.iter().map(Labels::len).collect(),
        stride: shape.classes,
        finite: Finite::new(&class, &sources, allows_nan, true),
    };
    let step = explained(Box::new(scorer), told, &sources, &mut targets);
    Ok(Loaded { step: Step::Predict(step), out: Out::Answers(targets), report })
}

/// More values in a leaf are an attack on memory.
const WIDTH: usize = 1 << 20;

/// What all trees of a forest agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) features: usize,
    pub(super) outputs: usize,
    /// The largest number of classes of an output; 1 for regressions.
    pub(super) classes: usize,
}

impl Shape {
    /// From the arguments of the `Tree` itself: `(n_features, n_classes, n_outputs)`.
    pub(super) fn read(estimator: &View<'_>) -> Result<Self, Error> {
        let tree = estimator.attr("tree_")?;
        if !tree.is("sklearn.tree._tree", "Tree") {
            return Err(tree.expected("a `sklearn.tree._tree.Tree`").into());
        }
        let classes = tree.arg(1)?.array()?.u64s()?;
        let outputs = tree.arg(2)?.as_usize()?;
        if classes.len() != outputs {
            return Err(Error::counts(tree.path(), (classes.len(), "numbers of classes"), (outputs, "outputs")));
        }
        let largest = classes.iter().copied().max().unwrap_or(0);
        let classes = usize::try_from(largest).unwrap_or(usize::MAX);
        Ok(Shape { features: tree.arg(0)?.as_usize()?, outputs, classes })
    }
}

fn labels(view: &View<'_>, outputs: usize) -> Result<Vec<Labels>, Error> {
    let classes = view.attr("classes_")?;
    if outputs == 1 && classes.array().is_ok() {
        return Ok(vec![attributes::labels(&classes)?]);
    }
    let all: Result<Vec<Labels>, Error> = classes.items()?.iter().map(attributes::labels).collect();
    let all = all?;
    if all.len() != outputs {
        return Err(Error::state(view.path(), format!("class labels of {} targets for {outputs}", all.len())));
    }
    Ok(all)
}

/// Values are counts up to 1.3 and fractions from 1.4; files that do not tell the version tell it by their nodes.
fn normalises(version: Option<(u32, u32)>, has_missing: bool) -> bool {
    version.map_or(!has_missing, |version| version < (1, 4))
}

/// Divides the counts of each target by their sum, as `predict_proba` did.
fn normalise(values: &mut [f64], stride: usize, classes: &[usize], width: usize) {
    for leaf in values.chunks_exact_mut(width.max(1)) {
        for (target, count) in leaf.chunks_exact_mut(stride.max(1)).zip(classes) {
            let target = target.get_mut(..*count).unwrap_or_default();
            let sum = pairwise_sum(target);
            if sum != 0.0 {
                target.iter_mut().for_each(|value| *value /= sum);
            }
        }
    }
}

/// Whether the version that wrote the trees lets NaN through at prediction.
pub(super) fn allows_nan(tree: &View<'_>, is_forest: bool, version: Option<(u32, u32)>) -> Result<bool, Error> {
    let Some(version) = version else { return Ok(false) };
    let is_monotonic = some_attr(tree, "monotonic_cst")?.is_some();
    if version < (1, 3) || (is_forest && version < (1, 4)) || (is_monotonic && version < (1, 9)) {
        return Ok(false);
    }
    let splitter = tree.attr("splitter")?;
    let criterion = tree.attr("criterion")?;
    let splitter = splitter.as_str()?;
    let criterion = criterion.as_str()?;
    let is_extra = tree.class().is_some_and(|class| class.name.starts_with("ExtraTree"));
    let splits = if version < (1, 6) { splitter == "best" && !is_extra } else { !is_extra || splitter == "random" };
    let measures = matches!(criterion, "gini" | "log_loss" | "entropy" | "squared_error" | "friedman_mse" | "poisson");
    Ok(splits && (measures || version >= (1, 9)))
}

/// One `Tree`, and whether its nodes know where missing values go.
pub(super) fn read_tree(tree: &View<'_>, width: usize) -> Result<(Tree, bool), Error> {
    let state = tree.state()?;
    let need = |key: &str| -> Result<View<'_>, Error> {
        state.get(key)?.ok_or_else(|| Error::state(tree.path(), format!("`{key}` is missing")))
    };
    let nodes = need("nodes")?.array()?;
    let left = nodes.field("left_child")?.i64s()?;
    let right = nodes.field("right_child")?.i64s()?;
    let feature = nodes.field("feature")?.i64s()?;
    let threshold = nodes.field("threshold")?.f64s()?;
    let impurity = nodes.field("impurity")?.f64s()?;
    let cover = nodes.field("weighted_n_node_samples")?.f64s()?;
    let missing = match nodes.get_field("missing_go_to_left") {
        Some(field) => Some(field.u64s()?),
        None => None,
    };
    let values = need("values")?.array()?.f64s()?;
    let count = left.len();
    if count.checked_mul(width) != Some(values.len()) {
        let message = format!("{} values for {count} nodes of {width}", values.len());
        return Err(Error::state(tree.path(), message));
    }
    let mut out = Tree { nodes: Vec::with_capacity(count), ..Tree::default() };
    let mut leaves = 0u32;
    let rows = left.iter().zip(&right).zip(feature.iter().zip(&threshold)).zip(cover.iter().zip(&impurity));
    let rows = rows.zip(values.chunks_exact(width)).enumerate();
    for (index, ((((left, right), (feature, threshold)), (cover, impurity)), values)) in rows {
        let is_leaf = *left == -1;
        let child = |child: i64| u32::try_from(child).unwrap_or(NONE - 1);
        out.nodes.push(Node {
            left: if is_leaf { NONE } else { child(*left) },
            right: if is_leaf { NONE } else { child(*right) },
            feature: if is_leaf { leaves } else { child(*feature) },
            set: NONE,
            missing_left: missing.as_ref().and_then(|all| all.get(index)).is_some_and(|left| *left != 0),
            threshold: *threshold,
            cover: *cover,
            gain: *impurity,
        });
        if is_leaf {
            leaves = leaves.saturating_add(1);
            out.values.extend_from_slice(values);
        }
    }
    Ok((out, missing.is_some()))
}

/// What runs.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod score {
    use crate::Method;
    use crate::finite::Finite;
    use crate::math::scores::first_largest;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};
    use crate::trees::Plan;

    #[derive(Debug)]
    pub(super) struct Forest {
        pub(super) plan: Plan<f32, f64>,
        /// The number of trees, where they are averaged.
        pub(super) divide: Option<f64>,
        /// The number of classes of each target; empty for regressions.
        pub(super) classes: Vec<usize>,
        /// Columns that each target takes in the sums.
        pub(super) stride: usize,
        pub(super) finite: Finite,
    }

    impl Predict for Forest {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            // NaN is never allowed in a sparse table.
            if matches!(x, Matrix::Csr(_)) && self.finite.allows_nan {
                Finite { allows_nan: false, ..self.finite.clone() }.check(&x, run);
            } else {
                self.finite.check(&x, run);
            }
            // Zero plus a lone tree's value would turn its -0.0 into 0.0.
            let start = if self.divide.is_some() { 0.0 } else { -0.0 };
            let mut sums = self.plan.sum(&x, &vec![start; self.plan.outputs()], 0.0, None);
            if let Some(count) = self.divide {
                sums.iter_mut().flatten().for_each(|sum| *sum /= count);
            }
            if self.classes.is_empty() {
                return Answer::F64(sums);
            }
            let targets = sums.chunks(self.stride).zip(&self.classes);
            if want == Method::Predict {
                return Answer::Class(targets.map(|(sums, count)| first_largest(&sums[..*count], rows)).collect());
            }
            Answer::F64(targets.flat_map(|(sums, count)| sums[..*count].to_vec()).collect())
        }
    }
}
