//! Steps that work on a DataFrame: acts that change, add and check columns, one after the other, and the columns that are
//! left at the end.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "places are checked while loading")]

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float32Array, Float64Array};
use arrow_schema::DataType;
use foretell_pickle::{Value, View};

use crate::attributes::some_attr;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::matrix::{Frame, Matrix, read};
use crate::step::{Run, Step, Transform};
use crate::{Error, InputKind, StepReport};

/// The columns of a table while acts work on it; those that are added come behind.
#[derive(Debug)]
pub(in crate::families) struct Columns<'a> {
    pub(in crate::families) all: Vec<ArrayRef>,
    pub(in crate::families) rows: usize,
    /// The step's class and the names of all columns, for refusals.
    pub(in crate::families) class: &'a str,
    pub(in crate::families) labels: &'a [String],
}

impl Columns<'_> {
    /// A column as numbers, NULL as NaN; its rows are refused where it is something else.
    pub(in crate::families) fn numbers(&self, at: usize, run: &mut Run) -> Vec<f64> {
        let mut out = vec![f64::NAN; self.rows];
        if !read(&self.all[at], 0..self.rows, &mut out) {
            run.refuse_all(self.rows, self.class, self.labels.get(at).map(String::as_str), "not a number");
        }
        out
    }

    pub(in crate::families) fn refuse(&self, row: usize, at: usize, reason: &str, run: &mut Run) {
        run.refuse(row, self.class, self.labels.get(at).map(String::as_str), reason);
    }

    /// Puts numbers in a column's place, or behind all columns.
    pub(in crate::families) fn put(&mut self, at: usize, numbers: Vec<f64>) {
        self.place(at, Arc::new(Float64Array::from(numbers)));
    }

    /// The same, as float32 where they are that.
    pub(in crate::families) fn put_as(&mut self, at: usize, numbers: Vec<f64>, narrow: bool) {
        if narrow {
            let numbers = numbers.into_iter().map(|one| one as f32);
            self.place(at, Arc::new(Float32Array::from_iter_values(numbers)));
        } else {
            self.put(at, numbers);
        }
    }

    pub(in crate::families) fn place(&mut self, at: usize, column: ArrayRef) {
        match self.all.get_mut(at) {
            Some(place) => *place = column,
            None => self.all.push(column),
        }
    }

    pub(in crate::families) fn is_narrow(&self, at: usize) -> bool {
        self.all[at].data_type() == &DataType::Float32
    }

    /// Whether numpy makes float32 of what is computed from these columns.
    pub(in crate::families) fn are_narrow(&self, columns: &[usize]) -> bool {
        let small = |at: &usize| {
            matches!(
                self.all[*at].data_type(),
                DataType::Float32
                    | DataType::Boolean
                    | DataType::Int8
                    | DataType::Int16
                    | DataType::UInt8
                    | DataType::UInt16
            )
        };
        columns.iter().any(|at| self.is_narrow(*at)) && columns.iter().all(small)
    }

    /// Some of the columns as a table of their own.
    pub(in crate::families) fn some(&self, picked: &[usize]) -> Matrix {
        let columns = picked.iter().map(|at| self.all[*at].clone()).collect();
        Matrix::Frame(Frame { columns, rows: self.rows, rule: Default::default() })
    }
}

/// What is done with the columns.
pub(in crate::families) trait Act: Send + Sync + Debug {
    fn act(&self, table: &mut Columns<'_>, run: &mut Run);
}

/// Refuses rows with a missing value or infinity in some columns.
#[derive(Debug)]
pub(in crate::families) struct Refuse {
    pub(in crate::families) columns: Vec<usize>,
    pub(in crate::families) infinity: bool,
}

impl Act for Refuse {
    fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
        for at in &self.columns {
            let column = &table.all[*at];
            let mut numbers = vec![0.0f64; table.rows];
            if !read(column, 0..table.rows, &mut numbers) {
                missing(column).for_each(|row| table.refuse(row, *at, "missing value", run));
                continue;
            }
            for (row, number) in numbers.iter().enumerate() {
                if number.is_nan() {
                    table.refuse(row, *at, "missing value", run);
                } else if self.infinity && number.is_infinite() {
                    table.refuse(row, *at, "infinity", run);
                }
            }
        }
    }
}

