//! Why an ensemble says what it says of a row: what each feature adds to the mean answer (Shapley values over the paths
//! of the trees, weighed by the training rows that took them).
//!
//! A leaf is given a row's features one after the other, in every order; what a feature adds on average is its share. Along
//! the way to a leaf each feature counts once: it either lets the row through or does not, and where it is not known yet, as
//! many rows pass as passed in training (`share`). The average over all orders is an integral over the moment `t` at which the
//! feature comes, since by then each other one has come with probability `t`: of a product with one factor a feature,
//! `t + (1 - t) share` where it lets the row through and `(1 - t) share` where not. It is a polynomial, so that a sum over few
//! points (Gauss and Legendre's) is exact, and every term is positive: deep trees lose no digits. Products grow on the way
//! down a tree, sums on the way back up (`kernel/ways`), so that no path is gone twice.

#![allow(clippy::cast_precision_loss, reason = "counts of features are small")]

use super::ir::{Ensemble, NONE, Rule, Tree};
use super::kernel::{Edge, LANES, Lane, Point, Ways};

/// A longer way to a leaf is not explained.
const DEEPEST: usize = 256;

/// An ensemble that can say why.
#[derive(Debug)]
pub(crate) struct Explainer {
    trees: Vec<Ways>,
    /// The features that some split looks at: what edges call a slot.
    slots: Vec<u32>,
    /// By slot, who is told to have added what the feature adds.
    players: Vec<u32>,
    /// How many there are of these.
    count: usize,
    outputs: usize,
    rule: Rule,
    /// Whether values are compared as float32.
    narrow: bool,
    /// By output, the mean answer.
    mean: Vec<f64>,
    /// By number of points, where they are and what they weigh.
    points: Vec<Vec<Point>>,
}

impl Explainer {
    /// Of a checked ensemble; `value` makes a tree's share of the answer of a leaf's value, `start` is what the answer begins
    /// with. `None` where a way is too long, or the file does not tell how many rows took each.
    pub(crate) fn new(
        ensemble: &Ensemble,
        value: impl Fn(usize, f64) -> f64,
        start: &[f64],
        narrow: bool,
    ) -> Option<Explainer> {
        let players: Vec<u32> = (0..u32::try_from(ensemble.features).ok()?).collect();
        Explainer::of_players(ensemble, value, start, narrow, &players)
    }

    /// The same where several features are one player: they come together, and what they add is told as one.
    pub(crate) fn of_players(
        ensemble: &Ensemble,
        value: impl Fn(usize, f64) -> f64,
        start: &[f64],
        narrow: bool,
        players: &[u32],
    ) -> Option<Explainer> {
        let mut mean = start.to_vec();
        mean.resize(ensemble.outputs, 0.0);
        let mut slots: Vec<u32> = ensemble.trees.iter().flat_map(looked_at).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut trees = Vec::with_capacity(ensemble.trees.len());
        for (index, tree) in ensemble.trees.iter().enumerate() {
            let values: Vec<f64> = tree.values.iter().map(|leaf| value(index, *leaf)).collect();
            let (ways, reached) = ways(tree, values, ensemble.width, &slots, players)?;
            for (mean, reached) in mean.iter_mut().skip(tree.offset as usize).zip(reached) {
                *mean += reached;
            }
            trees.push(ways);
        }
        let most = trees.iter().map(|tree| tree.points).max().unwrap_or(0);
        let mut points = vec![Vec::new(); most + 1];
        for tree in &trees {
            if points[tree.points].is_empty() {
                points[tree.points] = legendre(tree.points);
            }
        }
        let of_slots = slots.iter().map(|slot| players.get(*slot as usize).copied().unwrap_or(0)).collect();
        let count = players.iter().max().map_or(0, |most| *most as usize + 1);
        Some(Explainer {
            trees,
            slots,
            players: of_slots,
            count,
            outputs: ensemble.outputs,
            rule: ensemble.rule,
            narrow,
            mean,
            points,
        })
    }

