//! Trees as their library wrote them, with exact thresholds; what `inspect` and explanations read.

/// No child, no set of categories.
pub(crate) const NONE: u32 = u32::MAX;

/// How a node compares a value with its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Left when `x < threshold` (XGBoost).
    Less,
    /// Left when `x <= threshold` (scikit-learn, LightGBM).
    LessEqual,
}

/// One node. A leaf has no children and its values in [`Tree::values`] at `leaf`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    pub(crate) left: u32,
    pub(crate) right: u32,
    /// The feature that is compared; of a leaf, its index among the leaves.
    pub(crate) feature: u32,
    /// Index of the set of categories in [`Tree::sets`], or [`NONE`] where a threshold is compared.
    pub(crate) set: u32,
    /// Where a missing value goes.
    pub(crate) missing_left: bool,
    pub(crate) threshold: f64,
    /// The weight of the training rows that came here.
    pub(crate) cover: f64,
    /// What the split gained: XGBoost's loss change; the impurity in scikit-learn's trees (see [`super::Gain`]).
    pub(crate) gain: f64,
}

impl Node {
    pub(crate) fn is_leaf(&self) -> bool {
        self.left == NONE
    }
}

/// One tree; the root is node 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// `width` values for each leaf.
    pub(crate) values: Vec<f64>,
    /// The categories of each categorical split, as bits: a category in the set goes right.
    pub(crate) sets: Vec<Vec<u32>>,
    /// The first output that the leaf's values are added to.
    pub(crate) offset: u32,
}

/// Trees that are summed up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ensemble {
    pub(crate) trees: Vec<Tree>,
    /// Values of one leaf.
    pub(crate) width: usize,
    /// Outputs that the trees are added to.
    pub(crate) outputs: usize,
    /// Features that a row has.
    pub(crate) features: usize,
    pub(crate) rule: Rule,
}

impl Ensemble {
    pub(crate) fn nodes(&self) -> usize {
        self.trees.iter().map(|tree| tree.nodes.len()).sum()
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let tree = |tree: &Tree| {
            tree.nodes.len() * size_of::<Node>()
                + tree.values.len() * size_of::<f64>()
                + tree.sets.iter().map(|set| set.len() * size_of::<u32>()).sum::<usize>()
        };
        self.trees.iter().map(tree).sum()
    }
}
