//! What each feature did for an ensemble while it was trained, from the gains that the file keeps.

use super::ir::{Ensemble, Tree};
use crate::FeatureUse;

/// What [`super::Node::gain`] holds, and how trees are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gain {
    /// What the split gained (XGBoost, LightGBM, histogram boosting): summed over all splits.
    Split,
    /// The node's impurity, in trees that are steps of one sum (gradient boosting of scikit-learn).
    Boosted,
    /// The node's impurity, in trees that all answer the whole question (scikit-learn): each tree counts alike.
    Averaged,
}

impl Ensemble {
    /// Each feature that some split looks at, by its place among `labels`.
    pub(crate) fn uses<'l>(&self, gain: Gain, labels: impl Iterator<Item = &'l str>) -> Vec<FeatureUse> {
        let mut splits = vec![0usize; self.features];
        let mut gains = vec![0.0f64; self.features];
        for tree in &self.trees {
            let mut here: Vec<(usize, f64)> = Vec::new();
            each_split(tree, gain, |feature, gained| here.push((feature, gained)));
            let scale = match gain {
                Gain::Split => 1.0,
                Gain::Boosted => tree.nodes.first().map_or(1.0, |root| root.cover),
                Gain::Averaged => here.iter().map(|(_, gained)| gained).sum(),
            };
            for (feature, gained) in here {
                if let (Some(splits), Some(gains)) = (splits.get_mut(feature), gains.get_mut(feature)) {
                    *splits = splits.saturating_add(1);
                    *gains += if scale > 0.0 { gained / scale } else { 0.0 };
                }
            }
        }
        let all = labels.zip(splits).zip(gains).filter(|((_, splits), _)| *splits > 0);
        all.map(|((name, splits), gain)| FeatureUse { name: name.to_string(), splits, gain }).collect()
    }
}

/// Visits every split that can be reached, with its feature and what it gained.
fn each_split(tree: &Tree, gain: Gain, mut visit: impl FnMut(usize, f64)) {
    let mut open = vec![0u32];
    while let Some(index) = open.pop() {
        let at = |index: u32| tree.nodes.get(index as usize);
        let Some(node) = at(index).filter(|node| !node.is_leaf()) else { continue };
        let weight = |index: u32| at(index).map_or(0.0, |node| node.cover * node.gain);
        let gained = match gain {
            Gain::Split => node.gain,
            Gain::Boosted | Gain::Averaged => node.cover * node.gain - weight(node.left) - weight(node.right),
        };
        visit(node.feature as usize, gained);
        open.extend([node.left, node.right]);
    }
}
