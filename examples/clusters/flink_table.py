"""A file as a table of Flink: flink_table.py IN.csv OUT_DIR MODEL"""

import os
import sys

import foretell
import pandas
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import ScalarFunction, udf

source, target, path = (os.path.abspath(arg) for arg in sys.argv[1:])


class Minutes(ScalarFunction):
    """Goes to the workers with the model, as the file's bytes."""

    def __init__(self, model, names):
        self.model, self.names = model, names

    def eval(self, *columns):
        seconds = self.model.predict(pandas.concat(columns, axis=1, keys=self.names))
        return pandas.Series(seconds // 60).astype("int64")


with open(source) as file:
    names = file.readline().strip().split(",")
table = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
table.get_config().set("parallelism.default", "2").set("python.executable", sys.executable)
minutes = Minutes(foretell.load(path, threads=1), names)
table.create_temporary_function("minutes", udf(minutes, result_type=DataTypes.BIGINT(), func_type="pandas"))

csv = "'connector' = 'filesystem', 'format' = 'csv', 'csv.disable-quote-character' = 'true', 'path'"
numbers = ", ".join(f"`{name}` DOUBLE" for name in names)
# What is no number, the header too, is NULL.
table.execute_sql(f"CREATE TABLE orders ({numbers}) WITH ('csv.ignore-parse-errors' = 'true', {csv} = '{source}')")
table.execute_sql(f"CREATE TABLE scored ({numbers}, PRETIME BIGINT) WITH ({csv} = '{target}')")
columns = ", ".join(f"`{name}`" for name in names)
whole = " AND ".join(f"`{name}` IS NOT NULL" for name in names)
table.execute_sql(
    f"INSERT INTO scored SELECT {columns}, minutes({columns}) FROM orders WHERE {whole} AND AGE BETWEEN 1 AND 120"
).wait()
