#!/usr/bin/env python3.11
"""Files on HDFS, beside PySpark: usage: hdfs.py DIR FORETELL [LINES]

Makes a CSV of seven whole numbers (ROWS, 4,000,000) and a model (XGBoost, 50 trees of depth 3) in DIR, puts the CSV on the
HDFS of `dev/services` ($FORETELL_HDFS), and has FORETELL and PySpark (`local[2]`) read, score and write it there, in turn,
ROUNDS (5) times: as a data frame (typed columns, a pandas_udf) and as lines (`textFile`, `mapPartitions`). foretell does both
also into one file that is appended to, which Spark cannot. Prints a part of docs/benchmarks.md; each figure is added to LINES
as a JSON line. Needs pyspark, pandas, pyarrow and xgboost, and Java; `. target/services/env` before.
"""
import json, os, pathlib, statistics, subprocess, sys, time

NAMES = ["ITEM_n", "ORDERDR_n", "DEPT_n", "SEX_n", "AGE", "POS_n", "IO_n"]
ROWS, ROUNDS = int(os.environ.get("ROWS", 4_000_000)), int(os.environ.get("ROUNDS", 5))
HERE = pathlib.Path(__file__).resolve().parent
SECONDS = "SELECT *, CAST(floor(duration(*) / 60) AS BIGINT) AS PRETIME FROM records"
TYPES = ", ".join(f"{name}: int64" for name in NAMES)
WAYS = {
    "as a data frame": ("", "mode: files"),
    "as lines": (f"decode: {{ csv: {{ columns: [{TYPES}] }} }}\n", "mode: files, header: false"),
    "as a data frame, into one file by append": ("", "mode: append"),
}


def make(folder):
    """The table and the model."""
    import numpy as np
    import pandas as pd
    import xgboost

    rng = np.random.default_rng(1)
    columns = [rng.integers(0, high, ROWS) for high in (60, 200, 40, 2, 100, 12, 3)]
    frame = pd.DataFrame(dict(zip(NAMES, columns)))
    frame.to_csv(folder / "rows.csv", index=False)
    learned = frame[:50_000]
    y = 600 + 20 * learned.ITEM_n % 700 + 3 * learned.AGE + 40 * np.sin(learned.ORDERDR_n) + rng.normal(0, 60, len(learned))
    model = xgboost.XGBRegressor(n_estimators=50, max_depth=3, learning_rate=0.1).fit(learned, y)
    model.get_booster().save_model(folder / "model.json")


def spark(way, source, target, model):
    """PySpark's side; prints the seconds until its session was there."""
    begun = time.time()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    import pandas as pd
    from pyspark.sql import SparkSession, functions

    session = (
        SparkSession.builder.master("local[2]").config("spark.driver.memory", "4g").config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "50000").getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    started = time.time() - begun
    loaded = []

    def booster():
        import xgboost

        if not loaded:
            loaded.append(xgboost.Booster({"nthread": 1}, model_file=model))
        return loaded[0]

    if way == "as a data frame":

        @functions.pandas_udf("double")
        def predict(*columns: pd.Series) -> pd.Series:
            rows = pd.concat(columns, axis=1)
            rows.columns = NAMES
            return pd.Series(booster().inplace_predict(rows).astype("float64"))

        frame = session.read.csv(source, header=True, schema=", ".join(f"{name} BIGINT" for name in NAMES)).dropna()
        frame = frame.select("*", functions.floor(predict(*NAMES) / 60).alias("PRETIME"))
        frame.write.mode("overwrite").csv(target, header=True)
    else:

        def score(lines):
            import itertools
            import numpy as np

            fields = (line.split(",") for line in lines)
            rows = (row for row in fields if len(row) == 7 and all(field.lstrip("-").isdigit() for field in row))
            while block := list(itertools.islice(rows, 50_000)):
                minutes = booster().inplace_predict(np.array(block, dtype="float32")) // 60
                for row, minute in zip(block, minutes):
                    yield ",".join(row) + f",{int(minute)}"

        session.sparkContext.textFile(source).mapPartitions(score).saveAsTextFile(target)
    print(json.dumps({"started": started}))


