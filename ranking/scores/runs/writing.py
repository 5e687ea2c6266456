"""Adds what changed in challenges to their runs, and merges runs, within the transaction that changes the rows.

A transaction adds runs and never changes one, so that workers that write to one challenge do not wait for each other.
Of the runs that are committed, ``FANOUT`` of one level are merged into one of a higher level: a challenge of n clips
has O(log n) runs, and each score is written O(log n) times, most of the time as one of 128 in a row.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ranking.database.bulk import adding, keyed, keys_of
from ranking.database.connection import in_parts
from ranking.database.round_trip import Sending, Step, among
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


Due = tuple[_Place, int]
"""A place that has ``FANOUT`` runs of a level, and the level."""


class _NewRun(NamedTuple):
    place: _Place
    entries: int
    level: int
    totals: Totals
    changes: ChangeList | None
    sorted: Mapping[str, Sorted]


def add_changes(connection: sa.Connection, changes: Mapping[ChallengeOf, Sequence[Change]], minute: int) -> None:
    """Add ``changes`` and merge what became due. ``minute`` is now, since 1970."""
    sending = Sending(connection)
    divided = add_runs(sending, changes, minute)
    due = due_among(sending.rows(*asking_due(sending.dialect, changes)))
    merge_runs(sending, due, divided, minute)
    sending.flush()


def add_runs(sending: Sending, changes: Mapping[ChallengeOf, Sequence[Change]], minute: int) -> set[ChallengeOf]:
    """Add ``changes``; returns the challenges whose runs were divided by periods. ``minute`` is now, since 1970."""
    lists = {challenge: ChangeList.of(changes[challenge]) for challenge in sorted(changes)}
    new = [run for challenge, added in lists.items() if len(added) for run in _runs_of(challenge, added, minute)]
    _insert(sending, new)
    return {run.place.challenge for run in new if run.place.period != ALL}


def merge_runs(sending: Sending, due: Sequence[Due], divided: Collection[ChallengeOf], minute: int) -> None:
    """Merge what is ``due``, and then becomes so, and tidy the periods of challenges that were ``divided``. What is
    written last may wait to be sent.
    """
    divided = {*divided, *_merge_due(sending, due, minute)}
    for challenge in sorted(divided):
        _tidy_periods(sending, challenge, minute)


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


def _insert(sending: Sending, new: Iterable[_NewRun]) -> None:
    runs: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    for place, entries, level, totals, changes, by_dimension in new:
        number = secrets.randbits(63)
        content = None if changes is None else changes.encoded()
        runs.append((*place.challenge, *place.period, number, entries, level, encode_totals(totals), content))
        rows += ((number, name, *part) for name, run in by_dimension.items() for part in parts(run))
    adding(sending, ranking_runs, runs)
    adding(sending, ranking_parts, rows)


def _merge_due(sending: Sending, due: Sequence[Due], minute: int) -> set[ChallengeOf]:
    """Merge until nothing is due, or enough was done for one transaction: the next one does the rest. Returns the
    challenges of which short runs were divided by periods.
    """
    left = _MERGED_AT_ONCE
    divided: set[ChallengeOf] = set()
    while due:
        grown: set[ChallengeOf] = set()
        for place, level in due:
            if left > 0 and (entries := _merge(sending, place, level, minute)):
                left -= entries
                grown.add(place.challenge)
                if place.period == ALL and level == SORTED_LEVEL - 1:
                    divided.add(place.challenge)
        # Without any, other transactions are merging these.
        due = due_among(sending.rows(*asking_due(sending.dialect, grown)))
    return divided


def _tidy_periods(sending: Sending, challenge: ChallengeOf, minute: int) -> None:
    """Drop periods that no window needs any more, and make one run of each that is over, if that is worth it."""
    sending.flush()
    connection = sending.connection
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
        _merge_period(sending, _Place(challenge, Period(minutes, start)))


def asking_due(dialect: str, challenges: Iterable[ChallengeOf]) -> list[Step]:
    """For the places of the challenges with ``FANOUT`` runs of a level; ``due_among`` takes their rows."""
    by_generation: dict[str, list[str]] = {}
    for generation, challenge_id in challenges:
        by_generation.setdefault(generation, []).append(challenge_id)
    return [
        Step(_due(dialect), {"of_generation": generation, "of_challenges": keys_of(dialect, part)})
        for generation, challenge_ids in by_generation.items()
        for part in in_parts(challenge_ids)
    ]


def due_among(found: Iterable[Sequence[Any]]) -> list[Due]:
    """What ``asking_due`` asked for, the lowest level first."""
    due = [
        (_Place(ChallengeOf(row.generation, row.challenge_id), Period(row.minutes, row.start)), int(row.level))
        for rows in found
        for row in rows
    ]
    return sorted(due, key=lambda each: (each[1], each[0]))


@lru_cache
def _due(dialect: str) -> sa.Select[Any]:
    table = ranking_runs.c
    of = (table.generation, table.challenge_id, table.minutes, table.start, table.level)
    generation = table.generation == sa.bindparam("of_generation", type_=sa.String)
    return (
        sa.select(*of)
        .where(generation, keyed(dialect, table.challenge_id, "of_challenges"))
        .group_by(*of)
        .having(sa.func.count() >= FANOUT)
    )


def _merge(sending: Sending, place: _Place, level: int, minute: int) -> int:
    """Merge the runs of ``level`` that no other transaction is merging; returns how many entries they had."""
    old = _locked(sending, place, level)
    if len(old) < FANOUT:
        return 0
    if level < SORTED_LEVEL and place.period == ALL:
        changes = ChangeList.joined([ChangeList.decoded(row.content) for row in old]).cancelled()
        new = list(_runs_of(place.challenge, changes, minute)) if len(changes) else []
    else:
        new = _merged(sending.connection, place, old)
    _drop(sending, place, [row.run for row in old])
    _insert(sending, new)
    return sum(int(row.entries) for row in old)


def _merge_period(sending: Sending, place: _Place) -> None:
    """Merge all runs of a period."""
    old = _locked(sending, place, None)
    if len(old) > 1:
        new = _merged(sending.connection, place, old)
        _drop(sending, place, [row.run for row in old])
        _insert(sending, new)


def _locked(sending: Sending, place: _Place, level: int | None) -> Sequence[Any]:
    of_level = {} if level is None else {"of_level": level}
    (rows,) = sending.rows(Step(_locking(any_level=level is None), _values(place) | of_level))
    return rows


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


def _drop(sending: Sending, place: _Place, runs: Sequence[int]) -> None:
    these = {"of_runs": list(runs)}
    sending.add(Step(_dropping_parts(sending.dialect), these))
    sending.add(Step(_dropping(sending.dialect), _values(place) | these))


def _values(place: _Place) -> dict[str, Any]:
    """The parameters of ``_AT``."""
    return {
        "of_generation": place.challenge.generation,
        "of_challenge": place.challenge.challenge_id,
        "of_minutes": place.period.minutes,
        "of_start": place.period.start,
    }


_AT: Final = sa.and_(
    ranking_runs.c.generation == sa.bindparam("of_generation", type_=sa.String),
    ranking_runs.c.challenge_id == sa.bindparam("of_challenge", type_=sa.String),
    ranking_runs.c.minutes == sa.bindparam("of_minutes", type_=sa.Integer),
    ranking_runs.c.start == sa.bindparam("of_start", type_=sa.Integer),
)


@lru_cache
def _locking(*, any_level: bool) -> sa.Select[Any]:
    table = ranking_runs.c
    level = sa.true() if any_level else table.level == sa.bindparam("of_level", type_=sa.Integer)
    query = sa.select(table.run, table.entries, table.totals, table.content).where(_AT, level)
    return query.with_for_update(skip_locked=True)


@lru_cache
def _dropping_parts(dialect: str) -> sa.Delete:
    return sa.delete(ranking_parts).where(among(dialect, ranking_parts.c.run, "of_runs"))


@lru_cache
def _dropping(dialect: str) -> sa.Delete:
    return sa.delete(ranking_runs).where(_AT, among(dialect, ranking_runs.c.run, "of_runs"))
