"""Models on Spark: scored by the executors' Python workers, with nothing of scikit-learn or XGBoost on them.

    import foretell.spark
    scored = foretell.spark.predict(df, "model.joblib")                    # all columns, and `prediction`
    minutes = foretell.spark.udf("model.joblib")                           # a function of columns
    df.select("id", minutes("AGE", "DEPT_n", "ITEM_n"))

Both work on streams as on tables. The model's bytes are broadcast once, and each Python worker loads them once. Executors
need `foretell` and `pyarrow`, before Spark 4.1 `pandas` as well.
"""

from __future__ import annotations

import typing

from . import _foretell
from ._load import Path, load
from ._model import Model

if typing.TYPE_CHECKING:
    import pyspark.sql
    import pyspark.sql.types

_ModelLike = typing.Union[Model, Path, typing.Sequence[Path]]

# What a worker process has loaded: by the file's SHA-256 and how it was read. A worker serves one job after the other.
_loaded: typing.Dict[typing.Any, Model] = {}
_KEPT = 16


def predict(
    df: "pyspark.sql.DataFrame",
    model: _ModelLike,
    *,
    methods: typing.Sequence[str] = (),
    columns: typing.Optional[typing.Sequence[str]] = None,
    keep: typing.Optional[typing.Sequence[str]] = None,
    refused: typing.Optional[str] = None,
) -> "pyspark.sql.DataFrame":
    """The rows with the model's answers beside them.

    model: a model, or the path of its file (on the driver).
    methods: what it is asked for: `predict`, `predict_proba`, `contribs` and so on; by default `predict`.
    columns: the columns that the model takes, in its order, for a model that knows no names.
    keep: which columns stay; by default all.
    refused: the name of a column for the reason why the model refuses a row, whose answers are NULL then. Without it
        such a row fails the job, as it would in Python.
    """
    from pyspark.sql import types

    loaded = _model(model)
    methods = list(methods) or _own(loaded)
    kept = list(df.columns if keep is None else keep)
    fields = [df.schema[name] for name in kept] + _fields(loaded, methods)
    if refused is not None:
        fields.append(types.StructField(refused, types.StringType()))
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _foretell.Error(f"column `{twice[0]}` is there already: name those to stay with `keep`, without it")
    sent = _Sent.of(df.sparkSession, loaded)
    taken = list(columns) if columns else None

    def score(batches: typing.Iterable[typing.Any]) -> typing.Iterable[typing.Any]:
        import pyarrow

        here = sent.load()
        for batch in batches:
            given = batch.select(taken) if taken else batch
            answers = pyarrow.record_batch(here.table(given, *methods))
            reasons = answers.column(answers.num_columns - 1)
            if refused is None:
                _raise(reasons)
            arrays = [batch.column(batch.schema.get_field_index(name)) for name in kept]
            arrays += answers.columns[:-1]
            if refused is not None:
                arrays.append(reasons)
            yield pyarrow.RecordBatch.from_arrays(arrays, names=names)

    return df.mapInArrow(score, types.StructType(fields))


