//! `GridSearchCV` and its kin, `FrozenEstimator`, `RANSACRegressor`, `SelfTrainingClassifier`, proxies of sklearn2pmml: what they found or hold
//! answers for them.

use foretell_pickle::View;

use crate::Error;
use crate::attributes::{feature_names, some_attr};
use crate::families::shared::searches::SEARCHES;
use crate::family::Family;
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;

pub(crate) const FAMILY: Family = Family {
    name: "searches and others that hold an estimator",
    classes: &[
        ("category_encoders.wrapper", "NestedCVWrapper"),
        ("sklearn.frozen._frozen", "FrozenEstimator"),
        ("sklearn.grid_search", "GridSearchCV"),
        ("sklearn.grid_search", "RandomizedSearchCV"),
        ("sklearn.linear_model._ransac", "RANSACRegressor"),
        ("sklearn.linear_model.ransac", "RANSACRegressor"),
        ("sklearn.model_selection._search", "GridSearchCV"),
        ("sklearn.model_selection._search", "RandomizedSearchCV"),
        ("sklearn.model_selection._search_successive_halving", "HalvingGridSearchCV"),
        ("sklearn.model_selection._search_successive_halving", "HalvingRandomSearchCV"),
        ("sklearn.semi_supervised._self_training", "SelfTrainingClassifier"),
        ("sklearn2pmml", "EstimatorProxy"),
        ("sklearn2pmml", "SelectorProxy"),
        ("sklearn2pmml.ensemble", "Link"),
    ],
    globals: SEARCHES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let attributes: &[&'static str] = match view.class().map(|class| class.name.as_str()) {
        // Before sklearn2pmml 0.60 what was fitted was a copy.
        Some("EstimatorProxy") => &["estimator_", "estimator"],
        Some("SelectorProxy") => &["selector_", "selector"],
        Some("FrozenEstimator") => &["estimator"],
        Some("NestedCVWrapper") => &["feature_encoder"],
        Some("Link" | "RANSACRegressor") => &["estimator_"],
        Some("SelfTrainingClassifier") => &["estimator_", "base_estimator_"],
        _ => &["best_estimator_"],
    };
    let mut found = None;
    for attribute in attributes {
        found = match found {
            None => some_attr(view, attribute)?.map(|inside| (*attribute, inside)),
            found => found,
        };
    }
    let Some((attribute, inside)) = found else {
        let message = "holds no fitted estimator: a search with `refit=False` keeps none";
        return Err(Error::state(view.path(), message));
    };
    let own = match (given, feature_names(view)?) {
        (None, Some(names)) => Some(loader.own_sources(names.len(), Some(names))?),
        _ => None,
    };
    let mut loaded = loader.load(&inside, given.or(own.as_deref()))?;
    loaded.report.name = Some(attribute.to_string());
    let child = std::mem::take(&mut loaded.report);
    loaded.report.children.push(child);
    Ok(loaded)
}
