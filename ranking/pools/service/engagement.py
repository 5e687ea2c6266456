"""Observations of clips: the latest counts of each, with its virality, and those that cannot be used yet."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ranking.database.connection import in_parts, insert_into
from ranking.database.round_trip import Step, among, together, writing
from ranking.database.tables import engagement, engagement_aside
from schemas.codec import decode, encode
from schemas.events import EngagementObserved
from schemas.pools import Deferral
from vdv.virality import raw_score

MS_A_DAY: Final = 86_400_000


class EngagementState:
    """Counts for the length of one transaction, kept until ``changes``.

    The latest observation holds, of two at one moment that with more reactions, then with more likes, then comments;
    impressions are kept apart, as some observations lack them (as in ``ranking.pools.machine``). Eq. (1) is reckoned
    for every row that is written; the bounds of Eq. (2), least and greatest of a challenge, are the two ends of an
    index.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._rows: dict[str, dict[str, Any] | None] = {}
        self._changed: set[str] = set()
        self._may_be_deferred: dict[str, bool] = {}
        self.unknown: set[str] = set()
        """Clips whose observations are deferred as they are unknown."""

    def reading(self, clip_ids: Sequence[str], *, deferred: Sequence[str] = ()) -> list[Step]:
        """Steps that read what is known of clips that will be observed, and which of the clips ``deferred`` have
        deferred observations; ``known`` takes the rows.
        """
        dialect = self._connection.dialect.name
        steps = [Step(_rows_among(dialect), {"clips": clip_ids})]
        return [*steps, Step(_deferred_among(dialect), {"clips": deferred})] if deferred else steps

    def known(self, rows: Sequence[Sequence[Any]], clip_ids: Sequence[str], *, deferred: Sequence[str] = ()) -> None:
        """Take what ``reading``, of the same arguments, has found."""
        self._rows |= dict.fromkeys(clip_ids)
        self._rows |= {row.clip_id: row._asdict() for row in rows[0]}
        if deferred:
            self._may_be_deferred |= dict.fromkeys(deferred, False) | {row.clip_id: True for row in rows[1]}

    def load(self, clip_ids: Iterable[str]) -> None:
        """Read what is known of clips that will be observed, all at once."""
        for part in in_parts(clip_id for clip_id in clip_ids if clip_id not in self._rows):
            self.known(together(self._connection, self.reading(part)), part)

    def observe(self, event: EngagementObserved, challenge_id: str, uploaded_at_ms: int) -> None:
        """Let the counts of a clip be those of ``event``, as far as it is later."""
        self.load([event.clip_id])
        before = self._rows[event.clip_id]
        row = before or {"clip_id": event.clip_id, "observed_at_ms": -1, "views": None, "views_observed_at_ms": -1}
        row = row | {"challenge_id": challenge_id}
        if (event.observed_at_ms, *_counts(event)) > (row["observed_at_ms"], *_counts_of(row)):
            days = max(0, event.observed_at_ms - uploaded_at_ms) / MS_A_DAY
            row |= {"likes": event.likes, "comments": event.comments, "reposts": event.reposts}
            row |= {"observed_at_ms": event.observed_at_ms, "days_online": days}
        if event.views is not None and (event.observed_at_ms, event.views) > (
            row["views_observed_at_ms"],
            row["views"] or 0,
        ):
            row |= {"views": event.views, "views_observed_at_ms": event.observed_at_ms}
        if row != before:
            self._rows[event.clip_id] = row
            self._changed.add(event.clip_id)

    def defer(self, event: EngagementObserved, reason: Deferral) -> None:
        """Keep an observation that cannot be used now; two of one moment as one."""
        self._may_be_deferred[event.clip_id] = True
        if reason is Deferral.UNKNOWN_CLIP:
            self.unknown.add(event.clip_id)
        insert = insert_into(self._connection, engagement_aside)
        kept = insert.on_conflict_do_update(
            index_elements=list(engagement_aside.primary_key),
            set_={"reason": insert.excluded.reason, "content": insert.excluded.content},
        )
        known = self._connection.execute(
            sa.select(engagement_aside.c.content).where(
                engagement_aside.c.clip_id == event.clip_id, engagement_aside.c.observed_at_ms == event.observed_at_ms
            )
        ).scalar()
        if known is not None:
            event = _together(decode(known, EngagementObserved), event)
        row = {
            "clip_id": event.clip_id,
            "observed_at_ms": event.observed_at_ms,
            "reason": reason.value,
            "content": encode(event),
        }
        self._connection.execute(kept, row)

    def take_up(self, clip_id: str) -> list[EngagementObserved]:
        """The observations deferred while a clip was unknown, in the order of their time; they are deferred no
        longer.
        """
        if not self._may_be_deferred.get(clip_id, True):
            return []
        self.unknown.discard(clip_id)
        return self._taken(engagement_aside.c.clip_id == clip_id, reason=Deferral.UNKNOWN_CLIP)

    def take_due(self, until_ms: int) -> list[EngagementObserved]:
        """The observations deferred as of the future that no longer are."""
        return self._taken(engagement_aside.c.observed_at_ms <= until_ms, reason=Deferral.FUTURE_OBSERVATION)

    def forget(self, clip_id: str) -> None:
        """Drop the counts of a deleted clip; its deferred observations are of a deleted clip from now on."""
        self._rows[clip_id] = None
        self._changed.discard(clip_id)
        self._connection.execute(sa.delete(engagement).where(engagement.c.clip_id == clip_id))
        self._connection.execute(
            sa.update(engagement_aside)
            .where(engagement_aside.c.clip_id == clip_id)
            .values(reason=Deferral.DELETED_CLIP.value)
        )

    def changes(self) -> list[Step]:
        """Steps that write all changes, with the virality of each."""
        rows = [row for name in self._changed if (row := self._rows[name])]
        if rows:
            columns = ([row[name] for row in rows] for name in ("likes", "comments", "reposts", "days_online"))
            for row, virality in zip(rows, raw_score(*columns), strict=True):
                row["virality"] = float(virality)
        return writing(self._connection, engagement, rows)

    def _taken(self, condition: sa.ColumnElement[bool], *, reason: Deferral) -> list[EngagementObserved]:
        table = engagement_aside.c
        both = sa.and_(table.reason == reason.value, condition)
        query = sa.select(table.content).where(both).order_by(table.observed_at_ms, table.clip_id)
        found = [decode(content, EngagementObserved) for content in self._connection.execute(query).scalars()]
        if found:
            self._connection.execute(sa.delete(engagement_aside).where(both))
        return found


