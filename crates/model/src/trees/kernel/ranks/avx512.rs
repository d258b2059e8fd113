//! The same with AVX-512: which rows reach a split is a mask of 64 bits, and up to 64 leaves' values lie in registers.

#![allow(unsafe_code, reason = "vector instructions over arrays whose lengths their types say")]

use std::arch::x86_64::*;

use super::super::super::plan::{Leaf, Threshold};
use super::{BLOCK, GROUPS, Plane, ROWS, Ranks, Searched, Split, Summand, Work, keep};

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
pub(super) fn run<T: Threshold, V: Leaf, const G: usize>(
    ranks: &Ranks<T, V>,
    block: &[[T; BLOCK]],
    work: &mut Work<V>,
) {
    for lookup in &ranks.lookups {
        for (group, x) in block[lookup.column].as_chunks().0[..G].iter().enumerate() {
            // SAFETY: the features are there; the cuts and pivots are as many as `lookups` makes.
            let found = unsafe { T::search_avx512(&lookup.cuts, &lookup.pivots, x) };
            keep(lookup, found, x, group, &mut work.planes);
        }
    }
    let mut reach = [[0u64; G]; 256];
    for tree in &ranks.trees {
        let splits = &ranks.splits[tree.splits as usize..(tree.splits + tree.count) as usize];
        let (inner, last) = splits.split_at(tree.inner as usize);
        let numbers = numbers(inner, last, &work.planes, &mut reach);
        let values = &ranks.values[tree.values as usize..];
        let sums = &mut work.sums[tree.offset as usize..][..ranks.width];
        for (values, sums) in values.chunks_exact(tree.leaves as usize).zip(sums) {
            for (numbers, sums) in numbers.iter().zip(sums.as_chunks_mut().0) {
                // SAFETY: the features are there; the number of a leaf is below the padded number of values.
                unsafe { V::add_avx512(values, *numbers, sums) };
            }
        }
    }
}

/// The number of each row's leaf, from left to right; the last splits lead to leaves only.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
#[inline]
fn numbers<const G: usize>(
    inner: &[Split],
    last: &[Split],
    planes: &[[Plane; GROUPS]],
    reach: &mut [[u64; G]; 256],
) -> [__m512i; G] {
    let mut numbers = [_mm512_setzero_si512(); G];
    reach[0] = [u64::MAX; G];
    for (index, split) in inner.iter().enumerate() {
        let here = reach[index & 255];
        let right = right(split, &here, planes, &mut numbers);
        reach[usize::from(split.left)] = std::array::from_fn(|group| here[group] & !right[group]);
        reach[usize::from(split.right)] = right;
    }
    for (index, split) in last.iter().enumerate() {
        let here = reach[(inner.len() + index) & 255];
        right(split, &here, planes, &mut numbers);
    }
    numbers
}

/// Which rows of those that are here go right: they pass the leaves on the left.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
#[inline]
fn right<const G: usize>(
    split: &Split,
    here: &[u64; G],
    planes: &[[Plane; GROUPS]],
    numbers: &mut [__m512i; G],
) -> [u64; G] {
    let ranks = &planes[usize::from(split.plane)];
    let (cut, leaves) = (_mm512_set1_epi8(split.cut as i8), _mm512_set1_epi8(split.leaves as i8));
    let mut right = [0; G];
    for group in 0..G {
        // SAFETY: a plane has 64 bytes.
        let ranks = unsafe { _mm512_loadu_si512(ranks[group].as_ptr().cast()) };
        right[group] = _mm512_mask_cmpge_epu8_mask(here[group], ranks, cut);
        numbers[group] = _mm512_mask_add_epi8(numbers[group], right[group], numbers[group], leaves);
    }
    right
}

