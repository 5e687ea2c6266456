"""The search over one state of a live index.

Parts without codes are scanned. From each segment with codes come the rows with the best estimates; the best of all
segments are computed again from the exact vectors, so that every similarity is that of what the index holds. A search
that goes on with a larger k compares with no vector twice.

Legend: N slots, C candidates, D width.
"""

from collections.abc import Callable
from math import ceil, sqrt
from typing import Final, NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from ranking.vectors.backends.live.codes import NEIGHBOURS, Codes
from ranking.vectors.backends.live.half_cosines import half_cosines
from ranking.vectors.backends.live.parts import Part, Segment, Shown, State
from ranking.vectors.backends.port import FoundRows
from schemas.ports import Float32, Int64

Bool = npt.NDArray[np.bool_]
_GROWTH: Final = 4


_bitmap: Callable[..., faiss.IDSelector] = faiss.IDSelectorBitmap


class Admitted:
    """The rows that a filter admits, as a bitmap."""

    def __init__(self, rows: Int64) -> None:
        """``rows`` ascend."""
        self.count: Final = len(rows)
        self._rows = rows
        admitted = np.zeros(int(rows[-1]) + 1 if len(rows) else 0, bool)
        admitted[rows] = True
        self._bits: Final = np.packbits(admitted, bitorder="little")

    def contains(self, rows: Int64) -> Bool:
        """Which of ``rows`` are admitted."""
        inside = rows < 8 * len(self._bits)
        held = np.where(inside, rows, 0)
        contained: Bool = inside & ((self._bits[held >> 3] >> (held & 7).astype(np.uint8)) & 1).astype(bool)
        return contained

    def places(self, rows: Int64) -> Int64:
        """Where those that are admitted are in ``rows``, which ascend."""
        at = np.searchsorted(rows, self._rows)
        at, admitted = at[at < len(rows)], self._rows[at < len(rows)]
        places: Int64 = at[rows[at] == admitted]
        return places

    def selector(self) -> faiss.IDSelector:
        return _bitmap(self._bits)


def similarities(vectors: Float32, query: Float32) -> Float32:
    """Cosines (C,) of unit vectors (C, D).

    Not a matrix product: BLAS does not promise that equal vectors have equal cosines, and has threads of its own, which
    take longer to wake than one takes for a few megabytes.
    """
    cosines: Float32 = np.einsum("nd,d->n", vectors, query)
    return cosines


def cosines(part: Part, slots: Int64, query: Float32) -> Float32:
    """Cosines (C,) of the vectors in ``slots`` (C,) of a part."""
    if part.exact.dtype != np.float16:
        return similarities(part.vectors(slots), query)
    return half_cosines([(part.exact, slots)], query)


class StateSearch:
    """``RowSearch`` of one state, whatever changes meanwhile."""

    def __init__(self, state: State, query: Float32, admitted: Admitted | None, threads: int) -> None:
        """``query`` (D,) is a unit vector; ``threads``: how many FAISS may use."""
        self._state = state
        self._query = query
        self._admitted = admitted
        self._threads = threads
        self._segments = [part for part in state.segments() if part.codes is not None]
        self._compared: list[tuple[Int64, Float32]] = []
        self._slots: list[Int64] = [np.empty(0, np.int64) for _ in self._segments]
        """Of each segment with codes, those that were computed again."""

    def nearest(self, k: int) -> FoundRows:
        k = min(k, self._state.live if self._admitted is None else self._admitted.count)
        exact = not self._segments
        if k == 0:
            return FoundRows(np.empty(0, np.int64), np.empty(0, np.float32), exact=True)
        if not self._compared:
            self._compared = [
                _scanned(each, self._query, self._state.change, self._admitted)
                for each in self._state.shown
                if each.part.codes is None
            ]
        if self._segments:
            # OpenMP keeps the number per calling thread, so it has to be set where the search runs.
            faiss.omp_set_num_threads(self._threads)
            self._compared.append(self._from_codes(k))
        rows, cosines = zip(*self._compared, strict=True)
        return first(FoundRows(np.concatenate(rows), np.concatenate(cosines), exact), k)

    def _from_codes(self, k: int) -> tuple[Int64, Float32]:
        """Rows and similarities of the best estimates of all segments, without those that there were before."""
        estimated = [_estimated(segment, self._query, k, self._state, self._admitted) for segment in self._segments]
        kept = max((segment.codes.wanted(k) for segment in self._segments if segment.codes is not None), default=0)
        estimates = np.concatenate([each for each, _ in estimated])
        least = np.partition(estimates, -kept)[-kept] if len(estimates) > kept else -np.inf
        rows, places = [], []
        for number, (segment, (each, slots)) in enumerate(zip(self._segments, estimated, strict=True)):
            best = slots[each >= least]
            best = best[~np.isin(best, self._slots[number], assume_unique=True)]
            self._slots[number] = np.concatenate([self._slots[number], best])
            rows.append(segment.rows[best])
            places.append((segment.exact, best))
        return np.concatenate(rows), half_cosines(places, self._query)


