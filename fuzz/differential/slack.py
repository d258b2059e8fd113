"""How far answers may be from the library's own: what its arithmetic leaves open.

A sum of products may be off by 1e-12 of the magnitudes that it adds up, because BLAS adds them in another order on another
processor; what `exp`, `log` and their like give may be off in the last places. So a model is asked again with its weights and
such results moved by that much, at random, and its answers may move twice as far as they then do. An answer that does not move
has to be equal.
"""

import copy
import json
from contextlib import ExitStack, contextmanager
from unittest import mock

import lightgbm
import numpy as np
import pandas as pd
import scipy.sparse as sp
import xgboost
from catboost import CatBoostClassifier, CatBoostRegressor
from feature_engine.creation import CyclicalFeatures
from feature_engine.transformation import ArcSinhTransformer, YeoJohnsonTransformer
from imblearn.ensemble import RUSBoostClassifier
from interpret.glassbox import ExplainableBoostingClassifier
from ngboost import NGBClassifier
from sklearn import ensemble, linear_model
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import NMF, PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.metrics import pairwise_distances_argmin
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KernelDensity, NearestCentroid, _nearest_centroid
from sklearn.neural_network import BernoulliRBM, MLPClassifier
from sklearn.preprocessing import FunctionTransformer, Normalizer, PowerTransformer, QuantileTransformer
from sklearn.semi_supervised import LabelSpreading

from case import kind_of

SUMS = 1e-12
# The same where the library adds in float32.
NARROW = 2.0**-21
TIMES = 10
ANYTHING = 1e308
# The logarithm of a density that is none but for what rounding leaves.
NOTHING = -28.0
# Libraries whose objects are looked into.
OURS = ("sklearn", "feature_engine", "imblearn", "mlxtend", "ngboost", "statsmodels", "sklego", "optbinning")
# What holds the weights of sums of products.
WEIGHTS = {
    "coef_", "intercept_", "components_", "coefs_", "intercepts_", "_dual_coef_", "_intercept_", "support_vectors_", "theta_", "var_",
    "dual_coef_", "X_fit_", "alpha_", "X_train_", "y_train_", "X_", "label_distributions_", "centroids_", "eigenvectors_", "normalization_",
    "random_weights_", "random_offset_", "location_", "precision_", "noise_variance_", "_fit_X", "offset_",
    "dist_matrix_", "embedding_", "intercept_hidden_", "lambda_dict_",
    "params", "w_", "b_", "projs_", "inv_R_", "projection_",
    "feature_log_prob_", "class_log_prior_", "means_", "rotations_", "scalings_", "priors_", "xbar_", "_x_mean",
}
# What gives results whose last places are open, and how many of them.
BEHIND = [
    (FunctionTransformer, "transform", 2), (QuantileTransformer, "transform", 1), (Normalizer, "transform", 1),
    (TfidfTransformer, "transform", 1), (HashingVectorizer, "transform", 1), (TransformedTargetRegressor, "predict", 1),
    (ensemble.GradientBoostingClassifier, "predict_proba", 1), (ensemble.HistGradientBoostingClassifier, "predict_proba", 1),
    (ensemble.HistGradientBoostingRegressor, "predict", 1), (ensemble.AdaBoostClassifier, "predict_proba", 1),
    (ensemble.IsolationForest, "score_samples", 1), (linear_model.LogisticRegression, "predict_proba", 1),
    (linear_model.SGDClassifier, "predict_proba", 1), (linear_model.PoissonRegressor, "predict", 1),
    (linear_model.GammaRegressor, "predict", 1), (linear_model.TweedieRegressor, "predict", 1),
    (GaussianNB, "predict_proba", 2), (BernoulliNB, "predict_proba", 2), (MLPClassifier, "predict_proba", 2),
    (LinearDiscriminantAnalysis, "predict_proba", 2), (QuadraticDiscriminantAnalysis, "predict_proba", 2),
    (CalibratedClassifierCV, "predict_proba", 1), (xgboost.Booster, "predict", 1),
    (xgboost.XGBClassifier, "predict_proba", 1),
    (lightgbm.Booster, "predict", 1), (CatBoostClassifier, "predict_proba", 1), (CatBoostRegressor, "predict", 1),
    (GaussianProcessClassifier, "predict_proba", 8), (NearestCentroid, "predict_proba", 2), (NearestCentroid, "decision_function", 8), (LabelSpreading, "predict_proba", 2),
    (EllipticEnvelope, "score_samples", 2), (ExplainableBoostingClassifier, "predict_proba", 4),
    (ensemble.BaggingClassifier, "decision_function", 0), (ensemble.BaggingRegressor, "predict", 1), (BernoulliRBM, "transform", 2), (NGBClassifier, "predict_proba", 4), (YeoJohnsonTransformer, "transform", 2),
    (KernelPCA, "transform", 16), (KernelDensity, "score_samples", 64), (NMF, "transform", 1 << 20), (ArcSinhTransformer, "transform", 2), (CyclicalFeatures, "transform", 2), (RUSBoostClassifier, "predict_proba", 1),
]
# Objectives whose answers are sums over trees as they are.
BARE = {
    "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror", "reg:squaredlogerror", "binary:hinge",
    "binary:logitraw", "rank:pairwise", "rank:ndcg", "multi:softmax", "regression", "regression_l1", "huber", "fair", "quantile", "mape",
    "lambdarank", "rank_xendcg",
}


