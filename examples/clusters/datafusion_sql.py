"""A file by SQL of DataFusion: datafusion_sql.py IN.csv OUT_DIR MODEL"""

import sys

import foretell
import pyarrow
from datafusion import SessionContext, udf

source, target, path = sys.argv[1:]

# A thread for each partition calls it.
model = foretell.load(path, threads=1)
names = model.signature.names


def duration(*columns):
    rows = pyarrow.record_batch(dict(zip(names, columns)))
    return pyarrow.array(model.predict(rows), pyarrow.float64())


ctx = SessionContext()
ctx.register_udf(udf(duration, [pyarrow.float64()] * len(names), pyarrow.float64(), "immutable", "duration"))

# Lines, of which no character is special: those that are no orders are left out below, the header among them.
ctx.register_csv("lines", source, pyarrow.schema([("line", pyarrow.string())]), has_header=False, delimiter="\x1f")
with open(source) as file:
    columns = file.readline().strip().split(",")
numbers = ", ".join(f"TRY_CAST(split_part(line, ',', {at}) AS DOUBLE) AS \"{name}\"" for at, name in enumerate(columns, 1))
whole = " AND ".join(f'"{name}" IS NOT NULL' for name in columns)
inputs = ", ".join(f'"{name}"' for name in names)
ctx.sql(f"""
    WITH orders AS (SELECT {numbers} FROM lines WHERE cardinality(string_to_array(line, ',')) = {len(columns)})
    SELECT *, CAST(floor(duration({inputs}) / 60) AS BIGINT) AS "PRETIME"
    FROM orders WHERE {whole} AND "AGE" BETWEEN 1 AND 120
""").write_csv(target, with_header=True)
