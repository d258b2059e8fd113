//! `FixedThresholdClassifier` and `TunedThresholdClassifierCV`: of two classes, the one that a threshold says.

use foretell_pickle::View;

use crate::attributes::some_attr;
use crate::families::shared::members::{Members, members};
use crate::families::shared::searches::SEARCHES;
use crate::family::Family;
use crate::labels::{Key, Labels};
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "thresholds",
    classes: &[
        ("sklearn.model_selection._classification_threshold", "FixedThresholdClassifier"),
        ("sklearn.model_selection._classification_threshold", "TunedThresholdClassifierCV"),
    ],
    globals: SEARCHES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let estimator = match some_attr(view, "estimator_")? {
        Some(fitted) => fitted,
        None => view.attr("estimator")?,
    };
    let Members { all: mut members, reports: children, .. } = members(loader, view, given, &[(None, estimator)])?;
    let Some(member) = members.pop() else { return Err(Error::state(view.path(), "has no estimator")) };
    let Some(labels) = member.labels().filter(|labels| labels.len() == 2).cloned() else {
        return Err(Error::state(view.path(), "the estimator does not give one of two classes"));
    };
    let response = view.attr("response_method")?;
    let want = match response.as_str()? {
        "auto" if member.targets.proba.is_empty() => Method::Decision,
        "auto" | "predict_proba" => Method::Proba,
        "decision_function" => Method::Decision,
        other => {
            let supported = "auto, predict_proba, decision_function";
            return Err(Error::unsupported(response.path(), format!("response_method={other}"), supported));
        }
    };
    if member.outputs(want).len() != if want == Method::Proba { 2 } else { 1 } {
        return Err(Error::state(view.path(), "the estimator has no such answer"));
    }
    let (threshold, positive) = match some_attr(view, "best_threshold_")? {
        Some(best) => (best.as_f64()?, pos_label(&view.attr("_curve_scorer")?, &labels)?),
        None => {
            let threshold = view.attr("threshold")?;
            let threshold = match threshold.as_str() {
                Ok(_) if want == Method::Proba => 0.5,
                Ok(_) => 0.0,
                Err(_) => threshold.as_f64()?,
            };
            (threshold, some_attr(view, "pos_label")?.map(|label| class(&label, &labels)).transpose()?)
        }
    };
    let targets = Targets { samples: Vec::new(), table: Vec::new(), ..member.targets.clone() };
    let step = run::Threshold { member, want, threshold, first: positive == Some(0) };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// Scores that speak of a positive class, and mean 1 where nothing else is said.
const SPEAKS: &[&str] =
    &["average_precision_score", "f1_score", "fbeta_score", "jaccard_score", "precision_score", "recall_score"];

/// The class that a score counts as positive; `None` where it does not say, and the second one is meant.
fn pos_label(scorer: &View<'_>, labels: &Labels) -> Result<Option<usize>, Error> {
    let arguments = scorer.attr("_kwargs")?;
    match arguments.get("pos_label")? {
        Some(label) => label.some().map(|label| class(&label, labels)).transpose(),
        None => {
            let score = scorer.attr("_score_func")?;
            let name = score.class().map(|class| class.name.as_str()).unwrap_or_default();
            let speaks = SPEAKS.contains(&name);
            let one = (0..2).find(|class| labels.key(*class) == Key::Int(1));
            match (speaks, one) {
                (true, None) => {
                    Err(Error::state(score.path(), "takes 1 as the positive class, which is not one of the classes"))
                }
                (true, one) => Ok(one),
                (false, _) => Ok(None),
            }
        }
    }
}

fn class(label: &View<'_>, labels: &Labels) -> Result<usize, Error> {
    let text = label.as_text();
    let key = match (&text, label.as_i64(), label.as_f64()) {
        (Ok(text), ..) => Key::Text(text),
        (_, Ok(int), _) => Key::Int(int),
        (_, _, Ok(float)) => Key::Float(float.to_bits()),
        _ => return Err(label.expected("a class label").into()),
    };
    let found = (0..labels.len()).find(|class| labels.key(*class) == key);
    found.ok_or_else(|| Error::state(label.path(), "is not a class that was learned"))
}

mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Threshold {
        pub(super) member: Member,
        /// The answer that is compared.
        pub(super) want: Method,
        pub(super) threshold: f64,
        /// Whether the first class is the positive one.
        pub(super) first: bool,
    }

    impl Predict for Threshold {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            if want != Method::Predict {
                return self.member.step.answer(x, want, run);
            }
            let mut scores = self.member.numbers(x, self.want, run);
            let positive = match (self.first, scores.as_mut_slice()) {
                (true, [only]) => only.iter().map(|score| -score).collect(),
                (true, all) => all.first_mut().map(std::mem::take).unwrap_or_default(),
                (false, all) => all.last_mut().map(std::mem::take).unwrap_or_default(),
            };
            let class = |score: f64| u32::from((score >= self.threshold) != self.first);
            Answer::Class(vec![positive.into_iter().map(class).collect()])
        }
    }
}
