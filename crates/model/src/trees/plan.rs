//! The shape in which an ensemble is scored, chosen once.
//!
//! Both rules become one comparison in the type `T` of the values: `x < t` goes left. For `x <= threshold` (a float64
//! threshold even where `x` is float32) `t` is the smallest `T` above the largest `T` that is not above the threshold,
//! which decides every `x` alike. Features that no node looks at are never read.

use super::ir::{Ensemble, NONE, Rule, Tree};
use super::kernel::{self, BLOCK};
use crate::matrix::{Matrix, Real, read};

/// What leaves hold and sums are made of.
pub(crate) trait Leaf: Copy + Default + std::ops::AddAssign + Send + Sync + std::fmt::Debug + 'static {
    /// `yes` or `no`, by bits: the compiler would otherwise choose between two addresses, one row at a time.
    fn choose(first: bool, yes: Self, no: Self) -> Self;
}

impl Leaf for f32 {
    #[inline(always)]
    fn choose(first: bool, yes: Self, no: Self) -> Self {
        let mask = 0u32.wrapping_sub(u32::from(first));
        f32::from_bits(yes.to_bits() & mask | no.to_bits() & !mask)
    }
}

impl Leaf for f64 {
    #[inline(always)]
    fn choose(first: bool, yes: Self, no: Self) -> Self {
        let mask = 0u64.wrapping_sub(u64::from(first));
        f64::from_bits(yes.to_bits() & mask | no.to_bits() & !mask)
    }
}

/// A threshold type: the values' own.
pub(crate) trait Threshold: Real {
    /// The `t` for which `x < t` decides as the rule does with this threshold.
    fn lower(threshold: f64, rule: Rule) -> Self;
    /// The bit index of a category, `None` where the value is no category.
    fn category(self) -> Option<usize>;
}

impl Threshold for f32 {
    fn lower(threshold: f64, rule: Rule) -> Self {
        if threshold.is_nan() {
            return f32::NEG_INFINITY;
        }
        let nearest = threshold as f32;
        match rule {
            Rule::Less if f64::from(nearest) < threshold => nearest.next_up(),
            Rule::Less => nearest,
            Rule::LessEqual if f64::from(nearest) > threshold => nearest,
            Rule::LessEqual => nearest.next_up(),
        }
    }

    fn category(self) -> Option<usize> {
        (0.0..16_777_216.0).contains(&self).then_some(self as usize)
    }
}

impl Threshold for f64 {
    fn lower(threshold: f64, rule: Rule) -> Self {
        match rule {
            _ if threshold.is_nan() => f64::NEG_INFINITY,
            Rule::Less => threshold,
            // Nothing is right of infinity, itself included: NaN compares so (see `Plan::new`).
            Rule::LessEqual if threshold == f64::INFINITY => f64::NAN,
            Rule::LessEqual => threshold.next_up(),
        }
    }

    fn category(self) -> Option<usize> {
        (self > -1.0 && self < 2_147_483_648.0).then_some(self as usize)
    }
}

/// A node of the walk: siblings lie beside each other, and a leaf points to itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<T> {
    /// Right when `x >= t`; NaN (never right) in a leaf.
    pub(super) t: T,
    /// The left child; the right one follows. Of a leaf: itself.
    pub(super) left: u32,
    /// The slot of the feature in the block, and [`MISSING_RIGHT`].
    pub(super) slot: u32,
}

/// Set in [`Step::slot`] where a missing value goes right.
pub(super) const MISSING_RIGHT: u32 = 1 << 31;

#[derive(Debug)]
pub(super) enum Shape<T, V> {
    /// Complete trees of `depth`, nodes in heap order, leaves from left to right; one value a leaf.
    Select { depth: usize, nodes: Vec<Step<T>>, leaves: Vec<V> },
    /// Trees of any shape: nodes of all trees, where each tree starts, its depth, and the leaves' values.
    Walk {
        nodes: Vec<Step<T>>,
        /// For each tree: its root and its depth.
        trees: Vec<(u32, u32)>,
        /// For each node: where its values start (leaves only).
        leaf: Vec<u32>,
        /// For each node: its set of categories, or [`NONE`]; empty where no tree has one.
        set: Vec<u32>,
        sets: Vec<Vec<u32>>,
        values: Vec<V>,
    },
}

/// An ensemble, ready to be scored: values of type `T`, sums of type `V`.
#[derive(Debug)]
pub(crate) struct Plan<T, V> {
    pub(super) shape: Shape<T, V>,
    /// For each tree: the first output that it adds to.
    pub(super) offsets: Vec<u32>,
    pub(super) width: usize,
    outputs: usize,
    /// The features that are read, by slot.
    used: Vec<u32>,
    /// For each feature its slot, or [`NONE`].
    slots: Vec<u32>,
}

