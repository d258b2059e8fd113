//! sklearn2pmml's decorators: domains let what was seen in training through as it is, and refuse or replace the rest as
//! they say; aliases only give names.

use foretell_pickle::View;

use super::pmml_columns::cast;
use super::simple_imputer::{Fill, fill};
use crate::attributes::{feature_names, some_attr, word};
use crate::categories::Categories;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "domains and aliases of sklearn2pmml",
    classes: &[
        ("sklearn2pmml.decoration", "Alias"),
        ("sklearn2pmml.decoration", "CategoricalDomain"),
        ("sklearn2pmml.decoration", "ContinuousDomain"),
        ("sklearn2pmml.decoration", "MultiAlias"),
        ("sklearn2pmml.decoration", "MultiDomain"),
        ("sklearn2pmml.decoration", "OrdinalDomain"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    match view.class().map(|class| class.name.as_str()) {
        Some("Alias" | "MultiAlias") => alias(loader, view, given),
        Some("MultiDomain") => domains(loader, view, given),
        _ => domain(loader, view, given),
    }
}

fn alias(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let mut inside = loader.transformer(&view.attr("transformer_")?, given)?;
    let names = match some_attr(view, "names")? {
        Some(names) => names.items()?,
        None => vec![view.attr("name")?],
    };
    for (source, name) in inside.out.iter_mut().zip(&names) {
        source.label = name.as_str()?.to_string();
    }
    let report = StepReport { children: vec![inside.report], ..StepReport::default() };
    Ok(Loaded { step: Step::Transform(inside.step), out: Out::Table(inside.out), report })
}

/// A domain for each column, or none.
fn domains(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let domains = view.attr("domains")?.items()?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, domains.len(), names)?;
    let mut steps = Vec::with_capacity(domains.len());
    let (mut children, mut out) = (Vec::new(), Vec::new());
    for (domain, source) in domains.iter().zip(&sources) {
        let mut step = None;
        if !domain.is_none() {
            let inside = loader.transformer(domain, Some(std::slice::from_ref(source)))?;
            children.push(StepReport { columns: vec![source.label.clone()], ..inside.report });
            out.extend(inside.out);
            step = Some(inside.step);
        } else {
            out.push(source.clone());
        }
        steps.push(step);
    }
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Transform(Box::new(run::Domains { steps })), out: Out::Table(out), report })
}

fn domain(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let count = loader.width(view, given, None)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, count, names)?;
    let treatments = Treatments::read(view)?;
    // As categories values stay what they are.
    let dtype = some_attr(view, "dtype")?.filter(|dtype| dtype.as_str() != Ok("category"));
    let cast = dtype.map(|dtype| cast(&dtype)).transpose()?;
    let valid = if treatments.looks_at_values() { valid(view, count)? } else { Vec::new() };
    for (source, valid) in sources.iter().zip(&valid) {
        loader.demand(
            source,
            match valid {
                _ if cast.is_some() => InputKind::Any,
                run::Valid::Between(..) => InputKind::Number,
                run::Valid::OneOf(categories) => categories.kind(),
            },
        );
    }
    let step = run::Domain {
        step: view.class().map(|class| class.name.clone()).unwrap_or_default(),
        labels: sources.iter().map(|source| source.label.clone()).collect(),
        valid,
        treatments,
        cast,
    };
    let out = if step.treatments.changes() || step.cast.is_some() {
        sources.into_iter().map(Source::changed).collect()
    } else {
        sources
    };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// What becomes of a value.
#[derive(Debug, Clone, PartialEq)]
enum Treat {
    Keep,
    Refuse,
    Become(Fill),
    /// As what is missing.
    Missing,
}

/// What a domain makes of values that are missing, not valid, or far out.
#[derive(Debug)]
struct Treatments {
    /// What counts as missing.
    missing: Vec<Fill>,
    on_missing: Treat,
    on_invalid: Treat,
    /// The least and the most, and whether a value beyond them becomes them, not missing.
    outliers: Option<(f64, f64, bool)>,
}

