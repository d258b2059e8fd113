//! Trees of any shape, walked from the root to a leaf: each row reads the nodes on its own way only.

use super::super::ir::{Ensemble, NONE, Tree};
use super::super::plan::{Leaf, Threshold};

/// Walks that go side by side, to hide the latency of each one's next node.
const SIDE_BY_SIDE: usize = 16;

/// A node: siblings lie beside each other, and a leaf points to itself.
#[derive(Debug, Clone, Copy)]
struct Step<T> {
    /// Right when `x >= t`; NaN (never right) in a leaf.
    t: T,
    /// The left child; the right one follows. Of a leaf: itself.
    left: u32,
    /// The column of the feature, and [`MISSING_RIGHT`].
    column: u32,
}

/// Set in [`Step::column`] where a missing value goes right.
const MISSING_RIGHT: u32 = 1 << 31;

/// An ensemble to be walked: values of type `T`, sums of type `V`.
#[derive(Debug)]
pub(crate) struct Walk<T, V> {
    nodes: Vec<Step<T>>,
    /// For each tree: its root, its depth, and the first output that it adds to.
    trees: Vec<Root>,
    /// For each node: where its values start (leaves only).
    leaf: Vec<u32>,
    /// For each node: its set of categories, or [`NONE`]; empty where no tree has one.
    set: Vec<u32>,
    sets: Vec<Vec<u32>>,
    values: Vec<V>,
    width: usize,
}

#[derive(Debug, Clone, Copy)]
struct Root {
    node: u32,
    depth: u32,
    offset: u32,
}

impl<T: Threshold, V: Leaf> Walk<T, V> {
    /// Lowers a checked ensemble; `columns` says where each feature's values lie in a row, `weight` scales a tree's
    /// values.
    pub(crate) fn new(ensemble: &Ensemble, columns: &[u32], weight: &impl Fn(usize, f64) -> V) -> Self {
        let total = ensemble.nodes();
        let plain = ensemble.trees.iter().all(|tree| tree.nodes.iter().all(|node| node.is_leaf() || node.set == NONE));
        let mut walk = Walk {
            nodes: Vec::with_capacity(total),
            trees: Vec::with_capacity(ensemble.trees.len()),
            leaf: Vec::with_capacity(total),
            set: Vec::new(),
            sets: Vec::new(),
            values: Vec::new(),
            width: ensemble.width,
        };
        for (index, tree) in ensemble.trees.iter().enumerate() {
            let lower = |threshold| T::lower(threshold, ensemble.rule);
            walk.add_tree(tree, columns, plain, lower, |value| weight(index, value));
        }
        walk
    }

    fn add_tree(
        &mut self,
        tree: &Tree,
        columns: &[u32],
        plain: bool,
        lower: impl Fn(f64) -> T,
        weight: impl Fn(f64) -> V,
    ) {
        let root = self.nodes.len();
        let (first_set, first_value) = (self.sets.len() as u32, self.values.len() as u32);
        self.sets.extend(tree.sets.iter().cloned());
        self.values.extend(tree.values.iter().map(|value| weight(*value)));
        let leaf = Step { t: T::NAN, left: 0, column: 0 };
        let grow = |walk: &mut Self, by: usize| {
            let count = walk.nodes.len() + by;
            walk.nodes.resize(count, leaf);
            walk.leaf.resize(count, 0);
            if !plain {
                walk.set.resize(count, NONE);
            }
        };
        grow(self, 1);
        // Depth first, and first the side to which more rows went in training: most ways lead on to what is near.
        let mut open = vec![(0u32, root, 0u32)];
        let mut deepest = 0;
        while let Some((node, at, depth)) = open.pop() {
            deepest = deepest.max(depth);
            let from = &tree.nodes[node as usize];
            if from.is_leaf() {
                self.nodes[at].left = at as u32;
                self.leaf[at] = first_value + from.feature * self.width as u32;
                continue;
            }
            let left = self.nodes.len();
            grow(self, 2);
            let side = if from.missing_left { 0 } else { MISSING_RIGHT };
            let column = columns[from.feature as usize] | side;
            self.nodes[at] = Step { t: lower(from.threshold), left: left as u32, column };
            if !plain && from.set != NONE {
                self.set[at] = first_set + from.set;
            }
            let (left, right) = ((from.left, left, depth + 1), (from.right, left + 1, depth + 1));
            let cover = |child: u32| tree.nodes[child as usize].cover;
            open.extend(if cover(from.left) < cover(from.right) { [left, right] } else { [right, left] });
        }
        self.trees.push(Root { node: root as u32, depth: deepest, offset: tree.offset });
    }

