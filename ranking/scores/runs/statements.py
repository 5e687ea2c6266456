"""Statements that read scores, the runs of their challenges, and the parts of runs that decide, as one."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from ranking.database.round_trip import POSTGRESQL, among
from ranking.database.tables import clips, ranking_parts, ranking_runs, scored_clips, scores
from ranking.scores.runs.periods import ALL_TIME, DAY, HOUR, MINUTE, Since
from ranking.scores.runs.places import style_place

_NONE: Final = sa.null()
# Numbers of the statement, not parameters: PostgreSQL keeps one plan for all that is asked.
_ONE: Final = sa.literal_column("1", sa.Integer)
_ALL_TIME: Final = sa.literal_column(str(int(ALL_TIME)), sa.Integer)


def parameters(since: Since | None) -> dict[str, Any]:
    """Those of a window."""
    if since is None:
        return {}
    return {"since_ms": since.at_ms, "since_minute": since.minute, "since_hour": since.hour, "since_day": since.day}


def runs_within(within: bool) -> sa.ColumnElement[bool]:
    """The runs of all time; or those of the periods of a window, and short runs that were not divided by periods."""
    run = ranking_runs.c
    if not within:
        return run.minutes == _ALL_TIME
    minute, hour, day = (sa.bindparam(f"since_{name}", type_=sa.Integer) for name in ("minute", "hour", "day"))
    return sa.or_(
        sa.and_(run.minutes == ALL_TIME, run.content.is_not(None)),
        sa.and_(run.minutes == MINUTE, run.start >= minute, run.start < hour),
        sa.and_(run.minutes == HOUR, run.start >= hour, run.start < day),
        sa.and_(run.minutes == DAY, run.start >= day),
    )


def uploaded_within(generation: sa.ColumnElement[str], clip_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a clip was uploaded within the window."""
    of = scored_clips.c
    since_ms = sa.bindparam("since_ms", type_=sa.BigInteger)
    return sa.exists().where(of.generation == generation, of.clip_id == clip_id, of.uploaded_at_ms >= since_ms)


@lru_cache
def of_clips(dialect: str, *, within: bool) -> sa.CompoundSelect[Any]:
    """For scores of clips, by ``of_generation``, ``of_clips`` and ``of_dimensions``."""
    dimension: sa.ColumnElement[str] = scores.c.dimension
    if dialect == POSTGRESQL:
        # A clip has few. By these alone, and each clip, PostgreSQL would rather read a whole index than find each pair.
        dimension = dimension.concat("")
    which = sa.and_(among(dialect, scores.c.clip_id, "of_clips"), among(dialect, dimension, "of_dimensions"))
    own = _own(which, scores.c.challenge_id, within=within)
    return _with_runs(own, _challenges(own), within=within, around=False)


@lru_cache
def of_clip(*, within: bool, around: bool, styled: bool, page: int = 0) -> sa.CompoundSelect[Any]:
    """For one score, by ``of_generation``, ``of_clip`` and ``of_dimension``; ``styled``: if the clip shows
    ``of_style``, among those that do, whose place stands for the challenge in the rows found. With a ``page`` that many
    clips on either side too, in rows without a challenge: see ``_page``; of the whole challenge, of all time.
    """
    clip_id, dimension = (sa.bindparam(name, type_=sa.String) for name in ("of_clip", "of_dimension"))
    which = sa.and_(scores.c.clip_id == clip_id, scores.c.dimension == dimension)
    place: sa.ColumnElement[str] = scores.c.challenge_id
    if styled:
        which = sa.and_(which, scores.c.style == sa.bindparam("of_style", type_=sa.String))
        place = style_place(scores.c.challenge_id, scores.c.style)
    own = _own(which, place, within=within)
    return _with_runs(own, own, [_page(own, page)] if page else (), within=within, around=around)


def _page(own: sa.CTE, most: int) -> sa.SelectBase:
    """Up to ``2 * most`` clips with the score of ``own``, itself among them, and up to ``most`` with a higher and with
    a lower one, the nearest scores first.
    """
    of = scores.c
    score, challenge = (sa.select(own.c[name]).scalar_subquery() for name in ("score", "challenge_id"))
    ranking = sa.and_(
        of.generation == sa.bindparam("of_generation", type_=sa.String),
        of.challenge_id == challenge,
        of.dimension == sa.bindparam("of_dimension", type_=sa.String),
    )
    queries = []
    for which, order, count in (
        (of.score == score, of.clip_id, 2 * most),
        (of.score > score, of.score, most),
        (of.score < score, of.score.desc(), most),
    ):
        limit = sa.literal_column(str(int(count)), sa.Integer)
        # SQLite takes an order within a union from a subquery only.
        query = sa.select(of.clip_id, of.score).where(ranking, which).order_by(order).limit(limit)
        queries.append(sa.select(query.subquery()))
    page = sa.union_all(*queries).subquery()
    dancer = sa.select(clips.c.dancer_id).where(clips.c.clip_id == page.c.clip_id).scalar_subquery()
    text, real = sa.cast(_NONE, sa.String), sa.cast(_NONE, sa.Double)
    return sa.select(
        *(page.c.clip_id, dancer, text, text, page.c.score, real),
        *(sa.cast(_NONE, sa.BigInteger), *(sa.cast(_NONE, sa.LargeBinary) for _ in range(4))),
    )


