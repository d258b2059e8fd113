//! The state of one load, which the families' loaders share: the features they are given, the version, and what they
//! may take.

use std::collections::HashSet;

use foretell_pickle::{ErrorKind, View};

use crate::attributes::{numbers, some_attr, version_text};
use crate::loaded::{Loaded, Source, Transformer};
use crate::options::LoadOptions;
use crate::parameters::parameters;
use crate::{Error, Input, InputKind};

/// Loads an estimator from its object, given the columns that its parent feeds it.
pub(crate) type Load = fn(&mut Loader<'_>, &View<'_>, Option<&[Source]>) -> Result<Loaded, Error>;

/// How the loader finds who loads a class; the families are above it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup {
    /// By module and name.
    pub(crate) find: fn(&str, &str) -> Option<Load>,
    /// What is told of a class that nobody loads.
    pub(crate) unknown: fn(&str, &str) -> String,
}

/// Estimators inside estimators: more are an attack on the stack.
const NESTING: usize = 48;

/// Estimators in one file, each counted as often as it is reached: a few that hold each other twice are millions.
const ESTIMATORS: usize = 1 << 16;

/// The library that wrote a file, unless something in it tells of another.
const SKLEARN: &str = "scikit-learn";

/// Notes that a person reads.
const NOTES: usize = 16;

/// Of which estimators only the table is wanted.
#[derive(Debug, Clone, Copy, Default)]
struct AsTransformer {
    /// Of the one being loaded.
    current: bool,
    /// Of the one that is loaded next.
    next: bool,
}

/// The state of one load.
#[derive(Debug)]
pub(crate) struct Loader<'o> {
    pub(crate) options: &'o LoadOptions,
    lookup: Lookup,
    inputs: Vec<(Option<String>, Option<InputKind>)>,
    library: &'static str,
    version: Option<String>,
    /// The libraries of the boosters inside, and their versions.
    boosters: Vec<(&'static str, Option<String>)>,
    depth: usize,
    estimators: usize,
    columns: usize,
    bytes: usize,
    as_transformer: AsTransformer,
    notes: Vec<String>,
    /// Whether the names of the features are LightGBM's, which writes `_` for blanks.
    pub(crate) rewritten: bool,
    /// Whether the estimator that is being loaded is asked in which leaves rows end, by one around it.
    pub(crate) leaves: bool,
    /// By column of the imputer that is loaded next, whether None is a category to the encoder behind it.
    pub(crate) none_passes: Vec<bool>,
    /// Bytes of the largest file, unpacked.
    size: usize,
}

impl<'o> Loader<'o> {
    pub(crate) fn new(options: &'o LoadOptions, lookup: Lookup) -> Self {
        Loader {
            options,
            lookup,
            inputs: Vec::new(),
            library: SKLEARN,
            version: None,
            boosters: Vec::new(),
            depth: 0,
            estimators: 0,
            columns: 0,
            bytes: 0,
            as_transformer: AsTransformer::default(),
            notes: Vec::new(),
            rewritten: false,
            leaves: false,
            none_passes: Vec::new(),
            size: 0,
        }
    }

