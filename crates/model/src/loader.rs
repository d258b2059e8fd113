//! What the families' loaders share: the features they are given, the version, and readers for common attributes.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use arrow_schema::DataType;
use foretell_pickle::{Kind, Value, View};

use crate::labels::Labels;
use crate::step::{Step, Table, Transform};
use crate::{Error, Input, InputKind, LoadOptions, Output, StepReport, families};

/// A column that a step is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The feature's name, or `feature 3`.
    pub(crate) label: String,
    /// The model's input that it is, unchanged.
    pub(crate) origin: Option<usize>,
    /// Whether it is float32 where the table is, and float64 where that is.
    pub(crate) follows: bool,
}

impl Source {
    /// The same column with other values in it.
    pub(crate) fn changed(self) -> Self {
        Source { origin: None, ..self }
    }

    /// A column that a step makes.
    pub(crate) fn made(label: String) -> Self {
        Source { label, origin: None, follows: false }
    }

    /// A column that a step makes of others, in their type.
    pub(crate) fn made_of(label: String, sources: &[Source]) -> Self {
        Source { label, origin: None, follows: sources.iter().any(|source| source.follows) }
    }

    /// The output column of a transformer at the root.
    pub(crate) fn output(&self) -> Output {
        Output { name: self.label.clone(), data_type: DataType::Float64, class: None }
    }
}

/// What a step gives.
#[derive(Debug)]
pub(crate) enum Out {
    Table(Vec<Source>),
    /// One column of integers, which no other step takes.
    Codes(Source),
    Answers(Targets),
}

/// What a predictor answers, as the signature tells it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Targets {
    pub(crate) predict: Vec<Output>,
    pub(crate) proba: Vec<Output>,
    pub(crate) decision: Vec<Output>,
    /// What `score_samples` gives.
    pub(crate) samples: Vec<Output>,
    /// What `transform` gives; empty where it is no transformer besides.
    pub(crate) table: Vec<Source>,
    /// The classes of each target; empty for regressions.
    pub(crate) labels: Vec<Labels>,
}

impl Targets {
    /// `count` numbers.
    pub(crate) fn numbers(count: usize, data_type: DataType) -> Self {
        let predict = (0..count).map(|index| Output {
            name: name("prediction", index, count),
            data_type: data_type.clone(),
            class: None,
        });
        Targets { predict: predict.collect(), ..Targets::default() }
    }

    /// One class a target, with a probability for each.
    pub(crate) fn classes(labels: Vec<Labels>, proba: DataType) -> Self {
        let count = labels.len();
        let mut targets = Targets::default();
        for (target, labels) in labels.iter().enumerate() {
            let predict = name("prediction", target, count);
            targets.predict.push(Output { name: predict, data_type: labels.data_type(), class: None });
            let prefix = name("proba", target, count);
            for class in 0..labels.len() {
                let class = labels.text(class);
                let name = format!("{prefix}_{class}");
                targets.proba.push(Output { name, data_type: proba.clone(), class: Some(class) });
            }
        }
        targets.labels = labels;
        targets
    }
}

fn name(stem: &str, index: usize, count: usize) -> String {
    if count == 1 { stem.to_string() } else { format!("{stem}_{index}") }
}

/// A step with what it gives and what `inspect` says of it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) step: Step,
    pub(crate) out: Out,
    pub(crate) report: StepReport,
}

/// A step that hands a table on, with its columns.
pub(crate) struct Transformer {
    pub(crate) step: Box<dyn Transform>,
    pub(crate) out: Vec<Source>,
    pub(crate) report: StepReport,
}

impl Loaded {
    /// The step as one that others follow.
    pub(crate) fn transformer(self, view: &View<'_>) -> Result<Transformer, Error> {
        let (step, out): (Box<dyn Transform>, _) = match (self.step, self.out) {
            (Step::Transform(step), Out::Table(out)) => (step, out),
            (Step::Predict(step), Out::Answers(targets)) if !targets.table.is_empty() => {
                (Box::new(Table(step)), targets.table)
            }
            _ => return Err(Error::state(view.path(), "predicts, where a transformer is needed")),
        };
        Ok(Transformer { step, out, report: self.report })
    }
}

/// Estimators inside estimators: more are an attack on the stack.
const NESTING: usize = 48;

/// Estimators in one file, each counted as often as it is reached: a few that hold each other twice are millions.
const ESTIMATORS: usize = 1 << 16;