def _own(which: sa.ColumnElement[bool], place: sa.ColumnElement[str], *, within: bool) -> sa.CTE:
    of, challenge_id = scores.c, place.label("challenge_id")
    dancer = sa.select(clips.c.dancer_id).where(clips.c.clip_id == of.clip_id).scalar_subquery().label("dancer_id")
    return (
        sa.select(of.generation, challenge_id, of.clip_id, of.dimension, of.score, of.attention, dancer)
        .where(
            of.generation == sa.bindparam("of_generation", type_=sa.String),
            which,
            uploaded_within(of.generation, of.clip_id) if within else sa.true(),
        )
        .cte("own")
    )


@lru_cache
def of_scores(*, within: bool, around: bool) -> sa.CompoundSelect[Any]:
    """For a score that need not be there: ``of_generation``, ``of_challenge``, ``of_dimension``, ``of_score``."""
    own = sa.select(
        sa.bindparam("of_generation", type_=sa.String).label("generation"),
        sa.bindparam("of_challenge", type_=sa.String).label("challenge_id"),
        sa.literal_column("''", sa.String).label("clip_id"),
        sa.bindparam("of_dimension", type_=sa.String).label("dimension"),
        sa.cast(sa.bindparam("of_score", type_=sa.Double), sa.Double).label("score"),
        sa.cast(_NONE, sa.Double).label("attention"),
        sa.literal_column("''", sa.String).label("dancer_id"),
    ).cte("own")
    return _with_runs(own, own, within=within, around=around)


@lru_cache
def of_many_scores(count: int, *, within: bool) -> sa.CompoundSelect[Any]:
    """For ``count`` scores that need not be there, ``of_score_0`` and so on, of one ranking. In the rows found the
    number of the score stands in the place of a clip's id.
    """
    asked = (
        sa.select(
            sa.bindparam("of_generation", type_=sa.String).label("generation"),
            sa.bindparam("of_challenge", type_=sa.String).label("challenge_id"),
            sa.cast(sa.literal(number), sa.String).label("clip_id"),
            sa.bindparam("of_dimension", type_=sa.String).label("dimension"),
            sa.cast(sa.bindparam(f"of_score_{number}", type_=sa.Double), sa.Double).label("score"),
            sa.cast(_NONE, sa.Double).label("attention"),
            sa.literal_column("''", sa.String).label("dancer_id"),
        )
        for number in range(count)
    )
    own = sa.union_all(*asked).cte("own")
    return _with_runs(own, _challenges(own), within=within, around=False)


def _challenges(own: sa.CTE) -> sa.CTE:
    return sa.select(own.c.generation, own.c.challenge_id).distinct().cte("challenges")


def _with_runs(
    own: sa.CTE, challenges: sa.CTE, page: Iterable[sa.SelectBase] = (), *, within: bool, around: bool
) -> sa.CompoundSelect[Any]:
    """Rows of ``own`` (without a run), of the runs of their distinct ``challenges`` (with totals), and of the parts of
    each sorted run (without totals).
    """
    run = ranking_runs.c
    of_run = sa.and_(
        run.generation == challenges.c.generation, run.challenge_id == challenges.c.challenge_id, runs_within(within)
    )
    runs = sa.select(run.challenge_id, run.run, run.totals, run.content).join(challenges, of_run).cte("runs")
    text, number, binary = (sa.cast(_NONE, type_) for type_ in (sa.String, sa.BigInteger, sa.LargeBinary))
    real = sa.cast(_NONE, sa.Double)
    part, one = ranking_parts.c, own.c
    # Not a join, which could be planned as a scan of all parts.
    of_part = sa.select(part.content).where(part.run == runs.c.run, part.dimension == one.dimension).limit(_ONE)
    up_to = of_part.where(part.first_score <= one.score).order_by(part.first_score.desc())
    above = of_part.where(part.first_score > one.score).order_by(part.first_score)
    before, after = (up_to.offset(_ONE).scalar_subquery(), above.scalar_subquery()) if around else (binary, binary)
    return sa.union_all(
        sa.select(
            *(one.clip_id, one.dancer_id, one.challenge_id, one.dimension, one.score, one.attention),
            *(number.label("run"), binary.label("totals"), binary.label("content")),
            *(binary.label("before"), binary.label("after")),
        ),
        sa.select(
            *(text, text, runs.c.challenge_id, text, real, real),
            *(runs.c.run, runs.c.totals, runs.c.content, binary, binary),
        ),
        sa.select(
            *(one.clip_id, text, one.challenge_id, one.dimension, real, real),
            *(runs.c.run, binary, up_to.scalar_subquery(), before, after),
        )
        .join(runs, runs.c.challenge_id == one.challenge_id)
        .where(runs.c.content.is_(None)),
        *page,
    )