    /// Notes what whoever uses the model should know of it.
    pub(crate) fn note(&mut self, note: String) {
        if self.notes.len() < NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(crate) fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Loads an estimator of any family. `given` are the columns its parent feeds it; `None` at the root, where the
    /// estimator itself tells what features the model has.
    pub(crate) fn load(&mut self, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
        let Some(class) = view.class() else { return Err(view.expected("an estimator").into()) };
        let Some(load) = (self.lookup.find)(&class.module, &class.name) else {
            let why = (self.lookup.unknown)(&class.module, &class.name);
            return Err(Error::UnknownClass { place: view.path(), class: class.to_string(), why });
        };
        if self.depth >= NESTING {
            return Err(Error::Limit { place: view.path(), what: "estimators inside each other", limit: NESTING });
        }
        self.estimators = self.estimators.saturating_add(1);
        if self.estimators > ESTIMATORS {
            return Err(Error::Limit { place: view.path(), what: "estimators", limit: ESTIMATORS });
        }
        if self.version.is_none() {
            self.version = version_text(view)?;
        }
        self.depth = self.depth.saturating_add(1);
        self.as_transformer = AsTransformer { current: self.as_transformer.next, next: false };
        let loaded = load(self, view, given);
        self.depth = self.depth.saturating_sub(1);
        let mut loaded = loaded.map_err(|error| unfitted(view, error))?;
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
        self.as_transformer.next = true;
        self.load(view, given)?.transformer(view)
    }

    /// Whether trees must be able to say in which leaves rows end.
    pub(crate) fn lands(&self) -> bool {
        self.leaves || self.options.explain
    }

    /// Whether the estimator that is being loaded is not inside of another.
    pub(crate) fn is_outermost(&self) -> bool {
        self.depth <= 1
    }

    /// Whether only the table is wanted of the estimator that is being loaded. To be asked before what is inside of it
    /// is loaded.
    pub(crate) fn is_transformer(&self) -> bool {
        self.as_transformer.current
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

    /// Says whose the outermost class is, where nothing in the file told which library wrote it.
    pub(crate) fn settle_library(&mut self, package: &'static str) {
        if self.version.is_none() && self.library == SKLEARN && package != "sklearn" {
            self.library = package;
        }
    }

    pub(crate) fn library(&self) -> &'static str {
        self.library
    }

    /// The version of scikit-learn that wrote the file, where it did.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        self.version.as_deref().filter(|_| self.library == SKLEARN).and_then(numbers)
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

    /// Notes how large a file is, unpacked: a model of it may have as many features as there is room for in it.
    pub(crate) fn set_size(&mut self, bytes: usize) {
        self.size = self.size.max(bytes);
    }

    fn most_features(&self) -> usize {
        (self.size / BYTES_PER_FEATURE).clamp(FEATURES, MOST_FEATURES)
    }

    /// Counts memory that a step holds.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Counts columns that a step puts side by side: steps that repeat what they are given double it each time.
    pub(crate) fn charge(&mut self, view: &View<'_>, columns: usize) -> Result<(), Error> {
        self.columns = self.columns.saturating_add(columns);
        let limit = self.most_features();
        if self.columns > limit {
            return Err(Error::Limit { place: view.path(), what: "columns put side by side", limit });
        }
        Ok(())
    }

    /// The columns of a step: those it is given, or at the root the model's own features, `names` where it knows
    /// them. Columns that were made under other names than ours (`set_output` puts the transformer's before each) go by
    /// the step's own.
    pub(crate) fn sources(
        &mut self,
        view: &View<'_>,
        given: Option<&[Source]>,
        count: usize,
        names: Option<Vec<String>>,
    ) -> Result<Vec<Source>, Error> {
        self.sources_at(&view.path(), given, count, names)
    }

    /// The same of what stands at a place, or of a whole file that is not a pickle.
    pub(crate) fn sources_at(
        &mut self,
        place: &str,
        given: Option<&[Source]>,
        count: usize,
        names: Option<Vec<String>>,
    ) -> Result<Vec<Source>, Error> {
        if let Some(given) = given {
            if given.len() != count {
                let message = format!("takes {count} features and is given {}", given.len());
                return Err(Error::state(place, message));
            }
            return Ok(match names {
                Some(names) if names.len() == count => named(given, names),
                _ => given.to_vec(),
            });
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
            (None, None, None) => Err(Error::UnknownWidth { place: view.path() }),
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
        let limit = self.most_features();
        if count > limit {
            let message = format!("{count} features; at most {limit} are read of a file of its size");
            return Err(Error::state("model", message));
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

/// The columns that a step is given, under the names that it knows; where it knows them by the given names, these stay.
fn named(given: &[Source], names: Vec<String>) -> Vec<Source> {
    let labels: HashSet<&str> = given.iter().map(|source| source.label.as_str()).collect();
    if names.iter().all(|name| labels.contains(name.as_str())) {
        return given.to_vec();
    }
    given.iter().zip(names).map(|(source, label)| Source { label, ..source.clone() }).collect()
}

/// Where an attribute is missing and none is there that `fit` makes, the model was not fitted.
fn unfitted(view: &View<'_>, error: Error) -> Error {
    let missing =
        |error: &foretell_pickle::Error| matches!(&error.kind, ErrorKind::Missing(name) if name.ends_with('_'));
    let learned = |name: &str| name.ends_with('_') && !name.starts_with('_');
    match &error {
        Error::Pickle(inner) if missing(inner) => match view.attrs() {
            Ok(attrs) if !attrs.iter().any(|(name, _)| learned(name)) => Error::Unfitted { place: view.path() },
            _ => error,
        },
        _ => error,
    }
}

/// Tables have fewer columns. A file names the number in four bytes, and each feature takes some 300 bytes here.
const FEATURES: usize = 1 << 17;
/// Models of texts have a coefficient for each term: a file that has room for them may have more features …
const BYTES_PER_FEATURE: usize = 8;
/// … up to these.
const MOST_FEATURES: usize = 1 << 22;
