//! From bytes to a model; the kind of file is decided by its content.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::collections::BTreeMap;
use std::ops::Range;

use foretell_pickle::{Container, Limits, View};
use sha2::{Digest, Sha256};

use crate::families::{self, allow};
use crate::loader::{Loader, Out, Source};
use crate::xgboost::Form;
use crate::{Description, Error, Model, Output, Report, Signature, lightgbm};

/// How a file is read.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Where the model is in a file whose root is a dict, list or tuple: `model`, `models[2].best`.
    pub at: Option<String>,
    /// Budgets of the pickle reader.
    pub limits: Limits,
    /// Names of the inputs, in their order, for files that tell none. What hashes names takes its inputs from here.
    pub columns: Vec<String>,
    /// Levels of categorical columns by feature name, for boosters that store none.
    pub categories: BTreeMap<String, Vec<String>>,
    /// Which boosting rounds are scored; the default is what the library's `predict` takes.
    pub iterations: Option<Range<usize>>,
}

impl Model {
    /// Reads a model: a pickle or joblib file of a supported estimator, an XGBoost model in JSON, UBJSON or its old
    /// binary, or a LightGBM model text.
    ///
    /// # Errors
    /// The file is broken, holds something that is not allowed or not supported, or describes a model that could not
    /// be scored safely. The error says where.
    pub fn load(bytes: &[u8], options: &LoadOptions) -> Result<Model, Error> {
        let sha256 = sha256(bytes);
        if let Some(form) = booster_form(bytes) {
            let mut loader = Loader::new(options);
            let loaded = families::xgboost::raw(&mut loader, bytes, form)?;
            return finish(loader, loaded, sha256);
        }
        if lightgbm::looks_like(bytes) {
            let mut loader = Loader::new(options);
            let loaded = families::lightgbm::raw(&mut loader, bytes)?;
            return finish(loader, loaded, sha256);
        }
        let document = unpickle(bytes, options)?;
        let mut loader = Loader::new(options);
        let root = choose(document.root(), options.at.as_deref())?;
        let loaded = loader.load(&root, None)?;
        finish(loader, loaded, sha256)
    }
}

/// The objects of a pickle or joblib file.
pub(crate) fn unpickle(bytes: &[u8], options: &LoadOptions) -> Result<foretell_pickle::Document, Error> {
    if Container::sniff(bytes).is_none() {
        let start = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        return Err(Error::UnknownFile { start });
    }
    Ok(foretell_pickle::read(bytes.to_vec(), allow(), &options.limits)?)
}

/// XGBoost's own formats, unless the bytes are a pickle: protocol 2 and later start with `0x80`, which no raw binary
/// with an honest base score does beside its header.
fn booster_form(bytes: &[u8]) -> Option<Form> {
    if bytes.first() == Some(&0x80) && bytes.get(1).is_some_and(|protocol| *protocol <= 5) {
        return None;
    }
    Form::sniff(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A table as wide as a vocabulary goes to the next step, sparse; as columns nobody could hold it.
const ANSWERED: usize = 1 << 14;

fn shown(table: &[Source]) -> Vec<Output> {
    if table.len() > ANSWERED { Vec::new() } else { table.iter().map(Source::output).collect() }
}

fn finish(loader: Loader<'_>, loaded: crate::loader::Loaded, sha256: String) -> Result<Model, Error> {
    let inputs = loader.signature_inputs();
    let (signature, labels) = match loaded.out {
        Out::Answers(targets) => {
            let labels = targets.labels;
            let signature = Signature {
                inputs,
                predict: targets.predict,
                proba: targets.proba,
                decision: targets.decision,
                samples: targets.samples,
                transform: shown(&targets.table),
            };
            (signature, labels)
        }
        Out::Codes(source) => {
            let transform = vec![Output { data_type: arrow_schema::DataType::Int64, ..source.output() }];
            (Signature::transformer(inputs, transform), Vec::new())
        }
        Out::Table(table) => (Signature::transformer(inputs, shown(&table)), Vec::new()),
    };
    let steps = loaded.report.walk();
    let trees: Vec<_> = steps.iter().filter_map(|step| step.trees.as_ref()).collect();
    let mut kernels: Vec<&str> = trees.iter().map(|trees| trees.kernel.as_str()).collect();
    kernels.dedup();
    let sum = |of: fn(&crate::TreesReport) -> usize| trees.iter().map(|trees| of(trees)).fold(0, usize::saturating_add);
    let description = Description {
        library: loader.library().to_string(),
        version: loader.version_text(),
        trees: sum(|trees| trees.trees),
        nodes: sum(|trees| trees.nodes),
        max_depth: trees.iter().map(|trees| trees.max_depth).max().unwrap_or(0),
        kernel: if kernels.is_empty() { "none".to_string() } else { kernels.join(", ") },
        bytes: sum(|trees| trees.bytes).saturating_add(loader.bytes()),
        sha256,
        root: loaded.report,
    };
    Ok(Model { step: loaded.step, labels, signature, description })
}

/// The value at a path, or the root where it is a model.
pub(crate) fn choose<'a>(root: View<'a>, at: Option<&str>) -> Result<View<'a>, Error> {
    if let Some(at) = at {
        return walk(root, at);
    }
    if root.class().is_some() {
        return Ok(root);
    }
    let found = candidates(&root)?;
    match found.as_slice() {
        [] => Err(Error::At { message: format!("the file holds {}, and no model in it", root.describe()) }),
        [(only, _)] => walk(root, only),
        many => {
            let message = format!("the file holds several objects; give one as `at`: {}", listed(many));
            Err(Error::At { message })
        }
    }
}

