//! Which classes are known, family by family. A new family is one new file and two lines here.

pub(crate) mod ada_boost;
pub(crate) mod bagging;
pub(crate) mod binarizer;
pub(crate) mod calibration;
pub(crate) mod catboost;
pub(crate) mod category_encoders;
pub(crate) mod chains;
pub(crate) mod column_transformer;
pub(crate) mod count_vectorizer;
pub(crate) mod data_frame_mapper;
pub(crate) mod decomposition;
pub(crate) mod dict_vectorizer;
pub(crate) mod dictionary;
pub(crate) mod discriminant;
pub(crate) mod dummy;
pub(crate) mod ebm;
pub(crate) mod elliptic_envelope;
pub(crate) mod factor_analysis;
pub(crate) mod feature_engine;
pub(crate) mod feature_hasher;
pub(crate) mod feature_selection;
pub(crate) mod feature_union;
pub(crate) mod flaml;
pub(crate) mod forest;
pub(crate) mod function_transformer;
pub(crate) mod gaussian_mixture;
pub(crate) mod gaussian_process;
pub(crate) mod gradient_boosting;
pub(crate) mod hashing_vectorizer;
pub(crate) mod hist_gradient_boosting;
pub(crate) mod isolation_forest;
pub(crate) mod isotonic;
pub(crate) mod iterative_imputer;
pub(crate) mod k_bins;
pub(crate) mod k_means;
pub(crate) mod kernel_density;
pub(crate) mod kernel_maps;
pub(crate) mod kernel_ridge;
pub(crate) mod kernel_samplers;
pub(crate) mod knn_imputer;
pub(crate) mod label_binarizer;
pub(crate) mod label_encoder;
pub(crate) mod label_propagation;
pub(crate) mod lightgbm;
pub(crate) mod linear;
pub(crate) mod linear_outliers;
pub(crate) mod local_outlier_factor;
pub(crate) mod manifold;
pub(crate) mod missing_indicator;
pub(crate) mod mlp;
pub(crate) mod mlxtend;
pub(crate) mod multi_label_binarizer;
pub(crate) mod multi_output;
pub(crate) mod naive_bayes;
pub(crate) mod nearest_centroid;
pub(crate) mod nearest_neighbors;
pub(crate) mod neighbors;
pub(crate) mod ngboost;
pub(crate) mod nmf;
pub(crate) mod normalizer;
pub(crate) mod one_hot_encoder;
pub(crate) mod one_hot_of_integers;
pub(crate) mod one_vs_one;
pub(crate) mod one_vs_rest;
pub(crate) mod onnx;
pub(crate) mod optbinning;
pub(crate) mod ordinal_encoder;
pub(crate) mod output_code;
pub(crate) mod pipeline;
pub(crate) mod pls;
pub(crate) mod pmml;
pub(crate) mod pmml_columns;
pub(crate) mod pmml_domains;
pub(crate) mod pmml_leaves;
pub(crate) mod pmml_preprocessing;
pub(crate) mod pmml_spline;
pub(crate) mod pmml_texts;
pub(crate) mod polynomial_features;
pub(crate) mod power_transformer;
pub(crate) mod projections;
pub(crate) mod pycaret;
pub(crate) mod quantile_transformer;
pub(crate) mod radius_neighbors;
pub(crate) mod random_projection;
pub(crate) mod samplers;
pub(crate) mod scalers;
pub(crate) mod scikit_lego;
pub(crate) mod search;
pub(crate) mod simple_imputer;
pub(crate) mod spline_transformer;
pub(crate) mod stacking;
pub(crate) mod statsmodels;
pub(crate) mod svm;
pub(crate) mod target_encoder;
pub(crate) mod tfidf_transformer;
pub(crate) mod thresholds;
pub(crate) mod topics;
mod tpot;
pub(crate) mod transformed_target;
pub(crate) mod trees_embedding;
pub(crate) mod voting;
pub(crate) mod xgboost;

mod shared;

use std::sync::LazyLock;

use foretell_pickle::{Allow, Entry};

use crate::family::Family;
use crate::loader::Lookup;
use crate::pandas;
use shared::not_scored;

