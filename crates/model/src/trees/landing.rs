//! In which leaf of each tree a row ends, by the numbers that the library gives.

use super::ir::{Ensemble, NONE, Node, Rule, Tree};

/// How a library numbers the leaves of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// As nodes of the tree: XGBoost, scikit-learn.
    Nodes,
    /// From 0: LightGBM.
    Leaves,
}

/// An ensemble that can say where rows end.
#[derive(Debug)]
pub(crate) struct Landing {
    trees: Vec<Tree>,
    rule: Rule,
    numbers: Numbers,
    /// Whether values are compared as float32.
    narrow: bool,
}

impl Landing {
    /// Of a checked ensemble.
    pub(crate) fn new(ensemble: &Ensemble, numbers: Numbers, narrow: bool) -> Landing {
        let tree = |tree: &Tree| Tree { values: Vec::new(), ..tree.clone() };
        Landing { trees: ensemble.trees.iter().map(tree).collect(), rule: ensemble.rule, numbers, narrow }
    }

    /// How many trees there are.
    pub(crate) fn trees(&self) -> usize {
        self.trees.len()
    }

    /// Where each row ends, tree by tree. `columns` holds the features; NaN is a missing value.
    pub(crate) fn leaves(&self, columns: &[Vec<f64>], rows: usize) -> Vec<Vec<i64>> {
        let leaf = |tree: &Tree, row: usize| {
            let (mut at, mut node) = (0, &tree.nodes[0]);
            while !node.is_leaf() {
                let x = columns.get(node.feature as usize).and_then(|column| column.get(row)).copied();
                let left = self.goes_left(tree, node, x.unwrap_or(f64::NAN));
                at = if left { node.left } else { node.right };
                node = &tree.nodes[at as usize];
            }
            match self.numbers {
                Numbers::Nodes => i64::from(at),
                Numbers::Leaves => i64::from(node.feature),
            }
        };
        self.trees.iter().map(|tree| (0..rows).map(|row| leaf(tree, row)).collect()).collect()
    }

    fn goes_left(&self, tree: &Tree, node: &Node, x: f64) -> bool {
        let x = if self.narrow { f64::from(x as f32) } else { x };
        if x.is_nan() {
            return node.missing_left;
        }
        if node.set != NONE {
            let most = if self.narrow { 16_777_216.0 } else { 2_147_483_648.0 };
            let bit = if x > -1.0 && x < most { x as usize } else { usize::MAX };
            let word = tree.sets.get(node.set as usize).and_then(|set| set.get(bit / 32)).copied().unwrap_or(0);
            return word >> (bit % 32) & 1 == 0;
        }
        match self.rule {
            Rule::Less => x < node.threshold,
            Rule::LessEqual => x <= node.threshold,
        }
    }
}
