"""On a real Spark: a standalone master and two workers, each a process of its own on loopback."""

import os
import pathlib
import subprocess

import numpy
import pytest
from conftest import ROOT, Case

import foretell

pytest.importorskip("pyspark")
import cluster  # noqa: E402

import foretell.spark  # noqa: E402

JARS = sorted(pathlib.Path(os.environ.get("SPARK_KAFKA_JARS", "/none")).glob("*.jar"))


@pytest.fixture(scope="session")
def master(tmp_path_factory):
    with cluster.started(tmp_path_factory.mktemp("spark")) as url:
        yield url


@pytest.fixture(scope="session")
def spark(master):
    session = cluster.session(master)
    yield session
    session.stop()


MRI = ROOT / "examples/mri/models/mri_xgb.joblib"


def orders(rows):
    import pandas

    random = numpy.random.default_rng(5)
    frame = pandas.DataFrame({name: random.integers(0, 30, rows) for name in foretell.load(MRI).signature.names})
    frame.insert(0, "PNO", [f"p{number:06}" for number in range(rows)])
    return frame


def test_a_table_gets_its_predictions(spark):
    frame = orders(20_000)
    expected = foretell.load(MRI).predict(frame)
    df = spark.createDataFrame(frame).repartition(4)
    scored = foretell.spark.predict(df, MRI, methods=["predict", "reasons"], keep=["PNO"])
    assert scored.columns == ["PNO", "prediction", "reasons"]
    got = scored.toPandas().sort_values("PNO")
    numpy.testing.assert_array_equal(got["prediction"].to_numpy(), expected)
    assert foretell.spark.predict(df, MRI).columns == [*df.columns, "prediction"]


def test_a_function_takes_columns_in_order_and_by_name(spark):
    frame = orders(1000)
    expected = foretell.load(MRI).predict(frame)
    names = foretell.load(MRI).signature.names
    df = spark.createDataFrame(frame)
    minutes = foretell.spark.udf(MRI)
    for columns in (names, names[::-1], [df[name].cast("double") for name in names], []):
        got = df.select("PNO", minutes(*columns).alias("y")).toPandas().sort_values("PNO")
        numpy.testing.assert_array_equal(got["y"].to_numpy(), expected)


def test_probabilities_and_contributions_are_columns(spark):
    case = Case("xgboost-2.1/classes")
    model = foretell.load(case.model)
    frame = case.frame()
    expected = model.predict_proba(frame)
    df = spark.createDataFrame(frame.astype("float64"))
    scored = foretell.spark.predict(df, model, methods=["predict_proba", "contribs"], keep=[]).toPandas()
    numpy.testing.assert_array_equal(scored.to_numpy()[:, : expected.shape[1]].astype("float32"), expected)
    function = foretell.spark.udf(model, "predict_proba")
    columns = model.signature.names or df.columns
    got = numpy.array(df.select(function(*[df[f"`{name}`"] for name in columns]).alias("p")).toPandas()["p"].tolist())
    numpy.testing.assert_array_equal(got.astype("float32"), expected)


def test_rows_that_are_refused_have_their_reason_or_fail_the_job(spark):
    df = spark.createDataFrame([(1.0,), (float("inf"),), (2.0,)], ["x"])
    model = foretell.load(Case("sklearn-1.6/linear-lasso").model)
    names = model.signature.names or [f"c{at}" for at in range(model.n_features_in_)]
    df = df.select(*[df.x.alias(name) for name in names])
    got = foretell.spark.predict(df, model, columns=names, keep=[], refused="why").toPandas()
    assert got["why"].notna().sum() == 1 and got["prediction"].isna().sum() == 1
    with pytest.raises(Exception, match="the model refuses this row"):
        foretell.spark.predict(df, model, columns=names).collect()


