//! The document that JSON and UBJSON share: `{"learner": …, "version": …}`, or `{"Config": …, "Model": …}` around it
//! in pickles.

use super::booster::{Booster, Parts};
use super::value::Value;
use crate::Error;
use crate::trees::{NONE, Node, Tree};

/// Reads the document into a checked booster.
pub(super) fn booster(mut root: Value, format: &'static str) -> Result<Booster, Error> {
    if let Some(model) = root.take("Model") {
        root = model;
    }
    let doc = Doc { format };
    let version = root.take("version").map(|version| doc.ints(&version, "version").map(<[i64]>::to_vec)).transpose()?;
    let mut learner = doc.need(&mut root, "learner")?;
    let param = doc.need(&mut learner, "learner_model_param")?;
    let mut parts = Parts {
        version: version.map(|all| {
            let part = |index: usize| all.get(index).and_then(|n| u32::try_from(*n).ok()).unwrap_or_default();
            [part(0), part(1), part(2)]
        }),
        features: doc.count(&param, "num_feature")?,
        classes: doc.count(&param, "num_class")?,
        targets: if param.get("num_target").is_some() { doc.count(&param, "num_target")? } else { 1 },
        base_score: doc.base_score(&param)?,
        ..Parts::default()
    };
    let objective = doc.need(&mut learner, "objective")?;
    parts.objective = doc.text(&objective, "name")?;
    if let Some(Value::Object(attributes)) = learner.take("attributes") {
        parts.attributes = attributes
            .into_iter()
            .filter_map(|(key, value)| if let Value::Text(text) = value { Some((key, text)) } else { None })
            .collect();
    }
    parts.names = doc.texts(learner.take("feature_names"), "feature_names")?;
    parts.types = doc.texts(learner.take("feature_types"), "feature_types")?;
    let mut gradient = doc.need(&mut learner, "gradient_booster")?;
    parts.booster = doc.text(&gradient, "name")?;
    let mut rounds = true;
    match parts.booster.as_str() {
        "gblinear" => {
            let mut model = doc.need(&mut gradient, "model")?;
            rounds = model.get("boosted_rounds").is_none_or(|rounds| !matches!(rounds, Value::Int(0)));
            parts.linear = doc.floats_of(doc.need(&mut model, "weights")?, "weights")?;
        }
        "dart" => {
            parts.weights = doc.floats_of(doc.need(&mut gradient, "weight_drop")?, "weight_drop")?;
            let mut inner = doc.need(&mut gradient, "gbtree")?;
            doc.trees(doc.need(&mut inner, "model")?, &mut parts)?;
        }
        "gbtree" => doc.trees(doc.need(&mut gradient, "model")?, &mut parts)?,
        other => return Err(Error::unsupported("", format!("booster {other}"), "gbtree, dart, gblinear")),
    }
    let rounds = if parts.booster == "gblinear" { rounds } else { !parts.trees.is_empty() };
    let learns = matches!(param.get("boost_from_average"), Some(Value::Text(text)) if text == "1");
    parts.base_to_learn = learns && !rounds;
    parts.build()
}

/// The levels of each feature as texts, and as numbers.
type Levels = (Vec<Vec<String>>, Vec<Vec<f64>>);

struct Doc {
    format: &'static str,
}

