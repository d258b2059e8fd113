"""Shapes of the libraries around scikit-learn: statsmodels, optbinning, scikit-lego, mlxtend, category_encoders; densities."""

import category_encoders as encoders
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from category_encoders.wrapper import NestedCVWrapper, PolynomialWrapper
from mlxtend.classifier import Adaline, Perceptron, SoftmaxRegression, StackingCVClassifier
from mlxtend.classifier import LogisticRegression as OwnLogistic
from mlxtend.feature_selection import ColumnSelector, ExhaustiveFeatureSelector, SequentialFeatureSelector
from mlxtend.preprocessing import CopyTransformer, DenseTransformer
from mlxtend.regressor import LinearRegression as OwnLine
from mlxtend.regressor import StackingCVRegressor
from optbinning import BinningProcess, Scorecard
from sklearn import linear_model as linear
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklego.meta import DecayEstimator, EstimatorTransformer, Thresholder, ZeroInflatedRegressor
from sklego.preprocessing import (
    ColumnCapper, ColumnDropper, IdentityTransformer, InformationFilter, IntervalEncoder, OrthogonalTransformer, TypeSelector,
)
from sklego.preprocessing import ColumnSelector as NamedColumns

import parts
from parts import SEED
from tables import Made, signal, table, target


def codes_of(y):
    """Two classes as 0 and 1."""
    return (y == y[0]).astype(int)


# -- statsmodels
def refuse_nothing(model):
    """numpy's product of a single column and 0 is 0 even of an infinity, unless there is a single row, too."""
    if np.shape(model.params) == (1,) and not np.any(model.params):
        raise ValueError("a single coefficient, which is 0")


def results(d):
    """A fitted model of statsmodels, of an array, a table or a formula."""
    by_formula = d.flip(0.4)
    data = table(d, numbers=d.whole(1, 3), words=d.whole(0, 2) if by_formula else 0, bare=not by_formula and d.flip(0.3))
    if by_formula:
        # A formula takes names that Python takes.
        plain = {name: "".join(c if c.isalnum() and c.isascii() else "_" for c in name) for name in data.train.columns}
        data.train, data.asked = data.train.rename(columns=plain), data.asked.rename(columns=plain)
        data.numbers, data.words = [plain[one] for one in data.numbers], [plain[one] for one in data.words]
    score = signal(d, data)
    score = score / max(score.std(), 1e-9)
    kind = d.one(["ols", "ols", "logit", "probit", "poisson", "glm", "glm", *([] if by_formula else ["wls", "mnlogit"])])
    yes, count = (score + d.normal(0, 1, len(score)) > 0).astype(int), d.poisson(np.exp(np.clip(score, -3, 3) / 2))
    family, y = None, {"logit": yes, "probit": yes, "poisson": count, "mnlogit": np.digitize(score, [-0.5, 0.5])}.get(kind, score)
    if kind == "glm":
        links = sm.families.links
        family, y = d.one([
            (sm.families.Gaussian(), score), (sm.families.Binomial(), yes), (sm.families.Binomial(links.CLogLog()), yes),
            (sm.families.Binomial(links.Probit()), yes) if d.flip(0.1) else (sm.families.Poisson(), count),
            (sm.families.Gamma(links.Log()), np.exp(score / 3) + 0.1), (sm.families.Tweedie(var_power=1.5), np.exp(score / 3)),
        ])
    more = {"family": family} if family else {}
    fit = {"disp": 0} if kind in ("logit", "probit", "poisson", "mnlogit") else {}
    if by_formula:
        bools = [one for one in data.numbers if data.train[one].dtype == bool]
        terms = [one if one in bools else d.one([one, one, f"np.log1p(np.abs({one}))", f"I({one} ** 2)", f"np.exp(-np.abs({one}) / 100)"]) for one in data.numbers]
        terms += [d.one([one, f"C({one})", f"{one}:{data.numbers[0]}"]) for one in data.words]
        formula = "y ~ " + " + ".join(terms) + d.one(["", "", " - 1"])
        model = getattr(smf, kind)(formula, data.train.assign(y=y), **more).fit(**fit)
        refuse_nothing(model)
        return Made(model, data, given=lambda frame: frame, raw=True)
    constant = d.flip(0.8)

    def given(frame):
        part = data.given(frame)
        return sm.add_constant(part, has_constant="add") if constant else part

    if kind == "wls":
        more = {"weights": 1 + np.arange(len(y)) % 3}
    model = {"ols": sm.OLS, "wls": sm.WLS, "logit": sm.Logit, "probit": sm.Probit, "poisson": sm.Poisson, "mnlogit": sm.MNLogit, "glm": sm.GLM}[kind]
    model = model(y, given(data.train), **more).fit(**fit)
    refuse_nothing(model)
    if d.flip(0.2):
        if any(data.train[one].nunique() < 2 for one in data.numbers):
            raise ValueError("without its data a constant is taken for the one that add_constant makes")
        model.remove_data()
    return Made(model, data, given=given, raw=True)


