"""The scores around one, from the parts of sorted runs beside it."""

from collections.abc import Sequence
from typing import NamedTuple

from ranking.scores.runs.content import Sorted, merged, sorted_of


class SortedParts(NamedTuple):
    """Of a sorted run: the last part that starts at or below a score, and the parts before and after it. ``before`` and
    ``after`` are ``None`` also where they were not asked for.
    """

    before: bytes | None
    at: bytes | None
    after: bytes | None


class Surroundings(NamedTuple):
    """``scores`` around ``score``, with the clips that have each: all from ``lowest`` to ``highest``, where ``None``
    says that there are no others.
    """

    score: float
    scores: Sorted
    lowest: float | None
    highest: float | None

    @classmethod
    def of(cls, score: float, parts: Sequence[SortedParts], changes: Sorted) -> "Surroundings":
        runs, lowest, highest = [changes], [], []
        for run in parts:
            found = sorted_of([part for part in (run.before, run.at, run.after) if part is not None])
            runs.append(found)
            # There may be more parts beyond the one before, and the one after.
            if run.before is not None:
                lowest.append(float(found.scores[0]))
            if run.after is not None:
                highest.append(float(found.scores[-1]))
        return cls(score, merged(runs), max(lowest, default=None), min(highest, default=None))

    def beyond(self, *, higher: bool) -> tuple[list[tuple[float, int]], float | None]:
        """Scores that are higher, or lower, the nearest first, with their clips, and the score at which to ask again
        for those beyond; ``None`` if these are all.
        """
        scores, clips = self.scores
        if higher:
            within = scores > self.score
            if self.highest is not None:
                within &= scores <= self.highest
            return list(zip(scores[within].tolist(), clips[within].tolist(), strict=True)), self.highest
        within = scores < self.score
        if self.lowest is not None:
            within &= scores >= self.lowest
        return list(zip(scores[within][::-1].tolist(), clips[within][::-1].tolist(), strict=True)), self.lowest
