//! `StackingClassifier` and `StackingRegressor`: the answers of several estimators are the columns of a last one, the
//! input behind them where it passes through.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_pickle::{Entry, View};

use super::Family;
use super::inner::{Member, Members, codes, members, named, names, predictor};
use crate::labels::Labels;
use crate::loader::{self, Loaded, Loader, Out, Source, Targets, flag};
use crate::step::Step;
use crate::{Error, StepReport, Want};

pub(crate) const FAMILY: Family = Family {
    name: "stacking",
    classes: &[
        ("sklearn.ensemble._stacking", "StackingClassifier"),
        ("sklearn.ensemble._stacking", "StackingRegressor"),
    ],
    globals: &[
        Entry::class("sklearn.preprocessing._label", "LabelEncoder"),
        Entry::class("sklearn.utils", "Bunch").with_items(),
        Entry::class("sklearn.utils._bunch", "Bunch").with_items(),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let Members { all: members, reports: mut children, sources } = members(loader, view, given, &named(view)?)?;
    let labels = labels(view)?;
    let methods = view.attr("stack_method_")?.items()?;
    if methods.len() != members.len() {
        let message = format!("{} methods for {} estimators", methods.len(), members.len());
        return Err(Error::state(view.path(), message));
    }
    let mut parts = Vec::new();
    let mut columns = Vec::new();
    let mut table = Vec::new();
    for ((member, method), child) in members.into_iter().zip(&methods).zip(&children) {
        let want = want(method)?;
        let outputs = member.outputs(want);
        if outputs.is_empty() || (want == Want::Predict && member.targets.labels.iter().any(is_text)) {
            return Err(Error::state(method.path(), "the estimator has no such answer that is a number"));
        }
        // Of two classes the first one's probability tells nothing that the second one's does not.
        let skip = usize::from(want == Want::Proba && labels.as_ref().is_some_and(|labels| labels.len() == 2));
        let stem = child.name.clone().unwrap_or_default();
        let outputs = outputs.iter().skip(skip);
        table.extend(names(view, &stem, outputs.len()));
        columns.extend(outputs.map(|output| Source::made(format!("{stem}_{}", output.name))));
        parts.push(run::Part { member, want, skip });
    }
    let passes = flag(view, "passthrough", false)?;
    if passes {
        columns.extend(sources.iter().cloned());
        table.extend(sources);
    }
    let last = view.attr("final_estimator_")?;
    let mut loaded = loader.load(&last, Some(&columns))?;
    loaded.report.name = Some("final_estimator".to_string());
    let (last, report) = predictor(loaded, &last)?;
    children.push(report);
    let (codes, mut targets) = match labels {
        None => (None, last.targets.clone()),
        Some(labels) => classifier(view, &last, labels)?,
    };
    (targets.samples, targets.table) = (Vec::new(), table);
    let step = run::Stacking { parts, passes, last, codes };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

fn is_text(labels: &Labels) -> bool {
    matches!(labels, Labels::Text(_))
}

/// The classes; nothing for a regression.
fn labels(view: &View<'_>) -> Result<Option<Labels>, Error> {
    if view.class().is_some_and(|class| class.name == "StackingRegressor") {
        return Ok(None);
    }
    let classes = view.attr("classes_")?;
    if classes.array().is_err() {
        return Err(Error::unsupported(classes.path(), "several targets", "StackingClassifier of one target"));
    }
    loader::labels(&classes).map(Some)
}

fn want(method: &View<'_>) -> Result<Want, Error> {
    match method.as_str()? {
        "predict" => Ok(Want::Predict),
        "predict_proba" => Ok(Want::Proba),
        "decision_function" => Ok(Want::Decision),
        other => {
            let supported = "predict, predict_proba, decision_function";
            Err(Error::unsupported(method.path(), format!("stack_method {other}"), supported))
        }
    }
}

/// The last estimator was trained on codes: what it answers, said by the labels.
fn classifier(view: &View<'_>, last: &Member, labels: Labels) -> Result<(Option<Vec<u32>>, Targets), Error> {
    let Some(known) = last.labels() else {
        return Err(Error::state(view.path(), "the final estimator does not give one class a row"));
    };
    let codes = codes(view, known, labels.len())?;
    let texts: Vec<String> =
        codes.iter().filter_map(|code| usize::try_from(*code).ok()).map(|code| labels.text(code)).collect();
    let mut targets = last.targets.clone();
    for output in &mut targets.predict {
        output.data_type = labels.data_type();
    }
    for (outputs, stem) in [(&mut targets.proba, "proba"), (&mut targets.decision, "decision")] {
        if outputs.len() == texts.len() {
            for (output, text) in outputs.iter_mut().zip(&texts) {
                output.name = format!("{stem}_{text}");
                output.class = Some(text.clone());
            }
        }
    }
    targets.labels = vec![labels];
    Ok((Some(codes), targets))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Want;
    use crate::families::column_transformer::side_by_side;
    use crate::families::inner::Member;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Part {
        pub(super) member: Member,
        pub(super) want: Want,
        /// How many of the answer's columns are left out.
        pub(super) skip: usize,
    }

    #[derive(Debug)]
    pub(super) struct Stacking {
        pub(super) parts: Vec<Part>,
        pub(super) passes: bool,
        pub(super) last: Member,
        /// The class that each class of the last estimator stands for; none for regressions.
        pub(super) codes: Option<Vec<u32>>,
    }

    impl Predict for Stacking {
        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let mut parts = Vec::new();
            for part in &self.parts {
                let columns = part.member.numbers(x.clone(), part.want, run);
                let columns: Vec<Vec<f64>> = columns.into_iter().skip(part.skip).collect();
                let (cols, narrow) = (columns.len(), part.member.is_narrow(part.want));
                parts.push(Matrix::Dense(Dense { data: columns.concat(), rows, cols, narrow }));
            }
            let sparse = self.passes && matches!(x, Matrix::Csr(_));
            if self.passes {
                parts.push(x);
            }
            side_by_side(parts, rows, sparse)
        }

        fn answer(&self, x: Matrix, want: Want, run: &mut Run) -> Answer {
            let answer = self.last.step.answer(self.table(x, run), want, run);
            match (answer, &self.codes) {
                (Answer::Class(all), Some(codes)) => {
                    let one = |column: Vec<u32>| column.into_iter().map(|class| codes[class as usize]).collect();
                    Answer::Class(all.into_iter().map(one).collect())
                }
                (answer, _) => answer,
            }
        }
    }
}