/// A transformer of some columns.
#[derive(Debug)]
pub(in crate::families) struct Wrapped {
    pub(in crate::families) step: Box<dyn Transform>,
    pub(in crate::families) columns: Vec<usize>,
    /// Where what it makes goes.
    pub(in crate::families) places: Vec<usize>,
}

impl Act for Wrapped {
    fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
        let made = columns(self.step.transform(table.some(&self.columns), run));
        for (column, to) in made.into_iter().zip(&self.places) {
            table.place(*to, column);
        }
    }
}

/// The columns of a table.
fn columns(table: Matrix) -> Vec<ArrayRef> {
    let table = match table {
        Matrix::Frame(frame) => return frame.columns,
        other => other,
    };
    let narrow = table.is_narrow();
    let column = |at: usize| -> ArrayRef {
        let numbers = table.numbers(at).unwrap_or_default();
        if narrow {
            return Arc::new(Float32Array::from_iter_values(numbers.into_iter().map(|one| one as f32)));
        }
        Arc::new(Float64Array::from(numbers))
    };
    (0..table.cols()).map(column).collect()
}

/// The rows of a column that hold nothing.
pub(in crate::families) fn missing(column: &ArrayRef) -> impl Iterator<Item = usize> + use<> {
    let nulls = column.logical_nulls();
    (0..column.len()).filter(move |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(*row)))
}

/// What a loader puts together.
pub(in crate::families) struct Builder {
    class: String,
    /// The names of the columns as the file has them.
    names: Vec<String>,
    pub(in crate::families) sources: Vec<Source>,
    acts: Vec<Box<dyn Act>>,
    dropped: Vec<bool>,
    /// Columns whose place and name an added one has taken, and that one.
    replaced: HashMap<usize, usize>,
    /// The columns that are left, where their order is not the one of their places.
    order: Option<Vec<usize>>,
    pub(in crate::families) children: Vec<StepReport>,
}

impl Builder {
    /// The columns of a step that learned their names.
    pub(in crate::families) fn new(
        loader: &mut Loader<'_>,
        view: &View<'_>,
        given: Option<&[Source]>,
    ) -> Result<Self, Error> {
        let names = match some_attr(view, "feature_names_in_")? {
            Some(names) => Some(texts(&names)?),
            // Its columns are told by names, which it has not kept.
            None if given.is_none() && loader.options.columns.is_empty() => {
                return Err(Error::UnknownWidth { place: view.path() });
            }
            None => None,
        };
        Builder::of(loader, view, given, names)
    }

    /// The columns of a step whose names are told.
    pub(in crate::families) fn of(
        loader: &mut Loader<'_>,
        view: &View<'_>,
        given: Option<&[Source]>,
        names: Option<Vec<String>>,
    ) -> Result<Self, Error> {
        let count = loader.width(view, given, names.as_ref().map(Vec::len))?;
        let sources = loader.sources(view, given, count, names.clone())?;
        let names = names.unwrap_or_else(|| sources.iter().map(|source| source.label.clone()).collect());
        let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
        let dropped = vec![false; sources.len()];
        let (acts, replaced, children) = (Vec::new(), HashMap::new(), Vec::new());
        Ok(Builder { class, names, sources, acts, dropped, replaced, order: None, children })
    }

    /// How many columns there are, with those that are added.
    pub(in crate::families) fn len(&self) -> usize {
        self.sources.len()
    }

    /// The place of a column.
    pub(in crate::families) fn at(&self, view: &View<'_>, name: &str) -> Result<usize, Error> {
        let at = self.names.iter().position(|one| one == name);
        at.ok_or_else(|| Error::NoSuchColumn { place: view.path(), column: name.to_string() })
    }

    /// The places of the columns that a list names.
    pub(in crate::families) fn places(&self, view: &View<'_>) -> Result<Vec<usize>, Error> {
        texts(view)?.iter().map(|name| self.at(view, name)).collect()
    }

    pub(in crate::families) fn name(&self, at: usize) -> &str {
        self.names.get(at).map(String::as_str).unwrap_or_default()
    }

    pub(in crate::families) fn demand(&self, loader: &mut Loader<'_>, at: usize, kind: InputKind) {
        if let Some(source) = self.sources.get(at) {
            loader.demand(source, kind);
        }
    }

    /// Notes that a column holds other values from here on.
    pub(in crate::families) fn changed(&mut self, at: usize) {
        if let Some(source) = self.sources.get_mut(at) {
            *source = Source::made(std::mem::take(&mut source.label));
        }
    }

