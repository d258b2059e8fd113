"""Makes random models of the libraries' newest versions and writes down what they answer, for foretell to be compared with.

    make.py --out FOLDER --seeds 0..500 [--processes 2]
    make.py --out FOLDER --seed 17

Each seed is a folder as `fixtures/make/case.py` describes it, with two things more: `about`, the model in a line, and beside
the `values` of an answer its `slack`, by row how far they may be off (`slack.py`).
"""

import os

import argparse
import io
import json
import multiprocessing
import pathlib
import pickle
import shutil
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "fixtures/make"))

from processor import AVX_512

# Before numpy is there: sums in the same order every time, and the same functions on every processor.
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NPY_DISABLE_CPU_FEATURES": AVX_512})

import joblib
import lightgbm
import numpy as np
import pandas as pd
import skops.io
import xgboost
from catboost import CatBoost
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from case import ask, bits, columns_of, input_column, kind_of

from dice import Dice
from files import ENDINGS
from models import SHAPES
from slack import OURS, slack

METHODS = {"predict": "predict", "proba": "predict_proba", "decision": "decision_function", "transform": "transform", "samples": "score_samples"}
COMPRESSIONS = [0, 0, ("zlib", 3), ("gzip", 6), ("bz2", 9), ("xz", 6), ("lzma", 3), ("lz4", 1)]
# Parts that do not go together are drawn again.
ATTEMPTS = 40
LARGEST = 400_000


def draw(seed):
    """The model of a seed, and how many that could not be trained came before it."""
    for attempt in range(ATTEMPTS):
        d = Dice([seed, attempt])
        np.random.seed(attempt)
        try:
            made = SHAPES[d.randint(len(SHAPES))](d)
            refuse_unread(made.model, {"ngboost"} if b"ngboost" in pickle.dumps(made.model) else set())
            sure = [put(made.model, made.data.asked.dropna().iloc[:1]) for put in questions(made).values()]
            if len(pickle.dumps(made.model)) < LARGEST and sure and all(sure):
                return d, made, attempt
        except Exception as error:  # noqa: BLE001
            if os.environ.get("FORETELL_DRAWS"):
                print(f"seed {seed}, attempt {attempt}: {type(error).__name__}: {str(error).splitlines()[0][:200]}", file=sys.stderr)
    raise RuntimeError(f"seed {seed}: {ATTEMPTS} models could not be trained")


def refuse_unread(thing, seen):
    """Raises on what is another matter: neighbours without a tree, of which any may be told that are as near as each other."""
    if id(thing) in seen or isinstance(thing, (str, bytes, type, np.ndarray)):
        return
    seen.add(id(thing))
    if type(thing).__name__ == "DictionaryLearning" and thing.split_sign and "ngboost" in seen:
        raise ValueError("it hands on more columns than it did in training, and NGBoost takes the first of them")
    if type(thing).__name__ == "EstimatorTransformer" and np.asarray(getattr(thing.estimator_, "classes_", [])).dtype.kind in "OU":
        raise ValueError("its labels are texts, and a union makes texts of the numbers beside them")
    if type(thing).__name__ == "ZeroInflatedRegressor" and np.ndim(getattr(thing, "regressor_", thing.regressor).get_params().get("quantile_alpha")):
        raise ValueError("several quantiles, for which it has no place")
    if type(thing).__name__.startswith("KNeighbors") and getattr(thing, "_fit_X", None) is not None and thing._tree is None:
        raise ValueError("neighbours without a tree")
    if isinstance(thing, (list, tuple, dict)):
        inside = thing.values() if isinstance(thing, dict) else thing
    elif hasattr(thing, "__dict__") and type(thing).__module__.split(".")[0] in OURS:
        inside = vars(thing).values()
    else:
        return
    for one in list(inside):
        refuse_unread(one, seen)


def knows_names(model):
    """Whether the file of a model tells the names of its columns: ngboost's and some of mlxtend's learn from an array."""
    while isinstance(model, Pipeline):
        model = model.steps[0][1]
    if type(model).__module__.split(".")[0] not in ("mlxtend", "ngboost"):
        return True
    members = [one for value in vars(model).values() for one in (value if isinstance(value, list) else [value])]
    return any(getattr(one, "feature_names_in_", None) is not None for one in members)


def beside_a_good_row(call, frame):
    """The call with a row that the model answers beside those that it is given: of an `IterativeImputer` a row without a
    value at all, alone in its table, is another matter."""

    good = frame.dropna().iloc[:1]

    def again(part):
        return [column[:-1] for column in call(pd.concat([part, good]))]

    return again


