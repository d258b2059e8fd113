import gzip
import json
import math
import pathlib
import struct
import sys

import numpy
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"


def floats(values, kind):
    size, code = {"float64": (8, ">d"), "float32": (4, ">f")}[kind]
    return numpy.array(
        [numpy.nan if v is None else struct.unpack(code, bytes.fromhex(v))[0] for v in values], dtype=kind
    )


def column(one):
    """A column of the input as an array of numpy, or a list."""
    kind, values = one["type"], one["values"]
    if kind in ("float64", "float32"):
        return floats(values, kind)
    if kind == "bool":
        return numpy.array(values, dtype=bool)
    if kind.startswith(("int", "uint")) and kind != "ints":
        return numpy.array(values, dtype=kind)
    return values


class Case:
    def __init__(self, name):
        self.name, self.folder = name, FIXTURES / name
        self.json = json.loads(gzip.decompress((self.folder / "case.json.gz").read_bytes()))
        columns = self.json["columns"]
        if isinstance(columns, str):
            columns = json.loads(gzip.decompress((self.folder / columns).read_bytes()))
        self.columns = {one["name"]: column(one) for one in columns}
        self.model = self.folder / self.json["model"]
        self.told = self.json.get("told")

    def frame(self):
        import pandas

        return pandas.DataFrame({name: pandas.Series(values) for name, values in self.columns.items()})

    def answer(self, method):
        """The library's answers by column, and the rows that it raises on."""
        found = self.json["answers"].get(method)
        if found is None:
            return None, []
        columns = []
        for one in found["columns"]:
            values = one["values"]
            values = floats(values, one["type"]) if one["type"] in ("float64", "float32") else values
            columns.append((values, one.get("slack") or []))
        return columns, found["refused"]

    def near(self, method, answer, expected, slack, row, terms):
        """Whether one value is as near to the library's as its fixture says: `ulps` behind exp and log, `terms` (the
        magnitudes that a dot product adds up) and `slack` where sums of another order make a difference; else the same."""
        if answer == expected or (answer != answer and expected != expected):
            return True
        # Where sums are open, so is the sign of one that is 0.
        allowed = max(slack[row], sys.float_info.min) if row < len(slack) else 0.0
        if not isinstance(answer, (numpy.floating, float)):
            return allowed > sys.float_info.min
        apart = abs(float(answer) - float(expected))
        if allowed:
            return apart <= allowed or allowed >= 1e307
        if row < len(terms) and isinstance(answer, numpy.float64):
            bound = 1e-12 * terms[row]
            if method != "proba" and self.json.get("behind") != "exp":
                return apart <= bound
            bound = min(math.expm1(min(2 * bound, 700)), 1.0) * abs(expected) + 4e-16 * abs(expected)
            return apart <= bound + (sys.float_info.epsilon if method == "proba" else 0.0)
        kind = {numpy.float32: numpy.int32, numpy.float64: numpy.int64}[type(answer)]
        return abs(int(answer.view(kind)) - int(type(answer)(expected).view(kind))) <= self.json.get("ulps", 0)


@pytest.fixture
def case():
    return Case