impl Searched for f32 {
    const PIVOTS: usize = 64;

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    #[inline]
    unsafe fn search_avx512(cuts: &[Self], pivots: &[Self], x: &[Self; ROWS]) -> Plane {
        let at = pivots.as_ptr();
        // SAFETY: loads of 64 pivots and 64 values; gathers below the number of cuts.
        unsafe {
            let (a, b) = (_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16)));
            let (c, d) = (_mm512_loadu_ps(at.add(32)), _mm512_loadu_ps(at.add(48)));
            let x: [__m512; 4] = std::array::from_fn(|part| _mm512_loadu_ps(x.as_ptr().add(16 * part)));
            let mut ranks = [_mm512_setzero_si512(); 4];
            let mut half = cuts.len().min(64) as i32 / 2;
            while half > 0 {
                for (rank, x) in ranks.iter_mut().zip(x) {
                    let index = _mm512_add_epi32(*rank, _mm512_set1_epi32(half - 1));
                    let (low, high) = (_mm512_permutex2var_ps(a, index, b), _mm512_permutex2var_ps(c, index, d));
                    let is_high = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
                    let cut = _mm512_mask_blend_ps(is_high, low, high);
                    let above = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(cut, x);
                    *rank = _mm512_mask_add_epi32(*rank, above, *rank, _mm512_set1_epi32(half));
                }
                half /= 2;
            }
            let stride = (cuts.len() / 64).max(1) as i32;
            let mut half = stride / 2;
            ranks.iter_mut().for_each(|rank| *rank = _mm512_mullo_epi32(*rank, _mm512_set1_epi32(stride)));
            while half > 0 {
                for (rank, x) in ranks.iter_mut().zip(x) {
                    let index = _mm512_add_epi32(*rank, _mm512_set1_epi32(half - 1));
                    let cut = _mm512_i32gather_ps::<4>(index, cuts.as_ptr());
                    let above = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(cut, x);
                    *rank = _mm512_mask_add_epi32(*rank, above, *rank, _mm512_set1_epi32(half));
                }
                half /= 2;
            }
            let mut plane = [0; ROWS];
            for (rank, to) in ranks.iter().zip(plane.as_chunks_mut::<16>().0) {
                _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(*rank));
            }
            plane
        }
    }
}

impl Summand for f32 {
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    #[inline]
    unsafe fn add_avx512(values: &[Self], numbers: __m512i, sums: &mut [Self; ROWS]) {
        let at = values.as_ptr();
        let parts = [
            _mm512_extracti32x4_epi32::<0>(numbers),
            _mm512_extracti32x4_epi32::<1>(numbers),
            _mm512_extracti32x4_epi32::<2>(numbers),
            _mm512_extracti32x4_epi32::<3>(numbers),
        ];
        // SAFETY: loads within `values` as its length allows, and within the 64 sums.
        unsafe {
            match values.len() {
                16 => {
                    let a = _mm512_loadu_ps(at);
                    for (part, sums) in parts.iter().zip(sums.as_chunks_mut::<16>().0) {
                        let index = _mm512_cvtepu8_epi32(*part);
                        let value = _mm512_permutexvar_ps(index, a);
                        _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), value));
                    }
                }
                32 => {
                    let (a, b) = (_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16)));
                    for (part, sums) in parts.iter().zip(sums.as_chunks_mut::<16>().0) {
                        let index = _mm512_cvtepu8_epi32(*part);
                        let value = _mm512_permutex2var_ps(a, index, b);
                        _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), value));
                    }
                }
                64 => {
                    let (a, b) = (_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16)));
                    let (c, d) = (_mm512_loadu_ps(at.add(32)), _mm512_loadu_ps(at.add(48)));
                    for (part, sums) in parts.iter().zip(sums.as_chunks_mut::<16>().0) {
                        let index = _mm512_cvtepu8_epi32(*part);
                        let high = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
                        let low_value = _mm512_permutex2var_ps(a, index, b);
                        let value = _mm512_mask_permutex2var_ps(c, high, index, d);
                        let value = _mm512_mask_blend_ps(high, low_value, value);
                        _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), value));
                    }
                }
                _ => {
                    for (part, sums) in parts.iter().zip(sums.as_chunks_mut::<16>().0) {
                        let index = _mm512_cvtepu8_epi32(*part);
                        let value = _mm512_i32gather_ps::<4>(index, at);
                        _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), value));
                    }
                }
            }
        }
    }
}

