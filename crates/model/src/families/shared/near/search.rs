//! The search itself: the trees are walked as the library walks them, nearest branch first, so that of rows as near as the
//! last neighbour the same are taken.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]

use std::ops::Range;

use super::metric::Metric;
use super::sparse::Sparse;

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
    /// The rows, where they are a sparse table: then `points` has none.
    pub(super) sparse: Option<Sparse>,
    /// How the library sorts what it found.
    pub(super) by_quicksort: bool,
}

impl Training {
    /// How many rows there are.
    pub(in crate::families) fn count(&self) -> usize {
        match &self.sparse {
            Some(sparse) => sparse.count(),
            None => self.points.len() / self.features,
        }
    }

    /// About how many bytes the rows take.
    pub(in crate::families) fn bytes(&self) -> usize {
        match &self.sparse {
            Some(sparse) => sparse.bytes(),
            None => self.points.len().saturating_mul(8),
        }
    }

    /// Whether the library takes sparse rows: its trees do not.
    pub(in crate::families) fn takes_sparse(&self) -> bool {
        self.tree.is_none()
    }

    /// The reduced distance of each row, in their order.
    fn of_all(&self, point: &[f64]) -> Vec<f64> {
        match &self.sparse {
            Some(sparse) => sparse.reduced(point, self.metric),
            None => (0..self.count()).map(|row| self.reduced(point, row)).collect(),
        }
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
            None => self.of_all(point).into_iter().enumerate().for_each(|(row, reduced)| heap.push(reduced, row)),
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
        let Some(tree) = &self.tree else {
            let all = self.of_all(point).into_iter().zip(0..);
            return all.filter(|(reduced, _)| *reduced <= most).collect();
        };
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
