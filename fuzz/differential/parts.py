"""The parts that a random model is put together from, each with random parameters."""

import warnings

import catboost as cat
import category_encoders as encoders
import lightgbm as lgb
import numpy as np
import xgboost as xgb
from feature_engine import creation, discretisation, encoding, imputation, outliers, scaling, selection, transformation, wrappers
from imblearn import ensemble as uneven
from interpret.glassbox import ExplainableBoostingClassifier, ExplainableBoostingRegressor
from mlxtend.classifier import EnsembleVoteClassifier
from mlxtend.classifier import StackingClassifier as Stack
from mlxtend.regressor import StackingRegressor as StackOfNumbers
from ngboost import NGBClassifier, NGBRegressor
from ngboost.distns import k_categorical
from sklearn import linear_model as linear
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import FeatureAgglomeration
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import NMF, PCA, DictionaryLearning, FactorAnalysis, IncrementalPCA, KernelPCA, SparsePCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor, ExtraTreesClassifier, ExtraTreesRegressor,
    GradientBoostingClassifier, GradientBoostingRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor,
    RandomForestClassifier, RandomForestRegressor, RandomTreesEmbedding, StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import (
    RFE, RFECV, GenericUnivariateSelect, SelectFdr, SelectFpr, SelectFromModel, SelectFwe, SelectKBest, SelectPercentile,
    SequentialFeatureSelector, VarianceThreshold, f_classif, f_regression,
)
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from sklearn.impute import IterativeImputer, MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.manifold import Isomap, LocallyLinearEmbedding
from sklearn.model_selection import (
    FixedThresholdClassifier, GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV, TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid, RadiusNeighborsRegressor
from sklearn.neural_network import BernoulliRBM, MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer, FunctionTransformer, KBinsDiscretizer, MaxAbsScaler, MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder,
    PolynomialFeatures, PowerTransformer, QuantileTransformer, RobustScaler, SplineTransformer, StandardScaler, TargetEncoder,
)
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

warnings.filterwarnings("ignore")
CLASSES = ("two", "many", "flags")
SEED = {"random_state": 0}
FUNCTIONS = "absolute arctan cbrt ceil cos deg2rad exp expm1 floor log1p negative rint sign sin sqrt square tanh trunc".split()


# -- numbers
def imputer(d):
    if d.flip(0.1):
        inner = d.one([None, DecisionTreeRegressor(max_depth=3, **SEED)])
        return IterativeImputer(inner, max_iter=2, add_indicator=d.flip(0.2), **SEED)
    how = d.one(["mean", "median", "most_frequent", "constant"])
    fill = {"fill_value": d.one([0, -1, 0.5])} if how == "constant" else {}
    return SimpleImputer(strategy=how, add_indicator=d.flip(0.2), keep_empty_features=d.flip(0.2), **fill)


