"""A file by Ray Data: ray_data.py IN.csv OUT_DIR MODEL"""

import sys

import foretell
import pandas
import pyarrow
import ray
from pyarrow import csv

source, target, path = sys.argv[1:]


class Scored:
    """One a worker: the model is made of the file's bytes once."""

    def __init__(self, model):
        self.model = model

    def __call__(self, part):
        part = part.apply(pandas.to_numeric, errors="coerce").astype("float64").dropna()
        part = part[(part.AGE >= 1) & (part.AGE <= 120)]
        return part.assign(PRETIME=(self.model.predict(part) // 60).astype("int64"))


model = foretell.load(path, threads=1)
with open(source) as file:
    texts = {name: pyarrow.string() for name in file.readline().strip().split(",")}
rows = ray.data.read_csv(
    source,
    convert_options=csv.ConvertOptions(column_types=texts),
    parse_options=csv.ParseOptions(quote_char=False, invalid_row_handler=lambda row: "skip"),
)
rows.map_batches(Scored, fn_constructor_args=[model], batch_format="pandas", concurrency=1).write_csv(target)
