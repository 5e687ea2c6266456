"""Percentiles within each challenge while clips come in."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Mapping

from ranking.scores.ranks import place
from schemas.modalities import Dimension


class Standings:
    """The scores that came so far, in order, by challenge and dimension."""

    def __init__(self) -> None:
        self._scores: defaultdict[tuple[str, Dimension], list[float]] = defaultdict(list)
        self._clips: Counter[str] = Counter()

    def place(self, challenge_id: str, scores: Mapping[Dimension, float]) -> dict[Dimension, float]:
        """Take a clip in; returns its percentiles among those that came so far, itself included."""
        self._clips[challenge_id] += 1
        percentiles = {}
        for dimension, score in scores.items():
            known = self._scores[challenge_id, dimension]
            insort(known, score)
            higher = len(known) - bisect_right(known, score)
            equal = len(known) - higher - bisect_left(known, score)
            percentiles[dimension] = place(higher, equal, len(known)).percentile
        return percentiles

    def clips(self, challenge_id: str) -> int:
        """How many clips of a challenge came so far."""
        return self._clips[challenge_id]
