"""Data of any kind as what the reader of columns takes: an array of numpy, something with Arrow's capsules, or a list of
names with columns."""

from __future__ import annotations

import sys
import typing

import numpy

from ._foretell import Error

if typing.TYPE_CHECKING:
    from ._model import Model

_NUMBERS = "fiub"


def columns(model: "Model", data: typing.Any) -> typing.Any:
    if type(data) is numpy.ndarray:
        return _array(model, data)
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if isinstance(data, pandas.DataFrame):
            return _frame(data)
        if isinstance(data, pandas.Series):
            return _single(model, [(str(data.name), _series(str(data.name), data))])
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        if type(data).__name__ == "Series":  # polars'
            return _single(model, [(data.name, _list(data.to_list()))])
        return data
    if isinstance(data, typing.Mapping):
        return [(str(name), _column(str(name), column)) for name, column in data.items()]
    if hasattr(data, "toarray"):
        raise Error("a sparse matrix is not taken: give `data.toarray()`, some rows at a time")
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], str):
        return _single(model, [("text", list(data))])
    return _array(model, numpy.asarray(data))


def _array(model: "Model", data: numpy.ndarray) -> typing.Any:
    if data.ndim == 2 and data.dtype.kind in _NUMBERS:
        return _native(data)
    if data.ndim == 1:
        if data.dtype.kind not in "OUT" or model.n_features_in_ != 1:
            raise Error("the data have one dimension: of one row give `data.reshape(1, -1)`, of one column `data.reshape(-1, 1)`")
        data = data.reshape(-1, 1)
    if data.ndim != 2:
        raise Error(f"the data have {data.ndim} dimensions, not two")
    if data.shape[1] != model.n_features_in_:
        raise Error(f"the model takes {model.n_features_in_} columns, but {data.shape[1]} were given")
    if data.dtype.kind not in "OUT":
        raise Error(f"an array of numpy has the type {data.dtype}, but numbers and text are taken")
    names = model.signature.names or [f"feature {number}" for number in range(data.shape[1])]
    return [(name, data[:, number].tolist()) for number, name in enumerate(names)]


def _native(data: numpy.ndarray) -> numpy.ndarray:
    """In this machine's byte order, and not in half precision, which 32 bits hold as it is."""
    if data.dtype.kind == "f" and data.dtype.itemsize not in (4, 8):
        if data.dtype.itemsize > 8:
            raise Error(f"numbers of the type {data.dtype} are not taken: they have more digits than 64 bits hold")
        return data.astype("float32")
    return data if data.dtype.isnative else data.astype(data.dtype.newbyteorder("="))


def _single(model: "Model", one: list) -> list:
    """One column, for a model of one column: its own name does not matter."""
    if model.n_features_in_ != 1:
        raise Error(f"the model takes {model.n_features_in_} columns, but 1 was given")
    names = model.signature.names
    return [(names[0], one[0][1])] if names else one


def _column(name: str, column: typing.Any) -> typing.Any:
    if hasattr(column, "dtype") and hasattr(column, "to_numpy") and hasattr(column, "array"):
        return _series(name, column)
    if hasattr(column, "__arrow_c_array__"):
        return column
    if isinstance(column, numpy.ndarray) and column.dtype.kind in _NUMBERS:
        return _native(column)
    return _list(column.tolist() if hasattr(column, "tolist") else list(column))


def _frame(frame: typing.Any) -> typing.Any:
    names = [str(name) for name in frame.columns]
    kinds = set(frame.dtypes)
    if len(kinds) == 1:
        kind = kinds.pop()
        if isinstance(kind, numpy.dtype) and kind.kind in _NUMBERS:
            return names, _native(frame.to_numpy())
    return [(name, _series(name, frame.iloc[:, number])) for number, name in enumerate(names)]


def _series(name: str, series: typing.Any) -> typing.Any:
    kind = series.dtype
    if isinstance(kind, numpy.dtype):
        if kind.kind in _NUMBERS:
            return _native(series.to_numpy())
        if kind.kind != "O":
            # Times are an error where the model needs the column.
            return series.to_numpy() if kind.kind in "mM" else _list(series.tolist())
        return _list(series.tolist())
    if hasattr(series, "cat") and str(kind) == "category":
        levels = series.cat.categories
        if all(isinstance(level, str) for level in levels):
            return series.cat.codes.tolist(), list(levels)
        return _list(series.astype(object).tolist())
    if hasattr(series.array, "__arrow_array__") and "pyarrow" in sys.modules:
        array = series.array.__arrow_array__()
        return array.combine_chunks() if hasattr(array, "combine_chunks") else array
    return _list(series.astype(object).tolist())


def _list(values: list) -> list:
    """Arrays inside become lists."""
    first = next((one for one in values if one is not None), None)
    if isinstance(first, (numpy.ndarray, tuple)):
        return [list(one) if isinstance(one, (numpy.ndarray, tuple)) else one for one in values]
    return values
