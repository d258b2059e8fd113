//! From bytes to a model; the kind of file is decided by its content.

mod at;
mod contents;
mod encoding;
mod inspect;
mod kinds;
mod links;
mod roles;

use arrow_schema::DataType;
use foretell_pickle::{Container, View};
use sha2::{Digest, Sha256};

pub use at::paths;
use contents::{Contents, Link};
pub use inspect::{GlobalReport, Report, inspect};
use kinds::Kind;
use links::Links;

use crate::families::{self, allow};
use crate::loaded::{Out, Source, Transformer};
use crate::loader::Loader;
use crate::matrix::{ArrayRule, Frame, Matrix};
use crate::options::LoadOptions;
use crate::step::{Run, Step};
use crate::xgboost::Form;
use crate::{Description, Error, Input, InputKind, Model, Output, Signature, catboost, lightgbm, onnx, pmml};

impl Model {
    /// Reads a model: a pickle, joblib or skops file of a supported estimator, an XGBoost model in JSON, UBJSON or its old
    /// binary, a LightGBM model text, a CatBoost model as `.cbm` or JSON, an ONNX graph of a model of tables, or a PMML
    /// document.
    ///
    /// # Errors
    /// The file is broken, holds something that is not allowed or not supported, or describes a model that could not
    /// be scored safely. The error says where.
    pub fn load(bytes: &[u8], options: &LoadOptions) -> Result<Model, Error> {
        Model::load_chain(&[bytes], options)
    }

    /// Reads a model that is kept in several files: each is given what the one before it makes, so that all but the last
    /// are transformers.
    ///
    /// # Errors
    /// As [`Model::load`]; the error says in which of the files.
    pub fn load_chain(files: &[&[u8]], options: &LoadOptions) -> Result<Model, Error> {
        let mut loader = Loader::new(options, families::LOOKUP);
        let mut chain = Links::default();
        let several = files.len() > 1;
        if several && !options.at.is_empty() && options.at.len() != files.len() {
            let message = format!(
                "{} files and {} places: give one for each, empty where it is the whole",
                files.len(),
                options.at.len()
            );
            return Err(Error::At { message });
        }
        for (number, bytes) in (1..).zip(files) {
            let of_file =
                |error| if several { Error::InFile { number, of: files.len(), error: Box::new(error) } } else { error };
            let own =
                options.at.get(number.saturating_sub(1)..number).filter(|at| at.iter().all(|path| !path.is_empty()));
            let at = if several { own.unwrap_or(&[]) } else { options.at.as_slice() };
            let is_last = number == files.len();
            links(&mut loader, &mut chain, bytes, at, is_last).map_err(of_file)?;
        }
        let sha256 = files.iter().map(|bytes| sha256(bytes)).collect::<Vec<_>>().join("+");
        finish(loader, chain.finish()?, sha256)
    }
}

/// Adds what a file holds to a chain.
fn links(loader: &mut Loader<'_>, chain: &mut Links, bytes: &[u8], at: &[String], is_last: bool) -> Result<(), Error> {
    if onnx::looks_like(bytes) {
        nothing_else(onnx::FORMAT, at)?;
        let loaded = families::onnx::raw(loader, bytes, chain.sources())?;
        return chain.add(loaded, String::new(), is_last);
    }
    if pmml::looks_like(bytes) {
        nothing_else(pmml::FORMAT, at)?;
        let loaded = families::pmml::raw(loader, bytes, chain.sources())?;
        return chain.add(loaded, String::new(), is_last);
    }
    if let Some(format) = catboost::Format::sniff(bytes) {
        nothing_else(format.name(), at)?;
        let loaded = families::catboost::raw(loader, bytes, format, chain.sources())?;
        return chain.add(loaded, String::new(), is_last);
    }
    if let Some(form) = booster_form(bytes) {
        nothing_else(form.name(), at)?;
        let loaded = families::xgboost::raw(loader, bytes, form, chain.sources())?;
        return chain.add(loaded, String::new(), is_last);
    }
    if lightgbm::looks_like(bytes) {
        nothing_else(lightgbm::FORMAT, at)?;
        let loaded = families::lightgbm::raw(loader, bytes, chain.sources())?;
        return chain.add(loaded, String::new(), is_last);
    }
    let contents = Contents::read(bytes, loader.options)?;
    loader.set_size(contents.size());
    let chosen = contents.choose(at, loader.options)?;
    let count = chosen.links.len();
    for (number, Link { view, path }) in (1..).zip(chosen.links) {
        let is_last = is_last && number == count;
        let loaded = if is_last {
            loader.load(&view, chain.sources())
        } else {
            loader.transformer(&view, chain.sources()).map(Transformer::into_loaded)
        };
        let told = |error| behind(holds(&view, error), bytes, loader.options);
        chain.add(loaded.map_err(told)?, path, is_last)?;
    }
    chosen.note.into_iter().for_each(|note| loader.note(note));
    Ok(())
}

/// Of an object of a class that is not known, the estimators in it that could be given.
fn holds(view: &View<'_>, error: Error) -> Error {
    match error {
        Error::UnknownClass { place, class, why } if place == view.path() => {
            let inside = at::inside(view, String::new()).map(|found| found.listed()).unwrap_or_default();
            let start = if place.is_empty() { String::new() } else { format!("`{place}.` and ") };
            let more = if inside.is_empty() {
                String::new()
            } else {
                format!("; inside of it `at` can name: {start}{inside}")
            };
            Error::UnknownClass { place, class, why: format!("{why}{more}") }
        }
        other => other,
    }
}

