"""A random model with the table that it has learned from: the seed decides all of it."""

import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb
from catboost import CatBoostClassifier, CatBoostRegressor
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, IsolationForest
from sklearn.feature_extraction import DictVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import LabelBinarizer, LabelEncoder

import libraries
import parts
from tables import STRANGE, TASKS, TRAIN, WORDS, Made, signal, table, target
from parts import SEED


def plain(d):
    """Numbers through a few steps into a model."""
    task = d.one(TASKS)
    holes = d.one([0.0, 0.0, 0.1])
    data = table(d, numbers=d.whole(2, 5), holes=holes, bare=d.flip(0.3), positive=d.flip(0.2))
    steps = parts.numbers(d, task, data.holes) if d.flip(0.7) or data.holes else []
    model = make_pipeline(*steps, parts.model(d, task)) if steps else parts.model(d, task)
    learned = model.fit(data.given(data.train), target(d, data, task))
    if steps and d.flip(0.08):
        learned = make_pipeline(*(FrozenEstimator(one) for _, one in learned.steps))
    return Made(learned, data)


def columns(d, data, task):
    """A ColumnTransformer over what the table has, naming its columns in one of all the ways."""
    names = list(data.train.columns)

    def by(chosen):
        ways = [list(chosen), [names.index(one) for one in chosen], [one in chosen for one in names]]
        if len(chosen) == 1 and data.notes == list(chosen):
            return d.one([chosen[0], names.index(chosen[0])])
        if list(chosen) == data.numbers and not any(data.train[one].dtype == bool for one in names) and d.flip(0.2):
            return make_column_selector(dtype_include=np.number)
        return d.one(ways)

    all_, rest = [], list(data.numbers)
    if rest and d.flip(0.3):
        rest = rest[:-1]
    if rest:
        steps = parts.numbers(d, task, data.holes, most=2)
        all_.append(("numbers", make_pipeline(*steps) if len(steps) > 1 else steps[0], by(rest)))
    if data.words:
        steps = parts.words(d, task, data.absent)
        all_.append(("words", make_pipeline(*steps) if len(steps) > 1 else steps[0], by(data.words)))
    for one in data.notes:
        steps = parts.texts(d)
        all_.append((f"text {one}", make_pipeline(*steps) if len(steps) > 1 else steps[0], by([one])))
    weights = d.one([None, None, None, {all_[0][0]: 0.5}])
    return ColumnTransformer(d.some(all_, len(all_)), remainder=d.one(["drop", "passthrough", "passthrough"]),
                             sparse_threshold=d.one([0.3, 0.3, 0, 1.0]), transformer_weights=weights)


def mixed(d):
    """Numbers, words and texts, each their own way, into a model."""
    task = d.one(TASKS)
    data = table(d, numbers=d.whole(0, 3), words=d.whole(1, 3), notes=d.one([0, 0, 0, 1]), holes=d.one([0.0, 0.08]))
    first = columns(d, data, task)
    steps = parts.numbers(d, task, False, most=1) if d.flip(0.25) else []
    model = Pipeline([("columns", first), *((f"step{at}", one) for at, one in enumerate(steps)), ("model", parts.model(d, task))])
    return Made(model.fit(data.given(data.train), target(d, data, task)), data)


def words(d):
    """category_encoders, alone or before a model."""
    task = d.one(["number", "two", "positive"])
    data = table(d, numbers=d.whole(1, 2), words=d.whole(1, 3), holes=d.one([0.0, 0.08]))
    first = parts.grouped(d, data.words)
    y = target(d, data, task)
    codes = pd.Series(y if task != "two" else (y == y[0]).astype(int))
    if d.flip(0.3):
        return Made(first.fit(data.train, codes), data)
    gaps = [parts.imputer(d)] if data.holes else []
    return Made(make_pipeline(first, *gaps, parts.model(d, task, most=1)).fit(data.train, codes), data)


def engineered(d):
    """feature_engine before a model."""
    task = d.one(["number", "two", "positive"])
    data = table(d, numbers=d.whole(1, 3), words=d.whole(0, 2), holes=d.one([0.0, 0.08]))
    if data.narrow and data.holes:
        raise ValueError("what pandas fills in decides for a whole batch whether a column of float32 stays one")
    y = target(d, data, task)
    codes = pd.Series(y if task != "two" else (y == y[0]).astype(int))
    return Made(make_pipeline(*parts.engineered(d, data), parts.model(d, task, most=1)).fit(data.train, codes), data)


def text(d):
    """One text a row."""
    task = d.one(["two", "many", "number"])
    data = table(d, notes=1)
    only = data.notes[0]
    steps = parts.texts(d)
    if d.flip(0.2):
        steps = [FeatureUnion([("a", parts.vectorizer(d)), ("b", parts.vectorizer(d))])]
    if d.flip(0.8):
        steps.append(parts.model(d, task, most=1))
    model = make_pipeline(*steps) if len(steps) > 1 else steps[0]
    return Made(model.fit(data.train[only], target(d, data, task)), data, given=lambda frame: frame[only])


