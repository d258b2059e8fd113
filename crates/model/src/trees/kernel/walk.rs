//! Trees of any shape, walked from the root to a leaf: each row reads the nodes on its own way only.
//!
//! What walks wait for is memory. Values and thresholds become integers of the same order, so that a node of float32
//! takes eight bytes; as many rows as a tree has nodes go through it before the next tree is fetched, and that one is
//! asked for in time.

#![allow(
    unsafe_code,
    reason = "places that are checked when trees are lowered, and the same code for newer processors"
)]

use super::super::ir::{Ensemble, NONE, Tree};
use super::super::plan::{Leaf, Threshold};

/// Walks that go side by side, to hide the latency of each one's next node.
const SIDE_BY_SIDE: usize = 16;

/// Steps between two looks whether all walks have ended.
const STEPS: u32 = 4;

/// Rows whose values stay in the second-level cache, by their number of values.
const VALUES: usize = 1 << 15;

/// Values of all rows that are walked at once, however large the trees are.
const MOST_VALUES: usize = 1 << 22;

/// Values as integers of the same order.
pub(crate) trait Keyed: Sized {
    type Key: Copy + Ord + Send + Sync + std::fmt::Debug + 'static;
    /// The key of a missing value, below those of all others.
    const MISSING: Self::Key;
    /// Above the keys of all values.
    const UNREACHED: Self::Key;
    /// Both zeros have one key.
    fn key(self) -> Self::Key;
    /// The value, but that of -0.0 is 0.0.
    fn of_key(key: Self::Key) -> Self;
}

macro_rules! keyed {
    ($float:ty, $int:ty, $uint:ty) => {
        impl Keyed for $float {
            type Key = $int;
            const MISSING: $int = <$int>::MIN;
            const UNREACHED: $int = <$int>::MAX;

            #[inline(always)]
            fn key(self) -> $int {
                let bits = (self + 0.0).to_bits().cast_signed();
                let key = bits ^ ((bits >> (<$int>::BITS - 1)).cast_unsigned() >> 1).cast_signed();
                if self.is_nan() { Self::MISSING } else { key }
            }

            #[inline(always)]
            fn of_key(key: $int) -> $float {
                let bits = key ^ ((key >> (<$int>::BITS - 1)).cast_unsigned() >> 1).cast_signed();
                if key == Self::MISSING { <$float>::NAN } else { <$float>::from_bits(bits.cast_unsigned()) }
            }
        }
    };
}
keyed!(f32, i32, u32);
keyed!(f64, i64, u64);

/// A node: siblings lie beside each other, and a leaf leads to itself.
#[derive(Debug, Clone, Copy)]
struct Step<K, L> {
    /// Right when the value's key is not below it.
    cut: K,
    /// From its lowest bit: the column of the feature, whether a missing value goes right, how far away the left child is.
    link: L,
}

/// How the link of a node is stored: in four bytes where the largest tree allows it.
trait Link: Copy + Send + Sync + std::fmt::Debug + 'static {
    fn of(wide: u64) -> Self;
    fn wide(self) -> u64;
}

impl Link for u32 {
    fn of(wide: u64) -> Self {
        wide as u32
    }

    #[inline(always)]
    fn wide(self) -> u64 {
        self.into()
    }
}

impl Link for u64 {
    fn of(wide: u64) -> Self {
        wide
    }

    #[inline(always)]
    fn wide(self) -> u64 {
        self
    }
}

#[derive(Debug)]
enum Steps<K> {
    Near(Vec<Step<K, u32>>),
    Far(Vec<Step<K, u64>>),
}

/// An ensemble to be walked: values of type `T`, sums of type `V`.
#[derive(Debug)]
pub(crate) struct Walk<T: Keyed, V> {
    steps: Steps<T::Key>,
    /// How many bits of a link name the column.
    column_bits: u32,
    /// Values of a row.
    columns: usize,
    trees: Vec<Root>,
    /// Which nodes are leaves.
    leaves: Vec<Leaves>,
    /// For each node: its set of categories, or [`NONE`]; empty where no tree has one.
    set: Vec<u32>,
    sets: Vec<Vec<u32>>,
    /// Those of each leaf, in the order of the nodes.
    values: Vec<V>,
    width: usize,
}

