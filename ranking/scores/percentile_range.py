"""Which clips lie in a range of percentiles within their challenges, told by the scores at the ends of the range."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from math import inf
from typing import Final, NamedTuple

import numpy as np
import sqlalchemy as sa

from ranking.database.connection import Database, in_parts
from ranking.database.tables import scores
from ranking.scores.ranks import place
from ranking.scores.runs.reading import Counts, counts_of
from schemas.modalities import Dimension

_MOST_LISTED: Final = 10_000
_MOST_READ: Final = 256
"""Scores that are read at once when the end of a range is sought."""
_MAGNITUDE: Final = 2**63 - 1


class _Range(NamedTuple):
    """Scores from ``low`` to ``high``, both included; empty if ``low`` > ``high``."""

    low: float
    high: float


class PercentileRange:
    """Clips whose percentile by ``dimension`` within their challenge is ``low`` to ``high``, both included.

    A percentile grows with the score, so that the clips of a challenge in the range are those between two scores, which
    are found once. Clips without a place in a ranking are never in it. Every method raises ``StoreUnavailable`` if the
    database does not answer and ``StoreRefused`` if it refuses.
    """

    def __init__(
        self,
        database: Database,
        generation: str,
        dimension: Dimension,
        *,
        low: float = 0.0,
        high: float = 100.0,
        challenge_ids: Collection[str] = (),
    ) -> None:
        """``challenge_ids``: the only challenges that matter, none for all."""
        self._database = database
        self._generation = generation
        self._dimension = dimension
        self._low, self._high = low, high
        self._challenge_ids = challenge_ids
        self._ranges: dict[str, _Range] = {}

    def listed(self) -> Collection[str] | None:
        """The clips within ``challenge_ids``; ``None`` if there are more than 10,000, or if no challenge is named."""
        found: list[str] = []
        if not self._challenge_ids:
            return None
        table = scores.c
        with self._database.reading() as connection:
            self._find_ranges(connection, self._challenge_ids)
            for challenge_id in self._challenge_ids:
                low, high = self._ranges[challenge_id]
                query = (
                    sa.select(table.clip_id)
                    .where(self._of(challenge_id), table.score.between(low, high))
                    .limit(_MOST_LISTED + 1 - len(found))
                )
                found += connection.scalars(query) if low <= high else ()
                if len(found) > _MOST_LISTED:
                    return None
        return found

    def satisfied(self, clip_ids: Sequence[str]) -> Collection[str]:
        """Those of the clips that are in the range."""
        table = scores.c
        with self._database.reading() as connection:
            rows = [
                row
                for part in in_parts(clip_ids)
                for row in connection.execute(
                    sa.select(table.clip_id, table.challenge_id, table.score).where(
                        table.generation == self._generation,
                        table.dimension == str(self._dimension),
                        table.clip_id.in_(part),
                    )
                )
            ]
            self._find_ranges(connection, {row.challenge_id for row in rows})
        return [
            row.clip_id
            for row in rows
            if self._ranges[row.challenge_id].low <= float(row.score) <= self._ranges[row.challenge_id].high
        ]

    def _find_ranges(self, connection: sa.Connection, challenge_ids: Iterable[str]) -> None:
        for challenge_id in challenge_ids:
            if challenge_id not in self._ranges:
                self._ranges[challenge_id] = self._range(connection, challenge_id)

    def _range(self, connection: sa.Connection, challenge_id: str) -> _Range:
        low, high = -inf, inf
        if self._low > 0:
            least = self._least(connection, challenge_id, lambda percentile: percentile >= self._low)
            if least is None:
                return _Range(inf, -inf)
            low = least
        if self._high < 100:
            beyond = self._least(connection, challenge_id, lambda percentile: percentile > self._high)
            high = inf if beyond is None else float(np.nextafter(beyond, -inf))
        return _Range(low, high)

    def _least(self, connection: sa.Connection, challenge_id: str, suffices: Callable[[float], bool]) -> float | None:
        """The least score whose percentile suffices; ``None`` if none does.

        Halves the floats between a score that does not suffice and one that does, so it takes at most 64 steps of
        O(log n) rows each, whatever the scores are, until so few scores are between them that all can be read.
        """
        score, of_challenge = scores.c.score, self._of(challenge_id)
        ends = connection.execute(sa.select(sa.func.min(score), sa.func.max(score)).where(of_challenge)).one()
        if ends[0] is None:
            return None
        lowest, highest = (float(end) for end in ends)
        too_low, enough = (self._counts(connection, challenge_id, end) for end in (lowest, highest))
        if not suffices(_percentile(enough)):
            return None
        if suffices(_percentile(too_low)):
            return lowest
        while (between := enough.total - enough.higher - enough.equal - (too_low.total - too_low.higher)) > _MOST_READ:
            middle = _halfway(lowest, highest)
            here = sa.select(sa.func.max(score)).where(of_challenge, score > lowest, score <= middle)
            found = connection.scalars(here).one()
            if found is None:
                lowest = middle
                continue
            counts = self._counts(connection, challenge_id, float(found))
            if suffices(_percentile(counts)):
                highest, enough = float(found), counts
            else:
                lowest, too_low = middle, counts
        if between <= 0:
            return highest
        read = sa.select(score).where(of_challenge, score > lowest, score < highest).distinct().order_by(score)
        left = [float(each) for each in connection.scalars(read)]
        at = bisect_left(
            left, True, key=lambda each: suffices(_percentile(self._counts(connection, challenge_id, each)))
        )
        return left[at] if at < len(left) else highest

    def _counts(self, connection: sa.Connection, challenge_id: str, score: float) -> Counts:
        return counts_of(connection, self._generation, challenge_id, self._dimension, score)

    def _of(self, challenge_id: str) -> sa.ColumnElement[bool]:
        table = scores.c
        return sa.and_(
            table.generation == self._generation,
            table.challenge_id == challenge_id,
            table.dimension == str(self._dimension),
        )


def _percentile(counts: Counts) -> float:
    return place(*counts).percentile


def _halfway(low: float, high: float) -> float:
    """A float with as many floats between it and ``low`` as between it and ``high``, but for one."""
    return _float_at((_position(low) + _position(high)) // 2)


def _position(value: float) -> int:
    """The place of a float among all floats in ascending order; both zeros are at 0."""
    bits = int(np.float64(value).view(np.int64))
    return bits if bits >= 0 else -(bits & _MAGNITUDE)


def _float_at(position: int) -> float:
    return float(np.int64(abs(position)).view(np.float64)) * (1 if position >= 0 else -1)
