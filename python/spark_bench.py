"""Rows/s of the scoring stage on a standalone Spark of two workers, beside the same job with the library in a pandas_udf.

usage: spark_bench.py MODEL.joblib X.npy [--rows 2000000] [--rounds 3]
    (pip install foretell pyspark==4.1.1 pandas pyarrow joblib, and the model's library)
The rows lie in the executors' memory; each job reads them, scores them and throws the answers away. `nothing` hands the rows
to Python and back, and so is what Spark itself takes. Jobs are run in turn; the shortest of each counts.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

# The wheel's module, not the sources beside this file.
sys.path[0] = str(pathlib.Path(__file__).resolve().parent / "tests")

parser = argparse.ArgumentParser()
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("data", type=pathlib.Path)
parser.add_argument("--rows", type=int, default=2_000_000)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--batch", type=int, default=50_000)
args = parser.parse_args()

import cluster  # noqa: E402
import numpy as np  # noqa: E402

import foretell.spark  # noqa: E402


def jobs(spark, df, names):
    import pandas as pd
    from pyspark.sql import functions as f
    from pyspark.sql import types

    path = str(args.model.resolve())

    def theirs(*columns: pd.Series) -> pd.Series:
        # The library's model is loaded once a worker, not once a batch.
        import joblib
        import __main__ as kept

        model = getattr(kept, "_theirs", None)
        if model is None:
            model = kept._theirs = joblib.load(path)
            if hasattr(model, "n_jobs"):
                model.set_params(n_jobs=1)
        return pd.Series(model.predict(pd.concat(columns, axis=1).set_axis(names, axis=1).astype("float32")).astype("float64"))

    def nothing(batches):
        for batch in batches:
            yield batch.select(names[:1])

    udf = f.pandas_udf(theirs, "double")
    ours = foretell.spark.udf(path)
    return {
        "nothing": df.mapInArrow(nothing, types.StructType([df.schema[names[0]]])),
        "predict": foretell.spark.predict(df, path, columns=names, keep=[]),
        "udf": df.select(ours(*[df[name] for name in names]).alias("y")),
        "pandas_udf": df.select(udf(*[df[name] for name in names]).alias("y")),
    }


def main():
    data = np.load(args.data)
    names = foretell.load(args.model).signature.names or [f"f{at}" for at in range(data.shape[1])]
    with tempfile.TemporaryDirectory() as folder, cluster.started(pathlib.Path(folder), memory="3g") as master:
        spark = cluster.session(master, memory="2500m", batch=args.batch)
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({name: data[:, at] for at, name in enumerate(names)})
        pyarrow.parquet.write_table(table, f"{folder}/one.parquet")
        one = spark.read.parquet(f"{folder}/one.parquet")
        copies = max(1, args.rows // len(data))
        df = one.crossJoin(spark.range(copies).withColumnRenamed("id", "copy")).drop("copy").repartition(4).cache()
        rows = df.count()
        took = {}
        for _ in range(args.rounds):
            for name, job in jobs(spark, df, names).items():
                begin = time.monotonic()
                job.write.format("noop").mode("overwrite").save()
                took.setdefault(name, []).append(time.monotonic() - begin)
        first = {name: [row[0] for row in jobs(spark, df.limit(1000), names)[name].collect()] for name in ("predict", "pandas_udf")}
        spark.stop()
    best = {name: min(all) for name, all in took.items()}
    print(json.dumps({
        "model": args.model.stem, "rows": rows, "rows_s": {name: round(rows / one) for name, one in best.items()},
        "seconds": {name: [round(one, 2) for one in all] for name, all in took.items()},
        "predict_beside_pandas_udf": round(best["pandas_udf"] / best["predict"], 2),
        "without_what_spark_takes": round((best["pandas_udf"] - best["nothing"]) / max(1e-9, best["predict"] - best["nothing"]), 1),
        "same": bool(np.array_equal(*[np.sort(np.asarray(one, dtype="float64")) for one in first.values()])),
    }), flush=True)


main()
