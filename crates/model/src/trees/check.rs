//! Whether trees from a file can be walked: every way ends in a leaf, and nothing points out of range.

use super::ir::{Ensemble, NONE, Tree};
use crate::Error;

impl Ensemble {
    /// Checks every tree; gives the depth of the deepest.
    ///
    /// # Errors
    /// A child or feature out of range, a node with two parents (a cycle is one), a leaf without its values.
    pub(crate) fn check(&self, place: &str) -> Result<usize, Error> {
        let mut deepest = 0;
        for (index, tree) in self.trees.iter().enumerate() {
            let depth = self.check_tree(tree).map_err(|(node, message)| Error::Tree {
                place: place.to_string(),
                tree: index,
                node,
                message,
            })?;
            deepest = deepest.max(depth);
        }
        Ok(deepest)
    }

    fn check_tree(&self, tree: &Tree) -> Result<usize, (usize, String)> {
        let count = tree.nodes.len();
        if count == 0 {
            return Err((0, "the tree has no node".to_string()));
        }
        let last = (tree.offset as usize).saturating_add(self.width);
        if last > self.outputs {
            return Err((0, format!("output {} is out of range ({} outputs)", tree.offset, self.outputs)));
        }
        let mut seen = vec![false; count];
        let mut open = vec![(0usize, 0usize)];
        let mut deepest = 0;
        while let Some((index, depth)) = open.pop() {
            let (Some(node), Some(seen)) = (tree.nodes.get(index), seen.get_mut(index)) else {
                return Err((index, "is out of range".to_string()));
            };
            if std::mem::replace(seen, true) {
                return Err((index, "has two parents".to_string()));
            }
            deepest = deepest.max(depth);
            if node.is_leaf() {
                let end = (node.feature as usize).saturating_add(1).saturating_mul(self.width);
                if node.right != NONE || end > tree.values.len() {
                    return Err((index, format!("the leaf's {} values are not there", self.width)));
                }
                continue;
            }
            for (side, child) in [("left", node.left), ("right", node.right)] {
                if child as usize >= count {
                    let child = i64::from(child as i32);
                    return Err((index, format!("{side} child {child} is out of range ({count} nodes)")));
                }
                open.push((child as usize, depth.saturating_add(1)));
            }
            if node.feature as usize >= self.features {
                return Err((index, format!("feature {} is out of range ({} features)", node.feature, self.features)));
            }
            if node.set != NONE && node.set as usize >= tree.sets.len() {
                return Err((index, "its set of categories is not there".to_string()));
            }
        }
        Ok(deepest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ir::{Ensemble, NONE, Node, Rule, Tree};

    fn split(left: u32, right: u32) -> Node {
        Node { left, right, feature: 0, set: NONE, missing_left: false, threshold: 0.5, cover: 1.0, gain: 0.0 }
    }

    fn leaf(index: u32) -> Node {
        Node { feature: index, ..split(NONE, NONE) }
    }

    fn check(nodes: Vec<Node>, values: usize) -> String {
        let tree = Tree { nodes, values: vec![0.0; values], ..Tree::default() };
        let ensemble = Ensemble { trees: vec![tree], width: 1, outputs: 1, features: 1, rule: Rule::Less };
        match ensemble.check("") {
            Ok(depth) => format!("depth {depth}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn trees_that_cannot_be_walked_are_refused() {
        assert_eq!(check(vec![split(1, 2), leaf(0), leaf(1)], 2), "depth 1");
        assert_eq!(check(vec![], 0), "tree 0: node 0: the tree has no node");
        assert_eq!(
            check(vec![split(1, 9001), leaf(0)], 1),
            "tree 0: node 0: right child 9001 is out of range (2 nodes)"
        );
        assert_eq!(check(vec![split(1, 2), split(0, 2), leaf(0)], 1), "tree 0: node 2: has two parents");
        assert_eq!(check(vec![split(1, 1), leaf(0)], 1), "tree 0: node 1: has two parents");
        assert_eq!(check(vec![split(0, 1), leaf(0)], 1), "tree 0: node 0: has two parents");
        assert_eq!(check(vec![split(1, 0), leaf(0)], 1), "tree 0: node 0: has two parents");
        let mut wide = split(1, 2);
        wide.feature = 7;
        assert_eq!(check(vec![wide, leaf(0), leaf(1)], 2), "tree 0: node 0: feature 7 is out of range (1 features)");
        assert_eq!(check(vec![split(1, 2), leaf(0), leaf(1)], 1), "tree 0: node 2: the leaf's 1 values are not there");
    }
}