#[derive(Debug, Clone, Copy)]
struct Root {
    node: u32,
    /// How many nodes it has.
    count: u32,
    /// Steps to its deepest leaf.
    depth: u32,
    /// The first output that it adds to.
    offset: u32,
}

/// Which of 64 nodes are leaves, and how many leaves lie before them.
#[derive(Debug, Clone, Copy, Default)]
struct Leaves {
    here: u64,
    before: u32,
}

/// What nodes may have to look at, besides numbers that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    Nothing,
    Missing,
    Sets,
}

const NOTHING: u8 = Care::Nothing as u8;
const MISSING: u8 = Care::Missing as u8;
const SETS: u8 = Care::Sets as u8;

impl<T: Threshold, V: Leaf> Walk<T, V> {
    /// Lowers a checked ensemble; `columns` says where each feature's values lie in a row, `weight` scales a tree's
    /// values.
    pub(crate) fn new(ensemble: &Ensemble, columns: &[u32], weight: &impl Fn(usize, f64) -> V) -> Self {
        let used = columns.iter().filter(|column| **column != NONE).map(|column| *column as usize + 1).max();
        let largest = ensemble.trees.iter().map(|tree| tree.nodes.len()).max().unwrap_or(0);
        let bits = |largest: usize| usize::BITS - largest.leading_zeros();
        let column_bits = bits(used.map_or(0, |used| used - 1));
        let mut walk = Walk {
            steps: Steps::Near(Vec::new()),
            column_bits,
            columns: used.unwrap_or(1),
            trees: Vec::with_capacity(ensemble.trees.len()),
            leaves: Vec::new(),
            set: Vec::new(),
            sets: Vec::new(),
            values: Vec::with_capacity(ensemble.trees.iter().map(|tree| tree.values.len()).sum()),
            width: ensemble.width,
        };
        walk.steps = match column_bits + 1 + bits(largest) <= u32::BITS {
            true => Steps::Near(walk.lower(ensemble, columns, weight)),
            false => Steps::Far(walk.lower(ensemble, columns, weight)),
        };
        walk
    }

    fn lower<L: Link>(
        &mut self,
        ensemble: &Ensemble,
        columns: &[u32],
        weight: &impl Fn(usize, f64) -> V,
    ) -> Vec<Step<T::Key, L>> {
        let has_sets =
            ensemble.trees.iter().any(|tree| tree.nodes.iter().any(|node| !node.is_leaf() && node.set != NONE));
        let mut steps = Vec::with_capacity(ensemble.nodes());
        for (index, tree) in ensemble.trees.iter().enumerate() {
            let lower = |threshold| T::lower(threshold, ensemble.rule);
            self.add_tree(&mut steps, tree, columns, has_sets, lower, |value| weight(index, value));
        }
        steps
    }

    fn add_tree<L: Link>(
        &mut self,
        steps: &mut Vec<Step<T::Key, L>>,
        tree: &Tree,
        columns: &[u32],
        has_sets: bool,
        lower: impl Fn(f64) -> T,
        weight: impl Fn(f64) -> V,
    ) {
        let root = steps.len();
        let first_set = self.sets.len() as u32;
        self.sets.extend(tree.sets.iter().cloned());
        let link = |away: usize, side: u64, column: u32| {
            L::of((away as u64) << (self.column_bits + 1) | side << self.column_bits | u64::from(column))
        };
        let leaf = Step { cut: T::UNREACHED, link: link(0, 0, 0) };
        // For each of this tree's nodes: where its leaf's values are in the file, or `NONE`.
        let mut from_file = vec![NONE];
        steps.push(leaf);
        // Depth first, and first the side to which more rows went in training: most ways lead on to what is near.
        let mut open = vec![(0u32, root, 0u32)];
        let mut deepest = 0;
        while let Some((node, at, depth)) = open.pop() {
            deepest = deepest.max(depth);
            let from = &tree.nodes[node as usize];
            if from.is_leaf() {
                from_file[at - root] = from.feature;
                continue;
            }
            let left = steps.len();
            steps.extend([leaf; 2]);
            from_file.extend([NONE; 2]);
            let t = lower(from.threshold);
            let cut = if t.is_nan() { T::UNREACHED } else { t.key() };
            let side = u64::from(!from.missing_left);
            let column = columns[from.feature as usize];
            assert!((column as usize) < self.columns, "a column that has no place in a row");
            steps[at] = Step { cut, link: link(left - at, side, column) };
            if has_sets {
                self.set.resize(steps.len(), NONE);
                if from.set != NONE {
                    self.set[at] = first_set + from.set;
                }
            }
            let (left, right) = ((from.left, left, depth + 1), (from.right, left + 1, depth + 1));
            let cover = |child: u32| tree.nodes[child as usize].cover;
            open.extend(if cover(from.left) < cover(from.right) { [left, right] } else { [right, left] });
        }
        if has_sets {
            self.set.resize(steps.len(), NONE);
        }
        for (place, leaf) in from_file.into_iter().enumerate() {
            let at = root + place;
            if at % 64 == 0 {
                let before = self.leaves.last().map_or(0, |last| last.before + last.here.count_ones());
                self.leaves.push(Leaves { here: 0, before });
            }
            if leaf != NONE {
                self.leaves[at / 64].here |= 1 << (at % 64);
                let first = leaf as usize * self.width;
                self.values.extend(tree.values[first..first + self.width].iter().map(|value| weight(*value)));
            }
        }
        self.trees.push(Root {
            node: root as u32,
            count: (steps.len() - root) as u32,
            depth: deepest,
            offset: tree.offset,
        });
    }

