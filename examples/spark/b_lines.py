"""A file as lines: b_lines.py IN.csv OUT MODEL"""

import sys

import foretell
import numpy as np
from pyspark.sql import SparkSession

source, target, path = sys.argv[1:]
sc = SparkSession.builder.appName("b").getOrCreate().sparkContext
# was: broadcast = sc.broadcast(joblib.load(path))
broadcast = sc.broadcast(foretell.load(path, threads=1))


def numbers(line):
    try:
        row = [float(field) for field in line.split(",")]
    except ValueError:
        return None
    return row if len(row) == 11 else None


def score(lines):
    rows = [row for row in map(numbers, lines) if row]
    if rows:
        for row, seconds in zip(rows, broadcast.value.predict(np.array(rows))):
            yield ",".join(f"{field:g}" for field in row) + f",{int(seconds) // 60}"


sc.textFile(source).mapPartitions(score).saveAsTextFile(target)