class ComparedRows(NamedTuple):
    """``RowSearch`` of what was compared already: all rows (N,) that are held and admitted, and their cosines (N,)."""

    rows: Int64
    cosines: Float32

    def nearest(self, k: int) -> FoundRows:
        return first(FoundRows(self.rows, self.cosines, exact=True), k)


def first(found: FoundRows, k: int) -> FoundRows:
    """The k nearest, and those that are as near as the last of them."""
    if len(found.rows) <= k or k == 0:
        return found
    enough = found.similarities >= np.partition(found.similarities, -k)[-k]
    return FoundRows(found.rows[enough], found.similarities[enough], found.exact)


def _scanned(shown: Shown, query: Float32, change: int, admitted: Admitted | None) -> tuple[Int64, Float32]:
    part, size = shown
    rows, compared = part.rows[:size], similarities(part.exact[:size], query)
    kept = part.died[:size] > change
    if admitted is not None:
        kept &= admitted.contains(rows)
    return rows[kept], compared[kept]


def _estimated(
    segment: Segment, query: Float32, k: int, state: State, admitted: Admitted | None
) -> tuple[Float32, Int64]:
    """Estimates and slots: at least the k best of the segment, or all that it holds of what is admitted."""
    codes: Codes | None = segment.codes
    if codes is None:
        raise ValueError("only a segment with codes has estimates")
    if admitted is None and (copied := _from_copy(segment, query, k, state)) is not None:
        return copied
    selector = None if admitted is None else admitted.selector()
    count = min(ceil(codes.wanted(k) * (1 + segment.dead / segment.filled)), segment.filled)
    share = 1.0 if admitted is None else min(1.0, max(admitted.count, 1) / max(state.live, 1))
    # Of a filter's nearest, fewer are in the first lists than of all: it counts also where k is small.
    probes = ceil(codes.probes * sqrt(max(1.0, k / NEIGHBOURS) / share))
    while True:
        estimates, rows = codes.search(query, count, probes, selector)
        order = np.argsort(rows)  # what is ascending is found by reading on, not by jumping
        estimates, slots = estimates[order], np.searchsorted(segment.rows, rows[order])
        held = segment.died[slots] > state.change
        exhausted = len(rows) < count  # the probed lists hold no more
        if held.sum() >= k or (count == segment.filled and not exhausted):
            return estimates[held], slots[held]
        if exhausted and probes >= codes.lists:
            return _with_least(estimates[held], slots[held], segment, state, admitted)
        if exhausted:
            probes *= _GROWTH
        else:
            count = min(count * _GROWTH, segment.filled)


def _with_least(
    estimates: Float32, slots: Int64, segment: Segment, state: State, admitted: Admitted | None
) -> tuple[Float32, Int64]:
    """Estimates and slots with those that FAISS leaves out of all lists, since their estimate is the least that its
    tables hold.
    """
    held = np.arange(segment.filled) if admitted is None else admitted.places(segment.rows)
    held = held[segment.died[held] > state.change]
    left_out = held[~np.isin(held, slots, assume_unique=True)]
    return np.append(estimates, np.full(len(left_out), -np.inf, np.float32)), np.append(slots, left_out)


def _from_copy(segment: Segment, query: Float32, k: int, state: State) -> tuple[Float32, Int64] | None:
    """The same from the segment's copy; ``None`` if it has none, or none that gives as many."""
    count = min(ceil(k * (1 + segment.dead / segment.filled)), segment.filled)
    while segment.copy is not None and count <= segment.copy.most:
        found, slots = segment.copy.search(query, count)
        held = segment.died[slots] > state.change
        if held.sum() >= k or count == segment.filled:
            return found[held], slots[held]
        count = min(count * _GROWTH, segment.filled)
    return None
