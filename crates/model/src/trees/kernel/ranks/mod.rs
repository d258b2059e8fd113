//! Trees of few leaves, by ranks: each value is looked up once among its feature's thresholds, and from then on a
//! comparison is one of bytes, for a block of rows at once. All splits of a tree are evaluated, and which rows reach
//! them is carried along, so that each row's leaf comes out as a number.
//!
//! [`numbers`] is the truth, which the compiler turns into vector code. With AVX-512, sets of rows are masks, and leaves'
//! values are picked out of registers.

#![allow(unsafe_code, reason = "calling functions compiled for features that were found on this processor")]

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod single;

use super::super::ir::{Ensemble, NONE, Tree};
use super::super::plan::{Leaf, Threshold};

/// Rows whose ranks one register holds.
pub(crate) const ROWS: usize = 64;

/// Groups of this many rows that go side by side, to hide each other's latencies.
const GROUPS: usize = 2;

/// Rows that are scored together.
pub(crate) const BLOCK: usize = ROWS * GROUPS;

/// Splits that a tree may have: they and its leaves are numbered by bytes, and one number means none.
const SPLITS: usize = 254;

/// Thresholds whose ranks lie in one plane: a rank is a byte.
const CUTS: usize = 255;

/// Values to which leaves may be padded in any case.
const PADDED: usize = 1 << 16;

/// One byte a row.
pub(crate) type Plane = [u8; ROWS];

/// Thresholds of one feature, at most [`CUTS`] of them, and where the ranks among them go.
#[derive(Debug)]
struct Lookup<T> {
    column: usize,
    /// Ascending, then NaN, which no value reaches: as many as a power of two, 2 to 256.
    cuts: Vec<T>,
    /// Every n-th cut where there are many, all where there are few, then NaN: as many as registers hold.
    pivots: Vec<T>,
    /// The plane in which a missing value is below all thresholds, and the one in which it is above.
    planes: [Option<u16>; 2],
}

/// A split: rows whose rank is at least `cut` go right.
#[derive(Debug, Clone, Copy)]
struct Split {
    plane: u16,
    cut: u8,
    /// Leaves on its left: what going right adds to the number of a row's leaf.
    leaves: u8,
    /// Where the rows that go on are carried to: a split of the same tree, or [`NOWHERE`].
    left: u8,
    right: u8,
}

/// In place of a split, where a leaf is.
const NOWHERE: u8 = 255;

#[derive(Debug, Clone, Copy)]
struct Root {
    splits: u32,
    count: u32,
    /// How many of them lead to other splits; the others come after them.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "the code for AVX-512 reads it"))]
    inner: u32,
    /// Where its values begin: for each output as many as `leaves`.
    values: u32,
    /// A power of two, at least 16.
    leaves: u32,
    /// The first output that it adds to.
    offset: u32,
}

/// An ensemble to be scored by ranks: values of type `T`, sums of type `V`.
#[derive(Debug)]
pub(crate) struct Ranks<T, V> {
    lookups: Vec<Lookup<T>>,
    planes: usize,
    splits: Vec<Split>,
    trees: Vec<Root>,
    values: Vec<V>,
    width: usize,
    #[cfg(target_arch = "x86_64")]
    single: Option<single::Single<V>>,
}

/// Buffers that blocks share.
#[derive(Debug)]
pub(crate) struct Work<V> {
    /// For each plane, its groups.
    planes: Vec<[Plane; GROUPS]>,
    reach: Vec<Plane>,
    sums: Vec<[V; BLOCK]>,
}

impl<V> Default for Work<V> {
    fn default() -> Self {
        Work { planes: Vec::new(), reach: Vec::new(), sums: Vec::new() }
    }
}

