//! `RFE`, `RFECV` and `SequentialFeatureSelector`: the features that fitting again and again left over. As the
//! model itself or a pipeline's last step an `RFE` predicts with the estimator that was fitted last.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_pickle::View;

use super::{Family, importance, select};
use crate::Error;
use crate::loader::{Loaded, Loader, Out, Source, some_attr};
use crate::step::{Chain, Step};

pub(crate) const FAMILY: Family = Family {
    name: "selection by fitting again",
    classes: &[
        ("sklearn.feature_selection._rfe", "RFE"),
        ("sklearn.feature_selection._rfe", "RFECV"),
        ("sklearn.feature_selection._sequential", "SequentialFeatureSelector"),
        ("sklearn.feature_selection.rfe", "RFE"),
        ("sklearn.feature_selection.rfe", "RFECV"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let answers = loader.answers();
    let mask = view.attr("support_")?.array()?.bools()?;
    let allows_nan = importance::allows_nan(&view.attr("estimator")?)?;
    let selected = select::columns(loader, view, given, &mask, allows_nan)?;
    let Some(estimator) = some_attr(view, "estimator_")?.filter(|_| answers) else {
        return Ok(selected);
    };
    let (Step::Transform(select), Out::Table(columns)) = (selected.step, selected.out) else {
        return Err(Error::state(view.path(), "does not transform"));
    };
    let loaded = loader.load(&estimator, Some(&columns))?;
    let (Step::Predict(last), Out::Answers(targets)) = (loaded.step, loaded.out) else {
        return Err(Error::state(estimator.path(), "transforms, where a predictor is needed"));
    };
    let mut report = selected.report;
    report.class = view.class().map(|class| class.to_string()).unwrap_or_default();
    report.children.push(loaded.report);
    let step = Chain { transforms: vec![select], last: Some(last) };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}
