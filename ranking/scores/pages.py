"""Pages of a ranking: its two ends, and the clips around one; each clip with its place."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.direct import rows_of
from ranking.database.tables import clips, scores
from ranking.scores.ranks import place, places_from_bottom, places_from_top
from ranking.scores.runs.periods import Since
from ranking.scores.runs.places import place_of
from ranking.scores.runs.reading import (
    Counts,
    PageRow,
    Scored,
    around_clip,
    around_score,
    counts_of,
    next_scores,
    page_around_clip,
)
from ranking.scores.runs.statements import parameters, uploaded_within
from ranking.scores.runs.surroundings import NEAREST
from schemas.questions.retrieval import Order, RankedClip


class RankingOf(NamedTuple):
    generation: str
    challenge_id: str
    dimension: str

    def of_style(self, style: str | None) -> "RankingOf":
        """Where its clips of a style are counted; itself without one."""
        return self._replace(challenge_id=place_of(self.challenge_id, style))


class Around(NamedTuple):
    """A clip among the ``clips`` of its ranking, and those around it, the nearest first."""

    challenge_id: str
    clips: int
    clip: RankedClip
    above: list[RankedClip]
    below: list[RankedClip]


def end_of(
    connection: sa.Connection, of: RankingOf, order: Order, k: int, since: Since | None, style: str | None = None
) -> tuple[int, list[RankedClip]]:
    """Number of clips in a ranking, and the ``k`` at one end; of all clips, or of those of a ``style``."""
    asked, counted, styled = _asked(of, since, style), of.of_style(style), style is not None
    if since is None:
        rows = rows_of(connection, _end(order, k, within=False, styled=styled), asked)
        last = counts_of(connection, *counted, float(rows[-1][2]) if rows else 0.0)
        total, equal_to_last = last.total, last.equal
    else:
        beyond = float("inf") if order == "top" else float("-inf")
        counts, first = around_score(connection, *counted, beyond, since)
        found = next_scores(connection, counted, first, k, since, higher=order == "bottom")
        total, equal_to_last = counts.total, found[-1][1] if found else 0
        asked |= {"of_scores": [score for score, _ in found]}
        query = _end(order, k, within=True, styled=styled)
        rows = list(map(tuple, connection.execute(query, asked))) if found else []
        if rows and rows[-1][2] != found[-1][0]:
            equal_to_last = dict(found)[float(rows[-1][2])]
    values = [float(score) for _, _, score in rows]
    places = (places_from_top if order == "top" else places_from_bottom)(
        values, total=total, equal_to_last=equal_to_last
    )
    return total, [
        RankedClip(at.rank, at.percentile, clip_id, dancer_id, float(score))
        for at, (clip_id, dancer_id, score) in zip(places, rows, strict=True)
    ]


def neighbours_of(
    database: Database,
    clip_id: str,
    dimension: str,
    generation: str,
    k: int,
    since: Since | None,
    style: str | None = None,
) -> Around | None:
    """The ``k`` clips on either side of a clip, of its challenge or of those that show a ``style``; ``None`` if it is
    not among these. Where one statement can say it, no transaction is begun: each statement is a wait for the server.
    """
    if since is None and style is None and k <= NEAREST:
        with database.glancing() as connection:
            found = _around_at_once(connection, clip_id, dimension, generation, k)
        if found != "more":
            return found
    with database.reading() as connection:
        return _around_in_steps(connection, clip_id, dimension, generation, k, since, style)


def _around_in_steps(
    connection: sa.Connection,
    clip_id: str,
    dimension: str,
    generation: str,
    k: int,
    since: Since | None,
    style: str | None,
) -> Around | None:
    """In two statements, the second for the clips between the scores that the first found."""
    found = around_clip(connection, clip_id, generation, dimension, since, k, style)
    if found is None:
        return None
    own, surroundings = found
    of = RankingOf(generation, own.challenge_id, dimension)
    counted = of.of_style(style)
    higher = next_scores(connection, counted, surroundings, k, since, higher=True)
    lower = next_scores(connection, counted, surroundings, k, since, higher=False)
    counts = {own.score: own.counts} | _counts_beyond(own.counts, higher, lower)
    asked = _asked(of, since, style) | {"of_clip": clip_id, "of_score": own.score}
    query = _around(k, within=since is not None, styled=style is not None)
    if since is None:
        asked |= {"highest": (higher or [(own.score, 0)])[-1][0], "lowest": (lower or [(own.score, 0)])[-1][0]}
        rows = rows_of(connection, query, asked)
    else:
        asked |= {"higher_scores": [score for score, _ in higher], "lower_scores": [score for score, _ in lower]}
        rows = list(map(tuple, connection.execute(query, asked)))
    page = (PageRow(found_id, dancer_id, float(score)) for found_id, dancer_id, score in rows)
    return _between(own, counts, page, k)


def _around_at_once(
    connection: sa.Connection, clip_id: str, dimension: str, generation: str, k: int
) -> Around | Literal["more"] | None:
    """As ``around``, of all time and the whole challenge, from one statement; ``"more"`` if that does not suffice: of a
    score that matters it did not give all clips.
    """
    most = k + 1  # one beyond those that are wanted tells whether the last score is there with all of its clips
    found = page_around_clip(connection, clip_id, generation, dimension, most)
    if found is None:
        return None
    own, page = found
    equal = [row for row in page if row.score == own.score]
    higher = _counted(sorted(row.score for row in page if row.score > own.score), k)
    lower = _counted(sorted((row.score for row in page if row.score < own.score), reverse=True), k)
    if len(equal) == 2 * most or higher is None or lower is None:
        return "more"
    counts = {own.score: own.counts} | _counts_beyond(own.counts, higher, lower)
    return _between(own, counts, (row for row in page if row.score in counts), k)


def _counted(ordered: Sequence[float], k: int) -> list[tuple[float, int]] | None:
    """Distinct scores of the first ``k``, each with its clips; ``None`` if the next one equals the last of them."""
    if len(ordered) > k and ordered[k] == ordered[k - 1]:
        return None
    return list(Counter(ordered[:k]).items())


def _between(own: Scored, counts: Mapping[float, Counts], page: Iterable[PageRow], k: int) -> Around:
    """The clip with the ``k`` nearest of the ``page`` on either side."""
    above: list[RankedClip] = []
    below: list[RankedClip] = []
    for clip_id, dancer_id, score in page:
        if clip_id != own.clip_id:
            is_above = score > own.score or (score == own.score and clip_id < own.clip_id)
            clip = RankedClip(*place(*counts[score]), clip_id, dancer_id, score)
            (above if is_above else below).append(clip)
    # Equal scores are listed by clip id, so the nearest above have the greatest.
    above.sort(key=lambda clip: clip.clip_id, reverse=True)
    above.sort(key=lambda clip: clip.score)
    below.sort(key=lambda clip: (-clip.score, clip.clip_id))
    itself = RankedClip(*place(*own.counts), own.clip_id, own.dancer_id, own.score)
    return Around(own.challenge_id, own.counts.total, itself, above[:k], below[:k])


def after_clip(
    connection: sa.Connection,
    of: RankingOf,
    clip_id: str,
    order: Order,
    k: int,
    since: Since | None,
    style: str | None = None,
) -> tuple[int, list[RankedClip]] | None:
    """Number of clips in a ranking, and the ``k`` that follow ``clip_id`` in the order of ``end_of``; ``None`` if it is
    not in this ranking.
    """
    asked, counted = _asked(of, since, style) | {"of_clip": clip_id}, of.of_style(style)
    score = connection.scalars(_score(within=since is not None, styled=style is not None), asked).one_or_none()
    if score is None:
        return None
    own, surroundings = around_score(connection, *counted, float(score), since)
    beyond = next_scores(connection, counted, surroundings, k, since, higher=order == "bottom")
    higher, lower = (beyond, []) if order == "bottom" else ([], beyond)
    counts = {float(score): own} | _counts_beyond(own, higher, lower)
    asked |= {"of_score": score}
    query = _after(order, k, within=since is not None, styled=style is not None)
    if since is None:
        rows = rows_of(connection, query, asked | {"furthest": (beyond or [(score, 0)])[-1][0]})
    else:
        asked |= {"next_scores": [each for each, _ in beyond]}
        rows = list(map(tuple, connection.execute(query, asked)))
    found = [(float(score), found_id, dancer_id) for found_id, dancer_id, score in rows]
    found.sort(key=lambda each: (each[0] if order == "bottom" else -each[0], each[1]))
    return own.total, [
        RankedClip(*place(*counts[score]), found_id, dancer_id, score) for score, found_id, dancer_id in found[:k]
    ]


def _counts_beyond(
    own: Counts, higher: Sequence[tuple[float, int]], lower: Sequence[tuple[float, int]]
) -> dict[float, Counts]:
    """Counts of the scores next to one whose counts are known."""
    found = {}
    above = own.higher
    for score, equal in higher:
        above -= equal
        found[score] = Counts(above, equal, own.total)
    above = own.higher + own.equal
    for score, equal in lower:
        found[score] = Counts(above, equal, own.total)
        above += equal
    return found


def _asked(of: RankingOf, since: Since | None, style: str | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"of_generation": of.generation, "of_challenge": of.challenge_id}
    asked |= {"of_dimension": of.dimension}
    return asked | parameters(since) | ({} if style is None else {"of_style": style})


def _of(*, styled: bool) -> sa.ColumnElement[bool]:
    table = scores.c
    conditions = [
        table.generation == sa.bindparam("of_generation", type_=sa.String),
        table.challenge_id == sa.bindparam("of_challenge", type_=sa.String),
        table.dimension == sa.bindparam("of_dimension", type_=sa.String),
    ]
    if styled:
        conditions.append(table.style == sa.bindparam("of_style", type_=sa.String))
    return sa.and_(*conditions)


@lru_cache
def _score(*, within: bool, styled: bool) -> sa.Select[Any]:
    """The score of ``of_clip`` in this ranking."""
    table = scores.c
    query = sa.select(table.score).where(_of(styled=styled), table.clip_id == sa.bindparam("of_clip", type_=sa.String))
    return query.where(uploaded_within(table.generation, table.clip_id)) if within else query


def _limit(most: int) -> sa.ColumnElement[int]:
    """In the statement rather than a parameter: see ``ranking.database.direct``."""
    return sa.literal_column(str(int(most)), sa.Integer)


@lru_cache
def _end(order: Order, most: int, *, within: bool, styled: bool) -> sa.Select[Any]:
    """The first ``most`` rows; ``within`` a window of those with one of ``of_scores``, the scores at that end."""
    table = scores.c
    query = sa.select(table.clip_id, table.score).where(_of(styled=styled))
    if within:
        named = table.score.in_(sa.bindparam("of_scores", expanding=True))
        query = query.where(named, uploaded_within(table.generation, table.clip_id))
    end = table.score.desc() if order == "top" else table.score
    page = query.order_by(end, table.clip_id).limit(_limit(most)).subquery()
    return (
        sa.select(page.c.clip_id, clips.c.dancer_id, page.c.score)
        .join(clips, clips.c.clip_id == page.c.clip_id)
        .order_by(page.c.score.desc() if order == "top" else page.c.score, page.c.clip_id)
    )


@lru_cache
def _around(most: int, *, within: bool, styled: bool) -> sa.Select[Any]:
    """Up to ``most`` rows of each: with the score ``of_score`` and a lower or higher id than ``of_clip``, with the next
    scores up to ``highest``, and down to ``lowest``. ``within`` a window other clips may lie between, and the next
    scores are named: ``higher_scores``, ``lower_scores``.
    """
    table = scores.c
    score, clip = sa.bindparam("of_score", type_=sa.Double), sa.bindparam("of_clip", type_=sa.String)
    own = table.score == score
    higher: sa.ColumnElement[bool]
    lower: sa.ColumnElement[bool]
    if within:
        higher = table.score.in_(sa.bindparam("higher_scores", expanding=True))
        lower = table.score.in_(sa.bindparam("lower_scores", expanding=True))
    else:
        higher = sa.and_(table.score > score, table.score <= sa.bindparam("highest", type_=sa.Double))
        lower = sa.and_(table.score < score, table.score >= sa.bindparam("lowest", type_=sa.Double))
    return _united(
        (sa.and_(own, table.clip_id < clip), [table.clip_id.desc()]),
        (higher, [table.score, table.clip_id.desc()]),
        (sa.and_(own, table.clip_id > clip), [table.clip_id]),
        (lower, [table.score.desc(), table.clip_id]),
        most=most,
        within=within,
        styled=styled,
    )


@lru_cache
def _after(order: Order, most: int, *, within: bool, styled: bool) -> sa.Select[Any]:
    """Up to ``most`` rows of each: with the score ``of_score`` and a higher id than ``of_clip``, and with the scores
    that follow up to ``furthest``; ``within`` a window those are named: ``next_scores``.
    """
    table = scores.c
    score, clip = sa.bindparam("of_score", type_=sa.Double), sa.bindparam("of_clip", type_=sa.String)
    furthest = sa.bindparam("furthest", type_=sa.Double)
    following: sa.ColumnElement[bool]
    if within:
        following = table.score.in_(sa.bindparam("next_scores", expanding=True))
    elif order == "top":
        following = sa.and_(table.score < score, table.score >= furthest)
    else:
        following = sa.and_(table.score > score, table.score <= furthest)
    return _united(
        (sa.and_(table.score == score, table.clip_id > clip), [table.clip_id]),
        (following, [table.score.desc() if order == "top" else table.score, table.clip_id]),
        most=most,
        within=within,
        styled=styled,
    )


def _united(
    *parts: tuple[sa.ColumnElement[bool], Sequence[sa.ColumnElement[Any]]],
    most: int,
    within: bool,
    styled: bool,
) -> sa.Select[Any]:
    """The first ``most`` clips of each part, which is a condition and an order, with their dancers."""
    table, queries = scores.c, []
    for which, order in parts:
        query = sa.select(table.clip_id, table.score).where(_of(styled=styled), which)
        if within:
            query = query.where(uploaded_within(table.generation, table.clip_id))
        # SQLite takes an order within a union from a subquery only.
        queries.append(sa.select(query.order_by(*order).limit(_limit(most)).subquery()))
    page = sa.union_all(*queries).subquery()
    return sa.select(page.c.clip_id, clips.c.dancer_id, page.c.score).join(clips, clips.c.clip_id == page.c.clip_id)
