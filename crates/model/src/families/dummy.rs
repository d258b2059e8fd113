//! `DummyClassifier` and `DummyRegressor`: the same answer for every row, whatever is in it.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::Error;
use crate::attributes::{self, feature_names};
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;

pub(crate) const FAMILY: Family = Family {
    name: "dummies",
    classes: &[("sklearn.dummy", "DummyClassifier"), ("sklearn.dummy", "DummyRegressor")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let count = loader.width(view, given, None)?;
    let names = feature_names(view)?;
    loader.sources(view, given, count, names)?;
    let (step, targets) = if view.class().is_some_and(|class| class.name == "DummyRegressor") {
        let values = view.attr("constant_")?.array()?.f64s()?;
        let targets = Targets::numbers(values.len(), DataType::Float64);
        (run::Dummy { classes: Vec::new(), values }, targets)
    } else {
        classifier(view)?
    };
    if targets.predict.is_empty() {
        return Err(Error::state(view.path(), "has no target"));
    }
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

fn classifier(view: &View<'_>) -> Result<(run::Dummy, Targets), Error> {
    let several = view.attr("n_outputs_")?.as_usize()? != 1;
    let by_target = |name: &str| -> Result<Vec<View<'_>>, Error> {
        let value = view.attr(name)?;
        Ok(if several { value.items()? } else { vec![value] })
    };
    let labels = by_target("classes_")?.iter().map(attributes::labels).collect::<Result<Vec<_>, _>>()?;
    let priors = by_target("class_prior_")?;
    if priors.len() != labels.len() {
        return Err(Error::state(view.path(), format!("shares of {} targets for {}", priors.len(), labels.len())));
    }
    let strategy = view.attr("strategy")?;
    let mut dummy = run::Dummy { classes: Vec::new(), values: Vec::new() };
    for (target, (labels, prior)) in labels.iter().zip(&priors).enumerate() {
        let prior = prior.array()?.f64s()?;
        if prior.len() != labels.len() || prior.is_empty() {
            return Err(Error::state(view.path(), format!("{} shares of {} classes", prior.len(), labels.len())));
        }
        let (class, proba) = match strategy.as_str()? {
            "prior" => (first_largest(&prior), prior),
            "most_frequent" => one_of(first_largest(&prior), prior.len()),
            "constant" => one_of(constant(view, several.then_some(target), labels)?, prior.len()),
            other => {
                let what = format!("strategy={other}");
                return Err(Error::unsupported(strategy.path(), what, "prior, most_frequent, constant"));
            }
        };
        dummy.classes.push(u32::try_from(class).unwrap_or(0));
        dummy.values.extend(proba);
    }
    Ok((dummy, Targets::classes(labels, DataType::Float64)))
}

fn one_of(class: usize, count: usize) -> (usize, Vec<f64>) {
    (class, (0..count).map(|index| f64::from(u8::from(index == class))).collect())
}

fn first_largest(prior: &[f64]) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (class, share) in prior.iter().enumerate() {
        if *share > best.1 {
            best = (class, *share);
        }
    }
    best.0
}

/// The class that the constant is; of several targets there is one constant each, in a list or an array.
fn constant(view: &View<'_>, target: Option<usize>, labels: &Labels) -> Result<usize, Error> {
    let constant = view.attr("constant")?;
    let found = match (target, constant.items()) {
        (None, _) => class(&constant, labels),
        (Some(target), Ok(each)) => each.get(target).and_then(|one| class(one, labels)),
        (Some(target), Err(_)) => {
            let array = constant.array()?;
            match labels {
                Labels::Int(all) => array.i64s()?.get(target).and_then(|one| all.iter().position(|label| label == one)),
                Labels::Float(all) => {
                    array.f64s()?.get(target).and_then(|one| all.iter().position(|label| label == one))
                }
                Labels::Bool(all) => {
                    array.bools()?.get(target).and_then(|one| all.iter().position(|label| label == one))
                }
                Labels::Text(all) => {
                    array.strings()?.get(target).and_then(|one| all.iter().position(|label| label == one))
                }
            }
        }
    };
    found.ok_or_else(|| Error::state(constant.path(), "is not a class that was learned"))
}

fn class(constant: &View<'_>, labels: &Labels) -> Option<usize> {
    match labels {
        Labels::Int(all) => all.iter().position(|label| constant.as_i64().is_ok_and(|one| one == *label)),
        Labels::Float(all) => all.iter().position(|label| constant.as_f64().is_ok_and(|one| one == *label)),
        Labels::Bool(all) => all.iter().position(|label| constant.as_bool().is_ok_and(|one| one == *label)),
        Labels::Text(all) => all.iter().position(|label| constant.as_text().is_ok_and(|one| one == label.as_str())),
    }
}

mod run {
    use crate::Method;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Dummy {
        /// The class of each target that is always told; empty for regressions.
        pub(super) classes: Vec<u32>,
        /// The values of a regression, or the probabilities.
        pub(super) values: Vec<f64>,
    }

    impl Predict for Dummy {
        fn answer(&self, x: Matrix, want: Method, _run: &mut Run) -> Answer {
            let rows = x.rows();
            if want == Method::Predict && !self.classes.is_empty() {
                return Answer::Class(self.classes.iter().map(|class| vec![*class; rows]).collect());
            }
            Answer::F64(self.values.iter().map(|value| vec![*value; rows]).collect())
        }
    }
}