SCALERS = [
    lambda d: StandardScaler(with_mean=d.flip(0.8), with_std=d.flip(0.9)),
    lambda d: MinMaxScaler(d.one([(0, 1), (-1, 1), (0, 255)]), clip=d.flip(0.3)),
    lambda d: MaxAbsScaler(),
    lambda d: RobustScaler(quantile_range=d.one([(25.0, 75.0), (5.0, 90.0)]), unit_variance=d.flip(0.2), with_centering=d.flip(0.8)),
]
SHAPERS = [
    lambda d: Normalizer(d.one(["l1", "l2", "max"])),
    lambda d: Binarizer(threshold=d.between(-0.5, 0.5)),
    lambda d: KBinsDiscretizer(d.whole(2, 6), encode=d.one(["onehot", "onehot-dense", "ordinal"]),
                               strategy=d.one(["uniform", "quantile", "kmeans"]), quantile_method="averaged_inverted_cdf",
                               subsample=None, **SEED),
    lambda d: PowerTransformer(standardize=d.flip(0.7)),
    lambda d: QuantileTransformer(n_quantiles=d.whole(5, 100), output_distribution=d.one(["uniform", "normal"]), **SEED),
    lambda d: PolynomialFeatures(d.one([2, 2, 3, (2, 3)]), interaction_only=d.flip(0.3), include_bias=d.flip()),
    lambda d: SplineTransformer(d.whole(2, 5), degree=d.whole(1, 3), knots=d.one(["uniform", "quantile"]),
                                extrapolation=d.one(["constant", "linear", "continue", "error", "periodic"]), include_bias=d.flip()),
    lambda d: FunctionTransformer(d.one([None, *(getattr(np, name) for name in FUNCTIONS)]), validate=d.flip(0.3)),
    lambda d: VarianceThreshold(d.one([0.0, 0.0, 0.05])),
    lambda d: PCA(d.whole(1, 2), whiten=d.flip(0.3), svd_solver=d.one(["full", "auto"]), **SEED),
    lambda d: IncrementalPCA(d.whole(1, 2)),
    lambda d: TruncatedSVD(d.whole(1, 2), **SEED),
    lambda d: FactorAnalysis(1, **SEED),
    lambda d: RBFSampler(gamma=d.between(0.05, 1), n_components=d.whole(2, 4), **SEED),
    lambda d: make_pipeline(StandardScaler(), Nystroem(d.one(["rbf", "laplacian", "cosine"]), n_components=3, **SEED)),
    lambda d: make_pipeline(StandardScaler(), KernelPCA(2, kernel=d.one(["rbf", "poly", "cosine"]), **SEED)),
    lambda d: RandomTreesEmbedding(d.whole(1, 3), max_depth=d.whole(1, 3), sparse_output=d.flip(), **SEED),
    lambda d: make_pipeline(MinMaxScaler(), BernoulliRBM(2, n_iter=2, **SEED)),
    # Without a tolerance every row takes as many steps as its batch.
    lambda d: make_pipeline(MinMaxScaler(clip=True), NMF(d.whole(1, 2), init="nndsvda", tol=0, max_iter=d.whole(3, 9), **SEED)),
    lambda d: FeatureAgglomeration(2, pooling_func=d.one([np.mean, np.max, np.min])),
    lambda d: make_pipeline(StandardScaler(), SparsePCA(2, max_iter=5, **SEED)),
    lambda d: make_pipeline(StandardScaler(), DictionaryLearning(3, max_iter=3, transform_algorithm=d.one(["omp", "threshold"]),
                                                                 transform_n_nonzero_coefs=d.whole(1, 2), split_sign=d.flip(), **SEED)),
    lambda d: make_pipeline(StandardScaler(), d.one([Isomap(n_neighbors=5, neighbors_algorithm="kd_tree"),
                                                     LocallyLinearEmbedding(n_neighbors=5, reg=0.1, neighbors_algorithm="ball_tree", **SEED)])),
]


def selector(d, task):
    """Columns chosen by what they say about the target."""
    score = f_classif if task in CLASSES else f_regression
    simple = task not in ("numbers", "flags")
    fitted = DecisionTreeClassifier(max_depth=3, **SEED) if task in CLASSES else DecisionTreeRegressor(max_depth=3, **SEED)
    line = linear.LogisticRegression() if task in CLASSES else linear.Lasso(0.01)
    inner = d.one([fitted, line] if simple else [fitted])
    options = [
        lambda d: SelectFromModel(inner, threshold=d.one([None, "median", "0.5*mean", -np.inf]), max_features=d.one([None, None, 2])),
        lambda d: RFE(inner, n_features_to_select=d.one([1, 2, 0.6]), step=d.one([1, 0.3])),
        lambda d: SequentialFeatureSelector(inner, n_features_to_select=1, cv=2, direction=d.one(["forward", "backward"])),
    ]
    if simple:
        options += [
            lambda d: SelectKBest(score, k=d.one([1, 2, "all"])),
            lambda d: SelectPercentile(score, percentile=d.whole(30, 90)),
            lambda d: SelectFpr(score, alpha=0.3),
            lambda d: SelectFdr(score, alpha=0.4),
            lambda d: SelectFwe(score, alpha=0.5),
            lambda d: GenericUnivariateSelect(score, mode="k_best", param=1),
            lambda d: RFECV(inner, cv=2, min_features_to_select=1),
        ]
    return d.one(options)