/// The state of one load.
#[derive(Debug)]
pub(crate) struct Loader<'o> {
    pub(crate) options: &'o LoadOptions,
    inputs: Vec<(Option<String>, Option<InputKind>)>,
    library: &'static str,
    version: Option<String>,
    /// The libraries of the boosters inside, and their versions.
    boosters: Vec<(&'static str, Option<String>)>,
    depth: usize,
    estimators: usize,
    columns: usize,
    bytes: usize,
    /// Whether only the table is wanted: of the estimator that is loaded next, and of the one being loaded.
    hands_on: (bool, bool),
}

impl<'o> Loader<'o> {
    pub(crate) fn new(options: &'o LoadOptions) -> Self {
        Loader {
            options,
            inputs: Vec::new(),
            library: "scikit-learn",
            version: None,
            boosters: Vec::new(),
            depth: 0,
            estimators: 0,
            columns: 0,
            bytes: 0,
            hands_on: (false, false),
        }
    }

    /// Loads an estimator of any family. `given` are the columns its parent feeds it; `None` at the root, where the
    /// estimator itself tells what features the model has.
    pub(crate) fn load(&mut self, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
        let Some(class) = view.class() else { return Err(view.expected("an estimator").into()) };
        let Some(family) = families::find(&class.module, &class.name) else {
            return Err(Error::unsupported(view.path(), class.to_string(), families::supported()));
        };
        if self.depth >= NESTING {
            return Err(Error::state(view.path(), format!("more than {NESTING} estimators inside each other")));
        }
        self.estimators = self.estimators.saturating_add(1);
        if self.estimators > ESTIMATORS {
            return Err(Error::state(view.path(), format!("more than {ESTIMATORS} estimators")));
        }
        if self.version.is_none() {
            self.version = version_text(view)?;
        }
        self.depth = self.depth.saturating_add(1);
        self.hands_on = (false, self.hands_on.0);
        let loaded = (family.load)(self, view, given);
        self.depth = self.depth.saturating_sub(1);
        let mut loaded = loaded?;
        let report = &mut loaded.report;
        if report.class.is_empty() {
            report.class = class.to_string();
        }
        if report.class == class.to_string() {
            let told = |name: &String| report.parameters.iter().any(|(told, _)| told == name);
            let more: Vec<_> = parameters(view).into_iter().filter(|(name, _)| !told(name)).collect();
            report.parameters.extend(more);
            report.parameters.sort();
        }
        Ok(loaded)
    }

    /// Loads an estimator of which only the table is wanted.
    pub(crate) fn transformer(&mut self, view: &View<'_>, given: Option<&[Source]>) -> Result<Transformer, Error> {
        self.hands_on.0 = true;
        self.load(view, given)?.transformer(view)
    }

    /// Whether only the table is wanted of the estimator that is being loaded. To be asked before what is inside of it
    /// is loaded.
    pub(crate) fn hands_on(&self) -> bool {
        self.hands_on.1
    }

    pub(crate) fn set_library(&mut self, library: &'static str, version: Option<String>) {
        if !self.boosters.iter().any(|(other, known)| *other == library && *known == version) {
            self.boosters.push((library, version.clone()));
        }
        // The innermost booster speaks for a file that is nothing but it; a pipeline keeps scikit-learn's version.
        if self.version.is_none() || self.depth <= 1 {
            self.library = library;
            self.version = version;
        }
    }

