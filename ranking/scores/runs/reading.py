"""Counts of higher and of equal scores in a challenge, and the scores around one, from its runs.

One statement reads the runs of a challenge, and of each sorted run the part that decides and those beside it. So they
are of one moment in every transaction, and of a challenge of n clips O(log n) rows are read.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ranking.database.tables import ranking_runs
from ranking.scores.runs.content import ChangeList, Totals, count_in_part, decode_totals, sum_totals
from ranking.scores.runs.periods import ALL_TIME, Since
from ranking.scores.runs.statements import of_clips, of_scores, parameters, runs_within
from ranking.scores.runs.surroundings import SortedParts, Surroundings


class Counts(NamedTuple):
    """Of ``total`` scores in a ranking ``higher`` exceed one score and ``equal`` equal it."""

    higher: int
    equal: int
    total: int


class Scored(NamedTuple):
    """A score of a clip in a challenge, and where it stands."""

    clip_id: str
    dancer_id: str
    challenge_id: str
    dimension: str
    score: float
    attention: float | None
    counts: Counts


class _Run(NamedTuple):
    totals: Totals
    changes: ChangeList | None
    """``None``: it is sorted, in parts."""


class _Found(NamedTuple):
    """What one statement read: scores asked about, runs by challenge, and parts by run, clip and dimension."""

    own: list[Any]
    runs: dict[str, dict[int, _Run]]
    parts: dict[tuple[int, str, str], SortedParts]


def scored_of(
    connection: sa.Connection,
    clip_ids: Collection[str],
    generation: str,
    dimensions: Collection[str],
    since: Since | None = None,
) -> list[Scored]:
    """Every score of the clips in the dimensions, among all clips, or among those since then if they are of them."""
    asked = {"of_generation": generation, "of_clips": sorted(clip_ids), "of_dimensions": sorted(dimensions)}
    statement = of_clips(within=since is not None, around=False)
    found = _read(connection.execute(statement, asked | parameters(since)), since)
    return [_scored(found, row) for row in found.own]


def counts_of(connection: sa.Connection, generation: str, challenge_id: str, dimension: str, score: float) -> Counts:
    """Counts for any score, which need not be there."""
    asked = {"of_generation": generation, "of_challenge": challenge_id, "of_dimension": dimension, "of_score": score}
    found = _read(connection.execute(of_scores(within=False, around=False), asked), None)
    return _scored(found, found.own[0]).counts


def around_clip(
    connection: sa.Connection, clip_id: str, generation: str, dimension: str, since: Since | None
) -> tuple[Scored, Surroundings] | None:
    """A clip's score and those around it; ``None`` if it has none, or none since then."""
    asked = {"of_generation": generation, "of_clips": [clip_id], "of_dimensions": [dimension]}
    statement = of_clips(within=since is not None, around=True)
    found = _read(connection.execute(statement, asked | parameters(since)), since)
    return (_scored(found, found.own[0]), _surroundings(found, found.own[0])) if found.own else None


def around_score(
    connection: sa.Connection,
    generation: str,
    challenge_id: str,
    dimension: str,
    score: float,
    since: Since | None,
) -> tuple[Counts, Surroundings]:
    """Any score, which need not be there, and those around it; an infinite one has the highest or lowest beside it."""
    asked: dict[str, Any] = {"of_generation": generation, "of_challenge": challenge_id, "of_dimension": dimension}
    asked |= {"of_score": score} | parameters(since)
    found = _read(connection.execute(of_scores(within=since is not None, around=True), asked), since)
    return _scored(found, found.own[0]).counts, _surroundings(found, found.own[0])


def next_scores(
    connection: sa.Connection,
    place: tuple[str, str, str],
    first: Surroundings,
    clips: int,
    since: Since | None,
    *,
    higher: bool,
) -> list[tuple[float, int]]:
    """Distinct scores beyond that of ``first``, the nearest first, with the clips that have each: of at least
    ``clips`` clips, or of all that there are. ``place``: generation, challenge and dimension.
    """
    found: list[tuple[float, int]] = []
    here, missing = first, clips
    while True:
        page, bound = here.beyond(higher=higher)
        for score, count in page:
            if missing <= 0:
                return found
            found.append((score, count))
            missing -= count
        if missing <= 0 or bound is None:
            return found
        _, here = around_score(connection, *place, bound, since)