    /// How many answers are explained.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// What each player adds to each output for all rows: the players of the first output and its mean, then those of the
    /// next. `columns` holds the features; NaN is a missing value.
    pub(crate) fn explain(&self, columns: &[Vec<f64>], rows: usize) -> Vec<Vec<f64>> {
        let stride = self.count + 1;
        let mut out: Vec<Vec<f64>> = vec![vec![0.0; rows]; self.outputs * stride];
        for (output, mean) in self.mean.iter().enumerate() {
            out[output * stride + self.count].fill(*mean);
        }
        let mut work = Work::default();
        // As many rows at once as keep what is open in a tree within a cache.
        let open = self.trees.iter().map(Ways::open).max().unwrap_or(0).max(1);
        let most = (CACHE / (open * size_of::<Lane>())).clamp(1, GROUPS);
        for from in (0..rows).step_by(most * LANES) {
            let count = (rows - from).min(most * LANES);
            let groups = count.div_ceil(LANES);
            work.lay_out(self, columns, from, count, groups);
            for tree in &self.trees {
                let points = &self.points[tree.points];
                tree.run(self.rule, points, &work.values, groups, &mut work.open, &mut work.added, self.slots.len());
            }
            for (at, added) in work.added.chunks_exact(groups).enumerate() {
                let (output, slot) = (at / self.slots.len(), at % self.slots.len());
                let column = &mut out[output * stride + self.players[slot] as usize][from..from + count];
                column.iter_mut().zip(added.as_flattened()).for_each(|(sum, added)| *sum += added);
            }
        }
        out
    }
}

/// Groups of rows that go through a tree at once at most, and the bytes that what is open may take.
const GROUPS: usize = 16;
const CACHE: usize = 128 * 1024;

/// What some rows need on their way, kept for the next.
#[derive(Debug, Default)]
struct Work {
    values: Vec<Lane>,
    added: Vec<Lane>,
    open: Vec<Lane>,
}

impl Work {
    fn lay_out(&mut self, of: &Explainer, columns: &[Vec<f64>], from: usize, count: usize, groups: usize) {
        self.values.clear();
        for slot in &of.slots {
            let first = self.values.len();
            self.values.resize(first + groups, [f64::NAN; LANES]);
            let values = columns.get(*slot as usize).and_then(|column| column.get(from..from + count));
            for (place, value) in self.values[first..].as_flattened_mut().iter_mut().zip(values.unwrap_or_default()) {
                *place = if of.narrow { f64::from(*value as f32) } else { *value };
            }
        }
        self.added.clear();
        self.added.resize(of.outputs * of.slots.len() * groups, [0.0; LANES]);
    }
}

