//! The shape in which an ensemble is scored, chosen once.
//!
//! Both rules become one comparison in the type `T` of the values: `x < t` goes left. For `x <= threshold` (a float64
//! threshold even where `x` is float32) `t` is the smallest `T` above the largest `T` that is not above the threshold,
//! which decides every `x` alike. Features that no node looks at are never read.

use std::ops::Range;

use super::ir::{Ensemble, NONE, Rule};
use super::kernel::{self, BLOCK, Ranks, Walk, Work};
use crate::matrix::{Matrix, Real, read};

/// What leaves hold and sums are made of.
pub(crate) trait Leaf:
    kernel::Summand + Copy + Default + std::ops::AddAssign + Send + Sync + std::fmt::Debug + 'static
{
}

impl Leaf for f32 {}
impl Leaf for f64 {}

/// A threshold type: the values' own.
pub(crate) trait Threshold: Real + kernel::Searched + kernel::Keyed {
    /// The `t` for which `x >= t` goes right exactly where the rule goes right with this threshold.
    fn lower(threshold: f64, rule: Rule) -> Self;
    /// The bit index of a category, `None` where the value is not a category.
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
            // Nothing is right of infinity, itself included: no value is at least NaN.
            Rule::LessEqual if threshold == f64::INFINITY => f32::NAN,
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
            Rule::LessEqual if threshold == f64::INFINITY => f64::NAN,
            Rule::LessEqual => threshold.next_up(),
        }
    }

    fn category(self) -> Option<usize> {
        (self > -1.0 && self < 2_147_483_648.0).then_some(self as usize)
    }
}

/// Fewer rows than this are scored one by one: ranks are computed for a whole group.
const FEW: usize = 12;

/// An ensemble, ready to be scored: values of type `T`, sums of type `V`.
#[derive(Debug)]
pub(crate) struct Plan<T: Threshold, V> {
    walk: Walk<T, V>,
    /// Many times faster for many rows; or why these trees cannot be scored so.
    ranks: Result<Ranks<T, V>, String>,
    outputs: usize,
    /// The features that are read, by column of a block.
    used: Vec<u32>,
    /// For each feature its column, or [`NONE`].
    columns: Vec<u32>,
}

impl<T: Threshold, V: Leaf> Plan<T, V> {
    /// Lowers a checked ensemble; `weight` scales the values of a tree.
    pub(crate) fn new(ensemble: &Ensemble, weight: impl Fn(usize, f64) -> V) -> Self {
        let mut columns = vec![NONE; ensemble.features];
        let splits = || ensemble.trees.iter().flat_map(|tree| &tree.nodes).filter(|node| !node.is_leaf());
        // A node that no way leads to was not checked, and may name any feature.
        splits().filter_map(|node| node.feature.try_into().ok()).for_each(|feature: usize| {
            if let Some(column) = columns.get_mut(feature) {
                *column = 0;
            }
        });
        let mut used = Vec::new();
        for (feature, column) in columns.iter_mut().enumerate().filter(|(_, column)| **column == 0) {
            *column = used.len() as u32;
            used.push(feature as u32);
        }
        let walk = Walk::new(ensemble, &columns, &weight);
        let ranks = Ranks::new(ensemble, &columns, &weight);
        Plan { walk, ranks, outputs: ensemble.outputs, used, columns }
    }

    /// How many sums a row has.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The kernel's name for `inspect`, and why it is not the quicker one.
    pub(crate) fn kernel(&self) -> String {
        match &self.ranks {
            Ok(_) => format!("ranks ({})", T::NAME),
            Err(reason) => format!("walk ({}; {reason})", T::NAME),
        }
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let ranks = self.ranks.as_ref().map_or(0, Ranks::bytes);
        self.walk.bytes() + ranks + (self.used.len() + self.columns.len()) * 4
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
        let columns = self.used.len().max(1);
        let mut from = 0;
        if let Some(ranks) = self.ranks.as_ref().ok().filter(|_| rows >= FEW) {
            let mut block = vec![T::NAN; BLOCK * columns];
            let mut work = Work::default();
            while rows - from >= FEW {
                let count = BLOCK.min(rows - from);
                self.gather(x, from..from + count, absent, missing, &mut block, BLOCK);
                ranks.run(block.as_chunks().0, from, count, &mut sums, &mut work);
                from += count;
            }
        }
        let Some(ranks) = self.ranks.as_ref().ok().filter(|ranks| ranks.runs_singly()) else {
            self.walk_from(x, from, &mut sums, absent, missing);
            return sums;
        };
        if from < rows {
            let count = rows - from;
            let mut block = vec![T::NAN; count * columns];
            self.gather(x, from..rows, absent, missing, &mut block, count);
            ranks.run_singly(&block, count, from, &mut sums);
        }
        sums
    }

    /// Adds the trees to the sums of all rows from `from` on by walks.
    fn walk_from(&self, x: &Matrix, mut from: usize, sums: &mut [Vec<V>], absent: T, missing: Option<T>) {
        let rows = x.rows();
        let at_once = self.walk.rows_at_once().min(rows - from);
        let stride = BLOCK.min(at_once);
        let mut block = vec![T::NAN; stride * self.used.len().max(1)];
        let mut keys = Vec::with_capacity(at_once * self.used.len().max(1));
        while from < rows {
            let until = rows.min(from + at_once);
            keys.clear();
            for first in (from..until).step_by(stride.max(1)) {
                let count = stride.min(until - first);
                self.gather(x, first..first + count, absent, missing, &mut block, stride);
                self.walk.lay_out(&block, stride, count, &mut keys);
            }
            self.walk.run(&keys, from, sums);
            from = until;
        }
    }

    /// Copies the used columns of some rows into the block, in which each column has room for `stride` rows.
    fn gather(&self, x: &Matrix, rows: Range<usize>, absent: T, missing: Option<T>, block: &mut [T], stride: usize) {
        match x {
            Matrix::Frame(frame) => {
                for (to, &feature) in block.chunks_exact_mut(stride).zip(&self.used) {
                    if !read(&frame.columns[feature as usize], rows.clone(), &mut to[..rows.len()]) {
                        to.fill(T::NAN);
                    }
                }
            }
            Matrix::Dense(dense) => {
                for (to, &feature) in block.chunks_exact_mut(stride).zip(&self.used) {
                    let column = &dense.column(feature as usize)[rows.clone()];
                    to.iter_mut().zip(column).for_each(|(to, from)| *to = T::narrow(*from));
                }
            }
            Matrix::Csr(csr) => {
                block.fill(absent);
                for row in rows.clone() {
                    for (feature, value) in csr.row(row) {
                        let column = self.columns[feature as usize];
                        if column != NONE {
                            block[column as usize * stride + row - rows.start] = T::narrow(value);
                        }
                    }
                }
            }
        }
        if let Some(missing) = missing {
            block.iter_mut().filter(|x| **x == missing).for_each(|x| *x = T::NAN);
        }
    }
}
