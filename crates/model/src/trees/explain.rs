//! Why an ensemble says what it says of a row: what each feature adds to the mean answer (Shapley values over the paths
//! of the trees, weighed by the training rows that took them).
//!
//! A leaf is given a row's features one after the other, in every order; what a feature adds on average is its share.
//! Along the way to a leaf each feature counts once: it either lets the row through or does not, and where it is not
//! known yet, as many rows pass as passed in training (`share`). With A the features that let the row through and B
//! those that do not, the sums over all orders are those over the coefficients of the polynomial of A: no subset is
//! enumerated, and no recursion is needed.

#![allow(clippy::cast_precision_loss, reason = "counts of features are small")]

use super::ir::{Ensemble, NONE, Node, Rule, Tree};

/// A longer way to a leaf is not explained: what it costs grows with the square.
const DEEPEST: usize = 256;

/// A feature on the way to a leaf.
#[derive(Debug, Clone, Copy)]
struct Element {
    feature: u32,
    /// The part of the training rows that all splits by this feature on this way let through.
    share: f64,
}

/// A split on the way to a leaf: which element it belongs to, and the side that leads on.
#[derive(Debug, Clone, Copy)]
struct Turn {
    node: u32,
    element: u16,
    left: bool,
}

#[derive(Debug)]
struct Leaf {
    elements: Vec<Element>,
    turns: Vec<Turn>,
    /// Where its values begin.
    values: usize,
}

#[derive(Debug)]
struct Explained {
    nodes: Vec<Node>,
    sets: Vec<Vec<u32>>,
    values: Vec<f64>,
    offset: usize,
    leaves: Vec<Leaf>,
}

/// An ensemble that can say why.
#[derive(Debug)]
pub(crate) struct Explainer {
    trees: Vec<Explained>,
    width: usize,
    outputs: usize,
    features: usize,
    rule: Rule,
    /// Whether values are compared as float32.
    narrow: bool,
    /// By output, the mean answer.
    mean: Vec<f64>,
    /// By number of features on a way and of those that are known before: the part of all orders.
    weights: Vec<Vec<f64>>,
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
        let mut mean = start.to_vec();
        mean.resize(ensemble.outputs, 0.0);
        let mut trees = Vec::with_capacity(ensemble.trees.len());
        let mut most = 0;
        for (index, tree) in ensemble.trees.iter().enumerate() {
            let leaves = leaves(tree, ensemble.width)?;
            let values: Vec<f64> = tree.values.iter().map(|leaf| value(index, *leaf)).collect();
            let offset = tree.offset as usize;
            for leaf in &leaves {
                most = most.max(leaf.elements.len());
                let reached: f64 = leaf.elements.iter().map(|element| element.share).product();
                for (mean, value) in mean[offset..].iter_mut().zip(&values[leaf.values..leaf.values + ensemble.width]) {
                    *mean += value * reached;
                }
            }
            trees.push(Explained { nodes: tree.nodes.clone(), sets: tree.sets.clone(), values, offset, leaves });
        }
        Some(Explainer {
            trees,
            width: ensemble.width,
            outputs: ensemble.outputs,
            features: ensemble.features,
            rule: ensemble.rule,
            narrow,
            mean,
            weights: (0..=most).map(weights).collect(),
        })
    }

    /// How many answers are explained.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// What each feature of a row adds to each output: the features of the first output and its mean, then those of the
    /// next. NaN is a missing value.
    pub(crate) fn explain(&self, row: &[f64], work: &mut Work) -> Vec<f64> {
        let stride = self.features + 1;
        let mut out = vec![0.0; self.outputs * stride];
        for (output, mean) in self.mean.iter().enumerate() {
            out[output * stride + self.features] = *mean;
        }
        for tree in &self.trees {
            work.lefts.clear();
            work.lefts.extend(tree.nodes.iter().map(|node| !node.is_leaf() && self.goes_left(tree, node, row)));
            for leaf in &tree.leaves {
                self.add(tree, leaf, work, &mut out);
            }
        }
        out
    }

    fn goes_left(&self, tree: &Explained, node: &Node, row: &[f64]) -> bool {
        // A node that no way leads to was not checked.
        let Some(x) = row.get(node.feature as usize).copied() else { return false };
        let x = if self.narrow { f64::from(x as f32) } else { x };
        if x.is_nan() {
            return node.missing_left;
        }
        if node.set != NONE {
            let most = if self.narrow { 16_777_216.0 } else { 2_147_483_648.0 };
            let bit = if x > -1.0 && x < most { x as usize } else { usize::MAX };
            let word = tree.sets.get(node.set as usize).and_then(|set| set.get(bit / 32)).copied().unwrap_or(0);
            return word >> (bit % 32) & 1 == 0;
        }
        match self.rule {
            Rule::Less => x < node.threshold,
            Rule::LessEqual => x <= node.threshold,
        }
    }

    fn add(&self, tree: &Explained, leaf: &Leaf, work: &mut Work, out: &mut [f64]) {
        let count = leaf.elements.len();
        let Work { lefts, open, coefficients } = work;
        open.clear();
        open.resize(count, true);
        for turn in &leaf.turns {
            open[turn.element as usize] &= lefts[turn.node as usize] == turn.left;
        }
        // The polynomial of those that let the row through, and the part of the rows that the others would.
        coefficients.clear();
        coefficients.push(1.0);
        let mut closed = 1.0;
        for (element, open) in leaf.elements.iter().zip(&*open) {
            if !*open {
                closed *= element.share;
                continue;
            }
            coefficients.push(0.0);
            for at in (0..coefficients.len()).rev() {
                let below = if at == 0 { 0.0 } else { coefficients[at - 1] };
                coefficients[at] = coefficients[at] * element.share + below;
            }
        }
        if closed == 0.0 || count == 0 {
            return;
        }
        let weights = &self.weights[count];
        let shut: f64 = coefficients.iter().zip(weights).map(|(coefficient, weight)| coefficient * weight).sum();
        let stride = self.features + 1;
        for (element, open) in leaf.elements.iter().zip(&*open) {
            let added = if *open {
                // Divided by the element's own factor, from the highest power down.
                let (mut sum, mut quotient) = (0.0, 0.0);
                for at in (1..coefficients.len()).rev() {
                    quotient = coefficients[at] - element.share * quotient;
                    sum += quotient * weights[at - 1];
                }
                (1.0 - element.share) * sum
            } else {
                -shut
            };
            for (output, value) in tree.values[leaf.values..leaf.values + self.width].iter().enumerate() {
                out[(tree.offset + output) * stride + element.feature as usize] += value * closed * added;
            }
        }
    }
}