def transformers(d):
    """Transformers alone."""
    if d.flip(0.5):
        data = table(d, numbers=d.whole(2, 4), holes=d.one([0.0, 0.1]), bare=d.flip(0.3), positive=d.flip(0.2))
        steps = parts.numbers(d, "number", data.holes)
        model = make_pipeline(*steps) if len(steps) > 1 else steps[0]
    else:
        data = table(d, numbers=d.whole(0, 2), words=d.whole(1, 2), notes=d.one([0, 0, 1]), holes=d.one([0.0, 0.1]))
        model = columns(d, data, "number")
        if model.remainder == "passthrough":
            model.set_params(remainder="drop")
    return Made(model.fit(data.given(data.train), signal(d, data)), data)


def labels(d):
    """Encoders of targets."""
    data = table(d, words=1) if d.flip() else table(d, numbers=1)
    only = data.train.columns[0]
    if data.numbers:
        data.train = pd.DataFrame({only: d.randint(0, 4, TRAIN)})
        data.asked = pd.DataFrame({only: d.randint(0, 5, len(data.asked))})
    model = LabelEncoder() if d.flip() else LabelBinarizer(neg_label=d.one([0, -1]), sparse_output=False)
    model.fit(data.train[only].to_numpy())
    if len(model.classes_) < 3:
        raise ValueError("what a binarizer of two classes gives depends on the other rows")
    return Made(model, data, given=lambda frame: frame[only].to_numpy())


def dicts(d):
    """A dict a row."""
    task = d.one(["number", "two"])
    data = table(d, numbers=d.whole(1, 3), words=d.whole(0, 2))

    def given(frame):
        return [{key: None if value is None or (isinstance(value, float) and key in data.words) else value for key, value in row.items()}
                for row in frame.to_dict("records")]

    first = DictVectorizer(sparse=d.flip(), sort=d.flip(0.8), dtype=d.one([np.float64, np.float32]))
    model = make_pipeline(first, parts.model(d, task, most=1)) if d.flip(0.7) else first
    return Made(model.fit(given(data.train), target(d, data, task)), data, given=given)


def boosted(d):
    """Boosting that takes missing values and categories as they are."""
    task = d.one(["number", "positive", "two", "many", "numbers"])
    data = table(d, numbers=d.whole(1, 4), words=d.whole(0, 2), holes=d.one([0.0, 0.15]))
    for name in data.words:
        # XGBoost 3.2 cuts other letters than ASCII's in half.
        plain = {text: text.encode("ascii", "replace").decode() for text in [*WORDS, *STRANGE]}
        for frame in (data.train, data.asked):
            frame[name] = frame[name].map(plain, na_action="ignore")
        data.levels[name] = sorted(data.train[name].dropna().unique())
    x, y = data.given(data.train), target(d, data, task)
    count = {"two": 2, "many": 3}.get(task)
    objective = {
        "number": ["reg:squarederror", "reg:absoluteerror", "reg:quantileerror"], "positive": ["count:poisson", "reg:gamma", "reg:tweedie"],
        "two": ["binary:logistic"], "many": ["multi:softprob"], "numbers": ["reg:squarederror"],
    }
    if count and not np.array_equal(np.unique(y), np.arange(len(np.unique(y)))):
        codes = np.unique(y, return_inverse=True)[1]
    else:
        codes = y
    kind = d.one(["xgboost", "xgboost", "lightgbm", "lightgbm", "histogram", "catboost", "catboost"])
    if kind == "catboost" and task != "numbers":
        # What is missing is no category to it.
        for frame in (data.train, data.asked):
            for name in data.words:
                frame[name] = frame[name].astype(object).where(frame[name].notna(), "none")
        loss = {"number": "RMSE", "positive": d.one(["Poisson", "Tweedie:variance_power=1.5"]), "two": "Logloss",
                "many": d.one(["MultiClass", "MultiClassOneVsAll"])}[task]
        wrapper = CatBoostClassifier if count else CatBoostRegressor
        model = parts.cat_model(d, wrapper, loss, one_hot_max_size=d.one([1, 2, 10]), max_ctr_complexity=d.one([1, 2, 3]))
        return Made(model.fit(data.train, y, cat_features=data.words), data, given=lambda frame: frame)
    if kind == "xgboost" or task == "numbers":
        # An unseen category of XGBoost 3.2 is the next one in the alphabet, and raises only behind the last.
        for name, known in data.levels.items():
            data.asked[name] = data.asked[name].where(data.asked[name].isin(known), data.absent)
        wrapper = xgb.XGBClassifier if count else xgb.XGBRegressor
        model = parts.xgb_model(d, wrapper, d.one(objective[task]), enable_categorical=True)
        model.set_params(booster=d.one(["gbtree", "dart"]), tree_method="hist", updater=None, missing=np.nan,
                         max_cat_to_onehot=d.one([1, 4, 100]), min_child_weight=0.1)
        if d.flip(0.3):
            model.set_params(early_stopping_rounds=2, n_estimators=20, learning_rate=0.9)
            return Made(model.fit(x, codes, eval_set=[(x.iloc[:40], codes[::-1][:40])], verbose=False), data)
        return Made(model.fit(x, codes), data)
    if kind == "lightgbm":
        wrapper = lgb.LGBMClassifier if count else lgb.LGBMRegressor
        name = {"number": ["regression", "regression_l1", "quantile"], "positive": ["poisson", "tweedie"], "two": ["binary"],
                "many": ["multiclass", "multiclassova"]}[task]
        model = parts.lgb_model(d, wrapper, d.one(name), min_data_per_group=5, cat_smooth=1.0, max_cat_to_onehot=d.one([1, 4]))
        if d.flip(0.3) and model.boosting_type == "gbdt":
            model.set_params(n_estimators=20, learning_rate=0.5)
            return Made(model.fit(x, y, eval_set=[(x.iloc[:40], y[::-1][:40])], callbacks=[lgb.early_stopping(2, verbose=False)]), data)
        return Made(model.fit(x, y), data)
    wrapper = HistGradientBoostingClassifier if count else HistGradientBoostingRegressor
    model = wrapper(categorical_features="from_dtype", max_iter=5, max_depth=4, min_samples_leaf=4, max_bins=d.one([255, 12]), **SEED)
    return Made(model.fit(x, y), data)