impl<T: Threshold, V: Leaf> Plan<T, V> {
    /// Lowers a checked ensemble; `weight` scales the values of a tree.
    pub(crate) fn new(ensemble: &Ensemble, depth: usize, weight: impl Fn(usize, f64) -> V) -> Self {
        let mut slots = vec![NONE; ensemble.features];
        let splits = || ensemble.trees.iter().flat_map(|tree| &tree.nodes).filter(|node| !node.is_leaf());
        // A node that no way leads to was not checked, and may name any feature.
        splits().filter_map(|node| node.feature.try_into().ok()).for_each(|feature: usize| {
            if let Some(slot) = slots.get_mut(feature) {
                *slot = 0;
            }
        });
        let mut used = Vec::new();
        for (feature, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| **slot == 0) {
            *slot = used.len() as u32;
            used.push(feature as u32);
        }
        let plain = splits().all(|node| node.set == NONE);
        // The select kernel asks `x < t` or `x >= t`, and only the second holds for no number where `t` is NaN.
        let ends = ensemble.rule == Rule::LessEqual && splits().any(|node| node.threshold == f64::INFINITY);
        let shape =
            if plain && !ends && ensemble.width == 1 && depth <= kernel::select_depth() && select_pays(ensemble, depth)
            {
                select(ensemble, depth.max(1), &slots, weight)
            } else {
                walk(ensemble, plain, &slots, weight)
            };
        let offsets = ensemble.trees.iter().map(|tree| tree.offset).collect();
        Plan { shape, offsets, width: ensemble.width, outputs: ensemble.outputs, used, slots }
    }

    /// How many sums a row has.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The kernel's name for `inspect`.
    pub(crate) fn kernel(&self) -> String {
        match &self.shape {
            Shape::Select { depth, .. } => format!("select-{depth} ({})", T::NAME),
            Shape::Walk { set, .. } if set.is_empty() => format!("walk ({})", T::NAME),
            Shape::Walk { .. } => format!("walk with categories ({})", T::NAME),
        }
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let shape = match &self.shape {
            Shape::Select { nodes, leaves, .. } => size_of_val(&nodes[..]) + size_of_val(&leaves[..]),
            Shape::Walk { nodes, trees, leaf, set, sets, values } => {
                size_of_val(&nodes[..])
                    + size_of_val(&trees[..])
                    + size_of_val(&leaf[..])
                    + size_of_val(&set[..])
                    + size_of_val(&values[..])
                    + sets.iter().map(|set| set.len() * 4).sum::<usize>()
            }
        };
        shape + (self.used.len() + self.slots.len()) * 4
    }

    /// The sums over all trees, one vector an output, each starting from `start`. What a sparse row does not hold
    /// counts as `absent`; values equal to `missing` count as missing.
    pub(crate) fn sum(&self, x: &Matrix, start: &[V], absent: T, missing: Option<T>) -> Vec<Vec<V>> {
        let rows = x.rows();
        self.sum_from(x, start.iter().map(|start| vec![*start; rows]).collect(), absent, missing)
    }

    /// The same from a start for each row.
    pub(crate) fn sum_from(&self, x: &Matrix, mut sums: Vec<Vec<V>>, absent: T, missing: Option<T>) -> Vec<Vec<V>> {
        let rows = x.rows();
        debug_assert_eq!(sums.len(), self.outputs);
        let mut block = vec![[T::NAN; BLOCK]; self.used.len().max(1)];
        let mut work = kernel::Work::default();
        let mut from = 0;
        while from < rows {
            let to = rows.min(from + BLOCK);
            self.gather(x, from, to, absent, &mut block);
            if let Some(missing) = missing {
                block.as_flattened_mut().iter_mut().filter(|x| **x == missing).for_each(|x| *x = T::NAN);
            }
            kernel::run(self, &block, from, to - from, &mut sums, &mut work);
            from = to;
        }
        sums
    }

