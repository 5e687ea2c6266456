"""Rows of scored clips that are there, and what a challenge gains and loses when they change."""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ranking.database.bulk import keyed, keys_of
from ranking.database.connection import in_parts
from ranking.database.direct import rows_of
from ranking.database.round_trip import Sending, Step, together
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


def held_clips(sending: Sending, clip_ids: Collection[str], generations: Collection[str]) -> list[HeldClip]:
    """Rows of the clips under the ``generations``."""
    dialect = sending.dialect
    parts = [(generation, part) for generation in sorted(generations) for part in in_parts(clip_ids)]
    rows = sending.rows(*(_step(_held(dialect), dialect, *each) for each in parts))
    found: dict[str, dict[str, HeldClip]] = {}
    for row in (row for rows_of_part in rows for row in rows_of_part):
        written = int(row.uploaded_at_ms), int(row.log_partition), int(row.log_offset)
        held = HeldClip(row.generation, row.clip_id, row.challenge_id, written, {}, row.style)
        found.setdefault(row.generation, {})[row.clip_id] = held
    parts = [(generation, part) for generation, of in found.items() for part in in_parts(of)]
    rows = sending.rows(*(_step(_scores(dialect), dialect, *each) for each in parts))
    for (generation, _), rows_of_part in zip(parts, rows, strict=True):
        for row in rows_of_part:
            attention = None if row.attention is None else float(row.attention)
            found[generation][row.clip_id].scores[row.dimension] = (float(row.score), attention)
    return [held for held_of in found.values() for held in held_of.values()]


def _step(statement: sa.Executable, dialect: str, generation: str, clip_ids: Sequence[str]) -> Step:
    return Step(statement, {"of_generation": generation, "of_clips": keys_of(dialect, clip_ids)})


def _these(dialect: str, table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.generation == sa.bindparam("of_generation", type_=sa.String),
        keyed(dialect, table.c.clip_id, "of_clips"),
    )


@lru_cache
def _held(dialect: str) -> sa.Select[Any]:
    of = scored_clips.c
    columns = (of.generation, of.clip_id, of.challenge_id, of.style, of.uploaded_at_ms, of.log_partition, of.log_offset)
    return sa.select(*columns).where(_these(dialect, scored_clips))


@lru_cache
def _scores(dialect: str) -> sa.Select[Any]:
    of = scores.c
    return sa.select(of.clip_id, of.dimension, of.score, of.attention).where(_these(dialect, scores))


@lru_cache
def _deleting(dialect: str, table: sa.Table) -> sa.Delete:
    return sa.delete(table).where(_these(dialect, table))


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
    together(connection, removing_scored(connection.dialect.name, generation, clip_ids))


def removing_scored(dialect: str, generation: str, clip_ids: Collection[str]) -> list[Step]:
    """``remove_scored`` as steps beside others."""
    tables = (scores, unranked_scores, guided_clips, attended_clips, scored_clips)
    parts = list(in_parts(clip_ids))
    return [_step(_deleting(dialect, table), dialect, generation, part) for part in parts for table in tables]
