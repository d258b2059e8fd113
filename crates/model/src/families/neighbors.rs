//! `KNeighborsClassifier` and `KNeighborsRegressor`: what the nearest rows of the training were.
//!
//! The trees of the file are walked as the library walks them, nearest branch first, so that of rows as near as the last
//! neighbour the same are taken. Without a tree the rows are gone through in their order; there the library's distances
//! are sums of products that go through BLAS, and of rows that are nearly as near another may be taken.

use arrow_schema::DataType;
use foretell_pickle::{Entry, Kind, State, View};

use crate::attributes::{self, feature_names, some_attr, version, word};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

/// Cython's classes bring any state or none.
const ANY: State = State::DICT.or(State::TUPLE).or(State::EMPTY).or(State::SLOTS);

pub(crate) const FAMILY: Family = Family {
    name: "nearest neighbours",
    classes: &[
        ("sklearn.neighbors._classification", "KNeighborsClassifier"),
        ("sklearn.neighbors._regression", "KNeighborsRegressor"),
        ("sklearn.neighbors.classification", "KNeighborsClassifier"),
        ("sklearn.neighbors.regression", "KNeighborsRegressor"),
    ],
    globals: &[
        Entry::class("sklearn.metrics._dist_metrics", "ChebyshevDistance").with_state(ANY),
        Entry::class("sklearn.metrics._dist_metrics", "ChebyshevDistance64").with_state(ANY),
        Entry::class("sklearn.metrics._dist_metrics", "EuclideanDistance").with_state(ANY),
        Entry::class("sklearn.metrics._dist_metrics", "EuclideanDistance64").with_state(ANY),
        Entry::class("sklearn.metrics._dist_metrics", "ManhattanDistance").with_state(ANY),
        Entry::class("sklearn.metrics._dist_metrics", "ManhattanDistance64").with_state(ANY),
        Entry::class("sklearn.metrics._dist_metrics", "MinkowskiDistance").with_state(ANY),
        Entry::class("sklearn.metrics._dist_metrics", "MinkowskiDistance64").with_state(ANY),
        Entry::function("sklearn.metrics._dist_metrics", "newObj").with_state(ANY),
        Entry::class("sklearn.neighbors._ball_tree", "BallTree").with_state(ANY),
        Entry::class("sklearn.neighbors._ball_tree", "BinaryTree").with_state(ANY),
        Entry::function("sklearn.neighbors._ball_tree", "newObj").with_state(ANY),
        Entry::class("sklearn.neighbors._dist_metrics", "ChebyshevDistance").with_state(ANY),
        Entry::class("sklearn.neighbors._dist_metrics", "EuclideanDistance").with_state(ANY),
        Entry::class("sklearn.neighbors._dist_metrics", "ManhattanDistance").with_state(ANY),
        Entry::class("sklearn.neighbors._dist_metrics", "MinkowskiDistance").with_state(ANY),
        Entry::function("sklearn.neighbors._dist_metrics", "newObj").with_state(ANY),
        Entry::class("sklearn.neighbors._kd_tree", "BinaryTree").with_state(ANY),
        Entry::class("sklearn.neighbors._kd_tree", "KDTree").with_state(ANY),
        Entry::function("sklearn.neighbors._kd_tree", "newObj").with_state(ANY),
        Entry::class("sklearn.neighbors.ball_tree", "BallTree").with_state(ANY),
        Entry::class("sklearn.neighbors.ball_tree", "BinaryTree").with_state(ANY),
        Entry::function("sklearn.neighbors.ball_tree", "newObj").with_state(ANY),
        Entry::class("sklearn.neighbors.dist_metrics", "ChebyshevDistance").with_state(ANY),
        Entry::class("sklearn.neighbors.dist_metrics", "EuclideanDistance").with_state(ANY),
        Entry::class("sklearn.neighbors.dist_metrics", "ManhattanDistance").with_state(ANY),
        Entry::class("sklearn.neighbors.dist_metrics", "MinkowskiDistance").with_state(ANY),
        Entry::function("sklearn.neighbors.dist_metrics", "newObj").with_state(ANY),
        Entry::class("sklearn.neighbors.kd_tree", "BinaryTree").with_state(ANY),
        Entry::class("sklearn.neighbors.kd_tree", "KDTree").with_state(ANY),
        Entry::function("sklearn.neighbors.kd_tree", "newObj").with_state(ANY),
    ],
    load,
};

