//! `VarianceThreshold`: the features that vary more than the threshold.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_pickle::View;

use super::{Family, select};
use crate::Error;
use crate::loader::{Loaded, Loader, Source, version};

pub(crate) const FAMILY: Family = Family {
    name: "VarianceThreshold",
    classes: &[
        ("sklearn.feature_selection._variance_threshold", "VarianceThreshold"),
        ("sklearn.feature_selection.variance_threshold", "VarianceThreshold"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let threshold = view.attr("threshold")?.as_f64()?;
    let variances = view.attr("variances_")?.array()?.f64s()?;
    let mask: Vec<bool> = variances.iter().map(|variance| *variance > threshold).collect();
    let allows_nan = version(view)?.is_some_and(|version| version >= (0, 22));
    select::columns(loader, view, given, &mask, allows_nan)
}
