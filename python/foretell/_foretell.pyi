import typing

import numpy

__version__: str

class Error(ValueError):
    """A model file or data that cannot be used; the text says what to do."""

class Refused(Error):
    """The model refuses a row, as the library that it comes from would."""

    row: int
    step: str
    column: typing.Optional[str]
    reason: str

class Table:
    """Answers as a table of Arrow."""

    columns: typing.List[str]
    def __len__(self) -> int: ...
    def __arrow_c_array__(self, requested_schema: object = None) -> typing.Tuple[object, object]: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

class Model:
    sha256: str
    threads: int
    _bytes: bytes
    _described: str
    _options: typing.Tuple[
        typing.Optional[str], typing.List[str], typing.Dict[str, typing.List[str]], typing.Optional[int]
    ]
    def __init__(
        self,
        bytes: bytes,
        at: typing.Optional[str] = None,
        columns: typing.List[str] = ...,
        categories: typing.Dict[str, typing.List[str]] = ...,
        threads: typing.Optional[int] = None,
    ) -> None: ...
    def _outputs(self, name: str) -> typing.List[str]: ...
    def _classes(self, target: int) -> typing.List[str]: ...
    def _array(self, data: object, name: str, flat: bool) -> numpy.ndarray: ...
    def _table(self, data: object, names: typing.List[str]) -> Table: ...

def inspect(bytes: bytes, at: typing.Optional[str] = None, columns: typing.List[str] = ...) -> str: ...
def join(files: typing.List[bytes]) -> bytes: ...
def mlmodel(text: bytes) -> typing.Tuple[str, typing.List[str]]: ...
