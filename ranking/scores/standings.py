"""Ranks of clips in their challenges by every dimension that they have, from counts over ranges of one index."""

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa

from ranking.database.tables import scores
from ranking.scores.ranks import Place, place
from schemas.modalities import DIMENSIONS, Dimension


class Standing(NamedTuple):
    """``place`` is among ``clips`` clips of the challenge that have the dimension; the fused score has no attention."""

    challenge_id: str
    place: Place
    clips: int
    score: float
    attention: float | None


def standings(
    connection: sa.Connection, clip_ids: Collection[str], generation: str
) -> dict[str, dict[Dimension, Standing]]:
    """By clip and dimension, in the order of ``DIMENSIONS``; without clips that have no scores of this generation."""
    own, other = scores.alias("own"), scores.alias("other")
    query = (
        sa.select(
            own.c.clip_id,
            own.c.challenge_id,
            own.c.dimension,
            own.c.score,
            own.c.attention,
            sa.func.count().filter(other.c.score > own.c.score).label("higher"),
            sa.func.count().filter(other.c.score == own.c.score).label("equal"),
            sa.func.count().label("total"),
        )
        .join(
            other,
            sa.and_(
                other.c.generation == own.c.generation,
                other.c.challenge_id == own.c.challenge_id,
                other.c.dimension == own.c.dimension,
            ),
        )
        .where(
            own.c.generation == generation,
            own.c.clip_id.in_(sorted(clip_ids)),
            own.c.dimension.in_([str(dimension) for dimension in DIMENSIONS]),  # a newer release may have written more
        )
        .group_by(own.c.clip_id, own.c.challenge_id, own.c.dimension, own.c.score, own.c.attention)
    )
    found: dict[str, dict[Dimension, Standing]] = {}
    for row in connection.execute(query):
        found.setdefault(row.clip_id, {})[Dimension(row.dimension)] = Standing(
            row.challenge_id,
            place(int(row.higher), int(row.equal), int(row.total)),
            int(row.total),
            float(row.score),
            None if row.attention is None else float(row.attention),
        )
    return {clip_id: {d: stands[d] for d in DIMENSIONS if d in stands} for clip_id, stands in found.items()}
