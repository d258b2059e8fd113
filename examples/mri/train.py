"""Train the example's models and write what they predict.

usage: python train.py [DIR]      (DIR: this folder by default)

Writes DIR/models/mri_xgb.joblib, mri_xgb.pickle, mri_rf.joblib, mri_rf_c3.joblib (compressed), and for 200 orders
that no model has seen DIR/orders.csv and DIR/expected.csv, which says to the bit what Python predicts for them:
  xgb, xgb_bits   XGBoost's float32 and its bits
  rf, rf_bits     the forest's float64 and its bits
  PRETIME         whole minutes, from XGBoost
Two runs write the same bytes.
"""

import pickle
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_absolute_percentage_error
from sklearn.model_selection import train_test_split
from xgboost import XGBRegressor

from orders import FEATURES, generate, seconds

folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
(folder / "models").mkdir(parents=True, exist_ok=True)

past = generate(20_000, seed=1)
# A DataFrame, so that the models know their features by name.
X, y = pd.DataFrame(past)[FEATURES], seconds(past, seed=2)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=3)

models = {
    "xgb": XGBRegressor(n_estimators=50, max_depth=3, learning_rate=0.3, random_state=4, n_jobs=1),
    "rf": RandomForestRegressor(n_estimators=20, max_leaf_nodes=64, random_state=5, n_jobs=1),
}
for name, model in models.items():
    model.fit(X_train, y_train)
    error = mean_absolute_percentage_error(y_test, model.predict(X_test))
    print(f"{name}: MAPE {error:.1%} on {len(y_test)} orders held back")

joblib.dump(models["xgb"], folder / "models/mri_xgb.joblib")
(folder / "models/mri_xgb.pickle").write_bytes(pickle.dumps(models["xgb"]))
joblib.dump(models["rf"], folder / "models/mri_rf.joblib")
joblib.dump(models["rf"], folder / "models/mri_rf_c3.joblib", compress=3)

new = pd.DataFrame(generate(200, seed=6))
new.to_csv(folder / "orders.csv", index=False)
xgb, rf = (models[name].predict(new[FEATURES]) for name in ("xgb", "rf"))
assert xgb.dtype == np.float32 and rf.dtype == np.float64
pd.DataFrame({
    "PNO": new["PNO"],
    "xgb": [str(v) for v in xgb],
    "xgb_bits": [f"0x{bits:08x}" for bits in xgb.view(np.uint32)],
    "rf": [repr(float(v)) for v in rf],
    "rf_bits": [f"0x{bits:016x}" for bits in rf.view(np.uint64)],
    "PRETIME": [int(v) // 60 for v in xgb],
}).to_csv(folder / "expected.csv", index=False)
