"""What the rankings know of the clips of a batch."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from ranking.database.round_trip import among
from ranking.database.tables import clips, scored_clips
from ranking.scores.generations import ACTIVE


class UploadedTo(NamedTuple):
    """Challenge and time of a clip's upload."""

    challenge_id: str
    at_ms: int


class Facts(NamedTuple):
    """What the rankings hold about a batch: the latest ``uploads`` of its clips, by clip; and if any were scored, the
    ``active`` generation and all that are or were, and the scored clips outside the training distribution of the
    active one.
    """

    uploads: Mapping[str, UploadedTo] = {}
    active: str | None = None
    chosen: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()


@lru_cache
def uploaded(dialect: str) -> sa.Select[Any]:
    """Challenge and time of the latest upload of the clips of the parameter ``clips``."""
    uploaded = sa.select(clips.c.clip_id, clips.c.challenge_id, clips.c.uploaded_at_ms)
    return uploaded.where(among(dialect, clips.c.clip_id, "clips"))


@lru_cache
def outside_training(dialect: str) -> sa.Select[Any]:
    """Clips outside the training distribution of the active generation."""
    table = scored_clips.c
    return sa.select(table.clip_id).where(
        table.generation == ACTIVE.scalar_subquery(),
        table.training_distance > 1.0,
        among(dialect, table.clip_id, "clips"),
    )
