//! `StackingClassifier` and `StackingRegressor`: the answers of several estimators are the columns of a last one, the
//! input behind them where it passes through.

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{self, flag};
use crate::families::shared::members::{Member, Members, codes, members, named, names, predictor};
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, Output, StepReport};

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
        return Err(Error::counts(view.path(), (methods.len(), "methods"), (members.len(), "estimators")));
    }
    let mut parts = Vec::new();
    let mut columns = Vec::new();
    let mut table = Vec::new();
    for ((member, method), child) in members.into_iter().zip(&methods).zip(&children) {
        let want = want(method)?;
        let outputs = member.outputs(want);
        if outputs.is_empty() || (want == Method::Predict && member.targets.labels.iter().any(is_text)) {
            return Err(Error::state(method.path(), "the estimator has no such answer that is a number"));
        }
        let left_out = left_out(&member, want, &labels);
        let stem = child.name.clone().unwrap_or_default();
        let kept: Vec<&Output> = outputs
            .iter()
            .enumerate()
            .filter(|(index, _)| !left_out.contains(index))
            .map(|(_, output)| output)
            .collect();
        table.extend(names(view, &stem, kept.len()));
        columns.extend(kept.into_iter().map(|output| Source::made(format!("{stem}_{}", output.name))));
        parts.push(run::StackPart { member, want, left_out });
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
    let (codes, mut targets) = match labels.as_slice() {
        [] => (Vec::new(), last.targets.clone()),
        [_] => classifier(view, &last, labels)?,
        _ => classifiers(view, &last, labels)?,
    };
    let firsts = if codes.len() > 1 { firsts(&last.targets.labels) } else { Vec::new() };
    (targets.samples, targets.table) = (Vec::new(), table);
    let step = run::Stacking { parts, passes, last, codes, firsts };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

fn is_text(labels: &Labels) -> bool {
    matches!(labels, Labels::Text(_))
}

/// The classes of each target; empty for a regression.
fn labels(view: &View<'_>) -> Result<Vec<Labels>, Error> {
    if view.class().is_some_and(|class| class.name == "StackingRegressor") {
        return Ok(Vec::new());
    }
    let classes = view.attr("classes_")?;
    let all = match classes.array() {
        Ok(_) => vec![attributes::labels(&classes)?],
        Err(_) => classes.items()?.iter().map(attributes::labels).collect::<Result<_, _>>()?,
    };
    if all.is_empty() {
        return Err(Error::state(classes.path(), "there is no target"));
    }
    Ok(all)
}

/// Where the first class of each target stands among the probabilities of several.
fn firsts(labels: &[Labels]) -> Vec<usize> {
    let place = |place: &mut usize, labels: &Labels| {
        let first = *place;
        *place = place.saturating_add(labels.len());
        Some(first)
    };
    labels.iter().scan(0, place).collect()
}

/// Columns of an estimator's answer that the last one is not given: the first class's probability tells nothing that
/// those of the others do not. Of probabilities by target that is so for each; of those in one table only where there
/// are two classes, for which the library takes two targets as well.
fn left_out(member: &Member, want: Method, labels: &[Labels]) -> Vec<usize> {
    let of_member = &member.targets.labels;
    let columns: usize = of_member.iter().map(Labels::len).fold(0, usize::saturating_add);
    let count = if let [only] = labels { only.len() } else { labels.len() };
    match want {
        Method::Proba if labels.len() > 1 && member.targets.proba.len() == columns => firsts(of_member),
        Method::Proba if count == 2 => vec![0],
        _ => Vec::new(),
    }
}

fn want(method: &View<'_>) -> Result<Method, Error> {
    match method.as_str()? {
        "predict" => Ok(Method::Predict),
        "predict_proba" => Ok(Method::Proba),
        "decision_function" => Ok(Method::Decision),
        other => {
            let supported = "predict, predict_proba, decision_function";
            Err(Error::unsupported(method.path(), format!("stack_method {other}"), supported))
        }
    }
}

/// The last estimator was trained on codes: what it answers, said by the labels.
fn classifier(view: &View<'_>, last: &Member, labels: Vec<Labels>) -> Result<(Vec<Vec<u32>>, Targets), Error> {
    let (Some(known), [own]) = (last.labels(), labels.as_slice()) else {
        return Err(Error::no_such_answer(view.path(), "the final estimator", "one class a row"));
    };
    let codes = codes(view, known, own.len())?;
    let texts: Vec<String> =
        codes.iter().filter_map(|code| usize::try_from(*code).ok()).map(|code| own.text(code)).collect();
    let mut targets = last.targets.clone();
    for output in &mut targets.predict {
        output.data_type = own.data_type();
    }
    for (outputs, stem) in [(&mut targets.proba, "proba"), (&mut targets.decision, "decision")] {
        if outputs.len() == texts.len() {
            for (output, text) in outputs.iter_mut().zip(&texts) {
                output.name = format!("{stem}_{text}");
                output.class = Some(text.clone());
            }
        }
    }
    targets.labels = labels;
    Ok((vec![codes], targets))
}

/// The same of several targets. The library's `predict_proba` is the probability of each target's first class, and
/// there is none where the last estimator does not tell them by target.
fn classifiers(view: &View<'_>, last: &Member, labels: Vec<Labels>) -> Result<(Vec<Vec<u32>>, Targets), Error> {
    let known = &last.targets.labels;
    if known.len() != labels.len() {
        let message = format!("the final estimator has {} targets instead of {}", known.len(), labels.len());
        return Err(Error::state(view.path(), message));
    }
    let all = known.iter().zip(&labels).map(|(known, labels)| codes(view, known, labels.len()));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    let narrow = last.is_narrow(Method::Proba);
    let (firsts, columns) = (firsts(known), known.iter().map(Labels::len).fold(0, usize::saturating_add));
    let by_target = last.targets.proba.len() == columns;
    let mut targets = Targets::classes(labels, if narrow { DataType::Float32 } else { DataType::Float64 });
    let proba = std::mem::take(&mut targets.proba);
    if by_target {
        targets.proba =
            proba.into_iter().enumerate().filter(|(at, _)| firsts.contains(at)).map(|(_, one)| one).collect();
    }
    targets.decision.clone_from(&last.targets.decision);
    Ok((all, targets))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::families::shared::side_by_side::side_by_side;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct StackPart {
        pub(super) member: Member,
        pub(super) want: Method,
        /// Columns of the answer that are not handed on.
        pub(super) left_out: Vec<usize>,
    }

    #[derive(Debug)]
    pub(super) struct Stacking {
        pub(super) parts: Vec<StackPart>,
        pub(super) passes: bool,
        pub(super) last: Member,
        /// The class that each class of the last estimator stands for, by target; empty for regressions.
        pub(super) codes: Vec<Vec<u32>>,
        /// Which of its probabilities are told, where there are several targets.
        pub(super) firsts: Vec<usize>,
    }

    impl Predict for Stacking {
        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let mut parts = Vec::new();
            for part in &self.parts {
                let columns = part.member.numbers(x.clone(), part.want, run);
                let kept = columns.into_iter().enumerate().filter(|(index, _)| !part.left_out.contains(index));
                let columns: Vec<Vec<f64>> = kept.map(|(_, column)| column).collect();
                let (cols, narrow) = (columns.len(), part.member.is_narrow(part.want));
                parts.push(Matrix::Dense(Dense { data: columns.concat(), rows, cols, narrow }).into());
            }
            let sparse = self.passes && matches!(x, Matrix::Csr(_));
            if self.passes {
                parts.push(x.into());
            }
            side_by_side(parts, rows, sparse)
        }

        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let answer = self.last.step.answer(self.table(x, run), want, run);
            match answer {
                Answer::Class(all) if !self.codes.is_empty() => {
                    let code = |(column, codes): (Vec<u32>, &Vec<u32>)| {
                        column.into_iter().map(|class| codes[class as usize]).collect()
                    };
                    Answer::Class(all.into_iter().zip(&self.codes).map(code).collect())
                }
                answer if want != Method::Proba || self.firsts.is_empty() => answer,
                Answer::F32(all) => Answer::F32(self.firsts.iter().map(|first| all[*first].clone()).collect()),
                Answer::F64(all) => Answer::F64(self.firsts.iter().map(|first| all[*first].clone()).collect()),
                answer => answer,
            }
        }
    }
}
