#!/usr/bin/env python3
"""What a user of Python would run instead, on one model of a folder that models.py wrote.

usage: rivals.py DIR MODEL
Prints a JSON line for each rival that this Python has installed: rows/s at 100,000 and 1,000 rows, and microseconds for
100 rows and for one, each the shortest of several calls, by the processor time of the process (one thread).
"""
import json, os, sys, time, warnings

os.environ["OMP_NUM_THREADS"] = "1"
warnings.filterwarnings("ignore")
import importlib.metadata
import importlib.util

import numpy as np

folder, name = sys.argv[1:3]
X = np.load(f"{folder}/{name}.X.npy")
classifies = "clf" in name or "logreg" in name


def has(module):
    return importlib.util.find_spec(module) is not None


def shortest(f, X, seconds):
    # The clock takes longer than a short call: several are measured together.
    begun, calls = time.process_time(), 0
    while time.process_time() - begun < 0.002:
        f(X)
        calls += 1
    best, runs, until = 9e9, 0, time.process_time() + seconds
    while runs < 3 or time.process_time() < until:
        begun = time.process_time()
        for _ in range(calls):
            f(X)
        best = min(best, (time.process_time() - begun) / calls)
        runs += 1
    return best


def report(rival, module, f, X=X):
    some = lambda n: np.ascontiguousarray(X[:n])
    print(json.dumps({
        "model": name, "rival": rival, "version": sys.modules[module].__version__,
        "rows_s_100k": round(len(X) / shortest(f, X, 1.0)), "rows_s_1000": round(1000 / shortest(f, some(1000), 0.5)),
        "us_100": round(shortest(f, some(100), 0.3) * 1e6, 2), "us_1": round(shortest(f, some(1), 0.3) * 1e6, 3),
    }), flush=True)


if has("lleaves"):
    if name.startswith("lgb"):
        import lleaves

        lleaves.__version__ = importlib.metadata.version("lleaves")
        compiled = lleaves.Model(model_file=f"{folder}/{name}.txt")
        compiled.compile()
        report("lleaves", "lleaves", lambda X: compiled.predict(X, n_jobs=1), X.astype(np.float64))
elif has("daal4py"):
    import daal4py

    daal4py.__version__ = importlib.metadata.version("daal4py")
    daal4py.daalinit(1)
    booster = None
    if name.startswith("xgb"):
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(f"{folder}/{name}.json")
    elif name.startswith("lgb"):
        import lightgbm

        booster = lightgbm.Booster(model_file=f"{folder}/{name}.txt")
    if booster is not None:
        model = daal4py.mb.convert_model(booster)
        report("oneDAL", "daal4py", model.predict_proba if classifies else model.predict)
else:
    import joblib
    import onnxruntime
    import sklearn

    library = {"xgb": "xgboost", "lgb": "lightgbm"}.get(name[:3], "sklearn")
    model = joblib.load(f"{folder}/{name}.joblib")
    if hasattr(model, "n_jobs"):
        model.n_jobs = 1
    report("the library", library, model.predict_proba if classifies else model.predict)
    if library == "xgboost":
        booster = model.get_booster()
        booster.set_param({"nthread": 1})
        report("the library, in place", library, booster.inplace_predict)
    if library == "lightgbm":
        booster = model.booster_
        report("the library, booster", library, lambda X: booster.predict(X, num_threads=1))
    if os.path.exists(f"{folder}/{name}.onnx"):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(f"{folder}/{name}.onnx", options, providers=["CPUExecutionProvider"])
        feature, answer = session.get_inputs()[0].name, [session.get_outputs()[-1].name]
        report("ONNX Runtime", "onnxruntime", lambda X: session.run(answer, {feature: X}))
    if has("tl2cgen") and name in ("xgb_seed_50x3", "gbr_100x3", "hgb_200"):  # others take minutes to compile
        import tl2cgen
        import treelite

        library_path = f"{folder}/{name}.so"
        if not os.path.exists(library_path):
            trees = treelite.frontend.from_xgboost(model.get_booster()) if library == "xgboost" else treelite.sklearn.import_model(model)
            tl2cgen.export_lib(trees, toolchain="gcc", libpath=library_path, params={"parallel_comp": 8}, verbose=False)
        predictor = tl2cgen.Predictor(library_path, nthread=1)
        report("tl2cgen", "tl2cgen", lambda X: predictor.predict(tl2cgen.DMatrix(X)))
