"""Adds what changed in challenges to their runs, and merges runs, within the transaction that changes the rows.

A transaction adds runs and never changes one, so that workers that write to one challenge do not wait for each other.
Of the runs that are committed, ``FANOUT`` of one level are merged into one of a higher level: a challenge of n clips
has O(log n) runs, and each score is written O(log n) times, most of the time as one of 128 in a row.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ranking.database.bulk import insert_rows
from ranking.database.connection import in_parts
from ranking.database.tables import ranking_parts, ranking_runs
from ranking.scores.runs.content import (
    CLIPS,
    Change,
    ChangeList,
    Sorted,
    Totals,
    decode_totals,
    encode_totals,
    merged,
    parts,
    sorted_of,
    sum_totals,
)
from ranking.scores.runs.periods import ALL, KEPT, Period

FANOUT: Final = 4
SORTED_LEVEL: Final = 3
"""Runs below this level are lists of changes, shorter than ``FANOUT ** SORTED_LEVEL``."""

_WORTH: Final = 16
_MERGED_AT_ONCE: Final = 200_000
"""Entries: beyond these a transaction begins no further merge; the next one does."""


class ChallengeOf(NamedTuple):
    generation: str
    challenge_id: str


class _Place(NamedTuple):
    """Where a run belongs."""

    challenge: ChallengeOf
    period: Period


class _NewRun(NamedTuple):
    place: _Place
    entries: int
    level: int
    totals: Totals
    changes: ChangeList | None
    sorted: Mapping[str, Sorted]


def add_changes(connection: sa.Connection, changes: Mapping[ChallengeOf, Sequence[Change]], minute: int) -> None:
    """Add ``changes`` and merge what became due. ``minute`` is now, since 1970."""
    lists = {challenge: ChangeList.of(changes[challenge]) for challenge in sorted(changes)}
    new = [run for challenge, added in lists.items() if len(added) for run in _runs_of(challenge, added, minute)]
    _insert(connection, new)
    if new:
        divided = {run.place.challenge for run in new if run.place.period != ALL}
        divided |= _merge_due(connection, lists, minute)
        for challenge in sorted(divided):
            _tidy_periods(connection, challenge, minute)


def drop_empty(connection: sa.Connection, challenges: Iterable[ChallengeOf]) -> None:
    """Drop the runs of those without clips: all that was added to them is removed. No other transaction may write."""
    table = ranking_runs.c
    for challenge in challenges:
        of = sa.and_(table.generation == challenge.generation, table.challenge_id == challenge.challenge_id)
        all_time = connection.scalars(sa.select(table.totals).where(of, table.minutes == ALL.minutes)).all()
        totals = sum_totals(map(decode_totals, all_time))
        if not any(total.clips for total in totals.values()):
            runs = sa.select(table.run).where(of)
            connection.execute(sa.delete(ranking_parts).where(ranking_parts.c.run.in_(runs)))
            connection.execute(sa.delete(ranking_runs).where(of))


def drop_runs(connection: sa.Connection, generation: str) -> None:
    """Drop every run of ``generation``."""
    of = ranking_runs.c.generation == generation
    connection.execute(sa.delete(ranking_parts).where(ranking_parts.c.run.in_(sa.select(ranking_runs.c.run).where(of))))
    connection.execute(sa.delete(ranking_runs).where(of))


def _runs_of(challenge: ChallengeOf, changes: ChangeList, minute: int) -> Iterable[_NewRun]:
    """A short list as it is; a long one sorted, and once more for each period that is recent."""
    if _level(len(changes)) < SORTED_LEVEL:
        yield _short(_Place(challenge, ALL), changes)
        return
    yield _sorted(_Place(challenge, ALL), changes.sorted(), changes.totals(), len(changes))
    for minutes, kept in KEPT.items():
        oldest = minute - kept
        for start, within in changes.since(oldest - oldest % minutes).by_period(minutes):
            place = _Place(challenge, Period(minutes, start))
            if _level(len(within)) < SORTED_LEVEL:
                yield _short(place, within)
            else:
                yield _sorted(place, within.sorted(), within.totals(), len(within))


def _short(place: _Place, changes: ChangeList) -> _NewRun:
    return _NewRun(place, len(changes), _level(len(changes)), changes.totals(), changes, {})


def _sorted(place: _Place, by_dimension: Mapping[str, Sorted], totals: Totals, entries: int) -> _NewRun:
    return _NewRun(place, entries, max(_level(entries), SORTED_LEVEL), totals, None, by_dimension)


def _level(entries: int) -> int:
    """The power of ``FANOUT`` that a run of ``entries`` has reached."""
    level = 0
    while (entries := entries // FANOUT) > 0:
        level += 1
    return level


def _insert(connection: sa.Connection, new: Iterable[_NewRun]) -> None:
    runs: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    for place, entries, level, totals, changes, by_dimension in new:
        number = secrets.randbits(63)
        content = None if changes is None else changes.encoded()
        runs.append((*place.challenge, *place.period, number, entries, level, encode_totals(totals), content))
        rows += ((number, name, *part) for name, run in by_dimension.items() for part in parts(run))
    insert_rows(connection, ranking_runs, runs)
    insert_rows(connection, ranking_parts, rows)


def _merge_due(connection: sa.Connection, challenges: Iterable[ChallengeOf], minute: int) -> set[ChallengeOf]:
    """Merge until nothing is due, or enough was done for one transaction: the next one does the rest. Returns the
    challenges of which short runs were divided by periods.
    """
    left = _MERGED_AT_ONCE
    divided: set[ChallengeOf] = set()
    while due := _due(connection, challenges):
        grown: set[ChallengeOf] = set()
        for place, level in due:
            if left > 0 and (entries := _merge(connection, place, level, minute)):
                left -= entries
                grown.add(place.challenge)
                if place.period == ALL and level == SORTED_LEVEL - 1:
                    divided.add(place.challenge)
        challenges = grown
        if not grown:  # other transactions are merging these
            break
    return divided


def _tidy_periods(connection: sa.Connection, challenge: ChallengeOf, minute: int) -> None:
    """Drop periods that no window needs any more, and make one run of each that is over, if that is worth it."""
    table = ranking_runs.c
    of = sa.and_(table.generation == challenge.generation, table.challenge_id == challenge.challenge_id)
    old = sa.or_(*(sa.and_(table.minutes == length, table.start < minute - kept) for length, kept in KEPT.items()))
    runs = connection.scalars(sa.select(table.run).where(of, old).with_for_update(skip_locked=True)).all()
    if runs:
        connection.execute(sa.delete(ranking_parts).where(ranking_parts.c.run.in_(runs)))
        connection.execute(sa.delete(ranking_runs).where(of, table.run.in_(runs)))
    over = (
        sa.select(table.minutes, table.start)
        .where(of, table.minutes > ALL.minutes, table.start + table.minutes <= minute)
        .group_by(table.minutes, table.start)
        .having(
            sa.func.count() > 1,
            # Less would be written again for each clip that comes late.
            (sa.func.sum(table.entries) - sa.func.max(table.entries)) * _WORTH >= sa.func.sum(table.entries),
        )
    )
    for minutes, start in connection.execute(over).all():
        _merge_period(connection, _Place(challenge, Period(minutes, start)))


def _due(connection: sa.Connection, challenges: Iterable[ChallengeOf]) -> list[tuple[_Place, int]]:
    """Places with ``FANOUT`` runs of a level, the lowest level first."""
    table = ranking_runs.c
    by_generation: dict[str, list[str]] = {}
    for generation, challenge_id in challenges:
        by_generation.setdefault(generation, []).append(challenge_id)
    found = []
    for generation, challenge_ids in by_generation.items():
        for part in in_parts(challenge_ids):
            query = (
                sa.select(table.challenge_id, table.minutes, table.start, table.level)
                .where(table.generation == generation, table.challenge_id.in_(part))
                .group_by(table.challenge_id, table.minutes, table.start, table.level)
                .having(sa.func.count() >= FANOUT)
            )
            found += [
                (_Place(ChallengeOf(generation, row.challenge_id), Period(row.minutes, row.start)), int(row.level))
                for row in connection.execute(query)
            ]
    return sorted(found, key=lambda each: (each[1], each[0]))


def _merge(connection: sa.Connection, place: _Place, level: int, minute: int) -> int:
    """Merge the runs of ``level`` that no other transaction is merging; returns how many entries they had."""
    old = _locked(connection, place, level)
    if len(old) < FANOUT:
        return 0
    if level < SORTED_LEVEL and place.period == ALL:
        changes = ChangeList.joined([ChangeList.decoded(row.content) for row in old]).cancelled()
        new = list(_runs_of(place.challenge, changes, minute)) if len(changes) else []
    else:
        new = _merged(connection, place, old)
    _drop(connection, place, [row.run for row in old])
    _insert(connection, new)
    return sum(int(row.entries) for row in old)


def _merge_period(connection: sa.Connection, place: _Place) -> None:
    """Merge all runs of a period."""
    old = _locked(connection, place, None)
    if len(old) > 1:
        new = _merged(connection, place, old)
        _drop(connection, place, [row.run for row in old])
        _insert(connection, new)


def _locked(connection: sa.Connection, place: _Place, level: int | None) -> Sequence[Any]:
    table = ranking_runs.c
    query = sa.select(table.run, table.entries, table.totals, table.content).where(
        _at(place), sa.true() if level is None else table.level == level
    )
    return connection.execute(query.with_for_update(skip_locked=True)).all()


def _merged(connection: sa.Connection, place: _Place, old: Sequence[Any]) -> list[_NewRun]:
    """One run of short and sorted ones, if anything is left of them."""
    lists = ChangeList.joined([ChangeList.decoded(row.content) for row in old if row.content is not None]).cancelled()
    runs = [row.run for row in old if row.content is None]
    if not runs and _level(len(lists)) < SORTED_LEVEL:
        return [_short(place, lists)] if len(lists) else []
    totals = sum_totals(decode_totals(row.totals) for row in old)
    in_parts_of, in_lists = read_sorted(connection, runs, totals), lists.sorted()
    by_dimension = {
        name: merged([of[name] for of in (in_parts_of, in_lists) if name in of]) for name in totals if name != CLIPS
    }
    longest = max((int(abs(run.clips).sum()) for run in by_dimension.values()), default=0)
    left = max(longest, abs(totals[CLIPS].clips))
    return [_sorted(place, by_dimension, totals, left)] if left else []


def read_sorted(connection: sa.Connection, runs: Sequence[int], dimensions: Iterable[str]) -> dict[str, Sorted]:
    """The sums of ``runs`` by each of the ``dimensions``, read at once: each query is a wait for the database."""
    table = ranking_parts.c
    query = sa.select(table.dimension, table.run, table.first_score, table.content)
    by_run: dict[tuple[str, int], list[tuple[float, bytes]]] = {}
    for row in connection.execute(query.where(table.run.in_(runs))) if runs else ():
        by_run.setdefault((row.dimension, row.run), []).append((row.first_score, row.content))
    return {
        dimension: merged(
            [sorted_of([content for _, content in sorted(by_run.get((dimension, run), ()))]) for run in runs]
        )
        for dimension in dimensions
        if dimension != CLIPS
    }


def _drop(connection: sa.Connection, place: _Place, runs: Sequence[int]) -> None:
    connection.execute(sa.delete(ranking_parts).where(ranking_parts.c.run.in_(runs)))
    connection.execute(sa.delete(ranking_runs).where(_at(place), ranking_runs.c.run.in_(runs)))


def _at(place: _Place) -> sa.ColumnElement[bool]:
    table = ranking_runs.c
    return sa.and_(
        table.generation == place.challenge.generation,
        table.challenge_id == place.challenge.challenge_id,
        table.minutes == place.period.minutes,
        table.start == place.period.start,
    )