# -- optbinning
def bins(d):
    """Bins of optbinning, alone or as a scorecard."""
    data = table(d, numbers=d.whole(1, 2), words=d.whole(0, 1), holes=d.one([0.0, 0.1]))
    y = codes_of(target(d, data, "two"))
    names = list(data.train.columns)
    process = BinningProcess(names, categorical_variables=list(data.words), max_n_bins=d.whole(2, 5), min_prebin_size=d.one([0.05, 0.15]))
    if d.flip(0.4):
        return Made(process.fit(data.train, y), data, given=lambda frame: frame)
    scale = d.one([{}, {"scaling_method": "min_max", "scaling_method_params": {"min": 300, "max": 850}},
                   {"scaling_method": "pdo_odds", "scaling_method_params": {"pdo": 20, "odds": 50, "scorecard_points": 600}}])
    card = Scorecard(process, linear.LogisticRegression(C=d.between(0.1, 5)), **scale)
    return Made(card.fit(data.train, y), data, given=lambda frame: frame)


# -- scikit-lego
def lego(d):
    """Steps and wrappers of scikit-lego."""
    task = d.one(["number", "two", "positive"])
    data = table(d, numbers=d.whole(2, 4), holes=d.one([0.0, 0.0, 0.1]))
    y = target(d, data, task)
    first = [d.one([lambda d: NamedColumns(d.some(data.numbers, d.whole(1, 2))), lambda d: ColumnDropper(data.numbers[:1]),
                    lambda d: IdentityTransformer(), lambda d: TypeSelector(include="number")])] if d.flip(0.4) else []
    steps = [*first, *([parts.imputer(d)] if data.holes else [])]
    for _ in range(d.whole(0, 2)):
        steps.append(d.one([
            lambda d: ColumnCapper(quantile_range=d.one([(5, 95), (20, 80)])),
            lambda d: make_pipeline(StandardScaler(), OrthogonalTransformer(normalize=d.flip())),
            lambda d: IdentityTransformer(check_X=True),
            lambda d: FeatureUnion([("a", EstimatorTransformer(DecisionTreeRegressor(max_depth=2, **SEED) if task != "two" else
                                                               DecisionTreeClassifier(max_depth=2, **SEED))), ("b", IdentityTransformer())]),
            lambda d: d.one(parts.SCALERS),
        ]))
    if not first and not data.holes and task == "number" and d.flip(0.3):
        steps = [d.one([lambda d: IntervalEncoder(n_chunks=d.whole(3, 6), span=d.one([0.5, 1]), method=d.one(["average", "normal"])),
                        lambda d: InformationFilter(data.numbers[:1], alpha=d.between(0.2, 1))])]
    model = parts.model(d, task, most=1)
    if d.flip(0.5):
        model = Thresholder(parts.classifiers(d), threshold=d.between(0.2, 0.8)) if task == "two" else d.one([
            lambda d: DecayEstimator(linear.Ridge(), decay_func=d.one(["exponential", "linear"])),
            lambda d: ZeroInflatedRegressor(DecisionTreeClassifier(max_depth=3, **SEED), parts.regressors(d)),
        ])
        if isinstance(model, ZeroInflatedRegressor):
            y = np.where(y > np.median(y), y, 0.0)
    learned = make_pipeline(*steps, model) if steps else model
    return Made(learned.fit(data.train, y), data)


