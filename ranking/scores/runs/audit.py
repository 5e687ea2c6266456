"""Whether the runs say what the rows say, and runs made again from the rows."""

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from ranking.database.tables import ranking_parts, ranking_runs, scored_clips, scores
from ranking.scores.runs.content import CLIPS, Change, ChangeList, Sorted, Totals, decode_totals, merged, sum_totals
from ranking.scores.runs.periods import ALL_TIME, minute_of
from ranking.scores.runs.places import parsed, places_of
from ranking.scores.runs.writing import ChallengeOf, add_changes, drop_runs, read_sorted

_ROWS_AT_ONCE = 10_000
_CLIPS_AT_ONCE = 50_000


class Difference(NamedTuple):
    """``counted`` clips, as the runs have it, where there are ``held``, as the rows have it."""

    generation: str
    challenge_id: str
    dimension: str
    counted: int
    held: int

    def __str__(self) -> str:
        what = f"by {self.dimension}" if self.dimension else "scored"
        if self.counted == self.held:
            return f"{self.challenge_id} under {self.generation}: the scores of {self.held} clips {what} differ"
        return f"{self.challenge_id} under {self.generation}: {self.counted} clips counted {what}, {self.held} held"


def differences(connection: sa.Connection) -> Iterator[Difference]:
    """Challenges and dimensions whose counts differ from the rows: clips, scores or attention, bit by bit."""
    for challenge in _challenges(connection):
        totals, counted = _counted(connection, challenge)
        rows = ChangeList.of(_held(connection, challenge))
        held_totals, held = rows.totals(), rows.sorted()
        for name in sorted({*totals, *held_totals}):
            one, other = totals.get(name), held_totals.get(name)
            clips, expected = (0 if total is None else total.clips for total in (one, other))
            equal = (one or (0, 0)) == (other or (0, 0))
            if name != CLIPS:
                equal = equal and _equal(counted.get(name), held.get(name))
            if not equal:
                yield Difference(*challenge, name, clips, expected)


def rebuild(connection: sa.Connection, now_ms: int) -> None:
    """Drop all runs and make them again from the rows. No other transaction may write meanwhile."""
    challenges = _challenges(connection)
    for generation in sorted({challenge.generation for challenge in challenges}):
        drop_runs(connection, generation)
    connection.execute(sa.delete(ranking_parts))
    for challenge in challenges:
        changes = list(_held(connection, challenge))
        for start in range(0, len(changes), _CLIPS_AT_ONCE):
            add_changes(connection, {challenge: changes[start : start + _CLIPS_AT_ONCE]}, minute_of(now_ms))


def _challenges(connection: sa.Connection) -> list[ChallengeOf]:
    """Every challenge and every style of one, by its place."""
    rows = connection.execute(
        sa.select(scored_clips.c.generation, scored_clips.c.challenge_id, scored_clips.c.style).distinct()
    )
    held = {ChallengeOf(row.generation, place) for row in rows for place in places_of(row.challenge_id, row.style)}
    counted = connection.execute(sa.select(ranking_runs.c.generation, ranking_runs.c.challenge_id).distinct())
    return sorted(held | {ChallengeOf(*row) for row in counted})


def _counted(connection: sa.Connection, challenge: ChallengeOf) -> tuple[Totals, dict[str, Sorted]]:
    table = ranking_runs.c
    rows = connection.execute(
        sa.select(table.run, table.totals, table.content).where(
            table.generation == challenge.generation,
            table.challenge_id == challenge.challenge_id,
            table.minutes == ALL_TIME,
        )
    ).all()
    totals = sum_totals(decode_totals(row.totals) for row in rows)
    names = [name for name in totals if name != CLIPS]
    lists = ChangeList.joined([ChangeList.decoded(row.content) for row in rows if row.content is not None]).sorted()
    runs = read_sorted(connection, [row.run for row in rows if row.content is None], names)
    return totals, {name: merged([of[name] for of in (lists, runs) if name in of]) for name in names}


def _held(connection: sa.Connection, challenge: ChallengeOf) -> Iterator[Change]:
    of, score = scored_clips.c, scores.c
    challenge_id, style = parsed(challenge.challenge_id)
    query = (
        sa.select(of.clip_id, of.uploaded_at_ms, score.dimension, score.score, score.attention)
        .outerjoin(
            scores,
            sa.and_(
                score.generation == of.generation,
                score.clip_id == of.clip_id,
                score.challenge_id == of.challenge_id,
            ),
        )
        .where(of.generation == challenge.generation, of.challenge_id == challenge_id)
        .where(sa.true() if style is None else of.style == style)
        .order_by(of.clip_id)
    )
    last: str | None = None
    minute, found = 0, dict[str, tuple[float, float | None]]()
    for row in connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
        if row.clip_id != last:
            if last is not None:
                yield Change(minute, 1, found)
            last, minute, found = row.clip_id, minute_of(int(row.uploaded_at_ms)), {}
        if row.dimension is not None:
            found[row.dimension] = (float(row.score), None if row.attention is None else float(row.attention))
    if last is not None:
        yield Change(minute, 1, found)


def _equal(one: Sorted | None, other: Sorted | None) -> bool:
    pairs = ([] if run is None else [run.scores.tolist(), run.clips.tolist()] for run in (one, other))
    found, expected = ([part for part in pair if part] for pair in pairs)
    return found == expected