def test_a_stream_is_a_table(spark, tmp_path):
    frame = orders(500)
    (tmp_path / "in").mkdir()
    df = spark.createDataFrame(frame)
    df.repartition(2).write.parquet(str(tmp_path / "in" / "one"))
    stream = spark.readStream.schema(df.schema).parquet(str(tmp_path / "in" / "one"))
    scored = foretell.spark.predict(stream, MRI, keep=["PNO"])
    scored = scored.withColumn("again", scored.prediction)
    query = (
        scored.writeStream.format("parquet").option("path", str(tmp_path / "out"))
        .option("checkpointLocation", str(tmp_path / "at")).trigger(availableNow=True).start()
    )
    query.awaitTermination()
    got = spark.read.parquet(str(tmp_path / "out")).toPandas().sort_values("PNO")
    numpy.testing.assert_array_equal(got["prediction"].to_numpy(), foretell.load(MRI).predict(frame))


def submit(master, program, *args, options=()):
    settings = {
        "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false", "spark.executor.memory": "600m",
        "spark.cores.max": "1", **cluster.PATIENCE,
    }
    conf = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    command = [str(cluster.HOME / "bin/spark-submit"), "--master", master, *conf, *options]
    command += [str(ROOT / "examples/spark" / program), *map(str, args)]
    done = subprocess.run(command, env=cluster.environment(), capture_output=True, text=True, timeout=900)
    told = [line for line in done.stderr.splitlines() if " INFO " not in line and "\tat " not in line]
    assert done.returncode == 0, "\n".join(told)[-6000:]
    return done.stdout


def test_the_programs_of_the_examples(master, spark, tmp_path):
    """A and B give what their pipelines' examples expect of the same file."""
    import pandas

    # Its cores are the programs' now.
    spark.stop()
    source, model = ROOT / "examples/batch-dataframe/orders.csv", ROOT / "examples/batch-dataframe/models/duration.joblib"
    submit(master, "a_dataframe.py", source, tmp_path / "a", model)
    got = pandas.concat(pandas.read_csv(part) for part in (tmp_path / "a").glob("part-*.csv"))
    expected = pandas.read_csv(ROOT / "examples/batch-dataframe/expected.csv")
    columns = [name for name in got.columns if name in expected.columns]
    assert "PRETIME" in columns and len(columns) == 12
    got, expected = (one[columns].astype("int64").sort_values(columns).reset_index(drop=True) for one in (got, expected))
    pandas.testing.assert_frame_equal(got, expected)
    source, model = ROOT / "examples/batch-lines/orders.csv", ROOT / "examples/batch-lines/models/duration.joblib"
    submit(master, "b_lines.py", source, tmp_path / "b", model)
    lines = [line for part in (tmp_path / "b").glob("part-*") for line in part.read_text().splitlines()]
    expected = pandas.read_csv(ROOT / "examples/batch-lines/expected.csv")
    minutes = sorted(int(line.rsplit(",", 1)[1]) for line in lines)
    assert minutes == sorted(expected["PRETIME"])


@pytest.mark.skipif(not JARS or "FORETELL_KAFKA" not in os.environ, reason="needs SPARK_KAFKA_JARS and FORETELL_KAFKA")
def test_the_program_of_a_topic(tmp_path):
    import uuid

    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    topic = f"dist-{uuid.uuid4().hex[:8]}"
    brokers = {"bootstrap.servers": os.environ["FORETELL_KAFKA"]}
    AdminClient(brokers).create_topics([NewTopic(topic, 2, 1)])[topic].result()
    producer = Producer(brokers)
    frame = orders(50)
    for row in frame.itertuples(index=False):
        producer.produce(topic, ",".join(str(value) for value in row[1:]), row[0])
    producer.flush()
    model = ROOT / "examples/mri/models/mri_rf.joblib"
    jars = ["--jars", ",".join(map(str, JARS))]
    said = submit("local[2]", "d_topic.py", os.environ["FORETELL_KAFKA"], topic, model, "--once", options=jars)
    expected = foretell.load(model).predict(frame[foretell.load(model).signature.names])
    for patient, seconds in zip(frame["PNO"], expected):
        assert f"|{patient}|" in said.replace(" ", "") and f"|{patient}|{int(seconds / 60)}|" in said.replace(" ", "")