# -- mlxtend
def own(d):
    """mlxtend's models and selectors."""
    data = table(d, numbers=d.whole(2, 4), bare=d.flip(0.5))
    task = d.one(["number", "two", "many"])
    y = target(d, data, task)
    codes = np.unique(y, return_inverse=True)[1]
    if data.bare:
        once = {"epochs": d.whole(2, 6), "eta": 0.001, "random_seed": 1}
        model = {
            "number": lambda: OwnLine(method="direct"), "many": lambda: SoftmaxRegression(**once),
            "two": lambda: d.one([Adaline, OwnLogistic, Perceptron, SoftmaxRegression])(**once),
        }[task]()
        scaler = StandardScaler()
        model.fit(scaler.fit_transform(data.given(data.train)), np.asarray(y, dtype=float) if task == "number" else codes)
        return Made(make_pipeline(scaler, model), data)
    names = list(data.train.columns)
    if d.flip(0.4):
        steps = [d.one([
            lambda d: ColumnSelector(d.some(names, d.whole(1, 2))),
            lambda d: make_pipeline(KBinsDiscretizer(3, strategy="uniform"), DenseTransformer()),
            lambda d: CopyTransformer(),
        ])]
    else:
        inner = DecisionTreeRegressor(max_depth=2, **SEED) if task == "number" else DecisionTreeClassifier(max_depth=2, **SEED)
        steps = [d.one([
            lambda d: SequentialFeatureSelector(inner, k_features=d.whole(1, 2), forward=d.flip(), cv=2),
            lambda d: ExhaustiveFeatureSelector(inner, min_features=1, max_features=2, cv=2, print_progress=False),
        ])]
    model = parts.model(d, task, most=1)
    if d.flip(0.3):
        folds = {"cv": 2, "random_state": 0, "use_features_in_secondary": d.flip()}
        if task == "number":
            model = StackingCVRegressor([parts.regressors(d), DecisionTreeRegressor(max_depth=3, **SEED)], parts.regressors(d), **folds)
        else:
            model = StackingCVClassifier([DecisionTreeClassifier(max_depth=2, **SEED), DecisionTreeClassifier(max_depth=4, **SEED)],
                                         DecisionTreeClassifier(max_depth=4, **SEED), use_probas=d.flip(), **folds)
            y = codes
    return Made(make_pipeline(*steps, model).fit(data.train, y), data, told=names)


