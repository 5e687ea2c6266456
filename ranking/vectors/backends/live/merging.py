"""Makes one segment out of parts, from their exact vectors, while the index goes on.

Memory: the training sample, one block of vectors, and three numbers for each vector. What is written has another name
until it is whole and on the disk; a merge that ends early leaves nothing.
"""

from collections.abc import Callable, Sequence
from typing import BinaryIO, Final, NamedTuple
from uuid import uuid4

import faiss
import numpy as np

from ranking.vectors.backends.live.codes import QUERIES, Codes, neighbours_of, sample_size
from ranking.vectors.backends.live.parts import Copy, Part, Segment, Shown, alive
from ranking.vectors.backends.live.segment_files import (
    CODES,
    VECTORS,
    SegmentFolder,
    SegmentVectors,
    VectorsWriter,
    remove_with,
    write_whole,
)
from schemas.ports import Float32, Int64

_BLOCK: Final = 4096
_FEWEST_MEASURED: Final = 256


class Sources:
    """The living vectors of several parts at one change, in the order of their rows."""

    def __init__(self, shown: Sequence[Shown], change: int) -> None:
        slots = [alive(each, change) for each in shown]
        rows = np.concatenate([each.part.rows[held] for each, held in zip(shown, slots, strict=True)])
        order = np.argsort(rows)
        self._parts: Final[list[Part]] = [each.part for each in shown]
        self._part: Final = np.repeat(np.arange(len(shown)), [*map(len, slots)])[order]
        self._slot: Final[Int64] = np.concatenate(slots)[order]
        self.rows: Final[Int64] = rows[order]
        self.dim: Final = int(shown[0].part.exact.shape[1])

    def vectors(self, numbers: Int64) -> Float32:
        """Vectors (B, D) of the sources numbered so."""
        vectors = np.empty((len(numbers), self.dim), np.float32)
        for number, part in enumerate(self._parts):
            own = np.flatnonzero(self._part[numbers] == number)
            vectors[own] = part.vectors(self._slot[numbers[own]])
        return vectors

    def died(self) -> Int64:
        """The change with which each ended, as far as is known now."""
        died = np.empty(len(self.rows), np.int64)
        for number, part in enumerate(self._parts):
            own = self._part == number
            died[own] = part.died[self._slot[own]]
        return died


class Merged(NamedTuple):
    """A segment's files, not part of an index yet."""

    name: str
    file: SegmentVectors
    codes: Codes | None
    copy: Copy | None = None

    def segment(self, number: int, died: Int64) -> Segment:
        """The segment, of which ``died`` says which slots ended meanwhile."""
        return Segment(number, self.name, self.file, self.codes, died, self.copy)


def merged(sources: Sources, coded: bool, live: int, folder: SegmentFolder, check: Callable[[], None]) -> Merged:
    """Write the sources, of which there is at least one, as a segment of an index of ``live`` vectors.

    ``check`` is called every few seconds at most and may raise to end the merge. Raises ``OSError``.
    """
    faiss.omp_set_num_threads(1)
    name = uuid4().hex
    vectors, codes = folder.path(f"{name}{VECTORS}"), folder.path(f"{name}{CODES}")
    try:
        made = _coded(sources, check) if coded else None
        truth = (
            _Truth(sources, neighbours_of(len(sources.rows), live))
            if made is not None and len(sources.rows) >= _FEWEST_MEASURED
            else None
        )

        def write(file: BinaryIO) -> None:
            writer = VectorsWriter(file, sources.rows, sources.dim, 4 if made is None else 2)
            for start in range(0, len(sources.rows), _BLOCK):
                check()
                block = np.arange(start, min(start + _BLOCK, len(sources.rows)))
                exact = sources.vectors(block)
                writer.add(exact)
                if made is not None:
                    made.add(sources.rows[block], exact)
                if truth is not None:
                    truth.add(block, exact)

        write_whole(vectors, write)
        if made is not None:
            if truth is None:
                made.read_all()
            else:
                made.measure(truth.queries, sources.rows[truth.numbers], sources.vectors(truth.numbers.ravel()))
            made.store(codes)
        file = SegmentVectors(vectors)
        remove_with(file, vectors)
        if made is not None:
            remove_with(made, codes)
        return Merged(name, file, made)
    except BaseException:
        vectors.unlink(missing_ok=True)
        codes.unlink(missing_ok=True)
        raise


def _coded(sources: Sources, check: Callable[[], None]) -> Codes:
    count = len(sources.rows)
    some = np.sort(np.random.default_rng(count).permutation(count)[: sample_size(count)])
    sample = sources.vectors(some)
    np.random.default_rng(0).shuffle(sample)
    return Codes.trained(sample, count, check)


class _Truth:
    """The nearest of some members, collected block by block: ``numbers`` (Q, T) among the sources."""

    def __init__(self, sources: Sources, neighbours: int) -> None:
        self._neighbours = neighbours
        count = len(sources.rows)
        self._own = np.unique(np.random.default_rng(count).integers(count, size=QUERIES))
        self.queries: Final = sources.vectors(self._own)
        self.numbers: Int64 = np.empty((len(self._own), 0), np.int64)
        self._similarities: Float32 = np.empty((len(self._own), 0), np.float32)

    def add(self, block: Int64, vectors: Float32) -> None:
        # FAISS keeps to one thread; NumPy's matrix products take all.
        similarities = faiss.pairwise_distances(self.queries, vectors, faiss.METRIC_INNER_PRODUCT)
        similarities[self._own[:, None] == block[None]] = -np.inf
        numbers = np.concatenate([self.numbers, np.broadcast_to(block, similarities.shape)], axis=1)
        similarities = np.concatenate([self._similarities, similarities], axis=1)
        kept = min(self._neighbours, similarities.shape[1] - 1)
        best = np.argpartition(-similarities, kept, axis=1)[:, :kept]
        self.numbers = np.take_along_axis(numbers, best, axis=1)
        self._similarities = np.take_along_axis(similarities, best, axis=1)
