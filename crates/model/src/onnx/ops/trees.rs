//! Ensembles of trees of `ai.onnx.ml`: plain comparisons go to this crate's kernels, all else is walked node by node.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "nodes are checked before they are walked"
)]

use std::collections::HashMap;

use super::super::proto::Node;
use super::super::tensor::{Context, Data, Fault, Kind, Tensor};
use super::elementwise::numbers;
use super::scores::Post;
use super::tree_scores::{Aggregate, Finish, Sums, Told};
use super::{Classes, Compiled, Operator, input};
use crate::matrix::{Dense, Matrix};
use crate::trees::{self as ir, Ensemble, Gain, NONE, Plan, Rule};
use crate::{Error, TreesReport};

pub(super) const OPERATORS: &[Operator] =
    &[("TreeEnsembleClassifier", |node, _| classifier(node)), ("TreeEnsembleRegressor", |node, _| regressor(node))];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Leaf,
    LessEqual,
    Less,
    GreaterEqual,
    Greater,
    Equal,
    NotEqual,
    /// One of the node's set.
    Member,
}

/// A node as the file has it.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) mode: Mode,
    pub(super) feature: u32,
    pub(super) value: f64,
    pub(super) set: Vec<f64>,
    pub(super) yes: usize,
    pub(super) no: usize,
    pub(super) missing_is_yes: bool,
    /// Targets and weights of a leaf.
    pub(super) weights: Vec<(usize, f64)>,
}

impl Branch {
    fn is_yes(&self, x: f64) -> bool {
        (self.missing_is_yes && x.is_nan())
            || match self.mode {
                Mode::LessEqual => x <= self.value,
                Mode::Less => x < self.value,
                Mode::GreaterEqual => x >= self.value,
                Mode::Greater => x > self.value,
                Mode::Equal => x == self.value,
                Mode::NotEqual => x != self.value,
                Mode::Member => self.set.contains(&x),
                Mode::Leaf => false,
            }
    }
}

/// All trees, the root of each first.
#[derive(Debug)]
pub(super) struct Forest {
    pub(super) trees: Vec<Vec<Branch>>,
    pub(super) targets: usize,
    pub(super) features: usize,
    /// Whether thresholds and weights are of float64.
    pub(super) is_double: bool,
    pub(super) base: Vec<f64>,
}

/// More features are an attack.
pub(super) const FEATURES: i64 = 1 << 22;

fn values(node: &Node<'_>, name: &str) -> Result<(Vec<f64>, bool), Error> {
    match node.tensor(&format!("{name}_as_tensor"))? {
        Some(tensor) => {
            let is_double = tensor.data.kind() == Kind::F64;
            Ok((numbers(&tensor).map_err(|fault| node.error(fault.to_string()))?, is_double))
        }
        None => Ok((node.floats(name).iter().map(|one| f64::from(*one)).collect(), false)),
    }
}

