#!/usr/bin/env python3
"""Files from end to end, beside what a user of Python would run: usage: batch.py DIR FORETELL [LINES]

Makes a table of seven whole numbers (ROWS, 5,000,000) as CSV and as Parquet and a model into DIR, has `FORETELL predict`,
pandas with XGBoost and polars with ONNX Runtime score both, in turn, ROUNDS (5) times, each with all cores as it comes, and
prints a part of docs/benchmarks.md: seconds and processor seconds of the whole command and its peak of memory. Each figure
is added to LINES as a JSON line. Needs pandas, polars, pyarrow, xgboost, onnxmltools, onnxruntime and joblib.
"""
import json, os, pathlib, statistics, subprocess, sys, time

NAMES = ["ITEM_n", "ORDERDR_n", "DEPT_n", "SEX_n", "AGE", "POS_n", "IO_n"]
ROWS, ROUNDS = int(os.environ.get("ROWS", 5_000_000)), int(os.environ.get("ROUNDS", 5))


def make(folder):
    """The tables and the model."""
    import joblib
    import numpy as np
    import pandas as pd
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    rng = np.random.default_rng(7)
    item = rng.choice(30, ROWS, p=np.r_[0.4, np.full(29, 0.6 / 29)])
    doctor, department, sex = rng.integers(0, 300, ROWS), rng.integers(0, 40, ROWS), rng.integers(0, 2, ROWS)
    age = np.clip(rng.normal(55, 18, ROWS), 1, 99).astype(int)
    position, inpatient = rng.integers(0, 25, ROWS), rng.integers(1, 4, ROWS)
    frame = pd.DataFrame(dict(zip(NAMES, [item, doctor, department, sex, age, position, inpatient])))
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_parquet(folder / "rows.parquet")
    learned = frame[:40_000]
    y = 1500 + 60 * learned.ITEM_n + 12 * learned.POS_n + 4 * learned.AGE + rng.lognormal(4.5, 0.6, len(learned))
    new = lambda: xgboost.XGBRegressor(n_estimators=50, max_depth=3, learning_rate=0.05)
    joblib.dump(new().fit(learned, y), folder / "model.joblib")
    nameless = new().fit(learned.to_numpy(), y)
    onnx = convert_xgboost(nameless, initial_types=[("X", FloatTensorType([None, len(NAMES)]))])
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    (folder / "made").write_text(str(ROWS))


def pandas(folder, data, out):
    import joblib
    import pandas as pd

    read, write = (pd.read_csv, "to_csv") if data.endswith(".csv") else (pd.read_parquet, "to_parquet")
    answers = pd.DataFrame({"prediction": joblib.load(f"{folder}/model.joblib").predict(read(data))})
    getattr(answers, write)(out, index=False)


def polars(folder, data, out):
    import numpy as np
    import onnxruntime
    import polars as pl

    read, write = (pl.read_csv, "write_csv") if data.endswith(".csv") else (pl.read_parquet, "write_parquet")
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    rows = read(data).to_numpy().astype(np.float32)
    answers = session.run(None, {session.get_inputs()[0].name: rows})[0].ravel()
    getattr(pl.DataFrame({"prediction": answers}), write)(out)


def differing(out):
    """How many answers of the first file differ from those of the second, and of the third by how much at most."""
    import numpy as np
    import pandas as pd

    read = pd.read_csv if out[0].endswith(".csv") else pd.read_parquet
    ours, library, other = (read(one).prediction.to_numpy(np.float32) for one in out)
    print(json.dumps({"differ": int((ours != library).sum()), "onnx": float(np.abs(ours - other).max())}))


def measured(command):
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    told = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {process.returncode}\n{told[-3000:]}")
    return {"seconds": time.monotonic() - begun, "cpu_s": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024}


def child(*args):
    return subprocess.run([sys.executable, __file__, *map(str, args)], check=True, capture_output=True, text=True).stdout


