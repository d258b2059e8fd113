"""What goes into a model and what comes out."""

from __future__ import annotations

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Input:
    """One column that a model takes."""

    name: typing.Optional[str]
    """`None` where the model knows no names: its columns are given in order."""
    kind: str
    """`number`, `text`, `bool`, `category`, `list`, or `any` of numbers and text."""
    levels: typing.Optional[typing.Tuple[str, ...]] = None
    """The levels of a category, in the order of their codes."""


@dataclasses.dataclass(frozen=True)
class Output:
    """One column that a model gives."""

    name: str
    type: str
    """Arrow's name of the type: `Float32`, `Float64`, `Int64`, `Utf8`, `Boolean`."""
    class_: typing.Optional[str] = None
    """The class that a probability belongs to."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """The columns that a model takes, and by method those that it gives."""

    inputs: typing.Tuple[Input, ...]
    outputs: typing.Dict[str, typing.Tuple[Output, ...]]

    @property
    def names(self) -> typing.Optional[typing.List[str]]:
        """The names of the inputs, or `None` where the model knows none."""
        names = [one.name for one in self.inputs]
        return None if None in names else typing.cast("typing.List[str]", names)


def signature(described: dict) -> Signature:
    """From what the reader says of a model."""

    def entry(one: dict) -> Input:
        levels = one["levels"]
        return Input(one["name"], one["kind"], None if levels is None else tuple(levels))

    outputs = {
        method: tuple(Output(one["name"], one["type"], one["class"]) for one in all)
        for method, all in described["outputs"].items()
        if all
    }
    return Signature(tuple(entry(one) for one in described["inputs"]), outputs)