fn looked_at(tree: &Tree) -> Vec<u32> {
    let mut all: Vec<u32> = tree.nodes.iter().filter(|node| !node.is_leaf()).map(|node| node.feature).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A tree's edges in the order of a walk through it, and what it says on average.
fn ways(tree: &Tree, values: Vec<f64>, width: usize, slots: &[u32], players: &[u32]) -> Option<(Ways, Vec<f64>)> {
    let mut reached = vec![0.0; width];
    let mut edges: Vec<Edge> = Vec::with_capacity(tree.nodes.len().saturating_sub(1));
    let (mut most, mut deepest) = (0, 0);
    let root = &tree.nodes[0];
    if root.is_leaf() {
        let own = &values[root.feature as usize * width..][..width];
        reached.copy_from_slice(own);
    }
    // The edges from the root to where we are, with the part of the rows that takes them.
    let mut way: Vec<(usize, f64)> = Vec::new();
    // A child, the split above it and its depth; children of a split are taken left and then right.
    let mut open: Vec<(u32, u32, usize)> = Vec::new();
    let split = |index: u32, depth: usize, open: &mut Vec<(u32, u32, usize)>| {
        let node = &tree.nodes[index as usize];
        if depth >= DEEPEST || !(node.cover > 0.0 && node.cover.is_finite()) {
            return None;
        }
        open.push((node.right, index, depth + 1));
        open.push((node.left, index, depth + 1));
        Some(())
    };
    if !root.is_leaf() {
        split(0, 0, &mut open)?;
    }
    while let Some((child, parent, depth)) = open.pop() {
        way.truncate(depth - 1);
        let (from, node) = (&tree.nodes[parent as usize], &tree.nodes[child as usize]);
        let own = node.cover / from.cover;
        if !(own >= 0.0 && own.is_finite()) {
            return None;
        }
        let player = players.get(from.feature as usize)?;
        let same = |(at, _): &&(usize, f64)| players.get(slots[edges[*at].slot as usize] as usize) == Some(player);
        let before = way.iter().rev().find(same).map(|(at, _)| &edges[*at]);
        let slot = slots.binary_search(&from.feature).ok()?;
        let edge = Edge {
            slot: u32::try_from(slot).ok()?,
            set: from.set,
            threshold: from.threshold,
            missing_left: from.missing_left,
            left: child == from.left,
            depth: u32::try_from(depth).ok()?,
            before: before.map_or(0, |before| before.depth),
            before_share: before.map_or(1.0, |before| before.share),
            own,
            share: own * before.map_or(1.0, |before| before.share),
            values: if node.is_leaf() { u32::try_from(node.feature as usize * width).ok()? } else { NONE },
        };
        let passed = way.last().map_or(1.0, |(_, passed)| *passed) * own;
        way.push((edges.len(), passed));
        edges.push(edge);
        if !node.is_leaf() {
            split(child, depth, &mut open)?;
            continue;
        }
        deepest = deepest.max(depth);
        most = most.max(way.iter().filter(|(at, _)| edges[*at].before == 0).count());
        for (reached, value) in reached.iter_mut().zip(&values[node.feature as usize * width..][..width]) {
            *reached += value * passed;
        }
    }
    // So many points are exact for the product of all other features.
    let points = most.div_ceil(2).max(1);
    Some((
        Ways { edges, sets: tree.sets.clone(), values, width, offset: tree.offset as usize, points, depth: deepest },
        reached,
    ))
}

/// The points between 0 and 1, and their weights, by which the integral of a polynomial of a degree below `2 count` is a sum.
fn legendre(count: usize) -> Vec<Point> {
    let n = count as f64;
    let point = |index: usize| {
        let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut last, mut now) = (1.0, x);
            for degree in 2..=count {
                let k = degree as f64;
                (last, now) = (now, ((2.0 * k - 1.0) * x * now - (k - 1.0) * last) / k);
            }
            slope = n * (x * now - last) / (x * x - 1.0);
            let step = now / slope;
            x -= step;
            if step.abs() < 1e-16 {
                break;
            }
        }
        Point { at: (1.0 + x) / 2.0, rest: (1.0 - x) / 2.0, weight: 1.0 / ((1.0 - x * x) * slope * slope) }
    };
    (0..count).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ir::{Ensemble, NONE, Node, Rule, Tree};
    use super::*;

    fn explained(tree: &Tree, features: usize, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let ensemble = Ensemble { trees: vec![tree.clone()], width: 1, outputs: 1, features, rule: Rule::LessEqual };
        let explainer = Explainer::new(&ensemble, |_, value| value, &[], false).unwrap();
        let columns: Vec<Vec<f64>> = (0..features).map(|at| rows.iter().map(|row| row[at]).collect()).collect();
        explainer.explain(&columns, rows.len())
    }

    /// What a tree says where only some features are known.
    fn known(tree: &Tree, index: u32, row: &[f64], set: usize) -> f64 {
        let node = &tree.nodes[index as usize];
        if node.is_leaf() {
            return tree.values[node.feature as usize];
        }
        let side = |index: u32| known(tree, index, row, set);
        if set >> node.feature & 1 == 1 {
            let x = row[node.feature as usize];
            let left = if x.is_nan() { node.missing_left } else { x <= node.threshold };
            return side(if left { node.left } else { node.right });
        }
        let weight = |index: u32| tree.nodes[index as usize].cover / node.cover;
        weight(node.left) * side(node.left) + weight(node.right) * side(node.right)
    }

    /// The definition: over all sets of other features.
    fn by_definition(tree: &Tree, row: &[f64], feature: usize) -> f64 {
        let count = row.len();
        let factorial = |n: usize| (1..=n).map(|n| n as f64).product::<f64>();
        let others = (0..1usize << count).filter(|set| set >> feature & 1 == 0);
        let weight = |set: usize| {
            let size = set.count_ones() as usize;
            factorial(size) * factorial(count - 1 - size) / factorial(count)
        };
        others.map(|set| weight(set) * (known(tree, 0, row, set | 1 << feature) - known(tree, 0, row, set))).sum()
    }

    /// A tree of this many splits, grown at random.
    fn grown(random: &mut u64, features: u32, splits: usize) -> Tree {
        let mut next = |below: u64| {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*random >> 33) % below
        };
        let leaf = |cover: f64| Node {
            left: NONE,
            right: NONE,
            feature: 0,
            set: NONE,
            missing_left: false,
            threshold: 0.0,
            cover,
            gain: 0.0,
        };
        let mut tree = Tree { nodes: vec![leaf(1000.0)], ..Tree::default() };
        for _ in 0..splits {
            let leaves: Vec<usize> = (0..tree.nodes.len()).filter(|at| tree.nodes[*at].is_leaf()).collect();
            let at = leaves[next(leaves.len() as u64) as usize];
            let cover = tree.nodes[at].cover;
            let left = cover * (1 + next(9)) as f64 / 11.0;
            let (a, b) = (tree.nodes.len() as u32, tree.nodes.len() as u32 + 1);
            tree.nodes[at] = Node {
                left: a,
                right: b,
                feature: next(u64::from(features)) as u32,
                missing_left: next(2) == 0,
                threshold: next(100) as f64 / 100.0,
                ..leaf(cover)
            };
            tree.nodes.extend([leaf(left), leaf(cover - left)]);
        }
        for (at, node) in tree.nodes.iter_mut().filter(|node| node.is_leaf()).enumerate() {
            node.feature = at as u32;
            tree.values.push(next(2000) as f64 / 100.0 - 10.0);
        }
        tree
    }

    #[test]
    fn it_is_what_the_definition_says() {
        let mut random = 7;
        for splits in [0usize, 1, 2, 5, 9, 20, 40] {
            for features in [1u32, 2, 5, 7, 11] {
                let tree = grown(&mut random, features, splits);
                let row = |seed: u32| -> Vec<f64> {
                    let mut row: Vec<f64> =
                        (0..features).map(|at| f64::from((seed * 37 + at * 61) % 100) / 100.0).collect();
                    if seed % 5 == 4 {
                        row[0] = f64::NAN;
                    }
                    row
                };
                let rows: Vec<Vec<f64>> = (0..if features > 7 { 3 } else { 19 }).map(row).collect();
                let found = explained(&tree, features as usize, &rows);
                let all = (1usize << features) - 1;
                for (at, row) in rows.iter().enumerate() {
                    let sum: f64 = found.iter().map(|column| column[at]).sum();
                    assert!((sum - known(&tree, 0, row, all)).abs() < 1e-9);
                    assert!((found[features as usize][at] - known(&tree, 0, row, 0)).abs() < 1e-9, "the mean");
                    for feature in 0..features as usize {
                        let (found, expected) = (found[feature][at], by_definition(&tree, row, feature));
                        assert!((found - expected).abs() < 1e-9, "{splits} {features}: {found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_way_loses_no_digits() {
        // Each feature once, one after the other: what a row that goes through all of them gains is known.
        let count = 200u32;
        let node = |left: u32, right: u32, feature: u32, cover: f64| Node {
            left,
            right,
            feature,
            set: NONE,
            missing_left: false,
            threshold: 0.5,
            cover,
            gain: 0.0,
        };
        let mut tree = Tree::default();
        for at in 0..count {
            let cover = 0.9f64.powi(at as i32);
            tree.nodes.push(node(2 * at + 2, 2 * at + 1, at, cover));
            tree.nodes.push(node(NONE, NONE, at, cover * 0.1));
            tree.values.push(0.0);
        }
        tree.nodes.push(node(NONE, NONE, count, 0.9f64.powi(count as i32)));
        tree.values.push(1.0);
        let found = explained(&tree, count as usize, &[vec![0.0; count as usize]]);
        let each = (1.0 - 0.9f64.powi(count as i32)) / f64::from(count);
        for column in &found[..count as usize] {
            assert!((column[0] - each).abs() < 1e-14, "{} {each}", column[0]);
        }
    }

    #[test]
    fn points_integrate_polynomials() {
        for count in [1usize, 2, 3, 8, 50, 128] {
            let points = legendre(count);
            for degree in 0..2 * count {
                let sum: f64 = points.iter().map(|point| point.weight * point.at.powi(degree as i32)).sum();
                assert!((sum - 1.0 / (degree as f64 + 1.0)).abs() < 1e-14, "{count} {degree} {sum}");
            }
        }
    }

    #[test]
    fn a_tree_without_counts_or_of_endless_depth_is_not_explained() {
        let mut tree = grown(&mut 3, 2, 5);
        let refused = |tree: &Tree| {
            let values = tree.values.clone();
            ways(tree, values, 1, &[0, 1], &[0, 1]).is_none()
        };
        tree.nodes[0].cover = 0.0;
        assert!(refused(&tree));
        let mut chain = grown(&mut 3, 2, 0);
        for _ in 0..300 {
            let last = chain.nodes.len() - 1;
            let leaf = chain.nodes[last];
            let next = chain.nodes.len() as u32;
            chain.nodes[last] = Node { left: next, right: next + 1, feature: 0, ..leaf };
            chain.nodes.extend([leaf, leaf]);
        }
        assert!(refused(&chain));
    }
}
