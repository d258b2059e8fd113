"""From files to models."""

from __future__ import annotations

import json
import os
import pathlib
import typing

from . import _foretell
from ._model import Model

Path = typing.Union[str, "os.PathLike[str]"]

# A longer description of MLflow has no library.
_DESCRIPTION = 4 << 20


def load(
    path: typing.Union[Path, typing.Sequence[Path]],
    *,
    at: typing.Optional[str] = None,
    columns: typing.Optional[typing.Sequence[str]] = None,
    categories: typing.Optional[typing.Mapping[str, typing.Sequence[str]]] = None,
    threads: typing.Optional[int] = None,
) -> Model:
    """Loads a model without running any code in its file.

    path: the model file, an archive of one (tar, zip), a folder as MLflow keeps a model, or a list of files that are one
        model: a scaler and what comes after it.
    at: where the model is in a file that holds several things: `model`, `models[2].best`; a chain is `scaler+model`.
    columns: names of the inputs in their order, for files that tell none.
    categories: the levels of text columns in the order of their codes, for boosters that store none.
    threads: how many share the rows of one call; by default as many as there are cores.

    Raises `foretell.Error` where the file is refused, and `OSError` where it cannot be read.
    """
    several = isinstance(path, (list, tuple))
    read = [_read(pathlib.Path(one)) for one in (path if several else [path])]  # type: ignore[union-attr, arg-type]
    if not read:
        raise _foretell.Error("no file is given")
    described = read[0][1]
    data = _foretell.join([one[0] for one in read]) if len(read) > 1 else read[0][0]
    try:
        return loads(data, at=at, columns=columns or described, categories=categories, threads=threads)
    except _foretell.Error as error:
        raise _foretell.Error(f"{'+'.join(str(one) for one in (path if several else [path]))}: {error}") from None  # type: ignore[union-attr]


def loads(
    data: bytes,
    *,
    at: typing.Optional[str] = None,
    columns: typing.Optional[typing.Sequence[str]] = None,
    categories: typing.Optional[typing.Mapping[str, typing.Sequence[str]]] = None,
    threads: typing.Optional[int] = None,
) -> Model:
    """The same from a file's bytes."""
    levels = {name: list(all) for name, all in (categories or {}).items()}
    return Model(data, at, list(columns or []), levels, threads)


def inspect(
    path: Path, *, at: typing.Optional[str] = None, columns: typing.Optional[typing.Sequence[str]] = None
) -> typing.Dict[str, typing.Any]:
    """What is in a model file, refused ones included: what `foretell inspect --json` prints."""
    data, described = _read(pathlib.Path(path))
    return json.loads(_foretell.inspect(data, at, list(columns or described)))


def _read(path: pathlib.Path) -> typing.Tuple[bytes, typing.List[str]]:
    """A file's bytes, and the names of the inputs where a description beside it has them."""
    folder = path if path.is_dir() else path.parent if path.name == "MLmodel" else None
    if folder is None:
        return path.read_bytes(), []
    description = folder / "MLmodel"
    if not description.is_file():
        raise _foretell.Error(f"`{folder}` is a folder, and has no `MLmodel` as those of MLflow do: give the model file in it")
    if description.stat().st_size > _DESCRIPTION:
        raise _foretell.Error(f"`{description}` is not a description as MLflow writes it")
    try:
        name, columns = _foretell.mlmodel(description.read_bytes())
    except _foretell.Error as error:
        raise _foretell.Error(f"{folder}: {error}") from None
    file = folder / name
    if file.is_dir():
        raise _foretell.Error(f"`{file}` is a folder: give the model file in it")
    return file.read_bytes(), columns
