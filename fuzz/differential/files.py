"""Hands the rows of random models to the program as a file, and compares what it writes with what the library answered.

    files.py FOLDER FORETELL [--processes 2]

FOLDER is what `make.py` made. Each seed has a file of one kind, CSV, JSON Lines or Parquet in turn, and goes through
`foretell predict` and through a pipeline of `foretell run` from the file to another. Beside each model `make.py` left
`files.json`: what the library answers of the rows as pandas reads them from such a file, and how far off it may be.
"""

import argparse
import json
import math
import multiprocessing
import pathlib
import shutil
import struct
import subprocess
import sys

import pyarrow.parquet

ENDINGS = ["csv", "jsonl", "parquet"]


def main():
    settings = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    settings.add_argument("folder", type=pathlib.Path)
    settings.add_argument("foretell", type=pathlib.Path)
    settings.add_argument("--processes", type=int, default=1)
    settings = settings.parse_args()
    seeds = sorted((settings.folder / "seeds").glob("*/files.json"), key=lambda path: int(path.parent.name))
    tasks = [(path.parent, settings.foretell.resolve()) for path in seeds]
    with multiprocessing.Pool(settings.processes) as pool:
        wrong = [line for line in pool.imap(one, tasks) if line]
    print(*wrong, sep="\n")
    print(f"{len(wrong)} of {len(tasks)} files of random models differ")
    return bool(wrong)


def one(task):
    folder, foretell = task
    case = json.loads((folder / "files.json").read_text())
    differences = []
    for way, ask in {"predict": predict, "run": run}.items():
        try:
            got = ask(folder, foretell, case)
        except Refused as refused:
            differences.append(f"{way}: {str(refused)[-300:]}")
            continue
        for index, (wanted, column) in enumerate(zip(case["predict"], got)):
            bad = [f"row {row}: {value} instead of {answer}" for row, (answer, value, far) in
                   enumerate(zip(wanted["values"], column, wanted["slack"])) if not near(answer, value, far, wanted["type"])]
            if bad or len(column) != len(wanted["values"]):
                differences.append(f"{way}: output {index}, {len(bad)} of {len(column)} rows, {'; '.join(bad[:3])}")
        if len(got) != len(case["predict"]):
            differences.append(f"{way}: {len(got)} columns instead of {len(case['predict'])}")
    return f"seeds/{folder.name} ({case['file']}): {case['about'][:1500]}\n  " + "\n  ".join(differences) if differences else None


class Refused(Exception):
    """What the program says instead of an answer."""


def call(*command, **more):
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, timeout=300, **more)
    if done.returncode:
        raise Refused(done.stderr.strip().replace("\n", " "))


def predict(folder, foretell, case):
    out = folder / "predicted.parquet"
    # A file that tells no names of columns is told them.
    named = ["--columns", ",".join(case["columns"])] if "columns" in case else []
    call(foretell, "predict", folder / case["model"], folder / case["file"], "-o", out, *named)
    return columns(out)


def run(folder, foretell, case):
    work = folder / "run"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    given = ", ".join(f'"{name}"' for name in case.get("columns", [])) or "*"
    pipeline = f"""pipeline: fuzz
source: {{ file: {{ path: ../{case['file']} }} }}
models: {{ m: {{ file: ../{case['model']} }} }}
query: |
  SELECT m, row_number_of_file FROM (SELECT m({given}) AS m, "the row" AS row_number_of_file FROM records)
sinks: {{ out: {{ file: {{ path: out, format: parquet }} }} }}
on_bad_record: stop
trigger: available_now
"""
    (work / "pipeline.yaml").write_text(pipeline)
    call(foretell, "run", "pipeline.yaml", "--workers", "1", cwd=work)
    files = sorted((work / "out").glob("*.parquet"))
    tables = [pyarrow.parquet.read_table(path) for path in files]
    rows = [row for table in tables for row in table.to_pylist()]
    rows.sort(key=lambda row: row["row_number_of_file"])
    # Several outputs are one column of fields, whatever those are called.
    answers = [list(row["m"].values()) if isinstance(row["m"], dict) else [row["m"]] for row in rows]
    return [list(column) for column in zip(*answers)]


def columns(path):
    table = pyarrow.parquet.read_table(path)
    return [table.column(name).to_pylist() for name in table.column_names if name.startswith("prediction")]


def near(answer, value, far, kind):
    if kind in ("float32", "float64"):
        answer = struct.unpack(">f" if kind == "float32" else ">d", bytes.fromhex(answer))[0]
        if value is None or isinstance(value, (str, bool)):
            return False
        if math.isnan(answer) or math.isnan(value):
            return math.isnan(answer) and math.isnan(value) or far >= 1e307
        return answer == value or abs(answer - value) <= max(far, 5e-324)
    return answer == value or far > 0


if __name__ == "__main__":
    sys.exit(main())
