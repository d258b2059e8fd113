//! The JSON that `save_model(format="json")` writes.

use std::collections::HashMap;

use serde::Deserialize;

use super::booster::{Booster, Borders, Feature, Kind, Node, OneHot, Trees};
use super::info::Entries;
use super::statistic::{Combination, Counts, Ctr, Statistic, Table};
use crate::Error;

pub(super) const FORMAT: &str = "CatBoost JSON";

/// The keys of the outermost object; one of them comes first.
const KEYS: &[&str] =
    &["cat_features_hash", "ctr_data", "features_info", "model_info", "oblivious_trees", "scale_and_bias", "trees"];

/// Whether the bytes begin as such a document.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let after = |bytes: &'_ [u8], expected: u8| {
        let at = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
        (bytes.get(at) == Some(&expected)).then_some(at.saturating_add(1))
    };
    let Some(at) = after(bytes, b'{') else { return false };
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(at) = after(rest, b'"') else { return false };
    let key = rest.get(at..).unwrap_or_default();
    KEYS.iter().any(|known| key.strip_prefix(known.as_bytes()).is_some_and(|end| end.first() == Some(&b'"')))
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    ctr_data: Option<HashMap<String, Counted>>,
    features_info: Features,
    #[serde(default)]
    model_info: Entries,
    #[serde(default)]
    oblivious_trees: Option<Vec<Levels>>,
    #[serde(default)]
    trees: Option<Vec<Branch>>,
    #[serde(default)]
    scale_and_bias: Option<(f64, OneOrMany)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(f64),
    Many(Vec<f64>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<f64> {
        match self {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Features {
    float_features: Option<Vec<NumberFeature>>,
    categorical_features: Option<Vec<CategoryFeature>>,
    text_features: Option<Vec<Other>>,
    embedding_features: Option<Vec<Other>>,
    ctrs: Option<Vec<CtrFeature>>,
}

/// A feature of a kind that is not read.
#[derive(Deserialize)]
struct Other {}

#[derive(Deserialize)]
struct NumberFeature {
    feature_index: usize,
    flat_feature_index: usize,
    #[serde(default)]
    feature_id: String,
    #[serde(default)]
    borders: Option<Vec<f64>>,
    #[serde(default)]
    has_nans: bool,
    #[serde(default)]
    nan_value_treatment: String,
}

#[derive(Deserialize)]
struct CategoryFeature {
    feature_index: usize,
    flat_feature_index: usize,
    #[serde(default)]
    feature_id: String,
    #[serde(default)]
    values: Option<Vec<i32>>,
}

#[derive(Deserialize)]
struct Element {
    combination_element: String,
    #[serde(default)]
    cat_feature_index: usize,
    #[serde(default)]
    float_feature_index: usize,
    #[serde(default)]
    border: f64,
    #[serde(default)]
    value: i32,
}

#[derive(Deserialize)]
struct CtrFeature {
    identifier: String,
    elements: Vec<Element>,
    ctr_type: String,
    borders: Vec<f64>,
    prior_numerator: f64,
    /// As it is spelled in the files.
    prior_denomerator: f64,
    scale: f64,
    shift: f64,
    target_border_idx: usize,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    counter_denominator: i32,
    hash_map: Vec<Entry>,
    hash_stride: usize,
}

/// A hash, which is a text, or a count.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Count(f64),
    Hash(String),
}

#[derive(Deserialize)]
struct Split {
    split_index: u32,
}

#[derive(Deserialize)]
struct Levels {
    leaf_values: Vec<f64>,
    #[serde(default)]
    leaf_weights: Option<Vec<f64>>,
    #[serde(default)]
    splits: Option<Vec<Split>>,
}

/// A node of a tree of any shape, or a leaf.
#[derive(Deserialize)]
struct Branch {
    left: Option<Box<Branch>>,
    right: Option<Box<Branch>>,
    split: Option<Split>,
    value: Option<OneOrMany>,
    #[serde(default)]
    weight: Option<f64>,
}

/// What trees are read to.
#[derive(Default)]
struct Read {
    leaves: Vec<f64>,
    weights: Vec<f64>,
    dimensions: usize,
}

fn fail<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::state(FORMAT, message))
}

fn narrow(all: Vec<f64>) -> Vec<f32> {
    all.into_iter().map(|one| one as f32).collect()
}