impl Forest {
    fn read(node: &Node<'_>, stem: &str, targets: usize) -> Result<Forest, Error> {
        if targets == 0 {
            return Err(node.error("it has no targets"));
        }
        let (tree_ids, node_ids) = (node.ints("nodes_treeids"), node.ints("nodes_nodeids"));
        let (features, modes) = (node.ints("nodes_featureids"), node.texts("nodes_modes")?);
        let (yes, no) = (node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids"));
        let missing = node.ints("nodes_missing_value_tracks_true");
        let (thresholds, doubles) = values(node, "nodes_values")?;
        let count = tree_ids.len();
        let same = [node_ids.len(), features.len(), modes.len(), yes.len(), no.len(), thresholds.len()];
        if count == 0 || same.iter().any(|one| *one != count) || !(missing.is_empty() || missing.len() == count) {
            return Err(node.error(format!("its lists of {count} nodes are of different lengths")));
        }
        let mut places: HashMap<(i64, i64), (usize, usize)> = HashMap::with_capacity(count);
        let mut numbers: HashMap<i64, usize> = HashMap::new();
        let mut sizes: Vec<usize> = Vec::new();
        for key in tree_ids.iter().copied().zip(node_ids.iter().copied()) {
            let tree = *numbers.entry(key.0).or_insert_with(|| {
                sizes.push(0);
                sizes.len() - 1
            });
            if places.insert(key, (tree, sizes[tree])).is_some() {
                return Err(node.error(format!("tree {}: node {} is there twice", key.0, key.1)));
            }
            sizes[tree] += 1;
        }
        let mut trees: Vec<Vec<Branch>> = sizes.iter().map(|size| Vec::with_capacity(*size)).collect();
        let mut width = 0;
        for at in 0..count {
            let tree = tree_ids[at];
            let mode = match modes[at] {
                "LEAF" => Mode::Leaf,
                "BRANCH_LEQ" => Mode::LessEqual,
                "BRANCH_LT" => Mode::Less,
                "BRANCH_GTE" => Mode::GreaterEqual,
                "BRANCH_GT" => Mode::Greater,
                "BRANCH_EQ" => Mode::Equal,
                "BRANCH_NEQ" => Mode::NotEqual,
                other => {
                    let known = "BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, BRANCH_GT, BRANCH_EQ, BRANCH_NEQ, LEAF";
                    return Err(Error::unsupported(node.place.clone(), other.to_string(), known));
                }
            };
            let child = |id: i64| match mode {
                Mode::Leaf => Ok(0),
                _ => places
                    .get(&(tree, id))
                    .map(|(_, place)| *place)
                    .ok_or_else(|| node.error(format!("tree {tree}: node {}: there is no child {id}", node_ids[at]))),
            };
            let feature = if mode == Mode::Leaf { 0 } else { features[at] };
            if !(0..FEATURES).contains(&feature) {
                return Err(
                    node.error(format!("tree {tree}: node {}: feature {feature} is out of range", node_ids[at]))
                );
            }
            if mode != Mode::Leaf {
                width = width.max(feature as usize + 1);
            }
            let own = numbers.get(&tree).copied().unwrap_or(0);
            trees[own].push(Branch {
                mode,
                feature: feature as u32,
                value: thresholds[at],
                set: Vec::new(),
                yes: child(yes[at])?,
                no: child(no[at])?,
                missing_is_yes: missing.get(at).is_some_and(|flag| *flag != 0),
                weights: Vec::new(),
            });
        }
        let (weights, double_weights) = values(node, &format!("{stem}_weights"))?;
        let [of_trees, of_nodes, ids] = ["treeids", "nodeids", "ids"].map(|name| node.ints(&format!("{stem}_{name}")));
        if [of_trees.len(), of_nodes.len(), ids.len()].iter().any(|one| *one != weights.len()) {
            return Err(node.error("its lists of weights are of different lengths"));
        }
        for (at, weight) in weights.iter().enumerate() {
            let (tree, place) = *places.get(&(of_trees[at], of_nodes[at])).ok_or_else(|| {
                node.error(format!("tree {}: there is no node {} for a weight", of_trees[at], of_nodes[at]))
            })?;
            let target = usize::try_from(ids[at]).ok().filter(|target| *target < targets);
            let target = target.ok_or_else(|| node.error(format!("target {} is out of range", ids[at])))?;
            trees[tree][place].weights.push((target, *weight));
        }
        let (base, _) = values(node, "base_values")?;
        if base.len() > targets {
            return Err(node.error(format!("{} base values for {targets} targets", base.len())));
        }
        Ok(Forest { trees, targets, features: width, is_double: doubles || double_weights, base })
    }

    /// Whether each target gets a sum whatever the row is.
    fn fills_all(&self) -> bool {
        let fills = |target: usize| {
            let has = |node: &Branch| node.mode != Mode::Leaf || node.weights.iter().any(|(own, _)| *own == target);
            self.trees.iter().any(|tree| tree.iter().all(has))
        };
        // Every node is looked at for every target: few have many of both.
        self.targets.saturating_mul(self.trees.iter().map(Vec::len).sum()) <= 1 << 26 && (0..self.targets).all(fills)
    }

    /// The trees as this crate has them; `None` where something in them is not a plain comparison, or where a kernel would
    /// hold far more than the file does.
    fn ensemble(&self) -> Option<Ensemble> {
        let plain = |node: &Branch| !matches!(node.mode, Mode::Equal | Mode::NotEqual | Mode::Member);
        let single = |tree: &Vec<Branch>| {
            let mut targets =
                tree.iter().filter(|node| node.mode == Mode::Leaf).map(|node| match node.weights.as_slice() {
                    [(target, _)] => Some(*target),
                    _ => None,
                });
            let first = targets.next()??;
            targets.all(|target| target == Some(first)).then_some(first)
        };
        let offsets: Option<Vec<usize>> = self.trees.iter().map(single).collect();
        let width = if offsets.is_some() { 1 } else { self.targets };
        let weights: usize = self.trees.iter().flatten().map(|node| node.weights.len() + 1).sum();
        let most = weights.saturating_mul(8).saturating_add(1 << 16);
        let mut held = 0usize;
        let mut trees = Vec::with_capacity(self.trees.len());
        for (number, tree) in self.trees.iter().enumerate() {
            let mut out = ir::Tree {
                nodes: Vec::with_capacity(tree.len()),
                offset: offsets.as_ref().map_or(0, |offsets| offsets[number] as u32),
                ..ir::Tree::default()
            };
            let mut leaves = 0;
            for node in tree {
                if !plain(node) {
                    return None;
                }
                if node.mode == Mode::Leaf {
                    let mut values = vec![0.0; width];
                    let mut seen = vec![false; width];
                    for (target, weight) in &node.weights {
                        let at = if width == 1 { 0 } else { *target };
                        if std::mem::replace(&mut seen[at], true) {
                            return None;
                        }
                        values[at] = *weight;
                    }
                    held = held.saturating_add(width);
                    if held > most {
                        return None;
                    }
                    out.values.extend(values);
                    out.nodes.push(leaf(leaves));
                    leaves += 1;
                } else {
                    out.nodes.push(split(node, self.is_double));
                }
            }
            trees.push(out);
        }
        let rule = Rule::LessEqual;
        Some(Ensemble { trees, width, outputs: self.targets, features: self.features.max(1), rule })
    }

    /// Whether walks end: each node has one parent at most, and the root none.
    fn check(&self, node: &Node<'_>) -> Result<(), Error> {
        for (number, tree) in self.trees.iter().enumerate() {
            let mut has_parent = vec![false; tree.len()];
            has_parent[0] = true;
            for branch in tree.iter().filter(|branch| branch.mode != Mode::Leaf) {
                for child in [branch.yes, branch.no] {
                    if std::mem::replace(&mut has_parent[child], true) {
                        let message = "has two parents".to_string();
                        return Err(Error::Tree { place: node.place.clone(), tree: number, node: child, message });
                    }
                }
            }
        }
        Ok(())
    }

    /// The sums of one row, tree by tree.
    fn walk(&self, row: impl Fn(usize) -> f64, aggregate: Aggregate, sums: &mut [f64], known: &mut [bool]) {
        for tree in &self.trees {
            let mut node = &tree[0];
            while node.mode != Mode::Leaf {
                node = &tree[if node.is_yes(row(node.feature as usize)) { node.yes } else { node.no }];
            }
            for (target, weight) in &node.weights {
                let sum = &mut sums[*target];
                *sum = match aggregate {
                    Aggregate::Min if known[*target] => sum.min(*weight),
                    Aggregate::Max if known[*target] => sum.max(*weight),
                    Aggregate::Min | Aggregate::Max => *weight,
                    _ if self.is_double => *sum + weight,
                    _ => f64::from(*sum as f32 + *weight as f32),
                };
                known[*target] = true;
            }
        }
    }
}

fn leaf(number: usize) -> ir::Node {
    ir::Node {
        left: NONE,
        right: NONE,
        feature: number as u32,
        set: NONE,
        missing_left: false,
        threshold: 0.0,
        cover: 0.0,
        gain: 0.0,
    }
}

/// A comparison as one of `x <= threshold`, in which a missing value goes where it went.
fn split(node: &Branch, is_double: bool) -> ir::Node {
    let below = |value: f64| match (is_double, value) {
        // Nothing is below these.
        (_, f64::NEG_INFINITY) => f64::NAN,
        (true, value) => value.next_down(),
        (false, value) => f64::from((value as f32).next_down()),
    };
    let (threshold, left_is_yes) = match node.mode {
        Mode::Less => (below(node.value), true),
        Mode::GreaterEqual => (below(node.value), false),
        Mode::Greater => (node.value, false),
        _ => (node.value, true),
    };
    let (left, right) = if left_is_yes { (node.yes, node.no) } else { (node.no, node.yes) };
    ir::Node {
        left: left as u32,
        right: right as u32,
        feature: node.feature,
        set: NONE,
        missing_left: node.missing_is_yes == left_is_yes,
        threshold,
        cover: 0.0,
        gain: 0.0,
    }
}

/// How the sums are made.
enum Way {
    Single(Box<Plan<f32, f32>>),
    Double(Box<Plan<f64, f64>>),
    Walk(Aggregate),
}

fn classifier(node: &Node<'_>) -> Result<Compiled, Error> {
    let classes = Classes::of(node, "classlabels_strings", "classlabels_int64s")?;
    let classes =
        classes.filter(|classes| classes.len() > 1).ok_or_else(|| node.error("it names less than two classes"))?;
    let forest = Forest::read(node, "class", classes.len())?;
    let mut targets = forest.trees.iter().flatten().flat_map(|branch| &branch.weights);
    let first = targets.clone().next().map(|(target, _)| *target);
    let single_class = classes.len() == 2 && targets.all(|(target, _)| Some(*target) == first);
    let positive = forest.trees.iter().flatten().flat_map(|branch| &branch.weights).all(|(_, weight)| *weight >= 0.0);
    let post = Post::of(node)?;
    if post == Post::Probit && classes.len() == 2 {
        let known = "NONE, LOGISTIC, SOFTMAX and SOFTMAX_ZERO of two classes";
        return Err(Error::unsupported(node.place.clone(), "post_transform='PROBIT'", known));
    }
    let told = classes.clone();
    let compiled = compile(node, forest, Aggregate::Sum, Finish::Classes { classes, single_class, positive, post })?;
    Ok(Compiled { classes: Some(told), ..compiled })
}

fn regressor(node: &Node<'_>) -> Result<Compiled, Error> {
    let targets = usize::try_from(node.int("n_targets", 1)).unwrap_or(0);
    let most = node.ints("target_ids").len().max(1);
    if targets > most {
        return Err(node.error(format!("{targets} targets for {most} weights")));
    }
    let forest = Forest::read(node, "target", targets)?;
    let (aggregate, trees) = (Aggregate::of(node)?, forest.trees.len());
    compile(node, forest, aggregate, Finish::Regression { aggregate, trees, post: Post::of(node)? })
}

pub(super) fn compile(
    node: &Node<'_>,
    forest: Forest,
    aggregate: Aggregate,
    finish: Finish,
) -> Result<Compiled, Error> {
    forest.check(node)?;
    let ensemble = match aggregate {
        Aggregate::Sum | Aggregate::Average if forest.fills_all() => forest.ensemble(),
        _ => None,
    };
    let count = forest.trees.iter().map(Vec::len).sum();
    let mut report = TreesReport {
        trees: forest.trees.len(),
        nodes: count,
        max_depth: 0,
        kernel: "walk (by node)".to_string(),
        bytes: count.saturating_mul(size_of::<Branch>()),
        features: Vec::new(),
    };
    let way = match ensemble {
        None => Way::Walk(aggregate),
        Some(ensemble) => {
            report.max_depth = ensemble.check(&node.place)?;
            let labels: Vec<String> = (0..ensemble.features).map(|at| format!("feature {at}")).collect();
            report.features = ensemble.uses(Gain::Split, labels.iter().map(String::as_str));
            if forest.is_double {
                let plan = Plan::new(&ensemble, |_, value| value);
                (report.kernel, report.bytes) = (plan.kernel(), plan.bytes());
                Way::Double(Box::new(plan))
            } else {
                let plan = Plan::new(&ensemble, |_, value| value as f32);
                (report.kernel, report.bytes) = (plan.kernel(), plan.bytes());
                Way::Single(Box::new(plan))
            }
        }
    };
    let (targets, features, is_double, base) = (forest.targets, forest.features, forest.is_double, forest.base.clone());
    let walked = matches!(way, Way::Walk(_)).then_some(forest);
    let bytes = report.bytes;
    let kernel = Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        let (rows, columns) = x.rows_and_columns()?;
        if columns < features || is_double != (x.data.kind() == Kind::F64) {
            return Err(if columns < features { Fault::Shape } else { Fault::Type });
        }
        context.room(&[rows, targets])?;
        let (mut sums, mut known) = match (&way, &walked) {
            (Way::Walk(aggregate), Some(forest)) => walk(forest, *aggregate, x, context)?,
            (Way::Single(plan), _) => {
                let sums = plan.sum(&dense(x, columns.max(1))?, &vec![0.0; targets], f32::NAN, None);
                (by_row(&sums, rows), vec![true; rows * targets])
            }
            (Way::Double(plan), _) => {
                let sums = plan.sum(&dense(x, columns.max(1))?, &vec![0.0; targets], f64::NAN, None);
                (by_row(&sums, rows), vec![true; rows * targets])
            }
            _ => return Err(Fault::Absent),
        };
        let mut told = Told::default();
        for (values, known) in sums.chunks_exact_mut(targets).zip(known.chunks_exact_mut(targets)) {
            finish.row(Sums { values, known, narrow: !is_double }, &base, &mut told);
        }
        finish.tensors(rows, told)
    })?;
    Ok(Compiled { trees: Some(report), bytes, ..kernel.predicting() })
}

