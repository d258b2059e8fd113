//! `BaggingClassifier` and `BaggingRegressor`: estimators that each saw some rows and some columns, averaged.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{self};
use crate::families::shared::members::{Member, codes, predictor, sized_array};
use crate::family::Family;
use crate::loaded::decisions;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "bagging",
    classes: &[
        ("imblearn.ensemble._bagging", "BalancedBaggingClassifier"),
        ("imblearn.ensemble._easy_ensemble", "EasyEnsembleClassifier"),
        ("sklearn.ensemble._bagging", "BaggingClassifier"),
        ("sklearn.ensemble._bagging", "BaggingRegressor"),
        ("sklearn.ensemble.bagging", "BaggingClassifier"),
        ("sklearn.ensemble.bagging", "BaggingRegressor"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let sources = sized_array(loader, view, given)?;
    let estimators = view.attr("estimators_")?.items()?;
    let picked = picks(view, sources.len())?;
    if estimators.is_empty() || estimators.len() != picked.len() {
        let message = format!("the columns of {} estimators for {}", picked.len(), estimators.len());
        return Err(Error::state(view.path(), message));
    }
    let mut members = Vec::new();
    let mut children = Vec::new();
    for (estimator, picked) in estimators.iter().zip(&picked) {
        let given: Vec<Source> = picked.iter().filter_map(|index| sources.get(*index)).cloned().collect();
        let (member, report) = predictor(loader.load(estimator, Some(&given))?, estimator)?;
        members.push(member);
        children.push(report);
    }
    let report = StepReport { children, ..StepReport::default() };
    let (form, targets) = if view.class().is_some_and(|class| class.name == "BaggingRegressor") {
        regressor(view, &members)?
    } else {
        classifier(view, &members)?
    };
    let whole = (0..sources.len()).collect::<Vec<usize>>();
    let picked = picked.into_iter().map(|picked| (picked != whole).then_some(picked)).collect();
    let step = run::Bagging { members, picked, form };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// The columns of each estimator.
fn picks(view: &View<'_>, count: usize) -> Result<Vec<Vec<usize>>, Error> {
    let mut all = Vec::new();
    for features in view.attr("estimators_features_")?.items()? {
        let indices = features.array()?.u64s()?;
        let picked: Option<Vec<usize>> =
            indices.into_iter().map(|index| usize::try_from(index).ok().filter(|index| *index < count)).collect();
        let message = || Error::state(features.path(), format!("a column is out of range ({count} columns)"));
        all.push(picked.ok_or_else(message)?);
    }
    Ok(all)
}

fn regressor(view: &View<'_>, members: &[Member]) -> Result<(run::BaggingForm, Targets), Error> {
    let width = members.first().map_or(0, |member| member.targets.predict.len());
    if members.iter().any(|member| member.targets.predict.len() != width || !member.targets.labels.is_empty()) {
        return Err(Error::state(view.path(), "the estimators do not give the same numbers a row"));
    }
    let narrow = members.iter().all(|member| member.is_narrow(Method::Predict));
    let targets = Targets::numbers(width, if narrow { DataType::Float32 } else { DataType::Float64 });
    Ok((run::BaggingForm::Number { narrow }, targets))
}

fn classifier(view: &View<'_>, members: &[Member]) -> Result<(run::BaggingForm, Targets), Error> {
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let count = labels.len();
    let mut all_codes = Vec::new();
    for member in members {
        let Some(known) = member.labels() else {
            return Err(Error::no_such_answer(view.path(), "an estimator", "one class a row"));
        };
        if !member.targets.proba.is_empty() && member.targets.proba.len() != known.len() {
            return Err(Error::no_such_answer(view.path(), "an estimator", "a probability for each class"));
        }
        all_codes.push(codes(view, known, count)?);
    }
    let decisions = decisions(&labels);
    let mut targets = Targets::classes(vec![labels], DataType::Float64);
    if members.iter().all(|member| member.targets.decision.len() == decisions.len()) {
        targets.decision = decisions;
    }
    Ok((run::BaggingForm::Class { codes: all_codes, count }, targets))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::math::scores::{self, Average};
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) enum BaggingForm {
        Number {
            narrow: bool,
        },
        /// The code of each estimator's classes, and how many codes there are.
        Class {
            codes: Vec<Vec<u32>>,
            count: usize,
        },
    }

    #[derive(Debug)]
    pub(super) struct Bagging {
        pub(super) members: Vec<Member>,
        /// The columns of each estimator; `None` where it takes all of them in order.
        pub(super) picked: Vec<Option<Vec<usize>>>,
        pub(super) form: BaggingForm,
    }

    impl Bagging {
        fn given(&self, x: &Matrix, index: usize) -> Matrix {
            self.picked[index].as_ref().map_or_else(|| x.clone(), |picked| x.select_of_array(picked))
        }

        fn mean(&self, x: &Matrix, want: Method, narrow: bool, run: &mut Run) -> Vec<Vec<f64>> {
            let mut average = Average::new(None, narrow);
            for (index, member) in self.members.iter().enumerate() {
                average.add(member.numbers(self.given(x, index), want, run));
            }
            average.finish()
        }

        /// Classes that an estimator has not seen keep what they have.
        fn proba(&self, x: &Matrix, codes: &[Vec<u32>], count: usize, run: &mut Run) -> Vec<Vec<f64>> {
            let rows = x.rows();
            let mut proba = vec![vec![0.0; rows]; count];
            for (index, (member, codes)) in self.members.iter().zip(codes).enumerate() {
                let x = self.given(x, index);
                if member.targets.proba.is_empty() {
                    for (row, class) in member.classes(x, run).into_iter().enumerate() {
                        proba[codes[class as usize] as usize][row] += 1.0;
                    }
                    continue;
                }
                for (column, code) in member.numbers(x, Method::Proba, run).iter().zip(codes) {
                    proba[*code as usize].iter_mut().zip(column).for_each(|(sum, value)| *sum += value);
                }
            }
            let estimators = self.members.len() as f64;
            proba.iter_mut().flatten().for_each(|sum| *sum /= estimators);
            proba
        }
    }

    impl Predict for Bagging {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            match (&self.form, want) {
                (BaggingForm::Number { narrow }, _) => Answer::floats(self.mean(&x, want, *narrow, run), *narrow),
                (BaggingForm::Class { .. }, Method::Decision) => Answer::F64(self.mean(&x, want, false, run)),
                (BaggingForm::Class { codes, count }, Method::Predict) => {
                    Answer::Class(vec![scores::first_largest(&self.proba(&x, codes, *count, run), rows)])
                }
                (BaggingForm::Class { codes, count }, _) => Answer::F64(self.proba(&x, codes, *count, run)),
            }
        }
    }
}
