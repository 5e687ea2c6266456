"""Observations of each clip, read for training: its counts, and its upload as the ranking knows it."""

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import clips, engagement
from ranking.scores.ranks import place
from schemas.receptions import ObservedReception

_ROWS_AT_ONCE: Final = 1000
_SEEN: Final = engagement.outerjoin(clips, clips.c.clip_id == engagement.c.clip_id)
_CHALLENGE: Final = sa.func.coalesce(clips.c.challenge_id, engagement.c.challenge_id)


class RankedUpload(NamedTuple):
    """The upload that a clip's latest scores come from."""

    dancer_id: str
    challenge_id: str
    uploaded_at_ms: int
    duration_s: float


class ObservedClip(NamedTuple):
    """The latest counts of a clip. ``days_online`` is its age when the reactions were counted; views may be unknown.
    ``upload`` is ``None`` as long as the ranking does not hold the clip.
    """

    clip_id: str
    likes: int
    comments: int
    reposts: int
    days_online: float
    views: int | None
    upload: RankedUpload | None


class Observations:
    """Reads the counts in a database; changes nothing in it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def challenges(self) -> set[str]:
        """Those with clips that have counts. Raises as ``clips`` does."""
        with self._database.reading() as connection:
            return set(connection.scalars(sa.select(_CHALLENGE).select_from(_SEEN).distinct()))

    def clips(self, *, challenges: Collection[str] = (), since_ms: int | None = None) -> Iterator[ObservedClip]:
        """Every clip with counts, by id; all from one snapshot of the database, few in memory at a time.

        ``challenges``: only clips of these, if any are named. ``since_ms``: only those uploaded then or later, and
        those whose upload is not known. Deleted clips have no counts. Raises ``StoreUnavailable`` or ``StoreRefused``.
        """
        seen, known = engagement.c, clips.c
        query = (
            sa.select(
                *(seen.clip_id, seen.likes, seen.comments, seen.reposts, seen.days_online, seen.views),
                *(known.dancer_id, known.challenge_id, known.uploaded_at_ms, known.duration_s),
            )
            .select_from(_SEEN)
            .order_by(seen.clip_id)
        )
        if challenges:
            query = query.where(_CHALLENGE.in_(sorted(challenges)))
        if since_ms is not None:
            query = query.where(sa.or_(known.clip_id.is_(None), known.uploaded_at_ms >= since_ms))
        query = query.execution_options(yield_per=_ROWS_AT_ONCE)
        with self._database.reading() as connection, connection.execute(query) as rows:
            for row in rows:
                yield _observed(row)


def reception(connection: sa.Connection, clip_id: str) -> ObservedReception | None:
    """How a clip was received, and its place by Eq. (1) among the counted clips of its challenge; ``None`` if it was
    not counted.

    In time O(n) for n counted clips of the challenge, which are read from one index.
    """
    seen, of = engagement.c, engagement.alias("of_challenge")
    own = connection.execute(sa.select(engagement).where(seen.clip_id == clip_id)).one_or_none()
    if own is None:
        return None
    count, virality = sa.func.count(), of.c.virality
    among = connection.execute(
        sa.select(
            count.label("clips"),
            count.filter(virality > own.virality).label("higher"),
            count.filter(virality == own.virality).label("equal"),
            sa.func.min(virality).label("lowest"),
            sa.func.max(virality).label("highest"),
        ).where(of.c.challenge_id == own.challenge_id)
    ).one()
    stands = place(int(among.higher), int(among.equal), int(among.clips))
    return ObservedReception(
        clip_id=clip_id,
        challenge_id=own.challenge_id,
        observed_at_ms=int(own.observed_at_ms),
        days_online=float(own.days_online),
        likes=int(own.likes),
        comments=int(own.comments),
        reposts=int(own.reposts),
        views=None if own.views is None else int(own.views),
        virality=float(own.virality),
        rank=stands.rank,
        percentile=stands.percentile,
        clips=int(among.clips),
        lowest_virality=float(among.lowest),
        highest_virality=float(among.highest),
    )


def _observed(row: sa.Row[*tuple[Any, ...]]) -> ObservedClip:
    upload = None
    if row.dancer_id is not None:
        upload = RankedUpload(row.dancer_id, row.challenge_id, int(row.uploaded_at_ms), float(row.duration_s))
    counts = (int(row.likes), int(row.comments), int(row.reposts))
    views = None if row.views is None else int(row.views)
    return ObservedClip(row.clip_id, *counts, float(row.days_online), views, upload)
