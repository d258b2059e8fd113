"""A topic on the screen: d_topic.py BROKERS TOPIC MODEL [--once]"""

import sys

import foretell.spark
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, split

brokers, topic, path = sys.argv[1:4]
spark = SparkSession.builder.appName("d").getOrCreate()
# was: model = joblib.load(path)
#      predict_udf = pandas_udf(lambda *columns: pd.Series(model.predict(pd.concat(columns, axis=1))), "double")
predict_udf = foretell.spark.udf(path)

stream = spark.readStream.format("kafka").option("kafka.bootstrap.servers", brokers).option("subscribe", topic)
stream = stream.option("startingOffsets", "earliest").load()
fields = split(col("value").cast("string"), ",")
seconds = predict_udf(*[fields[number].cast("double") for number in range(7)])
rows = stream.select(col("key").cast("string").alias("PNO"), (seconds / 60).cast("long").alias("PRETIME"))
when = {"availableNow": True} if "--once" in sys.argv else {"processingTime": "5 seconds"}
rows.writeStream.format("console").option("numRows", 1000).trigger(**when).start().awaitTermination()
