//! Rows of a training and what is near to them: the tables, trees and metrics that estimators of neighbours keep.

mod metric;
mod search;
mod sparse;

use foretell_pickle::{Entry, State, View};

pub(in crate::families) use metric::Metric;
pub(in crate::families) use search::Training;
use search::{Node, Tree};
use sparse::Sparse;

use crate::Error;
use crate::attributes::{some_attr, version};
use crate::families::shared::sparse::sparse_rows;

/// Cython's classes bring any state or none.
const ANY: State = State::DICT.or(State::TUPLE).or(State::EMPTY).or(State::SLOTS);

/// What files name of trees and metrics.
pub(in crate::families) const ENTRIES: &[Entry] = &[
    Entry::class("sklearn.metrics._dist_metrics", "CanberraDistance").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "CanberraDistance64").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "ChebyshevDistance").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "ChebyshevDistance64").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "EuclideanDistance").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "EuclideanDistance64").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "HammingDistance").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "HammingDistance64").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "ManhattanDistance").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "ManhattanDistance64").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "MinkowskiDistance").with_state(ANY),
    Entry::class("sklearn.metrics._dist_metrics", "MinkowskiDistance64").with_state(ANY),
    Entry::class("sklearn.neighbors._ball_tree", "BallTree").with_state(ANY),
    Entry::class("sklearn.neighbors._ball_tree", "BinaryTree").with_state(ANY),
    Entry::class("sklearn.neighbors._dist_metrics", "CanberraDistance").with_state(ANY),
    Entry::class("sklearn.neighbors._dist_metrics", "ChebyshevDistance").with_state(ANY),
    Entry::class("sklearn.neighbors._dist_metrics", "EuclideanDistance").with_state(ANY),
    Entry::class("sklearn.neighbors._dist_metrics", "HammingDistance").with_state(ANY),
    Entry::class("sklearn.neighbors._dist_metrics", "ManhattanDistance").with_state(ANY),
    Entry::class("sklearn.neighbors._dist_metrics", "MinkowskiDistance").with_state(ANY),
    Entry::class("sklearn.neighbors._kd_tree", "BinaryTree").with_state(ANY),
    Entry::class("sklearn.neighbors._kd_tree", "KDTree").with_state(ANY),
    Entry::class("sklearn.neighbors.ball_tree", "BallTree").with_state(ANY),
    Entry::class("sklearn.neighbors.ball_tree", "BinaryTree").with_state(ANY),
    Entry::class("sklearn.neighbors.dist_metrics", "CanberraDistance").with_state(ANY),
    Entry::class("sklearn.neighbors.dist_metrics", "ChebyshevDistance").with_state(ANY),
    Entry::class("sklearn.neighbors.dist_metrics", "EuclideanDistance").with_state(ANY),
    Entry::class("sklearn.neighbors.dist_metrics", "HammingDistance").with_state(ANY),
    Entry::class("sklearn.neighbors.dist_metrics", "ManhattanDistance").with_state(ANY),
    Entry::class("sklearn.neighbors.dist_metrics", "MinkowskiDistance").with_state(ANY),
    Entry::class("sklearn.neighbors.kd_tree", "BinaryTree").with_state(ANY),
    Entry::class("sklearn.neighbors.kd_tree", "KDTree").with_state(ANY),
    Entry::function("sklearn.metrics._dist_metrics", "newObj").with_state(ANY),
    Entry::function("sklearn.neighbors._ball_tree", "newObj").with_state(ANY),
    Entry::function("sklearn.neighbors._dist_metrics", "newObj").with_state(ANY),
    Entry::function("sklearn.neighbors._kd_tree", "newObj").with_state(ANY),
    Entry::function("sklearn.neighbors.ball_tree", "newObj").with_state(ANY),
    Entry::function("sklearn.neighbors.dist_metrics", "newObj").with_state(ANY),
    Entry::function("sklearn.neighbors.kd_tree", "newObj").with_state(ANY),
];

/// From this version on neighbours that are as far as each other are in another order.
const SORTED: (u32, u32) = (1, 9);