def totals_of(connection: sa.Connection, generation: str, challenge_id: str, since: Since | None = None) -> Totals:
    """Clips and attention by dimension, of a challenge, all or since then."""
    table = ranking_runs.c
    query = sa.select(table.totals, table.minutes, table.content).where(
        table.generation == generation, table.challenge_id == challenge_id, runs_within(since is not None)
    )
    rows = connection.execute(query, parameters(since))
    return sum_totals(
        decode_totals(row.totals)
        if since is None or row.minutes != ALL_TIME
        else ChangeList.decoded(row.content).since(since.minute).totals()
        for row in rows
    )


def totals_by_challenge(connection: sa.Connection, generation: str) -> dict[str, Totals]:
    """Those of every challenge, by id."""
    table = ranking_runs.c
    query = (
        sa.select(table.challenge_id, table.totals)
        .where(table.generation == generation, table.minutes == ALL_TIME)
        .order_by(table.challenge_id)
    )
    found: dict[str, list[Totals]] = {}
    for challenge_id, totals in connection.execute(query):
        found.setdefault(challenge_id, []).append(decode_totals(totals))
    return {challenge_id: sum_totals(many) for challenge_id, many in found.items()}


def _read(rows: sa.CursorResult[Any], since: Since | None) -> _Found:
    found = _Found([], {}, {})
    for row in rows:
        if row.run is None:
            found.own.append(row)
        elif row.totals is None:
            found.parts[row.run, row.clip_id, row.dimension] = SortedParts(row.before, row.content, row.after)
        else:
            changes = None if row.content is None else ChangeList.decoded(row.content)
            totals = decode_totals(row.totals)
            if since is not None and changes is not None:  # a short run may reach back beyond the window
                changes = changes.since(since.minute)
                totals = changes.totals()
            found.runs.setdefault(row.challenge_id, {})[row.run] = _Run(totals, changes)
    return found


def _scored(found: _Found, row: Any) -> Scored:
    counts = _sum(found.runs.get(row.challenge_id, {}), found.parts, row.clip_id, row.dimension, float(row.score))
    attention = None if row.attention is None else float(row.attention)
    named = (row.clip_id, row.dancer_id, row.challenge_id, row.dimension)
    return Scored(*named, float(row.score), attention, counts)


def _sum(
    runs: Mapping[int, _Run],
    parts: Mapping[tuple[int, str, str], SortedParts],
    clip_id: str,
    dimension: str,
    score: float,
) -> Counts:
    higher = equal = total = 0
    for number, run in _of_dimension(runs, dimension):
        clips_of_run = run.totals[dimension].clips
        total += clips_of_run
        if run.changes is None:
            part = parts[number, clip_id, dimension].at
            at_most, same = (0, 0) if part is None else count_in_part(part, score)
            higher += clips_of_run - at_most
            equal += same
    lists = _lists(runs)
    if lists:
        more, same = ChangeList.joined(lists).count(dimension, score)
        higher, equal = higher + more, equal + same
    return Counts(higher, equal, total)


def _surroundings(found: _Found, row: Any) -> Surroundings:
    runs = found.runs.get(row.challenge_id, {})
    parts = [
        found.parts[number, row.clip_id, row.dimension]
        for number, run in _of_dimension(runs, row.dimension)
        if run.changes is None
    ]
    changes = ChangeList.joined(_lists(runs)).sorted_by(row.dimension)
    return Surroundings.of(float(row.score), parts, changes)


def _of_dimension(runs: Mapping[int, _Run], dimension: str) -> Iterator[tuple[int, _Run]]:
    return ((number, run) for number, run in runs.items() if dimension in run.totals)


def _lists(runs: Mapping[int, _Run]) -> Sequence[ChangeList]:
    return [run.changes for run in runs.values() if run.changes is not None]
