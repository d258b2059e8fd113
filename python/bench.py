"""Scoring speed beside the libraries' own, on the models of a folder: NAME.joblib with NAME.X.npy beside it.

usage: bench.py DIR [--threads 1]     (pip install foretell scikit-learn xgboost lightgbm joblib)
One JSON line a model: rows/s at 100,000 and at 1,000 rows, microseconds at one; and whether the answers are the same.
"""

import argparse
import json
import os
import pathlib
import sys
import time
import warnings

# The wheel's module, not the sources beside this file.
sys.path.pop(0)

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seconds", type=float, default=1.0)
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)
warnings.filterwarnings("ignore")

import joblib  # noqa: E402
import numpy as np  # noqa: E402

import foretell  # noqa: E402


def best(call, data):
    call(data)
    least, until, times = float("inf"), time.perf_counter() + args.seconds, 0
    while times < 3 or time.perf_counter() < until:
        begin = time.perf_counter()
        call(data)
        least, times = min(least, time.perf_counter() - begin), times + 1
    return least


for path in sorted(args.folder.glob("*.joblib")):
    data = np.load(path.parent / f"{path.stem}.X.npy")
    theirs = joblib.load(path)
    if hasattr(theirs, "n_jobs"):
        theirs.n_jobs = args.threads
    ours = foretell.load(path, threads=args.threads)
    name = "predict_proba" if hasattr(theirs, "predict_proba") else "predict"
    a, b = getattr(theirs, name), getattr(ours, name)
    few, one = np.ascontiguousarray(data[:1000]), np.ascontiguousarray(data[:1])
    x, y = np.asarray(a(data)), np.asarray(b(data))
    print(json.dumps({
        "model": path.stem, "threads": args.threads,
        "library": {"rows_s_100k": round(len(data) / best(a, data)), "rows_s_1000": round(1000 / best(a, few)), "us_1": round(best(a, one) * 1e6, 1)},
        "foretell": {"rows_s_100k": round(len(data) / best(b, data)), "rows_s_1000": round(1000 / best(b, few)), "us_1": round(best(b, one) * 1e6, 1)},
        "same": bool((x == y).all()), "apart": float(np.max(np.abs(x - y))),
    }), flush=True)
