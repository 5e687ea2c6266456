"""Counts of higher and of equal scores in a challenge, and the scores around one, from its runs.

One statement reads the runs of a challenge, and of each sorted run the part that decides and those beside it. So they
are of one moment in every transaction, and of a challenge of n clips O(log n) rows are read.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ranking.database.direct import rows_of
from ranking.database.round_trip import POSTGRESQL
from ranking.database.tables import ranking_runs
from ranking.scores.runs.content import (
    NOTHING,
    ChangeList,
    Sorted,
    Totals,
    changed,
    count_in_part,
    decode_halves,
    decode_totals,
    sum_totals,
)
from ranking.scores.runs.periods import ALL_TIME, Since
from ranking.scores.runs.places import is_challenge, is_style, parsed
from ranking.scores.runs.statements import of_clip, of_clips, of_many_scores, of_scores, parameters, runs_within
from ranking.scores.runs.surroundings import NEAREST, SortedParts, Surroundings


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


class _ByDimension(NamedTuple):
    """The runs of a challenge by one dimension: the sorted ones with their clips, and what lists say together."""

    sorted: list[tuple[int, int]]
    changes: Sorted


class _Challenge:
    """The runs of a challenge; ``since``: the minute that a window begins in."""

    def __init__(self, since: int | None) -> None:
        self._since = since
        self._sorted: list[tuple[int, dict[str, tuple[int, int, int]]]] = []
        self._lists: list[ChangeList] = []
        self._dimensions: dict[str, _ByDimension] = {}

    def add(self, run: int, totals: bytes, content: bytes | None) -> None:
        if content is None:
            self._sorted.append((run, decode_halves(totals)))
        else:
            self._lists.append(ChangeList.decoded(content))

    def by(self, dimension: str) -> _ByDimension:
        if dimension not in self._dimensions:
            runs = [(run, totals[dimension][0]) for run, totals in self._sorted if dimension in totals]
            lists = [each.by(dimension) for each in self._lists]
            changes = changed(lists, self._since) if lists else NOTHING
            self._dimensions[dimension] = _ByDimension(runs, changes)
        return self._dimensions[dimension]


class PageRow(NamedTuple):
    """A clip around the one that was asked about, or itself."""

    clip_id: str
    dancer_id: str
    score: float


class _Own(NamedTuple):
    """A score that was asked about."""

    clip_id: str
    dancer_id: str
    challenge_id: str
    dimension: str
    score: float
    attention: float | None


class _Found(NamedTuple):
    """What one statement read: scores asked about, runs by challenge, and parts by run, clip and dimension."""

    own: list[_Own]
    page: list[PageRow]
    challenges: dict[str, _Challenge]
    parts: dict[tuple[int, str, str], SortedParts]


def scored_of(
    connection: sa.Connection,
    clip_ids: Collection[str],
    generation: str,
    dimensions: Collection[str],
    since: Since | None = None,
) -> list[Scored]:
    """Every score of the clips in the dimensions, among all clips, or among those since then if they are of them."""
    dialect = connection.dialect.name
    statement, asked = asking_scored_of(dialect, clip_ids, generation, dimensions, since)
    rows = rows_of(connection, statement, asked) if dialect == POSTGRESQL else connection.execute(statement, asked)
    return scored_among(rows, since)


def asking_scored_of(
    dialect: str, clip_ids: Collection[str], generation: str, dimensions: Collection[str], since: Since | None = None
) -> tuple[sa.CompoundSelect[Any], dict[str, Any]]:
    """The statement of ``scored_of`` and its parameters; ``scored_among`` takes its rows."""
    asked = {"of_generation": generation, "of_clips": sorted(clip_ids), "of_dimensions": sorted(dimensions)}
    return of_clips(dialect, within=since is not None), asked | parameters(since)


def scored_among(rows: Iterable[Sequence[Any]], since: Since | None = None) -> list[Scored]:
    """What ``asking_scored_of`` asked for."""
    found = _read(rows, since)
    return [_scored(found, row) for row in found.own]


def scored(
    connection: sa.Connection, clip_id: str, generation: str, dimension: str, since: Since | None
) -> Scored | None:
    """One score of one clip; ``None`` if it has none, or none since then."""
    asked = {"of_generation": generation, "of_clip": clip_id, "of_dimension": dimension}
    statement = of_clip(within=since is not None, around=False, styled=False)
    found = _read(rows_of(connection, statement, asked | parameters(since)), since)
    return _scored(found, found.own[0]) if found.own else None


def counts_of(connection: sa.Connection, generation: str, challenge_id: str, dimension: str, score: float) -> Counts:
    """Counts for any score, which need not be there."""
    asked = {"of_generation": generation, "of_challenge": challenge_id, "of_dimension": dimension, "of_score": score}
    found = _read(rows_of(connection, of_scores(within=False, around=False), asked), None)
    return _scored(found, found.own[0]).counts


def counts_of_many(
    connection: sa.Connection,
    place: tuple[str, str, str],
    asked_scores: Sequence[float],
    since: Since | None,
) -> list[Counts]:
    """Counts for each of several scores, which need not be there, at one moment. ``place``: generation, challenge and
    dimension.
    """
    asked: dict[str, Any] = dict(zip(("of_generation", "of_challenge", "of_dimension"), place, strict=True))
    asked |= {f"of_score_{number}": score for number, score in enumerate(asked_scores)} | parameters(since)
    found = _read(connection.execute(of_many_scores(len(asked_scores), within=since is not None), asked), since)
    return [_scored(found, row).counts for row in sorted(found.own, key=lambda row: int(row.clip_id))]


def around_clip(
    connection: sa.Connection,
    clip_id: str,
    generation: str,
    dimension: str,
    since: Since | None,
    nearest: int,
    style: str | None = None,
) -> tuple[Scored, Surroundings] | None:
    """A clip's score and the ``nearest`` around it; ``None`` if it has none, or none since then.

    With a ``style`` among the clips of its challenge that show it: ``None`` if it shows another.
    """
    asked = {"of_generation": generation, "of_clip": clip_id, "of_dimension": dimension}
    asked |= {} if style is None else {"of_style": style}
    statement = of_clip(within=since is not None, around=True, styled=style is not None)
    found = _read(rows_of(connection, statement, asked | parameters(since)), since)
    if not found.own:
        return None
    own = _scored(found, found.own[0])
    return own._replace(challenge_id=parsed(own.challenge_id)[0]), _surroundings(found, found.own[0], nearest)


def page_around_clip(
    connection: sa.Connection, clip_id: str, generation: str, dimension: str, most: int
) -> tuple[Scored, list[PageRow]] | None:
    """A clip's score; and in one statement with it up to ``2 * most`` clips with that score, itself among them, and up
    to ``most`` with a higher and with a lower one, the nearest scores first. ``None`` if it has none.
    """
    asked = {"of_generation": generation, "of_clip": clip_id, "of_dimension": dimension}
    statement = of_clip(within=False, around=False, styled=False, page=most)
    found = _read(rows_of(connection, statement, asked), None)
    return (_scored(found, found.own[0]), found.page) if found.own else None


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
    found = _read(rows_of(connection, of_scores(within=since is not None, around=True), asked), since)
    return _scored(found, found.own[0]).counts, _surroundings(found, found.own[0], NEAREST)


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
        page, bound = here.higher if higher else here.lower
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
    return sum_totals(_totals(row, since) for row in rows)


def totals_by_challenge(connection: sa.Connection, generation: str, since: Since | None = None) -> dict[str, Totals]:
    """Those of every challenge, all or since then, by id."""
    return _totals_by_place(connection, generation, is_challenge(ranking_runs.c.challenge_id), since)


def totals_by_style(
    connection: sa.Connection, generation: str, challenge_id: str | None = None, since: Since | None = None
) -> dict[str, Totals]:
    """Those of every style of a challenge, all or since then; without a challenge, of all together."""
    of_styles = is_style(ranking_runs.c.challenge_id, challenge_id)
    found: dict[str, list[Totals]] = {}
    for place, totals in _totals_by_place(connection, generation, of_styles, since).items():
        found.setdefault(parsed(place)[1] or "", []).append(totals)
    return {style: sum_totals(many) for style, many in sorted(found.items())}


def _totals_by_place(
    connection: sa.Connection, generation: str, which: sa.ColumnElement[bool], since: Since | None
) -> dict[str, Totals]:
    table = ranking_runs.c
    query = (
        sa.select(table.challenge_id, table.totals, table.minutes, table.content)
        .where(table.generation == generation, which, runs_within(since is not None))
        .order_by(table.challenge_id)
    )
    found: dict[str, list[Totals]] = {}
    for row in connection.execute(query, parameters(since)):
        found.setdefault(row.challenge_id, []).append(_totals(row, since))
    return {place: sum_totals(many) for place, many in found.items()}


def _totals(row: Any, since: Since | None) -> Totals:
    if since is None or row.minutes != ALL_TIME:
        return decode_totals(row.totals)
    return ChangeList.decoded(row.content).since(since.minute).totals()


def _read(rows: Iterable[Sequence[Any]], since: Since | None) -> _Found:
    found = _Found([], [], {}, {})
    for row in rows:
        # In the order of the statement's columns: to look each up by its name takes longer than all the rest.
        clip_id, dancer_id, challenge_id, dimension, score, attention, run, totals, content, before, after = row
        if run is None and challenge_id is None:
            found.page.append(PageRow(clip_id, dancer_id, score))
        elif run is None:
            attention = None if attention is None else float(attention)
            found.own.append(_Own(clip_id, dancer_id, challenge_id, dimension, float(score), attention))
        elif totals is None:
            found.parts[run, clip_id, dimension] = SortedParts(before, content, after)
        else:
            if challenge_id not in found.challenges:
                found.challenges[challenge_id] = _Challenge(None if since is None else since.minute)
            found.challenges[challenge_id].add(run, totals, content)
    return found


def _scored(found: _Found, row: _Own) -> Scored:
    score, runs = row.score, _runs(found, row)
    higher = equal = total = 0
    for run, clips in runs.sorted:
        part = found.parts[run, row.clip_id, row.dimension].at
        at_most, same = (0, 0) if part is None else count_in_part(part, score)
        higher, equal, total = higher + clips - at_most, equal + same, total + clips
    if len(runs.changes.scores):
        scores, clips_of_lists = runs.changes
        higher += int(clips_of_lists[scores > score].sum())
        equal += int(clips_of_lists[scores == score].sum())
        total += int(clips_of_lists.sum())
    return Scored(*row, Counts(higher, equal, total))


def _surroundings(found: _Found, row: _Own, nearest: int) -> Surroundings:
    runs = _runs(found, row)
    parts = [found.parts[run, row.clip_id, row.dimension] for run, _ in runs.sorted]
    return Surroundings.of(row.score, parts, runs.changes, nearest)


def _runs(found: _Found, row: _Own) -> _ByDimension:
    challenge = found.challenges.get(row.challenge_id)
    return (_Challenge(None) if challenge is None else challenge).by(row.dimension)
