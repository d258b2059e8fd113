//! From bytes to a model; the kind of file is decided by its content.

mod at;
mod encoding;
mod inspect;

use arrow_schema::DataType;
use foretell_pickle::Container;
use sha2::{Digest, Sha256};

use at::choose;
pub use inspect::{GlobalReport, Report, inspect};

use crate::families::{self, allow};
use crate::loaded::{Out, Source};
use crate::loader::Loader;
use crate::matrix::{ArrayRule, Frame, Matrix};
use crate::options::LoadOptions;
use crate::step::{Run, Step};
use crate::xgboost::Form;
use crate::{Description, Error, Input, InputKind, Model, Output, Signature, lightgbm};

impl Model {
    /// Reads a model: a pickle, joblib or skops file of a supported estimator, an XGBoost model in JSON, UBJSON or its old
    /// binary, or a LightGBM model text.
    ///
    /// # Errors
    /// The file is broken, holds something that is not allowed or not supported, or describes a model that could not
    /// be scored safely. The error says where.
    pub fn load(bytes: &[u8], options: &LoadOptions) -> Result<Model, Error> {
        if let Some(form) = booster_form(bytes) {
            nothing_else(form.name(), options)?;
            let mut loader = Loader::new(options, families::LOOKUP);
            let loaded = families::xgboost::raw(&mut loader, bytes, form)?;
            return finish(loader, loaded, bytes);
        }
        if lightgbm::looks_like(bytes) {
            nothing_else(lightgbm::FORMAT, options)?;
            let mut loader = Loader::new(options, families::LOOKUP);
            let loaded = families::lightgbm::raw(&mut loader, bytes)?;
            return finish(loader, loaded, bytes);
        }
        let document = unpickle(bytes, options)?;
        let mut loader = Loader::new(options, families::LOOKUP);
        let root = choose(document.root(), options.at.as_deref())?;
        let loaded = loader.load(&root, None)?;
        finish(loader, loaded, bytes)
    }
}

/// A booster's own file has one model and no paths.
fn nothing_else(format: &str, options: &LoadOptions) -> Result<(), Error> {
    let message = |at: &String| format!("`{at}`: a file of {format} is one model, without paths to others");
    options.at.as_ref().map_or(Ok(()), |at| Err(Error::At { message: message(at) }))
}

/// The objects of a pickle, joblib or skops file.
pub(crate) fn unpickle(bytes: &[u8], options: &LoadOptions) -> Result<foretell_pickle::Document, Error> {
    if Container::sniff(bytes).is_none() {
        let start = bytes.get(..8).unwrap_or(bytes);
        let is_text = !start.is_empty() && start.iter().all(|byte| *byte >= b' ' || b"\t\r\n".contains(byte));
        let start = start.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        return Err(Error::UnknownFile { start: (!is_text).then_some(start) });
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

/// The output columns of a transformer: numbers, but for text that it lets through.
fn shown(table: &[Source], inputs: &[Input]) -> Vec<Output> {
    let output = |source: &Source| {
        let input = source.origin.and_then(|origin| inputs.get(origin));
        let is_text = input.is_some_and(|input| input.kind == InputKind::Text);
        let data_type = if is_text { DataType::Utf8 } else { DataType::Float64 };
        Output { data_type, ..source.output() }
    };
    if table.len() > ANSWERED { Vec::new() } else { table.iter().map(output).collect() }
}

/// Whether a step says what its columns add: one around it that does not know of this says nothing.
fn explains(step: &Step, inputs: usize) -> bool {
    let empty = (0..inputs).map(|_| arrow_array::new_empty_array(&DataType::Null)).collect();
    let x = Matrix::Frame(Frame { columns: empty, rows: 0, rule: ArrayRule::default() });
    match step {
        Step::Predict(step) => step.contribs(x, &mut Run::default()).is_some(),
        Step::Transform(_) => false,
    }
}

/// How many columns add to the first output: all before its mean.
fn width(contribs: &[Output]) -> usize {
    contribs.iter().position(|output| output.name == "bias").unwrap_or(0)
}

fn finish(mut loader: Loader<'_>, loaded: crate::loaded::Loaded, bytes: &[u8]) -> Result<Model, Error> {
    if let Out::Table(table) = &loaded.out {
        loader.let_through(table);
    }
    let inputs = loader.signature_inputs();
    let (signature, labels) = match loaded.out {
        Out::Answers(targets) => {
            let labels = targets.labels;
            let transform = shown(&targets.table, &inputs);
            let contribs = if explains(&loaded.step, inputs.len()) { targets.contribs } else { Vec::new() };
            let reasons = (contribs.len() == 1 + width(&contribs)).then(|| Output {
                name: "reasons".to_string(),
                data_type: DataType::Utf8,
                class: None,
            });
            let signature = Signature {
                inputs,
                predict: targets.predict,
                proba: targets.proba,
                decision: targets.decision,
                samples: targets.samples,
                transform,
                contribs,
                reasons: reasons.into_iter().collect(),
            };
            (signature, labels)
        }
        Out::Codes(source) => {
            let transform = vec![Output { data_type: DataType::Int64, ..source.output() }];
            (Signature::transformer(inputs, transform), Vec::new())
        }
        Out::Table(table) => {
            let transform = shown(&table, &inputs);
            (Signature::transformer(inputs, transform), Vec::new())
        }
    };
    let rule = ArrayRule::of(loader.version());
    let steps = loaded.report.walk();
    let trees: Vec<_> = steps.iter().filter_map(|step| step.trees.as_ref()).collect();
    let mut kernels: Vec<&str> = trees.iter().map(|trees| trees.kernel.as_str()).collect();
    kernels.dedup();
    let sum = |of: fn(&crate::TreesReport) -> usize| trees.iter().map(|trees| of(trees)).fold(0, usize::saturating_add);
    let description = Description {
        library: loader.library().to_string(),
        version: loader.version_text(),
        libraries: loader.libraries(),
        trees: sum(|trees| trees.trees),
        nodes: sum(|trees| trees.nodes),
        max_depth: trees.iter().map(|trees| trees.max_depth).max().unwrap_or(0),
        kernel: if kernels.is_empty() { "none".to_string() } else { kernels.join(", ") },
        bytes: sum(|trees| trees.bytes).saturating_add(loader.bytes()),
        sha256: sha256(bytes),
        root: loaded.report,
    };
    Ok(Model { step: loaded.step, labels, signature, description, rule })
}