/// Reads the whole document. Its nesting is bounded by the parser.
pub(super) fn read(bytes: &[u8]) -> Result<Booster, Error> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| Error::state(FORMAT, error.to_string()))?;
    let info = document.features_info;
    if info.text_features.is_some_and(|all| !all.is_empty())
        || info.embedding_features.is_some_and(|all| !all.is_empty())
    {
        return Err(Error::unsupported(
            FORMAT,
            "text or embedding features",
            "features that are numbers and categories",
        ));
    }
    let (mut features, mut borders, mut one_hot) = (Vec::new(), Vec::new(), Vec::new());
    for one in info.float_features.unwrap_or_default() {
        let (index, column) = (one.feature_index, one.flat_feature_index);
        features.push(Feature { kind: Kind::Number, index, column, name: one.feature_id });
        let of_feature = narrow(one.borders.unwrap_or_default());
        if !of_feature.is_empty() {
            let missing_above = one.has_nans && one.nan_value_treatment == "AsTrue";
            borders.push(Borders { feature: index, borders: of_feature, missing_above });
        }
    }
    for one in info.categorical_features.unwrap_or_default() {
        let (index, column) = (one.feature_index, one.flat_feature_index);
        features.push(Feature { kind: Kind::Category, index, column, name: one.feature_id });
        if let Some(values) = one.values {
            one_hot.push(OneHot { feature: index, values });
        }
    }
    let (tables, places) = tables(document.ctr_data.unwrap_or_default())?;
    let ctrs = info.ctrs.unwrap_or_default().into_iter().map(|one| ctr(one, &places)).collect::<Result<_, Error>>()?;
    let (trees, Read { leaves, weights, dimensions }) = match (document.oblivious_trees, document.trees) {
        (Some(all), _) => symmetric(all)?,
        (None, Some(all)) => free(all)?,
        (None, None) => return fail("there are no trees"),
    };
    let (scale, bias) = document.scale_and_bias.map_or((1.0, vec![0.0]), |(scale, bias)| (scale, bias.into_vec()));
    let bias = if bias.len() == 1 { vec![bias.first().copied().unwrap_or(0.0); dimensions] } else { bias };
    let info = document.model_info.info(FORMAT)?;
    Ok(Booster { features, borders, one_hot, ctrs, tables, trees, leaves, weights, dimensions, scale, bias, info })
}

fn combination(elements: Vec<Element>) -> Result<Combination, Error> {
    let mut all = Combination::default();
    for one in elements {
        match one.combination_element.as_str() {
            "cat_feature_value" => all.categories.push(one.cat_feature_index),
            "float_feature" => all.borders.push((one.float_feature_index, (one.border as f32).to_bits())),
            "cat_feature_exact_value" => all.values.push((one.cat_feature_index, one.value)),
            _ => return fail("a statistic of an unknown element"),
        }
    }
    Ok(all)
}

fn ctr(one: CtrFeature, places: &HashMap<String, usize>) -> Result<Ctr, Error> {
    let Some(statistic) = Statistic::named(&one.ctr_type) else { return fail("an unknown kind of statistic") };
    let Some(table) = places.get(&one.identifier) else { return fail("a statistic without its table") };
    Ok(Ctr {
        combination: combination(one.elements)?,
        table: *table,
        statistic,
        target_border: one.target_border_idx,
        prior: (one.prior_numerator as f32, one.prior_denomerator as f32),
        shift: one.shift as f32,
        scale: one.scale as f32,
        borders: narrow(one.borders),
    })
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    statistic: String,
}

/// The tables, and the place of each by what it is of.
fn tables(data: HashMap<String, Counted>) -> Result<(Vec<Table>, HashMap<String, usize>), Error> {
    let (mut all, mut places) = (Vec::new(), HashMap::new());
    for (key, counted) in data {
        let Ok(identifier) = serde_json::from_str::<Identifier>(&key) else {
            return fail("a table of statistics that does not say of what it is");
        };
        let width = counted.hash_stride.saturating_sub(1);
        if width == 0 {
            return fail("a table of statistics without counts");
        }
        let is_mean = Statistic::named(&identifier.statistic) == Some(Statistic::Mean);
        let (mut hashes, mut whole, mut sums) = (HashMap::new(), Vec::new(), Vec::new());
        for (place, chunk) in (0u32..).zip(counted.hash_map.chunks(counted.hash_stride)) {
            let Some((Entry::Hash(hash), counts)) = chunk.split_first() else {
                return fail("a count where a hash is due");
            };
            let count = |entry: &Entry| match entry {
                Entry::Count(count) => Ok(*count),
                Entry::Hash(_) => fail("a hash where a count is due"),
            };
            let counts = counts.iter().map(count).collect::<Result<Vec<f64>, Error>>()?;
            if counts.len() != width {
                return fail("a table of statistics ends too early");
            }
            match hash.parse::<u64>() {
                // A place that is not used.
                Ok(u64::MAX) => {}
                Ok(hash) => drop(hashes.insert(hash, place)),
                Err(_) => return fail("a hash that is not a number"),
            }
            match (is_mean, counts.as_slice()) {
                (true, [sum, count]) => sums.push((*sum as f32, *count as i32)),
                (true, _) => return fail("a mean of other than a sum and a count"),
                (false, _) => whole.extend(counts.iter().map(|count| *count as i32)),
            }
        }
        let counts = if is_mean { Counts::Sums(sums) } else { Counts::Whole(width, whole) };
        places.insert(key, all.len());
        all.push(Table { places: hashes, counts, denominator: counted.counter_denominator });
    }
    Ok((all, places))
}

