"""Train the example's model and write what Python makes of the orders.

usage: python train.py [DIR]      (DIR: this folder by default)

Writes DIR/models/duration.joblib (XGBoost), DIR/orders.csv and DIR/expected.csv: for each order that is left after the
cleaning the features, what XGBoost says (float32, shortest digits) and the whole minutes. Two runs write the same bytes.
"""

import sys
from pathlib import Path

import joblib
import pandas as pd
from xgboost import XGBRegressor

from orders import FEATURES, generate, lines, seconds

folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
(folder / "models").mkdir(parents=True, exist_ok=True)

past = generate(10_000, seed=1)
model = XGBRegressor(n_estimators=40, max_depth=3, learning_rate=0.3, random_state=4, n_jobs=1)
model.fit(pd.DataFrame(past)[FEATURES], seconds(past, seed=2))
joblib.dump(model, folder / "models/duration.joblib")

(folder / "orders.csv").write_text("\n".join(lines(2_000, seed=6)) + "\n")

# What the query does, in pandas.
orders = pd.read_csv(folder / "orders.csv", names=FEATURES, skiprows=1, on_bad_lines="skip", engine="python", quoting=3)
orders = orders.apply(pd.to_numeric, errors="coerce").dropna().astype("int64")
orders = orders[orders["AGE"].between(1, 120)]
predicted = model.predict(orders[FEATURES])
orders["SECONDS"] = [str(v) for v in predicted]
orders["PRETIME"] = [int(v) // 60 for v in predicted]
orders.to_csv(folder / "expected.csv", index=False)
print(f"{len(orders)} orders")