/// From this version on neighbours that are as far as each other are in another order.
const SORTED: (u32, u32) = (1, 9);

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let metric = metric(view)?;
    let training = view.attr("_fit_X")?;
    let Ok(array) = training.array() else {
        return Err(Error::unsupported(training.path(), "a sparse training table", "a dense one"));
    };
    let [count, features] = array.dims()?;
    let neighbours = view.attr("n_neighbors")?.as_usize()?;
    if count == 0 || features == 0 || neighbours == 0 || neighbours > count {
        let message = format!("{neighbours} neighbours among {count} rows of {features} features");
        return Err(Error::state(view.path(), message));
    }
    let by_distance = match word(view, "weights", "uniform") {
        Ok("uniform") => false,
        Ok("distance") => true,
        _ => return Err(Error::unsupported(view.path(), "such weights", "uniform, distance")),
    };
    let points = array.f64s()?;
    let tree = match some_attr(view, "_tree")? {
        Some(tree) => Some(read_tree(&tree, count, features)?),
        None => None,
    };
    if tree.is_none() && array.dtype().kind == Kind::Float && array.dtype().size == 4 {
        // How near a row is would be decided in float32, in an order that is the processor's.
        return Err(Error::unsupported(training.path(), "a training in float32", "one in float64"));
    }
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(points.len().saturating_mul(8));
    let (form, targets) = if class == "KNeighborsRegressor" {
        let values = columns(&view.attr("_y")?, count)?;
        let targets = Targets::numbers(values.len(), DataType::Float64);
        (run::Form::Numbers(values), targets)
    } else {
        let several = attributes::flag(view, "outputs_2d_", false)?;
        let by_target = view.attr("classes_")?;
        let by_target = if several { by_target.items()? } else { vec![by_target] };
        let labels = by_target.iter().map(attributes::labels).collect::<Result<Vec<_>, _>>()?;
        let codes = columns(&view.attr("_y")?, count)?;
        if labels.len() != codes.len() {
            return Err(Error::counts(view.path(), (codes.len(), "targets"), (labels.len(), "lists of classes")));
        }
        let mut classes = Vec::with_capacity(labels.len());
        for (labels, codes) in labels.iter().zip(codes) {
            let code = |code: &f64| (*code >= 0.0 && *code < labels.len() as f64).then_some(*code as u32);
            let codes: Option<Vec<u32>> = codes.iter().map(code).collect();
            classes.push((codes.ok_or_else(|| Error::out_of_range(view.path(), "a class"))?, labels.len()));
        }
        (run::Form::Classes(classes), Targets::classes(labels, DataType::Float64))
    };
    let finite = Finite::new(&class, &sources, false, false);
    let by_quicksort = version(view)?.is_none_or(|version| version < SORTED);
    let step = run::Neighbours { points, features, metric, tree, neighbours, by_distance, by_quicksort, form, finite };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// A column for each target.
fn columns(view: &View<'_>, count: usize) -> Result<Vec<Vec<f64>>, Error> {
    let array = view.array()?;
    let width = match *array.shape() {
        [rows] if rows == count => 1,
        [rows, width] if rows == count && width > 0 => width,
        _ => return Err(Error::state(view.path(), format!("targets of other rows than the {count} of training"))),
    };
    let all = array.f64s()?;
    Ok((0..width).map(|target| all.iter().skip(target).step_by(width).copied().collect()).collect())
}

fn metric(view: &View<'_>) -> Result<run::Metric, Error> {
    let name = match some_attr(view, "effective_metric_")? {
        Some(name) => name,
        None => view.attr("metric")?,
    };
    let parameters = some_attr(view, "effective_metric_params_")?;
    let power = parameters.as_ref().map(|parameters| parameters.get("p")).transpose()?.flatten();
    let weighted =
        parameters.as_ref().map(|parameters| parameters.get("w")).transpose()?.flatten().and_then(View::some);
    let supported = "euclidean, manhattan, chebyshev, minkowski without weights";
    if let Some(weighted) = weighted {
        return Err(Error::unsupported(weighted.path(), "a weighted metric", supported));
    }
    Ok(match name.as_str().unwrap_or("a function") {
        "euclidean" | "l2" => run::Metric::Euclidean,
        "manhattan" | "l1" | "cityblock" => run::Metric::Manhattan,
        "chebyshev" | "infinity" => run::Metric::Chebyshev,
        "minkowski" => match power.map(|power| power.as_f64()).transpose()? {
            None => run::Metric::Euclidean,
            Some(1.0) => run::Metric::Manhattan,
            Some(2.0) => run::Metric::Euclidean,
            Some(power) if power.is_infinite() => run::Metric::Chebyshev,
            Some(power) if power >= 1.0 => run::Metric::Minkowski(power),
            Some(power) => return Err(Error::unsupported(name.path(), format!("p={power}"), "1 and above")),
        },
        other => return Err(Error::unsupported(name.path(), format!("the metric {other}"), supported)),
    })
}

