"""Compressed copies of a segment's vectors, and the search over them: an inverted file of product-quantised codes.

FAISS's ``IndexIVFPQFastScan``: each vector is assigned to the nearest of L centroids; its D components are quantised in
groups of up to four, each to the nearest of 16 codewords, which a search sums up from tables in registers. It reads the
vectors of the P lists that are nearest to the query, and estimates similarities; the caller computes those of the first
``wanted(k)`` again from the exact vectors.

P (``probes``) and ``refine`` are measured when a segment is made, on members of the segment as queries.

Legend: N vectors, B of them, D width, Q queries, T true neighbours of each.
"""

from collections.abc import Callable
from math import ceil, log2, sqrt
from pathlib import Path
from typing import BinaryIO, Final, Self

import faiss
import numpy as np

from ranking.vectors.backends.live.segment_files import link_or_write, write_whole
from schemas.ports import Float32, Int64

QUERIES: Final = 64
NEIGHBOURS: Final = 64
_FEWEST_NEIGHBOURS: Final = 16
"""Q, and T in an index of one segment; in one of several a segment answers for its share of them."""
_PROBED: Final = 0.98
"""Of the true neighbours, how many the probed lists have to hold."""
_REFINED: Final = 0.99
"""Of those that the probed lists hold, how many have to be among the estimates that are computed again."""
_AT_LEAST: Final = 32
_REFINES: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
_BITS: Final = 4
CODEWORDS: Final = 1 << _BITS
"""Of each group of components; training needs as many vectors."""
_PER_CENTROID: Final = 32
_ROUNDS: Final = 6
_TRAINING: Final = 4096
_TRAINING_SHARE: Final = 4
_LEAST_TRAINING: Final = 1 << 20
"""Components. The codewords of a segment of wide vectors are trained on a fourth of it, or on so much: such merges are
frequent and this was half of their work, and the errors of so many groups of components cancel out.
"""
_HEAD: Final = "<f8"

_search_parameters: Callable[..., faiss.SearchParameters] = faiss.SearchParametersIVF


def lists_for(count: int) -> int:
    """L, about the square root of N."""
    return int(2 ** max(0, round(log2(sqrt(count)))))


def neighbours_of(count: int, live: int) -> int:
    """T of a segment of N vectors in an index of ``live``."""
    return min(NEIGHBOURS, max(_FEWEST_NEIGHBOURS, ceil(NEIGHBOURS * count / live)))


def sample_size(count: int) -> int:
    """How many of N vectors the training reads."""
    return min(count, max(_TRAINING, _PER_CENTROID * lists_for(count)))


