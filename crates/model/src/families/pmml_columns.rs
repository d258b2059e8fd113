//! sklearn2pmml's transformers that change what columns are: their type, their number, what stands in several of them.

use std::collections::HashMap;

use foretell_pickle::{Kind, Value, View};

use super::simple_imputer::{Fill, fill};
use crate::attributes::{feature_names, flag, some_attr, word};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "columns of sklearn2pmml",
    classes: &[
        ("sklearn2pmml.decoration", "ContinuousDomainEraser"),
        ("sklearn2pmml.decoration", "DiscreteDomainEraser"),
        ("sklearn2pmml.decoration", "DomainEraser"),
        ("sklearn2pmml.postprocessing", "BusinessDecisionTransformer"),
        ("sklearn2pmml.preprocessing", "CastTransformer"),
        ("sklearn2pmml.preprocessing", "ConcatTransformer"),
        ("sklearn2pmml.preprocessing", "CutTransformer"),
        ("sklearn2pmml.preprocessing", "DataFrameConstructor"),
        ("sklearn2pmml.preprocessing", "MultiCastTransformer"),
        ("sklearn2pmml.preprocessing", "MultiLookupTransformer"),
        ("sklearn2pmml.preprocessing", "SeriesConstructor"),
        ("sklearn2pmml.util", "Slicer"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    if class == "BusinessDecisionTransformer"
        && let Some(inside) = some_attr(view, "transformer_")?
    {
        let mut inside = loader.transformer(&inside, given)?;
        let report = StepReport { children: vec![std::mem::take(&mut inside.report)], ..StepReport::default() };
        return Ok(Loaded { report, ..inside.into_loaded() });
    }
    let names = feature_names(view)?;
    let constructed = match class.as_str() {
        "DataFrameConstructor" => Some(view.attr("columns")?.items()?.iter().map(text).collect::<Result<Vec<_>, _>>()?),
        _ => None,
    };
    let learned = names.as_ref().or(constructed.as_ref()).map(Vec::len);
    let learned = if matches!(class.as_str(), "CutTransformer" | "SeriesConstructor") { Some(1) } else { learned };
    let count = loader.width(view, given, learned)?;
    let mut sources = loader.sources(view, given, count, names.or_else(|| constructed.clone()))?;
    if let Some(names) = constructed {
        sources.iter_mut().zip(names).for_each(|(source, name)| source.label = name);
    }
    let job = job(view, &class, count)?;
    for source in &sources {
        match &job {
            run::Job::Cut { .. } => loader.demand(source, InputKind::Number),
            run::Job::Pass(_) => {}
            _ => loader.demand(source, InputKind::Any),
        }
    }
    let labels: Vec<String> = sources.iter().map(|source| source.label.clone()).collect();
    let out = match &job {
        run::Job::Pass(picked) => picked.iter().filter_map(|at| sources.get(*at)).cloned().collect(),
        run::Job::Concat(_) | run::Job::LookUp { .. } => vec![Source::made(class.to_ascii_lowercase())],
        _ => sources.into_iter().map(Source::changed).collect(),
    };
    let step = run::Step { class, labels, job };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

fn text(view: &View<'_>) -> Result<String, Error> {
    Ok(view.as_text()?.into_owned())
}

fn job(view: &View<'_>, class: &str, count: usize) -> Result<run::Job, Error> {
    let all = || (0..count).collect::<Vec<_>>();
    let each = |name: &str| -> Result<run::Job, Error> {
        let to = cast(&view.attr(name)?)?;
        Ok(run::Job::Cast(vec![to; count]))
    };
    Ok(match class {
        "CastTransformer" if some_attr(view, "dtype_")?.is_some() => each("dtype_")?,
        "CastTransformer" => each("dtype")?,
        "DataFrameConstructor" | "SeriesConstructor" if some_attr(view, "dtype")?.is_some() => each("dtype")?,
        "MultiCastTransformer" => {
            let name = if some_attr(view, "dtypes_")?.is_some() { "dtypes_" } else { "dtypes" };
            let all = view.attr(name)?.items()?.iter().map(cast).collect::<Result<Vec<_>, _>>()?;
            if all.len() != count {
                return Err(Error::counts(view.path(), (all.len(), "types"), (count, "columns")));
            }
            run::Job::Cast(all)
        }
        "ConcatTransformer" => run::Job::Concat(word(view, "separator", "")?.to_string()),
        "CutTransformer" => cut(view)?,
        "MultiLookupTransformer" => look_up(view, count)?,
        "Slicer" => {
            let at = |name: &str, default: i64| -> Result<i64, Error> {
                some_attr(view, name)?.map_or(Ok(default), |at| Ok(at.as_i64()?))
            };
            let length = i64::try_from(count).unwrap_or(i64::MAX);
            let within = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at.min(length) };
            let (start, stop, step) = (within(at("start", 0)?), within(at("stop", length)?), at("step", 1)?);
            let step = usize::try_from(step).ok().filter(|step| *step > 0);
            let step = step.ok_or_else(|| Error::state(view.path(), "its step is not positive"))?;
            run::Job::Pass((start..stop).step_by(step).filter_map(|at| usize::try_from(at).ok()).collect())
        }
        _ => run::Job::Pass(all()),
    })
}

/// The type that a column is brought to.
pub(super) fn cast(dtype: &View<'_>) -> Result<run::To, Error> {
    let unknown = |what: String| Error::unsupported(dtype.path(), what, "float, float32, int, str, bool");
    if let Value::Dtype(found) = dtype.value() {
        return Ok(match (found.kind, found.size) {
            (Kind::Float, 8) => run::To::Float,
            (Kind::Float, 4) => run::To::Narrow,
            (Kind::Int, 8) => run::To::Int,
            (Kind::Bool, _) => run::To::Bool,
            (Kind::Text, 0) | (Kind::Object, _) => run::To::Text,
            _ => return Err(unknown("a cast to this type".to_string())),
        });
    }
    let name = match (dtype.as_str(), dtype.class()) {
        (Ok(name), _) => name.to_string(),
        (_, Some(class)) if ["numpy", "builtins", "__builtin__"].contains(&class.module.as_str()) => class.name.clone(),
        _ => return Err(unknown(format!("a cast to {}", dtype.describe()))),
    };
    Ok(match name.as_str() {
        "float" | "float64" | "double" | "float_" | "f8" => run::To::Float,
        "float32" | "f4" => run::To::Narrow,
        "int" | "int64" | "int_" | "i8" => run::To::Int,
        "str" | "str_" | "unicode" => run::To::Text,
        "bool" | "bool_" => run::To::Bool,
        other => return Err(unknown(format!("a cast to {other}"))),
    })
}

/// `pandas.cut` with edges that are told.
fn cut(view: &View<'_>) -> Result<run::Job, Error> {
    let bins = view.attr("bins")?;
    let edges = match bins.array() {
        Ok(array) => array.f64s()?,
        Err(_) => bins.items()?.iter().map(View::as_f64).collect::<Result<_, _>>()?,
    };
    if edges.len() < 2 || !edges.is_sorted() {
        return Err(Error::state(bins.path(), "edges that do not rise"));
    }
    if some_attr(view, "dtype")?.is_some() {
        return Err(Error::unsupported(view.path(), "bins as categories", "bins without dtype"));
    }
    let labels = match some_attr(view, "labels")? {
        Some(labels) if labels.as_bool() == Ok(false) => None,
        Some(labels) => Some(labels.items()?.iter().map(fill).collect::<Result<Vec<_>, _>>()?),
        None => {
            return Err(Error::unsupported(view.path(), "bins called by their intervals", "labels, or labels=False"));
        }
    };
    if let Some(labels) = &labels
        && labels.len().saturating_add(1) != edges.len()
    {
        return Err(Error::counts(view.path(), (labels.len(), "labels"), (edges.len(), "edges")));
    }
    let lowest = flag(view, "include_lowest", true)?;
    Ok(run::Job::Cut { edges, right: flag(view, "right", true)?, lowest, labels })
}

fn look_up(view: &View<'_>, count: usize) -> Result<run::Job, Error> {
    if let Some(dtype) = some_attr(view, "dtype")? {
        return Err(Error::unsupported(dtype.path(), "a table with dtype", "tables without dtype"));
    }
    let mut table = HashMap::new();
    let mut gives_text = false;
    let mut read = |view: &View<'_>| -> Result<Fill, Error> {
        let value = fill(view)?;
        gives_text |= matches!(value, Fill::Text(_));
        Ok(value)
    };
    for (key, value) in view.attr("mapping")?.pairs()? {
        let parts = key.items()?;
        if parts.len() != count {
            return Err(Error::counts(key.path(), (parts.len(), "parts of a key"), (count, "columns")));
        }
        let part = |part: &View<'_>| -> Result<run::Part, Error> {
            Ok(match fill(part)? {
                Fill::Text(text) => run::Part::Text(text),
                Fill::Number(number) => run::Part::number(number),
            })
        };
        table.insert(parts.iter().map(part).collect::<Result<Vec<_>, _>>()?, read(&value)?);
    }
    let default = some_attr(view, "default_value")?.map(|value| read(&value)).transpose()?;
    Ok(run::Job::LookUp { table, default, gives_text })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
