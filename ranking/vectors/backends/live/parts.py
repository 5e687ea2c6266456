"""Parts of a live index, and the state of them that a search sees.

A part holds vectors in slots. A slot is filled once: a replaced vector goes to a new slot. The changes of an index are
numbered; a slot's vector is that of clip ``rows[slot]`` up to change ``died[slot]``, which is set once. A search that
sees change c takes the slots with ``died > c``, so that a state stays what it is while changes go on.

Legend: N slots, B of them, D width.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ranking.vectors.backends.live.codes import Codes
from ranking.vectors.backends.live.segment_files import SegmentVectors
from schemas.ports import Float32, Int64

NEVER: Final = int(np.iinfo(np.int64).max)


class FreshPart:
    """Vectors (N, D) in memory as float32, of which a writer fills one slot after another."""

    codes: Final = None

    def __init__(self, number: int, dim: int, capacity: int) -> None:
        self.number: Final = number
        self.exact: Final[Float32] = np.empty((capacity, dim), np.float32)
        self.rows: Final[Int64] = np.empty(capacity, np.int64)
        self.died: Final[Int64] = np.full(capacity, NEVER, np.int64)
        self.filled = 0
        self.dead = 0

    def append(self, rows: Int64, vectors: Float32) -> Int64:
        """Fill the next slots with as many vectors as there is room for; returns the slots."""
        start, end = self.filled, min(self.filled + len(rows), len(self.rows))
        self.exact[start:end] = vectors[: end - start]
        self.rows[start:end] = rows[: end - start]
        self.filled = end
        return np.arange(start, end)

    def vectors(self, slots: Int64) -> Float32:
        """Vectors (B, D) of ``slots``."""
        return self.exact[slots]


class Copy(Protocol):
    """A segment's vectors elsewhere, in the order of its slots, with those that ended since it was made."""

    @property
    def most(self) -> int:
        """Largest ``count`` of a search."""
        ...

    def search(self, query: Float32, count: int) -> tuple[Float32, Int64]:
        """Similarities and slots of the ``count`` vectors nearest to ``query`` (D,), best first."""
        ...


class Segment:
    """Vectors (N, D) in a file, ascending by row: as float32, or, with ``codes`` to search them, as float16.

    ``copy`` is searched in place of the codes where it can be.
    """

    def __init__(
        self,
        number: int,
        name: str,
        file: SegmentVectors,
        codes: Codes | None,
        died: Int64,
        copy: Copy | None = None,
    ) -> None:
        self.number: Final = number
        self.name: Final = name
        self.file: Final = file
        self.codes: Final = codes
        self.copy: Final = copy
        self.exact: Final[npt.NDArray[np.floating]] = file.vectors.view(np.ndarray)
        self.rows: Final = file.rows
        self.died: Final = died
        self.filled: Final = len(file.rows)
        self.dead = int(np.count_nonzero(died != NEVER))

    def vectors(self, slots: Int64) -> Float32:
        """Vectors (B, D) of ``slots``."""
        return self.exact[slots].astype(np.float32, copy=False)


Part = FreshPart | Segment


class Shown(NamedTuple):
    """A part, and how many of its slots belong to a state."""

    part: Part
    size: int


class State(NamedTuple):
    """What a search sees: all up to ``change``, in parts of which the last is the fresh one; ``live`` vectors."""

    change: int
    shown: tuple[Shown, ...]
    live: int

    def segments(self) -> Iterator[Segment]:
        return (part for part, _ in self.shown if isinstance(part, Segment))


def alive(shown: Shown, change: int) -> Int64:
    """The slots whose vectors are those of clips at ``change``, ascending."""
    return np.flatnonzero(shown.part.died[: shown.size] > change)
