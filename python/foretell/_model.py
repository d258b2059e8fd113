"""A loaded model."""

from __future__ import annotations

import functools
import json
import typing

import numpy

from . import _foretell
from ._columns import columns
from ._signature import Signature, signature


class Model(_foretell.Model):
    """A model that was read as data. It can be pickled, and goes to other processes as its file's bytes.

    Each method takes a DataFrame of pandas or polars, a table of pyarrow (or whatever hands out Arrow's capsules), an array
    of numpy, a list of rows, or a dict of columns. Columns are matched by name where both sides have names; others are
    ignored. It answers with arrays of numpy in the library's own types, and raises `foretell.Refused` for the first row
    that the library would have raised on; `table` marks such rows instead.
    """

    def predict(self, data: typing.Any) -> numpy.ndarray:
        """What the library's `predict` says: one value a row, or a row of them where there are several targets."""
        return self._array(columns(self, data), "predict", True)

    def predict_proba(self, data: typing.Any) -> typing.Union[numpy.ndarray, typing.List[numpy.ndarray]]:
        """A probability for each class; with several targets a list of such arrays."""
        all = self._array(columns(self, data), "predict_proba", False)
        widths = [len(self._classes(target)) for target in range(len(self.signature.outputs.get("predict", ())))]
        if len(widths) > 1 and sum(widths) == all.shape[1]:
            return numpy.split(all, numpy.cumsum(widths)[:-1], axis=1)
        return all

    def decision_function(self, data: typing.Any) -> numpy.ndarray:
        """The raw score of each row, or of each class."""
        return self._array(columns(self, data), "decision_function", True)

    def score_samples(self, data: typing.Any) -> numpy.ndarray:
        """The score of each row."""
        return self._array(columns(self, data), "score_samples", True)

    def transform(self, data: typing.Any) -> numpy.ndarray:
        """The columns that a transformer makes."""
        return self._array(columns(self, data), "transform", False)

    def contribs(self, data: typing.Any) -> numpy.ndarray:
        """What each column adds to the raw answer (Shapley values), and the mean answer as the last one.

        Of several outputs the array has three dimensions: rows, outputs, columns."""
        all = self._array(columns(self, data), "contribs", False)
        outputs = _outputs(self._outputs("contribs"))
        return all if outputs == 1 else all.reshape(len(all), outputs, -1)

    def reasons(self, data: typing.Any) -> numpy.ndarray:
        """The three columns that add or take most, as a text."""
        return self._array(columns(self, data), "reasons", True)

    def table(self, data: typing.Any, *methods: str) -> _foretell.Table:
        """The answers of several methods as one table of Arrow: `pyarrow.record_batch(table)`, `polars.DataFrame(table)`.

        Its last column, `refused`, says why the model refuses a row, whose answers are NULL then. Without `methods` it is
        `predict`, or `transform` of a model that does nothing else."""
        own = "predict" if "predict" in self.signature.outputs else "transform"
        return self._table(columns(self, data), list(methods) or [own])

    @functools.cached_property
    def described(self) -> typing.Dict[str, typing.Any]:
        """What is known of the model: library and version, steps with their parameters, trees, inputs and outputs."""
        return json.loads(self._described)

    @functools.cached_property
    def signature(self) -> Signature:
        """The columns that it takes, and those that it gives."""
        return signature(self.described)

    @property
    def classes_(self) -> typing.Union[typing.List[str], typing.List[typing.List[str]]]:
        """The classes as text, in the order of the probabilities; of several targets a list for each."""
        all = [self._classes(target) for target in range(max(1, len(self.signature.outputs.get("predict", ()))))]
        return all[0] if len(all) == 1 else all

    @property
    def n_features_in_(self) -> int:
        """How many columns it takes."""
        return len(self.signature.inputs)

    def __repr__(self) -> str:
        described = self.described
        return f"<foretell.Model: {described['steps']['class']}, {self.n_features_in_} columns>"

    def __reduce__(self) -> typing.Any:
        return Model, (self._bytes, *self._options)


def _outputs(names: typing.List[str]) -> int:
    """How many outputs contributions are of, by their names: each ends with its mean."""
    if names[-1:] == ["bias"]:
        return 1
    for outputs in range(2, len(names) + 1):
        width, rest = divmod(len(names), outputs)
        if rest == 0 and all(name.startswith("bias_") for name in names[width - 1 :: width]):
            return outputs
    return 1