pub(super) mod run {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;
    use arrow_array::{Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray};
    use arrow_schema::DataType;

    use crate::categories::texts;
    use crate::families::shared::acts::with_nan;
    use crate::families::shared::written::{self, As};
    use crate::families::simple_imputer::Fill;
    use crate::matrix::{Frame, Matrix, read};
    use crate::step::{Run, Transform};
    use crate::types::is_text;

    /// A type that a column is brought to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::families) enum To {
        Float,
        Narrow,
        Int,
        Text,
        Bool,
    }

    /// A part of a key, numbers by their bits.
    #[derive(Debug, PartialEq, Eq, Hash)]
    pub(super) enum Part {
        Text(String),
        Number(u64),
    }

    impl Part {
        pub(super) fn number(number: f64) -> Part {
            // 0.0 finds -0.0 too.
            Part::Number((number + 0.0).to_bits())
        }
    }

    #[derive(Debug)]
    pub(super) enum Job {
        /// These columns as they are.
        Pass(Vec<usize>),
        /// Each column to a type.
        Cast(Vec<To>),
        Concat(String),
        Cut {
            edges: Vec<f64>,
            /// Whether an interval holds its upper edge, and not its lower one.
            right: bool,
            /// Whether the first one holds its lower edge, too.
            lowest: bool,
            /// What the intervals are called; `None` where they are counted.
            labels: Option<Vec<Fill>>,
        },
        LookUp {
            table: HashMap<Vec<Part>, Fill>,
            default: Option<Fill>,
            gives_text: bool,
        },
    }

    #[derive(Debug)]
    pub(super) struct Step {
        pub(super) class: String,
        pub(super) labels: Vec<String>,
        pub(super) job: Job,
    }

    /// A number that a text says to Python.
    fn parsed(text: &str) -> Option<f64> {
        let text = text.trim();
        let plain = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
        let is_word = matches!(plain.as_str(), "nan" | "inf" | "infinity");
        (is_word || plain.starts_with(|c: char| c.is_ascii_digit() || c == '.')).then(|| text.parse().ok()).flatten()
    }

    /// A column in another type. Rows that it cannot be of are refused.
    pub(in crate::families) fn cast(column: &ArrayRef, to: To, class: &str, label: &str, run: &mut Run) -> ArrayRef {
        let rows = column.len();
        if to == To::Text {
            return match written::column(column, As::Own) {
                Some(texts) => Arc::new(StringArray::from(texts)),
                None => {
                    run.refuse_all(rows, class, Some(label), "neither a number nor a text");
                    column.clone()
                }
            };
        }
        let mut numbers = vec![f64::NAN; rows];
        if is_text(column.data_type()) {
            let mut bad = Vec::new();
            texts(column, |row, text| match (text, to) {
                (None, _) => {}
                (Some(text), To::Bool) => numbers[row] = f64::from(u8::from(!text.is_empty())),
                (Some(text), _) => match parsed(text) {
                    Some(number) => numbers[row] = number,
                    None => bad.push(row),
                },
            });
            bad.into_iter().for_each(|row| run.refuse(row, class, Some(label), "not a number"));
        } else if column.data_type() == &DataType::Int64 && to == To::Int && column.null_count() == 0 {
            return column.clone();
        } else if !read(column, 0..rows, &mut numbers) {
            run.refuse_all(rows, class, Some(label), "not a number");
        }
        match to {
            To::Narrow => Arc::new(Float32Array::from_iter_values(numbers.into_iter().map(|number| number as f32))),
            To::Bool => Arc::new(BooleanArray::from_iter(numbers.into_iter().map(|number| Some(number != 0.0)))),
            To::Int => {
                for (row, number) in numbers.iter().enumerate().filter(|(_, number)| !number.is_finite()) {
                    let reason = if number.is_nan() { "missing value" } else { "infinity" };
                    run.refuse(row, class, Some(label), reason);
                }
                Arc::new(Int64Array::from_iter_values(numbers.into_iter().map(|number| number.trunc() as i64)))
            }
            _ => Arc::new(Float64Array::from(numbers)),
        }
    }

    /// In which interval a number lies. As pandas has it, `lowest` adds the first edge alone.
    fn interval(number: f64, edges: &[f64], right: bool, lowest: bool) -> Option<usize> {
        if number.is_nan() {
            return None;
        }
        // How many edges lie below it.
        let below = edges.partition_point(|edge| if right { *edge < number } else { *edge <= number });
        let below = match below {
            0 if right && lowest && number == edges[0] => 1,
            below => below,
        };
        (below > 0 && below < edges.len()).then(|| below - 1)
    }

    /// Values as a column: of texts, or of numbers.
    fn column(values: Vec<Option<&Fill>>, gives_text: bool) -> ArrayRef {
        if gives_text {
            let text = |value: Option<&Fill>| match value {
                Some(Fill::Text(text)) => Some(text.clone()),
                _ => None,
            };
            return Arc::new(values.into_iter().map(text).collect::<StringArray>());
        }
        let number = |value: Option<&Fill>| match value {
            Some(Fill::Number(number)) => *number,
            _ => f64::NAN,
        };
        Arc::new(Float64Array::from_iter_values(values.into_iter().map(number)))
    }

    impl Step {
        fn made(&self, all: &[ArrayRef], rows: usize, run: &mut Run) -> Vec<ArrayRef> {
            match &self.job {
                Job::Pass(picked) => picked.iter().map(|at| with_nan(&all[*at])).collect(),
                Job::Cast(types) => {
                    let each = all.iter().zip(types).zip(&self.labels);
                    each.map(|((column, to), label)| cast(column, *to, &self.class, label, run)).collect()
                }
                Job::Concat(separator) => {
                    let texts: Vec<Vec<Option<String>>> =
                        all.iter().filter_map(|column| written::column(column, As::Objects)).collect();
                    let row = |row: usize| {
                        let parts: Vec<&str> =
                            texts.iter().map(|column| column[row].as_deref().unwrap_or("nan")).collect();
                        parts.join(separator)
                    };
                    vec![Arc::new(StringArray::from_iter_values((0..rows).map(row)))]
                }
                Job::Cut { edges, right, lowest, labels } => {
                    let mut numbers = vec![f64::NAN; rows];
                    if !read(&all[0], 0..rows, &mut numbers) {
                        run.refuse_all(rows, &self.class, self.labels.first().map(String::as_str), "not a number");
                    }
                    let places = numbers.iter().map(|number| interval(*number, edges, *right, *lowest));
                    let Some(labels) = labels else {
                        let number = |place: Option<usize>| place.map_or(f64::NAN, |place| place as f64);
                        return vec![Arc::new(Float64Array::from_iter_values(places.map(number)))];
                    };
                    let gives_text = matches!(labels.first(), Some(Fill::Text(_)));
                    vec![column(places.map(|place| place.map(|place| &labels[place])).collect(), gives_text)]
                }
                Job::LookUp { table, default, gives_text } => {
                    let mut keys: Vec<Option<Vec<Part>>> = (0..rows).map(|_| Some(Vec::new())).collect();
                    for values in all {
                        let mut parts: Vec<Option<Part>> = (0..rows).map(|_| None).collect();
                        if is_text(values.data_type()) {
                            texts(values, |row, text| parts[row] = text.map(|text| Part::Text(text.to_string())));
                        } else {
                            let mut numbers = vec![f64::NAN; rows];
                            read(values, 0..rows, &mut numbers);
                            let part = |number: f64| (!number.is_nan()).then(|| Part::number(number));
                            parts = numbers.into_iter().map(part).collect();
                        }
                        for (key, part) in keys.iter_mut().zip(parts) {
                            *key = key.take().zip(part).map(|(mut key, part)| {
                                key.push(part);
                                key
                            });
                        }
                    }
                    let found = |key: Option<Vec<Part>>| key.and_then(|key| table.get(&key).or(default.as_ref()));
                    vec![column(keys.into_iter().map(found).collect(), *gives_text)]
                }
            }
        }
    }

    impl Transform for Step {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            if let Job::Pass(picked) = &self.job
                && !matches!(x, Matrix::Frame(_))
            {
                return x.select(picked);
            }
            let (all, rule) = match &x {
                Matrix::Frame(frame) => (frame.columns.clone(), frame.rule),
                other => {
                    let number = |at| Arc::new(Float64Array::from(other.numbers(at).unwrap_or_default())) as ArrayRef;
                    ((0..other.cols()).map(number).collect(), Default::default())
                }
            };
            let columns = self.made(&all, rows, run);
            if matches!(x, Matrix::Dense(_)) && columns.iter().all(|column| column.data_type() == &DataType::Float64) {
                let data = columns.iter().flat_map(|one| one.as_primitive::<Float64Type>().values().to_vec()).collect();
                return Matrix::Dense(crate::matrix::Dense { data, rows, cols: columns.len(), narrow: false });
            }
            Matrix::Frame(Frame { columns, rows, rule })
        }
    }
}