def numbers(d, task, holes, most=3):
    """A few steps over columns of numbers."""
    steps = [imputer(d)] if (holes and d.flip(0.9)) or d.flip(0.2) else []
    if holes and d.flip(0.1):
        steps = [FeatureUnion([("values", imputer(d)), ("gaps", MissingIndicator(features="all", sparse=d.flip()))])]
    for _ in range(d.whole(0, most)):
        steps.append(selector(d, task) if d.flip(0.15) else d.one(SCALERS if d.flip(0.45) else SHAPERS))
    if d.flip(0.08):
        weights = d.one([None, {"a": 0.5}])
        steps.append(FeatureUnion([("a", d.one(SCALERS)), ("b", d.one(SHAPERS)), ("c", d.one(["passthrough", "drop"]))],
                                  transformer_weights=weights))
    return steps or [d.one(SCALERS)]


# -- categories and texts
def one_hot(d):
    unknown = d.one(["ignore", "ignore", "error", "infrequent_if_exist", "warn"])
    rare = d.one([{}, {}, {"min_frequency": 12}, {"max_categories": 3}])
    return OneHotEncoder(handle_unknown=unknown, drop=d.one([None, None, "first", "if_binary"]), sparse_output=d.flip(),
                         dtype=d.one([np.float64, np.float64, np.float32]), **rare)


def ordinal(d):
    if d.flip(0.3):
        return OrdinalEncoder(dtype=d.one([np.float64, np.float32]))
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=d.one([-1, np.nan, 99]),
                          encoded_missing_value=d.one([np.nan, -2]), **d.one([{}, {}, {"min_frequency": 9}, {"max_categories": 3}]))


def words(d, task, absent):
    steps = []
    if d.flip(0.4):
        how = d.one([{"strategy": "most_frequent"}, {"strategy": "constant", "fill_value": "none"}])
        steps = [SimpleImputer(missing_values=absent, **how)]
    options = [one_hot, one_hot, ordinal]
    if task in ("number", "positive", "two", "many"):
        options.append(lambda d: TargetEncoder(smooth=d.one(["auto", 5.0]), cv=2, **SEED))
    chosen = options[d.randint(len(options))]
    return [*steps, chosen(d)]


def grouped(d, columns):
    """One of category_encoders."""
    kind = d.one([encoders.OrdinalEncoder, encoders.OneHotEncoder, encoders.TargetEncoder, encoders.CountEncoder, encoders.BinaryEncoder,
                  encoders.CatBoostEncoder, encoders.LeaveOneOutEncoder, encoders.MEstimateEncoder, encoders.JamesSteinEncoder,
                  encoders.HelmertEncoder, encoders.SumEncoder])
    more = {}
    if kind is encoders.TargetEncoder:
        more = {"smoothing": d.between(1, 20), "min_samples_leaf": d.whole(1, 20)}
    if kind is encoders.OneHotEncoder:
        more = {"use_cat_names": d.flip()}
    unknown = d.one(["value", "value", "return_nan", "error"])
    return kind(cols=list(columns), handle_unknown=unknown, handle_missing=d.one(["value", "value", "return_nan"]), **more)


