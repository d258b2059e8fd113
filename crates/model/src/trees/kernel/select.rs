//! Complete trees, computed from the leaves up: each node selects between its two sides for a whole block of rows.
//!
//! There is no dependent load in it, so that the compiler turns the loops into vector code; the same source is compiled
//! for the vector widths that processors have, and the widest that this one has is called. [`scalar`] is the truth.

#![allow(unsafe_code, reason = "calling a function compiled for features that were found on this processor")]

use super::super::plan::{Leaf, MISSING_RIGHT, Step, Threshold};
use super::BLOCK;

/// The deepest trees that are cheaper this way than walked: a node costs `BLOCK / lanes` operations.
pub(crate) fn depth() -> usize {
    match width() {
        Width::Avx512 => 8,
        Width::Avx2 => 7,
        Width::Baseline => 6,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Baseline,
    Avx2,
    Avx512,
}

fn width() -> Width {
    #[cfg(target_arch = "x86_64")]
    {
        let has_512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw");
        if has_512 {
            return Width::Avx512;
        }
        if is_x86_feature_detected!("avx2") {
            return Width::Avx2;
        }
    }
    Width::Baseline
}

/// Leaves the values of one tree for all rows of the block in `at[0]`.
pub(super) fn run<T: Threshold, V: Leaf>(nodes: &[Step<T>], leaves: &[V], block: &[[T; BLOCK]], at: &mut [[V; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    match width() {
        // SAFETY: the features were found on this processor.
        Width::Avx512 => return unsafe { avx512(nodes, leaves, block, at) },
        // SAFETY: likewise.
        Width::Avx2 => return unsafe { avx2(nodes, leaves, block, at) },
        Width::Baseline => {}
    }
    scalar(nodes, leaves, block, at);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
fn avx512<T: Threshold, V: Leaf>(nodes: &[Step<T>], leaves: &[V], block: &[[T; BLOCK]], at: &mut [[V; BLOCK]]) {
    scalar(nodes, leaves, block, at);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<T: Threshold, V: Leaf>(nodes: &[Step<T>], leaves: &[V], block: &[[T; BLOCK]], at: &mut [[V; BLOCK]]) {
    scalar(nodes, leaves, block, at);
}

#[inline(always)]
fn scalar<T: Threshold, V: Leaf>(nodes: &[Step<T>], leaves: &[V], block: &[[T; BLOCK]], at: &mut [[V; BLOCK]]) {
    let inner = nodes.len();
    for (index, node) in nodes.iter().enumerate().rev() {
        let x = &block[(node.slot & !MISSING_RIGHT) as usize];
        let (head, tail) = at.split_at_mut(index + 1);
        let to = &mut head[index];
        let child = 2 * index + 1;
        let t = node.t;
        // NaN is neither below nor at least `t`: the comparison that is asked decides where it goes.
        let missing_right = node.slot & MISSING_RIGHT != 0;
        if child >= inner {
            let (left, right) = (leaves[child - inner], leaves[child + 1 - inner]);
            if missing_right {
                for row in 0..BLOCK {
                    to[row] = V::choose(x[row] < t, left, right);
                }
            } else {
                for row in 0..BLOCK {
                    to[row] = V::choose(x[row] >= t, right, left);
                }
            }
        } else {
            let (left, right) = (&tail[child - index - 1], &tail[child - index]);
            if missing_right {
                for row in 0..BLOCK {
                    to[row] = V::choose(x[row] < t, left[row], right[row]);
                }
            } else {
                for row in 0..BLOCK {
                    to[row] = V::choose(x[row] >= t, right[row], left[row]);
                }
            }
        }
    }
}