impl<T: Threshold, V: Leaf> Ranks<T, V> {
    /// Lowers a checked ensemble, where all its trees are small enough and compare numbers only; `columns` says which
    /// column of the block holds a feature's values, `weight` scales a tree's values.
    ///
    /// # Errors
    /// Why these trees cannot be scored so.
    pub(crate) fn new(ensemble: &Ensemble, columns: &[u32], weight: &impl Fn(usize, f64) -> V) -> Result<Self, String> {
        let shapes: Vec<Shape> = ensemble.trees.iter().map(Shape::of).collect::<Result<_, _>>()?;
        let padded: usize = shapes.iter().map(|shape| shape.padded() * ensemble.width).sum();
        let leaves: usize = ensemble.trees.iter().map(|tree| tree.values.len()).sum();
        if padded > leaves.saturating_mul(4).max(PADDED) {
            return Err("leaves of many values in trees of few leaves".to_string());
        }
        let lower = |threshold| T::lower(threshold, ensemble.rule);
        let cuts = cuts(ensemble, &shapes, columns, lower);
        let first: Vec<usize> = (cuts.iter())
            .scan(0, |next, cuts| Some(std::mem::replace(next, *next + cuts.len().div_ceil(CUTS))))
            .collect();
        let mut ranks = Ranks {
            lookups: lookups(&cuts),
            planes: 0,
            splits: Vec::with_capacity(shapes.iter().map(|shape| shape.splits.len()).sum()),
            trees: Vec::with_capacity(shapes.len()),
            values: Vec::with_capacity(padded),
            width: ensemble.width,
            #[cfg(target_arch = "x86_64")]
            single: None,
        };
        for (index, (tree, shape)) in ensemble.trees.iter().zip(&shapes).enumerate() {
            let by_level = shape.by_level(tree);
            ranks.trees.push(Root {
                splits: ranks.splits.len() as u32,
                count: shape.splits.len() as u32,
                inner: by_level.iter().filter(|(_, ways)| leads_on(ways)).count() as u32,
                values: ranks.values.len() as u32,
                leaves: shape.padded() as u32,
                offset: tree.offset,
            });
            for (node, [left, right, leaves]) in by_level {
                let node = &tree.nodes[node as usize];
                let column = columns[node.feature as usize] as usize;
                let t = lower(node.threshold);
                let place = match t.is_nan() {
                    true => cuts[column].len() - 1,
                    false => cuts[column].partition_point(|cut| *cut < t),
                };
                let lookup = &mut ranks.lookups[first[column] + place / CUTS];
                let plane = match lookup.planes[usize::from(!node.missing_left)] {
                    Some(plane) => plane,
                    None => {
                        let plane = u16::try_from(ranks.planes).map_err(|_| "too many different thresholds")?;
                        lookup.planes[usize::from(!node.missing_left)] = Some(plane);
                        ranks.planes += 1;
                        plane
                    }
                };
                ranks.splits.push(Split { plane, cut: (place % CUTS + 1) as u8, leaves, left, right });
            }
            for output in 0..ensemble.width {
                let value = |leaf: &u32| weight(index, tree.values[*leaf as usize * ensemble.width + output]);
                ranks.values.extend(shape.leaves.iter().map(value));
                ranks.values.resize(ranks.values.len() + shape.padded() - shape.leaves.len(), V::default());
            }
        }
        #[cfg(target_arch = "x86_64")]
        {
            let Ranks { trees, splits, values, width, planes, .. } = &ranks;
            ranks.single = single::Single::new(trees, splits, values, *width, *planes);
        }
        Ok(ranks)
    }