def engineered(d, data):
    """Steps of feature_engine over a DataFrame: what is missing is filled, words become numbers, numbers other numbers."""
    numbers = list(data.numbers)
    one = lambda: [numbers[d.randint(len(numbers))]]  # noqa: E731
    steps = [d.one([
        lambda d: imputation.MeanMedianImputer(d.one(["mean", "median"]), variables=numbers),
        lambda d: imputation.ArbitraryNumberImputer(d.one([-1, 99.5]), variables=numbers),
        lambda d: imputation.EndTailImputer(tail=d.one(["left", "right"]), variables=numbers),
    ])] if numbers and not data.narrow else []
    if data.words:
        steps.append(imputation.CategoricalImputer(variables=list(data.words)))
        if d.flip(0.4):
            steps.append(encoding.RareLabelEncoder(tol=d.between(0.05, 0.3), n_categories=1, variables=list(data.words)))
        unseen = d.one(["encode", "raise"])
        steps.append(d.one([
            lambda d: encoding.CountFrequencyEncoder(d.one(["count", "frequency"]), variables=list(data.words), unseen=unseen),
            lambda d: encoding.OrdinalEncoder(d.one(["ordered", "arbitrary"]), variables=list(data.words), unseen=unseen),
            lambda d: encoding.MeanEncoder(variables=list(data.words), unseen=unseen),
            lambda d: encoding.OneHotEncoder(variables=list(data.words), drop_last=d.flip()),
            lambda d: encoding.DecisionTreeEncoder(regression=True, cv=2, variables=list(data.words), unseen="raise", **SEED),
        ]))
    for _ in range(d.whole(0, 2) if numbers else 0):
        steps.append(d.one([
            lambda d: discretisation.EqualWidthDiscretiser(bins=d.whole(2, 5), variables=one()),
            lambda d: discretisation.EqualFrequencyDiscretiser(q=d.whole(2, 5), variables=one()),
            lambda d: outliers.Winsorizer(tail=d.one(["left", "right", "both"]), fold=d.between(0.5, 2), variables=numbers, add_indicators=d.flip(0.3)),
            lambda d: transformation.YeoJohnsonTransformer(variables=one()),
            lambda d: transformation.ArcSinhTransformer(variables=one(), loc=d.between(-1, 1)),
            lambda d: creation.CyclicalFeatures(one(), drop_original=d.flip()),
            lambda d: creation.RelativeFeatures(numbers[:1], numbers[-1:], d.some(["sub", "add", "mul"], 2)),
            lambda d: creation.DecisionTreeFeatures(variables=one(), regression=True, cv=2, **SEED),
            lambda d: discretisation.ArbitraryDiscretiser({numbers[0]: [-np.inf, -0.5, 0.5, 3, np.inf]}),
            lambda d: discretisation.DecisionTreeDiscretiser(cv=2, regression=True, variables=one(), **SEED),
            lambda d: outliers.ArbitraryOutlierCapper({numbers[0]: 2}, {numbers[-1]: -0.5}),
            lambda d: transformation.LogCpTransformer(variables=one()),
            lambda d: scaling.MeanNormalizationScaler(variables=one()),
            lambda d: selection.DropConstantFeatures(tol=d.one([1, 0.6]), missing_values="ignore"),
            lambda d: selection.DropDuplicateFeatures(missing_values="ignore"),
            lambda d: wrappers.SklearnTransformerWrapper(d.one([StandardScaler(), RobustScaler(), MinMaxScaler()]), variables=numbers),
            lambda d: creation.MathFeatures(numbers, ["sum", "mean", "max"]) if len(numbers) > 1 else outliers.Winsorizer(variables=numbers),
        ]))
    return steps


def vectorizer(d):
    words = dict(
        ngram_range=d.one([(1, 1), (1, 1), (1, 2), (2, 3)]), lowercase=d.flip(0.8), strip_accents=d.one([None, None, "unicode", "ascii"]),
        analyzer=d.one(["word", "word", "word", "char", "char_wb"]), stop_words=d.one([None, None, "english", ["of", "the"]]),
        binary=d.flip(0.2),
    )
    if d.flip(0.2):
        return HashingVectorizer(n_features=d.whole(5, 40), norm=d.one(["l1", "l2", None]), alternate_sign=d.flip(), **words)
    words["max_features"] = d.one([5, 12, 30])
    if d.flip(0.6):
        return TfidfVectorizer(norm=d.one(["l1", "l2", None]), use_idf=d.flip(0.8), smooth_idf=d.flip(), sublinear_tf=d.flip(0.3), **words)
    return CountVectorizer(min_df=d.one([1, 2]), **words)


def texts(d):
    first = vectorizer(d)
    steps = [first]
    if isinstance(first, CountVectorizer) and not isinstance(first, TfidfVectorizer) and d.flip():
        steps.append(TfidfTransformer(norm=d.one(["l1", "l2", None]), sublinear_tf=d.flip(0.3)))
    if d.flip(0.25):
        steps.append(TruncatedSVD(2, **SEED))
    return steps


# -- models
FEW = {"n_estimators": 4, **SEED}


def depth(d):
    return d.one([{"max_depth": 2}, {"max_depth": 4}, {"max_leaf_nodes": 6}, {"min_samples_leaf": 9}])


def neighbours(d):
    """Trees alone: without one, of rows that are as near as each other any may be taken."""
    return {"algorithm": d.one(["kd_tree", "ball_tree"]), "leaf_size": d.one([4, 30]), "weights": d.one(["uniform", "distance"]),
            "p": d.one([1, 2, 2, 3])}