/// The tree that the library built: its state is a tuple.
fn read_tree(view: &View<'_>, count: usize, features: usize) -> Result<run::Tree, Error> {
    let is_ball = view.class().is_some_and(|class| class.module.contains("ball_tree"));
    let state = view.state()?;
    let wrong = |what: &str| Error::state(view.path(), what.to_string());
    let rows: Option<Vec<usize>> =
        state.item(1)?.array()?.u64s()?.into_iter().map(|row| usize::try_from(row).ok()).collect();
    let rows = rows.filter(|rows| rows.len() == count && rows.iter().all(|row| *row < count));
    let rows = rows.ok_or_else(|| wrong("the tree's rows are not those of training"))?;
    let nodes = state.item(2)?.array()?;
    let places = |name: &str| -> Result<Vec<usize>, Error> {
        Ok(nodes.field(name)?.i64s()?.into_iter().map(|one| usize::try_from(one).unwrap_or(usize::MAX)).collect())
    };
    let (starts, ends, leaves) = (places("idx_start")?, places("idx_end")?, nodes.field("is_leaf")?.i64s()?);
    let radii = nodes.field("radius")?.f64s()?;
    let bounds = state.item(3)?.array()?;
    let expected = [if is_ball { 1 } else { 2 }, starts.len(), features];
    if bounds.shape() != expected {
        return Err(wrong("the tree's bounds have another shape"));
    }
    let bounds = bounds.f64s()?;
    let mut tree = Vec::with_capacity(starts.len());
    for (index, ((start, end), leaf)) in starts.iter().zip(&ends).zip(&leaves).enumerate() {
        let below = index.saturating_mul(2).saturating_add(2);
        let is_leaf = *leaf != 0;
        if *start > *end || *end > count || (!is_leaf && below >= starts.len()) {
            return Err(Error::out_of_range(view.path(), format!("node {index}")));
        }
        tree.push(run::Node { rows: *start..*end, is_leaf, radius: radii.get(index).copied().unwrap_or(0.0) });
    }
    if tree.is_empty() {
        return Err(wrong("the tree has no node"));
    }
    Ok(run::Tree { is_ball, rows, nodes: tree, bounds })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use std::ops::Range;

    use crate::Method;
    use crate::finite::Finite;
    use crate::math::scores::{self, pairwise_sum};
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Metric {
        Euclidean,
        Manhattan,
        Chebyshev,
        Minkowski(f64),
    }

    impl Metric {
        /// What stands for a distance as long as only its order counts: its power.
        fn reduced(self, differences: impl Iterator<Item = f64>) -> f64 {
            match self {
                Metric::Euclidean => differences.map(|one| one * one).sum(),
                Metric::Manhattan => differences.map(f64::abs).sum(),
                Metric::Chebyshev => differences.map(f64::abs).fold(0.0, f64::max),
                Metric::Minkowski(power) => differences.map(|one| one.abs().powf(power)).sum(),
            }
        }

        fn distance(self, reduced: f64) -> f64 {
            match self {
                Metric::Euclidean => reduced.sqrt(),
                Metric::Manhattan | Metric::Chebyshev => reduced,
                Metric::Minkowski(power) => reduced.powf(1.0 / power),
            }
        }

        fn reduce(self, distance: f64) -> f64 {
            match self {
                Metric::Euclidean => distance * distance,
                Metric::Manhattan | Metric::Chebyshev => distance,
                Metric::Minkowski(power) => distance.powf(power),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Node {
        /// Which of the tree's rows are below it.
        pub(super) rows: Range<usize>,
        pub(super) is_leaf: bool,
        pub(super) radius: f64,
    }

    /// A tree whose node `i` has the nodes `2i + 1` and `2i + 2` below it.
    #[derive(Debug)]
    pub(super) struct Tree {
        /// Whether a node is a ball, or a box.
        pub(super) is_ball: bool,
        pub(super) rows: Vec<usize>,
        pub(super) nodes: Vec<Node>,
        /// By node and feature the centre; or the lower bounds, and then the upper ones.
        pub(super) bounds: Vec<f64>,
    }

    impl Tree {
        /// How near a row below a node can be at most.
        fn bound(&self, node: usize, point: &[f64], metric: Metric) -> f64 {
            let features = point.len();
            let low = &self.bounds[node * features..(node + 1) * features];
            if self.is_ball {
                let centre = metric.distance(metric.reduced(point.iter().zip(low).map(|(x, c)| x - c)));
                return metric.reduce((centre - self.nodes[node].radius).max(0.0));
            }
            let high = &self.bounds[(self.nodes.len() + node) * features..][..features];
            let outside = point.iter().zip(low.iter().zip(high)).map(|(x, (low, high))| {
                let (below, above) = (low - x, x - high);
                // One of them is negative, and goes away with its absolute value.
                0.5 * ((below + below.abs()) + (above + above.abs()))
            });
            metric.reduced(outside)
        }
    }

    /// The nearest rows so far, the farthest of them on top.
    struct Heap {
        distances: Vec<f64>,
        rows: Vec<usize>,
    }

    impl Heap {
        fn new(count: usize) -> Self {
            Heap { distances: vec![f64::INFINITY; count], rows: vec![0; count] }
        }

        fn farthest(&self) -> f64 {
            self.distances[0]
        }

        /// In the library's order of comparisons, so that of rows as near as each other the same stay.
        fn push(&mut self, distance: f64, row: usize) {
            // What is not a number is as far as nothing.
            if distance >= self.distances[0] || distance.is_nan() {
                return;
            }
            let (mut at, size) = (0, self.distances.len());
            loop {
                let (left, right) = (2 * at + 1, 2 * at + 2);
                let larger = if left >= size {
                    break;
                } else if right >= size || self.distances[left] >= self.distances[right] {
                    left
                } else {
                    right
                };
                if distance >= self.distances[larger] {
                    break;
                }
                self.distances[at] = self.distances[larger];
                self.rows[at] = self.rows[larger];
                at = larger;
            }
            self.distances[at] = distance;
            self.rows[at] = row;
        }

        /// By distance; rows as far as each other in the order in which the library has them.
        fn sorted(self, by_quicksort: bool) -> Vec<(f64, usize)> {
            let mut all: Vec<(f64, usize)> = self.distances.into_iter().zip(self.rows).collect();
            if by_quicksort {
                quicksort(&mut all);
            } else {
                all.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
            all
        }
    }

    /// Around the median of the first, middle and last distance, which stands at the end until the others are parted.
    fn quicksort(all: &mut [(f64, usize)]) {
        let mut open = vec![(0, all.len())];
        while let Some((start, end)) = open.pop() {
            let part = &mut all[start..end];
            let last = part.len().saturating_sub(1);
            let order = |part: &mut [(f64, usize)], a: usize, b: usize| {
                let swaps = part[a].0 > part[b].0;
                if swaps {
                    part.swap(a, b);
                }
                swaps
            };
            if part.len() <= 3 {
                if last >= 1 {
                    order(part, 0, 1);
                }
                if last == 2 && order(part, 1, 2) {
                    order(part, 0, 1);
                }
                continue;
            }
            order(part, 0, last);
            if order(part, last, part.len() / 2) {
                order(part, 0, last);
            }
            let (pivot, mut smaller) = (part[last].0, 0);
            for index in 0..last {
                if part[index].0 < pivot {
                    part.swap(index, smaller);
                    smaller += 1;
                }
            }
            part.swap(smaller, last);
            open.extend([(start, start + smaller), (start + smaller + 1, end)]);
        }
    }

    #[derive(Debug)]
    pub(super) enum Form {
        /// By target, the number of each row of training.
        Numbers(Vec<Vec<f64>>),
        /// By target, the class of each row of training, and how many classes there are.
        Classes(Vec<(Vec<u32>, usize)>),
    }

    #[derive(Debug)]
    pub(super) struct Neighbours {
        /// The rows of training, one after the other.
        pub(super) points: Vec<f64>,
        pub(super) features: usize,
        pub(super) metric: Metric,
        pub(super) tree: Option<Tree>,
        pub(super) neighbours: usize,
        /// Whether a nearer row counts more.
        pub(super) by_distance: bool,
        /// How the library sorts what it found.
        pub(super) by_quicksort: bool,
        pub(super) form: Form,
        pub(super) finite: Finite,
    }

    impl Neighbours {
        fn nearest(&self, point: &[f64]) -> Vec<(f64, usize)> {
            let mut heap = Heap::new(self.neighbours);
            let reduced = |row: usize| {
                let of_row = &self.points[row * self.features..(row + 1) * self.features];
                self.metric.reduced(point.iter().zip(of_row).map(|(x, y)| x - y))
            };
            match &self.tree {
                None => (0..self.points.len() / self.features).for_each(|row| heap.push(reduced(row), row)),
                Some(tree) => {
                    let mut open = vec![(0, tree.bound(0, point, self.metric))];
                    while let Some((node, bound)) = open.pop() {
                        if bound > heap.farthest() {
                            continue;
                        }
                        if tree.nodes[node].is_leaf {
                            let rows = &tree.rows[tree.nodes[node].rows.clone()];
                            rows.iter().for_each(|row| heap.push(reduced(*row), *row));
                            continue;
                        }
                        let [left, right] = [2 * node + 1, 2 * node + 2];
                        let bounds = [left, right].map(|node| (node, tree.bound(node, point, self.metric)));
                        let [left, right] = bounds;
                        // The nearer one is looked at first: it is put on top.
                        let order = if left.1 <= right.1 { [right, left] } else { [left, right] };
                        open.extend(order);
                    }
                }
            }
            heap.sorted(self.by_quicksort)
        }

        /// How much each neighbour counts.
        fn weights(&self, nearest: &[(f64, usize)]) -> Vec<f64> {
            if !self.by_distance {
                return vec![1.0; nearest.len()];
            }
            let distances = nearest.iter().map(|(reduced, _)| self.metric.distance(*reduced));
            if nearest.iter().any(|(reduced, _)| *reduced == 0.0) {
                return distances.map(|distance| f64::from(u8::from(distance == 0.0))).collect();
            }
            distances.map(|distance| 1.0 / distance).collect()
        }

        fn numbers(&self, values: &[Vec<f64>], nearest: &[(f64, usize)], weights: &[f64]) -> Vec<f64> {
            let mean = |values: &Vec<f64>| {
                let of_rows = nearest.iter().map(|(_, row)| values[*row]);
                if !self.by_distance {
                    return pairwise_sum(&of_rows.collect::<Vec<f64>>()) / nearest.len() as f64;
                }
                let weighted: Vec<f64> = of_rows.zip(weights).map(|(value, weight)| value * weight).collect();
                pairwise_sum(&weighted) / pairwise_sum(weights)
            };
            values.iter().map(mean).collect()
        }
    }

    /// How much each class weighs.
    fn votes(codes: &[u32], count: usize, nearest: &[(f64, usize)], weights: &[f64]) -> Vec<f64> {
        let mut votes = vec![0.0; count];
        for ((_, row), weight) in nearest.iter().zip(weights) {
            votes[codes[*row] as usize] += weight;
        }
        votes
    }

    impl Predict for Neighbours {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let rows = x.rows();
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
            let mut columns: Vec<Vec<f64>> = Vec::new();
            let mut point = vec![0.0; self.features];
            for at in 0..rows {
                point.iter_mut().enumerate().for_each(|(col, value)| *value = x.data[col * rows + at]);
                let nearest = self.nearest(&point);
                let weights = self.weights(&nearest);
                let of_row: Vec<f64> = match &self.form {
                    Form::Numbers(values) => self.numbers(values, &nearest, &weights),
                    Form::Classes(targets) => {
                        let of_target = |(codes, count): &(Vec<u32>, usize)| {
                            let votes = votes(codes, *count, &nearest, &weights);
                            if want == Method::Proba {
                                let sum = pairwise_sum(&votes);
                                let sum = if sum == 0.0 { 1.0 } else { sum };
                                return votes.into_iter().map(|vote| vote / sum).collect();
                            }
                            let columns: Vec<Vec<f64>> = votes.into_iter().map(|vote| vec![vote]).collect();
                            vec![f64::from(scores::first_largest(&columns, 1)[0])]
                        };
                        targets.iter().flat_map(of_target).collect()
                    }
                };
                columns.resize_with(of_row.len(), Vec::new);
                columns.iter_mut().zip(of_row).for_each(|(column, value)| column.push(value));
            }
            if rows == 0 {
                let width = match &self.form {
                    Form::Numbers(values) => values.len(),
                    Form::Classes(targets) if want == Method::Proba => targets.iter().map(|(_, count)| count).sum(),
                    Form::Classes(targets) => targets.len(),
                };
                columns.resize_with(width, Vec::new);
            }
            match &self.form {
                Form::Classes(_) if want != Method::Proba => {
                    let codes = |column: Vec<f64>| column.into_iter().map(|code| code as u32).collect();
                    Answer::Class(columns.into_iter().map(codes).collect())
                }
                _ => Answer::F64(columns),
            }
        }
    }
}
