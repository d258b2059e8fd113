//! `AdaBoostClassifier` (SAMME and SAMME.R) and `AdaBoostRegressor` (the weighted median).

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{self, some_attr, version_inside};
use crate::families::shared::members::{Member, array, nameless, places, predictor};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::decisions;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "AdaBoost",
    classes: &[
        ("imblearn.ensemble._weight_boosting", "RUSBoostClassifier"),
        ("sklearn.ensemble._weight_boosting", "AdaBoostClassifier"),
        ("sklearn.ensemble._weight_boosting", "AdaBoostRegressor"),
        ("sklearn.ensemble.weight_boosting", "AdaBoostClassifier"),
        ("sklearn.ensemble.weight_boosting", "AdaBoostRegressor"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let mut sources = array(loader, view, given)?;
    let mut members = Vec::new();
    let mut children = Vec::new();
    for (_, estimator) in nameless(view.attr("estimators_")?.items()?) {
        let (member, report) = predictor(loader.load(&estimator, sources.as_deref())?, &estimator)?;
        // Before 0.24 only the first estimator tells the features.
        sources = sources.or_else(|| loader.own());
        members.push(member);
        children.push(report);
    }
    let weights = view.attr("estimator_weights_")?.array()?.f64s()?;
    let Some(sources) = sources.filter(|_| !members.is_empty() && weights.len() >= members.len()) else {
        return Err(Error::counts(view.path(), (weights.len(), "weights"), (members.len(), "estimators")));
    };
    let (form, targets) = if class == "AdaBoostRegressor" {
        if members.iter().any(|member| member.targets.predict.len() != 1 || !member.targets.labels.is_empty()) {
            return Err(Error::no_such_answer(view.path(), "an estimator", "one number a row"));
        }
        let narrow = members.iter().all(|member| member.is_narrow(Method::Predict));
        (
            run::AdaBoostForm::Median { narrow },
            Targets::numbers(1, if narrow { DataType::Float32 } else { DataType::Float64 }),
        )
    } else {
        classifier(view, &members)?
    };
    let finite = Finite::new(&class, &sources, false, false);
    let step = run::AdaBoost { members, weights, form, finite };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

fn classifier(view: &View<'_>, members: &[Member]) -> Result<(run::AdaBoostForm, Targets), Error> {
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let count = labels.len();
    if count == 0 {
        return Err(Error::state(view.path(), "no classes"));
    }
    let version = match view.attr("estimators_")?.items()?.first() {
        Some(first) => version_inside(view, first)?.unwrap_or((0, 0)),
        None => (0, 0),
    };
    let is_real = match some_attr(view, "algorithm")? {
        Some(algorithm) => algorithm.as_str()? == "SAMME.R",
        None => false,
    };
    let mut all_places = Vec::new();
    for member in members {
        let Some(known) = member.labels() else {
            return Err(Error::no_such_answer(view.path(), "an estimator", "one class a row"));
        };
        all_places.push(places(view, known, &labels)?);
        if is_real && member.targets.proba.len() != count {
            return Err(Error::no_such_answer(view.path(), "an estimator", "a probability for each class"));
        }
    }
    // Before 0.22 probabilities came from those of the estimators.
    let shares = version < (0, 22);
    let has_proba = !shares || members.iter().all(|member| member.targets.proba.len() == count);
    // Before 1.6 there is no score of a single class.
    let decision = if count > 1 || version >= (1, 6) { decisions(&labels) } else { Vec::new() };
    let mut targets = Targets::classes(vec![labels], DataType::Float64);
    targets.decision = decision;
    if !has_proba {
        targets.proba.clear();
    }
    // From 1.3 on the classes that are not told lose what the one that is gains.
    let against = if version < (1, 3) { 0.0 } else { -1.0 / (count as f64 - 1.0) };
    // From 1.0 on a probability of a single class is told without a look at the row.
    let looks = count > 1 || version < (1, 0);
    Ok((run::AdaBoostForm::Class { places: all_places, count, is_real, against, shares, looks }, targets))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::finite::Finite;
    use crate::math::scores::{self, Softmax, pairwise_sum};
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) enum AdaBoostForm {
        Median {
            narrow: bool,
        },
        Class {
            /// Where each estimator's classes stand among all.
            places: Vec<Vec<u32>>,
            count: usize,
            /// SAMME.R: probabilities are asked for, not classes.
            is_real: bool,
            /// What a class that is not told gets of an estimator's weight.
            against: f64,
            /// Whether probabilities are made of those of the estimators.
            shares: bool,
            /// Whether a row is looked at before its probabilities are told.
            looks: bool,
        },
    }

    #[derive(Debug)]
    pub(super) struct AdaBoost {
        pub(super) members: Vec<Member>,
        pub(super) weights: Vec<f64>,
        pub(super) form: AdaBoostForm,
        pub(super) finite: Finite,
    }

    impl AdaBoost {
        /// Of each row the first prediction, in their order, at which half of the weight is reached.
        fn medians(&self, x: &Matrix, run: &mut Run) -> Vec<f64> {
            let answers: Vec<Vec<f64>> = self
                .members
                .iter()
                .map(|member| member.numbers(x.clone(), Method::Predict, run).pop().unwrap_or_default())
                .collect();
            let median = |row: usize| self.median(answers.iter().map(|answer| answer[row]).collect());
            (0..x.rows()).map(median).collect()
        }

        fn median(&self, answers: Vec<f64>) -> f64 {
            let mut order: Vec<usize> = (0..answers.len()).collect();
            order.sort_by(|a, b| answers[*a].total_cmp(&answers[*b]));
            let mut sum = 0.0;
            let mut sums = Vec::with_capacity(order.len());
            for index in &order {
                sum += self.weights[*index];
                sums.push(sum);
            }
            let at = sums.iter().position(|reached| *reached >= 0.5 * sum).unwrap_or(0);
            answers[order[at]]
        }

        /// A column a class: what the estimators say for it, by their weights.
        fn votes(&self, x: &Matrix, places: &[Vec<u32>], count: usize, against: f64, run: &mut Run) -> Vec<Vec<f64>> {
            let mut votes = vec![vec![0.0; x.rows()]; count];
            for ((member, places), weight) in self.members.iter().zip(places).zip(&self.weights) {
                let told = member.classes(x.clone(), run);
                for (class, votes) in votes.iter_mut().enumerate() {
                    for (vote, told) in votes.iter_mut().zip(&told) {
                        *vote += if places[*told as usize] as usize == class { *weight } else { against * weight };
                    }
                }
            }
            votes
        }

        /// SAMME.R: logarithms of probabilities against their mean.
        fn logarithms(&self, x: &Matrix, count: usize, run: &mut Run) -> Vec<Vec<f64>> {
            let rows = x.rows();
            let classes = count as f64;
            let mut sums = vec![vec![0.0; rows]; count];
            let mut logs = vec![0.0; count];
            for member in &self.members {
                let proba = member.numbers(x.clone(), Method::Proba, run);
                for row in 0..rows {
                    for (log, column) in logs.iter_mut().zip(&proba) {
                        *log = column[row].max(f64::EPSILON).ln();
                    }
                    let mean = (1.0 / classes) * pairwise_sum(&logs);
                    for (sum, log) in sums.iter_mut().zip(&logs) {
                        sum[row] += (classes - 1.0) * (log - mean);
                    }
                }
            }
            sums
        }

        fn weighted(&self, x: &Matrix, count: usize, run: &mut Run) -> Vec<Vec<f64>> {
            let mut sums = vec![vec![0.0; x.rows()]; count];
            for (member, weight) in self.members.iter().zip(&self.weights) {
                let proba = member.numbers(x.clone(), Method::Proba, run);
                for (sum, value) in sums.iter_mut().flatten().zip(proba.iter().flatten()) {
                    *sum += value * weight;
                }
            }
            sums
        }

        fn class(&self, x: &Matrix, want: Method, run: &mut Run) -> Answer {
            let AdaBoostForm::Class { places, count, is_real, against, shares, .. } = &self.form else {
                return Answer::F64(Vec::new());
            };
            let (count, rows) = (*count, x.rows());
            if count == 1 {
                return match want {
                    Method::Predict => Answer::Class(vec![vec![0; rows]]),
                    Method::Proba => Answer::F64(vec![vec![1.0; rows]]),
                    _ => Answer::F64(vec![vec![0.0; rows]]),
                };
            }
            let total = pairwise_sum(&self.weights);
            let mut votes = if *is_real {
                self.logarithms(x, count, run)
            } else if *shares && want == Method::Proba {
                self.weighted(x, count, run)
            } else {
                self.votes(x, places, count, *against, run)
            };
            votes.iter_mut().flatten().for_each(|vote| *vote /= total);
            if *shares && want == Method::Proba {
                return Answer::F64(shared(votes, rows));
            }
            if let [first, second] = votes.as_slice() {
                votes = vec![first.iter().zip(second).map(|(first, second)| -first + second).collect()];
            }
            match want {
                Method::Decision => Answer::F64(votes),
                Method::Proba => {
                    let divisor = if count == 2 { 2.0 } else { count as f64 - 1.0 };
                    if let [decision] = votes.as_slice() {
                        votes.insert(0, decision.iter().map(|value| -value).collect());
                    }
                    votes.iter_mut().flatten().for_each(|vote| *vote /= divisor);
                    let softmax = if *is_real { Softmax::PLAIN } else { Softmax::BY_CLASS };
                    Answer::F64(softmax.of(votes))
                }
                _ if votes.len() == 1 => Answer::Class(vec![scores::best(&votes)]),
                _ => Answer::Class(vec![scores::first_largest(&votes, rows)]),
            }
        }
    }

    /// Exponentials divided by their sum.
    fn shared(mut votes: Vec<Vec<f64>>, rows: usize) -> Vec<Vec<f64>> {
        let factor = 1.0 / (votes.len() as f64 - 1.0);
        votes.iter_mut().flatten().for_each(|vote| *vote = (factor * *vote).exp());
        let mut values = vec![0.0; votes.len()];
        for row in 0..rows {
            values.iter_mut().zip(&votes).for_each(|(value, column)| *value = column[row]);
            let sum = Some(pairwise_sum(&values)).filter(|sum| *sum != 0.0).unwrap_or(1.0);
            votes.iter_mut().for_each(|column| column[row] /= sum);
        }
        votes
    }

    impl Predict for AdaBoost {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            if want != Method::Proba || !matches!(self.form, AdaBoostForm::Class { looks: false, .. }) {
                self.finite.check(&x, run);
            }
            match self.form {
                AdaBoostForm::Median { narrow } => Answer::floats(vec![self.medians(&x, run)], narrow),
                AdaBoostForm::Class { .. } => self.class(&x, want, run),
            }
        }
    }
}
