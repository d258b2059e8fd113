//! sklearn2pmml's decorators: domains let what was seen in training through as it is, and refuse the rest where they say
//! so; aliases only give names.

use foretell_pickle::View;

use crate::attributes::{feature_names, some_attr};
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
    let mut children = Vec::new();
    for (domain, source) in domains.iter().zip(&sources) {
        let mut step = None;
        if !domain.is_none() {
            let inside = loader.transformer(domain, Some(std::slice::from_ref(source)))?;
            children.push(StepReport { columns: vec![source.label.clone()], ..inside.report });
            step = Some(inside.step);
        }
        steps.push(step);
    }
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Transform(Box::new(run::Domains { steps })), out: Out::Table(sources), report })
}

fn domain(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let count = loader.width(view, given, None)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, count, names)?;
    only(view, "missing_value_treatment", &["as_is", "return_invalid"])?;
    only(view, "invalid_value_treatment", &["as_is", "return_invalid"])?;
    only(view, "outlier_treatment", &["as_is"])?;
    for set in ["missing_values", "missing_value_replacement", "invalid_value_replacement", "dtype"] {
        if let Some(value) = some_attr(view, set)? {
            return Err(Error::unsupported(value.path(), format!("a domain with {set}"), "domains that pass through"));
        }
    }
    let says = |name: &str| -> Result<bool, Error> {
        Ok(some_attr(view, name)?.is_some_and(|word| word.as_str().is_ok_and(|word| word == "return_invalid")))
    };
    let valid = if says("invalid_value_treatment")? { valid(view, count)? } else { Vec::new() };
    for (source, valid) in sources.iter().zip(&valid) {
        loader.demand(
            source,
            match valid {
                run::Valid::Between(..) => InputKind::Number,
                run::Valid::OneOf(categories) => categories.kind(),
            },
        );
    }
    let step = run::Domain {
        step: view.class().map(|class| class.name.clone()).unwrap_or_default(),
        labels: sources.iter().map(|source| source.label.clone()).collect(),
        valid,
        refuses_missing: says("missing_value_treatment")?,
    };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(sources), report: Default::default() })
}

/// Refuses a treatment that is not among those that pass through.
fn only(view: &View<'_>, name: &str, words: &[&str]) -> Result<(), Error> {
    let Some(word) = some_attr(view, name)? else { return Ok(()) };
    if words.contains(&word.as_str()?) {
        return Ok(());
    }
    Err(Error::unsupported(word.path(), format!("{name}={}", word.as_str()?), words.join(", ")))
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

    use arrow_array::{Array, ArrayRef, Float64Array};

    use crate::categories::{Categories, UNSEEN, texts};
    use crate::matrix::Matrix;
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
        pub(super) refuses_missing: bool,
    }

    /// A domain of its own for each column.
    #[derive(Debug)]
    pub(super) struct Domains {
        pub(super) steps: Vec<Option<Box<dyn Transform>>>,
    }

    impl Transform for Domains {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            for (col, step) in self.steps.iter().enumerate() {
                if let Some(step) = step {
                    step.transform(x.select(&[col]), run);
                }
            }
            x
        }
    }

    impl Domain {
        fn missing(&self, x: &Matrix, col: usize, run: &mut Run) {
            let mut refuse = |row| run.refuse(row, &self.step, Some(&self.labels[col]), "missing value");
            match x {
                Matrix::Frame(frame) if is_text(frame.columns[col].data_type()) => {
                    texts(&frame.columns[col], |row, text| {
                        if text.is_none() {
                            refuse(row);
                        }
                    });
                }
                other => {
                    let numbers = other.numbers(col).unwrap_or_default();
                    numbers.iter().enumerate().filter(|(_, x)| x.is_nan()).for_each(|(row, _)| refuse(row));
                }
            }
        }

        fn invalid(&self, x: &Matrix, col: usize, valid: &Valid, run: &mut Run) {
            let mut refuse = |row| run.refuse(row, &self.step, Some(&self.labels[col]), "not valid in its domain");
            match valid {
                Valid::Between(low, high) => {
                    for (row, x) in x.numbers(col).unwrap_or_default().into_iter().enumerate() {
                        if x < *low || x > *high {
                            refuse(row);
                        }
                    }
                }
                Valid::OneOf(categories) => {
                    let column: ArrayRef = match x {
                        Matrix::Frame(frame) => frame.columns[col].clone(),
                        other => Arc::new(Float64Array::from(other.numbers(col).unwrap_or_default())),
                    };
                    let codes = categories.codes(&column);
                    codes.iter().enumerate().filter(|(_, code)| **code == UNSEEN).for_each(|(row, _)| refuse(row));
                }
            }
        }
    }

    impl Transform for Domain {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            if self.refuses_missing {
                (0..x.cols()).for_each(|col| self.missing(&x, col, run));
            }
            for (col, valid) in self.valid.iter().enumerate() {
                self.invalid(&x, col, valid, run);
            }
            x
        }
    }
}