class Codes:
    """The codes of one segment, labelled by row. Searches may run side by side."""

    def __init__(self, index: faiss.IndexIVFPQFastScan, probes: int, refine: float) -> None:
        self._index = index
        self.probes: int = probes
        self.refine: float = refine
        self._path = Path()
        self._size_bytes = 0

    @classmethod
    def trained(cls, sample: Float32, count: int, check: Callable[[], None]) -> Self:
        """For N = ``count`` vectors, of which ``sample`` (B, D) are some. ``check`` may raise to end the training."""
        dim, lists = sample.shape[1], lists_for(count)
        centroids = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFPQFastScan(centroids, dim, lists, dim // _group(dim), _BITS, faiss.METRIC_INNER_PRODUCT)
        index.by_residual = False
        index.pq.cp.niter = _ROUNDS
        index.pq.cp.min_points_per_centroid = 1
        points = sample[: max(lists, _PER_CENTROID * lists)]
        start = points[:: max(1, len(points) // lists)][:lists]
        for _ in range(_ROUNDS):
            check()
            start = _round(points, start)
        check()
        centroids.add(np.ascontiguousarray(start))
        index.train(sample[: min(_TRAINING, max(_LEAST_TRAINING // dim, count // _TRAINING_SHARE))])
        return cls(index, 1, _REFINES[0])

    @property
    def dim(self) -> int:
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, rows: Int64, vectors: Float32) -> None:
        self._index.add_with_ids(vectors, rows)

    def wanted(self, k: int) -> int:
        """How many of the best estimates hold the k nearest."""
        return ceil(k * self.refine) + _AT_LEAST

    def search(
        self, query: Float32, count: int, probes: int, selector: faiss.IDSelector | None = None
    ) -> tuple[Float32, Int64]:
        """Estimated similarities and rows of up to ``count`` vectors that are nearest to ``query`` (D,), best first."""
        # FAISS's Python layer keeps the selector alive; its type hints do not know the keyword.
        parameters = _search_parameters(nprobe=min(probes, self._index.nlist), sel=selector)
        similarities, rows = (found[0] for found in self._index.search(query[None], count, params=parameters))
        held = rows >= 0
        return similarities[held], rows[held]

    @property
    def lists(self) -> int:
        return int(self._index.nlist)

    def measure(self, queries: Float32, neighbours: Int64, vectors: Float32) -> None:
        """Choose ``probes`` and ``refine`` by the true neighbours (Q, T) of members (Q, D), themselves left out.

        ``vectors`` (Q * T, D) are those of ``neighbours``.
        """
        order = self._index.quantizer.search(queries, self.lists)[1]
        place = np.empty_like(order)
        np.put_along_axis(place, order, np.arange(self.lists)[None], axis=1)
        lists = self._index.quantizer.search(vectors, 1)[1].reshape(neighbours.shape)
        places = np.take_along_axis(place, lists, axis=1)
        self.probes = int(np.quantile(places, _PROBED, method="higher")) + 1
        within = places < self.probes
        for self.refine in _REFINES:
            found = 0
            for query, true, probed in zip(queries, neighbours, within, strict=True):
                rows = self.search(query, self.wanted(neighbours.shape[1]), self.probes)[1]
                found += int(np.isin(true[probed], rows).sum())
            if found >= _REFINED * within.sum():
                return

    def read_all(self) -> None:
        """Probe every list and compute all that is found again: for few vectors, which are not worth a measurement."""
        self.probes, self.refine = self.lists, _REFINES[-1]

    def store(self, path: Path) -> None:
        """Write them to the file that they are kept in. Raises ``OSError``."""
        write_whole(path, self._write)
        self._path, self._size_bytes = path, path.stat().st_size

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def write(self, path: Path) -> None:
        """``SegmentFile.write``."""
        link_or_write(self._path, path, self._write)

    def _write(self, file: BinaryIO) -> None:
        file.write(np.array([self.probes, self.refine], _HEAD).tobytes())
        # FAISS's own files raise RuntimeError for a full disk, or only print it when the last bytes are refused.
        faiss.write_index(self._index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ``OSError``, ``ValueError`` and ``RuntimeError``."""
        with path.open("rb") as file:
            head = np.frombuffer(file.read(2 * np.dtype(_HEAD).itemsize), _HEAD)
            if len(head) != 2 or not (1 <= head[0] <= 1e9 and 1 <= head[1] <= _REFINES[-1]):
                raise ValueError("it does not start as codes do")
            index = faiss.read_index(faiss.PyCallbackIOReader(file.read))  # type: ignore[attr-defined]
        if not isinstance(index, faiss.IndexIVFPQFastScan) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise ValueError("not an inner-product index of codes")
        made = cls(index, int(head[0]), float(head[1]))
        made._path, made._size_bytes = path, path.stat().st_size
        return made


def _group(dim: int) -> int:
    """Components that are quantised together."""
    return next(size for size in (4, 2, 1) if dim % size == 0)


def _round(points: Float32, centroids: Float32) -> Float32:
    """One round of spherical k-means on one thread; a centroid without points takes one of them."""
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(np.ascontiguousarray(centroids))
    nearest = index.search(points, 1)[1][:, 0]
    order = np.argsort(nearest, kind="stable")
    owners, starts = np.unique(nearest[order], return_index=True)
    # Row after row: reduceat adds component after component, which takes five times as long.
    sums = np.stack([points[each].sum(axis=0) for each in np.split(order, starts[1:])])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    moved = centroids.copy()
    moved[owners] = sums / np.maximum(lengths, np.finfo(np.float32).tiny)
    empty = np.setdiff1d(np.arange(len(centroids)), owners)
    moved[empty] = points[:: max(1, len(points) // max(1, len(empty)))][: len(empty)]
    return moved