impl Doc {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::state(self.format, message))
    }

    fn need(&self, value: &mut Value, key: &str) -> Result<Value, Error> {
        match value.take(key) {
            Some(value) => Ok(value),
            None => self.fail(format!("`{key}` is missing")),
        }
    }

    fn text(&self, value: &Value, key: &str) -> Result<String, Error> {
        match value.get(key) {
            Some(Value::Text(text)) => Ok(text.clone()),
            _ => self.fail(format!("`{key}` is missing or no text")),
        }
    }

    /// A whole number, written as text ("7") or as a number.
    fn count(&self, value: &Value, key: &str) -> Result<usize, Error> {
        let count = match value.get(key) {
            Some(Value::Text(text)) => text.parse().ok(),
            Some(Value::Int(int)) => usize::try_from(*int).ok(),
            _ => None,
        };
        match count {
            Some(count) => Ok(count),
            None => self.fail(format!("`{key}` is missing or no whole number")),
        }
    }

    /// `"5E-1"`, or from 3.1 on `"[5E-1,2E-1]"`.
    fn base_score(&self, param: &Value) -> Result<Vec<f32>, Error> {
        let text = self.text(param, "base_score")?;
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
        let parsed: Result<Vec<f32>, _> = inner.split(',').map(|number| number.trim().parse::<f32>()).collect();
        parsed.or_else(|_| self.fail("`base_score` is not a number"))
    }

    fn texts(&self, value: Option<Value>, key: &str) -> Result<Vec<String>, Error> {
        let Some(value) = value else { return Ok(Vec::new()) };
        match value {
            Value::Ints(all) if all.is_empty() => Ok(Vec::new()),
            Value::List(all) => {
                let texts = all.into_iter().map(|value| match value {
                    Value::Text(text) => Ok(text),
                    _ => self.fail(format!("`{key}` holds something that is not text")),
                });
                texts.collect()
            }
            _ => self.fail(format!("`{key}` is not a list of texts")),
        }
    }

    fn ints<'v>(&self, value: &'v Value, key: &str) -> Result<&'v [i64], Error> {
        match value {
            Value::Ints(all) => Ok(all),
            _ => self.fail(format!("`{key}` is not a list of whole numbers")),
        }
    }

    fn floats_of(&self, value: Value, key: &str) -> Result<Vec<f32>, Error> {
        match value {
            Value::Floats(all) => Ok(all),
            Value::Ints(all) => Ok(all.into_iter().map(|int| int as f32).collect()),
            _ => self.fail(format!("`{key}` is not a list of numbers")),
        }
    }

    fn trees(&self, mut model: Value, parts: &mut Parts) -> Result<(), Error> {
        let param = self.need(&mut model, "gbtree_model_param")?;
        parts.parallel = match param.get("num_parallel_tree") {
            Some(_) => self.count(&param, "num_parallel_tree")?,
            None => 1,
        };
        let info = self.need(&mut model, "tree_info")?;
        let info = self.ints(&info, "tree_info")?.to_vec();
        if let Some(starts) = model.get("iteration_indptr") {
            let starts = self.ints(starts, "iteration_indptr")?.iter().map(|start| usize::try_from(*start));
            match starts.collect() {
                Ok(starts) => parts.iterations = starts,
                Err(_) => return self.fail("`iteration_indptr` holds a negative number"),
            }
        }
        if let Some(cats) = model.take("cats") {
            (parts.levels, parts.numbers) = self.levels(cats)?;
        }
        let trees = match self.need(&mut model, "trees")? {
            Value::List(trees) => trees,
            Value::Ints(empty) if empty.is_empty() => Vec::new(),
            _ => return self.fail("`trees` is not a list of trees"),
        };
        if trees.len() != info.len() {
            return self.fail(format!("{} trees, but `tree_info` has {}", trees.len(), info.len()));
        }
        parts.width = 1;
        for (index, (tree, group)) in trees.into_iter().zip(info).enumerate() {
            let (mut tree, width) = self.tree(tree, index)?;
            if index > 0 && width != parts.width {
                return self.fail(format!("tree {index}: leaves of {width} values beside leaves of {}", parts.width));
            }
            parts.width = width;
            let group = if width > 1 { 0 } else { group };
            match u32::try_from(group) {
                Ok(group) => tree.offset = group,
                Err(_) => return self.fail(format!("tree {index}: group {group}")),
            }
            parts.trees.push(tree);
        }
        Ok(())
    }

    /// The levels of each feature by their texts, and of those that are numbers also as such (3.1 and later); none
    /// where no feature has any.
    fn levels(&self, mut cats: Value) -> Result<Levels, Error> {
        let Some(Value::List(all)) = cats.take("enc") else { return Ok((Vec::new(), Vec::new())) };
        let mut levels = Vec::with_capacity(all.len());
        let mut numbers = vec![Vec::new(); all.len()];
        for (feature, mut one) in all.into_iter().enumerate() {
            let offsets = one.take("offsets");
            let values = one.take("values");
            let (offsets, values) = match (offsets, values) {
                (Some(Value::Ints(offsets)), Some(Value::Ints(values))) => (offsets, values),
                (None, Some(Value::Ints(values))) => {
                    levels.push(values.iter().map(i64::to_string).collect());
                    if let Some(numbers) = numbers.get_mut(feature) {
                        *numbers = values.iter().map(|value| *value as f64).collect();
                    }
                    continue;
                }
                (None, Some(Value::Floats(values))) => {
                    levels.push(values.iter().map(|value| format!("{value:?}")).collect());
                    if let Some(numbers) = numbers.get_mut(feature) {
                        *numbers = values.iter().map(|value| f64::from(*value)).collect();
                    }
                    continue;
                }
                _ => return self.fail(format!("the categories of feature {feature} are neither texts nor numbers")),
            };
            let bytes: Option<Vec<u8>> = values
                .iter()
                .map(|byte| i8::try_from(*byte).ok().map(|b| b as u8))
                .collect::<Option<_>>()
                .or_else(|| values.iter().map(|byte| u8::try_from(*byte).ok()).collect());
            let bounds = offsets.iter().zip(offsets.iter().skip(1));
            let texts: Option<Vec<String>> = bytes.and_then(|bytes| {
                let text = |(from, to): (&i64, &i64)| {
                    let range = usize::try_from(*from).ok()?..usize::try_from(*to).ok()?;
                    String::from_utf8(bytes.get(range)?.to_vec()).ok()
                };
                bounds.map(text).collect()
            });
            match texts {
                Some(texts) => levels.push(texts),
                // Offsets that count characters where they should count bytes.
                None => {
                    let why = "XGBoost cuts them where they have other letters than those of ASCII";
                    return self.fail(format!("the categories of feature {feature} are not UTF-8 texts: {why}"));
                }
            }
        }
        let some = levels.iter().any(|levels| !levels.is_empty());
        Ok(if some { (levels, numbers) } else { (Vec::new(), Vec::new()) })
    }

    /// One tree with the number of values of its leaves.
    fn tree(&self, mut tree: Value, index: usize) -> Result<(Tree, usize), Error> {
        let param = self.need(&mut tree, "tree_param")?;
        let width = match param.get("size_leaf_vector") {
            Some(_) => self.count(&param, "size_leaf_vector")?.max(1),
            None => 1,
        };
        let mut list = |key: &str| match tree.take(key) {
            Some(value) => Ok(value),
            None => self.fail(format!("tree {index}: `{key}` is missing")),
        };
        let floats = |value: Value, key: &str| self.floats_of(value, key);
        let ints = |value: Value, key: &str| match value {
            Value::Ints(all) => Ok(all),
            // Booleans are written as such in JSON.
            Value::List(all) => all
                .iter()
                .map(|value| if let Value::Bool(yes) = value { Ok(i64::from(*yes)) } else { self.fail(key) })
                .collect(),
            _ => self.fail(format!("tree {index}: `{key}` is not a list of whole numbers")),
        };
        let left = ints(list("left_children")?, "left_children")?;
        let right = ints(list("right_children")?, "right_children")?;
        let feature = ints(list("split_indices")?, "split_indices")?;
        let threshold = floats(list("split_conditions")?, "split_conditions")?;
        let default = ints(list("default_left")?, "default_left")?;
        let base_weights = floats(list("base_weights")?, "base_weights")?;
        // Multi-target trees of 2.x write neither gain nor cover.
        let mut statistic = |key: &str| match tree.take(key) {
            Some(value) => floats(value, key),
            None => Ok(vec![0.0; left.len()]),
        };
        let gain = statistic("loss_changes")?;
        let cover = statistic("sum_hessian")?;
        let optional = |value: Option<Value>, key: &str| value.map_or(Ok(Vec::new()), |value| ints(value, key));
        let split_type = optional(tree.take("split_type"), "split_type")?;
        let category_nodes = optional(tree.take("categories_nodes"), "categories_nodes")?;
        let segments = optional(tree.take("categories_segments"), "categories_segments")?;
        let sizes = optional(tree.take("categories_sizes"), "categories_sizes")?;
        let categories = optional(tree.take("categories"), "categories")?;

        let count = left.len();
        let same = [right.len(), feature.len(), threshold.len(), default.len(), gain.len(), cover.len()];
        if same.iter().any(|length| *length != count) {
            return self.fail(format!("tree {index}: its lists have different lengths"));
        }
        // From 3.1 on the leaves of multi-target trees have their own list, and a leaf's right child is its place there.
        let leaf_weights = tree.take("leaf_weights").map(|value| floats(value, "leaf_weights")).transpose()?;
        let leaf_weights = leaf_weights.filter(|_| width > 1);
        let mut out = Tree::default();
        let mut sets = vec![NONE; count];
        for (which, node) in category_nodes.iter().enumerate() {
            let start = segments.get(which).and_then(|start| usize::try_from(*start).ok());
            let size = sizes.get(which).and_then(|size| usize::try_from(*size).ok());
            let end = start.zip(size).and_then(|(start, size)| start.checked_add(size));
            let set = start.zip(end).and_then(|(start, end)| categories.get(start..end));
            let slot = usize::try_from(*node).ok().and_then(|node| sets.get_mut(node));
            let (Some(set), Some(slot)) = (set, slot) else {
                return self.fail(format!("tree {index}: node {node}: its set of categories is not there"));
            };
            let mut words = Vec::new();
            for category in set {
                let category = u32::try_from(*category).ok().filter(|category| *category < CATEGORIES);
                let Some(category) = category else {
                    return self.fail(format!("tree {index}: node {node}: a category is out of range"));
                };
                let word = (category >> 5) as usize;
                if words.len() <= word {
                    words.resize(word.saturating_add(1), 0u32);
                }
                if let Some(word) = words.get_mut(word) {
                    *word |= 1 << (category & 31);
                }
            }
            *slot = u32::try_from(out.sets.len()).unwrap_or(NONE);
            out.sets.push(words);
        }

        let mut leaves = 0u32;
        let rows = left.iter().zip(&right).zip(feature.iter().zip(&threshold)).zip(default.iter());
        let rows = rows.zip(cover.iter().zip(&gain)).zip(sets.iter().enumerate());
        for (((((left, right), (feature, threshold)), default), (cover, gain)), (at, set)) in rows {
            let is_leaf = *left == -1;
            let child = |child: i64| u32::try_from(child).unwrap_or(NONE - 1);
            if is_leaf && *right != -1 && leaf_weights.is_none() {
                let message = format!("left child -1 beside right child {right}");
                return Err(Error::Tree { place: String::new(), tree: index, node: at, message });
            }
            if !is_leaf && split_type.get(at).is_some_and(|kind| *kind == 1) != (*set != NONE) {
                return self.fail(format!("tree {index}: node {at}: its set of categories is not there"));
            }
            out.nodes.push(Node {
                left: if is_leaf { NONE } else { child(*left) },
                right: if is_leaf { NONE } else { child(*right) },
                feature: if is_leaf { leaves } else { child(*feature) },
                set: if is_leaf { NONE } else { *set },
                missing_left: *default != 0,
                threshold: f64::from(*threshold),
                cover: f64::from(*cover),
                gain: f64::from(*gain),
            });
            if is_leaf {
                leaves = leaves.saturating_add(1);
                if width > 1 {
                    let (list, place) = match &leaf_weights {
                        Some(list) => (list, usize::try_from(*right).unwrap_or(usize::MAX)),
                        None => (&base_weights, at),
                    };
                    let start = place.saturating_mul(width);
                    let values = list.get(start..start.saturating_add(width)).unwrap_or_default();
                    out.values.extend(values.iter().map(|value| f64::from(*value)));
                } else {
                    out.values.push(f64::from(*threshold));
                }
            }
        }
        Ok((out, width))
    }
}

/// XGBoost's own limit: categories are float32 numbers that are still exact.
const CATEGORIES: u32 = 1 << 24;
