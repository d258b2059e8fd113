//! `OutputCodeClassifier`: an estimator for each bit of a code, and the class whose code is nearest to their answers.

use arrow_schema::DataType;
use foretell_pickle::View;

use super::one_vs_rest::Rest;
use crate::attributes;
use crate::families::shared::members::{array, predictor};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, StepReport};

pub(crate) const FAMILY: Family =
    Family { name: "codes of classes", classes: &[("sklearn.multiclass", "OutputCodeClassifier")], globals: &[], load };

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let book = view.attr("code_book_")?.array()?;
    let [classes, bits] = book.dims()?;
    let estimators = view.attr("estimators_")?.items()?;
    if classes != labels.len() || classes == 0 || estimators.len() != bits || bits == 0 {
        return Err(Error::counts(view.path(), (estimators.len(), "estimators"), (bits, "bits of a code")));
    }
    let book = book.f64s()?;
    let mut sources = array(loader, view, given)?;
    let (mut members, mut children) = (Vec::new(), Vec::new());
    for estimator in &estimators {
        // A bit that is the same for all classes of training.
        let constant = estimator.is("sklearn.multiclass", "_ConstantPredictor");
        let mut member = None;
        if !constant {
            let (loaded, report) = predictor(loader.load(estimator, sources.as_deref())?, estimator)?;
            sources = sources.or_else(|| loader.own());
            children.push(report);
            member = Some(loaded);
        }
        members.push(Rest::read(estimator, constant, member)?);
    }
    let mut targets = Targets::classes(vec![labels], DataType::Float64);
    targets.proba.clear();
    let report = StepReport { children, ..StepReport::default() };
    let step = run::Codes { members, book };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use super::Rest;
    use crate::Method;
    use crate::families::shared::rows::largest;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Codes {
        pub(super) members: Vec<Rest>,
        /// The codes of the classes, one after the other.
        pub(super) book: Vec<f64>,
    }

    impl Predict for Codes {
        fn answer(&self, x: Matrix, _: Method, run: &mut Run) -> Answer {
            let scores: Vec<Vec<f64>> = self.members.iter().map(|member| member.score(&x, run)).collect();
            for row in 0..x.rows() {
                if scores.iter().any(|score| !score[row].is_finite()) {
                    run.refuse(row, "OutputCodeClassifier", None, "a score that is not a finite number");
                }
            }
            let class = |row: usize| {
                // As the library adds up a square, so that of codes as near as each other it is the same one.
                let own: f64 = scores.iter().map(|score| score[row] * score[row]).sum();
                let near = |code: &[f64]| {
                    let product: f64 = scores.iter().zip(code).map(|(score, bit)| score[row] * bit).sum();
                    let bits: f64 = code.iter().map(|bit| bit * bit).sum();
                    -(own - 2.0 * product + bits).max(0.0)
                };
                let near: Vec<f64> = self.book.chunks_exact(self.members.len()).map(near).collect();
                largest(&near) as u32
            };
            Answer::Class(vec![(0..x.rows()).map(class).collect()])
        }
    }
}
