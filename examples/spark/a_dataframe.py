"""A file as a DataFrame: a_dataframe.py IN.csv OUT MODEL"""

import sys

import foretell.spark
from pyspark.sql import SparkSession

source, target, path = sys.argv[1:]
spark = SparkSession.builder.appName("a").getOrCreate()
# was: model = joblib.load(path)
model = foretell.load(path)

# With the columns' types, so that a typo in one line does not make texts of a whole column.
types = ", ".join(f"{name} DOUBLE" for name in model.signature.names)
df = spark.read.csv(source, header=True, schema=types, mode="DROPMALFORMED").dropna()
df = df.filter((df.AGE >= 1) & (df.AGE <= 120))
# was: pdf = df.toPandas(); pdf["prediction"] = model.predict(pdf[FEATURES]); df = spark.createDataFrame(pdf)
df = foretell.spark.predict(df, model)
df = df.withColumn("PRETIME", (df.prediction.cast("long") / 60).cast("long")).drop("prediction")
df.write.mode("overwrite").csv(target, header=True)
