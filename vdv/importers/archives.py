"""Reading NumPy archives of sequences: what is absent or has another form is named with file and array."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from vdv.errors import DataSetError

Array = npt.NDArray[Any]


def archive_path(source: Path, name: str) -> Path:
    """``source`` itself if it is a file, else the file ``name`` in it."""
    return source if source.is_file() else source / name


def read_archive(path: Path, shapes: Mapping[str, tuple[int | None, ...]]) -> dict[str, Array]:
    """The arrays named by ``shapes``, where ``None`` stands for any length; nothing is unpickled.

    Raises ``DataSetError`` if the file is absent or no archive, or if an array is absent, of another shape or of
    objects.
    """
    arrays: dict[str, Array] = {}
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataSetError(f"{path} holds a single array; give the .npz archive")
            absent = [name for name in shapes if name not in archive]
            if absent:
                raise DataSetError(f"{path}: the arrays {', '.join(absent)} are missing; give the original archive")
            for name in shapes:
                arrays[name] = archive[name]
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataSetError(f"{path} cannot be read ({reason}); give the archive or the folder that holds it") from error
    except (ValueError, EOFError, BadZipFile) as error:
        raise DataSetError(f"{path} is no NumPy archive of numbers and texts ({error}); fetch it again") from error
    for name, expected in shapes.items():
        found = arrays[name].shape
        if len(found) != len(expected) or any(e not in (None, f) for e, f in zip(expected, found, strict=True)):
            form = tuple("any" if e is None else e for e in expected)
            raise DataSetError(f"{path}: array {name} has shape {found}, expected {form}; give the original archive")
    return arrays


def split_ragged(path: Path, data: Array, lengths: Array) -> list[Array]:
    """Samples laid one after the other on axis 0, apart again. Raises ``DataSetError`` if the lengths do not add up."""
    if len(data) != lengths.sum() or (lengths < 1).any():
        raise DataSetError(f"{path}: lengths add up to {lengths.sum()}, data has {len(data)} frames; fetch it again")
    return np.split(data, np.cumsum(lengths)[:-1])


def same_length(path: Path, arrays: Mapping[str, Array]) -> None:
    """Raise ``DataSetError`` unless all arrays have one entry per sample."""
    found = {name: len(array) for name, array in arrays.items()}
    if len(set(found.values())) > 1:
        raise DataSetError(f"{path}: arrays of different lengths ({found}); fetch it again")
