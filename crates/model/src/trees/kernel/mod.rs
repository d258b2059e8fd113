//! The loops: one block of rows after the other, tree by tree in order, so that sums round as the library's do.

mod select;

pub(crate) use select::depth as select_depth;

use super::ir::NONE;
use super::plan::{Leaf, MISSING_RIGHT, Plan, Shape, Step, Threshold};

/// Rows that are scored together: their values stay in the first-level cache for models of some dozen features.
pub(crate) const BLOCK: usize = 128;

/// Rows that walk a tree side by side, to hide the latency of each one's next node.
const LANES: usize = 8;

/// Buffers that blocks share.
#[derive(Debug)]
pub(super) struct Work<V> {
    select: Vec<[V; BLOCK]>,
}

impl<V> Default for Work<V> {
    fn default() -> Self {
        Work { select: Vec::new() }
    }
}

/// Adds all trees to the sums of `count` rows, from row `from` on.
pub(super) fn run<T: Threshold, V: Leaf>(
    plan: &Plan<T, V>,
    block: &[[T; BLOCK]],
    from: usize,
    count: usize,
    sums: &mut [Vec<V>],
    work: &mut Work<V>,
) {
    match &plan.shape {
        Shape::Select { depth, nodes, leaves } => {
            let (inner, last) = ((1 << depth) - 1, 1 << depth);
            work.select.resize(inner, [V::default(); BLOCK]);
            let trees = nodes.chunks_exact(inner).zip(leaves.chunks_exact(last));
            for ((nodes, leaves), offset) in trees.zip(&plan.offsets) {
                select::run(nodes, leaves, block, &mut work.select);
                let sums = &mut sums[*offset as usize][from..from + count];
                sums.iter_mut().zip(&work.select[0]).for_each(|(sum, value)| *sum += *value);
            }
        }
        Shape::Walk { nodes, trees, leaf, set, sets, values } => {
            for (&(root, depth), offset) in trees.iter().zip(&plan.offsets) {
                let mut row = 0;
                while row < count {
                    let lanes = LANES.min(count - row);
                    let at = if set.is_empty() {
                        walk(nodes, root, depth, block, row)
                    } else {
                        walk_sets(nodes, set, sets, root, depth, block, row)
                    };
                    for (lane, node) in at[..lanes].iter().enumerate() {
                        let first = leaf[*node as usize] as usize;
                        for (output, value) in values[first..first + plan.width].iter().enumerate() {
                            sums[*offset as usize + output][from + row + lane] += *value;
                        }
                    }
                    row += lanes;
                }
            }
        }
    }
}

/// Walks some rows to their leaves. A row that has arrived stays: its leaf points to itself.
fn walk<T: Threshold>(nodes: &[Step<T>], root: u32, depth: u32, block: &[[T; BLOCK]], row: usize) -> [u32; LANES] {
    let mut at = [root; LANES];
    for _ in 0..depth {
        for (lane, at) in at.iter_mut().enumerate() {
            let node = &nodes[*at as usize];
            let x = block[(node.slot & !MISSING_RIGHT) as usize][row + lane];
            let right = (x >= node.t) | (x.is_nan() & (node.slot & MISSING_RIGHT != 0));
            *at = node.left + u32::from(right);
        }
    }
    at
}

/// The same where some nodes hold sets of categories: what is in the set goes right, what is no category or too large
/// goes left, what is missing goes the missing way.
fn walk_sets<T: Threshold>(
    nodes: &[Step<T>],
    set: &[u32],
    sets: &[Vec<u32>],
    root: u32,
    depth: u32,
    block: &[[T; BLOCK]],
    row: usize,
) -> [u32; LANES] {
    let mut at = [root; LANES];
    for _ in 0..depth {
        for (lane, at) in at.iter_mut().enumerate() {
            let node = &nodes[*at as usize];
            let x = block[(node.slot & !MISSING_RIGHT) as usize][row + lane];
            let right = if x.is_nan() {
                node.slot & MISSING_RIGHT != 0
            } else if set[*at as usize] != NONE {
                let words = &sets[set[*at as usize] as usize];
                let has = |bit: usize| words.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 == 1);
                x.category().is_some_and(has)
            } else {
                x >= node.t
            };
            *at = node.left + u32::from(right);
        }
    }
    at
}