def main():
    folder, foretell = pathlib.Path(sys.argv[1]), os.path.abspath(sys.argv[2])
    lines = open(sys.argv[3], "a") if len(sys.argv) > 3 else None
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "made"
    if not made.exists() or made.read_text() != str(ROWS):
        child("--make", folder)
    figures = {}
    for turn in range(ROUNDS):
        for form in ("csv", "parquet"):
            data = f"{folder}/rows.{form}"
            for name in ("foretell", "pandas", "polars"):
                out = f"{folder}/{name}.{form}"
                command = [foretell, "predict", f"{folder}/model.joblib", data, "-o", out] if name == "foretell" else \
                    [sys.executable, __file__, f"--{name}", str(folder), data, out]
                figure = measured(command)
                figures.setdefault((form, name), []).append(figure)
                told = {"round": turn, "form": form, "name": name, **{key: round(value, 3) for key, value in figure.items()}}
                print(json.dumps(told), file=sys.stderr, flush=True)
                if lines:
                    print(json.dumps(told), file=lines, flush=True)
    checked = {form: json.loads(child("--differing", *(f"{folder}/{name}.{form}" for name in ("foretell", "pandas", "polars"))))
               for form in ("csv", "parquet")}
    same = (folder / "foretell.csv").read_bytes() == (folder / "pandas.csv").read_bytes()
    versions = json.loads(child("--versions"))
    median = {key: {what: statistics.median(one[what] for one in rounds) for what in rounds[0]} for key, rounds in figures.items()}
    size = os.path.getsize(folder / "rows.csv") / 1e6
    print(f"""
## Files
`foretell predict` on {ROWS:,} rows of seven whole numbers ({size:.0f} MB of CSV), XGBoost of 50 trees of depth 3, beside pandas with XGBoost and polars with ONNX Runtime; each with all cores as it comes. Medians of {ROUNDS} rounds in turn; a time is that of the whole command, with starting. {", ".join(f"{name} {version}" for name, version in versions.items())}; {os.cpu_count()} cores, load average at the end {os.getloadavg()[0]:.1f}. Again: `benches/batch.py DIR FORETELL`.

| | | seconds | spread | processor seconds | peak MiB | times foretell's seconds | times its processor seconds | times its memory |
|---|---|---|---|---|---|---|---|---|""")
    titles = {"foretell": "foretell", "pandas": "pandas and XGBoost", "polars": "polars and ONNX Runtime"}
    for (form, name), rounds in figures.items():
        own, one = median[form, "foretell"], median[form, name]
        times = [figure["seconds"] for figure in rounds]
        ratios = " | ".join(f"**{one[what] / own[what]:.1f}**" for what in ("seconds", "cpu_s", "mib"))
        print(f"| {'CSV' if form == 'csv' else 'Parquet'} | {titles[name]} | {one['seconds']:.2f} | {min(times):.2f} to {max(times):.2f} | "
              f"{one['cpu_s']:.2f} | {one['mib']:.0f} | {' |  | ' if name == 'foretell' else ratios} |")
    print(f"\nThe CSV that foretell writes is {'' if same else 'not '}byte for byte that of pandas. Answers that differ from the library's: "
          f"{checked['csv']['differ']:,} of the CSV's, {checked['parquet']['differ']:,} of the Parquet file's; those of ONNX Runtime differ by at most {checked['csv']['onnx']:.2g}.")


if __name__ == "__main__":
    act = sys.argv[1]
    if act == "--make":
        make(pathlib.Path(sys.argv[2]))
    elif act in ("--pandas", "--polars"):
        {"--pandas": pandas, "--polars": polars}[act](*sys.argv[2:5])
    elif act == "--differing":
        differing(sys.argv[2:5])
    elif act == "--versions":
        import onnxruntime
        import pandas as pd
        import polars as pl
        import pyarrow
        import xgboost

        named = [("pandas", pd), ("pyarrow", pyarrow), ("XGBoost", xgboost), ("polars", pl), ("ONNX Runtime", onnxruntime)]
        print(json.dumps({name: module.__version__ for name, module in named}))
    else:
        main()