/// The rows that a fitted estimator keeps.
pub(in crate::families) fn training(view: &View<'_>) -> Result<Training, Error> {
    let metric = metric(view)?;
    let training = view.attr("_fit_X")?;
    let Ok(array) = training.array() else {
        return Err(Error::unsupported(training.path(), "a sparse training table", "a dense one"));
    };
    let [count, features] = array.dims()?;
    if count == 0 || features == 0 {
        return Err(Error::state(view.path(), format!("{count} rows of {features} features")));
    }
    let points = array.f64s()?;
    let tree = match some_attr(view, "_tree")? {
        Some(tree) => Some(read_tree(&tree, count, features)?),
        None => None,
    };
    Ok(Training { points, features, metric, tree, sparse: None, by_quicksort: by_quicksort(view)? })
}

/// The same, also where the rows are a sparse table.
pub(in crate::families) fn any_training(view: &View<'_>) -> Result<Training, Error> {
    let kept = view.attr("_fit_X")?;
    if kept.array().is_ok() {
        return training(view);
    }
    let metric = metric(view)?;
    let (rows, features) = sparse_rows(&kept)?;
    if rows.is_empty() || features == 0 {
        return Err(Error::state(view.path(), format!("{} rows of {features} features", rows.len())));
    }
    if !matches!(metric, Metric::Euclidean | Metric::Manhattan | Metric::Cosine) {
        let supported = "euclidean, manhattan, cosine";
        return Err(Error::unsupported(kept.path(), "this metric of a sparse training table", supported));
    }
    let sparse = Some(Sparse::new(&rows, metric));
    Ok(Training { points: Vec::new(), features, metric, tree: None, sparse, by_quicksort: by_quicksort(view)? })
}

fn by_quicksort(view: &View<'_>) -> Result<bool, Error> {
    Ok(version(view)?.is_none_or(|version| version < SORTED))
}

/// The metric that an estimator was given, or made of it.
pub(in crate::families) fn metric(view: &View<'_>) -> Result<Metric, Error> {
    let name = match some_attr(view, "effective_metric_")? {
        Some(name) => name,
        None => view.attr("metric")?,
    };
    let parameters = some_attr(view, "effective_metric_params_")?;
    let power = parameters.as_ref().map(|parameters| parameters.get("p")).transpose()?.flatten();
    let weighted =
        parameters.as_ref().map(|parameters| parameters.get("w")).transpose()?.flatten().and_then(View::some);
    let supported = "euclidean, manhattan, chebyshev, minkowski without weights, hamming, canberra, cosine";
    if let Some(weighted) = weighted {
        return Err(Error::unsupported(weighted.path(), "a weighted metric", supported));
    }
    Ok(match name.as_str().unwrap_or("a function") {
        "euclidean" | "l2" => Metric::Euclidean,
        "manhattan" | "l1" | "cityblock" => Metric::Manhattan,
        "chebyshev" | "infinity" => Metric::Chebyshev,
        "minkowski" => match power.map(|power| power.as_f64()).transpose()? {
            None => Metric::Euclidean,
            Some(1.0) => Metric::Manhattan,
            Some(2.0) => Metric::Euclidean,
            Some(power) if power.is_infinite() => Metric::Chebyshev,
            Some(power) if power >= 1.0 => Metric::Minkowski(power),
            Some(power) => return Err(Error::unsupported(name.path(), format!("p={power}"), "1 and above")),
        },
        "hamming" => Metric::Hamming,
        "canberra" => Metric::Canberra,
        "cosine" => Metric::Cosine,
        other => return Err(Error::unsupported(name.path(), format!("the metric {other}"), supported)),
    })
}

/// The tree that the library built: its state is a tuple.
fn read_tree(view: &View<'_>, count: usize, features: usize) -> Result<Tree, Error> {
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
        tree.push(Node { rows: *start..*end, is_leaf, radius: radii.get(index).copied().unwrap_or(0.0) });
    }
    if tree.is_empty() {
        return Err(wrong("the tree has no node"));
    }
    Ok(Tree { is_ball, rows, nodes: tree, bounds })
}