    pub(crate) fn library(&self) -> &'static str {
        self.library
    }

    /// The version of scikit-learn that wrote the file, where it did.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        self.version.as_deref().filter(|_| self.library == "scikit-learn").and_then(numbers)
    }

    pub(crate) fn version_text(&self) -> Option<String> {
        self.version.clone()
    }

    /// Every library that wrote a part of the file, with its version, the file's own first.
    pub(crate) fn libraries(&self) -> Vec<(String, Option<String>)> {
        let own = (self.library, self.version.clone());
        let others = self.boosters.iter().filter(|booster| **booster != own).cloned();
        std::iter::once(own.clone()).chain(others).map(|(name, version)| (name.to_string(), version)).collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts memory that a step holds.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Counts columns that a step puts side by side: steps that repeat what they are given double it each time.
    pub(crate) fn charge(&mut self, view: &View<'_>, columns: usize) -> Result<(), Error> {
        self.columns = self.columns.saturating_add(columns);
        if self.columns > FEATURES {
            return Err(Error::state(view.path(), format!("more than {FEATURES} columns put side by side")));
        }
        Ok(())
    }

    /// The columns of a step: those it is given, or at the root the model's own features, `names` where it knows
    /// them.
    pub(crate) fn sources(
        &mut self,
        view: &View<'_>,
        given: Option<&[Source]>,
        count: usize,
        names: Option<Vec<String>>,
    ) -> Result<Vec<Source>, Error> {
        if let Some(given) = given {
            if given.len() != count {
                let message = format!("takes {count} features and is given {}", given.len());
                return Err(Error::state(view.path(), message));
            }
            return Ok(given.to_vec());
        }
        self.own_sources(count, names)
    }

    /// How many features a step takes: what it learned, or else what its parent gives it; at the root of a file that
    /// does not tell, as many as are named by who loads it.
    pub(crate) fn width(
        &self,
        view: &View<'_>,
        given: Option<&[Source]>,
        learned: Option<usize>,
    ) -> Result<usize, Error> {
        let told = self.options.columns.len();
        match (learned, given, some_attr(view, "n_features_in_")?) {
            (Some(count), ..) => Ok(count),
            (None, Some(given), _) => Ok(given.len()),
            (None, None, Some(count)) => Ok(count.as_usize()?),
            (None, None, None) if told > 0 => Ok(told),
            (None, None, None) => Err(Error::state(view.path(), WIDTH)),
        }
    }

    /// The model's own features.
    pub(crate) fn own_sources(&mut self, count: usize, names: Option<Vec<String>>) -> Result<Vec<Source>, Error> {
        let told = &self.options.columns;
        let names = names.or_else(|| (!told.is_empty()).then(|| told.clone()));
        if let Some(names) = &names
            && names.len() != count
        {
            return Err(Error::state("model", format!("{} feature names for {count} features", names.len())));
        }
        if count > FEATURES {
            return Err(Error::state("model", format!("{count} features; at most {FEATURES} are read")));
        }
        let name = |index: usize| names.as_ref().and_then(|names| names.get(index)).cloned();
        self.inputs = (0..count).map(|index| (name(index), None)).collect();
        let label = |index: usize| name(index).unwrap_or_else(|| format!("feature {index}"));
        Ok((0..count).map(|index| Source { label: label(index), origin: Some(index), follows: true }).collect())
    }

    /// The model's own features, once an estimator has told them.
    pub(crate) fn own(&self) -> Option<Vec<Source>> {
        let label = |index: usize, name: &Option<String>| name.clone().unwrap_or_else(|| format!("feature {index}"));
        let source = |(index, (name, _)): (usize, &(Option<String>, _))| Source {
            label: label(index, name),
            origin: Some(index),
            follows: true,
        };
        (!self.inputs.is_empty()).then(|| self.inputs.iter().enumerate().map(source).collect())
    }

    /// Notes what a step needs a column to be.
    pub(crate) fn demand(&mut self, source: &Source, kind: InputKind) {
        let slot = source.origin.and_then(|origin| self.inputs.get_mut(origin));
        if let Some((_, slot)) = slot {
            *slot = Some(match slot.take() {
                None => kind,
                Some(known) if known == kind => known,
                Some(_) => InputKind::Any,
            });
        }
    }

    /// Notes that what the model lets through without any step looking at it comes out as numbers.
    pub(crate) fn let_through(&mut self, table: &[Source]) {
        for source in table {
            let slot = source.origin.and_then(|origin| self.inputs.get_mut(origin));
            if let Some((_, slot @ None)) = slot {
                *slot = Some(InputKind::Number);
            }
        }
    }

    /// The model's inputs; a feature that no step looked at can be anything.
    pub(crate) fn signature_inputs(&self) -> Vec<Input> {
        let input = |(name, kind): &(Option<String>, Option<InputKind>)| Input {
            name: name.clone(),
            kind: kind.clone().unwrap_or(InputKind::Any),
        };
        self.inputs.iter().map(input).collect()
    }
}

/// No table of this world has as many columns; text features of scikit-learn come as one. A file names the number in
/// four bytes, and each feature takes some 300 bytes here.
const FEATURES: usize = 1 << 17;

const WIDTH: &str = "does not tell how many features it has: name them (`columns` in a pipeline file, `--columns` of a \
                     command)";

/// The version of scikit-learn that an estimator says it was saved by.
pub(crate) fn version_text(view: &View<'_>) -> Result<Option<String>, Error> {
    let version = view.get_attr("_sklearn_version")?;
    Ok(version.and_then(|version| version.as_str().ok().map(str::to_string)))
}

/// The same as numbers: `(1, 3)`; `None` where it does not say (0.18 and older).
pub(crate) fn version(view: &View<'_>) -> Result<Option<(u32, u32)>, Error> {
    Ok(version_text(view)?.and_then(|text| numbers(&text)))
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    parts.next().flatten().zip(parts.next().flatten())
}