# -- category_encoders
def categories(d):
    """Encoders of category_encoders that `parts.grouped` does not draw, and settings that it does not."""
    task = d.one(["number", "two", "many"])
    data = table(d, numbers=d.whole(0, 1), words=d.whole(1, 3), holes=d.one([0.0, 0.08]))
    y = target(d, data, "two" if task == "many" and d.flip(0.3) else task)
    number = pd.Series(y if task == "number" else np.unique(y, return_inverse=True)[1])
    two, three = task == "two", task == "many"
    cols = {"cols": list(data.words)}
    how = {"handle_unknown": d.one(["value", "value", "return_nan", "error"]), "handle_missing": d.one(["value", "value", "return_nan"])}
    lumps = d.one([{}, {}, {"min_group_size": d.one([9, 0.15]), **d.one([{}, {"min_group_name": "rest"}])}])
    pairs = {"composite_cols": [tuple(data.words[:2])], "keep_components": d.flip()} if len(data.words) > 1 and d.flip(0.4) else {}
    of_targets = [
        lambda d: encoders.QuantileEncoder(quantile=d.between(0.1, 0.9), m=d.between(0, 3), **cols, **how, **lumps, **pairs),
        lambda d: encoders.SummaryEncoder(quantiles=d.one([(0.25, 0.75), (0.1, 0.5, 0.9)]), **cols, **how),
        lambda d: encoders.TargetEncoder(**cols, **how, **lumps, **pairs),
        lambda d: encoders.MEstimateEncoder(m=d.between(0, 9), **cols, **how, **lumps, **pairs),
        lambda d: encoders.JamesSteinEncoder(**cols, **how, **lumps),
        lambda d: encoders.LeaveOneOutEncoder(**cols, **how, **pairs),
        lambda d: encoders.CatBoostEncoder(a=d.between(0.1, 5), **cols, **how, **lumps),
        lambda d: NestedCVWrapper(encoders.TargetEncoder(**cols), cv=2, **SEED),
    ]
    of_words = [
        lambda d: encoders.BaseNEncoder(base=d.whole(2, 4), **cols, **how, **lumps),
        lambda d: encoders.GrayEncoder(**cols, **how),
        lambda d: encoders.RankHotEncoder(use_cat_names=d.flip(), **cols, **how),
        lambda d: d.one([encoders.PolynomialEncoder, encoders.BackwardDifferenceEncoder, encoders.HelmertEncoder, encoders.SumEncoder])(**cols, **how),
        lambda d: encoders.OneHotEncoder(use_cat_names=d.flip(), **cols, **{**how, "handle_unknown": d.one([how["handle_unknown"], "indicator"])}, **lumps),
        lambda d: encoders.OrdinalEncoder(handle_unknown=-7, handle_missing=-9, index_start=d.whole(0, 3), **cols),
        lambda d: encoders.CountEncoder(normalize=d.flip(), combine_min_nan_groups=d.flip() if "min_group_size" in lumps else None, **cols, **lumps, **how),
        lambda d: encoders.HashingEncoder(n_components=d.whole(2, 9), hash_method=d.one(["md5", "md5", "sha256"]), max_process=1, **cols),
        lambda d: encoders.MultiHotEncoder(delimiter=d.one(["|", " ", "-"]), use_cat_names=d.flip(), **cols, **how),
    ]
    options = [*of_words, *of_targets] if not three else of_words
    if two:
        options += [lambda d: encoders.WOEEncoder(regularization=d.between(0.1, 2), **cols, **how, **lumps)] * 2
    if two or three:
        options += [lambda d: encoders.CountTargetEncoder(min_samples_leaf=d.whole(1, 20), **cols, **how)] * 2
    if three and len(np.unique(number)) > 2:
        options += [lambda d: PolynomialWrapper(d.one([encoders.TargetEncoder, encoders.MEstimateEncoder])(**cols))] * 3
        number = pd.Series(y.astype(str)) if d.flip() else number
    first = d.one(options)
    if isinstance(first, encoders.HashingEncoder):
        if data.absent is None:
            raise ValueError("it counts NaN and leaves None out")
    if d.flip(0.5):
        fitted = first.fit(data.train, number)
        return Made(first if fitted is None else fitted, data)
    gaps = [parts.imputer(d)] if data.holes or how["handle_unknown"] == "return_nan" else []
    task = "number" if task == "number" else "two"
    if isinstance(first, PolynomialWrapper):
        task = "many"
    y = number if task == "number" or not isinstance(first, PolynomialWrapper) else y
    return Made(make_pipeline(first, *gaps, parts.model(d, "number" if task == "number" else "many", most=1)).fit(data.train, y), data)


# -- densities
def densities(d):
    """Kernel densities, alone or behind a scaler."""
    data = table(d, numbers=d.whole(1, 3), bare=d.flip(0.3))
    kernel = d.one(["gaussian", "gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"])
    model = KernelDensity(kernel=kernel, bandwidth=d.one([0.3, 1.0, "scott", "silverman"]), algorithm=d.one(["auto", "kd_tree", "ball_tree"]))
    model = make_pipeline(*parts.numbers(d, "number", False, most=1), model) if d.flip() else model
    return Made(model.fit(data.given(data.train)), data, samples=True)


SHAPES = [categories] * 4 + [results] * 3 + [lego] * 2 + [own] * 2 + [bins, densities]