def questions(made):
    """What the model can be asked, as functions of a model and a frame."""

    booster = isinstance(made.model, (xgboost.Booster, xgboost.XGBModel))

    def widened(answer):
        """Numbers as float64, which hold those of the float32 that a float32 table makes of them."""
        if isinstance(answer, list):
            return [widened(one) for one in answer]
        return answer.astype(float) if getattr(answer, "dtype", None) == np.float32 else answer

    def question(method):
        def put(model, frame):
            given = made.hand(frame)
            answer = getattr(model, method)(xgboost.DMatrix(given) if isinstance(model, xgboost.Booster) else given)
            if made.raw and not booster and not isinstance(answer, np.ndarray):
                answer = np.asarray(answer, dtype=float)
            if method != "predict" or getattr(answer, "dtype", None) == np.float32:
                answer = widened(answer) if made.data.may_be_narrow and not booster else answer
            if method == "decision_function" and answer.dtype.kind in "iubO":
                # The zeros of a single class.
                answer = answer.astype(float)
            if method == "transform":
                # Numbers as float64, which hold those of any narrower type.
                answer = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
                answer = answer if answer.dtype.kind in "iu" and answer.ndim == 1 else answer.astype(float)
            return columns_of(answer)

        return put

    wanted = [want for want in METHODS if (want == "samples") == made.samples and hasattr(made.model, METHODS[want])]
    if "predict" in wanted:
        wanted = [want for want in wanted if want != "transform"]
    return {want: question(METHODS[want]) for want in wanted}


def save(d, made, folder):
    """Writes the model in one of the ways that it can be; the file's name."""
    ways = ["pickle"] * 4 + ["joblib"] * 4 + ["skops"]
    if isinstance(made.model, xgboost.Booster):
        ways = ["pickle", "json", "ubj"]
    if isinstance(made.model, lightgbm.Booster):
        ways = ["pickle", "joblib", "txt"]
    dumped = pickle.dumps(made.model)
    has_tuples = b"_ImputerTriplet" in dumped
    # Of an array of pyarrow skops tells nothing but its class.
    if has_tuples or b"catboost.core" in dumped or b"pyarrow" in dumped:
        ways = ["pickle", "joblib"]
    if isinstance(made.model, CatBoost):
        ways = ["pickle", "cbm", "catboost.json"]
    way = d.one(ways)
    file = f"model.{way}"
    if way in ("cbm", "catboost.json"):
        made.model.save_model(str(folder / file), format=way.split(".")[-1])
    elif way in ("json", "ubj", "txt"):
        made.model.save_model(str(folder / file))
    elif way == "joblib":
        joblib.dump(made.model, folder / file, compress=d.one(COMPRESSIONS), protocol=d.one([None, None, 2, 4]))
    elif way == "pickle":
        with open(folder / file, "wb") as out:
            # Of a named tuple the first two protocols call what makes it.
            pickle.dump(made.model, out, protocol=max(d.whole(0, 5), 2 if has_tuples else 0))
    else:
        try:
            skops.io.dump(made.model, folder / file)
        except Exception:  # noqa: BLE001 - what skops cannot write
            (folder / file).unlink(missing_ok=True)
            file = "model.joblib"
            joblib.dump(made.model, folder / file)
    return file


