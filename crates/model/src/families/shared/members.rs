//! Estimators inside estimators: loaded with the same columns, and asked for numbers or classes.

use std::collections::HashMap;

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{feature_names, some_attr};
use crate::labels::{Key, Labels};
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::matrix::Matrix;
use crate::step::{Answer, Predict, Run, Step};
use crate::{Error, Method, Output, StepReport};

/// A predictor inside another estimator.
#[derive(Debug)]
pub(in crate::families) struct Member {
    pub(in crate::families) step: Box<dyn Predict>,
    pub(in crate::families) targets: Targets,
}

impl Member {
    pub(in crate::families) fn outputs(&self, want: Method) -> &[Output] {
        match want {
            Method::Predict => &self.targets.predict,
            Method::Proba => &self.targets.proba,
            Method::Decision => &self.targets.decision,
            Method::Samples => &self.targets.samples,
            Method::Transform | Method::Contribs | Method::Reasons | Method::Leaves => &[],
        }
    }

    /// Whether the library would hold float32 in this answer.
    pub(in crate::families) fn is_narrow(&self, want: Method) -> bool {
        self.outputs(want).iter().all(|output| output.data_type == DataType::Float32)
    }

    /// The classes, where there is one target with classes.
    pub(in crate::families) fn labels(&self) -> Option<&Labels> {
        match self.targets.labels.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// An answer as numbers: classes that are numbers stand for themselves.
    pub(in crate::families) fn numbers(&self, x: Matrix, want: Method, run: &mut Run) -> Vec<Vec<f64>> {
        match self.step.answer(x, want, run) {
            Answer::F64(all) => all,
            Answer::F32(all) => all.into_iter().map(|one| one.into_iter().map(f64::from).collect()).collect(),
            Answer::Class(all) => {
                let one = |(codes, labels): (&Vec<u32>, &Labels)| {
                    let values: Vec<f64> = (0..labels.len()).map(|class| labels.number(class)).collect();
                    codes.iter().map(|code| values.get(*code as usize).copied().unwrap_or(f64::NAN)).collect()
                };
                all.iter().zip(&self.targets.labels).map(one).collect()
            }
            Answer::Ints(all) => all.into_iter().map(|one| one.into_iter().map(|int| int as f64).collect()).collect(),
            Answer::Texts(all) => all.into_iter().map(|one| vec![f64::NAN; one.len()]).collect(),
        }
    }

    /// The predicted classes of the only target, as indices into its labels.
    pub(in crate::families) fn classes(&self, x: Matrix, run: &mut Run) -> Vec<u32> {
        let rows = x.rows();
        match self.step.answer(x, Method::Predict, run) {
            Answer::Class(mut all) if all.len() == 1 => all.pop().unwrap_or_default(),
            _ => vec![0; rows],
        }
    }
}

/// Where each class of `inner` stands among the classes of `outer`.
pub(in crate::families) fn places(view: &View<'_>, inner: &Labels, outer: &Labels) -> Result<Vec<u32>, Error> {
    let known: HashMap<Key<'_>, u32> = (0..outer.len()).map(|class| outer.key(class)).zip(0..).collect();
    let all: Option<Vec<u32>> = (0..inner.len()).map(|class| known.get(&inner.key(class)).copied()).collect();
    all.ok_or_else(|| Error::state(view.path(), "knows a class that the estimator around it does not know"))
}

/// For estimators that were trained on codes: the code that each class of `inner` is, below `count`.
pub(in crate::families) fn codes(view: &View<'_>, inner: &Labels, count: usize) -> Result<Vec<u32>, Error> {
    places(view, inner, &Labels::counted(count))
}

/// The columns of an estimator that hands them on as they are: those given, or at the root its own where it knows
/// their names. `None` where the first estimator inside has to tell.
fn columns(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Option<Vec<Source>>, Error> {
    if let Some(given) = given {
        return Ok(Some(given.to_vec()));
    }
    match feature_names(view)? {
        Some(names) => loader.own_sources(names.len(), Some(names)).map(Some),
        None => Ok(None),
    }
}

/// The columns of an estimator that makes an array of them: those given, or at the root its own, whose number it
/// knows.
pub(in crate::families) fn array(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
) -> Result<Option<Vec<Source>>, Error> {
    if let Some(known) = columns(loader, view, given)? {
        return Ok(Some(known));
    }
    for key in ["n_features_in_", "n_features_", "_n_features"] {
        if let Some(count) = some_attr(view, key)? {
            return loader.own_sources(count.as_usize()?, None).map(Some);
        }
    }
    Ok(None)
}

/// The same where no estimator inside could tell it.
pub(in crate::families) fn sized_array(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
) -> Result<Vec<Source>, Error> {
    match array(loader, view, given)? {
        Some(known) => Ok(known),
        None => loader.own_sources(loader.width(view, None, None)?, None),
    }
}

/// Loads estimators that are all given the columns of the one around them.
pub(in crate::families) fn load_all<'o, T>(
    loader: &mut Loader<'o>,
    view: &View<'_>,
    given: Option<&[Source]>,
    estimators: &[(Option<String>, View<'_>)],
    load: impl Fn(&mut Loader<'o>, &View<'_>, Option<&[Source]>) -> Result<T, Error>,
) -> Result<(Vec<T>, Vec<Source>), Error> {
    let mut sources = columns(loader, view, given)?;
    let mut all = Vec::new();
    for (_, estimator) in estimators {
        all.push(load(loader, estimator, sources.as_deref())?);
        sources = sources.or_else(|| loader.own());
    }
    match sources {
        Some(sources) => Ok((all, sources)),
        None => Err(Error::state(view.path(), "has no estimator inside")),
    }
}

/// Predictors that are all given the same columns.
#[derive(Debug)]
pub(in crate::families) struct Members {
    pub(in crate::families) all: Vec<Member>,
    pub(in crate::families) reports: Vec<StepReport>,
    /// The columns that each of them is given.
    pub(in crate::families) sources: Vec<Source>,
}

/// The same as [`load_all`] for predictors; what they are called stands in the reports.
pub(in crate::families) fn members(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    estimators: &[(Option<String>, View<'_>)],
) -> Result<Members, Error> {
    let (loaded, sources) = load_all(loader, view, given, estimators, Loader::load)?;
    let mut members = Members { all: Vec::new(), reports: Vec::new(), sources };
    for (loaded, (name, estimator)) in loaded.into_iter().zip(estimators) {
        let (member, mut report) = predictor(loaded, estimator)?;
        report.name.clone_from(name);
        members.all.push(member);
        members.reports.push(report);
    }
    Ok(members)
}

/// A loaded estimator that must predict.
pub(in crate::families) fn predictor(loaded: Loaded, view: &View<'_>) -> Result<(Member, StepReport), Error> {
    match (loaded.step, loaded.out) {
        (Step::Predict(step), Out::Answers(targets)) => Ok((Member { step, targets }, loaded.report)),
        _ => Err(Error::WrongRole { place: view.path(), does: "transforms", needed: "predictor" }),
    }
}

/// Estimators without names of their own.
pub(in crate::families) fn nameless<'a>(estimators: Vec<View<'a>>) -> Vec<(Option<String>, View<'a>)> {
    estimators.into_iter().map(|estimator| (None, estimator)).collect()
}

/// The fitted estimators of `estimators_` beside the names of `estimators`, those dropped left out.
pub(in crate::families) fn named<'a>(view: &View<'a>) -> Result<Vec<(Option<String>, View<'a>)>, Error> {
    let fitted = view.attr("estimators_")?.items()?;
    let mut names = Vec::new();
    for pair in view.attr("estimators")?.items()? {
        if !is_dropped(&pair.item(1)?) {
            names.push(Some(pair.item(0)?.as_str()?.to_string()));
        }
    }
    if names.len() != fitted.len() {
        return Err(Error::counts(view.path(), (names.len(), "names"), (fitted.len(), "estimators")));
    }
    Ok(names.into_iter().zip(fitted).collect())
}

/// What the library calls the columns that an estimator gives to the table of the one around it.
pub(in crate::families) fn names(view: &View<'_>, estimator: &str, count: usize) -> Vec<Source> {
    let class = view.class().map(|class| class.name.to_lowercase()).unwrap_or_default();
    let name = |index: usize| match count {
        1 => format!("{class}_{estimator}"),
        _ => format!("{class}_{estimator}{index}"),
    };
    (0..count).map(|index| Source::made(name(index))).collect()
}

/// Whether a place for an estimator was left empty: `'drop'`, or `None` in old versions.
pub(in crate::families) fn is_dropped(view: &View<'_>) -> bool {
    view.is_none() || view.as_str().is_ok_and(|word| word == "drop")
}

/// The weights of those estimators that were not dropped.
pub(in crate::families) fn weights(view: &View<'_>, count: usize) -> Result<Option<Vec<f64>>, Error> {
    let Some(weights) = some_attr(view, "weights")? else { return Ok(None) };
    let all: Vec<f64> = match weights.array() {
        Ok(array) => array.f64s()?,
        Err(_) => weights.items()?.iter().map(View::as_f64).collect::<Result<_, _>>()?,
    };
    let estimators = view.attr("estimators")?.items()?;
    let mut kept = Vec::new();
    for (pair, weight) in estimators.iter().zip(all) {
        if !is_dropped(&pair.item(1)?) {
            kept.push(weight);
        }
    }
    if kept.len() != count {
        return Err(Error::counts(weights.path(), (kept.len(), "weights"), (count, "estimators")));
    }
    Ok(Some(kept))
}
