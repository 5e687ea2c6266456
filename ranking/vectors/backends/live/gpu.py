"""Copies of sealed segments on a GPU, searched there while the segment on the host stays the authority.

A copy has the float16 vectors of a segment, all of which it compares with the query. What was removed since is still in
it, and it takes no selector: the caller asks for more than it needs and drops what the segment says has ended, and
searches with a filter, or for more than a GPU selects at once, go to the codes.

FAISS's GPU resources serve one search at a time. Written by FAISS's documentation; not run yet, for lack of a GPU.
"""

import threading
from typing import Any, Final

import faiss
import numpy as np

from ranking.vectors.backends.live.segment_files import SegmentVectors
from schemas.ports import Float32, Int64

_MOST: Final = 2048
"""Neighbours that a GPU index selects at once."""
_AT_ONCE: Final = 65_536

# The build for CPUs has none of these names, and the hints know that build only.
_faiss: Final[Any] = faiss


class GpuCopies:
    """Makes copies on the first GPU, whose memory has to hold the float16 vectors of all segments."""

    def __init__(self) -> None:
        self._resources: Final = _faiss.StandardGpuResources()
        self._searching: Final = threading.Lock()

    def copy(self, file: SegmentVectors) -> "GpuCopy":
        """Raises ``RuntimeError`` if the GPU has no room."""
        config = _faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        with self._searching:
            index = _faiss.GpuIndexFlatIP(self._resources, file.vectors.shape[1], config)
            for start in range(0, len(file.vectors), _AT_ONCE):
                index.add(file.vectors[start : start + _AT_ONCE].astype(np.float32))
        return GpuCopy(index, self._searching)


class GpuCopy:
    """One segment's vectors on a GPU, in the order of its slots."""

    most: Final = _MOST

    def __init__(self, index: Any, searching: threading.Lock) -> None:
        self._index = index
        self._searching = searching

    def search(self, query: Float32, count: int) -> tuple[Float32, Int64]:
        """Similarities and slots of the ``count`` ≤ ``most`` vectors nearest to ``query`` (D,), best first."""
        with self._searching:
            similarities, slots = self._index.search(query[None], count)
        held = slots[0] >= 0
        return similarities[0][held], slots[0][held]


def gpu_copies() -> GpuCopies | None:
    """``None`` where FAISS has no GPU."""
    return GpuCopies() if faiss.get_num_gpus() > 0 else None