fn listed(found: &[(String, String)]) -> String {
    found.iter().map(|(path, class)| format!("`{path}` ({class})")).collect::<Vec<_>>().join(", ")
}

/// How deep and how wide a root of plain containers is searched for models.
const SEARCH_DEPTH: usize = 4;
const SEARCH_COUNT: usize = 1000;

/// The objects of known families in dicts, lists and tuples, with their paths.
fn candidates(root: &View<'_>) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    let mut open = vec![(root.clone(), String::new(), 0usize)];
    let mut seen = 0usize;
    while let Some((view, path, depth)) = open.pop() {
        seen = seen.saturating_add(1);
        if seen > SEARCH_COUNT || depth > SEARCH_DEPTH {
            continue;
        }
        if let Some(class) = view.class() {
            if families::find(&class.module, &class.name).is_some() {
                found.push((path, class.to_string()));
            }
            continue;
        }
        let next = depth.saturating_add(1);
        let mut inside = Vec::new();
        if let Ok(pairs) = view.pairs() {
            for (key, value) in pairs {
                if let Ok(key) = key.as_str() {
                    let path = if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
                    inside.push((value, path, next));
                }
            }
        } else if let Ok(items) = view.items() {
            for (index, item) in items.into_iter().enumerate() {
                inside.push((item, format!("{path}[{index}]"), next));
            }
        }
        open.extend(inside.into_iter().rev());
    }
    Ok(found)
}

/// Follows `models[2].best`.
fn walk<'a>(root: View<'a>, path: &str) -> Result<View<'a>, Error> {
    let found = candidates(&root)?;
    let holds = if found.is_empty() { "no model".to_string() } else { listed(&found) };
    let missing = |what: &str| Error::At { message: format!("`{path}`: there is no `{what}`; the file holds {holds}") };
    let mut view = root;
    if path.is_empty() {
        return Err(missing(path));
    }
    for part in path.split('.') {
        let (key, mut rest) = match part.find('[') {
            Some(at) => part.split_at(at),
            None => (part, ""),
        };
        if !key.is_empty() {
            let found = if view.class().is_some() { view.get_attr(key)? } else { view.get(key).ok().flatten() };
            view = found.ok_or_else(|| missing(key))?;
        }
        while let Some(inner) = rest.strip_prefix('[') {
            let Some((index, after)) = inner.split_once(']') else { return Err(missing(part)) };
            let index: usize = index.trim().parse().map_err(|_| missing(part))?;
            view = view.item(index).map_err(|_| missing(part))?;
            rest = after;
        }
        if !rest.is_empty() {
            return Err(missing(part));
        }
    }
    Ok(view)
}

/// Looks into a file whether or not it can be loaded.
pub fn inspect(bytes: &[u8], options: &LoadOptions) -> Report {
    let model = Model::load(bytes, options);
    let report = |container: String| Report {
        size: bytes.len(),
        sha256: sha256(bytes),
        container,
        protocol: None,
        unpacked: None,
        globals: Vec::new(),
        stopped: None,
        model,
    };
    match booster_form(bytes) {
        Some(form) => report(form.name().to_string()),
        None if lightgbm::looks_like(bytes) => report(lightgbm::FORMAT.to_string()),
        None => {
            let container = Container::sniff(bytes).map_or("unknown".to_string(), |container| container.to_string());
            families::scan(bytes, options, report(container))
        }
    }
}