/// Every family of estimators.
pub const FAMILIES: &[Family] = &[
    ada_boost::FAMILY,
    bagging::FAMILY,
    binarizer::FAMILY,
    calibration::FAMILY,
    catboost::FAMILY,
    category_encoders::FAMILY,
    chains::FAMILY,
    column_transformer::FAMILY,
    count_vectorizer::FAMILY,
    data_frame_mapper::FAMILY,
    decomposition::FAMILY,
    dict_vectorizer::FAMILY,
    dictionary::FAMILY,
    discriminant::FAMILY,
    dummy::FAMILY,
    ebm::FAMILY,
    elliptic_envelope::FAMILY,
    factor_analysis::FAMILY,
    feature_engine::FAMILY,
    feature_hasher::FAMILY,
    feature_selection::FAMILY,
    feature_union::FAMILY,
    flaml::FAMILY,
    forest::FAMILY,
    function_transformer::FAMILY,
    gaussian_mixture::FAMILY,
    gaussian_process::FAMILY,
    gradient_boosting::FAMILY,
    hashing_vectorizer::FAMILY,
    hist_gradient_boosting::FAMILY,
    isolation_forest::FAMILY,
    isotonic::FAMILY,
    iterative_imputer::FAMILY,
    k_bins::FAMILY,
    k_means::FAMILY,
    kernel_density::FAMILY,
    kernel_maps::FAMILY,
    kernel_ridge::FAMILY,
    kernel_samplers::FAMILY,
    knn_imputer::FAMILY,
    label_binarizer::FAMILY,
    label_encoder::FAMILY,
    label_propagation::FAMILY,
    lightgbm::FAMILY,
    linear::FAMILY,
    linear_outliers::FAMILY,
    local_outlier_factor::FAMILY,
    manifold::FAMILY,
    missing_indicator::FAMILY,
    mlp::FAMILY,
    mlxtend::FAMILY,
    multi_label_binarizer::FAMILY,
    multi_output::FAMILY,
    naive_bayes::FAMILY,
    nearest_centroid::FAMILY,
    nearest_neighbors::FAMILY,
    neighbors::FAMILY,
    ngboost::FAMILY,
    nmf::FAMILY,
    normalizer::FAMILY,
    one_hot_encoder::FAMILY,
    one_hot_of_integers::FAMILY,
    one_vs_one::FAMILY,
    one_vs_rest::FAMILY,
    optbinning::FAMILY,
    ordinal_encoder::FAMILY,
    output_code::FAMILY,
    pipeline::FAMILY,
    pls::FAMILY,
    pmml_columns::FAMILY,
    pmml_domains::FAMILY,
    pmml_leaves::FAMILY,
    pmml_preprocessing::FAMILY,
    pmml_spline::FAMILY,
    pmml_texts::FAMILY,
    polynomial_features::FAMILY,
    power_transformer::FAMILY,
    projections::FAMILY,
    pycaret::FAMILY,
    quantile_transformer::FAMILY,
    radius_neighbors::FAMILY,
    random_projection::FAMILY,
    samplers::FAMILY,
    scalers::FAMILY,
    scikit_lego::FAMILY,
    search::FAMILY,
    simple_imputer::FAMILY,
    spline_transformer::FAMILY,
    stacking::FAMILY,
    statsmodels::FAMILY,
    svm::FAMILY,
    target_encoder::FAMILY,
    tfidf_transformer::FAMILY,
    thresholds::FAMILY,
    topics::FAMILY,
    tpot::FAMILY,
    transformed_target::FAMILY,
    trees_embedding::FAMILY,
    voting::FAMILY,
    xgboost::FAMILY,
];

/// Names that occur in many estimators and mean nothing to prediction: random states, dtypes given as parameters.
const COMMON: &[Entry] = &[
    Entry::function("numpy.random._pickle", "__randomstate_ctor"),
    Entry::function("numpy.random._pickle", "__bit_generator_ctor"),
    Entry::function("numpy.random._pickle", "__generator_ctor"),
    Entry::function("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    Entry::function("numpy.random", "__RandomState_ctor"),
    Entry::inert("numpy.random.bit_generator", "SeedSequence"),
    Entry::inert("numpy.random._mt19937", "MT19937"),
    Entry::inert("numpy.random._pcg64", "PCG64"),
    Entry::inert("numpy", "float16"),
    Entry::inert("numpy", "float32"),
    Entry::inert("numpy", "float64"),
    Entry::inert("numpy", "int8"),
    Entry::inert("numpy", "int16"),
    Entry::inert("numpy", "int32"),
    Entry::inert("numpy", "int64"),
    Entry::inert("numpy", "uint8"),
    Entry::inert("numpy", "bool_"),
    Entry::inert("numpy", "bool"),
    Entry::inert("numpy", "object_"),
    Entry::inert("builtins", "int"),
    Entry::inert("builtins", "float"),
    Entry::inert("builtins", "bool"),
    Entry::inert("builtins", "str"),
    Entry::inert("__builtin__", "int"),
    Entry::inert("__builtin__", "float"),
    Entry::inert("__builtin__", "bool"),
];

/// How the loader finds the family of a class.
pub(crate) const LOOKUP: Lookup = Lookup { find: |module, name| find(module, name).map(|family| family.load), unknown };

/// The family of a class.
pub(crate) fn find(module: &str, name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.classes.contains(&(module, name)))
}

/// Similar classes that are told where one is not supported.
const SIMILAR: usize = 4;

