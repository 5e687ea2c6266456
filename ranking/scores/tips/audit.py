"""Whether the sums say what the rows of clips say, and sums made again from the rows."""

from collections.abc import Iterator
from itertools import groupby, islice
from typing import Final, NamedTuple

import sqlalchemy as sa

from ranking.database.bulk import insert_rows
from ranking.database.tables import guided_clips, joint_sums, scored_clips
from ranking.scores.runs.places import place_of
from ranking.scores.tips.content import GuidedClip, Sums
from ranking.scores.tips.writing import SumsOf

_ROWS_AT_ONCE: Final = 1000


class SumsDifference(NamedTuple):
    """The guidance of ``counted`` clips is in the sums, where there are ``held``, as the rows have it."""

    generation: str
    challenge_id: str
    joint_layout: str
    counted: int
    held: int

    def __str__(self) -> str:
        where = f"{self.challenge_id} under {self.generation}"
        if self.counted == self.held:
            return f"{where}: the guidance of {self.held} clips with {self.joint_layout} joints differs from its sums"
        what = f"clips with {self.joint_layout} joints"
        return f"{where}: the guidance of {self.counted} {what} is in the sums, {self.held} held"


def sums_differences(connection: sa.Connection) -> Iterator[SumsDifference]:
    """Challenges whose sums differ from the rows, in any bit."""
    counted = {SumsOf(*row) for row in connection.execute(sa.select(*list(joint_sums.primary_key)))}
    for key, held in _of_rows(connection):
        found = _counted(connection, key) if key in counted else key.none()
        counted.discard(key)
        if found.encoded() != held.encoded():
            yield SumsDifference(*key, found.clips, held.clips)
    for key in sorted(counted):
        found = _counted(connection, key)
        if found.encoded() != key.none().encoded():
            yield SumsDifference(*key, found.clips, 0)


def rebuild_sums(connection: sa.Connection) -> None:
    """Drop all sums and make them again from the rows. No other transaction may write meanwhile."""
    connection.execute(sa.delete(joint_sums))
    for key, sums in _of_rows(connection):
        insert_rows(connection, joint_sums, [(*key, *sums.encoded())])


def _of_rows(connection: sa.Connection) -> Iterator[tuple[SumsOf, Sums]]:
    """Of every challenge, then of every style of one."""
    clip, scored = guided_clips.c, scored_clips.c
    for style in (sa.cast(sa.null(), sa.String), scored.style):
        query = (
            sa.select(scored.challenge_id, style.label("of_style"), guided_clips)
            .join(scored_clips, sa.and_(scored.generation == clip.generation, scored.clip_id == clip.clip_id))
            .where(sa.true() if style is not scored.style else style.is_not(None))
            .order_by(clip.generation, scored.challenge_id, sa.text("of_style"), clip.joint_layout)
        )
        rows = (
            (place_of(challenge_id, name), GuidedClip(*of_clip))
            for challenge_id, name, *of_clip in connection.execute(
                query, execution_options={"yield_per": _ROWS_AT_ONCE}
            )
        )
        for key, of_place in groupby(rows, lambda row: SumsOf(row[1].generation, row[0], row[1].joint_layout)):
            sums = key.none()
            while part := [(clip_of, 1) for _, clip_of in islice(of_place, _ROWS_AT_ONCE)]:
                sums = sums.changed(part)
            yield key, sums


def _counted(connection: sa.Connection, key: SumsOf) -> Sums:
    table = joint_sums.c
    query = sa.select(table.clips, table.overall, table.temporal).where(
        table.generation == key.generation,
        table.challenge_id == key.challenge_id,
        table.joint_layout == key.joint_layout,
    )
    row = connection.execute(query).one()
    return Sums.decoded(int(row.clips), row.overall, row.temporal)