/// A function of Python's own in the place of a model: the pickle of a network has one before what it is about.
fn behind(error: Error, bytes: &[u8], options: &LoadOptions) -> Error {
    match error {
        Error::UnknownClass { place, class, why } if class.starts_with("builtins.") => {
            let why = network(bytes, options).unwrap_or(why);
            Error::UnknownClass { place, class, why }
        }
        other => other,
    }
}

/// What is told of a pickle that names a library of neural networks.
fn network(bytes: &[u8], options: &LoadOptions) -> Option<String> {
    let scan = foretell_pickle::scan(bytes.to_vec(), &options.limits).ok()?;
    kinds::network(scan.globals.iter().map(|global| global.module.as_ref()))
}

/// A booster's own file has one model and no paths.
fn nothing_else(format: &str, at: &[String]) -> Result<(), Error> {
    let message = |at: &String| format!("`{at}`: a file of {format} is one model, without paths to others");
    at.first().map_or(Ok(()), |at| Err(Error::At { message: message(at) }))
}

/// The objects of a pickle, joblib or skops file.
fn unpickle(bytes: &[u8], options: &LoadOptions) -> Result<foretell_pickle::Document, Error> {
    let other = |kind: Kind| Error::OtherFile { what: kind.what, way: kind.way };
    let container = Container::sniff(bytes);
    if let Some(kind) = kinds::of_pickles(bytes) {
        return Err(other(kind));
    }
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
        named.map_or_else(|| damaged(error, bytes, options), other)
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
fn damaged(error: foretell_pickle::Error, bytes: &[u8], options: &LoadOptions) -> Error {
    use foretell_pickle::ErrorKind as Kind;
    let packed = Container::sniff(bytes) != Some(Container::Plain);
    let told = |error| match network(bytes, options) {
        Some(what) => Error::Damaged { error, what },
        None => error.into(),
    };
    let what = match &error.kind {
        Kind::Global { module, name } if !module.contains('\r') && !name.contains('\r') => return told(error),
        // Keras calls what it got by `getattr`.
        Kind::Type { found, .. } if found.contains("getattr") => return told(error),
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
    Error::Damaged { error, what: what.to_string() }
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

/// Whether the bytes are a model file by what they begin with: a pickle from protocol 2 on, a skops file, or what a booster
/// saves. What only might be one (a pickle of the first protocols begins as any text does) is not.
pub fn looks_like_model(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
        || booster_form(bytes).is_some()
        || lightgbm::looks_like(bytes)
        || catboost::Format::sniff(bytes).is_some()
        || onnx::looks_like(bytes)
        || pmml::looks_like(bytes)
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

/// Whether a step says what its columns add, and whether in which leaves rows end: one around it that does not know of this says
/// nothing.
fn explains(step: &Step, inputs: usize) -> (bool, bool) {
    let empty = (0..inputs).map(|_| arrow_array::new_empty_array(&DataType::Null)).collect();
    let x = Matrix::Frame(Frame { columns: empty, rows: 0, rule: ArrayRule::default() });
    match step {
        Step::Predict(step) => {
            let leaves = step.leaves(x.clone(), &mut Run::default()).is_some();
            (step.contribs(x, &mut Run::default()).is_some(), leaves)
        }
        Step::Transform(_) => (false, false),
    }
}

/// How many columns add to the first output: all before its mean.
fn width(contribs: &[Output]) -> usize {
    contribs.iter().position(|output| output.name == "bias").unwrap_or(0)
}

fn finish(mut loader: Loader<'_>, loaded: crate::loaded::Loaded, sha256: String) -> Result<Model, Error> {
    if let Out::Table(table) = &loaded.out {
        loader.let_through(table);
    }
    let inputs = loader.signature_inputs();
    let rewritten = loader.rewritten;
    let (signature, labels) = match loaded.out {
        Out::Answers(targets) => {
            let labels = targets.labels;
            let transform = shown(&targets.table, &inputs);
            let (explains, lands) = explains(&loaded.step, inputs.len());
            let contribs = if explains { targets.contribs } else { Vec::new() };
            let leaves = if lands { targets.leaves } else { Vec::new() };
            let reasons = (contribs.len() == width(&contribs).saturating_add(1)).then(|| Output {
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
                leaves,
                rewritten,
            };
            (signature, labels)
        }
        Out::Codes(source) => {
            let transform = vec![Output { data_type: DataType::Int64, ..source.output() }];
            (Signature { rewritten, ..Signature::transformer(inputs, transform) }, Vec::new())
        }
        Out::Table(table) => {
            let transform = shown(&table, &inputs);
            (Signature { rewritten, ..Signature::transformer(inputs, transform) }, Vec::new())
        }
    };
    let rule = ArrayRule::of(loader.version());
    if let Some(package) = families::package(&loaded.report.class) {
        loader.settle_library(package);
    }
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
        sha256,
        root: loaded.report,
    };
    Ok(Model { step: loaded.step, labels, signature, description, rule })
}
