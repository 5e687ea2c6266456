"""Files of sealed segments: written once under a name of their own, then only read, through the page cache.

``NAME.vectors``: a page that says what follows, the rows (N,) as int64 in ascending order, and from the next page the
vectors (N, D), float16 or float32, all little-endian. ``NAME.faiss``: the codes, see ``codes``.
"""

import fcntl
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt

from schemas.ports import Float32, Int64

log = logging.getLogger(__name__)

VECTORS: Final = ".vectors"
CODES: Final = ".faiss"
_MAGIC: Final = b"dancerank segment 1\n".ljust(24)
_PAGE: Final = 4096
_PREFIX: Final = "live-"
_LOCK: Final = "lock"

Precision = Literal[2, 4]
"""Bytes of a component."""


class SegmentVectors:
    """Rows (N,) and vectors (N, D) of a file, memory-mapped."""

    def __init__(self, path: Path) -> None:
        """Raises ``OSError`` and ``ValueError``."""
        self.path: Final = path
        content = np.asarray(np.memmap(path, np.uint8, "r"))
        if len(content) < _PAGE or content[: len(_MAGIC)].tobytes() != _MAGIC:
            raise ValueError("it does not start as a segment does")
        count, dim, precision = content[len(_MAGIC) : len(_MAGIC) + 24].view("<i8").tolist()
        start = _vectors_at(count)
        if count < 1 or dim < 1 or precision not in (2, 4) or len(content) != start + count * dim * precision:
            raise ValueError("it has another length than it says")
        self._content: Final = content
        self.rows: Final[Int64] = content[_PAGE : _PAGE + 8 * count].view("<i8")
        self.vectors: Final[npt.NDArray[np.floating]] = content[start:].view(f"<f{precision}").reshape(count, dim)
        if self.rows[0] < 0 or not (np.diff(self.rows) > 0).all():
            raise ValueError("its rows do not ascend")

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    def write(self, path: Path) -> None:
        """``SegmentFile.write``."""
        link_or_write(self.path, path, lambda file: file.write(self._content.data))


class VectorsWriter:
    """Writes a ``NAME.vectors`` block by block."""

    def __init__(self, file: BinaryIO, rows: Int64, dim: int, precision: Precision) -> None:
        self._file = file
        self._type: Final = np.dtype(f"<f{precision}")
        head = _MAGIC + np.array([len(rows), dim, precision], "<i8").tobytes()
        file.write(head.ljust(_PAGE, b"\0"))
        file.write(rows.astype("<i8").tobytes())
        file.write(bytes(_vectors_at(len(rows)) - _PAGE - 8 * len(rows)))

    def add(self, vectors: Float32) -> None:
        self._file.write(vectors.astype(self._type).data.cast("B"))


class SegmentFolder:
    """A folder of this process alone, below ``parent`` or the system's temporary folder, made when it is needed.

    It goes with the process. One that a killed process left behind below ``parent`` goes when the next makes its own.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent
        self._made: Path | None = None

    def path(self, name: str) -> Path:
        """Where the file ``name`` is. Raises ``OSError``."""
        if self._made is None:
            if self._parent is not None:
                self._parent.mkdir(parents=True, exist_ok=True)
                _remove_abandoned(self._parent)
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            lock = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            weakref.finalize(self, _remove, made, lock)
            self._made = made
        return self._made / name


def remove_with(owner: object, path: Path) -> None:
    """Remove a file once nothing refers to what reads it, nor can, as the process ends."""
    weakref.finalize(owner, path.unlink, missing_ok=True)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that is there under its name only once it is whole and on the disk. Raises ``OSError``."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def link_or_write(source: Path, path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Make ``path`` a link to ``source``; where that cannot be, or ``source`` is gone, write it. Raises ``OSError``."""
    try:
        os.link(source, path)
    except OSError:
        write_whole(path, write)


def _vectors_at(count: int) -> int:
    return -(-(_PAGE + 8 * count) // _PAGE) * _PAGE


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR)
        except OSError:
            continue  # being made, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log.info("%s: removed, the process that made it has ended", folder)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
