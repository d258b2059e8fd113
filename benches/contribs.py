#!/usr/bin/env python3
"""Contributions of trees (Shapley values), beside what a user of Python would ask: usage: contribs.py DIR BINARY

Trains some models into DIR, has BINARY (`cargo build --release --bin contribs`) and the libraries explain the same rows in
turn, one thread each by processor time, and prints a part of docs/benchmarks.md: rows a second with the largest difference between the answers.
Needs numpy, xgboost, lightgbm, scikit-learn, shap and joblib.
"""
import json, os, pathlib, subprocess, sys, time, warnings

os.environ["OMP_NUM_THREADS"] = "1"
warnings.filterwarnings("ignore")
import joblib
import lightgbm
import numpy as np
import shap
import xgboost
from sklearn.datasets import make_regression
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

folder, binary = pathlib.Path(sys.argv[1]), sys.argv[2]
folder.mkdir(parents=True, exist_ok=True)
ROWS = 400
X, y = make_regression(20_000, 28, n_informative=20, noise=5.0, random_state=4)
X, y = X.astype(np.float32), y.astype(np.float32)
MODELS = {
    "XGBoost, 100 of depth 6": lambda: xgboost.XGBRegressor(n_estimators=100, max_depth=6),
    "XGBoost, 100 of depth 10": lambda: xgboost.XGBRegressor(n_estimators=100, max_depth=10),
    "LightGBM, 100 of 31 leaves": lambda: lightgbm.LGBMRegressor(n_estimators=100, num_leaves=31, verbose=-1),
    "LightGBM, 100 of 255 leaves": lambda: lightgbm.LGBMRegressor(n_estimators=100, num_leaves=255, verbose=-1),
    "random forest, 20 of depth 12": lambda: RandomForestRegressor(20, max_depth=12, random_state=0),
    "gradient boosting, 100 of depth 3": lambda: GradientBoostingRegressor(n_estimators=100, random_state=0),
}


def timed(explain, rows):
    """The answer, and rows a second: more rows are taken where it is quick."""
    begun = time.process_time()
    answer = np.asarray(explain(rows))
    return answer, len(rows) / (time.process_time() - begun)


print(f"""
## Why: contributions
What each column adds to an answer (`NAME_contribs`, exact Shapley values of trees), beside the library's own way and shap's: rows a second of processor time in one thread, the best of three rounds in turn; the largest difference is relative to the largest contribution. {ROWS} rows of 28 columns. xgboost {xgboost.__version__}, lightgbm {lightgbm.__version__}, shap {shap.__version__}, which asks these two themselves.
""")
print("| model | foretell | the library | shap | ratio to the better | largest difference |")
print("|---|---|---|---|---|---|")
for number, (title, make) in enumerate(MODELS.items()):
    name = f"contribs-{number}"
    model = make().fit(X, y)
    joblib.dump(model, folder / f"{name}.joblib")
    rows = X[:ROWS]
    np.save(folder / f"{name}.X.npy", rows)
    own = {}
    if title.startswith("XGBoost"):
        booster = model.get_booster()
        booster.set_param({"nthread": 1})
        matrix = xgboost.DMatrix(rows, nthread=1)
        own["library"] = lambda rows: booster.predict(matrix, pred_contribs=True)
    if title.startswith("LightGBM"):
        own["library"] = lambda rows: model.booster_.predict(rows.astype(float), pred_contrib=True, num_threads=1)
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    own["shap"] = lambda rows: explainer.shap_values(rows, check_additivity=False)
    best, answers = {}, {}
    for _ in range(3):
        told = json.loads(subprocess.run([binary, folder, name], check=True, capture_output=True, text=True).stdout)
        best["foretell"] = max(best.get("foretell", 0), told["rows_s"])
        for rival, explain in own.items():
            answers[rival], speed = timed(explain, rows)
            best[rival] = max(best.get(rival, 0), speed)
    found = np.fromfile(folder / f"{name}.contribs", dtype=np.float64).reshape(-1, ROWS).T
    rival = answers.get("library", answers["shap"])
    differ = np.abs(found[:, : X.shape[1]] - rival[:, : X.shape[1]]).max() / np.abs(rival).max()
    most = max(best.get("library", 0), best["shap"])
    cell = lambda rival: f"{best[rival]:,.0f}" if rival in best else "–"
    print(f"| {title} | {cell('foretell')} | {cell('library')} | {cell('shap')} | **{best['foretell'] / most:.1f}** | {differ:.0e} |", flush=True)