impl Searched for f64 {
    const PIVOTS: usize = 32;

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    #[inline]
    unsafe fn search_avx512(cuts: &[Self], pivots: &[Self], x: &[Self; ROWS]) -> Plane {
        let at = pivots.as_ptr();
        // SAFETY: loads of 32 pivots and 64 values; gathers below the number of cuts.
        unsafe {
            let (a, b) = (_mm512_loadu_pd(at), _mm512_loadu_pd(at.add(8)));
            let (c, d) = (_mm512_loadu_pd(at.add(16)), _mm512_loadu_pd(at.add(24)));
            let x: [__m512d; 8] = std::array::from_fn(|part| _mm512_loadu_pd(x.as_ptr().add(8 * part)));
            let mut ranks = [_mm512_setzero_si512(); 8];
            let mut half = cuts.len().min(32) as i64 / 2;
            while half > 0 {
                for (rank, x) in ranks.iter_mut().zip(x) {
                    let index = _mm512_add_epi64(*rank, _mm512_set1_epi64(half - 1));
                    let (low, high) = (_mm512_permutex2var_pd(a, index, b), _mm512_permutex2var_pd(c, index, d));
                    let is_high = _mm512_test_epi64_mask(index, _mm512_set1_epi64(16));
                    let cut = _mm512_mask_blend_pd(is_high, low, high);
                    let above = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(cut, x);
                    *rank = _mm512_mask_add_epi64(*rank, above, *rank, _mm512_set1_epi64(half));
                }
                half /= 2;
            }
            let stride = (cuts.len() / 32).max(1) as i64;
            let mut half = stride / 2;
            ranks.iter_mut().for_each(|rank| *rank = _mm512_mullo_epi64(*rank, _mm512_set1_epi64(stride)));
            while half > 0 {
                for (rank, x) in ranks.iter_mut().zip(x) {
                    let index = _mm512_add_epi64(*rank, _mm512_set1_epi64(half - 1));
                    let cut = _mm512_i64gather_pd::<8>(index, cuts.as_ptr());
                    let above = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(cut, x);
                    *rank = _mm512_mask_add_epi64(*rank, above, *rank, _mm512_set1_epi64(half));
                }
                half /= 2;
            }
            let mut plane = [0; ROWS];
            for (rank, to) in ranks.iter().zip(plane.as_chunks_mut::<8>().0) {
                _mm_storel_epi64(to.as_mut_ptr().cast(), _mm512_cvtepi64_epi8(*rank));
            }
            plane
        }
    }
}

impl Summand for f64 {
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    #[inline]
    unsafe fn add_avx512(values: &[Self], numbers: __m512i, sums: &mut [Self; ROWS]) {
        let at = values.as_ptr();
        let mut bytes = [0u8; ROWS];
        // SAFETY: loads within `values` as its length allows, within the 64 sums and the 64 bytes.
        unsafe {
            _mm512_storeu_si512(bytes.as_mut_ptr().cast(), numbers);
            let index = |part: &[u8; 8]| _mm512_cvtepu8_epi64(_mm_loadl_epi64(part.as_ptr().cast()));
            match values.len() {
                16 => {
                    let (a, b) = (_mm512_loadu_pd(at), _mm512_loadu_pd(at.add(8)));
                    for (part, sums) in bytes.as_chunks::<8>().0.iter().zip(sums.as_chunks_mut::<8>().0) {
                        let value = _mm512_permutex2var_pd(a, index(part), b);
                        _mm512_storeu_pd(sums.as_mut_ptr(), _mm512_add_pd(_mm512_loadu_pd(sums.as_ptr()), value));
                    }
                }
                32 => {
                    let (a, b) = (_mm512_loadu_pd(at), _mm512_loadu_pd(at.add(8)));
                    let (c, d) = (_mm512_loadu_pd(at.add(16)), _mm512_loadu_pd(at.add(24)));
                    for (part, sums) in bytes.as_chunks::<8>().0.iter().zip(sums.as_chunks_mut::<8>().0) {
                        let index = index(part);
                        let high = _mm512_test_epi64_mask(index, _mm512_set1_epi64(16));
                        let value = _mm512_permutex2var_pd(a, index, b);
                        let value = _mm512_mask_blend_pd(high, value, _mm512_permutex2var_pd(c, index, d));
                        _mm512_storeu_pd(sums.as_mut_ptr(), _mm512_add_pd(_mm512_loadu_pd(sums.as_ptr()), value));
                    }
                }
                _ => {
                    for (part, sums) in bytes.as_chunks::<8>().0.iter().zip(sums.as_chunks_mut::<8>().0) {
                        let value = _mm512_i64gather_pd::<8>(index(part), at);
                        _mm512_storeu_pd(sums.as_mut_ptr(), _mm512_add_pd(_mm512_loadu_pd(sums.as_ptr()), value));
                    }
                }
            }
        }
    }
}