    /// Whether this processor and these trees have a way to score a row alone.
    pub(crate) fn runs_singly(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.single.is_some() && single::has_features();
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Adds all trees to the sums of rows one by one, from row `from` on, where [`Ranks::runs_singly`]: each column of
    /// the block has `count` rows.
    pub(crate) fn run_singly(&self, block: &[T], count: usize, from: usize, sums: &mut [Vec<V>]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(single) = self.single.as_ref().filter(|_| single::has_features()) {
            for row in 0..count {
                // SAFETY: the features were found on this processor.
                unsafe { single::run(self, single, |column| block[column * count + row], from + row, sums) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (block, count, from, sums);
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.lookups.iter().map(|lookup| size_of_val(&lookup.cuts[..]) + size_of_val(&lookup.pivots[..])).sum::<usize>()
            + size_of_val(&self.splits[..])
            + size_of_val(&self.trees[..])
            + size_of_val(&self.values[..])
            + self.bytes_of_single()
    }

    #[cfg(target_arch = "x86_64")]
    fn bytes_of_single(&self) -> usize {
        self.single.as_ref().map_or(0, single::Single::bytes)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn bytes_of_single(&self) -> usize {
        0
    }

    /// Adds all trees to the sums of `count` rows, from row `from` on; the block holds a column a feature.
    pub(crate) fn run(&self, block: &[[T; BLOCK]], from: usize, count: usize, sums: &mut [Vec<V>], work: &mut Work<V>) {
        self.run_as(Width::found(), block, from, count, sums, work);
    }

    pub(super) fn run_as(
        &self,
        width: Width,
        block: &[[T; BLOCK]],
        from: usize,
        count: usize,
        sums: &mut [Vec<V>],
        work: &mut Work<V>,
    ) {
        work.planes.resize(self.planes, [[0; ROWS]; GROUPS]);
        work.reach.resize(256, [0; ROWS]);
        work.sums.resize(sums.len(), [V::default(); BLOCK]);
        for (own, sums) in work.sums.iter_mut().zip(&*sums) {
            own[..count].copy_from_slice(&sums[from..from + count]);
        }
        let groups = count.div_ceil(ROWS);
        match width {
            // SAFETY: the features were found on this processor.
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 if groups == GROUPS => unsafe { avx512::run::<T, V, GROUPS>(self, block, work) },
            // SAFETY: likewise.
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => unsafe { avx512::run::<T, V, 1>(self, block, work) },
            // SAFETY: likewise.
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => unsafe { run_avx2(self, block, groups, work) },
            Width::Baseline => run(self, block, groups, work),
        }
        for (own, sums) in work.sums.iter().zip(sums) {
            sums[from..from + count].copy_from_slice(&own[..count]);
        }
    }
}

/// Thresholds and values that can be searched for by vector instructions.
pub(crate) trait Searched: Sized {
    /// How many thresholds lie in registers.
    const PIVOTS: usize;

    /// How many cuts are not above each value: the first steps among the pivots, the others in memory.
    ///
    /// # Safety
    /// The processor has AVX-512 F, VL, DQ and BW; the pivots are [`Searched::PIVOTS`]; the cuts are a power of two, 2 to
    /// 256.
    #[cfg(target_arch = "x86_64")]
    unsafe fn search_avx512(cuts: &[Self], pivots: &[Self], x: &[Self; ROWS]) -> Plane;
}

/// Leaves' values that vector instructions add.
pub(crate) trait Summand: Sized {
    /// Adds to each row's sum the value of its leaf.
    ///
    /// # Safety
    /// The processor has AVX-512 F, VL, DQ and BW; there is a power of two of values, 16 or more, and every number is below
    /// that.
    #[cfg(target_arch = "x86_64")]
    unsafe fn add_avx512(values: &[Self], numbers: std::arch::x86_64::__m512i, sums: &mut [Self; ROWS]);
}

#[cfg(not(target_arch = "x86_64"))]
mod elsewhere {
    impl super::Searched for f32 {
        const PIVOTS: usize = 2;
    }
    impl super::Searched for f64 {
        const PIVOTS: usize = 2;
    }
    impl super::Summand for f32 {}
    impl super::Summand for f64 {}
}

/// How wide this processor's vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Width {
    /// The widest that there are.
    pub(crate) fn found() -> Width {
        *Width::all().last().unwrap_or(&Width::Baseline)
    }

    /// All that there are, ascending.
    pub(crate) fn all() -> &'static [Width] {
        #[cfg(target_arch = "x86_64")]
        {
            let has_512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw");
            if has_512 && is_x86_feature_detected!("avx2") {
                return &[Width::Baseline, Width::Avx2, Width::Avx512];
            }
            if is_x86_feature_detected!("avx2") {
                return &[Width::Baseline, Width::Avx2];
            }
        }
        &[Width::Baseline]
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<T: Threshold, V: Leaf>(ranks: &Ranks<T, V>, block: &[[T; BLOCK]], groups: usize, work: &mut Work<V>) {
    run(ranks, block, groups, work);
}

#[inline(always)]
fn run<T: Threshold, V: Leaf>(ranks: &Ranks<T, V>, block: &[[T; BLOCK]], groups: usize, work: &mut Work<V>) {
    for lookup in &ranks.lookups {
        for (group, x) in block[lookup.column].as_chunks().0[..groups].iter().enumerate() {
            keep(lookup, look_up(&lookup.cuts, x), x, group, &mut work.planes);
        }
    }
    for tree in &ranks.trees {
        let splits = &ranks.splits[tree.splits as usize..(tree.splits + tree.count) as usize];
        let values = &ranks.values[tree.values as usize..];
        for group in 0..groups {
            let numbers = numbers(splits, group, &work.planes, &mut work.reach);
            let sums = &mut work.sums[tree.offset as usize..][..ranks.width];
            for (values, sums) in values.chunks_exact(tree.leaves as usize).zip(sums) {
                for (sum, number) in sums.as_chunks_mut::<ROWS>().0[group].iter_mut().zip(&numbers) {
                    *sum += values[usize::from(*number)];
                }
            }
        }
    }
}

/// How many thresholds are not above each value.
#[inline(always)]
fn look_up<T: Threshold>(cuts: &[T], x: &[T; ROWS]) -> Plane {
    // The search is unrolled for each size.
    match cuts.len() {
        2 => search::<T, 2>(cuts, x),
        4 => search::<T, 4>(cuts, x),
        8 => search::<T, 8>(cuts, x),
        16 => search::<T, 16>(cuts, x),
        32 => search::<T, 32>(cuts, x),
        64 => search::<T, 64>(cuts, x),
        128 => search::<T, 128>(cuts, x),
        _ => search::<T, 256>(cuts, x),
    }
}

/// A search without a branch, all rows at the same step.
#[inline(always)]
fn search<T: Threshold, const N: usize>(cuts: &[T], x: &[T; ROWS]) -> Plane {
    let mut ranks = [0u8; ROWS];
    let Some(cuts) = cuts.first_chunk::<N>() else { return ranks };
    let mut half = N / 2;
    while half > 0 {
        for (rank, x) in ranks.iter_mut().zip(x) {
            let above = usize::from(*rank) + half;
            *rank = if cuts[(above - 1) & (N - 1)] <= *x { above as u8 } else { *rank };
        }
        half /= 2;
    }
    ranks
}

/// Keeps ranks where splits look for them. No comparison holds for a missing value: its rank is 0, or the highest where
/// it is to be above all thresholds.
#[inline(always)]
fn keep<T: Threshold>(
    lookup: &Lookup<T>,
    mut ranks: Plane,
    x: &[T; ROWS],
    group: usize,
    planes: &mut [[Plane; GROUPS]],
) {
    if let Some(plane) = lookup.planes[0] {
        planes[usize::from(plane)][group] = ranks;
    }
    if let Some(plane) = lookup.planes[1] {
        for (rank, x) in ranks.iter_mut().zip(x) {
            *rank |= if x.is_nan() { u8::MAX } else { 0 };
        }
        planes[usize::from(plane)][group] = ranks;
    }
}

/// The number of each row's leaf, from left to right.
#[inline(always)]
fn numbers(splits: &[Split], group: usize, planes: &[[Plane; GROUPS]], reach: &mut [Plane]) -> Plane {
    let mut numbers = [0; ROWS];
    reach[0] = [u8::MAX; ROWS];
    for (index, split) in splits.iter().enumerate() {
        let (here, ranks) = (reach[index], &planes[usize::from(split.plane)][group]);
        let (mut left, mut right) = ([0; ROWS], [0; ROWS]);
        for row in 0..ROWS {
            right[row] = if ranks[row] >= split.cut { here[row] } else { 0 };
            left[row] = here[row] ^ right[row];
            numbers[row] += right[row] & split.leaves;
        }
        reach[usize::from(split.left)] = left;
        reach[usize::from(split.right)] = right;
    }
    numbers
}

/// A tree's splits, parents before children and left sides before right ones, and the places of its leaves' values, from
/// left to right.
struct Shape {
    splits: Vec<u32>,
    leaves: Vec<u32>,
}

impl Shape {
    fn of(tree: &Tree) -> Result<Shape, String> {
        let mut shape = Shape { splits: Vec::new(), leaves: Vec::new() };
        let mut open = vec![0];
        while let Some(index) = open.pop() {
            let node = &tree.nodes[index as usize];
            if node.is_leaf() {
                shape.leaves.push(node.feature);
                continue;
            }
            if node.set != NONE {
                return Err("splits by categories".to_string());
            }
            if shape.splits.len() == SPLITS {
                return Err(format!("trees of more than {} leaves", SPLITS + 1));
            }
            shape.splits.push(index);
            open.extend([node.right, node.left]);
        }
        Ok(shape)
    }

    /// Room for the leaves' values.
    fn padded(&self) -> usize {
        self.leaves.len().next_power_of_two().max(16)
    }

    /// The nodes of the splits, level by level, those that lead to leaves only after all others; each with where its two
    /// sides go on in this order, and how many leaves are on its left. One level does not wait for itself: splits that
    /// follow each other are computed side by side.
    fn by_level(&self, tree: &Tree) -> Vec<(u32, [u8; 3])> {
        let ways = self.ways(tree);
        let mut order: Vec<u8> = Vec::with_capacity(ways.len());
        order.extend((!ways.is_empty()).then_some(0));
        let mut next = 0;
        while let Some(split) = order.get(next) {
            let [left, right, _] = ways[usize::from(*split)];
            order.extend([left, right].into_iter().filter(|child| *child != NOWHERE));
            next += 1;
        }
        order.sort_by_key(|split| !leads_on(&ways[usize::from(*split)]));
        let mut places = [NOWHERE; 256];
        order.iter().enumerate().for_each(|(place, split)| places[usize::from(*split)] = place as u8);
        let placed = |split: u8| {
            let [left, right, leaves] = ways[usize::from(split)];
            let place = |child: u8| places[usize::from(child)];
            (self.splits[usize::from(split)], [place(left), place(right), leaves])
        };
        order.into_iter().map(placed).collect()
    }

    /// For each split where its two sides go on, and how many leaves are on its left.
    fn ways(&self, tree: &Tree) -> Vec<[u8; 3]> {
        let mut below = vec![0; self.splits.len()];
        let mut ways = vec![[NOWHERE; 3]; self.splits.len()];
        for (index, node) in self.splits.iter().enumerate().rev() {
            let node = &tree.nodes[*node as usize];
            let is_split = |child: u32| !tree.nodes[child as usize].is_leaf();
            let left = if is_split(node.left) { below[index + 1] } else { 0 };
            let at_right = index + 1 + left;
            let right = if is_split(node.right) { below[at_right] } else { 0 };
            below[index] = left + right + 1;
            let place = |splits: usize, at: usize| if splits > 0 { at as u8 } else { NOWHERE };
            // A tree has one leaf more than splits.
            ways[index] = [place(left, index + 1), place(right, at_right), (left + 1) as u8];
        }
        ways
    }
}

/// Whether a split leads to another one.
fn leads_on([left, right, _]: &[u8; 3]) -> bool {
    *left != NOWHERE || *right != NOWHERE
}

/// By column, the thresholds that splits compare with, ascending, each once; NaN, which nothing reaches, last.
fn cuts<T: Threshold>(ensemble: &Ensemble, shapes: &[Shape], columns: &[u32], lower: impl Fn(f64) -> T) -> Vec<Vec<T>> {
    let count = columns.iter().filter(|column| **column != NONE).map(|column| *column as usize + 1).max();
    let mut cuts = vec![Vec::new(); count.unwrap_or(0)];
    for (tree, shape) in ensemble.trees.iter().zip(shapes) {
        for node in shape.splits.iter().map(|node| &tree.nodes[*node as usize]) {
            cuts[columns[node.feature as usize] as usize].push(lower(node.threshold));
        }
    }
    for cuts in &mut cuts {
        cuts.sort_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())));
        cuts.dedup_by(|a, b| a == b || a.is_nan() && b.is_nan());
    }
    cuts
}

fn lookups<T: Threshold>(cuts: &[Vec<T>]) -> Vec<Lookup<T>> {
    let of_part = |column, part: &[T]| {
        let mut cuts = part.to_vec();
        cuts.resize((part.len() + 1).next_power_of_two(), T::NAN);
        let stride = (cuts.len() / T::PIVOTS).max(1);
        let mut pivots: Vec<T> = cuts.iter().skip(stride - 1).step_by(stride).copied().collect();
        pivots.resize(T::PIVOTS, T::NAN);
        Lookup { column, cuts, pivots, planes: [None; 2] }
    };
    let of_column = |(column, cuts): (usize, &Vec<T>)| cuts.chunks(CUTS).map(|part| of_part(column, part)).collect();
    cuts.iter().enumerate().flat_map(|one| -> Vec<_> { of_column(one) }).collect()
}