    /// Whether some splits look at sets of categories.
    pub(crate) fn has_sets(&self) -> bool {
        !self.set.is_empty()
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.nodes[..])
            + size_of_val(&self.trees[..])
            + size_of_val(&self.leaf[..])
            + size_of_val(&self.set[..])
            + size_of_val(&self.values[..])
            + self.sets.iter().map(|set| set.len() * 4).sum::<usize>()
    }

    /// Adds all trees to the sums of some rows, from row `from` on: `rows` holds `columns` values for each.
    pub(crate) fn run(&self, rows: &[T], columns: usize, from: usize, sums: &mut [Vec<V>]) {
        match (rows.len() / columns < SIDE_BY_SIDE, self.has_sets()) {
            (true, false) => self.trees_side_by_side::<false>(rows, columns, from, sums),
            (true, true) => self.trees_side_by_side::<true>(rows, columns, from, sums),
            (false, false) => self.rows_side_by_side::<false>(rows, columns, from, sums),
            (false, true) => self.rows_side_by_side::<true>(rows, columns, from, sums),
        }
    }

    /// Tree by tree, so that a large tree is fetched from memory once for all rows.
    fn rows_side_by_side<const SETS: bool>(&self, rows: &[T], columns: usize, from: usize, sums: &mut [Vec<V>]) {
        for root in &self.trees {
            for (chunk, rows) in rows.chunks(SIDE_BY_SIDE * columns).enumerate() {
                let count = rows.len() / columns;
                let mut at = [root.node; SIDE_BY_SIDE];
                for _ in 0..root.depth {
                    let mut moved = 0;
                    for (at, row) in at.iter_mut().zip(rows.chunks_exact(columns)) {
                        let next = self.next::<SETS>(*at, row);
                        moved |= next ^ *at;
                        *at = next;
                    }
                    if moved == 0 {
                        break;
                    }
                }
                for (place, node) in at[..count].iter().enumerate() {
                    self.add(*node, root, from + chunk * SIDE_BY_SIDE + place, sums);
                }
            }
        }
    }

    /// Row by row, so that the few that there are do not wait for one node after the other.
    fn trees_side_by_side<const SETS: bool>(&self, rows: &[T], columns: usize, from: usize, sums: &mut [Vec<V>]) {
        for (place, row) in rows.chunks_exact(columns).enumerate() {
            for roots in self.trees.chunks(SIDE_BY_SIDE) {
                let mut at = [0; SIDE_BY_SIDE];
                at.iter_mut().zip(roots).for_each(|(at, root)| *at = root.node);
                let at = &mut at[..roots.len()];
                loop {
                    let mut moved = 0;
                    for at in at.iter_mut() {
                        let next = self.next::<SETS>(*at, row);
                        moved |= next ^ *at;
                        *at = next;
                    }
                    if moved == 0 {
                        break;
                    }
                }
                for (node, root) in at.iter().zip(roots) {
                    self.add(*node, root, from + place, sums);
                }
            }
        }
    }

    /// Where a row goes from a node. What is in a set of categories goes right, what is not a category or too large goes
    /// left, what is missing goes the missing way.
    #[inline(always)]
    fn next<const SETS: bool>(&self, at: u32, row: &[T]) -> u32 {
        let node = &self.nodes[at as usize];
        let x = row[(node.column & !MISSING_RIGHT) as usize];
        let missing_right = node.column & MISSING_RIGHT != 0;
        let right = if SETS && self.set[at as usize] != NONE && !x.is_nan() {
            let words = &self.sets[self.set[at as usize] as usize];
            let has = |bit: usize| words.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 == 1);
            x.category().is_some_and(has)
        } else {
            (x >= node.t) | (x.is_nan() & missing_right)
        };
        node.left + u32::from(right)
    }

    #[inline(always)]
    fn add(&self, node: u32, root: &Root, row: usize, sums: &mut [Vec<V>]) {
        let first = self.leaf[node as usize] as usize;
        let outputs = &mut sums[root.offset as usize..root.offset as usize + self.width];
        for (sum, value) in outputs.iter_mut().zip(&self.values[first..first + self.width]) {
            sum[row] += *value;
        }
    }
}
