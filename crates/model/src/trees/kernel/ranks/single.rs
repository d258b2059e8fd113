//! One row alone: all splits of a tree are compared at once. In trees of few levels the results are the way to the leaf,
//! bit by bit; in small ones each split that goes right takes the leaves on its left away, and the first that is not
//! taken is the row's leaf; in the others the results lead from split to split.

#![allow(unsafe_code, reason = "vector instructions over arrays whose lengths are checked when they are made")]

use std::arch::x86_64::*;

use super::super::super::plan::{Leaf, Threshold};
use super::{NOWHERE, Ranks, Root, Split};

/// Levels whose splits are as many as a register has bytes, with one to spare.
const LEVELS: u8 = 6;

/// What [`LEVELS`] levels lead to.
const FULL: usize = 1 << LEVELS;

/// Splits of a tree of few levels from which on it is laid out as a full one: smaller ones take less memory as they are.
const MANY: u32 = 16;

/// Leaves of a small tree at most, and more than it has splits.
const NARROW: usize = 32;

/// Planes that two registers hold.
const PLANES: usize = 128;

/// Where leaves begin in [`Single::wide`].
const LEAF: u8 = 64;

/// Trees of at most 64 leaves, for one row.
#[derive(Debug)]
pub(crate) struct Single<V> {
    /// For each tree how it is laid out.
    ways: Vec<Way>,
    /// For each tree: the plane of each of its splits, then their cuts. Of a full one these are 64 each: none, its root, the
    /// two below it, and so on; of a small one 32 each.
    splits: Vec<u8>,
    /// For each full tree and output the values of its 64 leaves; one that lies higher up is there as often as is below it.
    leaves: Vec<[V; FULL]>,
    /// For each leaf of another tree of at most 32 leaves: the splits that take it away when a row goes right there.
    narrow: Vec<[u32; NARROW]>,
    /// For each larger tree how deep it is, and for each of its splits, at two times its number, where its sides go on: at
    /// a split, or at [`LEAF`] and the number of a leaf. A leaf goes on at itself.
    wide: Vec<(u8, [u8; 256])>,
}

/// How a tree is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Full,
    Narrow,
    Wide,
}

/// Whether this processor has what [`run`] needs.
pub(super) fn has_features() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
}

impl<V: Leaf> Single<V> {
    /// None where the trees or their ranks do not fit into registers, or nothing is to be added.
    pub(super) fn new(trees: &[Root], splits: &[Split], values: &[V], width: usize, planes: usize) -> Option<Self> {
        if planes > PLANES || trees.iter().any(|tree| tree.count >= 64) || trees.is_empty() || width == 0 {
            return None;
        }
        let mut single = Single {
            ways: Vec::with_capacity(trees.len()),
            splits: Vec::with_capacity(2 * splits.len()),
            leaves: Vec::new(),
            narrow: Vec::new(),
            wide: Vec::new(),
        };
        for tree in trees {
            let splits = &splits[tree.splits as usize..(tree.splits + tree.count) as usize];
            let (firsts, depth) = places(splits);
            if depth <= LEVELS && tree.count >= MANY {
                single.ways.push(Way::Full);
                let values = &values[tree.values as usize..][..width * tree.leaves as usize];
                single.add_full(splits, values.chunks_exact(tree.leaves as usize));
            } else if splits.len() < NARROW {
                single.ways.push(Way::Narrow);
                single.add_narrow(splits, &firsts);
            } else {
                single.ways.push(Way::Wide);
                single.add_wide(splits, &firsts, depth);
            }
        }
        Some(single)
    }

    /// `values` has those of each output.
    fn add_full<'v>(&mut self, splits: &[Split], values: impl Iterator<Item = &'v [V]>) {
        let (mut planes, mut cuts, mut numbers) = ([0; FULL], [0; FULL], [0; FULL]);
        // Where in the full tree, on which level, which split or else which leaf.
        let mut open = vec![(1, 0, 0, 0)];
        while let Some((at, level, split, leaf)) = open.pop() {
            let Some(split) = splits.get(usize::from(split)) else {
                let below = LEVELS - level;
                numbers[(at << below) - FULL..][..1 << below].fill(leaf);
                continue;
            };
            (planes[at], cuts[at]) = (split.plane as u8, split.cut);
            open.push((2 * at, level + 1, split.left, leaf));
            open.push((2 * at + 1, level + 1, split.right, leaf + split.leaves));
        }
        self.splits.extend(planes);
        self.splits.extend(cuts);
        self.leaves.extend(values.map(|values| numbers.map(|number: u8| values[usize::from(number)])));
    }

    fn add_narrow(&mut self, splits: &[Split], firsts: &[u8]) {
        let (mut planes, mut cuts, mut taken) = ([0; NARROW], [0; NARROW], [0; NARROW]);
        for (index, (split, first)) in splits.iter().zip(firsts).enumerate() {
            (planes[index], cuts[index]) = (split.plane as u8, split.cut);
            taken[usize::from(*first)..][..usize::from(split.leaves)].iter_mut().for_each(|by| *by |= 1 << index);
        }
        self.splits.extend(planes);
        self.splits.extend(cuts);
        self.narrow.push(taken);
    }

    fn add_wide(&mut self, splits: &[Split], firsts: &[u8], depth: u8) {
        self.splits.extend(splits.iter().map(|split| split.plane as u8));
        self.splits.extend(splits.iter().map(|split| split.cut));
        let mut ways: [u8; 256] = std::array::from_fn(|at| at as u8 / 2);
        for (index, (split, first)) in splits.iter().zip(firsts).enumerate() {
            for (side, child, leaf) in [(0, split.left, *first), (1, split.right, first + split.leaves)] {
                ways[2 * index + side] = if child == NOWHERE { LEAF + leaf } else { child };
            }
        }
        self.wide.push((depth, ways));
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.ways[..])
            + size_of_val(&self.splits[..])
            + size_of_val(&self.leaves[..])
            + size_of_val(&self.narrow[..])
            + size_of_val(&self.wide[..])
    }
}

