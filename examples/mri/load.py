"""Send exam orders to a Kafka topic, as the hospital's system would: key = patient number, value = seven fields as CSV.

    python load.py --brokers localhost:9092 --topic Pdata --rows 1000 --rate 50
    python load.py --topic Pdata --csv orders.csv
    python load.py --topic Pdata --rows 100000 --bad 137 --expect bad.csv

Copy what you need: only --rows, which makes orders up, needs orders.py beside it. The same options send the same
records, bad ones included.
"""

import argparse
import csv
import random
import sys
import time

from confluent_kafka import KafkaException, Producer


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--brokers", default="localhost:9092", help="default: %(default)s")
    p.add_argument("--topic", default="Pdata", help="default: %(default)s; it must exist")
    p.add_argument("--rows", type=int, default=0, help="how many made-up orders to send")
    p.add_argument("--csv", metavar="FILE", help="send the orders of a CSV file: PNO, the features; the rest stays out")
    p.add_argument("--rate", type=float, default=0, help="records a second; default: as fast as it goes")
    p.add_argument("--bad", type=int, default=0, help="how many bad records to mix in")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument("--expect", metavar="FILE", help="write topic, partition, offset, key and kind of each bad record")
    return p.parse_args()


def orders(args):
    """(key, value) of the good records."""
    if args.csv:
        with open(args.csv, newline="") as file:
            for row in csv.reader(file):
                if row[0] != "PNO":
                    yield row[0].encode(), ",".join(row[1:8]).encode()
    if args.rows:
        from orders import FEATURES, generate

        made = generate(args.rows, args.seed)
        for patient, *fields in zip(made["PNO"].tolist(), *(made[name].tolist() for name in FEATURES)):
            yield str(patient).encode(), ",".join(map(str, fields)).encode()


# What goes wrong in real topics: each turns a good value into a bad one.
BAD = {
    "too few fields": lambda value: value.rsplit(b",", 2)[0],
    "a letter in a number": lambda value: value.replace(b",", b"x,", 1),
    "not UTF-8": lambda value: b"\xff\xfe" + value,
    "null value": lambda value: None,
    "empty value": lambda value: b"",
}


def records(args):
    """(key, value, kind) of all records; kind is None for good ones. Bad ones come at places the seed chooses."""
    good = list(orders(args))
    rng = random.Random(args.seed)
    bad_at = set(rng.sample(range(len(good) + args.bad), args.bad))
    kinds, rest = list(BAD), iter(good)
    for i in range(len(good) + args.bad):
        if i in bad_at:
            kind = rng.choice(kinds)
            yield f"bad{i}".encode(), BAD[kind](rng.choice(good)[1] if good else b"1,2,3,4,5,6,7"), kind
        else:
            yield *next(rest), None


def main():
    args = arguments()
    failed, bad = [], []
    # The partitioner is Java's, so that a patient's records lie where other producers put them.
    producer = Producer({
        "bootstrap.servers": args.brokers,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "linger.ms": 20,
        "log_level": 2,  # errors are reported below, once
    })
    try:
        if error := producer.list_topics(args.topic, timeout=10).topics[args.topic].error:
            sys.exit(f"topic {args.topic}: {error.str()}")
    except KafkaException as e:
        sys.exit(f"no answer from Kafka at {args.brokers}: {e.args[0].str()}")

    def delivered(kind):
        def report(error, message):
            if error:
                failed.append(error)
            elif kind:
                bad.append((message.topic(), message.partition(), message.offset(), message.key().decode(), kind))
        return report

    start, sent = time.monotonic(), 0
    for key, value, kind in records(args):
        if args.rate and (wait := start + sent / args.rate - time.monotonic()) > 0:
            producer.poll(wait)
        while True:
            try:
                producer.produce(args.topic, value, key=key, on_delivery=delivered(kind))
                break
            except BufferError:  # the queue is full: let it drain
                producer.poll(0.1)
        sent += 1
        if sent % 1000 == 0:
            producer.poll(0)
    left = producer.flush(60)
    if args.expect:
        with open(args.expect, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["topic", "partition", "offset", "key", "kind"])
            writer.writerows(sorted(bad))
    if failed or left:
        sys.exit(f"{len(failed) + left} of {sent} records were not delivered: {failed[0] if failed else 'timed out'}")
    print(f"{sent} records in {args.topic}, {len(bad)} of them bad, in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