def boosters(d):
    """Boosters without a wrapper, of objectives that wrappers have no room for too."""
    data = table(d, numbers=d.whole(2, 4), holes=d.one([0.0, 0.15]))
    score = signal(d, data)
    three = np.digitize(score, np.quantile(score, [0.3, 0.7]))
    if d.flip():
        objective = d.one(["rank:pairwise", "rank:ndcg", "survival:cox", "survival:aft", "reg:logistic", "binary:logitraw", "multi:softmax",
                           "multi:softprob", "reg:squarederror", "binary:hinge"])
        label = {"rank": three, "survival": np.where(three == 1, -1, 1) * np.exp(score / 2), "multi": three, "binary": (score > 0).astype(int)}.get(
            objective.split(":")[0], 1 / (1 + np.exp(-score)))
        matrix = xgb.DMatrix(data.train, label=label)
        if objective.startswith("rank"):
            matrix.set_group([20] * (TRAIN // 20))
        if objective == "survival:aft":
            matrix.set_float_info("label_lower_bound", np.abs(label))
            matrix.set_float_info("label_upper_bound", np.where(three == 1, np.inf, np.abs(label)))
        settings = {"objective": objective, "max_depth": d.whole(1, 3), "nthread": 1, "seed": 1, "eta": d.between(0.2, 0.9),
                    "booster": d.one(["gbtree", "gbtree", "dart"])}
        if objective.startswith("multi"):
            settings["num_class"] = 3
        return Made(xgb.train(settings, matrix, d.whole(1, 5)), data, raw=True)
    objective = d.one(["lambdarank", "rank_xendcg", "cross_entropy", "cross_entropy_lambda", "binary", "multiclass", "regression", "gamma"])
    label = {"lambdarank": three, "rank_xendcg": three, "multiclass": three, "binary": (score > 0).astype(int), "regression": score,
             "gamma": np.exp(score / 2)}.get(objective, 1 / (1 + np.exp(-score)))
    settings = {"objective": objective, "num_leaves": d.whole(2, 8), "num_threads": 1, "verbose": -1, "seed": 1, "min_data_in_leaf": 5,
                **({"num_class": 3} if objective == "multiclass" else {})}
    group = [20] * (TRAIN // 20) if "rank" in objective or "lambdarank" in objective else None
    frame = data.train.rename(columns=lambda name: name.replace(" ", "_"))
    return Made(lgb.train(settings, lgb.Dataset(frame, label, group=group), d.whole(1, 6)), data, raw=True)


def outliers(d):
    """A detector of outliers, alone or behind a few steps."""
    data = table(d, numbers=d.whole(2, 4), bare=d.flip(0.3))
    forest = IsolationForest(n_estimators=5, max_samples=d.one([32, 0.5]), contamination=d.one(["auto", 0.1]), **SEED)
    forest = d.one([forest, forest, LocalOutlierFactor(d.whole(2, 9), novelty=True, algorithm=d.one(["kd_tree", "ball_tree"])),
                    EllipticEnvelope(**SEED), SGDOneClassSVM(**SEED)])
    model = make_pipeline(*parts.numbers(d, "number", False, most=1), forest) if d.flip() else forest
    return Made(model.fit(data.given(data.train), signal(d, data)), data)


SHAPES = [plain] * 9 + [mixed] * 8 + [boosted] * 4 + [transformers] * 3 + [boosters] * 2 + [words] * 2 + [engineered] * 2 + [text] * 2 + [labels, dicts, outliers] + libraries.SHAPES
