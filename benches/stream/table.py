#!/usr/bin/env python3
"""Prints the part of docs/benchmarks.md that is about streams: usage: table.py LINES. LINES holds what `run` wrote, round
after round."""
import collections, datetime, json, os, statistics, sys

CASES = {
    "bare": "librdkafka alone reads and writes as much, without transactions",
    "kafka": "foretell, Kafka to Kafka, exactly once",
    "workers": "the same with two workers",
    "json": "the same from JSON",
    "mariadb": "foretell into MariaDB",
    "postgres": "foretell into PostgreSQL",
    "hdfs": "foretell into a file on HDFS",
    "three": "foretell into MariaDB, HDFS and Kafka",
}
LATENCIES = {
    "latency": "1,000 records/s, exactly once",
    "latency-200": "200 records/s, exactly once",
    "latency-least": "1,000 records/s, at least once",
}
figures = collections.defaultdict(lambda: collections.defaultdict(list))
for line in open(sys.argv[1]):
    one = json.loads(line)
    for name, value in one.items():
        if name != "case":
            figures[one["case"]][name].append(value)


def median(case, name):
    return statistics.median(figures[case][name])


def spread(case, name):
    values = figures[case][name]
    return f"{min(values):.3g} to {max(values):.3g}" if len(values) > 1 else "one run"


start = median("start", "seconds") if "start" in figures else 0
records = next(iter(figures[case]["records"][0] for case in CASES if case in figures), 0)
print(f"""
## Streams
`benches/stream/run` with the services of `dev/services` on the same machine: {records:,} records of seven integers in three partitions, the model of `examples/mri`, everything read committed and counted afterwards. {datetime.date.today()}, {os.cpu_count()} cores, which the broker, the databases and HDFS share with foretell. A time is that of the whole command; starting and stopping take {start:.1f} s of it.

| | seconds, median | spread | records/s | without start | processor seconds | peak MiB |
|---|---|---|---|---|---|---|""")
for case, text in CASES.items():
    if case in figures:
        seconds = median(case, "seconds")
        rest = seconds - (start if case != "bare" else 0)
        print(f"| {text} | {seconds:.1f} | {spread(case, 'seconds')} | {records / seconds:,.0f} | {records / rest:,.0f} "
              f"| {median(case, 'cpu_s'):.1f} | {median(case, 'mib'):.0f} |")
print("""
| from when a record is due until its prediction can be read | p50 ms | p90 | p99 | spread of p50 | first prediction after the start, s |
|---|---|---|---|---|---|""")
for case, text in LATENCIES.items():
    if case in figures:
        print(f"| {text} | {median(case, 'p50'):.1f} | {median(case, 'p90'):.1f} | {median(case, 'p99'):.1f} "
              f"| {spread(case, 'p50')} | {median(case, 'first'):.2f} |")
if "transactions" in figures:
    p50, p99 = (median("transactions", name) for name in ("p50", "p99"))
    print(f"""
librdkafka alone, with transactions of two records one after another, three in step as a sink has them, takes {p50:.1f} ms for each at the median, {p99:.1f} at the 99th percentile. A record waits for half of one on average until its own begins.""")
print()
print(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tried.md")).read().rstrip())
