"""Cosines of vectors kept as float16, by FAISS, which reads them twenty times as fast as NumPy converts them.

Vectors are gathered into the codes of a flat index that was used before: pages that are fresh from the system take ten
times what gathering and comparing do.

Legend: C vectors, N of them in a part, D width.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final

import faiss
import numpy as np
import numpy.typing as npt

from schemas.ports import Float32, Int64

Half = npt.NDArray[np.floating]

_AT_ONCE: Final = 2048
_KEPT: Final = 4
"""Rooms of one width that are kept: as many as searches that compare at the same time, usually."""

_memory_of: Callable[[object, int], npt.NDArray[np.uint8]] = faiss.rev_swig_ptr


class _Room:
    """A flat index with room for vectors of width D."""

    def __init__(self, dim: int) -> None:
        self._index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._index.is_trained = True  # there is nothing to train
        size_bytes = _AT_ONCE * dim * np.dtype(np.float16).itemsize
        self._index.codes.resize(size_bytes)
        self._vectors = _memory_of(self._index.codes.data(), size_bytes).view(np.float16).reshape(_AT_ONCE, dim)

    def compare(self, vectors: Half, slots: Int64, query: Float32, cosines: Float32) -> None:
        """Set ``cosines`` (C,) of the vectors in ``slots`` (C,) of ``vectors`` (N, D)."""
        # With a mode that cannot raise, NumPy writes to ``out`` at once.
        np.take(vectors, slots, axis=0, out=self._vectors[: len(slots)], mode="clip")
        self._index.ntotal = len(slots)
        found, places = self._index.search(query[None], len(slots))
        cosines[places[0]] = found[0]


_rooms: Final = defaultdict[int, deque[_Room]](lambda: deque(maxlen=_KEPT))


def half_cosines(parts: Sequence[tuple[Half, Int64]], query: Float32) -> Float32:
    """Cosines (C,) of unit vectors with ``query`` (D,): of each part those in its slots, one part after the other.

    May be called on several threads.
    """
    compared = np.empty(sum(len(slots) for _, slots in parts), np.float32)
    rooms = _rooms[len(query)]
    try:
        room = rooms.pop()
    except IndexError:
        room = _Room(len(query))
    start = 0
    for vectors, slots in parts:
        for first in range(0, len(slots), _AT_ONCE):
            block = slots[first : first + _AT_ONCE]
            room.compare(vectors, block, query, compared[start : start + len(block)])
            start += len(block)
    rooms.append(room)
    return compared