impl Treatments {
    fn read(view: &View<'_>) -> Result<Self, Error> {
        let missing = match some_attr(view, "missing_values")? {
            None => vec![Fill::Number(f64::NAN)],
            Some(values) => match values.items() {
                Ok(values) => values.iter().map(fill).collect::<Result<_, _>>()?,
                Err(_) => vec![fill(&values)?],
            },
        };
        let replacement = |name: &str| -> Result<Option<Fill>, Error> {
            some_attr(view, name)?.map(|value| fill(&value)).transpose()
        };
        let on_missing = match word(view, "missing_value_treatment", "as_is")? {
            "return_invalid" => Treat::Refuse,
            "as_is" | "as_mean" | "as_mode" | "as_median" | "as_value" => {
                replacement("missing_value_replacement")?.map_or(Treat::Keep, Treat::Become)
            }
            other => return Err(unknown(view, "missing_value_treatment", other)),
        };
        let on_invalid = match word(view, "invalid_value_treatment", "return_invalid")? {
            "return_invalid" => Treat::Refuse,
            "as_is" => Treat::Keep,
            "as_missing" => Treat::Missing,
            "as_value" => replacement("invalid_value_replacement")?.map_or(Treat::Keep, Treat::Become),
            other => return Err(unknown(view, "invalid_value_treatment", other)),
        };
        let outliers = match word(view, "outlier_treatment", "as_is")? {
            "as_is" => None,
            kind @ ("as_missing_values" | "as_extreme_values") => {
                let number = |name: &str| -> Result<f64, Error> { Ok(view.attr(name)?.as_f64()?) };
                Some((number("low_value")?, number("high_value")?, kind == "as_extreme_values"))
            }
            other => return Err(unknown(view, "outlier_treatment", other)),
        };
        Ok(Treatments { missing, on_missing, on_invalid, outliers })
    }

    /// Whether it matters which values are valid.
    fn looks_at_values(&self) -> bool {
        self.on_invalid != Treat::Keep || self.outliers.is_some()
    }

    /// Whether a value may become another one.
    fn changes(&self) -> bool {
        let keeps = |treat: &Treat| matches!(treat, Treat::Keep | Treat::Refuse);
        !keeps(&self.on_missing) || !keeps(&self.on_invalid) || self.outliers.is_some()
    }

    fn is_missing(&self, number: f64) -> bool {
        self.missing.iter().any(|missing| missing.is_number(number))
    }

    fn is_missing_text(&self, text: Option<&str>) -> bool {
        self.missing.iter().any(|missing| missing.is_text(text))
    }
}

fn unknown(view: &View<'_>, name: &str, word: &str) -> Error {
    Error::unsupported(view.path(), format!("{name}={word}"), "the treatments of sklearn2pmml 0.133")
}

/// What is valid in each column; empty where the domain has seen no data.
fn valid(view: &View<'_>, count: usize) -> Result<Vec<run::Valid>, Error> {
    let mut valid = Vec::new();
    let categories = match some_attr(view, "data_values_")? {
        // Old versions' name.
        None => some_attr(view, "data_")?,
        some => some,
    };
    if let (Some(low), Some(high)) = (some_attr(view, "data_min_")?, some_attr(view, "data_max_")?) {
        let numbers = |view: &View<'_>| -> Result<Vec<f64>, Error> {
            match view.array() {
                Ok(array) => Ok(array.f64s()?),
                Err(_) => Ok(vec![view.as_f64()?]),
            }
        };
        let (low, high) = (numbers(&low)?, numbers(&high)?);
        valid.extend(low.into_iter().zip(high).map(|(low, high)| run::Valid::Between(low, high)));
    } else if let Some(values) = categories {
        if values.array().is_ok() {
            valid.push(run::Valid::OneOf(Categories::read(&values)?));
        } else {
            for values in values.items()? {
                valid.push(run::Valid::OneOf(Categories::read(&values)?));
            }
        }
    } else {
        return Ok(valid);
    }
    if valid.len() != count {
        return Err(Error::state(view.path(), format!("the valid values of {} columns for {count}", valid.len())));
    }
    Ok(valid)
}