/// For each split the leaf at which it begins; and how many splits lead to a leaf at most.
fn places(splits: &[Split]) -> (Vec<u8>, u8) {
    let mut places = vec![(0, 0); splits.len()];
    let mut depth = 0;
    for (index, split) in splits.iter().enumerate() {
        let (first, above) = places[index];
        depth = depth.max(above + 1);
        for (child, leaf) in [(split.left, first), (split.right, first + split.leaves)] {
            if child != NOWHERE {
                places[usize::from(child)] = (leaf, above + 1);
            }
        }
    }
    (places.into_iter().map(|(first, _)| first).collect(), depth)
}

/// Adds all trees to the sums of one row.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512vbmi")]
pub(super) fn run<T: Threshold, V: Leaf>(
    ranks: &Ranks<T, V>,
    single: &Single<V>,
    x: impl Fn(usize) -> T,
    row: usize,
    sums: &mut [Vec<V>],
) {
    let mut planes = [0u8; PLANES];
    for lookup in &ranks.lookups {
        let x = x(lookup.column);
        let mut rank = 0;
        let mut half = lookup.cuts.len() / 2;
        while half > 0 {
            rank += if lookup.cuts[rank + half - 1] <= x { half } else { 0 };
            half /= 2;
        }
        for (plane, missing) in lookup.planes.iter().zip([0, u8::MAX]) {
            if let Some(plane) = plane {
                planes[usize::from(*plane)] = if x.is_nan() { missing } else { rank as u8 };
            }
        }
    }
    // SAFETY: there are 128 planes.
    let (low, high) =
        unsafe { (_mm512_loadu_si512(planes.as_ptr().cast()), _mm512_loadu_si512(planes.as_ptr().add(64).cast())) };
    let (mut splits, mut narrow, mut wide) = (&single.splits[..], single.narrow.iter(), single.wide.iter());
    let mut full = single.leaves.chunks_exact(ranks.width);
    // The sum of a single output stays in a register.
    let mut sum = sums[0][row];
    let is_single = sums.len() == 1;
    for (tree, way) in ranks.trees.iter().zip(&single.ways) {
        let count = match way {
            Way::Full => FULL,
            Way::Narrow => NARROW,
            Way::Wide => tree.count as usize,
        };
        let (own, others) = splits.split_at(2 * count);
        splits = others;
        let own = own.as_ptr();
        let (values, room, leaf) = match way {
            Way::Full => {
                // SAFETY: loads of twice 64 bytes, which there are.
                let (plane, cut) =
                    unsafe { (_mm512_loadu_si512(own.cast()), _mm512_loadu_si512(own.add(FULL).cast())) };
                let right = _mm512_cmpge_epu8_mask(_mm512_permutex2var_epi8(low, plane, high), cut);
                let mut at = 1;
                for _ in 0..LEVELS {
                    at = 2 * at + (right >> at & 1);
                }
                (full.next().unwrap_or_default().as_flattened(), FULL, at as usize % FULL)
            }
            Way::Narrow => {
                // SAFETY: a load of twice 32 bytes, which there are; what the other half of a register holds is not used.
                let (plane, cut) =
                    unsafe { (_mm256_loadu_si256(own.cast()), _mm256_loadu_si256(own.add(NARROW).cast())) };
                let rank = _mm512_permutex2var_epi8(low, _mm512_castsi256_si512(plane), high);
                let right = _mm256_cmpge_epu8_mask(_mm512_castsi512_si256(rank), cut);
                let Some(taken) = narrow.next() else { return };
                // SAFETY: a load of twice 16 numbers.
                let (first, second) = unsafe {
                    (_mm512_loadu_si512(taken.as_ptr().cast()), _mm512_loadu_si512(taken.as_ptr().add(16).cast()))
                };
                let right = _mm512_set1_epi32(right.cast_signed());
                let stays = (_mm512_testn_epi32_mask(first, right), _mm512_testn_epi32_mask(second, right));
                let stays = u32::from(stays.0) | u32::from(stays.1) << 16;
                (&ranks.values[tree.values as usize..], tree.leaves as usize, stays.trailing_zeros() as usize)
            }
            Way::Wide => {
                let there = (1u64 << count) - 1;
                // SAFETY: masked loads of `count` bytes, of which there are twice as many.
                let (plane, cut) = unsafe {
                    let own = own.cast();
                    (_mm512_maskz_loadu_epi8(there, own), _mm512_maskz_loadu_epi8(there, own.add(count)))
                };
                let rank = _mm512_permutex2var_epi8(low, plane, high);
                let right = _mm512_mask_cmpge_epu8_mask(there, rank, cut);
                let Some((depth, ways)) = wide.next() else { return };
                let mut at = 0u8;
                for _ in 0..*depth {
                    let side = right.wrapping_shr(at.into()) as u8 & 1;
                    at = ways[usize::from((at << 1) | side)];
                }
                (&ranks.values[tree.values as usize..], tree.leaves as usize, usize::from(at - LEAF))
            }
        };
        if is_single {
            sum += values[leaf];
            continue;
        }
        for (output, sums) in sums[tree.offset as usize..][..ranks.width].iter_mut().enumerate() {
            sums[row] += values[output * room + leaf];
        }
    }
    if is_single {
        sums[0][row] = sum;
    }
}