def pipeline(folder, way, target):
    """A pipeline file with a name, a state and a target of its own."""
    decode, settings = WAYS[way]
    name = target.rsplit("/", 1)[1].partition(".")[0]
    header = ", header: true" if decode else ""
    form = ", format: csv" if decode else ""
    (folder / f"{name}.yaml").write_text(
        f"pipeline: {name}\nsource: {{ file: {{ path: '{HDFS}/foretell/bench/rows.csv'{form}{header} }} }}\n{decode}"
        f"models: {{ duration: {{ file: model.json }} }}\nquery: {SECONDS}\n"
        f"sinks: {{ out: {{ file: {{ path: '{target}', format: csv, {settings} }} }} }}\n"
        f"state: {name}-state\ntrigger: available_now\n"
    )
    return folder / f"{name}.yaml"


def measured(command):
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, told = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {process.returncode}\n{told[-3000:]}")
    return out, {"seconds": time.monotonic() - begun, "processor": used.ru_utime + used.ru_stime}


def lines(target):
    """How many lines a folder or a file on HDFS holds, headers not counted, and their sum of minutes."""
    text = fs("-cat", f"{target}/part-*" if "." not in target.rsplit("/", 1)[1] else target)
    minutes = [row.rpartition(",")[2] for row in text.split("\n") if row]
    return sum(field != "PRETIME" for field in minutes), sum(int(field) for field in minutes if field != "PRETIME")


def fs(*arguments):
    return subprocess.run([HERE / "../dev/services", "fs", *arguments], check=True, capture_output=True, text=True).stdout


def main():
    folder, foretell = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model.json").exists():
        make(folder)
    fs("-mkdir", "-p", f"{HDFS}/foretell/bench")
    fs("-put", "-f", str(folder / "rows.csv"), f"{HDFS}/foretell/bench/rows.csv")
    run, told = f"{os.getpid()}", []
    for round in range(ROUNDS):
        for number, way in enumerate(WAYS):
            target = f"{HDFS}/foretell/bench/out_{run}_{round}_{number}" + (".csv" if "append" in way else "")
            yaml = pipeline(folder, way, target)
            answers = {}
            for who in ("foretell", "PySpark")[: 2 if "append" not in way else 1]:
                if who == "foretell":
                    _, figure = measured([foretell, "run", yaml])
                else:
                    command = [sys.executable, __file__, "spark", way, f"{HDFS}/foretell/bench/rows.csv", f"{target}_spark"]
                    out, figure = measured([*command, str(folder / "model.json")])
                    figure["started"] = json.loads(out.splitlines()[-1])["started"]
                answers[who] = lines(target if who == "foretell" else f"{target}_spark")
                told.append({"hdfs": way, "who": who, **figure})
            if len(set(answers.values())) > 1 or answers["foretell"][0] != ROWS:
                sys.exit(f"{way}: {answers}")
            fs("-rm", "-r", "-f", "-skipTrash", f"{HDFS}/foretell/bench/out_*", f"{HDFS}/foretell/bench/_foretell")
    if len(sys.argv) > 3:
        with open(sys.argv[3], "a") as file:
            file.writelines(json.dumps(figure) + "\n" for figure in told)
    table(told)


def table(told):
    print("| | foretell, seconds | spread | of a processor | PySpark, seconds | spread | ratio | ratio without Spark's start |")
    print("|---|---|---|---|---|---|---|---|")
    for way in WAYS:
        of = lambda who: [figure for figure in told if (figure["hdfs"], figure["who"]) == (way, who)]
        median = lambda figures, what: statistics.median(what(figure) for figure in figures)
        spread = lambda figures: "{:.2f} to {:.2f}".format(*(edge(f["seconds"] for f in figures) for edge in (min, max)))
        ours, other = of("foretell"), of("PySpark")
        seconds = median(ours, lambda figure: figure["seconds"])
        cells = [f"{seconds:.2f}", spread(ours), f"{median(ours, lambda figure: figure['processor']):.2f}"]
        if other:
            theirs = median(other, lambda figure: figure["seconds"])
            job = median(other, lambda figure: figure["seconds"] - figure["started"])
            cells += [f"{theirs:.1f}", spread(other), f"**{theirs / seconds:.1f}**", f"{job / seconds:.1f}"]
        print("| " + " | ".join([way, *cells, *[""] * (7 - len(cells))]) + " |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["spark"]:
        spark(*sys.argv[2:])
    else:
        HDFS = os.environ["FORETELL_HDFS"]
        main()
