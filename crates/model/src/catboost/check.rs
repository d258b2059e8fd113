//! Whether a model can be scored without leaving its bounds: what runs later relies on it.

use std::collections::HashSet;

use super::booster::{Booster, Kind, Trees};
use super::statistic::{Counts, Statistic};
use crate::Error;

/// A tree of more levels has more leaves than any file holds.
const LEVELS: usize = 31;
/// Borders of one feature: more than training makes of any.
const BORDERS: usize = u16::MAX as usize;

/// Checks every index and every order.
pub(super) fn check(booster: &Booster, format: &'static str) -> Result<(), Error> {
    if booster.dimensions == 0 || booster.bias.len() != booster.dimensions {
        return Err(Error::state(format, format!("{} biases for {} outputs", booster.bias.len(), booster.dimensions)));
    }
    let places = booster.features.iter().map(|feature| (feature.kind == Kind::Number, feature.index)).collect();
    let checker = Checker { booster, format, places };
    checker.features()?;
    checker.statistics()?;
    checker.trees()
}

struct Checker<'b> {
    booster: &'b Booster,
    format: &'static str,
    /// Whether a feature is a number, and its place among those of its kind.
    places: HashSet<(bool, usize)>,
}

impl Checker<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::state(self.format, message))
    }

    fn needs(&self, kind: Kind, index: usize) -> Result<(), Error> {
        if self.places.contains(&(kind == Kind::Number, index)) {
            return Ok(());
        }
        let what = if kind == Kind::Number { "number" } else { "category" };
        self.fail(format!("there is no {what} {index}"))
    }

    fn borders(&self, borders: &[f32]) -> Result<(), Error> {
        if borders.len() > BORDERS {
            return Err(Error::Limit {
                place: self.format.to_string(),
                what: "borders of one feature",
                limit: BORDERS,
            });
        }
        if borders.is_sorted_by(|a, b| a <= b) { Ok(()) } else { self.fail("borders of a feature are not in order") }
    }

    fn features(&self) -> Result<(), Error> {
        let features = &self.booster.features;
        let columns: HashSet<usize> = features.iter().map(|feature| feature.column).collect();
        if columns.len() != features.len() || self.places.len() != features.len() {
            return self.fail("two features have one place");
        }
        for one in &self.booster.borders {
            self.needs(Kind::Number, one.feature)?;
            self.borders(&one.borders)?;
        }
        for one in &self.booster.one_hot {
            self.needs(Kind::Category, one.feature)?;
            if one.values.len() > BORDERS {
                let what = "values of one feature";
                return Err(Error::Limit { place: self.format.to_string(), what, limit: BORDERS });
            }
        }
        Ok(())
    }

    fn statistics(&self) -> Result<(), Error> {
        for ctr in &self.booster.ctrs {
            self.borders(&ctr.borders)?;
            for index in ctr.combination.categories.iter().chain(ctr.combination.values.iter().map(|(index, _)| index))
            {
                self.needs(Kind::Category, *index)?;
            }
            for (index, _) in &ctr.combination.borders {
                self.needs(Kind::Number, *index)?;
            }
            let Some(table) = self.booster.tables.get(ctr.table) else {
                return self.fail("a statistic of categories has no table");
            };
            let is_mean = matches!(table.counts, Counts::Sums(_));
            let width = table.counts.width();
            let fits = match ctr.statistic {
                Statistic::Mean => is_mean,
                Statistic::Counter => !is_mean && width >= 1,
                Statistic::Buckets => !is_mean && ctr.target_border < width,
                Statistic::Borders => !is_mean && width >= 1 && (width <= 2 || ctr.target_border < width),
            };
            if !fits {
                return self.fail("the table of a statistic has another shape");
            }
        }
        for table in &self.booster.tables {
            let count = table.counts.len();
            if table.places.values().any(|place| usize::try_from(*place).is_ok_and(|place| place >= count)) {
                return self.fail("a table of statistics leads outside of itself");
            }
        }
        Ok(())
    }

    fn trees(&self) -> Result<(), Error> {
        let splits = self.booster.splits();
        let is_split = |split: u32| usize::try_from(split).is_ok_and(|split| split < splits);
        let leaves = self.booster.leaves.len();
        match &self.booster.trees {
            Trees::Symmetric(trees) => {
                let mut left = leaves;
                for (index, tree) in trees.iter().enumerate() {
                    if tree.len() > LEVELS || !tree.iter().all(|split| is_split(*split)) {
                        return self.tree(index, "a split that there is not, or too many of them");
                    }
                    let own = (1usize << tree.len()).checked_mul(self.booster.dimensions);
                    left = match own.and_then(|own| left.checked_sub(own)) {
                        Some(left) => left,
                        None => return self.tree(index, "its leaves have too few values"),
                    };
                }
            }
            Trees::Free { nodes, roots } => {
                for (index, root) in roots.iter().enumerate() {
                    if !usize::try_from(*root).is_ok_and(|root| root < nodes.len()) {
                        return self.tree(index, "it begins outside of the nodes");
                    }
                }
                for (index, node) in nodes.iter().enumerate() {
                    let inside = |ahead: u32| {
                        usize::try_from(ahead)
                            .ok()
                            .and_then(|ahead| index.checked_add(ahead))
                            .is_some_and(|at| at < nodes.len())
                    };
                    let stays = node.left == 0 || node.right == 0;
                    let last =
                        usize::try_from(node.leaf).ok().and_then(|leaf| leaf.checked_add(self.booster.dimensions));
                    // A node that no row leaves asks for nothing.
                    let asks = node.left > 0 || node.right > 0;
                    if (asks && !is_split(node.split)) || !inside(node.left) || !inside(node.right) {
                        return self.tree(index, "a node leads outside");
                    }
                    if stays && last.is_none_or(|last| last > leaves) {
                        return self.tree(index, "a leaf without a value");
                    }
                }
            }
        }
        Ok(())
    }

    fn tree<T>(&self, index: usize, message: &str) -> Result<T, Error> {
        let place = self.format.to_string();
        Err(Error::Tree { place, tree: index, node: 0, message: message.to_string() })
    }
}
