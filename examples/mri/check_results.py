"""Does every order have its prediction, once, wherever the pipeline writes? Compares with Python's own predictions.

    python check_results.py --brokers localhost:9092 --mariadb mysql://root@localhost/foretell \\
        --file http://localhost:9870/webhdfs/v1/output/utime.csv --out-topic utime --dead-topic dead

The input rows come from the topic itself (all that is committed in it), so what is checked is all that ever went in.
Each of --mariadb, --file and --out-topic is compared when given: exactly the same (PNO, PRETIME), each as often as it
went in. With --dead-topic, the records that are not orders must be there, each once, by topic, partition and offset.
Prints counts and ends with 1 when anything differs.

A model needs an environment that can read it: a pickle of XGBoost 0.90 needs xgboost==0.90 with numpy<2 and pandas<2.
Rows whose results are known already can come from a file: --known FILE with columns PNO and PRETIME.
"""

import argparse
import csv
import re
import sys
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

import joblib
import pandas as pd
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

FEATURES = ["ITEM_n", "ORDERDR_n", "DEPT_n", "SEX_n", "AGE", "POS_n", "IO_n"]
INTEGER = re.compile(rb"[+-]?[0-9]+")
SENTENCE = re.compile(r"The Patient NO\. is (.*), need (-?\d+) minutes to detect by MRI")


def read_topic(brokers, topic):
    """All committed messages of a topic, partition by partition."""
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "check_results",  # needed by the client; nothing is committed
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "log_level": 2,
    })
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic]
    except KafkaException as e:
        sys.exit(f"no answer from Kafka at {brokers}: {e.args[0].str()}")
    if partitions.error:
        sys.exit(f"topic {topic}: {partitions.error.str()}")
    waiting = set(partitions.partitions)
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in waiting])
    while waiting:
        message = consumer.poll(30)
        if message is None:
            sys.exit(f"topic {topic}: no data and no end of partitions {sorted(waiting)} within 30 s")
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            waiting.discard(message.partition())
        else:
            sys.exit(f"topic {topic}: {message.error().str()}")
    consumer.close()


def order(value):
    """The features of a record, or None when it is not an order."""
    fields = (value or b"").rstrip(b"\r\n").split(b",")
    if len(fields) != len(FEATURES) or not all(INTEGER.fullmatch(f) for f in fields):
        return None
    return [int(f) for f in fields]


def expected(args):
    """What must come out as a Counter of (PNO, PRETIME), and the places of the records that are not orders."""
    known = {}
    if args.known:
        with open(args.known, newline="") as file:
            known = {row["PNO"]: int(row["PRETIME"]) for row in csv.DictReader(file)}
    patients, rows, bad, given = [], [], Counter(), Counter()
    for message in read_topic(args.brokers, args.topic):
        features = order(message.value())
        patient = (message.key() or b"").decode(errors="replace")
        if features is None:
            bad[message.topic(), message.partition(), message.offset()] += 1
        elif patient in known:
            given[patient, known[patient]] += 1
        else:
            patients.append(patient)
            rows.append(features)
    if rows:
        model = joblib.load(args.model)  # plain pickles, too
        table = pd.DataFrame(rows, columns=FEATURES)
        # A model that was trained without names takes its features by position.
        predicted = model.predict(table if hasattr(model, "feature_names_in_") else table.to_numpy())
        given.update((patient, int(seconds) // 60) for patient, seconds in zip(patients, predicted))
    return given, bad


def in_mariadb(url):
    import pymysql

    u = urllib.parse.urlsplit(url)
    connection = pymysql.connect(
        host=u.hostname, port=u.port or 3306, user=u.username, password=urllib.parse.unquote(u.password or ""),
        database=u.path.strip("/"),
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT PNO, PRETIME FROM result")
        return Counter((str(patient), int(minutes)) for patient, minutes in cursor)


def in_file(place):
    """A local path, or an http address as WebHDFS has them."""
    if place.startswith("http"):
        with urllib.request.urlopen(place + ("" if "?" in place else "?op=OPEN")) as answer:
            text = answer.read().decode()
    else:
        text = Path(place).read_text()
    rows = [row for row in csv.reader(text.splitlines()) if row != ["PNO", "PRETIME"]]
    return Counter((patient, int(minutes)) for patient, minutes in rows)


def in_topic(brokers, topic):
    found = (SENTENCE.fullmatch(message.value().decode()) for message in read_topic(brokers, topic))
    return Counter((match[1], int(match[2])) if match else ("no such sentence", 0) for match in found)


def in_dead_letters(brokers, topic):
    found = Counter()
    for message in read_topic(brokers, topic):
        header = {name: (value or b"").decode() for name, value in message.headers() or []}
        place = [header.get(f"__connect.errors.{name}", "-1") for name in ("topic", "partition", "offset")]
        found[place[0], int(place[1]), int(place[2])] += 1
    return found


def same(name, want, have):
    missing, surplus = want - have, have - want
    verdict = "the same" if not missing and not surplus else "DIFFERENT"
    print(f"{name:<14} {have.total():>9}  {verdict}: {missing.total()} missing, {surplus.total()} too many")
    for what, rows in (("missing", missing), ("too many", surplus)):
        for row, times in list(rows.items())[:5]:
            print(f"    {what}: {row}" + (f" ({times} times)" if times > 1 else ""))
    return verdict == "the same"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--brokers", default="localhost:9092", help="default: %(default)s")
    p.add_argument("--topic", default="Pdata", help="what went in; default: %(default)s")
    p.add_argument("--model", default=str(Path(__file__).parent / "models/mri_xgb.joblib"), help="default: %(default)s")
    p.add_argument("--known", metavar="FILE", help="CSV with PNO and PRETIME, instead of a prediction")
    p.add_argument("--mariadb", metavar="URL", help="mysql://user:password@host:port/database with the table `result`")
    p.add_argument("--file", metavar="PLACE", help="a path, or http://namenode:port/webhdfs/v1/path")
    p.add_argument("--out-topic", metavar="TOPIC", help="the topic with the sentences")
    p.add_argument("--dead-topic", metavar="TOPIC", help="the topic with the dead letters")
    args = p.parse_args()

    want, bad = expected(args)
    print(f"{args.topic:<14} {want.total() + bad.total():>9}  {want.total()} orders, {bad.total()} other records")
    good = True
    if args.mariadb:
        good &= same("table result", want, in_mariadb(args.mariadb))
    if args.file:
        good &= same("file", want, in_file(args.file))
    if args.out_topic:
        good &= same(f"topic {args.out_topic}", want, in_topic(args.brokers, args.out_topic))
    if args.dead_topic:
        good &= same("dead letters", bad, in_dead_letters(args.brokers, args.dead_topic))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