def open_ended(model):
    """Whether functions with open last places lie before the results of a model that is listed in `BEHIND`."""
    if isinstance(model, FunctionTransformer):
        return model.func is not None
    if isinstance(model, ensemble.HistGradientBoostingRegressor):
        return model.loss in ("poisson", "gamma")
    if isinstance(model, TransformedTargetRegressor):
        return model.func is not None
    if isinstance(model, KernelPCA):
        # Centred, its sums cancel.
        return model.X_fit_.dtype == np.float32
    if isinstance(model, xgboost.XGBClassifier):
        # The others' probabilities come from the booster.
        return model.objective == "multi:softmax"
    if isinstance(model, xgboost.Booster):
        return json.loads(model.save_config())["learner"]["objective"]["name"] not in BARE
    if isinstance(model, lightgbm.Booster):
        return model.params.get("objective") not in BARE
    return True


def moved(values, by, r):
    """The values, each a little more or less, by the part `by` of it."""
    if sp.issparse(values):
        values = values.copy()
        values.data = moved(values.data, by, r)
        return values
    values = np.asarray(values)
    if values.dtype.kind != "f":
        return values
    signs = r.choice([-1.0, 1.0], values.shape)
    kind = np.finfo(values.dtype)
    # The smallest numbers have few digits.
    least = np.where((values != 0) & (np.abs(values) < kind.smallest_normal), float(kind.smallest_subnormal), 0) if by else 0
    return (values * (1 + by * signs) + least * signs).astype(values.dtype)


def weights_moved(thing, r, seen):
    """Moves all weights below an object."""
    if id(thing) in seen or isinstance(thing, (str, bytes, type, np.ndarray)):
        return
    seen.add(id(thing))
    if isinstance(thing, dict):
        inside = list(thing.values())
    elif isinstance(thing, (list, tuple)):
        inside = list(thing)
    elif hasattr(thing, "__dict__") and type(thing).__module__.split(".")[0] in OURS:
        for name, value in vars(thing).items():
            if name in WEIGHTS and value is not None:
                by = lambda one: SUMS if getattr(one, "dtype", np.float64) == np.float64 else NARROW  # noqa: E731
                many = isinstance(value, list)
                parts = [moved(one, by(one), r) for one in (value if many else [value])]
                setattr(thing, name, parts if many else parts[0])
        if isinstance(thing, PCA) and hasattr(thing, "mean_"):
            thing.mean_ = moved(thing.mean_, SUMS if thing.mean_.dtype == np.float64 else NARROW, r)
        if isinstance(thing, PowerTransformer) and getattr(thing, "_scaler", None) is not None:
            thing._scaler.mean_ = moved(thing._scaler.mean_, 2.0**-50, r)
        inside = list(vars(thing).values())
    else:
        return
    for one in inside:
        weights_moved(one, r, seen)


