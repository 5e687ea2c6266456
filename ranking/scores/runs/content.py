"""What a run holds, as arrays and as bytes: pure arithmetic on scores.

A run is a set of *changes*: a clip that a challenge gained (+1) or lost (−1), with a score in each of its dimensions. A
short run is a *list* of its changes as they came. A long one is *sorted*: for each dimension the distinct scores,
ascending, with the net number of clips that have each. Sums over all runs of a challenge are exact, whatever the order
in which changes came and in which runs were merged.
"""

import struct
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

CLIPS: Final = ""
"""In the place of a dimension: every scored clip of the challenge, in a ranking or not; their score is 0."""

PART: Final = 128
"""Distinct scores in a part: a row of PostgreSQL that holds them, 1.5 KB, needs no second table."""

_CHANGE: Final = np.dtype([("score", "<f8"), ("attention", "<f8"), ("minute", "<i4"), ("sign", "i1")])
_PER_SCORE: Final = 8 + 4
_BELOW: Final = struct.Struct("<q")
_HALVES: Final = msgspec.msgpack.Decoder(dict[str, tuple[int, int, int]])
_UNIT: Final = 2.0**62
_LOW: Final = (1 << 31) - 1


class Change(NamedTuple):
    """A clip that a challenge gained (``sign`` 1) or lost (-1). ``minute``: of its upload, since 1970.

    ``scores``: score and attention by dimension; empty for a clip that is in no ranking.
    """

    minute: int
    sign: int
    scores: Mapping[str, tuple[float, float | None]]


class Total(NamedTuple):
    """``clips`` have the dimension; ``attention`` is the sum of theirs in units of 2⁻⁶², 0 for the fused score."""

    clips: int
    attention: int

    def __add__(self, other: object) -> "Total":
        if not isinstance(other, Total):
            return NotImplemented
        return Total(self.clips + other.clips, self.attention + other.attention)

    @property
    def mean_attention(self) -> float:
        """Exact but for the rounding of each attention to a multiple of 2⁻⁶² and of the mean to a float."""
        return self.attention / (self.clips * int(_UNIT))


class Sorted(NamedTuple):
    """Distinct scores, ascending, (N,) float64, and the net number of clips with each, (N,) int64, none of them 0."""

    scores: NDArray[np.float64]
    clips: NDArray[np.int64]


NOTHING: Final = Sorted(np.empty(0), np.empty(0, np.int64))

Totals = dict[str, Total]


