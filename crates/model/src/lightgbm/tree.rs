//! One tree of a model text.

use std::collections::HashMap;

use crate::trees::{NONE, Node, Tree};

/// Values nearer to zero than this are zero: the library compares with the float32 constant.
pub(crate) const ZERO: f64 = 1e-35_f32 as f64;

/// The linear models in the leaves of one tree.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Linear {
    /// The constant of each leaf.
    pub(crate) constants: Vec<f64>,
    /// The terms of each leaf: a feature with its coefficient.
    pub(crate) terms: Vec<Vec<(u32, f64)>>,
}

/// What a block of text says.
pub(crate) struct Read {
    pub(crate) tree: Tree,
    pub(crate) linear: Option<Linear>,
    /// For each split feature: whether zero is missing there; `None` for a set of categories.
    pub(crate) zero: Vec<(u32, Option<bool>)>,
}

/// The lines `key=value` of one tree.
pub(crate) struct Block<'t> {
    pub(crate) lines: HashMap<&'t str, &'t str>,
}

impl Block<'_> {
    fn list<T: std::str::FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>, String> {
        let text = self.lines.get(key).ok_or_else(|| format!("`{key}` is missing"))?;
        let all: Result<Vec<T>, _> = text.split_ascii_whitespace().map(str::parse).collect();
        let all = all.map_err(|_| format!("`{key}` holds what is not a number"))?;
        if all.len() != count {
            return Err(format!("`{key}` holds {} numbers instead of {count}", all.len()));
        }
        Ok(all)
    }

    /// The same where nothing depends on it: empty if it is missing or broken.
    fn extra(&self, key: &str, count: usize) -> Vec<f64> {
        self.list(key, count).unwrap_or_default()
    }

    fn number(&self, key: &str) -> Result<usize, String> {
        let text = self.lines.get(key).ok_or_else(|| format!("`{key}` is missing"))?;
        text.trim().parse().map_err(|_| format!("`{key}` is not a count"))
    }

    /// Reads the tree, `features` wide.
    pub(crate) fn read(&self, features: usize) -> Result<Read, String> {
        let leaves = self.number("num_leaves")?;
        let values: Vec<f64> = self.list("leaf_value", leaves)?;
        let linear = if self.lines.get("is_linear").is_some_and(|text| text.trim() == "1") {
            Some(self.linear(leaves, features)?)
        } else {
            None
        };
        let Some(splits) = leaves.checked_sub(1) else { return Err("a tree has no leaf".to_string()) };
        let mut tree = Tree { values, ..Tree::default() };
        let mut zero = Vec::with_capacity(splits);
        if splits > 0 {
            self.splits(splits, features, &mut tree, &mut zero)?;
        }
        let counts = self.extra("leaf_count", leaves);
        for leaf in 0..leaves {
            tree.nodes.push(Node {
                left: NONE,
                right: NONE,
                feature: u32::try_from(leaf).map_err(|_| "too many leaves".to_string())?,
                set: NONE,
                missing_left: false,
                threshold: 0.0,
                cover: counts.get(leaf).copied().unwrap_or(0.0),
                gain: 0.0,
            });
        }
        Ok(Read { tree, linear, zero })
    }

    fn splits(
        &self,
        splits: usize,
        features: usize,
        tree: &mut Tree,
        zero: &mut Vec<(u32, Option<bool>)>,
    ) -> Result<(), String> {
        let feature: Vec<u32> = self.list("split_feature", splits)?;
        let threshold: Vec<f64> = self.list("threshold", splits)?;
        let left: Vec<i64> = self.list("left_child", splits)?;
        let right: Vec<i64> = self.list("right_child", splits)?;
        let kinds: Vec<u8> = match self.lines.contains_key("decision_type") {
            true => self.list("decision_type", splits)?,
            false => vec![0; splits],
        };
        let (gain, counts) = (self.extra("split_gain", splits), self.extra("internal_count", splits));
        let count = self.lines.get("num_cat").map_or(Ok(0), |_| self.number("num_cat"))?;
        if count > 0 {
            tree.sets = self.sets(count)?;
        }
        let child = |child: i64| match usize::try_from(child) {
            Ok(inner) if inner < splits => u32::try_from(inner).unwrap_or(NONE - 1),
            Ok(_) => NONE - 1,
            Err(_) => usize::try_from(!child)
                .ok()
                .and_then(|leaf| u32::try_from(leaf.checked_add(splits)?).ok())
                .unwrap_or(NONE - 1),
        };
        let rows = feature.iter().zip(&threshold).zip(left.iter().zip(&right)).zip(&kinds).enumerate();
        for (index, (((feature, threshold), (left, right)), kind)) in rows {
            if *feature as usize >= features {
                return Err(format!("node {index}: feature {feature} is out of range ({features} features)"));
            }
            let (left, right) = (child(*left), child(*right));
            let plain = Node {
                left,
                right,
                feature: *feature,
                set: NONE,
                missing_left: false,
                threshold: *threshold,
                cover: counts.get(index).copied().unwrap_or(0.0),
                gain: gain.get(index).copied().unwrap_or(0.0),
            };
            if kind & 1 == 1 {
                // A category of the set goes left, all else and what is missing goes right: here the sides are swapped.
                let set = *threshold as u32;
                if f64::from(set) != *threshold {
                    return Err(format!("node {index}: its set of categories is not there"));
                }
                tree.nodes.push(Node { left: right, right: left, set, missing_left: true, ..plain });
                zero.push((*feature, None));
                continue;
            }
            let missing = kind >> 2 & 3;
            let missing_left = match missing {
                0 => 0.0 <= *threshold,
                _ => kind & 2 == 2,
            };
            tree.nodes.push(Node { missing_left, threshold: around_zero(*threshold), ..plain });
            zero.push((*feature, Some(missing == 1)));
        }
        Ok(())
    }

    fn sets(&self, count: usize) -> Result<Vec<Vec<u32>>, String> {
        let bounds: Vec<usize> = self.list("cat_boundaries", count.saturating_add(1))?;
        let words: Vec<u32> = self.list("cat_threshold", bounds.last().copied().unwrap_or(0))?;
        let set = |pair: &[usize]| match pair {
            [from, to] => words.get(*from..*to).map(<[u32]>::to_vec),
            _ => None,
        };
        let all: Option<Vec<Vec<u32>>> = bounds.windows(2).map(set).collect();
        all.ok_or_else(|| "`cat_boundaries` is not ascending".to_string())
    }

    fn linear(&self, leaves: usize, features: usize) -> Result<Linear, String> {
        let counts: Vec<usize> = self.list("num_features", leaves)?;
        let total = counts.iter().fold(0usize, |sum, count| sum.saturating_add(*count));
        let named: Vec<u32> = self.list("leaf_features", total)?;
        let coefficients: Vec<f64> = self.list("leaf_coeff", total)?;
        if let Some(feature) = named.iter().find(|feature| **feature as usize >= features) {
            return Err(format!("leaf feature {feature} is out of range ({features} features)"));
        }
        let mut all = named.into_iter().zip(coefficients);
        let terms = counts.iter().map(|count| all.by_ref().take(*count).collect()).collect();
        Ok(Linear { constants: self.list("leaf_const", leaves)?, terms })
    }
}

/// Tiny values count as zero before they are compared. A threshold among them is moved to the edge, which decides every
/// value alike without looking for tiny ones.
fn around_zero(threshold: f64) -> f64 {
    if (0.0..ZERO).contains(&threshold) {
        ZERO
    } else if (-ZERO..0.0).contains(&threshold) {
        (-ZERO).next_down()
    } else {
        threshold
    }
}