    /// Whether some splits look at sets of categories.
    fn has_sets(&self) -> bool {
        !self.set.is_empty()
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let steps = match &self.steps {
            Steps::Near(steps) => size_of_val(&steps[..]),
            Steps::Far(steps) => size_of_val(&steps[..]),
        };
        steps
            + size_of_val(&self.trees[..])
            + size_of_val(&self.leaves[..])
            + size_of_val(&self.set[..])
            + size_of_val(&self.values[..])
            + self.sets.iter().map(|set| set.len() * 4).sum::<usize>()
    }

    /// How many rows should go through the trees at once: those that a cache holds, or as many as a tree has nodes, so
    /// that fetching it pays.
    pub(crate) fn rows_at_once(&self) -> usize {
        let nodes = self.trees.iter().map(|tree| tree.count as usize).sum::<usize>() / self.trees.len().max(1);
        (VALUES / self.columns).max(nodes).min(MOST_VALUES / self.columns).max(1)
    }

    /// Appends the keys of `count` rows of a block, in which each column has room for `stride` rows.
    pub(crate) fn lay_out(&self, block: &[T], stride: usize, count: usize, keys: &mut Vec<T::Key>) {
        let first = keys.len();
        keys.resize(first + count * self.columns, T::MISSING);
        for (column, values) in block.chunks_exact(stride).take(self.columns).enumerate() {
            for (row, value) in keys[first..].chunks_exact_mut(self.columns).zip(&values[..count]) {
                row[column] = value.key();
            }
        }
    }

    /// Adds all trees to the sums of the rows that were laid out, from row `from` on.
    pub(crate) fn run(&self, keys: &[T::Key], from: usize, sums: &mut [Vec<V>]) {
        let care = match self.has_sets() {
            true => Care::Sets,
            false if keys.contains(&T::MISSING) => Care::Missing,
            false => Care::Nothing,
        };
        match (&self.steps, care) {
            (Steps::Near(steps), Care::Nothing) => self.run_with::<u32, NOTHING>(steps, keys, from, sums),
            (Steps::Near(steps), Care::Missing) => self.run_with::<u32, MISSING>(steps, keys, from, sums),
            (Steps::Near(steps), Care::Sets) => self.run_with::<u32, SETS>(steps, keys, from, sums),
            (Steps::Far(steps), Care::Nothing) => self.run_with::<u64, NOTHING>(steps, keys, from, sums),
            (Steps::Far(steps), Care::Missing) => self.run_with::<u64, MISSING>(steps, keys, from, sums),
            (Steps::Far(steps), Care::Sets) => self.run_with::<u64, SETS>(steps, keys, from, sums),
        }
    }