class ChangeList:
    """A short run: changes in the order they came."""

    def __init__(self, content: Mapping[str, bytes]) -> None:
        self._content = content

    @classmethod
    def of(cls, changes: Iterable[Change]) -> "ChangeList":
        columns: dict[str, list[tuple[float, float, int, int]]] = {CLIPS: []}
        for minute, sign, scores in changes:
            columns[CLIPS].append((0.0, 0.0, minute, sign))
            for dimension, (score, attention) in scores.items():
                if dimension not in columns:
                    columns[dimension] = []
                columns[dimension].append((score, attention or 0.0, minute, sign))
        return cls({name: np.array(rows, _CHANGE).tobytes() for name, rows in sorted(columns.items()) if rows})

    @classmethod
    def joined(cls, lists: Sequence["ChangeList"]) -> "ChangeList":
        names = sorted({name for each in lists for name in each._content})
        return cls({name: b"".join(each._content.get(name, b"") for each in lists) for name in names})

    @classmethod
    def decoded(cls, content: bytes) -> "ChangeList":
        return cls(msgspec.msgpack.decode(content, type=dict[str, bytes]))

    def encoded(self) -> bytes:
        return msgspec.msgpack.encode(self._content)

    def __len__(self) -> int:
        """Changes by the dimension that has most: by each, other clips may have cancelled."""
        return max(map(len, self._content.values()), default=0) // _CHANGE.itemsize

    def cancelled(self) -> "ChangeList":
        """Without the clips that were gained and lost again."""
        kept = {}
        for name in self._content:
            rows = np.sort(self._rows(name), order=["score", "attention", "minute"])
            same = np.ones(len(rows), bool)
            for field in ("score", "attention", "minute"):
                same[1:] &= rows[field][1:] == rows[field][:-1]
            starts = np.flatnonzero(~same | (np.arange(len(rows)) == 0))
            net = np.add.reduceat(rows["sign"].astype(np.int64), starts)
            rows = rows[starts]
            rows["sign"] = np.sign(net)
            kept[name] = np.repeat(rows, np.abs(net)).tobytes()
        return ChangeList({name: content for name, content in kept.items() if content})

    def since(self, minute: int) -> "ChangeList":
        """Those of clips that were uploaded in ``minute`` or later."""
        rows = ((name, self._rows(name)) for name in self._content)
        kept = ((name, found[found["minute"] >= minute]) for name, found in rows)
        return ChangeList({name: found.tobytes() for name, found in kept if len(found)})

    def by_period(self, minutes: int) -> "Iterator[tuple[int, ChangeList]]":
        """Those of each period of ``minutes``, with the minute that it starts in."""
        present = [self._rows(name)["minute"] // minutes for name in self._content]
        for period in np.unique(np.concatenate([np.empty(0, np.int32), *present])).tolist():
            rows = ((name, self._rows(name)) for name in self._content)
            within = ((name, found[found["minute"] // minutes == period]) for name, found in rows)
            yield period * minutes, ChangeList({name: found.tobytes() for name, found in within if len(found)})

    def sorted(self) -> dict[str, Sorted]:
        """By dimension; without ``CLIPS``, whose scores say nothing."""
        return {name: changed([content]) for name, content in self._content.items() if name != CLIPS}

    def totals(self) -> Totals:
        found: Totals = {}
        for name in self._content:
            rows = self._rows(name)
            units = np.rint(rows["attention"] * _UNIT).astype(np.int64)
            sign = rows["sign"].astype(np.int64)
            # In halves, so that the sums of many fit into 64 bits.
            high, low = int(np.sum((units >> 31) * sign)), int(np.sum((units & _LOW) * sign))
            found[name] = Total(int(sign.sum()), (high << 31) + low)
        return found

    def by(self, dimension: str) -> bytes:
        """The changes by one dimension, for ``changed``."""
        return self._content.get(dimension, b"")

    def _rows(self, name: str) -> NDArray[np.void]:
        return np.frombuffer(self._content.get(name, b""), _CHANGE)


def changed(contents: Iterable[bytes], since: int | None = None) -> Sorted:
    """Distinct scores of changes by one dimension with their net numbers of clips; only of clips that were uploaded in
    the minute ``since`` or later, if it is given.
    """
    rows = np.frombuffer(b"".join(contents), _CHANGE)
    if since is not None:
        rows = rows[rows["minute"] >= since]
    return merged([Sorted(rows["score"], rows["sign"].astype(np.int64))])


class Part(NamedTuple):
    """Scores of a sorted run that follow one another: how many clips have lower ones, and then the scores."""

    first_score: float
    content: bytes


def merged(runs: Sequence[Sorted]) -> Sorted:
    """One run with the sums of all."""
    scores = np.concatenate([np.empty(0), *(run.scores for run in runs)])
    clips = np.concatenate([np.empty(0, np.int64), *(run.clips for run in runs)])
    order = np.argsort(scores, kind="stable")
    scores, clips = scores[order], clips[order]
    starts = np.flatnonzero(np.concatenate(([True], scores[1:] != scores[:-1]))[: len(scores)])
    sums = np.add.reduceat(clips, starts) if len(starts) else clips
    kept = sums != 0
    return Sorted(scores[starts][kept], sums[kept])


def parts(run: Sorted) -> Iterator[Part]:
    """Each part is how many clips have lower scores (int64), its scores (float64), and the net number of its clips up
    to each (int32), little-endian.
    """
    below = 0
    for start in range(0, len(run.scores), PART):
        scores, clips = run.scores[start : start + PART], run.clips[start : start + PART]
        through = np.cumsum(clips).astype("<i4")
        yield Part(float(scores[0]), _BELOW.pack(below) + scores.astype("<f8").tobytes() + through.tobytes())
        below += int(clips.sum())


def sorted_of(contents: Sequence[bytes]) -> Sorted:
    """The run whose parts, in order, have these ``contents``."""
    scores, clips = [np.empty(0)], [np.empty(0, np.int64)]
    for content in contents:
        count = (len(content) - _BELOW.size) // _PER_SCORE
        scores.append(np.frombuffer(content, "<f8", count, _BELOW.size))
        through = np.frombuffer(content, "<i4", count, _BELOW.size + 8 * count)
        clips.append(np.diff(through, prepend=0).astype(np.int64))
    return Sorted(np.concatenate(scores), np.concatenate(clips))


def count_in_part(content: bytes, score: float) -> tuple[int, int]:
    """Of a run: the net number of clips with at most ``score``, and with exactly it. ``content`` is that of the last
    part that starts at or below ``score``.
    """
    (below,) = _BELOW.unpack_from(content)
    scores, through = opened(content)
    at = bisect_right(scores, score) - 1  # 0 or more, for the part starts at or below the score
    if scores[at] != score:
        return below + through[at], 0
    return below + through[at], through[at] - (through[at - 1] if at else 0)


def opened(content: bytes) -> tuple[Sequence[float], Sequence[int]]:
    """Scores of a part, and the net number of its clips up to each; no copy where numbers are little-endian anyway."""
    count = (len(content) - _BELOW.size) // _PER_SCORE
    middle = _BELOW.size + 8 * count
    if sys.byteorder == "big":
        return struct.unpack_from(f"<{count}d", content, _BELOW.size), struct.unpack_from(f"<{count}i", content, middle)
    view = memoryview(content)
    return view[_BELOW.size : middle].cast("d"), view[middle:].cast("i")


def encode_totals(totals: Totals) -> bytes:
    halves = {name: (clips, attention >> 31, attention & _LOW) for name, (clips, attention) in sorted(totals.items())}
    return msgspec.msgpack.encode(halves)


def decode_halves(content: bytes) -> dict[str, tuple[int, int, int]]:
    """Totals as they are stored: clips, and attention in two halves."""
    return _HALVES.decode(content)


def decode_totals(content: bytes) -> Totals:
    halves = decode_halves(content)
    return {name: Total(clips, (high << 31) + low) for name, (clips, high, low) in halves.items()}


def sum_totals(many: Iterable[Totals]) -> Totals:
    found: Totals = {}
    for totals in many:
        for name, total in totals.items():
            found[name] = found.get(name, Total(0, 0)) + total
    return found