def network(d):
    return {"hidden_layer_sizes": d.one([(4,), (5, 3)]), "activation": d.one(["relu", "tanh", "logistic", "identity"]), "max_iter": 30, **SEED}


def kernel(d):
    return {"kernel": d.one(["rbf", "rbf", "linear", "poly", "sigmoid"]), "gamma": d.one(["scale", 0.2]), "max_iter": 500}


def regressors(d):
    return d.one([
        lambda d: DecisionTreeRegressor(criterion=d.one(["squared_error", "absolute_error", "friedman_mse"]), **depth(d), **SEED),
        lambda d: ExtraTreeRegressor(**depth(d), **SEED),
        lambda d: RandomForestRegressor(max_features=d.one([1.0, "sqrt"]), **depth(d), **FEW),
        lambda d: ExtraTreesRegressor(bootstrap=d.flip(), **depth(d), **FEW),
        lambda d: GradientBoostingRegressor(loss=d.one(["squared_error", "absolute_error", "huber", "quantile"]), max_depth=2,
                                            subsample=d.one([1.0, 0.7]), init=d.one([None, None, "zero", linear.Ridge()]), **FEW),
        lambda d: HistGradientBoostingRegressor(loss=d.one(["squared_error", "absolute_error", "quantile"]), quantile=0.4, max_iter=5,
                                                max_depth=3, min_samples_leaf=5, max_bins=d.one([255, 16]), early_stopping=d.flip(0.2), **SEED),
        lambda d: linear.LinearRegression(fit_intercept=d.flip(0.8)),
        lambda d: linear.Ridge(alpha=d.between(0.1, 9), fit_intercept=d.flip(0.8)),
        lambda d: linear.RidgeCV(),
        lambda d: linear.Lasso(alpha=d.between(0.001, 0.1)),
        lambda d: linear.LassoCV(cv=2, alphas=5),
        lambda d: linear.ElasticNet(alpha=d.between(0.001, 0.1), l1_ratio=d.between(0, 1)),
        lambda d: linear.ElasticNetCV(cv=2, alphas=5),
        lambda d: linear.SGDRegressor(max_iter=50, loss=d.one(["squared_error", "huber"]), **SEED),
        lambda d: LinearSVR(max_iter=300, **SEED),
        lambda d: DummyRegressor(strategy=d.one(["mean", "median"])),
        lambda d: KNeighborsRegressor(d.whole(1, 12), **neighbours(d)),
        lambda d: MLPRegressor(**network(d)),
        lambda d: make_pipeline(StandardScaler(), d.one([SVR, NuSVR])(**kernel(d))),
        lambda d: PLSRegression(1, scale=d.flip(0.7)),
        lambda d: make_pipeline(StandardScaler(), KernelRidge(alpha=1.0, kernel=d.one(["rbf", "laplacian", "linear"]), gamma=0.3)),
        lambda d: make_pipeline(StandardScaler(), GaussianProcessRegressor(kernels.RBF(1.0) + kernels.WhiteKernel(1.0), optimizer=None)),
        lambda d: RadiusNeighborsRegressor(9.0, algorithm=d.one(["kd_tree", "ball_tree"])),
        lambda d: NGBRegressor(Base=DecisionTreeRegressor(max_depth=2, **SEED), n_estimators=3, verbose=False, **SEED),
        lambda d: ExplainableBoostingRegressor(interactions=d.whole(0, 1), **machine(d)),
        lambda d: cat_model(d, cat.CatBoostRegressor, d.one(["RMSE", "MAE", "Quantile:alpha=0.3"])),
        lambda d: lgb_model(d, lgb.LGBMRegressor, d.one(["regression", "regression_l1", "huber", "quantile", "fair"])),
        lambda d: xgb_model(d, xgb.XGBRegressor, d.one(["reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror"])),
    ])