#[allow(clippy::indexing_slicing, reason = "there is a label for each column")]
mod run {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, Float64Array, StringArray};

    use super::{Treat, Treatments};
    use crate::categories::{Categories, UNSEEN, texts};
    use crate::families::pmml_columns::run::{To, cast};
    use crate::families::simple_imputer::Fill;
    use crate::matrix::{Frame, Matrix, read};
    use crate::step::{Run, Transform};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) enum Valid {
        Between(f64, f64),
        OneOf(Categories),
    }

    #[derive(Debug)]
    pub(super) struct Domain {
        pub(super) step: String,
        pub(super) labels: Vec<String>,
        /// What is valid in each column; empty where all is.
        pub(super) valid: Vec<Valid>,
        pub(super) treatments: Treatments,
        /// The type that values are brought to first.
        pub(super) cast: Option<To>,
    }

    /// A domain of its own for each column.
    #[derive(Debug)]
    pub(super) struct Domains {
        pub(super) steps: Vec<Option<Box<dyn Transform>>>,
    }

    impl Transform for Domains {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let made: Vec<Option<Matrix>> = self
                .steps
                .iter()
                .enumerate()
                .map(|(col, step)| step.as_ref().map(|step| step.transform(x.select(&[col]), run)))
                .collect();
            with_columns(x, |col, before| match &made[col] {
                Some(Matrix::Frame(frame)) => frame.columns[0].clone(),
                Some(other) => Arc::new(Float64Array::from(other.numbers(0).unwrap_or_default())),
                None => before.clone(),
            })
        }
    }

    /// The same table with other columns.
    fn with_columns(x: Matrix, mut column: impl FnMut(usize, &ArrayRef) -> ArrayRef) -> Matrix {
        match x {
            Matrix::Frame(frame) => {
                let columns = frame.columns.iter().enumerate().map(|(col, before)| column(col, before)).collect();
                Matrix::Frame(Frame { columns, ..frame })
            }
            Matrix::Dense(mut dense) => {
                for col in 0..dense.cols {
                    let before: ArrayRef = Arc::new(Float64Array::from(dense.column(col).to_vec()));
                    let rows = dense.rows;
                    read(&column(col, &before), 0..rows, dense.column_mut(col));
                }
                Matrix::Dense(dense)
            }
            other @ Matrix::Csr(_) => other,
        }
    }

    impl Domain {
        /// A column as the domain leaves it.
        fn treated(&self, col: usize, column: &ArrayRef, run: &mut Run) -> ArrayRef {
            let typed = self.cast.map(|to| cast(column, to, &self.step, &self.labels[col], run));
            let column = typed.as_ref().unwrap_or(column);
            let told = &self.treatments;
            let rows = column.len();
            let valid: Vec<bool> = match self.valid.get(col) {
                None => vec![true; rows],
                Some(Valid::OneOf(categories)) => categories.codes(column).iter().map(|code| *code != UNSEEN).collect(),
                Some(Valid::Between(low, high)) => {
                    let mut numbers = vec![0.0; rows];
                    read(column, 0..rows, &mut numbers);
                    numbers.iter().map(|x| low <= x && x <= high).collect()
                }
            };
            let mut changed = false;
            if is_text(column.data_type()) {
                let mut out: Vec<Option<String>> = vec![None; rows];
                texts(column, |row, text| {
                    out[row] = text.map(str::to_string);
                    let treat = if told.is_missing_text(text) {
                        &told.on_missing
                    } else if valid[row] {
                        &Treat::Keep
                    } else {
                        &told.on_invalid
                    };
                    if let Some(fill) = self.fill(treat, row, col, run) {
                        changed = true;
                        out[row] = match fill {
                            Fill::Text(text) => Some(text.clone()),
                            Fill::Number(number) if number.is_nan() => None,
                            Fill::Number(number) => Some(number.to_string()),
                        };
                    }
                });
                return if changed { Arc::new(StringArray::from(out)) } else { column.clone() };
            }
            let mut numbers = vec![0.0; rows];
            if !read(column, 0..rows, &mut numbers) {
                run.refuse_all(rows, &self.step, Some(&self.labels[col]), "neither a number nor a text");
                return column.clone();
            }
            for (row, x) in numbers.iter_mut().enumerate() {
                let treat = match told.outliers {
                    _ if told.is_missing(*x) => &told.on_missing,
                    _ if !valid[row] => &told.on_invalid,
                    Some((low, high, true)) if *x < low || *x > high => {
                        changed = true;
                        *x = if *x < low { low } else { high };
                        continue;
                    }
                    Some((low, high, false)) if *x < low || *x > high => &Treat::Missing,
                    _ => &Treat::Keep,
                };
                match self.fill(treat, row, col, run) {
                    None => {}
                    Some(Fill::Number(number)) => {
                        changed = true;
                        *x = *number;
                    }
                    Some(Fill::Text(_)) => run.refuse(row, &self.step, Some(&self.labels[col]), "a text for a number"),
                }
            }
            if changed { Arc::new(Float64Array::from(numbers)) } else { column.clone() }
        }

        /// What a value becomes; `None` where it stays, or its row is refused.
        fn fill<'f>(&'f self, treat: &'f Treat, row: usize, col: usize, run: &mut Run) -> Option<&'f Fill> {
            let reason = if *treat == self.treatments.on_invalid { "not valid in its domain" } else { "missing value" };
            match treat {
                Treat::Keep => None,
                Treat::Become(fill) => Some(fill),
                Treat::Refuse => {
                    let is_missing = self.treatments.on_missing == Treat::Refuse;
                    let reason = if is_missing && self.treatments.on_invalid != Treat::Refuse {
                        "missing value"
                    } else {
                        reason
                    };
                    run.refuse(row, &self.step, Some(&self.labels[col]), reason);
                    None
                }
                // First what stands for a missing value, then what that becomes.
                Treat::Missing => match &self.treatments.on_missing {
                    Treat::Become(fill) => Some(fill),
                    Treat::Refuse => {
                        run.refuse(row, &self.step, Some(&self.labels[col]), "not valid in its domain");
                        None
                    }
                    Treat::Keep | Treat::Missing => self.treatments.missing.first(),
                },
            }
        }
    }

    impl Transform for Domain {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            with_columns(x, |col, column| self.treated(col, column, run))
        }
    }
}