fn symmetric(all: Vec<Levels>) -> Result<(Trees, Read), Error> {
    let (mut trees, mut leaves, mut dimensions) = (Vec::with_capacity(all.len()), Vec::new(), None);
    let mut weights = Vec::new();
    for tree in all {
        let splits: Vec<u32> = tree.splits.unwrap_or_default().iter().map(|split| split.split_index).collect();
        let count = u32::try_from(splits.len()).ok().and_then(|levels| 1usize.checked_shl(levels)).unwrap_or(0);
        let own =
            tree.leaf_values.len().checked_div(count).filter(|own| own.saturating_mul(count) == tree.leaf_values.len());
        if own.is_none_or(|own| own == 0) || *dimensions.get_or_insert(own) != own {
            return fail(format!("tree {}: {} values for {count} leaves", trees.len(), tree.leaf_values.len()));
        }
        trees.push(splits);
        leaves.extend(tree.leaf_values);
        weights.extend(tree.leaf_weights.into_iter().flatten());
    }
    Ok((Trees::Symmetric(trees), Read { leaves, weights, dimensions: dimensions.flatten().unwrap_or(1) }))
}

fn free(all: Vec<Branch>) -> Result<(Trees, Read), Error> {
    let mut weights = Vec::new();
    let (mut nodes, mut roots, mut leaves, mut dimensions) = (Vec::new(), Vec::new(), Vec::new(), None);
    for tree in all {
        roots.push(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
        // Where a branch is noted once it has its place.
        let mut open: Vec<(Branch, Option<(usize, bool)>)> = vec![(tree, None)];
        while let Some((branch, above)) = open.pop() {
            let at = nodes.len();
            if let Some((parent, is_left)) = above {
                let ahead = u32::try_from(at.saturating_sub(parent)).unwrap_or(u32::MAX);
                if let Some(node) = nodes.get_mut(parent) {
                    let Node { left, right, .. } = node;
                    *(if is_left { left } else { right }) = ahead;
                }
            }
            match (branch.split, branch.left, branch.right, branch.value) {
                (Some(split), Some(left), Some(right), _) => {
                    nodes.push(Node { split: split.split_index, left: 0, right: 0, leaf: u32::MAX });
                    open.push((*right, Some((at, false))));
                    open.push((*left, Some((at, true))));
                }
                (None, None, None, Some(value)) => {
                    let values = value.into_vec();
                    if values.is_empty() || *dimensions.get_or_insert(values.len()) != values.len() {
                        return fail("leaves with different numbers of values");
                    }
                    let leaf = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
                    nodes.push(Node { split: 0, left: 0, right: 0, leaf });
                    leaves.extend(values);
                    weights.extend(branch.weight);
                }
                _ => return fail("a node that is neither a split nor a leaf"),
            }
        }
    }
    Ok((Trees::Free { nodes, roots }, Read { leaves, weights, dimensions: dimensions.unwrap_or(1) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn such_a_document_is_known_by_its_first_key() {
        assert!(looks_like(b"{\n  \"ctr_data\":\n {}}"));
        assert!(looks_like(b" {\"oblivious_trees\": []}"));
        assert!(!looks_like(b"{\"learner\": {}}"));
        assert!(!looks_like(b"{\"trees_of_mine\": {}}"));
        assert!(!looks_like(b"{"));
        assert!(!looks_like(b""));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let error = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert!(error("{\"trees\": 1}").starts_with("CatBoost JSON: invalid type: integer `1`"));
        assert_eq!(error("{\"features_info\": {}}"), "CatBoost JSON: there are no trees");
        let uneven = "{\"features_info\": {}, \"oblivious_trees\": [{\"leaf_values\": [1, 2, 3], \"splits\": [{\"split_index\": 0}]}]}";
        assert_eq!(error(uneven), "CatBoost JSON: tree 0: 3 values for 2 leaves");
        let deep = format!("{{\"features_info\": {{}}, \"trees\": [{}", "{\"left\":".repeat(1000));
        assert!(error(&deep).contains("recursion limit"));
    }
}