def positives(d):
    return d.one([
        lambda d: linear.PoissonRegressor(alpha=d.between(0, 1)),
        lambda d: linear.GammaRegressor(alpha=d.between(0.01, 1)),
        lambda d: linear.TweedieRegressor(power=d.one([0, 1, 1.5, 2]), link=d.one(["auto", "log"])),
        lambda d: HistGradientBoostingRegressor(loss=d.one(["poisson", "gamma"]), max_iter=5, max_depth=3, **SEED),
        lambda d: lgb_model(d, lgb.LGBMRegressor, d.one(["poisson", "gamma", "tweedie", "mape"])),
        lambda d: xgb_model(d, xgb.XGBRegressor, d.one(["count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror"])),
        lambda d: TransformedTargetRegressor(regressors(d), **d.one([
            {"func": np.log1p, "inverse_func": np.expm1}, {"func": np.log, "inverse_func": np.exp},
            {"func": np.sqrt, "inverse_func": np.square}, {"transformer": StandardScaler()}, {"transformer": MinMaxScaler()},
            {"transformer": RobustScaler()}])),
    ])


def classifiers(d, count=2):
    balanced = {"class_weight": d.one([None, "balanced"])}
    return d.one([
        lambda d: DecisionTreeClassifier(criterion=d.one(["gini", "entropy"]), **balanced, **depth(d), **SEED),
        lambda d: ExtraTreeClassifier(**depth(d), **SEED),
        lambda d: RandomForestClassifier(**balanced, **depth(d), **FEW),
        lambda d: ExtraTreesClassifier(**depth(d), **FEW),
        lambda d: GradientBoostingClassifier(loss="exponential" if count == 2 and d.flip(0.3) else "log_loss", max_depth=2,
                                             init=d.one([None, None, "zero"]), **FEW),
        lambda d: HistGradientBoostingClassifier(max_iter=4, max_depth=3, min_samples_leaf=5, max_bins=d.one([255, 16]), **SEED),
        lambda d: linear.LogisticRegression(C=d.between(0.1, 9), fit_intercept=d.flip(0.8), **balanced),
        lambda d: linear.LogisticRegressionCV(Cs=2, cv=2, use_legacy_attributes=False, scoring="neg_log_loss"),
        lambda d: linear.RidgeClassifier(**balanced),
        lambda d: linear.RidgeClassifierCV(),
        lambda d: linear.SGDClassifier(loss=d.one(["hinge", "log_loss", "modified_huber"]), max_iter=50, **SEED),
        lambda d: linear.Perceptron(max_iter=50, **SEED),
        lambda d: LinearSVC(max_iter=300, **balanced, **SEED),
        lambda d: DummyClassifier(strategy=d.one(["prior", "most_frequent"])),
        lambda d: KNeighborsClassifier(d.whole(1, 12), **neighbours(d)),
        lambda d: MLPClassifier(**network(d)),
        lambda d: make_pipeline(StandardScaler(), SVC(decision_function_shape=d.one(["ovr", "ovo"]), **balanced, **kernel(d))),
        lambda d: d.one([GaussianNB(), BernoulliNB(binarize=d.one([0.0, 0.7]))]),
        lambda d: LinearDiscriminantAnalysis(**d.one([{}, {"solver": "lsqr", "shrinkage": 0.2}])),
        lambda d: QuadraticDiscriminantAnalysis(reg_param=0.2),
        lambda d: NearestCentroid(),
        lambda d: make_pipeline(StandardScaler(), LabelSpreading(gamma=2.0)),
        lambda d: make_pipeline(StandardScaler(), GaussianProcessClassifier(kernels.RBF(1.0), optimizer=None)),
        lambda d: NGBClassifier(Dist=k_categorical(count), Base=DecisionTreeRegressor(max_depth=2, **SEED), n_estimators=3, verbose=False, **SEED),
        lambda d: ExplainableBoostingClassifier(interactions=d.whole(0, 1) if count == 2 else 0, **machine(d)),
        lambda d: uneven.BalancedRandomForestClassifier(sampling_strategy="all", replacement=True, bootstrap=False, **depth(d), **FEW),
        lambda d: d.one([uneven.BalancedBaggingClassifier, uneven.EasyEnsembleClassifier, uneven.RUSBoostClassifier])(n_estimators=3, **SEED),
        lambda d: cat_model(d, cat.CatBoostClassifier, "Logloss" if count == 2 else d.one(["MultiClass", "MultiClassOneVsAll"])),
        lambda d: lgb_model(d, lgb.LGBMClassifier, "binary" if count == 2 else d.one(["multiclass", "multiclassova"])),
        lambda d: xgb_model(d, xgb.XGBClassifier, d.one(["binary:logistic", "binary:hinge"]) if count == 2 else
                            d.one(["multi:softprob", "multi:softmax"])),
    ])


