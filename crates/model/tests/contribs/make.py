"""Makes the cases of this folder: models, rows, and what the libraries say each column adds.

    PYTHONPATH=… python make.py xgboost | lightgbm | sklearn | isolation | linear | catboost | leaves

needs xgboost, lightgbm or catboost, or scikit-learn and shap, and writes NAME.model and NAME.json. `leaves LIBRARY` writes
into NAME.leaves in which leaf of each tree the rows of the library's models end.
"""
import json
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
NAMES = ["age", "dept", "dose", "sex", "weight"]
random = np.random.default_rng(11)
N = 400
X = np.column_stack([
    random.integers(18, 95, N), random.integers(0, 12, N), random.normal(2, 1, N), random.integers(0, 2, N),
    random.normal(75, 14, N),
]).astype(np.float32)
y = X[:, 0] * 2 + np.where(X[:, 1] > 6, 40, 0) * X[:, 2] + X[:, 3] * (X[:, 4] - 75) + random.normal(0, 5, N)
with_missing = X.copy()
with_missing[random.random(X.shape) < 0.1] = np.nan
three = np.digitize(y, np.quantile(y, [0.3, 0.7]))
two = (y > np.median(y)).astype(int)
HEAD = 25


def write(name, model, rows, contribs):
    (HERE / f"{name}.model").write_bytes(model)
    rows = [[None if np.isnan(v) else float(v) for v in row] for row in rows]
    contribs = [[float(f"{v:.9g}") for v in np.ravel(row)] for row in contribs]
    lines = [json.dumps({"row": row, "contribs": contrib}) for row, contrib in zip(rows, contribs)]
    (HERE / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def xgboost():
    import xgboost as xgb
    print(xgb.__version__)
    def one(name, rows, label, rounds=12, **params):
        train = xgb.DMatrix(rows, label, feature_names=NAMES)
        booster = xgb.train({"max_depth": 4, "eta": 0.3, "nthread": 1, **params}, train, rounds)
        head = xgb.DMatrix(rows[:HEAD], feature_names=NAMES)
        write(name, bytes(booster.save_raw("json")), rows[:HEAD], booster.predict(head, pred_contribs=True))
    one("xgboost-regression", with_missing, y)
    one("xgboost-two", X, two, objective="binary:logistic")
    one("xgboost-three", with_missing, three, objective="multi:softprob", num_class=3)
    one("xgboost-gblinear", with_missing, y, booster="gblinear")
    one("xgboost-gblinear-three", X, three, booster="gblinear", objective="multi:softprob", num_class=3)
    one("xgboost-dart", X, y, booster="dart", rate_drop=0.3, one_drop=1)


def lightgbm():
    import lightgbm as lgb
    print(lgb.__version__)
    def one(name, rows, label, rounds=12, categorical="auto", **params):
        train = lgb.Dataset(rows, label, feature_name=NAMES, categorical_feature=categorical)
        params = {"num_leaves": 15, "learning_rate": 0.3, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, **params}
        booster = lgb.train(params, train, rounds)
        contribs = booster.predict(rows[:HEAD], pred_contrib=True)
        write(name, booster.model_to_string().encode(), rows[:HEAD], contribs)
    one("lightgbm-regression", with_missing.astype(float), y)
    one("lightgbm-categories", with_missing.astype(float), y, categorical=["dept"], min_data_per_group=5, cat_smooth=1)
    one("lightgbm-zero", X.astype(float), y, zero_as_missing=True)
    one("lightgbm-two", X.astype(float), two, objective="binary")
    one("lightgbm-three", X.astype(float), three, objective="multiclass", num_class=3)


def sklearn():
    import pickle
    import pandas as pd
    import shap
    from sklearn import ensemble, tree
    frame = pd.DataFrame(X, columns=NAMES)
    def one(name, model, label, rows=X):
        model.fit(pd.DataFrame(rows, columns=NAMES), label)
        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        values = explainer.shap_values(rows[:HEAD])
        mean = np.atleast_1d(explainer.expected_value)
        values = values[:, :, None] if values.ndim == 2 else values
        contribs = [np.concatenate([np.append(values[r, :, o], mean[o]) for o in range(values.shape[2])]) for r in range(HEAD)]
        write(name, pickle.dumps(model, protocol=4), rows[:HEAD], contribs)
    one("sklearn-tree", tree.DecisionTreeRegressor(max_depth=6, random_state=1), y)
    one("sklearn-forest", ensemble.RandomForestRegressor(8, max_depth=6, random_state=1), y)
    one("sklearn-forest-three", ensemble.RandomForestClassifier(5, max_depth=5, random_state=1), three)
    one("sklearn-extra-trees", ensemble.ExtraTreesClassifier(5, max_depth=5, random_state=1), two)
    one("sklearn-boosting", ensemble.GradientBoostingRegressor(n_estimators=10, max_depth=4, random_state=1), y)
    one("sklearn-boosting-two", ensemble.GradientBoostingClassifier(n_estimators=10, max_depth=4, random_state=1), two)
    one("sklearn-histogram", ensemble.HistGradientBoostingRegressor(max_iter=10, max_leaf_nodes=12), y, rows=with_missing)


def isolation():
    import pickle
    import pandas as pd
    import shap
    from sklearn.ensemble import IsolationForest
    def one(name, **params):
        model = IsolationForest(n_estimators=12, max_samples=64, random_state=1, **params).fit(pd.DataFrame(X, columns=NAMES))
        explainer = shap.TreeExplainer(model)
        values, mean = explainer.shap_values(X[:HEAD]), float(np.ravel(explainer.expected_value)[0])
        write(name, pickle.dumps(model, protocol=4), X[:HEAD], [np.append(row, mean) for row in values])
    one("sklearn-isolation")
    one("sklearn-isolation-columns", max_features=3)


def linear():
    import pickle
    from sklearn.linear_model import LinearRegression, LogisticRegression
    import pandas as pd
    def one(name, model, label):
        model.fit(pd.DataFrame(X.astype(float), columns=NAMES), label)
        weights = np.atleast_2d(model.coef_)
        intercept = np.atleast_1d(model.intercept_)
        contribs = [np.concatenate([np.append(weights[o] * row, intercept[o]) for o in range(len(weights))])
                    for row in X[:HEAD].astype(float)]
        write(name, pickle.dumps(model, protocol=4), X[:HEAD], contribs)
    one("sklearn-linear", LinearRegression(), y)
    one("sklearn-logistic-two", LogisticRegression(max_iter=5000), two)
    one("sklearn-logistic-three", LogisticRegression(max_iter=5000), three)


def catboost():
    import catboost
    import tempfile
    print(catboost.__version__)
    coded = X.astype(object)
    coded[:, 1] = X[:, 1].astype(int)
    def one(name, make, label, rows, cats=(), format="cbm", **params):
        model = make(iterations=12, depth=4, learning_rate=0.3, thread_count=1, verbose=False, allow_writing_files=False, **params)
        pool = catboost.Pool(rows, label, cat_features=list(cats), feature_names=NAMES)
        model.fit(pool)
        with tempfile.NamedTemporaryFile(suffix="." + format) as file:
            model.save_model(file.name, format=format, pool=pool if cats else None)
            content = Path(file.name).read_bytes()
        head = catboost.Pool(rows[:HEAD], cat_features=list(cats), feature_names=NAMES)
        contribs = model.get_feature_importance(head, type="ShapValues", thread_count=1)
        plain = np.array(rows[:HEAD], dtype=float)
        write(name, content, plain, contribs)
    one("catboost-regression", catboost.CatBoostRegressor, y, with_missing)
    one("catboost-categories", catboost.CatBoostRegressor, y, coded, cats=[1], one_hot_max_size=2)
    one("catboost-combinations", catboost.CatBoostClassifier, two, np.column_stack([coded[:, 0], coded[:, 1], coded[:, 2], X[:, 3].astype(int), coded[:, 4]]), cats=[1, 3], max_ctr_complexity=3, one_hot_max_size=2)
    one("catboost-three", catboost.CatBoostClassifier, three, X, format="json")
    # Its trees are not explained: the JSON is for nobody.
    one("catboost-lossguide", catboost.CatBoostRegressor, y, with_missing, grow_policy="Lossguide", max_leaves=12)


def leaves():
    import pickle
    import pandas as pd
    for case in sorted(HERE.glob(f"{sys.argv[2]}*.json")):
        name = case.stem
        rows = np.array([[np.nan if v is None else v for v in json.loads(line.rstrip(","))["row"]]
                         for line in case.read_text().splitlines() if line.startswith("{")])
        model = HERE / f"{name}.model"
        if name.startswith("xgboost") and "gblinear" not in name:
            import xgboost as xgb
            booster = xgb.Booster(model_file=bytearray(model.read_bytes()))
            found = booster.predict(xgb.DMatrix(rows, feature_names=NAMES), pred_leaf=True)
        elif name.startswith("lightgbm"):
            import lightgbm as lgb
            found = lgb.Booster(model_str=model.read_text()).predict(rows, pred_leaf=True)
        elif name.startswith("sklearn") and name.split("-")[1] in ("tree", "forest", "extra", "boosting"):
            estimator = pickle.loads(model.read_bytes())
            found = estimator.apply(pd.DataFrame(rows.astype(np.float32), columns=NAMES))
        elif name.startswith("catboost") and "lossguide" not in name:
            import catboost
            loaded = catboost.CatBoost().load_model(str(model), format="json" if name.endswith("three") else "cbm")
            table = rows.astype(object)
            for place in loaded.get_cat_feature_indices():
                table[:, place] = rows[:, place].astype(int)
            found = loaded.calc_leaf_indexes(catboost.Pool(table, cat_features=loaded.get_cat_feature_indices(), feature_names=NAMES))
        else:
            continue
        found = np.asarray(found).reshape(len(rows), -1).astype(int)
        (HERE / f"{name}.leaves").write_text("".join(" ".join(map(str, row)) + "\n" for row in found))


globals()[sys.argv[1]]()