    fn run_with<L: Link, const CARE: u8>(
        &self,
        steps: &[Step<T::Key, L>],
        keys: &[T::Key],
        from: usize,
        sums: &mut [Vec<V>],
    ) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("popcnt") {
            // SAFETY: the features are there.
            return unsafe { self.run_bits::<L, CARE>(steps, keys, from, sums) };
        }
        self.run_plain::<L, CARE>(steps, keys, from, sums);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,bmi2,popcnt")]
    fn run_bits<L: Link, const CARE: u8>(
        &self,
        steps: &[Step<T::Key, L>],
        keys: &[T::Key],
        from: usize,
        sums: &mut [Vec<V>],
    ) {
        self.run_plain::<L, CARE>(steps, keys, from, sums);
    }

    #[inline(always)]
    fn run_plain<L: Link, const CARE: u8>(
        &self,
        steps: &[Step<T::Key, L>],
        keys: &[T::Key],
        from: usize,
        sums: &mut [Vec<V>],
    ) {
        if keys.len() / self.columns < SIDE_BY_SIDE {
            self.trees_side_by_side::<L, CARE>(steps, keys, from, sums);
        } else {
            self.rows_side_by_side::<L, CARE>(steps, keys, from, sums);
        }
    }

    /// Tree by tree, so that a large tree is fetched from memory once for all rows.
    #[inline(always)]
    fn rows_side_by_side<L: Link, const CARE: u8>(
        &self,
        steps: &[Step<T::Key, L>],
        keys: &[T::Key],
        from: usize,
        sums: &mut [Vec<V>],
    ) {
        let chunks = (keys.len() / self.columns).div_ceil(SIDE_BY_SIDE);
        for (index, root) in self.trees.iter().enumerate() {
            let mut ahead = self.ahead(steps, index + 1, chunks);
            for (chunk, keys) in keys.chunks(SIDE_BY_SIDE * self.columns).enumerate() {
                ahead.ask();
                let count = keys.len() / self.columns;
                // Where there are no more rows, the first one once more.
                let rows: [&[T::Key]; SIDE_BY_SIDE] = std::array::from_fn(|row| {
                    &keys[if row < count { row } else { 0 } * self.columns..][..self.columns]
                });
                let mut at = [root.node; SIDE_BY_SIDE];
                self.descend::<L, CARE>(steps, &mut at, root.depth, |row| rows[row]);
                for (place, node) in at[..count].iter().enumerate() {
                    self.add(*node, root, from + chunk * SIDE_BY_SIDE + place, sums);
                }
            }
        }
    }

    /// Row by row, so that the few that there are do not wait for one node after the other.
    #[inline(always)]
    fn trees_side_by_side<L: Link, const CARE: u8>(
        &self,
        steps: &[Step<T::Key, L>],
        keys: &[T::Key],
        from: usize,
        sums: &mut [Vec<V>],
    ) {
        for (place, row) in keys.chunks_exact(self.columns).enumerate() {
            for roots in self.trees.chunks(SIDE_BY_SIDE) {
                let deepest = roots.iter().map(|root| root.depth).max().unwrap_or(0);
                let mut at = [roots[0].node; SIDE_BY_SIDE];
                at.iter_mut().zip(roots).for_each(|(at, root)| *at = root.node);
                self.descend::<L, CARE>(steps, &mut at, deepest, |_| row);
                for (node, root) in at.iter().zip(roots) {
                    self.add(*node, root, from + place, sums);
                }
            }
        }
    }

