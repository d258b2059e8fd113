//! `GridSearchCV` and its kin, and `FrozenEstimator`: what they found or hold answers for them.

use foretell_pickle::View;

use crate::Error;
use crate::attributes::{feature_names, some_attr};
use crate::families::shared::searches::SEARCHES;
use crate::family::Family;
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;

pub(crate) const FAMILY: Family = Family {
    name: "searches and frozen estimators",
    classes: &[
        ("sklearn.frozen._frozen", "FrozenEstimator"),
        ("sklearn.grid_search", "GridSearchCV"),
        ("sklearn.grid_search", "RandomizedSearchCV"),
        ("sklearn.model_selection._search", "GridSearchCV"),
        ("sklearn.model_selection._search", "RandomizedSearchCV"),
        ("sklearn.model_selection._search_successive_halving", "HalvingGridSearchCV"),
        ("sklearn.model_selection._search_successive_halving", "HalvingRandomSearchCV"),
    ],
    globals: SEARCHES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let is_frozen = view.class().is_some_and(|class| class.name == "FrozenEstimator");
    let attribute = if is_frozen { "estimator" } else { "best_estimator_" };
    let Some(inside) = some_attr(view, attribute)? else {
        let message = "holds no fitted estimator: it was searched with `refit=False`";
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
