//! `CalibratedClassifierCV`: the scores of one or more classifiers, bent into probabilities by a curve learned for
//! each class.

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use super::isotonic;
use crate::attributes::{self, some_attr};
use crate::families::shared::members::{Member, Members, members, places};
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "calibrated classifiers",
    classes: &[("sklearn.calibration", "CalibratedClassifierCV")],
    globals: &[
        Entry::class("sklearn.calibration", "_CalibratedClassifier"),
        Entry::class("sklearn.calibration", "_SigmoidCalibration"),
        Entry::class("sklearn.calibration", "_TemperatureScaling"),
        Entry::class("sklearn.preprocessing._label", "LabelEncoder"),
        Entry::class("sklearn.preprocessing.label", "LabelEncoder"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let count = labels.len();
    if count == 0 {
        return Err(Error::state(view.path(), format!("{count} classes")));
    }
    let folds = view.attr("calibrated_classifiers_")?.items()?;
    let mut estimators = Vec::new();
    for fold in &folds {
        let estimator = match some_attr(fold, "estimator")? {
            Some(estimator) => estimator,
            None => fold.attr("base_estimator")?,
        };
        estimators.push((None, estimator));
    }
    let Members { all: members, reports: children, .. } = members(loader, view, given, &estimators)?;
    let mut parts = Vec::new();
    for (fold, member) in folds.iter().zip(members) {
        parts.push(part(fold, member, &labels)?);
    }
    let targets = Targets::classes(vec![labels], DataType::Float64);
    let step = run::Calibrated { parts, count };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// One classifier with its curves.
fn part(fold: &View<'_>, member: Member, labels: &Labels) -> Result<run::CalibratedMember, Error> {
    let count = labels.len();
    let Some(known) = member.labels() else {
        return Err(Error::no_such_answer(fold.path(), "the classifier", "one class a row"));
    };
    let want = if member.targets.decision.is_empty() { Method::Proba } else { Method::Decision };
    let width = member.outputs(want).len();
    if width == 0 {
        return Err(Error::state(fold.path(), "the classifier gives neither scores nor probabilities"));
    }
    // Of two classes it is the second one's score that is bent.
    let skip = usize::from(want == Method::Proba && width == 2);
    let calibrators = match some_attr(fold, "calibrators")? {
        Some(calibrators) => calibrators,
        None => fold.attr("calibrators_")?,
    };
    let calibrators = calibrators.items()?;
    let how = if let [only] = calibrators.as_slice()
        && only.is("sklearn.calibration", "_TemperatureScaling")
    {
        if count < 2 || known.len() != count || width != if skip == 0 && count == 2 { 1 } else { count } {
            return Err(Error::counts(fold.path(), (width, "scores"), (count, "classes")));
        }
        let beta = only.attr("beta_")?;
        let narrow = beta.array().is_ok_and(|array| array.dtype().size == 4) && member.is_narrow(want);
        run::Calibrator::Temperature { beta: beta.as_f64()?, narrow }
    } else {
        let places = if count == 2 { vec![1] } else { places(fold, known, labels)? };
        let curves: Result<Vec<run::Curve>, Error> = calibrators.iter().map(curve).collect();
        run::Calibrator::Curves(places.into_iter().zip(curves?).collect())
    };
    Ok(run::CalibratedMember { member, want, skip, how })
}

fn curve(view: &View<'_>) -> Result<run::Curve, Error> {
    if view.is("sklearn.calibration", "_SigmoidCalibration") {
        return Ok(run::Curve::Sigmoid(view.attr("a_")?.as_f64()?, view.attr("b_")?.as_f64()?));
    }
    if view.is("sklearn.isotonic", "IsotonicRegression") {
        return isotonic::read(view).map(run::Curve::Isotonic);
    }
    Err(Error::unsupported(view.path(), view.describe(), "_SigmoidCalibration, IsotonicRegression"))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::isotonic;
    use crate::families::shared::members::Member;
    use crate::math::float32;
    use crate::math::scores::{self, Softmax, expit, pairwise_sum};
    use crate::matrix::{Matrix, round};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) enum Curve {
        /// `expit(-(a * score + b))`.
        Sigmoid(f64, f64),
        Isotonic(isotonic::Curve),
    }

    impl Curve {
        fn bend(&self, scores: &mut [f64], run: &mut Run) {
            match self {
                Curve::Sigmoid(a, b) => scores.iter_mut().for_each(|score| *score = expit(-(a * *score + b))),
                Curve::Isotonic(curve) => curve.at(scores, None, run),
            }
        }
    }

    #[derive(Debug)]
    pub(super) enum Calibrator {
        /// A curve for each column of scores, with the class that it is about.
        Curves(Vec<(u32, Curve)>),
        /// Scores or logarithms times this, through the softmax.
        Temperature {
            beta: f64,
            /// Whether the library computes in float32.
            narrow: bool,
        },
    }

    #[derive(Debug)]
    pub(super) struct CalibratedMember {
        pub(super) member: Member,
        pub(super) want: Method,
        /// Columns of scores that are left out.
        pub(super) skip: usize,
        pub(super) how: Calibrator,
    }

    impl CalibratedMember {
        fn proba(&self, x: Matrix, count: usize, run: &mut Run) -> Vec<Vec<f64>> {
            let rows = x.rows();
            let mut scores = self.member.numbers(x, self.want, run);
            let mut proba = match &self.how {
                Calibrator::Temperature { beta, narrow } => {
                    for row in (0..rows).filter(|row| scores.iter().any(|column| !column[*row].is_finite())) {
                        run.refuse(row, "CalibratedClassifierCV", None, "a score that is not a finite number");
                    }
                    self.temperature(scores, *beta, *narrow)
                }
                Calibrator::Curves(curves) => {
                    let mut proba = vec![vec![0.0; rows]; count];
                    for (column, (class, curve)) in scores.iter_mut().skip(self.skip).zip(curves) {
                        curve.bend(column, run);
                        proba[*class as usize] = std::mem::take(column);
                    }
                    share(&mut proba);
                    proba
                }
            };
            let over = |value: &&mut f64| 1.0 < **value && **value <= 1.0 + 1e-5;
            proba.iter_mut().flatten().filter(over).for_each(|value| *value = 1.0);
            proba
        }

        fn temperature(&self, mut scores: Vec<Vec<f64>>, beta: f64, narrow: bool) -> Vec<Vec<f64>> {
            let is_narrow = self.member.is_narrow(self.want);
            if let (1, [first, second]) = (self.skip, scores.as_mut_slice()) {
                first.iter_mut().zip(second).for_each(|(first, second)| *first = round(1.0 - *second, is_narrow));
            }
            if self.want == Method::Proba {
                let log = |value: f64| match is_narrow {
                    true => float32::ln(value as f32 + 1e-12).into(),
                    false => (value + 1e-12).ln(),
                };
                scores.iter_mut().flatten().for_each(|value| *value = log(*value));
            } else if let [second] = scores.as_slice() {
                scores.insert(0, second.iter().map(|score| -score).collect());
            }
            scores.iter_mut().flatten().for_each(|value| *value = round(*value * beta, narrow));
            if narrow { narrow_softmax(scores) } else { Softmax::PLAIN.of(scores) }
        }
    }

    /// The softmax in float32.
    fn narrow_softmax(mut scores: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let mut powers = vec![0.0f32; scores.len()];
        for row in 0..scores[0].len() {
            let largest = scores.iter().map(|column| column[row] as f32).fold(f32::NEG_INFINITY, f32::max);
            for (power, column) in powers.iter_mut().zip(&scores) {
                *power = float32::exp(column[row] as f32 - largest);
            }
            let sum = pairwise_sum(&powers);
            scores.iter_mut().zip(&powers).for_each(|(column, power)| column[row] = (power / sum).into());
        }
        scores
    }

    /// Of two classes the first is what the second leaves; of more each is divided by their sum, all alike where that
    /// is zero.
    fn share(proba: &mut [Vec<f64>]) {
        let rows = proba[0].len();
        let count = proba.len();
        if count == 2 {
            proba[0] = proba[1].iter().map(|second| 1.0 - second).collect();
            return;
        }
        let mut row_values = vec![0.0; count];
        for row in 0..rows {
            row_values.iter_mut().zip(proba.iter()).for_each(|(value, column)| *value = column[row]);
            let sum = pairwise_sum(&row_values);
            let one = |value: f64| if sum == 0.0 { 1.0 / count as f64 } else { value / sum };
            proba.iter_mut().for_each(|column| column[row] = one(column[row]));
        }
    }

    #[derive(Debug)]
    pub(super) struct Calibrated {
        pub(super) parts: Vec<CalibratedMember>,
        pub(super) count: usize,
    }

    impl Predict for Calibrated {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            let mut average = scores::Average::new(None, false);
            self.parts.iter().for_each(|part| average.add(part.proba(x.clone(), self.count, run)));
            let proba = average.finish();
            if want == Method::Predict {
                return Answer::Class(vec![scores::first_largest(&proba, rows)]);
            }
            Answer::F64(proba)
        }
    }
}