/// Libraries whose models are other files than a pickle, and what to do about them.
const OTHERS: &[(&[&str], &str)] = &[
    (
        &[
            "keras",
            "tensorflow",
            "tf_keras",
            "torch",
            "torchvision",
            "pytorch_lightning",
            "transformers",
            "flax",
            "fastai",
        ],
        "neural networks of this library are not scored",
    ),
    (&["pyspark", "h2o", "sparkdl"], "the model is in a server of its library, not in this file"),
    (
        &["pmdarima", "prophet", "fbprophet", "sktime", "darts", "statsforecast", "arch"],
        "models of this library are not scored",
    ),
];

/// The Python package of a class that a family has, as `statsmodels`.
pub(crate) fn package(class: &str) -> Option<&'static str> {
    let written = class.split('.').next();
    let mut modules = FAMILIES.iter().flat_map(|family| family.classes).map(|(module, _)| *module);
    modules.find_map(|module| module.split('.').next().filter(|package| Some(*package) == written))
}

/// What is told of a class that no family has: why, and what comes nearest.
pub(crate) fn unknown(module: &str, name: &str) -> String {
    let library = module.split('.').next().unwrap_or_default();
    let classes = || FAMILIES.iter().flat_map(|family| family.classes.iter());
    if let Some((_, why)) = OTHERS.iter().find(|(libraries, _)| libraries.contains(&library)) {
        return (*why).to_string();
    }
    let told = |entry: &&(&str, &[&str], &str)| entry.0 == library && (entry.1.is_empty() || entry.1.contains(&name));
    if let Some((_, _, why)) = not_scored::REASONS.iter().find(told) {
        return (*why).to_string();
    }
    let known = allow().role(module, name).is_some() || classes().any(|(of, _)| of.split('.').next() == Some(library));
    if !known {
        return "it is code of its own, and nothing in a model file is run; a class of scikit-learn, or SQL in the query, can \
                stand for it"
            .to_string();
    }
    // Of the same part of the library: its name is alike, or what it is for.
    let part = |module: &str| module.splitn(3, '.').take(2).map(str::to_string).collect::<Vec<_>>();
    let kin = |class: &str| {
        let kinds = ["Classifier", "Regressor", "Transformer", "Imputer", "Encoder", "Scaler", "Vectorizer", "CV"];
        kinds.iter().any(|kind| name.ends_with(kind) && class.ends_with(kind))
    };
    let own = classes().filter(|(of, _)| part(of) == part(module)).map(|(_, class)| *class);
    let mut similar: Vec<(bool, &str)> = own.map(|class| (!kin(class), class)).collect();
    if similar.is_empty() {
        similar = classes().map(|(_, class)| (!kin(class), *class)).filter(|(other, _)| !other).collect();
    }
    similar.sort_unstable();
    similar.dedup();
    similar.truncate(SIMILAR);
    let names: Vec<&str> = similar.into_iter().map(|(_, class)| class).collect();
    let similar = if names.is_empty() { String::new() } else { format!("similar ones are: {}; ", names.join(", ")) };
    format!("{similar}docs/models.md has all")
}

/// The exact list of names that mean something in a model file: the union of what the families declare, what people keep
/// beside a model (objects of pandas, estimators that are not scored), and the containers of the pickle reader. Others are
/// opaque values or refused.
pub fn allow() -> &'static Allow {
    static ALLOW: LazyLock<Allow> = LazyLock::new(|| {
        let classes = FAMILIES.iter().flat_map(|family| family.classes.iter());
        let classes: Vec<Entry> = classes.map(|(module, name)| Entry::class(module, name)).collect();
        let globals = FAMILIES.iter().flat_map(|family| family.globals.iter());
        let known = not_scored::ENTRIES.iter().chain(pandas::GLOBALS).chain(pandas::index::ENTRIES);
        Allow::new(COMMON.iter().chain(known).chain(globals).chain(&classes)).and_opaque()
    });
    &ALLOW
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_class_belongs_to_two_families() {
        let mut seen = BTreeSet::new();
        for family in FAMILIES {
            for class in family.classes {
                assert!(seen.insert(class), "{class:?} of `{}` is listed twice", family.name);
            }
        }
    }

    #[test]
    fn every_listed_name_is_on_the_allow_list() {
        let allow = allow();
        for family in FAMILIES {
            for (module, name) in family.classes {
                assert!(allow.role(module, name).is_some(), "{module}.{name}");
                assert_eq!(find(module, name).map(|found| found.name), Some(family.name));
            }
            for entry in family.globals {
                assert!(allow.role(entry.module, entry.name).is_some(), "{}.{}", entry.module, entry.name);
            }
        }
        assert!(allow.role("os", "system").is_none());
        assert!(allow.role("numpy.testing._private.utils", "runstring").is_none());
    }
}