@contextmanager
def shaken(r):
    """While it lasts, results behind `exp`, `log` and their like are off in their last places."""

    def off(method, places):
        def call(self, *args, **more):
            answer = method(self, *args, **more)
            if not open_ended(self):
                return answer
            if isinstance(self, ensemble.BaggingRegressor) and answer.dtype != np.float32:
                return answer
            parts = answer if isinstance(answer, list) else [answer]
            if isinstance(answer, pd.DataFrame):
                # Columns that a step does not touch move, too: what follows may do as much.
                open_32 = isinstance(self, FunctionTransformer) and self.func in (np.tanh, np.cbrt)
                open_kinds = [np.float64, np.float32] if open_32 else [np.float64]
                return answer.assign(**{name: moved(answer[name], places * np.finfo(answer[name].dtype).eps, r)
                                        for name in answer.columns if answer[name].dtype in open_kinds})
            parts = [part if sp.issparse(part) else np.asarray(part) for part in parts]
            if isinstance(self, FunctionTransformer) and self.func not in (np.tanh, np.cbrt):
                # numpy's float32 functions are told to the bit.
                parts = [part if part.dtype == np.float32 else moved(part, places * np.finfo(float).eps, r) for part in parts]
                return parts if isinstance(answer, list) else parts[0]
            eps = [np.finfo(part.dtype).eps if part.dtype.kind == "f" else 0 for part in parts]
            # One place is as open as two, and a spline behind it may tell them apart.
            places_now = r.choice([0.5, 1.0]) * places if isinstance(self, FunctionTransformer) else places
            if isinstance(self, KernelPCA):
                # Of one row its training made several numbers, a rounding apart, and bins behind it may lie between them.
                parts = [(part * (1 + places * one * r.uniform(-1, 1, part.shape))).astype(part.dtype) for part, one in zip(parts, eps)]
            else:
                parts = [moved(part, places_now * one, r) for part, one in zip(parts, eps)]
            if isinstance(self, ensemble.BaggingClassifier):
                # Its mean of float32 is taken in float64, which goes on where float32 ends.
                parts = [np.where(np.isinf(part), -part, part) if part.dtype == np.float32 else part for part in parts]
            if isinstance(self, (GaussianNB, BernoulliNB)):
                # A sum of large logarithms is told to its own last place, of which a small difference has few digits.
                large = np.abs(self._joint_log_likelihood(*args)).max(axis=1, keepdims=True)
                parts = [part * (1 + np.finfo(float).eps * large * r.choice([-1.0, 1.0], part.shape)) for part in parts]
            if isinstance(self, KernelDensity):
                # Large logarithms of both signs make a small one.
                parts = [part + 2.0**-47 * r.choice([-1.0, 1.0], part.shape) for part in parts]
                # Its trees begin with all rows at the nearest place and take off again: the farther a row, the more digits it loses,
                # all of them where the density is less than a rounding of what they began with.
                tops = [np.minimum(2.0**-50 * np.exp(-np.maximum(part, NOTHING)), 1e-8) for part in parts]
                lost = [np.where(part < -30, 1.0, top) for part, top in zip(parts, tops)]
                parts = [part * (1 + by * r.choice([-1.0, 1.0], part.shape)) for part, by in zip(parts, lost)]
                # Beyond the reach of all rows its trees tell what is left of the sums that they take off again.
                parts = [np.where(part < NOTHING, np.where(np.isinf(part), 0, -np.inf), part) if self.kernel not in ("gaussian", "exponential") else part for part in parts]
            return parts if isinstance(answer, list) else parts[0]

        return call

    def before(method):
        """The power of a number that is off is what is off by a power."""

        def call(self, x, *args, **more):
            if getattr(x, "dtype", None) == np.float32 or set(map(str, getattr(x, "dtypes", ["?"]))) <= {"float32"}:
                # Of float32 the last places are told.
                return method(self, x, *args, **more)
            x = np.array(x, dtype=float)
            x = moved(x, 2.0**-50, r) + 2.0**-50 * r.choice([-1.0, 1.0], x.shape) * (self.method == "yeo-johnson")
            return method(self, x, *args, **more)

        return call

    def squared(method):
        """Distances are differences of squares, of which large numbers leave a rounding."""

        def call(self, x):
            scores = method(self, x)
            if self.metric != "euclidean":
                return scores
            dense = np.asarray(x.toarray() if sp.issparse(x) else x, dtype=float)
            squares = (dense / np.where(self.within_class_std_dev_ == 0, 1, self.within_class_std_dev_)) ** 2
            return scores + 2.0**-50 * r.choice([-1.0, 1.0], scores.shape) * squares.sum(axis=1)[:, None]

        return call

    def nearest(x, centres, metric):
        """The same of priors that are even."""
        if metric != "euclidean":
            return pairwise_distances_argmin(x, centres, metric=metric)
        dense = np.asarray(x.toarray() if sp.issparse(x) else x, dtype=float)
        squares = ((dense[:, None] - centres) ** 2).sum(axis=2)
        rounding = 2.0**-50 * r.choice([-1.0, 1.0], squares.shape)
        return (squares + rounding * (dense**2).sum(axis=1)[:, None]).argmin(axis=1)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(_nearest_centroid, "pairwise_distances_argmin", nearest))
        stack.enter_context(mock.patch.object(NearestCentroid, "_decision_function", squared(NearestCentroid._decision_function)))
        for kind, name, places in BEHIND:
            stack.enter_context(mock.patch.object(kind, name, off(getattr(kind, name), places)))
        stack.enter_context(mock.patch.object(PowerTransformer, "transform", before(PowerTransformer.transform)))
        yield


def slack(model, ask, frame, columns, seed):
    """For each column of an answer, by row how far another may be off: a number, or for labels whether any will do.
    `ask` gives the columns of a model's answer on a frame."""
    r = np.random.RandomState(seed)
    far = [np.zeros(len(frame)) for _ in columns]
    for _ in range(TIMES):
        other = copy.deepcopy(model)
        weights_moved(other, r, set())
        with shaken(r), np.errstate(all="ignore"):
            for at, answer in answers(lambda part: ask(other, part), frame):
                for index, column in enumerate(columns):
                    if answer is None or len(answer[index]) != len(column[at]):
                        far[index][at] = ANYTHING
                    else:
                        far[index][at] = np.maximum(far[index][at], distance(column[at], answer[index]))
    return far


def answers(call, frame):
    """What it answers to all rows, or where it raises then to each."""
    try:
        yield slice(None), call(frame)
    except Exception:  # noqa: BLE001
        for row in range(len(frame)):
            try:
                yield slice(row, row + 1), call(frame.iloc[[row]])
            except Exception:  # noqa: BLE001
                yield slice(row, row + 1), None


def distance(one, other):
    if kind_of(one).startswith("float"):
        one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
        apart = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0, np.abs(one - other))
        return np.minimum(np.nan_to_num(2 * apart, nan=ANYTHING, posinf=ANYTHING), ANYTHING)
    return np.where(np.asarray(one) == np.asarray(other), 0, ANYTHING)
