#!/usr/bin/env python3
"""Trains the models that are measured: usage: models.py DIR

Writes NAME.joblib, NAME.X.npy (100,000 float32 rows), NAME.expected.npy (what the library answers), and what else rivals
read. What is there is not made again. Needs what rivals.txt lists.
"""
import os, pathlib, sys, warnings

os.environ["OMP_NUM_THREADS"] = "1"
warnings.filterwarnings("ignore")
import joblib
import lightgbm
import numpy as np
import xgboost
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestClassifier,
                              RandomForestRegressor)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
ROWS, LEARNED = 100_000, 40_000


def exams(n):
    """Examinations of a hospital: seven features that are whole numbers, and the seconds that each took."""
    rng = np.random.default_rng(7)
    item = rng.choice(30, n, p=np.r_[0.4, np.full(29, 0.6 / 29)])
    doctor, department, sex = rng.integers(0, 300, n), rng.integers(0, 40, n), rng.integers(0, 2, n)
    age = np.clip(rng.normal(55, 18, n), 1, 99).astype(int)
    position, inpatient = rng.integers(0, 25, n), rng.integers(1, 4, n)
    y = 1500 + 60 * item + 12 * position + 4 * age + 90 * (inpatient == 3) + 0.8 * doctor + 30 * np.sin(department)
    y = y + rng.lognormal(4.5, 0.6, n)
    return np.column_stack([item, doctor, department, sex, age, position, inpatient]).astype(np.float32), y.astype(np.float32)


exam = exams(ROWS)
classes = make_classification(ROWS, 28, n_informative=18, random_state=3)
numbers = make_regression(ROWS, 28, n_informative=20, noise=5.0, random_state=4)
MODELS = {
    "xgb_seed_50x3": (exam, lambda: xgboost.XGBRegressor(n_estimators=50, max_depth=3, learning_rate=0.05)),
    "xgb_500x6_reg": (numbers, lambda: xgboost.XGBRegressor(n_estimators=500, max_depth=6)),
    "xgb_300x8_clf": (classes, lambda: xgboost.XGBClassifier(n_estimators=300, max_depth=8)),
    "lgb_500x31_reg": (numbers, lambda: lightgbm.LGBMRegressor(n_estimators=500, num_leaves=31, verbose=-1)),
    "rf_100_reg": (exam, lambda: RandomForestRegressor(100, random_state=0)),
    "rf_200x10_clf": (classes, lambda: RandomForestClassifier(200, max_depth=10, random_state=0)),
    "gbr_100x3": (exam, lambda: GradientBoostingRegressor(n_estimators=100, random_state=0)),
    "hgb_200": (numbers, lambda: HistGradientBoostingRegressor(max_iter=200, early_stopping=False, random_state=0)),
    "logreg_pipe": (classes, lambda: make_pipeline(StandardScaler(), LogisticRegression())),
}


def onnx(model, name, width):
    if name.startswith("xgb"):
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        return convert_xgboost(model, initial_types=[("X", FloatTensorType([None, width]))])
    if name.startswith("lgb"):
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        return convert_lightgbm(model, initial_types=[("X", FloatTensorType([None, width]))], zipmap=False)
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    options = {"zipmap": False} if hasattr(model, "predict_proba") else None
    return to_onnx(model, initial_types=[("X", FloatTensorType([None, width]))], options=options)


for name, ((X, y), make) in MODELS.items():
    if (out / f"{name}.expected.npy").exists():
        continue
    X = X.astype(np.float32)
    model = make().fit(X[:LEARNED], y[:LEARNED])
    joblib.dump(model, out / f"{name}.joblib")
    np.save(out / f"{name}.X.npy", X)
    if name.startswith("xgb"):
        model.get_booster().save_model(out / f"{name}.json")
    if name.startswith("lgb"):
        model.booster_.save_model(str(out / f"{name}.txt"))
    try:
        (out / f"{name}.onnx").write_bytes(onnx(model, name, X.shape[1]).SerializeToString())
    except Exception as error:
        print(f"{name}: no ONNX: {str(error)[:120]}", file=sys.stderr)
    # Of a forest, one thread: with several, its sums depend on their order.
    np.save(out / f"{name}.expected.npy", (getattr(model, "predict_proba", model.predict))(X))