    /// Copies the used columns of some rows into the block: `BLOCK` values a slot.
    fn gather(&self, x: &Matrix, from: usize, to: usize, absent: T, block: &mut [[T; BLOCK]]) {
        let count = to - from;
        match x {
            Matrix::Frame(frame) => {
                for (slot, &feature) in block.iter_mut().zip(&self.used) {
                    if !read(&frame.columns[feature as usize], from..to, &mut slot[..count]) {
                        slot.fill(T::NAN);
                    }
                }
            }
            Matrix::Dense(dense) => {
                for (slot, &feature) in block.iter_mut().zip(&self.used) {
                    let column = &dense.column(feature as usize)[from..to];
                    slot.iter_mut().zip(column).for_each(|(to, from)| *to = T::narrow(*from));
                }
            }
            Matrix::Csr(csr) => {
                block.as_flattened_mut().fill(absent);
                for row in from..to {
                    for (col, value) in csr.row(row) {
                        let slot = self.slots[col as usize];
                        if slot != NONE {
                            block[slot as usize][row - from] = T::narrow(value);
                        }
                    }
                }
            }
        }
    }
}

/// Whether the trees fill their complete shape well enough: one with few nodes is walked faster than it is padded.
fn select_pays(ensemble: &Ensemble, depth: usize) -> bool {
    let padded = ensemble.trees.len().saturating_mul(2 << depth);
    depth <= 4 || padded <= ensemble.nodes().saturating_mul(4)
}

fn step<T: Threshold>(tree: &Tree, node: usize, slots: &[u32], rule: Rule) -> Step<T> {
    let node = &tree.nodes[node];
    let side = if node.missing_left { 0 } else { MISSING_RIGHT };
    Step { t: T::lower(node.threshold, rule), left: 0, slot: slots[node.feature as usize] | side }
}

/// Every tree made complete: a leaf above the last level is repeated below.
fn select<T: Threshold, V: Leaf>(
    ensemble: &Ensemble,
    depth: usize,
    slots: &[u32],
    weight: impl Fn(usize, f64) -> V,
) -> Shape<T, V> {
    let (inner, last) = ((1 << depth) - 1, 1 << depth);
    let mut nodes = Vec::with_capacity(ensemble.trees.len() * inner);
    let mut leaves = Vec::with_capacity(ensemble.trees.len() * last);
    for (index, tree) in ensemble.trees.iter().enumerate() {
        let mut heap = vec![0u32; inner + last];
        for place in 0..inner {
            let node = &tree.nodes[heap[place] as usize];
            let (left, right) = if node.is_leaf() { (heap[place], heap[place]) } else { (node.left, node.right) };
            (heap[2 * place + 1], heap[2 * place + 2]) = (left, right);
            nodes.push(if node.is_leaf() {
                Step { t: T::NAN, left: 0, slot: 0 }
            } else {
                step(tree, heap[place] as usize, slots, ensemble.rule)
            });
        }
        let value = |node: &u32| weight(index, tree.values[tree.nodes[*node as usize].feature as usize]);
        leaves.extend(heap[inner..].iter().map(value));
    }
    Shape::Select { depth, nodes, leaves }
}

fn walk<T: Threshold, V: Leaf>(
    ensemble: &Ensemble,
    plain: bool,
    slots: &[u32],
    weight: impl Fn(usize, f64) -> V,
) -> Shape<T, V> {
    let total = ensemble.nodes();
    let (mut nodes, mut leaf) = (Vec::with_capacity(total), Vec::with_capacity(total));
    let (mut set, mut sets) = (Vec::new(), Vec::new());
    let (mut values, mut trees) = (Vec::new(), Vec::with_capacity(ensemble.trees.len()));
    for (index, tree) in ensemble.trees.iter().enumerate() {
        let root = nodes.len();
        let (first_set, first_value) = (sets.len(), values.len() as u32);
        sets.extend(tree.sets.iter().cloned());
        values.extend(tree.values.iter().map(|value| weight(index, *value)));
        // Breadth first: `queue[i]` is the file's index of the node that is laid at `root + i`.
        let mut queue = vec![(0u32, 0u32)];
        let mut deepest = 0;
        let mut next = 0;
        while let Some(&(node, depth)) = queue.get(next) {
            deepest = deepest.max(depth);
            let from = &tree.nodes[node as usize];
            let here = (root + next) as u32;
            if from.is_leaf() {
                nodes.push(Step { t: T::NAN, left: here, slot: 0 });
                leaf.push(first_value + from.feature * ensemble.width as u32);
            } else {
                let left = (root + queue.len()) as u32;
                nodes.push(Step { left, ..step(tree, node as usize, slots, ensemble.rule) });
                leaf.push(0);
                queue.extend([(from.left, depth + 1), (from.right, depth + 1)]);
            }
            if !plain {
                let has = !from.is_leaf() && from.set != NONE;
                set.push(if has { first_set as u32 + from.set } else { NONE });
            }
            next += 1;
        }
        trees.push((root as u32, deepest));
    }
    Shape::Walk { nodes, trees, leaf, set, sets, values }
}
