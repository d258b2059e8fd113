//! `OneVsOneClassifier`: an estimator for each pair of classes, votes counted and scores for a tie.

use arrow_schema::DataType;
use foretell_pickle::View;

use super::one_vs_rest::Rest;
use crate::attributes::{self, some_attr, version};
use crate::families::shared::members::{array, codes, predictor};
use crate::family::Family;
use crate::loaded::decisions;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, StepReport};

pub(crate) const FAMILY: Family =
    Family { name: "one against one", classes: &[("sklearn.multiclass", "OneVsOneClassifier")], globals: &[], load };

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    if some_attr(view, "pairwise_indices_")?.is_some() {
        return Err(Error::unsupported(view.path(), "estimators of kernels", "estimators of features"));
    }
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let count = labels.len();
    let estimators = view.attr("estimators_")?.items()?;
    if count < 2 || estimators.len().checked_mul(2) != count.checked_mul(count.saturating_sub(1)) {
        return Err(Error::counts(view.path(), (estimators.len(), "estimators"), (count, "classes")));
    }
    let mut sources = array(loader, view, given)?;
    let mut pairs = Vec::new();
    let mut children = Vec::new();
    for estimator in &estimators {
        let (member, report) = predictor(loader.load(estimator, sources.as_deref())?, estimator)?;
        sources = sources.or_else(|| loader.own());
        let codes = match member.labels() {
            Some(known) => codes(estimator, known, 2)?,
            None => return Err(Error::state(estimator.path(), "does not give one class a row")),
        };
        pairs.push(run::Pair { codes, rest: Rest::Estimator(Box::new(member)) });
        children.push(report);
    }
    let mut targets = Targets::classes(vec![labels.clone()], DataType::Float64);
    targets.proba.clear();
    targets.decision = decisions(&labels);
    let above_zero = version(view)?.is_none_or(|version| version < (1, 1));
    let step = run::OneVsOne { pairs, count, above_zero };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::one_vs_rest::Rest;
    use crate::math::scores;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Pair {
        /// Which of the two each class of the estimator is.
        pub(super) codes: Vec<u32>,
        pub(super) rest: Rest,
    }

    #[derive(Debug)]
    pub(super) struct OneVsOne {
        pub(super) pairs: Vec<Pair>,
        pub(super) count: usize,
        /// Whether the second of two classes is told where its score is above 0, whatever the estimators say.
        pub(super) above_zero: bool,
    }

    impl OneVsOne {
        fn decision(&self, x: &Matrix, run: &mut Run) -> Vec<Vec<f64>> {
            let rows = x.rows();
            let mut votes = vec![vec![0.0; rows]; self.count];
            let mut sums = vec![vec![0.0; rows]; self.count];
            let places = (0..self.count).flat_map(|i| (i + 1..self.count).map(move |j| [i, j]));
            for (pair, places) in self.pairs.iter().zip(places) {
                let Rest::Estimator(member) = &pair.rest else { continue };
                let told = member.classes(x.clone(), run);
                let scores = pair.rest.score(x, run);
                for (row, (told, score)) in told.into_iter().zip(scores).enumerate() {
                    sums[places[0]][row] -= score;
                    sums[places[1]][row] += score;
                    votes[places[pair.codes[told as usize] as usize]][row] += 1.0;
                }
            }
            for (vote, sum) in votes.iter_mut().flatten().zip(sums.iter().flatten()) {
                *vote += sum / (3.0 * (sum.abs() + 1.0));
            }
            if self.count == 2 { votes.split_off(1) } else { votes }
        }
    }

    impl Predict for OneVsOne {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            let decision = self.decision(&x, run);
            if want == Method::Decision {
                return Answer::F64(decision);
            }
            Answer::Class(vec![match decision.as_slice() {
                [second] => {
                    let threshold = if self.above_zero { 0.0 } else { self.pairs[0].rest.threshold() };
                    second.iter().map(|score| u32::from(*score > threshold)).collect()
                }
                many => scores::first_largest(many, rows),
            }])
        }
    }
}
