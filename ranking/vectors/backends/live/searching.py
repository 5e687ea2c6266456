"""The search over one state of a live index.

Parts without codes are scanned. From each segment with codes come the rows with the best estimates; the best of all
segments are computed again from the exact vectors, so that every similarity is that of what the index holds.

Legend: N slots, C candidates, D width.
"""

from collections.abc import Callable, Sequence
from math import ceil, sqrt
from typing import Final

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
        admitted = np.zeros(int(rows[-1]) + 1 if len(rows) else 0, bool)
        admitted[rows] = True
        self._bits: Final = np.packbits(admitted, bitorder="little")

    def contains(self, rows: Int64) -> Bool:
        """Which of ``rows`` are admitted."""
        inside = rows < 8 * len(self._bits)
        held = np.where(inside, rows, 0)
        contained: Bool = inside & ((self._bits[held >> 3] >> (held & 7).astype(np.uint8)) & 1).astype(bool)
        return contained

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


def nearest(state: State, query: Float32, k: int, admitted: Admitted | None) -> FoundRows:
    """The k nearest rows, and perhaps more, of the 1 ≤ k that ``state`` holds and ``admitted`` admits."""
    scanned = [_scanned(each, query, k, state.change, admitted) for each in state.shown if each.part.codes is None]
    segments = [part for part in state.segments() if part.codes is not None]
    if segments:
        scanned.append(_from_codes(segments, query, k, state, admitted))
    rows, cosines = zip(*scanned, strict=True)
    return FoundRows(np.concatenate(rows), np.concatenate(cosines), exact=not segments)


def _scanned(shown: Shown, query: Float32, k: int, change: int, admitted: Admitted | None) -> tuple[Int64, Float32]:
    part, size = shown
    rows, compared = part.rows[:size], similarities(part.exact[:size], query)
    kept = part.died[:size] > change
    if admitted is not None:
        kept &= admitted.contains(rows)
    rows, compared = rows[kept], compared[kept]
    if len(rows) > k:
        first = compared >= np.partition(compared, -k)[-k]
        rows, compared = rows[first], compared[first]
    return rows, compared


def _from_codes(
    segments: Sequence[Segment], query: Float32, k: int, state: State, admitted: Admitted | None
) -> tuple[Int64, Float32]:
    """Rows and similarities of the best estimates of all segments, of which there is at least one."""
    estimated = [_estimated(segment, query, k, state, admitted) for segment in segments]
    kept = max((segment.codes.wanted(k) for segment in segments if segment.codes is not None), default=0)
    estimates = np.concatenate([np.empty(0, np.float32), *(each for each, _ in estimated)])
    least = np.partition(estimates, -kept)[-kept] if len(estimates) > kept else -np.inf
    best = [slots[each >= least] for each, slots in estimated]
    rows = np.concatenate([segment.rows[slots] for segment, slots in zip(segments, best, strict=True)])
    compared = half_cosines([(segment.exact, slots) for segment, slots in zip(segments, best, strict=True)], query)
    return rows, compared


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
        if held.sum() >= k or (exhausted and probes >= codes.lists) or (count == segment.filled and not exhausted):
            return estimates[held], slots[held]
        if exhausted:
            probes *= _GROWTH
        else:
            count = min(count * _GROWTH, segment.filled)


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
