//! The search itself: the trees are walked as the library walks them, nearest branch first, so that of rows as near as the
//! last neighbour the same are taken.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]

use std::ops::Range;

#[derive(Debug, Clone, Copy)]
pub(in crate::families) enum Metric {
    Euclidean,
    Manhattan,
    Chebyshev,
    Minkowski(f64),
    /// The share of features that differ.
    Hamming,
    Canberra,
    /// One minus the cosine of the angle.
    Cosine,
}

impl Metric {
    /// What stands for a distance as long as only its order counts: its power.
    fn reduced(self, differences: impl Iterator<Item = f64>) -> f64 {
        match self {
            Metric::Euclidean => differences.map(|one| one * one).sum(),
            Metric::Manhattan => differences.map(f64::abs).sum(),
            Metric::Chebyshev => differences.map(f64::abs).fold(0.0, f64::max),
            Metric::Minkowski(power) => differences.map(|one| one.abs().powf(power)).sum(),
            // These are not of differences alone.
            Metric::Hamming | Metric::Canberra | Metric::Cosine => f64::NAN,
        }
    }

    /// The same of two rows.
    pub(in crate::families) fn between(self, x: &[f64], y: &[f64]) -> f64 {
        let pairs = x.iter().zip(y);
        match self {
            Metric::Hamming => pairs.filter(|(x, y)| x != y).count() as f64 / x.len() as f64,
            Metric::Canberra => {
                let part = |(x, y): (&f64, &f64)| {
                    let sum = x.abs() + y.abs();
                    if sum > 0.0 { (x - y).abs() / sum } else { 0.0 }
                };
                pairs.map(part).sum()
            }
            Metric::Cosine => {
                let length = |row: &[f64]| {
                    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
                    if length == 0.0 { 1.0 } else { length }
                };
                let product: f64 = pairs.map(|(x, y)| x * y).sum();
                (1.0 - product / (length(x) * length(y))).clamp(0.0, 2.0)
            }
            _ => self.reduced(pairs.map(|(x, y)| x - y)),
        }
    }

    pub(in crate::families) fn distance(self, reduced: f64) -> f64 {
        match self {
            Metric::Euclidean => reduced.sqrt(),
            Metric::Minkowski(power) => reduced.powf(1.0 / power),
            _ => reduced,
        }
    }

    fn reduce(self, distance: f64) -> f64 {
        match self {
            Metric::Euclidean => distance * distance,
            Metric::Minkowski(power) => distance.powf(power),
            _ => distance,
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
            let centre = metric.distance(metric.between(point, low));
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

/// The rows of a training.
#[derive(Debug)]
pub(in crate::families) struct Training {
    /// One after the other.
    pub(in crate::families) points: Vec<f64>,
    pub(in crate::families) features: usize,
    pub(in crate::families) metric: Metric,
    pub(super) tree: Option<Tree>,
    /// How the library sorts what it found.
    pub(super) by_quicksort: bool,
}

impl Training {
    /// How many rows there are.
    pub(in crate::families) fn count(&self) -> usize {
        self.points.len() / self.features
    }

    pub(in crate::families) fn row(&self, row: usize) -> &[f64] {
        &self.points[row * self.features..(row + 1) * self.features]
    }

    fn reduced(&self, point: &[f64], row: usize) -> f64 {
        self.metric.between(point, self.row(row))
    }

    /// The nearest rows in the order of their distances, which are reduced.
    pub(in crate::families) fn nearest(&self, point: &[f64], count: usize) -> Vec<(f64, usize)> {
        let mut heap = Heap::new(count);
        match &self.tree {
            None => (0..self.count()).for_each(|row| heap.push(self.reduced(point, row), row)),
            Some(tree) => {
                let mut open = vec![(0, tree.bound(0, point, self.metric))];
                while let Some((node, bound)) = open.pop() {
                    if bound > heap.farthest() {
                        continue;
                    }
                    if tree.nodes[node].is_leaf {
                        let rows = &tree.rows[tree.nodes[node].rows.clone()];
                        rows.iter().for_each(|row| heap.push(self.reduced(point, *row), *row));
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

    /// All rows that are not farther than this, with their reduced distances, in no order.
    pub(in crate::families) fn within(&self, point: &[f64], radius: f64) -> Vec<(f64, usize)> {
        let most = self.metric.reduce(radius);
        let near = |row: usize| Some((self.reduced(point, row), row)).filter(|(reduced, _)| *reduced <= most);
        let Some(tree) = &self.tree else { return (0..self.count()).filter_map(near).collect() };
        let (mut found, mut open) = (Vec::new(), vec![0]);
        while let Some(node) = open.pop() {
            if tree.bound(node, point, self.metric) > most {
                continue;
            }
            if tree.nodes[node].is_leaf {
                found.extend(tree.rows[tree.nodes[node].rows.clone()].iter().filter_map(|row| near(*row)));
            } else {
                open.extend([2 * node + 2, 2 * node + 1]);
            }
        }
        found
    }
}
