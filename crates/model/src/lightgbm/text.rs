//! The model text: a header, the trees, the parameters, and the categories that pandas had.

use std::collections::HashMap;

use serde_json::Value;

use super::FORMAT;
use super::objective::Objective;
use super::tree::{Block, Linear};
use crate::Error;
use crate::trees::{Ensemble, Rule};

/// The categories of a column that was categorical in pandas, by code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Levels {
    Text(Vec<String>),
    Number(Vec<f64>),
}

/// A checked booster.
#[derive(Debug)]
pub(crate) struct Booster {
    /// `v2`, `v3` or `v4`: the version of the text, which does not tell that of the library.
    pub(crate) format: String,
    pub(crate) objective: Objective,
    pub(crate) objective_name: String,
    /// `gbdt`, `dart`, `rf`, where the file tells it.
    pub(crate) booster: Option<String>,
    pub(crate) outputs: usize,
    /// Whether the sum is divided by the number of iterations (random forests).
    pub(crate) averages: bool,
    pub(crate) ensemble: Ensemble,
    pub(crate) depth: usize,
    /// One for each tree, where any tree has linear models in its leaves.
    pub(crate) linear: Vec<Option<Linear>>,
    /// Features whose zero is missing.
    pub(crate) zero_missing: Vec<u32>,
    /// Empty where the names are `Column_0`, `Column_1`, …: the library's own.
    pub(crate) names: Vec<String>,
    /// For each feature the levels that pandas had; empty where none had any.
    pub(crate) levels: Vec<Option<Levels>>,
}

/// More outputs than this are not a model but an attack on memory.
const OUTPUTS: usize = 1 << 16;

/// Reads a model text.
///
/// # Errors
/// It breaks the format, describes trees that cannot be walked, or an objective that is not known.
pub(crate) fn read(bytes: &[u8]) -> Result<Booster, Error> {
    let broken = |offset: usize, message: String| Error::Format { format: FORMAT, offset, message };
    let text = std::str::from_utf8(bytes).map_err(|error| broken(error.valid_up_to(), "is not UTF-8".to_string()))?;
    if !super::looks_like(bytes) {
        return Err(broken(0, "does not start with `tree` and a version".to_string()));
    }
    let mut parts = Parts::default();
    parts.split(text);
    if parts.end.is_none() {
        return Err(broken(text.len(), "the text ends before `end of trees`".to_string()));
    }
    parts.build().map_err(|problem| match problem {
        Problem::Text(offset, message) => broken(offset, message),
        Problem::Whole(error) => error,
    })
}

/// What is wrong, before it is known where the text starts.
enum Problem {
    Text(usize, String),
    Whole(Error),
}

/// The text, cut into its parts.
#[derive(Default)]
struct Parts<'t> {
    header: HashMap<&'t str, &'t str>,
    /// Each tree's lines, with the byte where it starts.
    trees: Vec<(usize, HashMap<&'t str, &'t str>)>,
    /// Lines `[name: value]`.
    parameters: HashMap<&'t str, &'t str>,
    categories: Option<&'t str>,
    end: Option<usize>,
}

impl<'t> Parts<'t> {
    fn split(&mut self, text: &'t str) {
        let mut offset = 0usize;
        for whole in text.split_inclusive('\n') {
            let at = offset;
            offset = offset.saturating_add(whole.len());
            let line = whole.trim_end_matches(['\n', '\r']);
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            if self.end.is_some() {
                let parameter = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
                if let Some((name, value)) = parameter.and_then(|line| line.split_once(": ")) {
                    self.parameters.insert(name, value);
                } else if let Some(categories) = line.strip_prefix("pandas_categorical:") {
                    self.categories = Some(categories);
                }
            } else if line == "end of trees" {
                self.end = Some(at);
            } else if key == "Tree" {
                self.trees.push((at, HashMap::new()));
            } else if let Some((_, lines)) = self.trees.last_mut() {
                lines.insert(key, value);
            } else {
                self.header.insert(key, value);
            }
        }
    }

