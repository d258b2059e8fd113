//! A CatBoost model as its files say it.

use super::info::Info;
use super::statistic::{Ctr, Table};

/// What a feature's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Number,
    Category,
}

/// A feature of the training table that the model knows.
#[derive(Debug, Clone)]
pub(crate) struct Feature {
    pub(crate) kind: Kind,
    /// Its place among the features of its kind.
    pub(super) index: usize,
    /// Its place in the table.
    pub(crate) column: usize,
    /// Empty where the training had no names.
    pub(crate) name: String,
}

/// The borders of a feature that is a number.
#[derive(Debug, Clone)]
pub(super) struct Borders {
    /// Its place among the features that are numbers.
    pub(super) feature: usize,
    pub(super) borders: Vec<f32>,
    /// Whether a missing value is above all borders, not below.
    pub(super) missing_above: bool,
}

/// The values of a category that splits ask for, as hashes.
#[derive(Debug, Clone)]
pub(super) struct OneHot {
    /// Its place among the features that are categories.
    pub(super) feature: usize,
    pub(super) values: Vec<i32>,
}

/// Trees whose splits are the same on a level, or trees of any shape. A split is a place in the list of all there are:
/// the borders of numbers, then the values of categories, then the borders of statistics.
#[derive(Debug, Clone)]
pub(super) enum Trees {
    /// The splits of each tree, from the lowest bit of the leaf's number up.
    Symmetric(Vec<Vec<u32>>),
    /// The nodes of all trees, and where each tree begins.
    Free { nodes: Vec<Node>, roots: Vec<u32> },
}

/// A node of a tree of any shape: how far it is to the next one, 0 where the row stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) split: u32,
    pub(super) left: u32,
    pub(super) right: u32,
    /// The place of its values, of one that rows stay at.
    pub(super) leaf: u32,
}

/// A model.
#[derive(Debug, Clone)]
pub(crate) struct Booster {
    pub(crate) features: Vec<Feature>,
    pub(super) borders: Vec<Borders>,
    pub(super) one_hot: Vec<OneHot>,
    pub(super) ctrs: Vec<Ctr>,
    pub(super) tables: Vec<Table>,
    pub(super) trees: Trees,
    /// Values of leaves, those of all dimensions side by side.
    pub(super) leaves: Vec<f64>,
    /// How much of the training data came to each leaf; empty where the file does not tell.
    pub(crate) weights: Vec<f64>,
    /// How many numbers a row gets.
    pub(crate) dimensions: usize,
    pub(super) scale: f64,
    /// One a dimension.
    pub(super) bias: Vec<f64>,
    pub(crate) info: Info,
}

impl Booster {
    /// How many columns the training table had, as far as the model knows them.
    pub(crate) fn width(&self) -> usize {
        self.features.iter().map(|feature| feature.column.saturating_add(1)).max().unwrap_or(0)
    }

    /// How many splits can be asked for.
    pub(super) fn splits(&self) -> usize {
        let borders = self.borders.iter().map(|one| one.borders.len());
        let values = self.one_hot.iter().map(|one| one.values.len());
        borders.chain(values).chain(self.ctrs.iter().map(|one| one.borders.len())).fold(0, usize::saturating_add)
    }
}