    /// A column that an act adds; acts add them in this order.
    pub(in crate::families) fn add(&mut self, name: String) {
        self.sources.push(Source::made(name.clone()));
        self.names.push(name);
        self.dropped.push(false);
    }

    /// The same, as pandas assigns a column: one that has the name already is replaced.
    pub(in crate::families) fn assign(&mut self, name: String) {
        if let Some(old) = self.names.iter().rposition(|one| *one == name) {
            self.replaced.insert(old, self.len());
        }
        self.add(name);
    }

    pub(in crate::families) fn drop(&mut self, at: usize) {
        if let Some(dropped) = self.dropped.get_mut(at) {
            *dropped = true;
        }
    }

    /// Says which columns are left, and in which order.
    pub(in crate::families) fn arrange(&mut self, order: Vec<usize>) {
        self.order = Some(order);
    }

    /// Calls the columns by the names that the file has for them, whatever those are called that it is given.
    pub(in crate::families) fn take_names(&mut self) {
        for (source, name) in self.sources.iter_mut().zip(&self.names) {
            source.label.clone_from(name);
        }
    }

    pub(in crate::families) fn act(&mut self, act: impl Act + 'static) {
        self.acts.push(Box::new(act));
    }

    pub(in crate::families) fn finish(self, loader: &mut Loader<'_>, view: &View<'_>) -> Result<Loaded, Error> {
        loader.charge(view, self.sources.len())?;
        let labels = self.sources.iter().map(|source| source.label.clone()).collect();
        let mut kept: Vec<usize> =
            self.order.unwrap_or_else(|| (0..self.sources.len()).filter(|at| !self.dropped[*at]).collect());
        let instead: HashSet<usize> = self.replaced.values().copied().collect();
        kept.retain(|at| !instead.contains(at));
        for at in &mut kept {
            while let Some(new) = self.replaced.get(at) {
                *at = *new;
            }
        }
        let out = Out::Table(kept.iter().filter_map(|at| self.sources.get(*at)).cloned().collect());
        let report = StepReport { children: self.children, ..StepReport::default() };
        let step = Acts { class: self.class, labels, acts: self.acts, kept };
        Ok(Loaded { step: Step::Transform(Box::new(step)), out, report })
    }
}

/// Names: a list or an array; a number is the name of a column of an array.
pub(in crate::families) fn texts(view: &View<'_>) -> Result<Vec<String>, Error> {
    if let Some(crate::pandas::index::Index::Names(names)) = crate::pandas::index::read(view)? {
        return Ok(names);
    }
    if let Ok(array) = view.array()
        && let Ok(texts) = array.strings()
    {
        return Ok(texts.into_iter().map(|text| text.into_owned()).collect());
    }
    if view.as_str().is_ok() {
        return Ok(vec![text(view)?]);
    }
    view.items()?.iter().map(text).collect()
}

/// A name.
pub(in crate::families) fn text(view: &View<'_>) -> Result<String, Error> {
    match view.value() {
        Value::Int(int) => Ok(int.to_string()),
        _ => Ok(view.as_text()?.into_owned()),
    }
}

/// The same column, NULL as NaN where it is one of numbers.
pub(in crate::families) fn with_nan(column: &ArrayRef) -> ArrayRef {
    let is_number = column.data_type().is_integer() || column.data_type().is_floating();
    if column.null_count() == 0 || !is_number {
        return Arc::clone(column);
    }
    let mut numbers = vec![f64::NAN; column.len()];
    read(column, 0..column.len(), &mut numbers);
    if column.data_type() == &DataType::Float32 {
        return Arc::new(Float32Array::from_iter_values(numbers.into_iter().map(|one| one as f32)));
    }
    Arc::new(Float64Array::from(numbers))
}

#[derive(Debug)]
struct Acts {
    class: String,
    labels: Vec<String>,
    acts: Vec<Box<dyn Act>>,
    kept: Vec<usize>,
}

impl Transform for Acts {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        let rows = x.rows();
        let rule = match &x {
            Matrix::Frame(frame) => frame.rule,
            _ => Default::default(),
        };
        let all = columns(x);
        let mut table = Columns { all, rows, class: &self.class, labels: &self.labels };
        self.acts.iter().for_each(|act| act.act(&mut table, run));
        let columns = self.kept.iter().map(|at| with_nan(&table.all[*at])).collect();
        Matrix::Frame(Frame { columns, rows, rule })
    }
}
