"""Train the example's model and write what Python makes of the lines.

usage: python train.py [DIR]      (DIR: this folder by default)

Writes DIR/models/duration.joblib (a random forest), DIR/orders.csv, DIR/expected.csv (whole minutes by line) and
DIR/expected_bad.txt (the numbers of the lines that are not an order). Two runs write the same bytes.
"""

import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestRegressor

sys.path.insert(0, str(Path(__file__).parent.parent / "batch-dataframe"))
from orders import BROKEN, FEATURES, TYPOS, generate, lines, seconds

folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
(folder / "models").mkdir(parents=True, exist_ok=True)

past = generate(10_000, seed=1)
model = RandomForestRegressor(n_estimators=10, max_leaf_nodes=48, random_state=5, n_jobs=1)
# An array, so that the model knows its features by position.
model.fit(np.column_stack([past[name] for name in FEATURES]), seconds(past, seed=2))
joblib.dump(model, folder / "models/duration.joblib", compress=3)

(folder / "orders.csv").write_text("\n".join(lines(2_000, seed=16, broken=BROKEN + TYPOS)) + "\n")

good, bad = {}, []
for number, line in enumerate((folder / "orders.csv").read_text().splitlines(), 1):
    if number == 1:
        continue
    try:
        fields = line.split(",")
        if len(fields) != len(FEATURES):
            raise ValueError
        good[number] = [float(fields[0])] + [int(field) for field in fields[1:]]
    except ValueError:
        bad.append(number)
predicted = model.predict(np.array(list(good.values())))
rows = [f"{number},{int(seconds) // 60}" for number, seconds in zip(good, predicted)]
(folder / "expected.csv").write_text("\n".join(["LINE,PRETIME", *rows]) + "\n")
(folder / "expected_bad.txt").write_text("\n".join(map(str, bad)) + "\n")
print(f"{len(good)} orders, {len(bad)} bad lines")
