//! Feature selectors: which columns each of them keeps, and the step that keeps them.

mod from_model;
mod importance;
mod refitted;
mod univariate;

use foretell_pickle::{Entry, View};

use crate::attributes::{feature_names, version};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::matrix::Matrix;
use crate::step::{Run, Step, Transform};
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "feature selection",
    classes: &[
        ("sklearn.feature_selection._from_model", "SelectFromModel"),
        ("sklearn.feature_selection._rfe", "RFE"),
        ("sklearn.feature_selection._rfe", "RFECV"),
        ("sklearn.feature_selection._sequential", "SequentialFeatureSelector"),
        ("sklearn.feature_selection._univariate_selection", "GenericUnivariateSelect"),
        ("sklearn.feature_selection._univariate_selection", "SelectFdr"),
        ("sklearn.feature_selection._univariate_selection", "SelectFpr"),
        ("sklearn.feature_selection._univariate_selection", "SelectFwe"),
        ("sklearn.feature_selection._univariate_selection", "SelectKBest"),
        ("sklearn.feature_selection._univariate_selection", "SelectPercentile"),
        ("sklearn.feature_selection._variance_threshold", "VarianceThreshold"),
        ("sklearn.feature_selection.from_model", "SelectFromModel"),
        ("sklearn.feature_selection.rfe", "RFE"),
        ("sklearn.feature_selection.rfe", "RFECV"),
        ("sklearn.feature_selection.univariate_selection", "GenericUnivariateSelect"),
        ("sklearn.feature_selection.univariate_selection", "SelectFdr"),
        ("sklearn.feature_selection.univariate_selection", "SelectFpr"),
        ("sklearn.feature_selection.univariate_selection", "SelectFwe"),
        ("sklearn.feature_selection.univariate_selection", "SelectKBest"),
        ("sklearn.feature_selection.univariate_selection", "SelectPercentile"),
        ("sklearn.feature_selection.variance_threshold", "VarianceThreshold"),
        ("sklearn2pmml.feature_selection", "SelectUnique"),
    ],
    globals: &[
        Entry::inert("sklearn.feature_selection._univariate_selection", "chi2"),
        Entry::inert("sklearn.feature_selection._univariate_selection", "f_classif"),
        Entry::inert("sklearn.feature_selection._univariate_selection", "f_regression"),
        Entry::inert("sklearn.feature_selection._univariate_selection", "r_regression"),
        Entry::inert("sklearn.feature_selection.univariate_selection", "chi2"),
        Entry::inert("sklearn.feature_selection.univariate_selection", "f_classif"),
        Entry::inert("sklearn.feature_selection.univariate_selection", "f_regression"),
        Entry::inert("sklearn.feature_selection._mutual_info", "mutual_info_classif"),
        Entry::inert("sklearn.feature_selection._mutual_info", "mutual_info_regression"),
        Entry::inert("sklearn.feature_selection.mutual_info_", "mutual_info_classif"),
        Entry::inert("sklearn.feature_selection.mutual_info_", "mutual_info_regression"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    match view.class().map(|class| class.name.as_str()).unwrap_or_default() {
        "VarianceThreshold" => variance(loader, view, given),
        "SelectFromModel" => from_model::load(loader, view, given),
        "SelectUnique" => keep(loader, view, given, &view.attr("support_mask_")?.array()?.bools()?, true),
        "RFE" | "RFECV" | "SequentialFeatureSelector" => refitted::load(loader, view, given),
        _ => univariate::load(loader, view, given),
    }
}

/// `VarianceThreshold`: the features that vary more than the threshold.
fn variance(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let threshold = view.attr("threshold")?.as_f64()?;
    let variances = view.attr("variances_")?.array()?.f64s()?;
    let mask: Vec<bool> = variances.iter().map(|variance| *variance > threshold).collect();
    let allows_nan = version(view)?.is_some_and(|version| version >= (0, 22));
    keep(loader, view, given, &mask, allows_nan)
}

/// Keeps the columns of `mask`. Where a selector lets NaN through it looks at no value at all.
fn keep(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    mask: &[bool],
    allows_nan: bool,
) -> Result<Loaded, Error> {
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, mask.len(), names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let class = view.class().map(|class| class.name.as_str()).unwrap_or_default();
    let finite = (!allows_nan).then(|| Finite::new(class, &sources, false, false));
    let picked: Vec<usize> = mask.iter().enumerate().filter(|(_, kept)| **kept).map(|(col, _)| col).collect();
    let out = sources.into_iter().zip(mask).filter(|(_, kept)| **kept).map(|(source, _)| source).collect();
    Ok(Loaded {
        step: Step::Transform(Box::new(Select { picked, finite })),
        out: Out::Table(out),
        report: Default::default(),
    })
}

#[derive(Debug)]
struct Select {
    picked: Vec<usize>,
    finite: Option<Finite>,
}

impl Transform for Select {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        if let Some(finite) = &self.finite {
            finite.check(&x, run);
        }
        let picked = x.select_of_array(&self.picked);
        match picked {
            // The library makes one array of the columns, whatever types they have.
            Matrix::Frame(_) => picked.clone().into_dense().map_or(picked, Matrix::Dense),
            other => other,
        }
    }
}
