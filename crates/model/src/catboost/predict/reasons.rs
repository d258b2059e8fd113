//! Why a booster says what it says, as the library's own ShapValues do, and in which leaf of each tree a row ends.
//!
//! A condition looks at a column of ranks, and a column of ranks at one input or several: those that look at the same inputs are
//! one player, and what it adds is split evenly among its inputs.

use std::collections::HashMap;

use super::{Column, Condition, Scorer, Shape, dense};
use crate::Method;
use crate::matrix::Matrix;
use crate::step::{Answer, Predict, Run};
use crate::trees::{Ensemble, Explainer, NONE, Node, Rule, Tree};

/// A scorer that can also say why.
#[derive(Debug)]
pub(crate) struct Reasoned {
    scorer: Scorer,
    explainer: Option<Explainer>,
    /// By player, the places of its inputs.
    players: Vec<Vec<usize>>,
    width: usize,
}

impl Reasoned {
    /// Of a scorer that takes `width` inputs; `weights` says how much of the training data came to each leaf.
    pub(crate) fn new(scorer: Scorer, weights: &[f64], width: usize) -> Self {
        let (mut players, mut known, mut of_columns) = (Vec::new(), HashMap::new(), Vec::new());
        for inputs in scorer.looked_at() {
            let player = *known.entry(inputs.clone()).or_insert_with(|| {
                players.push(inputs);
                players.len() - 1
            });
            of_columns.push(player as u32);
        }
        let explainer = scorer.trees_over_ranks(weights).and_then(|ensemble| {
            Explainer::of_players(&ensemble, |_, leaf| leaf * scorer.scale, &scorer.bias, false, &of_columns)
        });
        Reasoned { scorer, explainer, players, width }
    }

    /// How many answers are explained; none where the file does not tell how much came to each leaf.
    pub(crate) fn explained(&self) -> usize {
        self.explainer.as_ref().map_or(0, Explainer::outputs)
    }

    /// How many trees number their leaves.
    pub(crate) fn numbered(&self) -> usize {
        match &self.scorer.shape {
            Shape::Symmetric(trees) => trees.len(),
            Shape::Free { .. } => 0,
        }
    }
}

