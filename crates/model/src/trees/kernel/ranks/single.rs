//! One row alone: all splits of a tree are compared at once. In small trees each that goes right takes the leaves on its
//! left away, and the first that is left is the row's leaf; in larger ones the results lead from split to split.

#![allow(unsafe_code, reason = "vector instructions over arrays whose lengths are checked when they are made")]

use std::arch::x86_64::*;

use super::super::super::plan::{Leaf, Threshold};
use super::{NOWHERE, Ranks, Root, Split};

/// Planes that two registers hold.
const PLANES: usize = 128;

/// Where leaves begin in [`Single::wide`].
const LEAF: u8 = 64;

/// Trees of at most 64 leaves, for one row.
#[derive(Debug)]
pub(crate) struct Single {
    /// For each tree: the plane of each of its splits, then their cuts.
    splits: Vec<u8>,
    /// For each split of a tree of at most 32 leaves: those that stay when a row goes right.
    narrow: Vec<u32>,
    /// For each larger tree how deep it is, and for each of its splits, at two times its number, where its sides go on: at
    /// a split, or at [`LEAF`] and the number of a leaf. A leaf goes on at itself.
    wide: Vec<(u8, [u8; 256])>,
}

/// Whether this processor has what [`run`] needs.
pub(super) fn has_features() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
}

impl Single {
    /// None where the trees or their ranks do not fit into registers.
    pub(super) fn new(trees: &[Root], splits: &[Split], planes: usize) -> Option<Self> {
        if planes > PLANES || trees.iter().any(|tree| tree.count >= 64) {
            return None;
        }
        let mut single = Single { splits: Vec::with_capacity(2 * splits.len()), narrow: Vec::new(), wide: Vec::new() };
        for tree in trees {
            let splits = &splits[tree.splits as usize..(tree.splits + tree.count) as usize];
            single.splits.extend(splits.iter().map(|split| split.plane as u8));
            single.splits.extend(splits.iter().map(|split| split.cut));
            // For each split: the leaf at which it begins, and how many splits lead to it.
            let mut first = vec![(0, 0); splits.len()];
            let (mut ways, mut depth): ([u8; 256], u8) = (std::array::from_fn(|at| at as u8 / 2), 0);
            for (index, split) in splits.iter().enumerate() {
                let (begin, above) = first[index];
                depth = depth.max(above + 1);
                for (side, child, leaf) in [(0, split.left, begin), (1, split.right, begin + split.leaves)] {
                    if child != NOWHERE {
                        first[usize::from(child)] = (leaf, above + 1);
                    }
                    ways[2 * index + side] = if child == NOWHERE { LEAF + leaf } else { child };
                }
                if tree.leaves <= 32 {
                    single.narrow.push(!(((1u64 << split.leaves) - 1) << begin) as u32);
                }
            }
            if tree.leaves > 32 {
                single.wide.push((depth, ways));
            }
        }
        Some(single)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.splits[..]) + size_of_val(&self.narrow[..]) + size_of_val(&self.wide[..])
    }
}

/// Adds all trees to the sums of one row.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512vbmi")]
pub(super) fn run<T: Threshold, V: Leaf>(
    ranks: &Ranks<T, V>,
    single: &Single,
    x: impl Fn(usize) -> T,
    at: usize,
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
    let (mut splits, mut narrow, mut wide) = (&single.splits[..], &single.narrow[..], &single.wide[..]);
    for tree in &ranks.trees {
        let count = tree.count as usize;
        let (own, others) = splits.split_at(2 * count);
        splits = others;
        let there = (1u64 << count) - 1;
        // SAFETY: masked loads of `count` bytes, of which there are twice as many.
        let (plane, cut) = unsafe {
            let at = own.as_ptr().cast();
            (_mm512_maskz_loadu_epi8(there, at), _mm512_maskz_loadu_epi8(there, at.add(count)))
        };
        let rank = _mm512_permutex2var_epi8(low, plane, high);
        let right = _mm512_mask_cmpge_epu8_mask(there, rank, cut);
        let leaf = if tree.leaves <= 32 {
            let (own, others) = narrow.split_at(count);
            narrow = others;
            let mut stay = _mm512_set1_epi32(-1);
            for part in 0..count.div_ceil(16) {
                let right = (right >> (16 * part)) as u16;
                // SAFETY: a masked load of splits that there are.
                let own = unsafe { _mm512_maskz_loadu_epi32(right, own.as_ptr().add(16 * part).cast()) };
                stay = _mm512_mask_and_epi32(stay, right, stay, own);
            }
            _mm512_reduce_and_epi32(stay).trailing_zeros()
        } else {
            let Some(((depth, ways), others)) = wide.split_first() else { return };
            wide = others;
            let mut at = 0u8;
            for _ in 0..*depth {
                let side = right.wrapping_shr(at.into()) as u8 & 1;
                at = ways[usize::from((at << 1) | side)];
            }
            u32::from(at - LEAF)
        };
        let values = &ranks.values[tree.values as usize..];
        for (output, sums) in sums[tree.offset as usize..][..ranks.width].iter_mut().enumerate() {
            sums[at] += values[output * tree.leaves as usize + leaf as usize];
        }
    }
}
