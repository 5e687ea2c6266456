"""Reads the tensors of a torch state dict in the format before 1.6, without torch and without unpickling.

Such a file is five pickles and then the storages. Python's ``pickle`` would import and call whatever the file names.
Here the operations are read one by one (``pickletools.genops`` calls nothing) by a machine that knows only those a
state dict consists of, and four names. Anything else is refused by its name.
"""

import pickletools
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import ExtractorModelInvalid

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PICKLES_IN_FRONT: Final = 3
"""Magic number, protocol, and sizes of C's types; then the state dict and the keys of the storages."""
_DTYPES: Final[Mapping[Any, np.dtype[Any]]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
}
_REBUILD: Final = "torch._utils _rebuild_tensor_v2"
_ORDERED: Final = "collections OrderedDict"


class _Global(NamedTuple):
    name: str


class _Storage(NamedTuple):
    dtype: np.dtype[Any]
    key: str
    size: int


class _View(NamedTuple):
    """A tensor: ``storage`` from ``offset`` on, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    pass


def read_tensors(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Name → array. Raises ``ExtractorModelInvalid`` for a file that is not such a state dict."""
    file = BytesIO(content)
    try:
        magic, *_ = (_unpickled(file) for _ in range(_PICKLES_IN_FRONT))
        if magic != _MAGIC:
            raise ExtractorModelInvalid("not a state dict in torch's format before 1.6")
        views, keys = _unpickled(file), _unpickled(file)
        storages = {str(key): content_of for key, content_of in zip(keys, _raw(file, keys, views), strict=True)}
        return {str(name): _array(view, storages) for name, view in views.items() if isinstance(view, _View)}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise ExtractorModelInvalid(f"a damaged state dict: {error}") from error


def _raw(file: BytesIO, keys: list[Any], views: Mapping[str, Any]) -> list[npt.NDArray[Any]]:
    dtypes = {view.storage.key: view.storage.dtype for view in views.values() if isinstance(view, _View)}
    storages = []
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        dtype = dtypes[str(key)]
        storages.append(np.frombuffer(file.read(count * dtype.itemsize), dtype))
        if storages[-1].size != count:
            raise ValueError(f"it ends within the storage {key}")
    return storages


def _array(view: _View, storages: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    count = int(np.prod(view.shape, dtype=np.int64))
    contiguous = tuple(int(np.prod(view.shape[axis + 1 :], dtype=np.int64)) for axis in range(len(view.shape)))
    if view.strides != contiguous and count > 1:
        raise ValueError(f"a tensor of shape {view.shape} with the strides {view.strides}")
    values = storages[view.storage.key][view.offset : view.offset + count]
    return values.reshape(view.shape)


def _unpickled(file: BytesIO) -> Any:
    machine = _Machine()
    for code, argument, _ in pickletools.genops(file):
        if code.name == "STOP":
            return machine.stack.pop()
        machine.act(code.name, argument)
    raise ValueError("it ends within a pickle")


class _Machine:
    """The part of pickle's stack machine that a state dict needs."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def act(self, code: str, argument: Any) -> None:
        """Run one operation. Raises ``ExtractorModelInvalid`` for one that no state dict needs."""
        stack = self.stack
        match code:
            case "PROTO":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[code])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[code]())
            case "MARK":
                stack.append(_Mark())
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "TUPLE":
                stack.append(tuple(self._marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack[-int(code[-1]) :] = [tuple(stack[-int(code[-1]) :])]
            case "SETITEM" | "SETITEMS":
                taken = [stack.pop(), stack.pop()][::-1] if code == "SETITEM" else self._marked()
                stack[-1].update(zip(taken[::2], taken[1::2], strict=True))
            case "APPEND" | "APPENDS":
                taken = [stack.pop()] if code == "APPEND" else self._marked()
                stack[-1].extend(taken)
            case "BUILD":
                stack.pop()  # attributes of a dictionary, such as torch's ``_metadata``
            case "GLOBAL":
                stack.append(_known(argument))
            case "BINPERSID":
                stack.append(_storage(*stack.pop()))
            case "REDUCE":
                arguments, called = stack.pop(), stack.pop()
                stack.append(_called(called, arguments))
            case _:
                raise ExtractorModelInvalid(f"its pickle has the operation {code}, which no state dict needs")

    def _marked(self) -> list[Any]:
        taken: list[Any] = []
        while not isinstance(each := self.stack.pop(), _Mark):
            taken.append(each)
        return taken[::-1]


def _known(name: str) -> _Global:
    if name not in (*_DTYPES, _REBUILD, _ORDERED):
        raise ExtractorModelInvalid(f"its pickle names {name.replace(' ', '.')}, which no state dict needs")
    return _Global(name)


def _storage(kind: str, storage_type: _Global, key: str, _place: str, size: int, *_view: object) -> _Storage:
    if kind != "storage":
        raise ValueError(f"a reference to {kind!r}")
    return _Storage(_DTYPES[storage_type.name], str(key), int(size))


def _called(called: Any, arguments: Any) -> Any:
    if called == _Global(_ORDERED) and not arguments:
        return {}
    if called == _Global(_REBUILD):
        storage, offset, shape, strides, *_hooks = arguments
        return _View(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))
    raise ValueError(f"a call of {called!r} with {len(arguments)} arguments")