/// What a row needs on its way, kept for the next.
#[derive(Debug, Default)]
pub(crate) struct Work {
    lefts: Vec<bool>,
    open: Vec<bool>,
    coefficients: Vec<f64>,
}

/// Of all orders of `count` features, the part in which certain `k` come before one and the rest after it.
fn weights(count: usize) -> Vec<f64> {
    // k! (count - 1 - k)! / count!, from one to the next.
    let mut weight = 1.0 / count.max(1) as f64;
    let mut all = Vec::with_capacity(count);
    for k in 0..count {
        all.push(weight);
        if k + 1 < count {
            weight *= (k + 1) as f64 / (count - 1 - k) as f64;
        }
    }
    all
}

/// The leaves of a tree with the ways to them.
fn leaves(tree: &Tree, width: usize) -> Option<Vec<Leaf>> {
    let mut leaves = Vec::new();
    let mut open = vec![(0u32, 0usize)];
    // The turns from the root to where we are.
    let mut way: Vec<(u32, bool)> = Vec::new();
    while let Some((index, depth)) = open.pop() {
        // Whoever is popped at a depth follows the left child of the split there.
        way.truncate(depth);
        if let Some((parent, left)) = way.last_mut() {
            *left = tree.nodes[*parent as usize].left == index;
        }
        let node = &tree.nodes[index as usize];
        if node.is_leaf() {
            leaves.push(leaf(tree, &way, node.feature as usize * width));
            continue;
        }
        if depth >= DEEPEST || !(node.cover > 0.0 && node.cover.is_finite()) {
            return None;
        }
        open.push((node.right, depth + 1));
        open.push((node.left, depth + 1));
        way.push((index, true));
    }
    Some(leaves)
}

fn leaf(tree: &Tree, way: &[(u32, bool)], values: usize) -> Leaf {
    let mut elements: Vec<Element> = Vec::new();
    let mut turns = Vec::with_capacity(way.len());
    for (index, left) in way {
        let node = &tree.nodes[*index as usize];
        let child = &tree.nodes[if *left { node.left } else { node.right } as usize];
        let share = child.cover / node.cover;
        let element = elements.iter().position(|element| element.feature == node.feature).unwrap_or_else(|| {
            elements.push(Element { feature: node.feature, share: 1.0 });
            elements.len() - 1
        });
        elements[element].share *= share;
        turns.push(Turn { node: *index, element: element as u16, left: *left });
    }
    Leaf { elements, turns, values }
}

#[cfg(test)]
mod tests {
    use super::super::ir::{Ensemble, NONE, Node, Rule, Tree};
    use super::*;

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
            for features in [1u32, 2, 5, 7] {
                let tree = grown(&mut random, features, splits);
                let ensemble = Ensemble {
                    trees: vec![tree.clone()],
                    width: 1,
                    outputs: 1,
                    features: features as usize,
                    rule: Rule::LessEqual,
                };
                let explainer = Explainer::new(&ensemble, |_, value| value, &[], false).unwrap();
                let mut work = Work::default();
                for seed in 0..5u32 {
                    let mut row: Vec<f64> =
                        (0..features).map(|at| f64::from((seed * 37 + at * 61) % 100) / 100.0).collect();
                    if seed == 4 {
                        row[0] = f64::NAN;
                    }
                    let found = explainer.explain(&row, &mut work);
                    let all = (1usize << features) - 1;
                    assert!((found.iter().sum::<f64>() - known(&tree, 0, &row, all)).abs() < 1e-9);
                    assert!((found[features as usize] - known(&tree, 0, &row, 0)).abs() < 1e-9, "the mean");
                    for feature in 0..features as usize {
                        let expected = by_definition(&tree, &row, feature);
                        assert!((found[feature] - expected).abs() < 1e-9, "{splits} {features}: {found:?} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_tree_without_counts_or_of_endless_depth_is_not_explained() {
        let mut tree = grown(&mut 3, 2, 5);
        tree.nodes[0].cover = 0.0;
        assert!(leaves(&tree, 1).is_none());
        let mut chain = grown(&mut 3, 2, 0);
        for _ in 0..300 {
            let last = chain.nodes.len() - 1;
            let leaf = chain.nodes[last];
            let next = chain.nodes.len() as u32;
            chain.nodes[last] = Node { left: next, right: next + 1, feature: 0, ..leaf };
            chain.nodes.extend([leaf, leaf]);
        }
        assert!(leaves(&chain, 1).is_none());
    }
}
