//! From bytes to a model; the kind of file is decided by its content.

mod at;
mod encoding;
mod inspect;
mod kinds;

use arrow_schema::DataType;
use foretell_pickle::Container;
use sha2::{Digest, Sha256};

use at::choose;
pub use inspect::{GlobalReport, Report, inspect};
use kinds::Kind;

use crate::families::{self, allow};
use crate::loaded::{Out, Source};
use crate::loader::Loader;
use crate::matrix::ArrayRule;
use crate::options::LoadOptions;
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
    let other = |kind: Kind| Error::OtherFile { what: kind.what, way: kind.way };
    let container = Container::sniff(bytes);
    if container.is_none() {
        return Err(kinds::tell(bytes).map_or_else(|| unknown(bytes), other));
    }
    if container == Some(Container::Zip)
        && let Some(kind) = kinds::tell_zip(bytes)
    {
        return Err(other(kind));
    }
    foretell_pickle::read(bytes.to_vec(), allow(), &options.limits).map_err(|error| {
        // Texts begin as pickles of the first protocols do: by one byte.
        let named = (container == Some(Container::Plain)).then(|| kinds::tell(bytes)).flatten();
        named.map_or_else(|| damaged(error, bytes), other)
    })
}

/// The error of a file of no kind that is known.
fn unknown(bytes: &[u8]) -> Error {
    let start = bytes.get(..8).unwrap_or(bytes);
    let is_text = !start.is_empty() && start.iter().all(|byte| *byte >= b' ' || b"\t\r\n".contains(byte));
    let start = start.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    Error::UnknownFile { start: (!is_text).then_some(start) }
}

/// What happened to a pickle that does not read.
fn damaged(error: foretell_pickle::Error, bytes: &[u8]) -> Error {
    use foretell_pickle::ErrorKind as Kind;
    let packed = Container::sniff(bytes) != Some(Container::Plain);
    let what = match &error.kind {
        Kind::Global { module, name } if !module.contains('\r') && !name.contains('\r') => return error.into(),
        Kind::Ends { within: "file", .. } | Kind::NoStop | Kind::NoLineEnd if !kinds::in_text_mode(bytes) => {
            "the file is cut off: fetch or save it again"
        }
        Kind::Damaged { reason, .. } if reason.contains("ends too early") => {
            "the file is cut off: fetch or save it again"
        }
        _ if !packed && kinds::in_text_mode(bytes) => {
            "the line ends of the file were changed, as a transfer in text mode does: fetch it again in binary mode"
        }
        _ => return error.into(),
    };
    Error::Damaged { error, what }
}

/// XGBoost's own formats, unless the bytes are a pickle: protocol 2 and later start with `0x80`, which no raw binary
/// with an honest base score does beside its header.
fn booster_form(bytes: &[u8]) -> Option<Form> {
    if bytes.first() == Some(&0x80) && bytes.get(1).is_some_and(|protocol| *protocol <= 5) {
        return None;
    }
    // JSON of others is told by its kind.
    Form::sniff(bytes).filter(|form| *form != Form::Json || kinds::tell(bytes).is_none())
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

fn finish(mut loader: Loader<'_>, loaded: crate::loaded::Loaded, bytes: &[u8]) -> Result<Model, Error> {
    if let Out::Table(table) = &loaded.out {
        loader.let_through(table);
    }
    let inputs = loader.signature_inputs();
    let (signature, labels) = match loaded.out {
        Out::Answers(targets) => {
            let labels = targets.labels;
            let transform = shown(&targets.table, &inputs);
            let signature = Signature {
                inputs,
                predict: targets.predict,
                proba: targets.proba,
                decision: targets.decision,
                samples: targets.samples,
                transform,
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
        notes: loader.notes(),
        sha256: sha256(bytes),
        root: loaded.report,
    };
    Ok(Model { step: loaded.step, labels, signature, description, rule })
}
