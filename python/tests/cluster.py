"""A standalone Spark on loopback: a master and two workers, each a process of its own."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import pyspark

HOME = pathlib.Path(pyspark.__file__).parent
# On a machine that is busy or stands still for a minute nobody is given up.
PATIENCE = {
    "spark.worker.timeout": "900", "spark.network.timeout": "900s", "spark.executor.heartbeatInterval": "60s",
    "spark.rpc.askTimeout": "900s", "spark.rpc.lookupTimeout": "900s",
}
# The whole start of a cluster, at most.
STARTS = 900


def environment(**more):
    patience = " ".join(f"-D{name}={value}" for name, value in PATIENCE.items())
    return dict(
        os.environ, SPARK_HOME=str(HOME), SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable,
        SPARK_DAEMON_JAVA_OPTS=patience, SPARK_DAEMON_MEMORY="256m", **more,
    )


def _port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def started(folder: pathlib.Path, memory="1g"):
    """The address of a master with two workers of one core each."""
    at, ui = _port(), _port()
    url = f"spark://127.0.0.1:{at}"
    java = str(HOME / "bin/spark-class")
    master = [java, "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(at), "--webui-port", str(ui)]
    worker = [java, "org.apache.spark.deploy.worker.Worker", "--cores", "1", "--memory", memory, "--webui-port", "0"]
    worker += ["--host", "127.0.0.1"]
    running = []

    def start(name, command):
        log = open(folder / f"{name}.log", "w")
        running.append((name, subprocess.Popen(command, env=environment(), stdout=log, stderr=log)))

    try:
        start("master", master)
        # A worker whose master does not listen yet tries again only after some seconds.
        _until(lambda: _asked(ui) is not None, folder, running)
        for name in ("a", "b"):
            start(name, [*worker, "--work-dir", str(folder / name), url])
        _until(lambda: (_asked(ui) or "").count('"ALIVE"') >= 3, folder, running)
        yield url
    finally:
        for _, process in reversed(running):
            process.terminate()
        for _, process in running:
            process.wait()


def _asked(ui):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{ui}/json/", timeout=30).read().decode()
    except OSError:
        return None


def _until(happened, folder, running):
    deadline = time.monotonic() + STARTS
    while not happened():
        for name, process in running:
            assert process.poll() is None, f"{name} has ended:\n{(folder / f'{name}.log').read_text()[-3000:]}"
        assert time.monotonic() < deadline, "the cluster does not come up"
        time.sleep(0.2)


def session(master, memory="600m", batch=10_000):
    from pyspark.sql import SparkSession

    os.environ.update(environment())
    builder = SparkSession.builder.master(master).appName("foretell")
    settings = {
        "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false", "spark.executor.memory": memory,
        "spark.sql.shuffle.partitions": "2", "spark.sql.execution.arrow.maxRecordsPerBatch": str(batch), **PATIENCE,
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()
