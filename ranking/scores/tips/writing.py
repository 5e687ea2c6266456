"""Adds what the clips of a challenge gained and lost to its sums, within the transaction that changes the rows.

A challenge has one row of sums in each joint layout, however many clips it has. Transactions lock rows in the order of
their keys, after all rows of clips, so that workers cannot deadlock.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ranking.database.bulk import adding, keyed, keys_of
from ranking.database.connection import in_parts
from ranking.database.round_trip import Sending, Step
from ranking.database.tables import guided_clips, joint_sums
from ranking.scores.held import HeldClip
from ranking.scores.runs.places import places_of
from ranking.scores.tips.content import GuidedClip, Sums, guided
from ranking.views.clip_styles import clip_style
from schemas.events import ClipScored
from schemas.joints import LAYOUTS

_UNLESS_THERE: Final = "ON CONFLICT (generation, challenge_id, joint_layout) DO NOTHING"
_IN_ITS_PLACE: Final = (
    "ON CONFLICT (generation, challenge_id, joint_layout) DO UPDATE SET"
    " clips = excluded.clips, overall = excluded.overall, temporal = excluded.temporal"
)


class SumsOf(NamedTuple):
    """The key of a row of sums; ``challenge_id`` may be the place of a style (``ranking.scores.runs.places``)."""

    generation: str
    challenge_id: str
    joint_layout: str

    def none(self) -> Sums:
        return Sums.none(LAYOUTS[self.joint_layout].joint_count)


class JointChanges:
    """Clips with guidance that challenges gain (1) and lose (-1) in one transaction."""

    def __init__(self) -> None:
        self.by_sums: dict[SumsOf, list[tuple[GuidedClip, int]]] = {}

    def gained(self, clips: Iterable[ClipScored]) -> list[GuidedClip]:
        """Returns the rows of ``guided_clips`` to insert."""
        rows = []
        for clip in clips:
            if (found := guided(clip)) is not None:
                self._add(found, places_of(clip.challenge_id, clip_style(clip).style), 1)
                rows.append(found)
        return rows

    def lost(self, sending: Sending, held: Iterable[HeldClip]) -> None:
        """Call it while their rows are there."""
        places: dict[str, dict[str, tuple[str, ...]]] = {}
        for clip in held:
            places.setdefault(clip.generation, {})[clip.clip_id] = places_of(clip.challenge_id, clip.style)
        parts = [(generation, part) for generation, of in places.items() for part in in_parts(of)]
        steps = (_step(_guided(sending.dialect), sending.dialect, *each) for each in parts)
        for (generation, _), rows in zip(parts, sending.rows(*steps), strict=True):
            for row in rows:
                found = GuidedClip(*row)
                self._add(found, places[generation][found.clip_id], -1)

    def _add(self, clip: GuidedClip, places: Iterable[str], sign: int) -> None:
        for place in places:
            key = SumsOf(clip.generation, place, clip.joint_layout)
            self.by_sums.setdefault(key, []).append((clip, sign))


def add_joints(sending: Sending, changes: JointChanges) -> None:
    """Add ``changes`` to the sums."""
    keys = sorted(changes.by_sums)
    # Rows that are missing are made first: none can be locked before it is there.
    adding(sending, joint_sums, [(*key, *key.none().encoded()) for key in keys], _UNLESS_THERE)
    found = _locked(sending, keys)
    changed = [(*key, *found[key].changed(changes.by_sums[key]).encoded()) for key in keys]
    adding(sending, joint_sums, changed, _IN_ITS_PLACE)


def drop_empty_sums(connection: sa.Connection, changes: JointChanges) -> None:
    """Drop the rows that have no clips left. No other transaction may write."""
    for key in changes.by_sums:
        connection.execute(sa.delete(joint_sums).where(_at(key), joint_sums.c.clips == 0))


def drop_sums(connection: sa.Connection, generation: str) -> None:
    """Drop every row of ``generation``. No other transaction may write."""
    connection.execute(sa.delete(joint_sums).where(joint_sums.c.generation == generation))


def _locked(sending: Sending, keys: Sequence[SumsOf]) -> dict[SumsOf, Sums]:
    challenges: dict[str, list[str]] = {}
    for key in keys:
        challenges.setdefault(key.generation, []).append(key.challenge_id)
    parts = [(generation, part) for generation, of in challenges.items() for part in in_parts(of)]
    found: dict[SumsOf, Sums] = {}
    for rows in sending.rows(*(_step(_locking(sending.dialect), sending.dialect, *each) for each in parts)):
        for *of_row, clips, overall, temporal in rows:
            found[SumsOf(*of_row)] = Sums.decoded(int(clips), overall, temporal)
    return found


def _step(statement: sa.Executable, dialect: str, generation: str, keys: Sequence[str]) -> Step:
    return Step(statement, {"of_generation": generation, "of_keys": keys_of(dialect, keys)})


@lru_cache
def _guided(dialect: str) -> sa.Select[Any]:
    table = guided_clips.c
    return sa.select(guided_clips).where(_under(table.generation), keyed(dialect, table.clip_id, "of_keys"))


@lru_cache
def _locking(dialect: str) -> sa.Select[Any]:
    table = joint_sums.c
    return (
        sa.select(joint_sums)
        .where(_under(table.generation), keyed(dialect, table.challenge_id, "of_keys"))
        .order_by(table.challenge_id, table.joint_layout)
        .with_for_update()
    )


def _under(column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return column == sa.bindparam("of_generation", type_=sa.String)


def _at(key: SumsOf) -> sa.ColumnElement[bool]:
    table = joint_sums.c
    return sa.and_(
        table.generation == key.generation,
        table.challenge_id == key.challenge_id,
        table.joint_layout == key.joint_layout,
    )