fn by_row<T: Copy + Into<f64>>(sums: &[Vec<T>], rows: usize) -> Vec<f64> {
    (0..rows).flat_map(|row| sums.iter().map(move |column| column[row].into())).collect()
}

/// A table by column, of at least one.
fn dense(x: &Tensor, least: usize) -> Result<Matrix, Fault> {
    let (rows, columns) = x.rows_and_columns()?;
    let values = numbers(x)?;
    let mut data = vec![0.0; rows.checked_mul(least).ok_or(Fault::Size)?];
    for (row, values) in values.chunks_exact(columns.max(1)).enumerate() {
        values.iter().enumerate().for_each(|(column, value)| data[column * rows + row] = *value);
    }
    // Whole numbers are compared as the float32 that they become.
    if !matches!(x.data, Data::F32(_) | Data::F64(_)) {
        data.iter_mut().for_each(|value| *value = f64::from(*value as f32));
    }
    Ok(Matrix::Dense(Dense { data, rows, cols: least, narrow: false }))
}

fn walk(forest: &Forest, aggregate: Aggregate, x: &Tensor, context: &Context) -> Result<(Vec<f64>, Vec<bool>), Fault> {
    let (rows, columns) = x.rows_and_columns()?;
    context.charge(rows.saturating_mul(forest.trees.len()))?;
    let mut values = numbers(x)?;
    if !forest.is_double {
        values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
    }
    let mut sums = vec![0.0; rows * forest.targets];
    let mut known = vec![false; rows * forest.targets];
    for row in 0..rows {
        let own = row * forest.targets..(row + 1) * forest.targets;
        let of_row = |feature: usize| values[row * columns + feature];
        forest.walk(of_row, aggregate, &mut sums[own.clone()], &mut known[own]);
    }
    Ok((sums, known))
}
