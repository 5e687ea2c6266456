"""Counts of higher and of equal scores in a challenge, from its runs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ranking.database.tables import clips, ranking_parts, ranking_runs, scores
from ranking.scores.runs.content import ChangeList, Totals, count_in_part, decode_totals, sum_totals
from ranking.scores.runs.periods import ALL_TIME

_NONE: Final = sa.null()


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


def scored_of(
    connection: sa.Connection, clip_ids: Collection[str], generation: str, dimensions: Collection[str]
) -> list[Scored]:
    """Every score of the clips in the dimensions, as of one moment: one statement reads scores and counts."""
    asked = {"of_generation": generation, "of_clips": sorted(clip_ids), "of_dimensions": sorted(dimensions)}
    return list(_counted(connection.execute(_of_clips(), asked)))


def counts_of(
    connection: sa.Connection, generation: str, challenge_id: str, dimension: str, at: Sequence[float]
) -> list[Counts]:
    """Counts for any scores ``at``, which need not be there; at most a few. Within a transaction that reads."""
    asked: dict[str, Any] = {"of_generation": generation, "of_challenge": challenge_id, "of_dimension": dimension}
    asked |= {f"score_{number}": score for number, score in enumerate(at)}
    found = {one.clip_id: one.counts for one in _counted(connection.execute(_of_scores(len(at)), asked))}
    return [found[str(number)] for number in range(len(at))]


def totals_of(connection: sa.Connection, generation: str, challenge_id: str) -> Totals:
    """Clips and attention by dimension, of a challenge."""
    table = ranking_runs.c
    query = sa.select(table.totals).where(
        table.generation == generation, table.challenge_id == challenge_id, table.minutes == ALL_TIME
    )
    return sum_totals(map(decode_totals, connection.scalars(query)))


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


class _Run(NamedTuple):
    totals: Totals
    changes: ChangeList | None
    """``None``: it is sorted, in parts."""


def _counted(rows: Iterable[sa.Row[Any]]) -> Iterable[Scored]:
    own: list[Any] = []
    runs: dict[str, dict[int, _Run]] = {}
    parts: dict[tuple[int, str, str], bytes] = {}
    for row in rows:
        if row.run is None:
            own.append(row)
        elif row.totals is None:
            parts[row.run, row.clip_id, row.dimension] = row.content
        else:
            changes = None if row.content is None else ChangeList.decoded(row.content)
            runs.setdefault(row.challenge_id, {})[row.run] = _Run(decode_totals(row.totals), changes)
    for row in own:
        attention = None if row.attention is None else float(row.attention)
        counts = _sum(runs.get(row.challenge_id, {}), parts, row.clip_id, row.dimension, float(row.score))
        named = (row.clip_id, row.dancer_id, row.challenge_id, row.dimension)
        yield Scored(*named, float(row.score), attention, counts)


def _sum(
    runs: Mapping[int, _Run], parts: Mapping[tuple[int, str, str], bytes], clip_id: str, dimension: str, score: float
) -> Counts:
    higher = equal = total = 0
    lists = []
    for number, (totals, changes) in runs.items():
        if dimension not in totals:
            continue
        clips_of_run = totals[dimension].clips
        total += clips_of_run
        if changes is not None:
            lists.append(changes)
            continue
        part = parts.get((number, clip_id, dimension))
        at_most, same = (0, 0) if part is None else count_in_part(part, score)
        higher += clips_of_run - at_most
        equal += same
    if lists:
        more, same = ChangeList.joined(lists).count(dimension, score)
        higher, equal = higher + more, equal + same
    return Counts(higher, equal, total)


@lru_cache
def _of_clips() -> sa.CompoundSelect[Any]:
    of = scores.c
    dancer = sa.select(clips.c.dancer_id).where(clips.c.clip_id == of.clip_id).scalar_subquery().label("dancer_id")
    own = (
        sa.select(of.generation, of.challenge_id, of.clip_id, of.dimension, of.score, of.attention, dancer)
        .where(
            of.generation == sa.bindparam("of_generation", type_=sa.String),
            of.clip_id.in_(sa.bindparam("of_clips", expanding=True)),
            of.dimension.in_(sa.bindparam("of_dimensions", expanding=True)),
        )
        .cte("own")
    )
    return _with_runs(own)


@lru_cache
def _of_scores(number: int) -> sa.CompoundSelect[Any]:
    rows = (
        sa.select(
            sa.bindparam("of_generation", type_=sa.String).label("generation"),
            sa.bindparam("of_challenge", type_=sa.String).label("challenge_id"),
            sa.literal_column(f"'{each}'", sa.String).label("clip_id"),
            sa.bindparam("of_dimension", type_=sa.String).label("dimension"),
            sa.cast(sa.bindparam(f"score_{each}", type_=sa.Double), sa.Double).label("score"),
            sa.cast(_NONE, sa.Double).label("attention"),
            sa.literal_column("''", sa.String).label("dancer_id"),
        )
        for each in range(number)
    )
    return _with_runs(sa.union_all(*rows).cte("own"))


def _with_runs(own: sa.CTE) -> sa.CompoundSelect[Any]:
    """Rows of ``own``, of the runs of their challenges, and of the part of each sorted run that decides."""
    run = ranking_runs.c
    challenges = sa.select(own.c.generation, own.c.challenge_id).distinct().cte("challenges")
    of_run = sa.and_(
        run.generation == challenges.c.generation,
        run.challenge_id == challenges.c.challenge_id,
        run.minutes == ALL_TIME,
    )
    runs = sa.select(run.challenge_id, run.run, run.totals, run.content).join(challenges, of_run).cte("runs")
    part = ranking_parts.c
    # Not a join, which could be planned as a scan of all parts.
    deciding = (
        sa.select(part.content)
        .where(part.run == runs.c.run, part.dimension == own.c.dimension, part.first_score <= own.c.score)
        .order_by(part.first_score.desc())
        .limit(1)
        .scalar_subquery()
    )
    text, number, binary = (sa.cast(_NONE, type_) for type_ in (sa.String, sa.BigInteger, sa.LargeBinary))
    real = sa.cast(_NONE, sa.Double)
    return sa.union_all(
        sa.select(
            own.c.clip_id,
            own.c.dancer_id,
            own.c.challenge_id,
            own.c.dimension,
            own.c.score,
            own.c.attention,
            number.label("run"),
            binary.label("totals"),
            binary.label("content"),
        ),
        sa.select(text, text, runs.c.challenge_id, text, real, real, runs.c.run, runs.c.totals, runs.c.content),
        sa.select(own.c.clip_id, text, own.c.challenge_id, own.c.dimension, real, real, runs.c.run, binary, deciding)
        .join(runs, runs.c.challenge_id == own.c.challenge_id)
        .where(runs.c.content.is_(None)),
    )
