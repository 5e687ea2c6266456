"""Reading NumPy archives of sequences: errors name the file and the array."""

import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from schemas.escaping import shortened
from schemas.local_files import check_is_file, is_file
from vdv.errors import DataSetError, Finding, refusal

Array = npt.NDArray[Any]

_ANY_RATIO_BYTES: Final = 256 * 1024 * 1024
"""Up to this size an array may be compressed by any ratio."""
_LARGEST_RATIO: Final = 100
_DAMAGE: Final = (BadZipFile, zlib.error, struct.error, SyntaxError, TokenError, TypeError)


def archive_path(source: Path, name: str) -> Path:
    """``source`` itself if it is a file, else the file ``name`` in it."""
    return source if is_file(source) else source / name


def read_archive(path: Path, shapes: Mapping[str, tuple[int | None, ...]]) -> dict[str, Array]:
    """The arrays named by ``shapes``, where ``None`` stands for any length; nothing is unpickled.

    Raises ``DataSetError`` if the file is absent or not an archive, or if an array is absent, of another shape or of
    objects.
    """
    arrays: dict[str, Array] = {}
    try:
        check_is_file(path)
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataSetError(f"{path} holds a single array; give the .npz archive")
            absent = [name for name in shapes if name not in archive]
            if absent:
                raise DataSetError(f"{path}: the arrays {', '.join(absent)} are missing; give the original archive")
            if archive.zip is not None:
                _check_sizes(path, archive.zip, shapes)
            for name in shapes:
                arrays[name] = archive[name]
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataSetError(f"{path} cannot be read ({reason}); give the archive or the folder that holds it") from error
    except (ArithmeticError, ValueError, LookupError, EOFError, MemoryError, RuntimeError, *_DAMAGE) as error:
        raise DataSetError(
            f"{path} is not a NumPy archive of numbers and texts ({shortened(str(error))}); fetch it again"
        ) from error
    for name, expected in shapes.items():
        if not isinstance(arrays[name], np.ndarray):
            raise DataSetError(f"{path}: {name} is not an array; fetch the archive again")
        found = arrays[name].shape
        if len(found) != len(expected) or any(e not in (None, f) for e, f in zip(expected, found, strict=True)):
            form = tuple("any" if e is None else e for e in expected)
            raise DataSetError(f"{path}: array {name} has shape {found}, expected {form}; give the original archive")
    return arrays


def _check_sizes(path: Path, archive: ZipFile, names: Iterable[str]) -> None:
    """Raise ``DataSetError`` for an array that a small archive blows up: measurements are not compressed that far.

    The sizes are those that the archive states, which ``zipfile`` does not exceed when it decompresses.
    """
    for name in names:
        for info in (archive.NameToInfo[each] for each in (name, f"{name}.npy") if each in archive.NameToInfo):
            if info.file_size > max(_ANY_RATIO_BYTES, _LARGEST_RATIO * info.compress_size):
                raise DataSetError(
                    f"{path}: array {name} has {info.file_size} bytes in {info.compress_size} compressed ones, "
                    f"more than {_LARGEST_RATIO} times; give the original archive, or one without compression"
                )


def float32(path: Path, name: str, array: Array) -> npt.NDArray[np.float32]:
    """``array`` as float32; values beyond its range become infinite. Raises ``DataSetError``
    unless it holds numbers."""
    if array.dtype.kind not in "iuf":
        raise DataSetError(
            f"{path}: array {name} holds {array.dtype.name}, expected numbers; give the original archive"
        )
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def number(path: Path, name: str, row: int, value: Any) -> float:
    """The finite number that entry ``row`` of the array ``name`` holds, from one, also written as text.

    Raises ``DataSetError`` with the entry as its finding.
    """
    try:
        if np.iscomplexobj(value):
            raise TypeError
        read = float(value)
    except (TypeError, ValueError, OverflowError):
        read = float("nan")
    if not np.isfinite(read):
        raise refusal([Finding(path, f"{str(value)[:80]!r} is not a finite number", "correct it", row=row, field=name)])
    return read


def split_ragged(path: Path, data: Array, lengths: Array) -> list[Array]:
    """Split samples that are concatenated along axis 0.

    Raises ``DataSetError`` if there are no samples, for lengths that are not positive whole numbers, naming the first
    one, and if they do not add up.
    """
    if not len(lengths):
        raise DataSetError(f"{path}: lengths is empty; give the original archive")
    whole = lengths.dtype.kind in "iu"
    for row, length in enumerate(lengths.tolist(), start=1):
        if not whole or length < 1:
            problem = f"{length!r} ({lengths.dtype.name}) is not a positive whole number"
            raise refusal([Finding(path, problem, "store lengths as integers", row=row, field="lengths")])
    total = sum(lengths.tolist())
    if len(data) != total:
        raise DataSetError(f"{path}: lengths add up to {total}, data has {len(data)} frames; fetch it again")
    return np.split(data, np.cumsum(lengths)[:-1])


def same_length(path: Path, arrays: Mapping[str, Array]) -> None:
    """Raise ``DataSetError`` unless all arrays have one entry per sample."""
    found = {name: len(array) for name, array in arrays.items()}
    if len(set(found.values())) > 1:
        raise DataSetError(f"{path}: arrays of different lengths ({found}); fetch it again")
