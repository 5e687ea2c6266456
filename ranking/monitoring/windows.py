"""Observed and predicted virality of each challenge's clips, from the database."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import sqlalchemy as sa

from ranking.database.tables import engagement, scored_clips, scores
from ranking.monitoring.agreement import ChallengeWindow
from ranking.monitoring.calibration import Bounds
from schemas.modalities import DIMENSIONS


def challenge_windows(
    connection: sa.Connection, generation: str, *, most_clips: int, least_clips: int, least_days: float
) -> Iterator[ChallengeWindow]:
    """For each challenge the ``most_clips`` clips that were observed last, by challenge.

    Only clips that were counted at ``least_days`` days or older and that ``generation`` scored; challenges in which
    fewer than ``least_clips`` clips were observed at all are left out.
    """
    count = sa.func.count()
    observed = (
        sa.select(engagement.c.challenge_id, count)
        .group_by(engagement.c.challenge_id)
        .having(count >= least_clips)
        .order_by(engagement.c.challenge_id)
    )
    for challenge_id, of_challenge in connection.execute(observed).all():
        parameters = {
            "challenge": challenge_id,
            "of_generation": generation,
            "least_days": least_days,
            "most_clips": most_clips,
        }
        rows = connection.execute(_LATEST, parameters).all()
        table = np.array(rows, np.float64).reshape(-1, 1 + len(DIMENSIONS))
        yield ChallengeWindow(
            challenge_id, table[:, 1:], table[:, 0], challenge_bounds(connection, challenge_id), int(of_challenge)
        )


def challenge_bounds(connection: sa.Connection, challenge_id: str) -> Bounds:
    """The bounds of Eq. (2) of a challenge, (0, 0) if nothing was observed in it.

    They are the two ends of the challenge in an index, which every write keeps: nothing else has to be counted along.
    """
    row = connection.execute(_BOUNDS, {"challenge": challenge_id}).one()
    return Bounds(float(row.lowest or 0.0), float(row.highest or 0.0))


def _latest() -> sa.Select[*tuple[float | None, ...]]:
    """Virality and the scores of a challenge's latest clips, a column per dimension, null where there is none."""
    of_generation = sa.bindparam("of_generation", type_=sa.String)
    # A join would let SQLite begin with all clips of the generation; this leaves it the challenge's index.
    scored = (
        sa.exists()
        .where(scored_clips.c.generation == of_generation, scored_clips.c.clip_id == engagement.c.clip_id)
        .correlate(engagement)
    )
    latest = (
        sa.select(engagement.c.clip_id, engagement.c.virality)
        .where(
            engagement.c.challenge_id == sa.bindparam("challenge", type_=sa.String),
            engagement.c.days_online >= sa.bindparam("least_days", type_=sa.Double),
            scored,
        )
        .order_by(engagement.c.observed_at_ms.desc(), engagement.c.clip_id)
        .limit(sa.bindparam("most_clips", type_=sa.Integer))
        .subquery()
    )
    joined: sa.FromClause = latest
    columns: list[sa.ColumnElement[float]] = [latest.c.virality]
    for dimension in DIMENSIONS:
        of_dimension = scores.alias(f"of_{dimension}")
        joined = joined.outerjoin(
            of_dimension,
            sa.and_(
                of_dimension.c.generation == of_generation,
                of_dimension.c.clip_id == latest.c.clip_id,
                of_dimension.c.dimension == str(dimension),
            ),
        )
        columns.append(of_dimension.c.score)
    return sa.select(*columns).select_from(joined)


def _bounds() -> sa.Select[float | None, float | None]:
    # Two queries in one: each is one look at an end of the index, where asked together they would read all of it.
    of_challenge = engagement.c.challenge_id == sa.bindparam("challenge", type_=sa.String)
    lowest = sa.select(sa.func.min(engagement.c.virality)).where(of_challenge).scalar_subquery()
    highest = sa.select(sa.func.max(engagement.c.virality)).where(of_challenge).scalar_subquery()
    return sa.select(lowest.label("lowest"), highest.label("highest"))


_LATEST: Final = _latest()
_BOUNDS: Final = _bounds()