/// A parameter that is a text, with the default where it is not written.
pub(crate) fn word<'a>(view: &View<'a>, name: &str, default: &'a str) -> Result<&'a str, Error> {
    match some_attr(view, name)? {
        Some(value) => Ok(value.as_str()?),
        None => Ok(default),
    }
}

/// An attribute that is there and not `None`.
pub(crate) fn some_attr<'a>(view: &View<'a>, name: &str) -> Result<Option<View<'a>>, Error> {
    Ok(view.get_attr(name)?.and_then(View::some))
}

/// A parameter that is a bool, with the default where it is not written.
pub(crate) fn flag(view: &View<'_>, name: &str, default: bool) -> Result<bool, Error> {
    match some_attr(view, name)? {
        Some(value) => Ok(value.as_bool()?),
        None => Ok(default),
    }
}

/// `feature_names_in_`.
pub(crate) fn feature_names(view: &View<'_>) -> Result<Option<Vec<String>>, Error> {
    match some_attr(view, "feature_names_in_")? {
        Some(names) => Ok(Some(names.array()?.strings()?.into_iter().map(|name| name.into_owned()).collect())),
        None => Ok(None),
    }
}

/// Class labels: an array (or list) of numbers, bools or texts.
pub(crate) fn labels(view: &View<'_>) -> Result<Labels, Error> {
    let array = view.array()?;
    Ok(match array.dtype().kind {
        Kind::Bool => Labels::Bool(array.bools()?),
        Kind::Int | Kind::Uint => Labels::Int(array.i64s()?),
        Kind::Float => Labels::Float(array.f64s()?),
        Kind::Text | Kind::Bytes => Labels::Text(array.strings()?.into_iter().map(|text| text.into_owned()).collect()),
        Kind::Object => {
            let objects = array.objects()?;
            match objects.first().map(View::value) {
                Some(Value::Bool(_)) => Labels::Bool(objects.iter().map(View::as_bool).collect::<Result<_, _>>()?),
                Some(Value::Int(_)) => Labels::Int(objects.iter().map(View::as_i64).collect::<Result<_, _>>()?),
                Some(Value::Float(_)) => Labels::Float(objects.iter().map(View::as_f64).collect::<Result<_, _>>()?),
                _ => {
                    let texts: Result<_, _> = objects.iter().map(|one| one.as_str().map(str::to_string)).collect();
                    Labels::Text(texts?)
                }
            }
        }
        Kind::Record | Kind::Moment | Kind::Duration => {
            return Err(view.expected("an array of class labels").into());
        }
    })
}

/// The parameters of an estimator: what its constructor took, as Python writes it.
fn parameters(view: &View<'_>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in view.attrs().unwrap_or_default() {
        if !name.starts_with('_')
            && !name.ends_with('_')
            && let Some(text) = literal(&value)
        {
            all.push((name.to_string(), text));
        }
    }
    all
}

/// Longer texts are no parameter that a person wants to read.
const LITERAL: usize = 80;

/// A simple value, or a few of them, as Python writes them; `None` for all else.
fn literal(view: &View<'_>) -> Option<String> {
    let (open, close) = match view.value() {
        Value::Tuple(items) if items.len() == 1 => ("(", ",)"),
        Value::Tuple(items) if items.len() <= LITERAL => ("(", ")"),
        Value::List(items) if items.len() <= LITERAL => ("[", "]"),
        _ => return scalar(view),
    };
    let items: Option<Vec<String>> = view.items().ok()?.iter().map(scalar).collect();
    let text = format!("{open}{}{close}", items?.join(", "));
    (text.len() <= LITERAL).then_some(text)
}

fn scalar(view: &View<'_>) -> Option<String> {
    match view.value() {
        Value::None => Some("None".to_string()),
        Value::Bool(true) => Some("True".to_string()),
        Value::Bool(false) => Some("False".to_string()),
        Value::Int(int) => Some(int.to_string()),
        Value::Float(float) => Some(python_float(*float)),
        Value::Str(_) | Value::OldStr(_) => {
            let text = view.as_str().ok()?;
            (text.len() <= LITERAL).then(|| format!("'{}'", text.escape_debug()))
        }
        Value::Global(_) => view.class().map(|class| class.to_string()),
        Value::Array(array) if array.shape.is_empty() => view.as_f64().ok().map(python_float),
        _ => None,
    }
}

fn python_float(float: f64) -> String {
    if float.is_nan() {
        "nan".to_string()
    } else if float.is_infinite() {
        if float > 0.0 { "inf".to_string() } else { "-inf".to_string() }
    } else {
        format!("{float:?}")
    }
}
