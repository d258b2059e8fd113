//! Classes of scikit-learn that are known and not scored. A file that holds them is read all the same: a model beside
//! them is found, and one with them inside is refused with its place and what is supported.

use foretell_pickle::Entry;

pub(in crate::families) const ENTRIES: &[Entry] = &[
    Entry::class("sklearn.cluster._agglomerative", "AgglomerativeClustering"),
    Entry::class("sklearn.cluster._dbscan", "DBSCAN"),
];

/// Why classes of a library are not scored, where more can be said than that nobody reads them: the library, classes of it (all
/// where none is named), and the reason with the way on.
pub(in crate::families) const REASONS: &[(&str, &[&str], &str)] = &[
    (
        "sklearn",
        &[
            "AgglomerativeClustering",
            "DBSCAN",
            "HDBSCAN",
            "MDS",
            "OPTICS",
            "SpectralBiclustering",
            "SpectralClustering",
            "SpectralCoclustering",
            "SpectralEmbedding",
            "TSNE",
        ],
        "it tells of the rows of its training only; KMeans, or a classifier of its clusters, tells of others",
    ),
    (
        "sklearn",
        &[
            "EmpiricalCovariance",
            "GraphicalLasso",
            "GraphicalLassoCV",
            "LedoitWolf",
            "MinCovDet",
            "OAS",
            "ShrunkCovariance",
        ],
        "a covariance answers nothing for a row but `mahalanobis`; EllipticEnvelope tells outliers by it",
    ),
    (
        "sklearn",
        &["MiniBatchNMF"],
        "what it gives of a row depends on the mean of its batch; NMF with solver=cd is scored",
    ),
    (
        "feature_engine",
        &["RandomSampleImputer"],
        "it draws at random; MeanMedianImputer and CategoricalImputer are scored",
    ),
    (
        "feature_engine",
        &["DatetimeOrdinal", "DatetimeSubtraction"],
        "it works on dates; SQL in the query gives their parts",
    ),
    (
        "feature_engine",
        &["ExpandingWindowFeatures", "LagFeatures", "WindowFeatures"],
        "it looks at the rows before; window functions of SQL in the query do",
    ),
    (
        "flaml",
        &[],
        "this learner is not scored; save `automl.model.estimator`, and what prepares the columns as a Pipeline",
    ),
    (
        "pycaret",
        &[],
        "this step is not scored; set it to the transformer of scikit-learn that does the same, or leave it out in `setup`",
    ),
    (
        "pandas",
        &["Series"],
        "it holds values by label; as one of `encodings:` in a pipeline file it is an SQL function",
    ),
    (
        "sklearn2pmml",
        &["CHAIDClassifier", "CHAIDRegressor"],
        "its own `predict` is not written yet; DecisionTreeClassifier and DecisionTreeRegressor are scored",
    ),
    (
        "sklearn2pmml",
        &[
            "DateDomain",
            "DateTimeDomain",
            "DateTimeFormatter",
            "DaysSinceYearTransformer",
            "SecondsSinceMidnightTransformer",
            "SecondsSinceYearTransformer",
        ],
        "it works on dates; SQL in the query gives their parts",
    ),
    (
        "sklearn2pmml",
        &["LagTransformer", "RollingAggregateTransformer"],
        "it looks at the rows before; window functions of SQL in the query do",
    ),
    (
        "sklearn2pmml",
        &[
            "EstimatorChain",
            "ExpressionClassifier",
            "ExpressionRegressor",
            "ExpressionTransformer",
            "RuleSetClassifier",
            "SelectFirstClassifier",
            "SelectFirstRegressor",
            "SelectFirstTransformer",
        ],
        "its expressions are Python code, and nothing in a model file is run; SQL in the query can say the same",
    ),
    (
        "sklearn2pmml",
        &["Memorizer", "Recaller"],
        "it hands columns from one step to another behind the pipeline's back; a ColumnTransformer can pass them through",
    ),
    (
        "sklearn2pmml",
        &["NumberFormatter", "Reshaper", "StatsModelsOrdinalClassifier"],
        "it is not scored; SQL in the query, or a transformer of scikit-learn, can stand for it",
    ),
    (
        "sklearn2pmml",
        &["H2OEstimatorProxy", "H2OFrameConstructor", "H2OFrameCreator"],
        "the model is in a server of its library, not in this file",
    ),
    ("tpot", &[], "save its `fitted_pipeline_`"),
    ("h2o", &[], "the model is in a server of its library, not in this file"),
];