    /// Walks from nodes to leaves, at most so many steps, all side by side.
    #[inline(always)]
    fn descend<'k, L: Link, const CARE: u8>(
        &self,
        steps: &[Step<T::Key, L>],
        at: &mut [u32; SIDE_BY_SIDE],
        depth: u32,
        row: impl Fn(usize) -> &'k [T::Key],
    ) where
        T::Key: 'k,
    {
        let mut left = depth;
        while left > STEPS {
            for _ in 1..STEPS {
                for (place, at) in at.iter_mut().enumerate() {
                    *at += self.next::<L, CARE>(steps, *at, row(place));
                }
            }
            let mut moved = 0;
            for (place, at) in at.iter_mut().enumerate() {
                let away = self.next::<L, CARE>(steps, *at, row(place));
                moved |= away;
                *at += away;
            }
            if moved == 0 {
                return;
            }
            left -= STEPS;
        }
        for _ in 0..left {
            for (place, at) in at.iter_mut().enumerate() {
                *at += self.next::<L, CARE>(steps, *at, row(place));
            }
        }
    }

    /// How far a row goes from a node. What is in a set of categories goes right, what is not a category or too large goes
    /// left, what is missing goes the missing way.
    #[inline(always)]
    fn next<L: Link, const CARE: u8>(&self, steps: &[Step<T::Key, L>], at: u32, row: &[T::Key]) -> u32 {
        debug_assert!((at as usize) < steps.len() && row.len() == self.columns);
        // SAFETY: walks begin at roots, and each node leads to one of its own tree.
        let node = unsafe { steps.get_unchecked(at as usize) };
        let link = node.link.wide();
        // SAFETY: a node's column is one of those that a row has, which is looked at when it is made.
        let x = unsafe { *row.get_unchecked((link & ((1 << self.column_bits) - 1)) as usize) };
        let missing_right = link >> self.column_bits & 1 == 1;
        let above = x >= node.cut;
        let right = match CARE {
            NOTHING => above,
            MISSING => above | ((x == T::MISSING) & missing_right),
            _ if x == T::MISSING => missing_right,
            _ if self.set[at as usize] != NONE => {
                let words = &self.sets[self.set[at as usize] as usize];
                let has = |bit: usize| words.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 == 1);
                T::of_key(x).category().is_some_and(has)
            }
            _ => above,
        };
        (link >> (self.column_bits + 1)) as u32 + u32::from(right)
    }

    #[inline(always)]
    fn add(&self, node: u32, root: &Root, row: usize, sums: &mut [Vec<V>]) {
        let node = node as usize;
        let Leaves { here, before } = self.leaves[node / 64];
        let leaf = before as usize + (here & ((1 << (node % 64)) - 1)).count_ones() as usize;
        if self.width == 1 {
            sums[root.offset as usize][row] += self.values[leaf];
            return;
        }
        let outputs = &mut sums[root.offset as usize..root.offset as usize + self.width];
        let first = leaf * self.width;
        for (sum, value) in outputs.iter_mut().zip(&self.values[first..first + self.width]) {
            sum[row] += *value;
        }
    }

    /// What to ask memory for while the tree before this one is walked in so many chunks of rows.
    fn ahead<'a, L>(
        &'a self,
        steps: &'a [Step<T::Key, L>],
        tree: usize,
        chunks: usize,
    ) -> Ahead<'a, Step<T::Key, L>, V> {
        let Some(root) = self.trees.get(tree) else { return Ahead { steps: &[], values: &[], step: 1, value: 1 } };
        let range = root.node as usize..(root.node + root.count) as usize;
        let leaf = |node: usize| self.leaves.get(node / 64).map_or(0, |leaves| leaves.before as usize * self.width);
        let values = self.values.get(leaf(range.start)..leaf(range.end)).unwrap_or_default();
        let (step, value) = (root.count as usize / chunks + 1, values.len() / chunks + 1);
        // A few rows do not visit most of a large tree.
        match step * size_of::<Step<T::Key, L>>() > MOST_ASKED {
            true => Ahead { steps: &[], values: &[], step, value },
            false => Ahead { steps: &steps[range], values, step, value },
        }
    }
}

/// Bytes of a tree that are asked for at most, for each chunk of rows.
const MOST_ASKED: usize = 16 * 1024;

/// A tree that will be walked next: what of it has not been asked for.
struct Ahead<'a, S, V> {
    steps: &'a [S],
    values: &'a [V],
    /// How many are asked for at a time.
    step: usize,
    value: usize,
}

impl<S, V> Ahead<'_, S, V> {
    #[inline(always)]
    fn ask(&mut self) {
        ask(&mut self.steps, self.step);
        ask(&mut self.values, self.value);
    }
}

/// Asks memory for the first few of a list, and leaves the others.
#[inline(always)]
fn ask<S>(list: &mut &[S], count: usize) {
    let (now, later) = list.split_at(count.min(list.len()));
    *list = later;
    #[cfg(target_arch = "x86_64")]
    for line in now.chunks((64 / size_of::<S>()).max(1)) {
        // SAFETY: a prefetch is a hint; it reads nothing.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = now;
}