def udf(model: _ModelLike, method: str = "predict") -> typing.Callable[..., "pyspark.sql.Column"]:
    """A function of columns: given in the model's order, or by name where the model knows names.

    Without arguments it takes the model's own columns: `udf(model)()`. Of several outputs (`predict_proba`) it gives an
    array. A row that the model refuses fails the job."""
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as f

    loaded = _model(model)
    outputs = _fields(loaded, [method])
    single = len(outputs) == 1 and method != "transform"
    kind = outputs[0].dataType.simpleString()
    session = SparkSession.getActiveSession()
    if session is None:
        raise _foretell.Error("there is no active Spark session: start one before the function is made")
    sent = _Sent.of(session, loaded)
    own = loaded.signature.names

    def answers(given: typing.List[typing.Any]) -> typing.Any:
        here = sent.load()
        # By their places: `function` has put them in the model's order.
        names = here.signature.names or [str(number) for number in range(len(given))]
        if len(given) != len(names):
            raise _foretell.Error(f"the model takes {len(names)} columns, but {len(given)} were given")
        return here._array(list(zip(names, given)), method, single)

    def of_arrow(*columns):  # type: ignore[no-untyped-def]
        import numpy
        import pyarrow

        made = answers(list(columns))
        if single:
            return pyarrow.array(made)
        ends = numpy.arange(0, made.size + 1, made.shape[1], dtype="int32")
        return pyarrow.ListArray.from_arrays(ends, pyarrow.array(made.reshape(-1)))

    def of_pandas(*columns):  # type: ignore[no-untyped-def]
        import pandas

        made = answers([_plain(str(number), column) for number, column in enumerate(columns)])
        return pandas.Series(made if single else list(made))

    # Spark 4.1 hands over Arrow's arrays as they are; before, they are made pandas' first. It goes by annotations.
    if hasattr(f, "arrow_udf"):
        import pyarrow

        of_arrow.__annotations__ = {"columns": pyarrow.Array, "return": pyarrow.Array}
        score = f.arrow_udf(of_arrow, kind if single else f"array<{kind}>")  # type: ignore[call-overload]
    else:
        import pandas

        of_pandas.__annotations__ = {"columns": pandas.Series, "return": pandas.Series}
        score = f.pandas_udf(of_pandas, kind if single else f"array<{kind}>")  # type: ignore[call-overload]

    def function(*columns: typing.Any) -> "pyspark.sql.Column":
        if not columns:
            if own is None:
                raise _foretell.Error(f"the model knows no names for its {loaded.n_features_in_} columns: name them")
            return score(*[f.col(f"`{name}`") for name in own])
        given = [one for one in columns if isinstance(one, str)]
        # Names in any order, where they are the model's.
        if own is not None and len(given) == len(columns) and set(given) == set(own):
            return score(*[f.col(f"`{name}`") for name in own])
        return score(*[f.col(one) if isinstance(one, str) else one for one in columns])

    return function


class _Sent:
    """A model on its way to the workers."""

    def __init__(self, key: typing.Any, value: typing.Any, options: typing.Any, broadcast: bool) -> None:
        self.key, self.value, self.options, self.broadcast = key, value, options, broadcast

    @staticmethod
    def of(session: "pyspark.sql.SparkSession", model: Model) -> "_Sent":
        # A core is one task's: the model is not to start more threads there.
        at, columns, categories, _ = model._options
        options = (at, columns, categories, 1)
        key = (model.sha256, repr(options))
        try:
            return _Sent(key, session.sparkContext.broadcast(model._bytes), options, True)
        except Exception:  # noqa: BLE001 - Spark Connect has no context: the bytes go with the function
            return _Sent(key, model._bytes, options, False)

    def load(self) -> Model:
        """The model, from this process' memory where it was loaded before."""
        model = _loaded.get(self.key)
        if model is None:
            model = Model(self.value.value if self.broadcast else self.value, *self.options)
            if len(_loaded) >= _KEPT:
                _loaded.pop(next(iter(_loaded)))
            _loaded[self.key] = model
        return model


def _model(model: _ModelLike) -> Model:
    return model if isinstance(model, Model) else load(model)


def _own(model: Model) -> typing.List[str]:
    return ["predict"] if "predict" in model.signature.outputs else ["transform"]


def _fields(model: Model, methods: typing.Sequence[str]) -> typing.List["pyspark.sql.types.StructField"]:
    from pyspark.sql import types

    kinds = {
        "Float32": types.FloatType, "Float64": types.DoubleType, "Int64": types.LongType, "Utf8": types.StringType,
        "Boolean": types.BooleanType,
    }
    fields = []
    for method in methods:
        if method in ("contribs", "reasons"):
            kind: typing.Any = types.DoubleType if method == "contribs" else types.StringType
            outputs = [(name, kind) for name in model._outputs(method)]
        else:
            outputs = [(one.name, kinds[one.type]) for one in model.signature.outputs.get(method, ())]
        if not outputs:
            raise _foretell.Error(f"the model has no `{method}`; it has {', '.join(model.signature.outputs)}")
        fields += [types.StructField(name, kind()) for name, kind in outputs]
    return fields


def _raise(reasons: typing.Any) -> None:
    """Fails where a row is refused."""
    if reasons.null_count == len(reasons):
        return
    row, why = next((row, one.as_py()) for row, one in enumerate(reasons) if one.is_valid)
    raise _foretell.Refused(
        f"row {row} of a batch: the model refuses this row: {why}; `refused=\"NAME\"` has a column tell this instead"
    )


def _plain(name: str, column: typing.Any) -> typing.Any:
    from ._columns import _series

    return _series(name, column)
