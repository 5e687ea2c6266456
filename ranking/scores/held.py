"""Rows of scored clips that are there, and what a challenge gains and loses when they change."""

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ranking.database.bulk import among
from ranking.database.connection import in_parts
from ranking.database.direct import rows_of
from ranking.database.tables import attended_clips, guided_clips, scored_clips, scores, unranked_scores
from ranking.scores.runs.content import Change
from ranking.scores.runs.periods import minute_of
from ranking.scores.runs.places import places_of
from ranking.scores.runs.writing import ChallengeOf
from ranking.views.clip_styles import clip_style
from schemas.events import ClipScored
from schemas.modalities import MODALITIES, Dimension

_NAMES: Final = {modality: str(Dimension(modality)) for modality in MODALITIES}
_FUSED: Final = str(Dimension.FUSED)


class HeldClip(NamedTuple):
    """A row of ``scored_clips`` with its scores in rankings: score and attention by dimension.

    ``written``: time of upload, partition and offset, of which the greatest wins.
    """

    generation: str
    clip_id: str
    challenge_id: str
    written: tuple[int, int, int]
    scores: dict[str, tuple[float, float | None]]
    style: str | None


ScoresOf = dict[str, tuple[float, float | None]]
"""Score and attention by dimension, as the database keeps them."""


class Changes:
    """What challenges, and their styles, gain and lose in one transaction."""

    def __init__(self) -> None:
        self.by_challenge: dict[ChallengeOf, list[Change]] = {}

    def gained(self, clip: ClipScored, ranked: ScoresOf) -> None:
        """``ranked``: its scores in rankings, if it is in any."""
        change = Change(minute_of(clip.uploaded_at_ms), 1, ranked)
        self._add(clip.generation, clip.challenge_id, clip_style(clip).style, change)

    def lost(self, clips: Iterable[HeldClip]) -> None:
        for clip in clips:
            change = Change(minute_of(clip.written[0]), -1, clip.scores)
            self._add(clip.generation, clip.challenge_id, clip.style, change)

    def _add(self, generation: str, challenge_id: str, style: str | None, change: Change) -> None:
        for place in places_of(challenge_id, style):
            self.by_challenge.setdefault(ChallengeOf(generation, place), []).append(change)


def scores_of(clip: ClipScored) -> ScoresOf:
    """0 for -0, which PostgreSQL would keep and SQLite would not."""
    found: ScoresOf = {_NAMES[name]: (one.score + 0.0, one.attention) for name, one in clip.modalities.items()}
    found[_FUSED] = (clip.fused_score + 0.0, None)
    return found


def held_clips(connection: sa.Connection, clip_ids: Collection[str]) -> list[HeldClip]:
    """Rows of the clips, at most as many as one statement takes, under all generations."""
    of, score = scored_clips.c, scores.c
    query = sa.select(
        *(of.generation, of.clip_id, of.challenge_id, of.style),
        *(of.uploaded_at_ms, of.log_partition, of.log_offset),
    ).where(of.generation.in_(scored_generations(connection)), among(connection, of.clip_id, sorted(clip_ids)))
    found: dict[str, dict[str, HeldClip]] = {}
    for generation, clip_id, challenge_id, style, *written in connection.execute(query):
        at_ms, partition, offset = map(int, written)
        held = HeldClip(generation, clip_id, challenge_id, (at_ms, partition, offset), {}, style)
        found.setdefault(generation, {})[clip_id] = held
    for generation, held_of in found.items():
        query_of_scores = sa.select(score.clip_id, score.dimension, score.score, score.attention).where(
            score.generation == generation, among(connection, score.clip_id, sorted(held_of))
        )
        for row in connection.execute(query_of_scores):
            attention = None if row.attention is None else float(row.attention)
            held_of[row.clip_id].scores[row.dimension] = (float(row.score), attention)
    return [held for held_of in found.values() for held in held_of.values()]


def scored_generations(connection: sa.Connection) -> list[str]:
    """Every generation that has rows of scored clips, from one row of the key for each. An index by clip alone, which
    lists these rows of a clip too, is a page of its own to change with each clip.
    """
    return [generation for (generation,) in rows_of(connection, _GENERATIONS, {}) if generation is not None]


def _each_generation() -> sa.Select[Any]:
    of = scored_clips.c
    first = sa.select(sa.func.min(of.generation).label("generation")).cte("held_generations", recursive=True)
    after = sa.select(sa.func.min(of.generation)).where(of.generation > first.c.generation).scalar_subquery()
    every = first.union_all(sa.select(after).where(first.c.generation.is_not(None)))
    return sa.select(every.c.generation)


_GENERATIONS: Final = _each_generation()


def remove_scored(connection: sa.Connection, generation: str, clip_ids: Collection[str]) -> None:
    """Delete the rows of scored clips, and of their scores, guidance and attention over time, under
    ``generation``.
    """
    for part in in_parts(clip_ids):
        for table in (scores, unranked_scores, guided_clips, attended_clips, scored_clips):
            these = among(connection, table.c.clip_id, part)
            connection.execute(sa.delete(table).where(table.c.generation == generation, these))