def machine(d):
    return {"max_rounds": 6, "outer_bags": 1, "max_bins": d.one([4, 32]), "n_jobs": 1, "random_state": 0}


def cat_model(d, kind, loss, **more):
    shape = d.one([{}, {}, {"grow_policy": "Lossguide", "max_leaves": 6}, {"grow_policy": "Depthwise"}])
    return kind(iterations=d.whole(2, 6), depth=d.whole(1, 4), loss_function=loss, nan_mode=d.one(["Min", "Max"]), random_seed=1,
                thread_count=1, verbose=0, allow_writing_files=False, **shape, **more)


def xgb_model(d, kind, objective, **more):
    booster = d.one(["gbtree", "gbtree", "gbtree", "dart", "gblinear"])
    if booster == "gblinear":
        more = {"updater": "coord_descent", **more}
    else:
        more = {"max_depth": d.whole(1, 4), "tree_method": d.one(["hist", "hist", "exact", "approx"]),
                "num_parallel_tree": d.one([None, None, 2]), "subsample": d.one([None, 0.7]),
                "missing": d.one([np.nan, np.nan, np.nan, 0.0, -1.0]), **more}
    if booster == "dart":
        more.update(rate_drop=0.4, one_drop=True)
    if objective == "reg:quantileerror":
        more.update(quantile_alpha=d.one([0.5, np.array([0.2, 0.7])]))
    return kind(booster=booster, objective=objective, n_estimators=d.whole(2, 6), learning_rate=d.between(0.1, 0.9),
                base_score=d.one([None, None, 0.5, 0.3]), n_jobs=1, **SEED, **more)


def lgb_model(d, kind, objective, **more):
    boosting = d.one(["gbdt", "gbdt", "dart", "rf"])
    if boosting == "rf":
        more = {"subsample": 0.6, "subsample_freq": 1, **more}
    elif boosting == "gbdt" and d.flip(0.15) and objective == "regression":
        more = {"linear_tree": True, **more}
    more = {**more, **d.one([{}, {}, {"zero_as_missing": True}, {"use_missing": False}, {"max_bin": 15}, {"extra_trees": True}])}
    return kind(boosting_type=boosting, objective=objective, n_estimators=d.whole(2, 6), num_leaves=d.whole(2, 8),
                min_child_samples=d.whole(2, 20), learning_rate=d.between(0.05, 0.6), n_jobs=1, verbose=-1, **SEED, **more)


def several(d):
    """Regressions of more than one target at once."""
    return d.one([
        lambda d: DecisionTreeRegressor(**depth(d), **SEED),
        lambda d: RandomForestRegressor(**depth(d), **FEW),
        lambda d: ExtraTreesRegressor(**depth(d), **FEW),
        lambda d: linear.LinearRegression(),
        lambda d: linear.Ridge(),
        lambda d: linear.Lasso(0.01),
        lambda d: linear.MultiTaskElasticNet(0.01),
        lambda d: linear.MultiTaskLasso(0.01),
        lambda d: DummyRegressor(),
        lambda d: xgb_model(d, xgb.XGBRegressor, "reg:squarederror"),
        lambda d: xgb_model(d, xgb.XGBRegressor, "reg:squarederror", multi_strategy="multi_output_tree").set_params(
            booster="gbtree", tree_method="hist", updater=None, rate_drop=None, one_drop=None),
        lambda d: MultiOutputRegressor(regressors(d)),
        lambda d: RegressorChain(regressors(d), order=d.one([None, "random"]), cv=d.one([None, 2]), **SEED),
        lambda d: TransformedTargetRegressor(linear.Ridge(), transformer=StandardScaler()),
    ])


