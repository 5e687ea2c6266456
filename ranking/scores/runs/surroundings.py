"""The scores around one, from the parts of sorted runs beside it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ranking.scores.runs.content import Sorted, opened

NEAREST: Final = 100
"""Scores on either side that are taken of each run at once, at most."""

Counted = list[tuple[float, int]]
"""Distinct scores, the nearest first, each with the net number of clips that have it."""


class SortedParts(NamedTuple):
    """Of a sorted run: the last part that starts at or below a score, and the parts before and after it. ``before`` and
    ``after`` are ``None`` also where they were not asked for.
    """

    before: bytes | None
    at: bytes | None
    after: bytes | None


class Side(NamedTuple):
    """Scores on one side, and the score at which to ask again for those beyond; ``None`` if these are all."""

    scores: Counted
    bound: float | None


class Surroundings(NamedTuple):
    """Scores lower and higher than one."""

    lower: Side
    higher: Side

    @classmethod
    def of(cls, score: float, parts: Sequence[SortedParts], changes: Sorted, nearest: int) -> "Surroundings":
        """Around ``score``, from the ``parts`` of sorted runs and what lists say together."""
        most, lower, higher = min(nearest, NEAREST), _Collected(-1), _Collected(1)
        lists = list(zip(changes.scores.tolist(), changes.clips.tolist(), strict=True))
        lower.add([pair for pair in lists if pair[0] < score], None)
        higher.add([pair for pair in lists if pair[0] > score], None)
        for run in parts:
            lower.add(*_below(run, score, most))
            higher.add(*_above(run, score, most))
        return cls(lower.side(), higher.side())


class _Collected:
    """Scores of several runs on one side; ``sign`` 1: the higher ones."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._clips: dict[float, int] = {}
        self._bounds: list[float] = []

    def add(self, scores: Counted, bound: float | None) -> None:
        """``bound``: the run may have more beyond it."""
        for score, clips in scores:
            self._clips[score] = self._clips.get(score, 0) + clips
        if bound is not None:
            self._bounds.append(self._sign * bound)

    def side(self) -> Side:
        nearest = min(self._bounds, default=None)
        scores = sorted(
            (self._sign * score, clips)
            for score, clips in self._clips.items()
            if clips and (nearest is None or self._sign * score <= nearest)
        )
        bound = None if nearest is None else self._sign * nearest
        return Side([(self._sign * score, clips) for score, clips in scores], bound)


def _below(run: SortedParts, score: float, most: int) -> tuple[Counted, float | None]:
    """The next lower scores of a run, and the last of them if there may be more."""
    found: Counted = []
    for content in (run.at, run.before):
        if content is not None:
            scores, through = opened(content)
            end = bisect_left(scores, score)
            start = max(0, end - most + len(found))
            found += reversed(list(_counted(scores, through, start, end)))
            if start > 0:
                return found, found[-1][0]
    return found, None if run.before is None else found[-1][0]


def _above(run: SortedParts, score: float, most: int) -> tuple[Counted, float | None]:
    found: Counted = []
    for content in (run.at, run.after):
        if content is not None:
            scores, through = opened(content)
            start = bisect_right(scores, score)
            end = min(len(scores), start + most - len(found))
            found += _counted(scores, through, start, end)
            if end < len(scores):
                return found, found[-1][0]
    return found, None if run.after is None else found[-1][0]


def _counted(scores: Sequence[float], through: Sequence[int], start: int, end: int) -> Iterator[tuple[float, int]]:
    before = through[start - 1] if start else 0
    for at in range(start, end):
        yield scores[at], through[at] - before
        before = through[at]