def write(seed, folder):
    """One seed, written down."""
    d, made, attempts = draw(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    frame = made.data.asked
    answers = {}
    for want, put in questions(made).items():
        call = lambda part, put=put: put(made.model, part)  # noqa: E731
        if b"IterativeImputer" in pickle.dumps(made.model):
            call = beside_a_good_row(call, frame)
        columns, refused = ask(call, frame)
        kinds = [column[1] if isinstance(column, tuple) else kind_of(column) for column in columns]
        columns = [column[0] if isinstance(column, tuple) else column for column in columns]
        good = np.setdiff1d(np.arange(len(frame)), refused)
        told = [np.array([column[row] for row in good], dtype=kind if kind.startswith("float") else None)
                for column, kind in zip(columns, kinds)]
        far = slack(made.model, put, frame.iloc[good], told, seed) if len(good) else []
        written = []
        for index, (column, kind) in enumerate(zip(columns, kinds)):
            one = {"type": kind, "values": [None if value is None else bits(value, kind) for value in column]}
            if far[index].any():
                by_row = np.zeros(len(frame))
                by_row[good] = far[index]
                one["slack"] = [float(f"{value:.1e}") for value in by_row]
            written.append(one)
        answers[want] = {"columns": written, "refused": refused}
    about = made.model if not made.raw else f"{type(made.model).__module__.split('.')[0]} {type(made.model).__name__}"
    about = about.__repr__(N_CHAR_MAX=4000) if isinstance(about, BaseEstimator) else str(about)
    case = {"model": save(d, made, folder), "about": " ".join(about.split()), "drawn": attempts + 1,
            "columns": [input_column(str(column), frame[column]) for column in frame.columns], "answers": answers}
    if made.data.may_be_narrow and not isinstance(made.model, (xgboost.Booster, xgboost.XGBModel)):
        case["floats"] = "any"
    if made.told:
        case["told"] = made.told
    as_file(seed, folder, made, case)
    (folder / "case.json").write_text(json.dumps(case, separators=(",", ":")) + "\n")


def as_file(seed, folder, made, case):
    """The rows as a file of one kind, and what the library answers of what pandas reads from it (`files.py`)."""
    put = questions(made).get("predict")
    if put is None or made.given or made.told or made.data.bare or not made.data.asked.columns.is_unique:
        return
    ending = os.environ.get("FORETELL_FILES") or ENDINGS[seed % len(ENDINGS)]
    texts = [*made.data.words, *made.data.notes]
    frame = made.data.asked.copy()
    if ending != "parquet":
        frame = frame.astype({name: float for name in made.data.numbers if str(frame[name].dtype) == "float32"})
    if ending == "jsonl":
        frame = frame[~np.isinf(frame[made.data.numbers].astype(float)).any(axis=1)]

    def read(rows):
        """What pandas makes of the file."""
        if ending != "csv":
            return rows.reset_index(drop=True)
        # A missing value alone in its line is a blank line, and a row.
        again = pd.read_csv(
            io.StringIO(rows.to_csv(index=False)),
            dtype={name: "object" for name in texts},
            float_precision="round_trip",
            skip_blank_lines=False,
        )
        return again.where(again.notna(), made.data.absent) if texts and made.data.absent is None else again

    # Rows that it raises on stop the program, which says so: they are left out.
    for _ in range(3):
        columns, refused = ask(lambda part: put(made.model, part), read(frame))
        if not refused:
            break
        frame = frame.drop(frame.index[refused])
    if refused or len(frame) < 5:
        return
    far = slack(made.model, put, read(frame), columns, seed)
    file = f"data.{ending}"
    frame = frame.reset_index(drop=True).assign(**{"the row": np.arange(len(frame))})
    if ending == "csv":
        frame.to_csv(folder / file, index=False)
    elif ending == "parquet":
        frame.astype({name: "object" for name in texts}).to_parquet(folder / file, index=False)
    else:
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        (folder / file).write_text("".join(json.dumps(row, default=lambda value: value.item()) + "\n" for row in rows))
    written = [{"type": kind_of(column), "values": [bits(value, kind_of(column)) for value in column], "slack": np.asarray(one).tolist()}
               for column, one in zip(columns, far)]
    told = {"model": case["model"], "file": file, "about": case["about"], "predict": written}
    if not knows_names(made.model):
        told["columns"] = [str(column) for column in made.data.asked.columns]
    (folder / "files.json").write_text(json.dumps(told))


def main():
    settings = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    settings.add_argument("--out", type=pathlib.Path, required=True, help="where the folders of the seeds go")
    settings.add_argument("--seeds", default="0..500", help="from the first to before the last")
    settings.add_argument("--seed", type=int, help="only this one")
    settings.add_argument("--processes", type=int, default=1)
    settings = settings.parse_args()
    first, last = (int(one) for one in settings.seeds.split(".."))
    seeds = [settings.seed] if settings.seed is not None else range(first, last)
    since = time.time()
    with multiprocessing.Pool(settings.processes) as pool:
        tasks = ((seed, settings.out / "seeds" / str(seed)) for seed in seeds)
        broken = 0
        for done, error in enumerate(pool.imap_unordered(one_seed, tasks), 1):
            if error:
                broken += 1
                print(error, flush=True)
            if done % 50 == 0 or done == len(seeds):
                print(f"{done} of {len(seeds)} models, {time.time() - since:.0f} s", flush=True)
    return broken > 0


def one_seed(task):
    try:
        return write(*task)
    except Exception:  # noqa: BLE001 - the others are made all the same
        return f"seed {task[0]}: {traceback.format_exc()}"


if __name__ == "__main__":
    sys.exit(main())
