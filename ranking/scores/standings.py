"""Ranks of clips in their challenges by every dimension that they have, counted from the runs of the challenges."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ranking.database.round_trip import Step
from ranking.scores.ranks import Place, place
from ranking.scores.runs.periods import Since
from ranking.scores.runs.reading import Scored, asking_scored_of, scored_among, scored_of
from schemas.modalities import DIMENSIONS, Dimension

_NAMES: Final = [str(dimension) for dimension in DIMENSIONS]
"""By which scores are asked for: a newer release may have written more."""


class Standing(NamedTuple):
    """``place`` is among ``clips`` clips of the challenge that have the dimension; the fused score has no attention."""

    challenge_id: str
    place: Place
    clips: int
    score: float
    attention: float | None


def standings(
    connection: sa.Connection, clip_ids: Collection[str], generation: str, since: Since | None = None
) -> dict[str, dict[Dimension, Standing]]:
    """By clip and dimension, in the order of ``DIMENSIONS``; without clips that have no scores of this generation, or
    are from before the window.

    One statement for all clips, as of one moment: in time O(log n) for each clip in a challenge of n.
    """
    return _by_clip(scored_of(connection, clip_ids, generation, _NAMES, since))


def asking(dialect: str, clip_ids: Collection[str], generation: str) -> Step:
    """``standings`` as a step beside others; ``answered`` takes its rows."""
    return Step(*asking_scored_of(dialect, clip_ids, generation, _NAMES))


def answered(rows: Iterable[Sequence[Any]]) -> dict[str, dict[Dimension, Standing]]:
    """What ``asking`` asked for."""
    return _by_clip(scored_among(rows))


def _by_clip(scored: Iterable[Scored]) -> dict[str, dict[Dimension, Standing]]:
    found: dict[str, dict[Dimension, Standing]] = {}
    for clip in scored:
        found.setdefault(clip.clip_id, {})[Dimension(clip.dimension)] = Standing(
            clip.challenge_id, place(*clip.counts), clip.counts.total, clip.score, clip.attention
        )
    return {clip_id: {d: stands[d] for d in DIMENSIONS if d in stands} for clip_id, stands in found.items()}
