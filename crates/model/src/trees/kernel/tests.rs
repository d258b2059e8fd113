//! Random ensembles through every kernel, compared by bits with a walk over the trees as their file says them.

use std::ops::AddAssign;

use super::super::ir::{Ensemble, NONE, Node, Rule, Tree};
use super::super::plan::{Leaf, Threshold};
use super::ranks::{BLOCK, Ranks, Width, Work};
use super::walk::Walk;

/// Numbers that look random, the same at each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    /// Thresholds and values come from few numbers, so that they are often equal.
    fn number(&mut self) -> f64 {
        match self.below(24) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => -0.0,
            3 => 0.0,
            4 => 0.1,
            5 => f64::from(0.1f32),
            6 => 1e300,
            _ => self.below(600) as f64 / 7.0 - 40.0,
        }
    }
}

/// A tree of at most this many splits: random leaves are split, so that it is neither complete nor a chain; every other one
/// has few levels.
fn tree(dice: &mut Dice, splits: usize, features: usize, width: usize, offset: u32) -> Tree {
    let leaf = Node {
        left: NONE,
        right: NONE,
        feature: 0,
        set: NONE,
        missing_left: false,
        threshold: 0.0,
        cover: 1.0,
        gain: 0.0,
    };
    let mut tree = Tree { nodes: vec![leaf], offset, ..Tree::default() };
    let most = [5, usize::MAX][dice.below(2)];
    let mut levels = vec![0];
    for _ in 0..splits {
        let can = |at: &usize| tree.nodes[*at].is_leaf() && levels[*at] <= most;
        let leaves: Vec<usize> = (0..tree.nodes.len()).filter(can).collect();
        let Some(at) = (!leaves.is_empty()).then(|| leaves[dice.below(leaves.len())]) else { break };
        levels.extend([levels[at] + 1; 2]);
        let left = tree.nodes.len() as u32;
        tree.nodes.extend([leaf, leaf]);
        let threshold = if dice.below(40) == 0 { f64::NAN } else { dice.number() };
        tree.nodes[at] = Node {
            left,
            right: left + 1,
            feature: dice.below(features) as u32,
            missing_left: dice.below(2) == 0,
            threshold,
            ..leaf
        };
    }
    let mut leaves = 0;
    for node in tree.nodes.iter_mut().filter(|node| node.is_leaf()) {
        node.feature = leaves;
        leaves += 1;
    }
    tree.values = (0..leaves as usize * width).map(|_| dice.below(2_000_003) as f64 / 1e6 - 1.0).collect();
    tree
}

fn ensemble(dice: &mut Dice, most: usize, rule: Rule) -> Ensemble {
    let features = 1 + dice.below(9);
    let width = [1, 1, 3][dice.below(3)];
    let outputs = width * (1 + dice.below(2));
    let trees = (0..1 + dice.below(12)).map(|_| {
        let (splits, offset) = (dice.below(most + 1), dice.below(outputs / width) * width);
        tree(dice, splits, features, width, offset as u32)
    });
    let trees = trees.collect();
    Ensemble { trees, width, outputs, features, rule }
}

/// What the trees say of one row, node by node.
fn truth<T: Threshold, V: Leaf>(
    ensemble: &Ensemble,
    row: &[T],
    value: impl Fn(f64) -> V,
    wide: impl Fn(T) -> f64,
) -> Vec<V> {
    let mut sums = vec![V::default(); ensemble.outputs];
    for tree in &ensemble.trees {
        let mut node = &tree.nodes[0];
        while !node.is_leaf() {
            let x = wide(row[node.feature as usize]);
            let left = match ensemble.rule {
                _ if x.is_nan() => node.missing_left,
                // Whatever is compared with such a threshold goes right.
                _ if node.threshold.is_nan() => false,
                Rule::Less => x < node.threshold,
                Rule::LessEqual => x <= node.threshold,
            };
            node = &tree.nodes[if left { node.left } else { node.right } as usize];
        }
        let first = node.feature as usize * ensemble.width;
        for (output, from) in tree.values[first..first + ensemble.width].iter().enumerate() {
            sums[tree.offset as usize + output] += value(*from);
        }
    }
    sums
}

