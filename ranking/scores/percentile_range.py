"""Which clips lie in a range of percentiles within their challenges, told by the scores at the ends of the range."""

from collections.abc import Collection, Iterable, Sequence
from math import inf
from typing import Final, NamedTuple

import sqlalchemy as sa

from ranking.database.connection import Database, in_parts
from ranking.database.tables import scores
from ranking.scores.ranks import place
from ranking.scores.runs.reading import counts_of, totals_of
from schemas.modalities import Dimension

_MOST_LISTED: Final = 10_000


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
        totals = totals_of(connection, self._generation, challenge_id)
        total = totals[str(self._dimension)].clips if str(self._dimension) in totals else 0
        if not total:
            return _Range(inf, -inf)
        return _Range(
            -inf if self._low <= 0 else self._least(connection, challenge_id, total),
            inf if self._high >= 100 else self._greatest(connection, challenge_id, total),
        )

    def _least(self, connection: sa.Connection, challenge_id: str, total: int) -> float:
        """The least score whose percentile is at least ``low``.

        The score at the index that the percentile names, counted from the lowest, or the next one has it; one before
        makes up for rounding.
        """
        table = scores.c
        index = min(max(int(self._low / 100 * total) - 1, 0), total - 1)
        score = self._score_at(connection, challenge_id, index, total)
        while score is not None and self._percentile(connection, challenge_id, score) < self._low:
            score = connection.scalars(
                sa.select(sa.func.min(table.score)).where(self._of(challenge_id), table.score > score)
            ).one()
        return inf if score is None else float(score)

    def _greatest(self, connection: sa.Connection, challenge_id: str, total: int) -> float:
        table = scores.c
        index = min(int(self._high / 100 * total) + 1, total - 1)
        score = self._score_at(connection, challenge_id, index, total)
        while score is not None and self._percentile(connection, challenge_id, score) > self._high:
            score = connection.scalars(
                sa.select(sa.func.max(table.score)).where(self._of(challenge_id), table.score < score)
            ).one()
        return -inf if score is None else float(score)

    def _score_at(self, connection: sa.Connection, challenge_id: str, index: int, total: int) -> float | None:
        """Counted from the lowest; read from the nearer end."""
        from_top = index > total // 2
        end = scores.c.score.desc() if from_top else scores.c.score
        ordered = sa.select(scores.c.score).where(self._of(challenge_id)).order_by(end)
        return connection.scalars(ordered.limit(1).offset(total - 1 - index if from_top else index)).one_or_none()

    def _percentile(self, connection: sa.Connection, challenge_id: str, score: float) -> float:
        return place(*counts_of(connection, self._generation, challenge_id, self._dimension, float(score))).percentile

    def _of(self, challenge_id: str) -> sa.ColumnElement[bool]:
        table = scores.c
        return sa.and_(
            table.generation == self._generation,
            table.challenge_id == challenge_id,
            table.dimension == str(self._dimension),
        )
