#!/usr/bin/env python3
"""Writes docs/benchmarks.md: usage: table.py LINES. LINES holds what `scoring` and rivals.py printed, round after round."""
import collections, datetime, json, os, platform, statistics, subprocess, sys

FORETELL = "foretell"
FIGURES = ["rows_s_100k", "rows_s_1000", "us_100", "us_1"]
SHAPES = {
    "xgb_seed_50x3": "XGBoost, 50 trees of depth 3, 7 features",
    "xgb_500x6_reg": "XGBoost, 500 of depth 6, 28 features",
    "xgb_300x8_clf": "XGBoost classifier, 300 of depth 8, 28 features",
    "lgb_500x31_reg": "LightGBM, 500 of 31 leaves, 28 features",
    "rf_100_reg": "random forest, 100 of 25,000 leaves, 7 features",
    "rf_200x10_clf": "random forest classifier, 200 of depth 10, 28 features",
    "gbr_100x3": "gradient boosting, 100 of depth 3, 7 features",
    "hgb_200": "histogram boosting, 200 of 31 leaves, 28 features",
    "logreg_pipe": "scaler and logistic regression, 28 features",
}
rounds = collections.defaultdict(list)  # (model, rival, figure) -> a number a round
versions, kernels, differ, two = {}, {}, {}, collections.defaultdict(list)
for line in open(sys.argv[1]):
    if not line.startswith('{"model"'):
        continue  # what a library prints besides
    one = json.loads(line)
    rival = one.get("rival", FORETELL)
    for figure in FIGURES:
        rounds[one["model"], rival, figure].append(one[figure])
    if rival == FORETELL:
        kernels[one["model"]], differ[one["model"]] = one["kernel"], one["differ"]
        two[one["model"]].append(one["two_threads"])
    else:
        library = {"xgb": "XGBoost", "lgb": "LightGBM"}.get(one["model"][:3], "scikit-learn")
        versions[library if rival.startswith("the library") else rival] = one["version"]
median = {key: statistics.median(values) for key, values in rounds.items()}
spread = max((max(v) - min(v)) / statistics.median(v) / 2 for v in rounds.values())
typical = statistics.median((max(v) - min(v)) / statistics.median(v) / 2 for v in rounds.values())


def best(model, figure):
    rivals = [(value, rival) for (m, rival, f), value in median.items() if (m, f) == (model, figure) and rival != FORETELL]
    return (max if figure.startswith("rows") else min)(rivals)


def number(value, figure):
    if not figure.startswith("rows"):
        return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:,.0f} k"


def cell(model, figure):
    own, (other, rival) = median[model, FORETELL, figure], best(model, figure)
    ratio = own / other if figure.startswith("rows") else other / own
    return f"{number(own, figure)} | {number(other, figure)} {rival} | **{ratio:.1f}**"


cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
flags = open("/proc/cpuinfo").read()
vectors = "AVX-512" if "avx512vbmi" in flags else "AVX2" if "avx2" in flags else "neither AVX-512 nor AVX2"
commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
load = ", ".join(f"{one:.0f}" for one in os.getloadavg())
count = max(map(len, rounds.values()))
how_often = (
    f"Each figure is the median of {count} rounds, foretell and its rivals in turn; half the distance between the slowest and the quickest round is {typical:.0%} of the median for the median figure, {spread:.0%} for the widest."
    if count > 1
    else "One round, in which each figure is the shortest of several calls, foretell and its rivals in turn: a page of several rounds would tell the spread."
)
print(f"""# Benchmarks
How fast models score, beside what a user of Python would run instead. `make bench` installs the rivals, measures all of it in turn on one machine and writes this page; only ratios within one run mean anything.

- {datetime.date.today()}, commit {commit}; {cpu} ({vectors}), {os.cpu_count()} cores; load average at the end {load}.
- One thread each. Times are processor time, so that what else runs on the machine does not count as waiting; it does share the caches and the memory.
- {how_often}
- foretell's `foretell-model` is called from Rust with Arrow columns, the rivals from Python with a float32 array: the call is part of the time of one row.
- Rivals: {", ".join(f"{name} {version}" for name, version in sorted(versions.items()))}.
- oneDAL takes XGBoost's and LightGBM's models, lleaves LightGBM's; tl2cgen is left out where its C takes minutes to compile, the histogram boosting has no ONNX.
- Ratios are foretell's rows/s over the best rival's, and the best rival's time over foretell's: more is better for foretell.
""")
kernels = {model: kernel for model, kernel in kernels.items() if any(m == model and r != FORETELL for m, r, _ in rounds)}
for figure, title in [("rows_s_100k", "100,000 rows, rows/s"), ("rows_s_1000", "1,000 rows, rows/s"), ("us_100", "100 rows, microseconds"), ("us_1", "One row, microseconds")]:
    print(f"## {title}\n| model | foretell | best rival | ratio |\n|---|---|---|---|")
    for model in SHAPES:
        if model in kernels:
            print(f"| {SHAPES[model]} | {cell(model, figure)} |")
    print()
print("## Kernels, threads and answers\nBeside each kernel, how many times one thread's rows/s two threads make, each of 100,000 rows of its own.\n")
print("| model | kernel | two threads | answers of 100,000 rows that differ from the library's |\n|---|---|---|---|")
for model in SHAPES:
    if model in kernels:
        print(f"| {SHAPES[model]} | {kernels[model]} | {statistics.median(two[model]):.2f} | {differ[model]:,} |")
print("""
The logistic regression's sums run over the features in order; the library's go through BLAS in float32. docs/models.md says how far they may be apart.

## All figures
| model | | 100,000 rows, rows/s | 1,000 rows, rows/s | 100 rows, us | one row, us |
|---|---|---|---|---|---|""")
for model in SHAPES:
    for rival in sorted({rival for m, rival, _ in median if m == model}, key=lambda rival: (rival != FORETELL, rival)):
        print(f"| {model} | {rival} | " + " | ".join(number(median[model, rival, figure], figure) for figure in FIGURES) + " |")