def flags(d):
    """Several classes at once."""
    return d.one([
        lambda d: DecisionTreeClassifier(**depth(d), **SEED),
        lambda d: RandomForestClassifier(**depth(d), **FEW),
        lambda d: ExtraTreesClassifier(**depth(d), **FEW),
        lambda d: MultiOutputClassifier(classifiers(d)),
        lambda d: ClassifierChain(classifiers(d), order=d.one([None, "random"]), **SEED),
        lambda d: OneVsRestClassifier(classifiers(d)),
        lambda d: linear.RidgeClassifier(),
        lambda d: StackingClassifier([("a", RandomForestClassifier(**depth(d), **FEW)), ("b", MultiOutputClassifier(classifiers(d)))],
                                     ExtraTreesClassifier(**depth(d), **FEW), cv=2, passthrough=d.flip(0.3)),
    ])


def wrapped(d, task, inner):
    """An estimator around one or several others of the same task."""
    if task == "two" or task == "many":
        count = 2 if task == "two" else 3
        two = lambda: [("a", inner), ("b", classifiers(d, count))]  # noqa: E731
        options = [
            lambda d: CalibratedClassifierCV(inner, method=d.one(["sigmoid", "isotonic", "temperature"]), cv=2, ensemble=d.flip()),
            lambda d: VotingClassifier(two(), voting=d.one(["soft", "hard"]), weights=d.one([None, [1, 2.5]])),
            lambda d: StackingClassifier(two(), classifiers(d, count), cv=2, passthrough=d.flip(0.3),
                                         stack_method=d.one(["auto", "auto", "predict"])),
            lambda d: BaggingClassifier(inner, n_estimators=3, max_samples=0.8, max_features=d.one([1.0, 0.7]), **SEED),
            lambda d: AdaBoostClassifier(DecisionTreeClassifier(max_depth=2, **SEED), n_estimators=4, **SEED),
            lambda d: OneVsRestClassifier(inner),
            lambda d: OneVsOneClassifier(inner),
            lambda d: EnsembleVoteClassifier([one for _, one in two()], voting=d.one(["soft", "hard"]), weights=d.one([None, [1, 2.5]])),
            lambda d: Stack([one for _, one in two()], classifiers(d, count), use_probas=True, average_probas=d.flip(0.3)),
            lambda d: OutputCodeClassifier(inner, code_size=2, **SEED),
            lambda d: SelfTrainingClassifier(inner),
            lambda d: GridSearchCV(inner, {}, cv=2),
            lambda d: RandomizedSearchCV(inner, {}, n_iter=1, cv=2, **SEED),
            lambda d: HalvingGridSearchCV(inner, {}, cv=2, min_resources=60, **SEED),
        ]
        if task == "two":
            options += [
                lambda d: FixedThresholdClassifier(inner, threshold=d.between(0.2, 0.8)),
                lambda d: TunedThresholdClassifierCV(inner, cv=2, thresholds=7, **SEED),
            ]
        return d.one(options)
    if task in ("number", "positive"):
        two = lambda: [("a", inner), ("b", regressors(d)), ("c", "drop")][:d.whole(2, 3)]  # noqa: E731
        return d.one([
            lambda d: VotingRegressor(two()),
            lambda d: StackOfNumbers([one for _, one in two()][:2], regressors(d)),
            lambda d: StackingRegressor(two(), regressors(d), cv=2, passthrough=d.flip(0.3)),
            lambda d: BaggingRegressor(inner, n_estimators=3, max_features=d.one([1.0, 0.7]), bootstrap_features=d.flip(0.3), **SEED),
            lambda d: AdaBoostRegressor(inner, n_estimators=3, loss=d.one(["linear", "square"]), **SEED),
            lambda d: TransformedTargetRegressor(inner, transformer=d.one(SCALERS)),
            lambda d: GridSearchCV(inner, {}, cv=2),
            lambda d: RandomizedSearchCV(inner, {}, n_iter=1, cv=2, **SEED),
        ])
    return GridSearchCV(inner, {}, cv=2)


def model(d, task, most=2):
    """A model of a task, in up to `most` others."""
    one = {
        "number": regressors, "positive": lambda d: positives(d) if d.flip(0.7) else regressors(d), "numbers": several, "flags": flags,
        "two": classifiers, "many": lambda d: classifiers(d, 3),
    }[task](d)
    for _ in range(most):
        if not d.flip(0.35):
            break
        if d.flip(0.2):
            one = make_pipeline(d.one(SCALERS), one)
        one = wrapped(d, task, one)
    return one
