"""What the libraries themselves answered, through pandas, polars, pyarrow and numpy."""

import numpy
import pytest
from conftest import FIXTURES, Case

import foretell

METHODS = {
    "predict": "predict", "proba": "predict_proba", "decision": "decision_function", "samples": "score_samples",
    "transform": "transform",
}
GROUPS = ["sklearn-1.6", "xgboost-2.1", "lightgbm-4.7", "catboost-1.2", "onnx-1.32", "pmml-4.4", "category-encoders-2.6"]
NAMES = sorted(
    str(path.parent.relative_to(FIXTURES)) for group in GROUPS for path in (FIXTURES / group).glob("*/case.json.gz")
)


def compare(case, model, method, answers, rows):
    expected, _ = case.answer(method)
    answers = answers if isinstance(answers, list) else [answers]
    columns = []
    for answer in answers:
        columns += [answer] if answer.ndim == 1 else [answer[:, at] for at in range(answer.shape[1])]
    assert len(columns) == len(expected)
    terms = case.json.get("terms") or []
    for number, (one, (other, slack)) in enumerate(zip(columns, expected)):
        if isinstance(other, numpy.ndarray):
            # `floats: any`: the fixture has float32 answers as float64.
            assert one.dtype == other.dtype or case.json.get("floats") == "any", f"{case.name}: {method}: {one.dtype}"
            wide = one.astype(other.dtype)
        else:
            wide = one if one.dtype.kind in "iub" else [str(value) for value in one]
        for got, row in zip(wide, rows):
            assert case.near(method, got, other[row], slack, row, terms), \
                f"{case.name}: {method}: output {number}, row {row}: {got!r} instead of {other[row]!r}"


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_the_library(name):
    case = Case(name)
    model = foretell.load(case.model, columns=case.told)
    frame = case.frame()
    for method, call in METHODS.items():
        expected, refused = case.answer(method)
        if expected is None:
            continue
        if call not in model.signature.outputs:
            continue
        good = [row for row in range(len(frame)) if row not in refused]
        if refused:
            # Alone, since the first refusal ends the call.
            with pytest.raises(foretell.Refused) as caught:
                getattr(model, call)(frame)
            assert caught.value.row == min(refused) and caught.value.reason
            assert str(caught.value).startswith(f"row {min(refused)}: the model refuses this row: ")
            table = model.table(frame, call)
            import pyarrow

            reasons = pyarrow.record_batch(table).column("refused").to_pylist()
            assert [row for row, why in enumerate(reasons) if why] == refused
        if good:
            compare(case, model, method, getattr(model, call)(frame.iloc[good]), good)


SHAPES = ["xgboost-2.1", "lightgbm-4.7", "sklearn-1.6"]


def numeric():
    """Some fixtures of numbers alone."""
    found = []
    for group in SHAPES:
        for name in [name for name in NAMES if name.startswith(group + "/")]:
            case = Case(name)
            if all(isinstance(values, numpy.ndarray) for values in case.columns.values()):
                found.append(name)
    return found[::6]


@pytest.mark.parametrize("name", numeric())
def test_every_kind_of_table_gives_the_same(name):
    import pandas
    import polars
    import pyarrow

    case = Case(name)
    model = foretell.load(case.model, columns=case.told)
    method = next(one for one in ("predict", "transform", "score_samples") if one in model.signature.outputs)
    frame = case.frame()
    table = pyarrow.record_batch(model.table(frame, method))
    good = [row for row, why in enumerate(table.column("refused").to_pylist()) if why is None]
    frame = frame.iloc[good].reset_index(drop=True)
    # Missing values are NULL in Arrow's tables.
    arrow = pyarrow.Table.from_pandas(frame, preserve_index=False)
    # In the columns' own type: what float32 cannot hold is another number.
    wide = frame.to_numpy()
    order = model.signature.names
    given = {
        "pyarrow": arrow,
        "batches": pyarrow.Table.from_batches(arrow.to_batches(max_chunksize=7)),
        "polars": polars.from_arrow(arrow),
        "dict": {name: frame[name].to_numpy() for name in frame.columns},
        "nullable": frame.convert_dtypes(dtype_backend="numpy_nullable"),
        "arrow types": frame.convert_dtypes(dtype_backend="pyarrow"),
        "reordered": frame[list(frame.columns)[::-1]] if order else frame,
    }
    if order is None or order == [str(name) for name in frame.columns]:
        given |= {
            "rows": numpy.ascontiguousarray(wide), "columns": numpy.asfortranarray(wide),
            "every second": numpy.repeat(wide, 2, axis=0)[::2], "backwards": wide[::-1],
            "big-endian": wide.astype(wide.dtype.newbyteorder(">")), "lists": wide.tolist(), "objects": wide.astype(object),
        }
    expected = getattr(model, method)(frame)
    # Python's own numbers are float64: of float32 they are those of a wider table.
    widened = getattr(model, method)(frame.astype("float64")) if wide.dtype == numpy.float32 else expected
    for kind, data in given.items():
        answer = getattr(model, method)(data)
        answer = answer[::-1] if kind == "backwards" else answer
        same = widened if kind in ("lists", "objects") else expected
        assert answer.dtype == same.dtype, kind
        numpy.testing.assert_array_equal(answer, same, err_msg=kind)