@lru_cache
def _rows_among(dialect: str) -> sa.Select[Any]:
    return sa.select(engagement).where(among(dialect, engagement.c.clip_id, "clips"))


@lru_cache
def _deferred_among(dialect: str) -> sa.Select[Any]:
    clip_id = engagement_aside.c.clip_id
    return sa.select(clip_id).where(among(dialect, clip_id, "clips")).distinct()


def reactions(event: EngagementObserved) -> int:
    """Likes, comments and reposts together, as in Eq. (1)."""
    return event.likes + event.comments + event.reposts


def _counts(event: EngagementObserved) -> tuple[int, int, int]:
    """What of two observations at one moment the greater is by; the number of reposts follows."""
    return reactions(event), event.likes, event.comments


def _counts_of(row: dict[str, Any]) -> tuple[int, int, int]:
    likes, comments, reposts = (int(row.get(name, 0)) for name in ("likes", "comments", "reposts"))
    return likes + comments + reposts, likes, comments


def _together(one: EngagementObserved, other: EngagementObserved) -> EngagementObserved:
    """Two observations of one moment as one: the greater, with the most impressions that either knew."""
    views = max((event.views for event in (one, other) if event.views is not None), default=None)
    return msgspec.structs.replace(max(one, other, key=_counts), views=views)
