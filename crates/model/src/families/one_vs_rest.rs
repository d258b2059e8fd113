//! `OneVsRestClassifier`: an estimator for each class, the surest one wins.

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{self, feature_names, version};
use crate::families::shared::lone_class;
use crate::families::shared::members::{Member, predictor};
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::decisions;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, Output, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "one against the rest",
    classes: &[("sklearn.multiclass", "OneVsRestClassifier")],
    globals: &[
        Entry::class("sklearn.multiclass", "_ConstantPredictor"),
        Entry::class("sklearn.preprocessing._label", "LabelBinarizer"),
        Entry::class("sklearn.preprocessing.label", "LabelBinarizer"),
    ],
    load,
};

/// The score of the positive class, as `_predict_binary` takes it.
#[derive(Debug)]
pub(super) enum Rest {
    Estimator(Box<Member>),
    /// A class that was never, or always, there.
    Constant(f64),
}

impl Rest {
    pub(super) fn read(view: &View<'_>, constant: bool, member: Option<Member>) -> Result<Rest, Error> {
        match member {
            Some(member) => Ok(Rest::Estimator(Box::new(member))),
            None if constant => {
                let value = view.attr("y_")?;
                let value = match value.array() {
                    Ok(array) => array.f64s()?.first().copied().unwrap_or(0.0),
                    Err(_) => value.as_f64()?,
                };
                Ok(Rest::Constant(value))
            }
            None => Err(Error::state(view.path(), "is not an estimator")),
        }
    }
}

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let binarizer = view.attr("label_binarizer_")?;
    let labels = attributes::labels(&binarizer.attr("classes_")?)?;
    let kind = binarizer.attr("y_type_")?;
    let form = match kind.as_str()? {
        "multiclass" => {
            let version = version(view)?.unwrap_or((0, 0));
            run::OneVsRestForm::Largest { first: version >= (1, 8), zero_stays: version >= (1, 7) }
        }
        "binary" => run::OneVsRestForm::Second,
        kind if kind.starts_with("multilabel") => run::OneVsRestForm::Each,
        other => return Err(Error::unsupported(kind.path(), format!("targets that are {other}"), "classes")),
    };
    let mut sources = match (given, feature_names(view)?) {
        (Some(given), _) => Some(given.to_vec()),
        (None, Some(names)) => Some(loader.own_sources(names.len(), Some(names))?),
        (None, None) => None,
    };
    let mut rest = Vec::new();
    let mut children = Vec::new();
    for estimator in view.attr("estimators_")?.items()? {
        let constant = estimator.is("sklearn.multiclass", "_ConstantPredictor");
        let mut member = None;
        if !constant {
            let (loaded, report) = predictor(loader.load(&estimator, sources.as_deref())?, &estimator)?;
            sources = sources.or_else(|| loader.own());
            children.push(report);
            member = Some(loaded);
        }
        rest.push(Rest::read(&estimator, constant, member)?);
    }
    if children.is_empty() && sources.is_none() {
        // Of a single class there is no estimator that could tell.
        loader.own_sources(loader.width(view, given, None)?, None)?;
    }
    let wanted = if matches!(form, run::OneVsRestForm::Second) { 1 } else { labels.len() };
    if rest.len() != wanted || labels.len() == 0 || (children.is_empty() && labels.len() > 1) {
        return Err(Error::counts(view.path(), (rest.len(), "estimators"), (labels.len(), "classes")));
    }
    let narrow = |want: Method| {
        let narrow = |one: &Rest| matches!(one, Rest::Estimator(member) if member.is_narrow(want));
        rest.iter().all(narrow)
    };
    let narrow = run::Narrow { proba: narrow(Method::Proba), decision: narrow(Method::Decision) };
    let lone = labels.len() == 1 && matches!(form, run::OneVsRestForm::Second);
    let targets = targets(&rest, labels, &form, narrow);
    let step = lone_class::guarded(Box::new(run::OneVsRest { rest, form, narrow }), "OneVsRestClassifier", lone);
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(step), out: Out::Answers(targets), report })
}

