//! imbalanced-learn's samplers: they change what is trained on, and a pipeline skips them when it predicts.

use foretell_pickle::{Entry, View};

use crate::Error;
use crate::family::Family;
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;

pub(crate) const FAMILY: Family = Family {
    name: "samplers of imbalanced-learn (skipped)",
    classes: &[
        ("imblearn.base", "FunctionSampler"),
        ("imblearn.combine._smote_enn", "SMOTEENN"),
        ("imblearn.combine._smote_tomek", "SMOTETomek"),
        ("imblearn.over_sampling._adasyn", "ADASYN"),
        ("imblearn.over_sampling._random_over_sampler", "RandomOverSampler"),
        ("imblearn.over_sampling._smote", "BorderlineSMOTE"),
        ("imblearn.over_sampling._smote", "KMeansSMOTE"),
        ("imblearn.over_sampling._smote", "SMOTE"),
        ("imblearn.over_sampling._smote", "SMOTENC"),
        ("imblearn.over_sampling._smote", "SVMSMOTE"),
        ("imblearn.over_sampling._smote.base", "SMOTE"),
        ("imblearn.over_sampling._smote.base", "SMOTEN"),
        ("imblearn.over_sampling._smote.base", "SMOTENC"),
        ("imblearn.over_sampling._smote.cluster", "KMeansSMOTE"),
        ("imblearn.over_sampling._smote.filter", "BorderlineSMOTE"),
        ("imblearn.over_sampling._smote.filter", "SVMSMOTE"),
        ("imblearn.under_sampling._prototype_generation._cluster_centroids", "ClusterCentroids"),
        ("imblearn.under_sampling._prototype_selection._condensed_nearest_neighbour", "CondensedNearestNeighbour"),
        ("imblearn.under_sampling._prototype_selection._edited_nearest_neighbours", "AllKNN"),
        ("imblearn.under_sampling._prototype_selection._edited_nearest_neighbours", "EditedNearestNeighbours"),
        ("imblearn.under_sampling._prototype_selection._edited_nearest_neighbours", "RepeatedEditedNearestNeighbours"),
        ("imblearn.under_sampling._prototype_selection._instance_hardness_threshold", "InstanceHardnessThreshold"),
        ("imblearn.under_sampling._prototype_selection._nearmiss", "NearMiss"),
        ("imblearn.under_sampling._prototype_selection._neighbourhood_cleaning_rule", "NeighbourhoodCleaningRule"),
        ("imblearn.under_sampling._prototype_selection._one_sided_selection", "OneSidedSelection"),
        ("imblearn.under_sampling._prototype_selection._random_under_sampler", "RandomUnderSampler"),
        ("imblearn.under_sampling._prototype_selection._tomek_links", "TomekLinks"),
    ],
    globals: &[
        // What samplers searched for neighbours with; what else they hold, other families list.
        Entry::class("sklearn.neighbors._unsupervised", "NearestNeighbors"),
    ],
    load,
};

/// Whether a step of a pipeline is a sampler.
pub(super) fn is_sampler(view: &View<'_>) -> bool {
    let class = view.class().map(|class| (class.module.as_str(), class.name.as_str()));
    class.is_some_and(|class| FAMILY.classes.contains(&class))
}

fn load(_loader: &mut Loader<'_>, view: &View<'_>, _given: Option<&[Source]>) -> Result<Loaded, Error> {
    Err(Error::state(view.path(), "is a sampler, which does something in training only"))
}