/// All kernels over some rows; how many were compared.
fn compare<T: Threshold, V: Leaf + PartialEq + AddAssign>(
    dice: &mut Dice,
    most: usize,
    rule: Rule,
    value: fn(f64) -> V,
    wide: fn(T) -> f64,
) -> usize {
    let ensemble = ensemble(dice, most, rule);
    ensemble.check("").expect("a tree that can be walked");
    let columns: Vec<u32> = (0..ensemble.features as u32).collect();
    let count = 1 + dice.below(BLOCK);
    let mut block = vec![[T::NAN; BLOCK]; ensemble.features];
    for x in block.iter_mut().flatten() {
        if dice.below(9) > 0 {
            *x = T::narrow(dice.number());
        }
    }
    let row = |row: usize| -> Vec<T> { block.iter().map(|column| column[row]).collect() };
    let expected: Vec<Vec<V>> = (0..count).map(|at| truth(&ensemble, &row(at), value, wide)).collect();
    let check = |kernel: &str, sums: &[Vec<V>]| {
        for (at, expected) in expected.iter().enumerate() {
            let got: Vec<V> = sums.iter().map(|sums| sums[at + 1]).collect();
            assert!(got == *expected, "{kernel}: row {at} of {count}: {got:?} instead of {expected:?}");
        }
    };
    let none = || vec![vec![V::default(); count + 1]; ensemble.outputs];
    let walk = Walk::<T, V>::new(&ensemble, &columns, &|_, from| value(from));
    let (mut sums, mut keys) = (none(), Vec::new());
    walk.lay_out(block.as_flattened(), BLOCK, count, &mut keys);
    walk.run(&keys, 1, &mut sums);
    check("walk", &sums);
    let mut compared = 1;
    if let Ok(ranks) = Ranks::<T, V>::new(&ensemble, &columns, &|_, from| value(from)) {
        for width in Width::all() {
            let mut sums = none();
            ranks.run_as(*width, &block, 1, count, &mut sums, &mut Work::default());
            check(&format!("{width:?}"), &sums);
            compared += 1;
        }
        if ranks.runs_singly() {
            let mut sums = none();
            let rows: Vec<T> = block.iter().flat_map(|column| &column[..count]).copied().collect();
            ranks.run_singly(&rows, count, 1, &mut sums);
            check("row by row", &sums);
            compared += 1;
        }
    }
    compared
}

#[test]
fn every_kernel_gives_the_bits_of_a_walk_over_the_file() {
    let mut dice = Dice(7);
    let mut compared = 0;
    for round in 0..400 {
        // 254 splits are the most that ranks take; up to 15 leaves lie in one register, up to 63 in four.
        let most = [0, 1, 7, 15, 31, 63, 254, 300][round % 8];
        for rule in [Rule::Less, Rule::LessEqual] {
            compared += compare::<f32, f32>(&mut dice, most, rule, |from| from as f32, f64::from);
            compared += compare::<f32, f64>(&mut dice, most, rule, |from| from, f64::from);
            compared += compare::<f64, f64>(&mut dice, most, rule, |from| from, |x| x);
        }
    }
    let kernels = 1 + Width::all().len();
    assert!(compared > 400 * 6 * (kernels - 1), "only {compared} comparisons: ranks take too few of these trees");
}

#[test]
fn more_thresholds_than_a_byte_counts_are_told_apart() {
    // One feature with 700 thresholds: its ranks fill three planes.
    let mut dice = Dice(11);
    let mut trees: Vec<Tree> = Vec::new();
    for at in 0..700 {
        let mut one = tree(&mut dice, 1, 1, 1, 0);
        one.nodes[0].threshold = f64::from(at);
        one.nodes[0].missing_left = at % 2 == 0;
        trees.push(one);
    }
    let ensemble = Ensemble { trees, width: 1, outputs: 1, features: 1, rule: Rule::Less };
    let ranks = Ranks::<f64, f64>::new(&ensemble, &[0], &|_, value| value).expect("trees of one split");
    for first in (0..720).step_by(BLOCK) {
        let mut x = [f64::NAN; BLOCK];
        x.iter_mut().take(BLOCK - 1).enumerate().for_each(|(row, x)| *x = (first + row) as f64 - 2.0);
        for width in Width::all() {
            let mut sums = vec![vec![0.0; BLOCK]];
            ranks.run_as(*width, &[x], 0, BLOCK, &mut sums, &mut Work::default());
            for (row, x) in x.iter().enumerate() {
                assert_eq!(
                    sums[0][row],
                    truth::<f64, f64>(&ensemble, &[*x], |value| value, |x| x)[0],
                    "{width:?}: {x}"
                );
            }
        }
    }
}