fn targets(rest: &[Rest], labels: Labels, form: &run::OneVsRestForm, narrow: run::Narrow) -> Targets {
    let float = |narrow: bool| if narrow { DataType::Float32 } else { DataType::Float64 };
    let mut decision = decisions(&labels);
    let has = |of: fn(&Targets) -> usize, count: usize| {
        rest.iter().all(|one| match one {
            Rest::Estimator(member) => of(&member.targets) == count,
            Rest::Constant(_) => true,
        })
    };
    let mut targets = if matches!(form, run::OneVsRestForm::Each) {
        // Each class is there or not: a column of zeros and ones for each.
        let names: Vec<String> = (0..labels.len()).map(|class| labels.text(class)).collect();
        let column = |stem: &str, name: &String, data_type: DataType| Output {
            name: format!("{stem}_{name}"),
            data_type,
            class: Some(name.clone()),
        };
        decision = names.iter().map(|name| column("decision", name, float(narrow.decision))).collect();
        Targets {
            predict: names.iter().map(|name| column("prediction", name, DataType::Int64)).collect(),
            proba: names.iter().map(|name| column("proba", name, float(narrow.proba))).collect(),
            labels: vec![Labels::counted(2); names.len()],
            ..Targets::default()
        }
    } else {
        decision.iter_mut().for_each(|output| output.data_type = float(narrow.decision));
        lone_class::targets(labels, float(narrow.proba))
    };
    if !has(|targets| targets.proba.len(), 2) {
        targets.proba.clear();
    }
    if has(|targets| targets.decision.len(), 1) {
        targets.decision = decision;
    }
    targets
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use super::Rest;
    use crate::Method;
    use crate::matrix::Matrix;
    use crate::matrix::round;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) enum OneVsRestForm {
        /// One of several classes: of equal scores the first or the last, and whether probabilities that are all zero
        /// stay so.
        Largest { first: bool, zero_stays: bool },
        /// One of two classes, by one estimator.
        Second,
        /// Any number of classes.
        Each,
    }

    /// Which answers are float32, because all of them are inside.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Narrow {
        pub(super) proba: bool,
        pub(super) decision: bool,
    }

    #[derive(Debug)]
    pub(super) struct OneVsRest {
        pub(super) rest: Vec<Rest>,
        pub(super) form: OneVsRestForm,
        pub(super) narrow: Narrow,
    }

    impl Rest {
        /// The score of the positive class: a decision, a probability, or what a regression says.
        pub(in crate::families) fn score(&self, x: &Matrix, run: &mut Run) -> Vec<f64> {
            match self {
                Rest::Constant(value) => vec![*value; x.rows()],
                Rest::Estimator(member) => {
                    let want = if !member.targets.decision.is_empty() {
                        Method::Decision
                    } else if member.targets.proba.is_empty() {
                        Method::Predict
                    } else {
                        Method::Proba
                    };
                    member.numbers(x.clone(), want, run).pop().unwrap_or_default()
                }
            }
        }

        /// What a score must be above for a yes.
        pub(in crate::families) fn threshold(&self) -> f64 {
            match self {
                Rest::Estimator(member) if !member.targets.decision.is_empty() || member.targets.claims_decision => 0.0,
                _ => 0.5,
            }
        }

        fn answer(&self, x: &Matrix, want: Method, run: &mut Run) -> Vec<f64> {
            match self {
                Rest::Constant(value) => vec![*value; x.rows()],
                Rest::Estimator(member) => member.numbers(x.clone(), want, run).pop().unwrap_or_default(),
            }
        }
    }

    impl OneVsRest {
        fn largest(&self, x: &Matrix, first: bool, run: &mut Run) -> Vec<u32> {
            let rows = x.rows();
            let mut best = vec![(f64::NEG_INFINITY, 0u32); rows];
            for (class, rest) in (0..).zip(&self.rest) {
                for (best, score) in best.iter_mut().zip(rest.score(x, run)) {
                    if score > best.0 || (score == best.0 && !first) {
                        *best = (score, class);
                    }
                }
            }
            best.into_iter().map(|(_, class)| class).collect()
        }

        fn proba(&self, x: &Matrix, run: &mut Run) -> Vec<Vec<f64>> {
            let mut all: Vec<Vec<f64>> = self.rest.iter().map(|rest| rest.answer(x, Method::Proba, run)).collect();
            let narrow = self.narrow.proba;
            let zero_stays = match self.form {
                OneVsRestForm::Each => return all,
                OneVsRestForm::Second => {
                    all.insert(0, all[0].iter().map(|second| round(1.0 - second, narrow)).collect());
                    true
                }
                OneVsRestForm::Largest { zero_stays, .. } => zero_stays,
            };
            for row in 0..x.rows() {
                let sum = all.iter().fold(0.0, |sum, column| round(sum + column[row], narrow));
                if sum != 0.0 || !zero_stays {
                    all.iter_mut().for_each(|column| column[row] = round(column[row] / sum, narrow));
                }
            }
            all
        }
    }

    impl Predict for OneVsRest {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            match (want, &self.form) {
                (Method::Proba, _) => Answer::floats(self.proba(&x, run), self.narrow.proba),
                (Method::Decision, _) => {
                    let scores = self.rest.iter().map(|rest| rest.answer(&x, Method::Decision, run));
                    Answer::floats(scores.collect(), self.narrow.decision)
                }
                (_, OneVsRestForm::Largest { first, .. }) => Answer::Class(vec![self.largest(&x, *first, run)]),
                _ => {
                    let threshold = self.rest[0].threshold();
                    let yes = |score: f64| u32::from(score > threshold);
                    let column = |rest: &Rest, run: &mut Run| rest.score(&x, run).into_iter().map(yes).collect();
                    Answer::Class(self.rest.iter().map(|rest| column(rest, run)).collect())
                }
            }
        }
    }
}