    fn text(&self, key: &str) -> Result<&'t str, Problem> {
        self.header.get(key).copied().ok_or_else(|| Problem::Text(0, format!("`{key}` is missing")))
    }

    fn count(&self, key: &str) -> Result<usize, Problem> {
        self.text(key)?.trim().parse().map_err(|_| Problem::Text(0, format!("`{key}` is not a count")))
    }

    fn build(&self) -> Result<Booster, Problem> {
        let header = |message: String| Problem::Text(0, message);
        let format = self.text("version")?.trim();
        if !matches!(format, "v2" | "v3" | "v4") {
            return Err(Problem::Whole(Error::unsupported("", format!("version={format}"), "v2, v3, v4")));
        }
        let names: Vec<&str> = self.text("feature_names")?.split_ascii_whitespace().collect();
        let features = self.count("max_feature_idx")?.saturating_add(1);
        if names.len() != features {
            return Err(header(format!("{} feature names for {features} features", names.len())));
        }
        let outputs = self.count("num_tree_per_iteration")?;
        if outputs == 0 || outputs > OUTPUTS || self.trees.len().checked_rem(outputs) != Some(0) {
            return Err(header(format!("{} trees for {outputs} outputs", self.trees.len())));
        }
        let words = self.header.get("objective").copied().unwrap_or("");
        let mut objective = Objective::from_words(words).map_err(Problem::Whole)?;
        let is_old = !self.trees.iter().any(|(_, lines)| lines.contains_key("is_linear"));
        if is_old && objective == Objective::Softplus {
            objective = Objective::OldSoftplus;
        }

        let mut ensemble = Ensemble {
            trees: Vec::with_capacity(self.trees.len()),
            width: 1,
            outputs,
            features,
            rule: Rule::LessEqual,
        };
        let mut linear = Vec::new();
        let mut zero: HashMap<u32, Option<bool>> = HashMap::new();
        for (index, (at, lines)) in self.trees.iter().enumerate() {
            let tree = |message: String| Problem::Text(*at, format!("tree {index}: {message}"));
            let block = Block { lines: lines.clone() };
            let mut read = block.read(features).map_err(tree)?;
            for (feature, missing) in read.zero {
                if *zero.entry(feature).or_insert(missing) != missing {
                    let what = format!("feature {feature} with zero as missing in some trees only");
                    return Err(Problem::Whole(Error::unsupported("", what, "one meaning of zero for each feature")));
                }
            }
            read.tree.offset = u32::try_from(index.checked_rem(outputs).unwrap_or(0)).unwrap_or(0);
            ensemble.trees.push(read.tree);
            linear.push(read.linear);
        }
        let depth = ensemble.check("").map_err(Problem::Whole)?;
        if linear.iter().all(Option::is_none) {
            linear = Vec::new();
        }
        let mut zero_missing: Vec<u32> =
            zero.into_iter().filter(|(_, missing)| *missing == Some(true)).map(|(feature, _)| feature).collect();
        zero_missing.sort_unstable();
        let numbered = names.iter().enumerate().all(|(index, name)| *name == format!("Column_{index}"));
        Ok(Booster {
            format: format.to_string(),
            objective,
            objective_name: words.split_ascii_whitespace().next().unwrap_or("custom").to_string(),
            booster: self.parameters.get("boosting").map(|text| text.trim().to_string()),
            outputs,
            averages: self.header.contains_key("average_output"),
            ensemble,
            depth,
            linear,
            zero_missing,
            names: if numbered { Vec::new() } else { names.into_iter().map(str::to_string).collect() },
            levels: self.levels(features)?,
        })
    }

    /// The lists of `pandas_categorical`, given to the features that were categorical.
    fn levels(&self, features: usize) -> Result<Vec<Option<Levels>>, Problem> {
        let whole = |message: String| Problem::Whole(Error::state("pandas_categorical", message));
        let Some(text) = self.categories.map(str::trim).filter(|text| !matches!(*text, "" | "null" | "[]")) else {
            return Ok(Vec::new());
        };
        let lists: Vec<Vec<Value>> =
            serde_json::from_str(text).map_err(|error| whole(format!("is not a list of lists: {error}")))?;
        let named = self.parameters.get("categorical_feature").or_else(|| self.parameters.get("categorical_column"));
        let named: Vec<usize> =
            named.map(|text| text.split(',').filter_map(|one| one.trim().parse().ok()).collect()).unwrap_or_default();
        let places = if named.len() == lists.len() {
            named
        } else {
            // Categorical features have their codes in `feature_infos`, others a range in brackets.
            let infos = self.header.get("feature_infos").copied().unwrap_or("").split_ascii_whitespace();
            infos
                .enumerate()
                .filter(|(_, info)| info.contains(':') && !info.starts_with('['))
                .map(|one| one.0)
                .collect()
        };
        if places.len() != lists.len() {
            return Err(whole(format!("{} lists for {} categorical features", lists.len(), places.len())));
        }
        let mut out = vec![None; features];
        for (place, list) in places.into_iter().zip(lists) {
            let Some(slot) = out.get_mut(place) else { return Err(whole(format!("feature {place} is out of range"))) };
            *slot = Some(level_list(&list).ok_or_else(|| whole("a list is neither of texts nor of numbers".into()))?);
        }
        Ok(out)
    }
}

fn level_list(list: &[Value]) -> Option<Levels> {
    if list.iter().all(Value::is_string) {
        return Some(Levels::Text(list.iter().filter_map(|one| one.as_str().map(str::to_string)).collect()));
    }
    let number = |one: &Value| one.as_f64().or_else(|| one.as_bool().map(|yes| f64::from(u8::from(yes))));
    list.iter().map(number).collect::<Option<Vec<f64>>>().map(Levels::Number)
}

impl Booster {
    /// How many iterations (boosting rounds) there are.
    pub(crate) fn rounds(&self) -> usize {
        self.ensemble.trees.len().checked_div(self.outputs).unwrap_or(0)
    }

    /// Keeps the trees of the iterations `from..to` only; `to` beyond the end is the end.
    pub(crate) fn keep_iterations(&mut self, from: usize, to: usize) {
        let at = |round: usize| round.min(self.rounds()).saturating_mul(self.outputs);
        let (first, end) = (at(from), at(to.max(from)));
        self.ensemble.trees.truncate(end);
        self.ensemble.trees.drain(..first.min(end));
        if !self.linear.is_empty() {
            self.linear.truncate(end);
            self.linear.drain(..first.min(end));
        }
    }
}