impl Predict for Reasoned {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        self.scorer.answer(x, want, run)
    }

    fn contribs(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<f64>>> {
        let explainer = self.explainer.as_ref()?;
        let (ranks, rows) = self.scorer.ranks(x, run);
        let told = explainer.explain(&ranks, rows);
        let mut out: Vec<Vec<f64>> = vec![vec![0.0; rows]; explainer.outputs() * (self.width + 1)];
        let by_output = out.chunks_exact_mut(self.width + 1).zip(told.chunks_exact(told.len() / explainer.outputs()));
        for (out, told) in by_output {
            for (inputs, added) in self.players.iter().zip(told) {
                let share = 1.0 / inputs.len() as f64;
                for input in inputs {
                    out[*input].iter_mut().zip(added).for_each(|(sum, added)| *sum += added * share);
                }
            }
            if let (Some(bias), Some(mean)) = (out.last_mut(), told.last()) {
                bias.copy_from_slice(mean);
            }
        }
        Some(out)
    }

    fn leaves(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<i64>>> {
        (self.numbered() > 0).then(|| self.scorer.numbers_of_leaves(x, run))
    }
}

impl Scorer {
    /// The rows' ranks by column, as numbers.
    fn ranks(&self, x: Matrix, run: &mut Run) -> (Vec<Vec<f64>>, usize) {
        let x = dense(x);
        let rows = x.rows();
        let mut all: Vec<Vec<f64>> = vec![Vec::with_capacity(rows); self.columns.len()];
        self.by_block(&x, run, |ranks, block| {
            for (column, ranks) in all.iter_mut().zip(ranks) {
                column.extend(ranks.iter().take(block.len()).map(|rank| f64::from(*rank)));
            }
        });
        (all, rows)
    }

    /// The numbers of the leaves by tree.
    fn numbers_of_leaves(&self, x: Matrix, run: &mut Run) -> Vec<Vec<i64>> {
        let Shape::Symmetric(trees) = &self.shape else { return Vec::new() };
        let mut all: Vec<Vec<i64>> = vec![Vec::new(); trees.len()];
        self.by_block(&dense(x), run, |ranks, block| {
            for (all, (levels, _)) in all.iter_mut().zip(trees) {
                all.extend(block.clone().enumerate().map(|(row, _)| {
                    let holds = |(level, condition): (usize, &Condition)| {
                        i64::from(condition.holds(ranks[condition.column as usize][row])) << level
                    };
                    levels.iter().enumerate().map(holds).sum::<i64>()
                }));
            }
        });
        all
    }

    /// By column of ranks, the places of the inputs that it looks at, each once.
    fn looked_at(&self) -> Vec<Vec<usize>> {
        let inputs = |column: &Column| {
            let mut all = match column {
                Column::Number { slot, .. } => vec![self.numbers[*slot].0],
                Column::OneHot { slot, .. } => vec![self.categories[*slot].0],
                Column::Ctr { combination, .. } => {
                    let of = &self.combinations[*combination];
                    let categories = of.categories.iter().chain(of.values.iter().map(|(slot, _)| slot));
                    let numbers = of.borders.iter().map(|(slot, _)| self.numbers[*slot].0);
                    categories.map(|slot| self.categories[*slot].0).chain(numbers).collect()
                }
            };
            all.sort_unstable();
            all.dedup();
            all
        };
        self.columns.iter().map(inputs).collect()
    }

    /// The trees with ranks as values: a row goes right where the condition holds. What no training data came to is a leaf that
    /// says nothing, as the library leaves it out.
    fn trees_over_ranks(&self, weights: &[f64]) -> Option<Ensemble> {
        let width = self.dimensions;
        let mut ensemble =
            Ensemble { trees: Vec::new(), width, outputs: width, features: self.columns.len(), rule: Rule::Less };
        // Of trees of any shape the library weighs the ways otherwise.
        let Shape::Symmetric(trees) = &self.shape else { return None };
        for (levels, start) in trees {
            let weights = weights.get(start / width..)?.get(..1 << levels.len())?;
            // The last condition is asked first.
            let child = |at: (usize, usize)| {
                let (left, number) = at;
                let condition = levels.get(left.checked_sub(1)?)?;
                Some((*condition, (left - 1, number), (left - 1, number | 1 << (left - 1))))
            };
            let leaf = |at: (usize, usize)| (start + at.1 * width, weights[at.1]);
            ensemble.trees.push(self.tree((levels.len(), 0), child, leaf));
        }
        ensemble.check("").is_ok().then_some(ensemble)
    }

    /// A tree from its root on: what follows a place, and of a leaf where its values are and its weight.
    fn tree(
        &self,
        root: (usize, usize),
        child: impl Fn((usize, usize)) -> Option<(Condition, (usize, usize), (usize, usize))>,
        leaf: impl Fn((usize, usize)) -> (usize, f64),
    ) -> Tree {
        let mut tree = Tree::default();
        let mut open = vec![(root, None)];
        let mut parents: Vec<Option<usize>> = Vec::new();
        while let Some((place, above)) = open.pop() {
            let at = tree.nodes.len();
            parents.push(above);
            if let Some(parent) = above {
                // The left child comes before the right one.
                let Node { left, right, .. } = &mut tree.nodes[parent];
                *(if *left == NONE { left } else { right }) = at as u32;
            }
            let mut node = Node {
                left: NONE,
                right: NONE,
                feature: 0,
                set: NONE,
                missing_left: false,
                threshold: 0.0,
                cover: 0.0,
                gain: 0.0,
            };
            match child(place) {
                Some((condition, left, right)) => {
                    node.feature = condition.column;
                    node.threshold = f64::from(condition.rank);
                    if condition.is_equal {
                        let rank = condition.rank as usize;
                        let mut set = vec![0; rank / 32 + 1];
                        set[rank / 32] = 1 << (rank % 32);
                        node.set = tree.sets.len() as u32;
                        tree.sets.push(set);
                    }
                    open.push((right, Some(at)));
                    open.push((left, Some(at)));
                }
                None => {
                    let (values, weight) = leaf(place);
                    node.feature = (tree.values.len() / self.dimensions) as u32;
                    node.cover = weight;
                    tree.values.extend_from_slice(&self.leaves[values..values + self.dimensions]);
                }
            }
            tree.nodes.push(node);
        }
        // Children stand behind their parents.
        for at in (1..tree.nodes.len()).rev() {
            let cover = tree.nodes[at].cover;
            if let Some(parent) = parents[at] {
                tree.nodes[parent].cover += cover;
            }
        }
        cut_empty(&mut tree, self.dimensions);
        tree
    }
}

/// What no training data came to becomes a leaf of zeros.
fn cut_empty(tree: &mut Tree, width: usize) {
    let is_empty = |cover: f64| cover.is_nan() || 1.0 + cover <= 1.0;
    let empty: Vec<usize> = (0..tree.nodes.len()).filter(|at| is_empty(tree.nodes[*at].cover)).collect();
    for at in empty {
        let node = &mut tree.nodes[at];
        if node.is_leaf() {
            let first = node.feature as usize * width;
            tree.values[first..first + width].fill(0.0);
        } else {
            let leaf = (tree.values.len() / width) as u32;
            *node = Node { left: NONE, right: NONE, feature: leaf, set: NONE, cover: 0.0, ..*node };
            tree.values.extend(std::iter::repeat_n(0.0, width));
        }
    }
}

impl Condition {
    fn holds(self, rank: u16) -> bool {
        if self.is_equal { rank == self.rank } else { rank >= self.rank }
    }
}
