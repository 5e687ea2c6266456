"""A copy of a segment as on a GPU, without one."""

import faiss
import numpy as np
import numpy.typing as npt

from ranking.vectors.backends.live.segment_files import SegmentVectors


class OnTheHost:
    """What ``GpuCopies`` does, without a GPU: a copy that is compared as a whole and knows no later removals."""

    most = 100

    def __init__(self, file: SegmentVectors) -> None:
        self._index = faiss.IndexFlatIP(file.vectors.shape[1])
        self._index.add(file.vectors.astype(np.float32))

    def search(self, query: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.float32], ...]:
        assert count <= self.most
        similarities, slots = self._index.search(query[None], count)
        return similarities[0], slots[0]
