import gzip
import json
import pathlib
import struct

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
        """The library's answers, and the rows that it raises on."""
        found = self.json["answers"].get(method)
        if found is None:
            return None, []
        out = []
        for one in found["columns"]:
            values = one["values"]
            out.append(floats(values, one["type"]) if one["type"] in ("float64", "float32") else values)
        return out, found["refused"]

    @property
    def exact(self):
        """Whether the answers are to be the same to the bit."""
        return not self.json.get("ulps") and "terms" not in self.json and not self.name.startswith(("onnx", "pmml"))


@pytest.fixture
def case():
    return Case
