"""A file as a DataFrame of Dask: dask_dataframe.py IN.csv OUT_DIR MODEL [SCHEDULER_ADDRESS]"""

import csv
import sys

import dask.dataframe as dd
import foretell

source, target, path = sys.argv[1:4]


def main():
    if len(sys.argv) > 4:
        from distributed import Client

        Client(sys.argv[4])
    # It goes to the workers as the file's bytes; a partition is one task's, which is not to start more threads.
    model = foretell.load(path, threads=1)

    df = dd.read_csv(source, blocksize="16MB", dtype=str, on_bad_lines="skip", quoting=csv.QUOTE_NONE)
    df = df.map_partitions(numbers, meta={name: "float64" for name in df.columns}).dropna()
    df = df[(df.AGE >= 1) & (df.AGE <= 120)]
    df = df.map_partitions(lambda part: part.assign(PRETIME=(model.predict(part) // 60).astype("int64")))
    df.to_csv(f"{target}/part-*.csv", index=False)


def numbers(part):
    import pandas

    return part.apply(pandas.to_numeric, errors="coerce").astype("float64")


if __name__ == "__main__":
    main()
