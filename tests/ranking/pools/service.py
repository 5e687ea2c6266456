"""The service of the pools as the tests run it: rankings, pools and topics of one process, and a manual clock."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import engagement, engagement_aside, pool_clips
from ranking.pools.policy import Policy
from ranking.pools.service.publishing import DecisionPublisher
from ranking.pools.service.settings import PoolSettings
from ranking.pools.service.store import PoolStore
from ranking.pools.service.worker import PoolEntry, PoolInput, PoolWorker
from ranking.scores.store import ScoreStore
from ranking.views.log_records import positions_after
from schemas.clock import ManualClock
from schemas.codec import decode, encode
from schemas.events import ClipDeleted, ClipScored, ClipScoredV2, ClipScoredV3, EngagementObserved, Event, PoolDecision
from schemas.modalities import FUSED_MODALITIES
from schemas.observation import Observer
from schemas.ports import Record, RecordSink, ScoredRecord
from tests.ranking.examples import NOW_MS, with_scores
from tests.ranking.pools.examples import POLICY
from transport.memory import MemoryBroker, MemorySink
from transport.topics import TopicSpec

SCORED, ENGAGEMENT, DELETED, DECISIONS = "clips.scored", "clips.engagement", "clips.deleted", "clips.pool-decisions"
_TOPICS: Mapping[type[Event], str] = {
    ClipScored: SCORED,
    ClipScoredV2: SCORED,
    ClipScoredV3: SCORED,
    EngagementObserved: ENGAGEMENT,
    ClipDeleted: DELETED,
}


def scored(clip_id: str, score: float = 0.5, **changes: Any) -> ClipScored:
    """A clip with one score by every dimension; challenge ``ch``, uploaded at ``NOW_MS``."""
    return with_scores(clip_id, dict.fromkeys(FUSED_MODALITIES, score), score, **changes)


def observed(clip_id: str = "c1", likes: int = 0, views: int | None = None, **changes: Any) -> EngagementObserved:
    fields: dict[str, Any] = {"observed_at_ms": NOW_MS, "comments": 0, "reposts": 0}
    return EngagementObserved(clip_id=clip_id, likes=likes, views=views, **(fields | changes))


def deleted(clip_id: str = "c1") -> ClipDeleted:
    return ClipDeleted(clip_id=clip_id, reason="asked for")


class Reports(Observer):
    """What was left out, and what was decided."""

    def __init__(self) -> None:
        self.left_out: list[tuple[str, str]] = []
        self.decided: list[tuple[str, str | None, int]] = []

    def skipped(self, topic: str, reason: str) -> None:
        self.left_out.append((topic, reason))

    def pool_decided(self, rule: str, tier: str | None, exposures: int) -> None:
        self.decided.append((rule, tier, exposures))


class Service:
    """``feed`` handles events as one batch; scored clips are in the rankings before, unless switched off."""

    def __init__(
        self,
        database: Database,
        policy: Policy = POLICY,
        settings: PoolSettings | None = None,
        *,
        publish_records: int = 1000,
        **options: Any,
    ) -> None:
        self.database = database
        self.clock = ManualClock(start_ms=NOW_MS)
        self.broker = MemoryBroker(self.clock)
        self.broker.ensure_topics([TopicSpec(name=DECISIONS, partitions=2)])
        self.reports = Reports()
        self.scores = ScoreStore(database)
        self.pools = PoolStore(database)
        self._settings, self._options, self._publish_records = settings, options, publish_records
        self._offsets = {topic: itertools.count() for topic in _TOPICS.values()}
        self.worker = self.another(policy)

    def another(
        self,
        policy: Policy = POLICY,
        *,
        store: PoolStore | None = None,
        sink: RecordSink | None = None,
        seen: Callable[[Sequence[ClipScored]], None] | None = None,
    ) -> PoolWorker:
        """One worker more on the same database, or on that of ``store``."""
        optional = {} if seen is None else {"seen": seen}
        announce = self.publisher(store, sink).publish
        return PoolWorker(
            store or self.pools,
            policy,
            announce,
            self.reports,
            self.clock,
            self._settings,
            **self._options,
            **optional,
        )

    def publisher(self, store: PoolStore | None = None, sink: RecordSink | None = None) -> DecisionPublisher:
        """Publishes what any worker on the same database decided."""
        target = sink or MemorySink(self.broker)
        return DecisionPublisher(store or self.pools, target, self.reports, DECISIONS, records=self._publish_records)

    def entries(self, *events: PoolInput, topic: str | None = None) -> list[PoolEntry]:
        """As the next records of their topics."""
        made = []
        for event in events:
            name = topic or _TOPICS[type(event)]
            offset = next(self._offsets[name])
            made.append(PoolEntry(Record(name, 0, offset, self.clock.now_ms(), None, encode(event)), event))
        return made

    def rank(self, entries: Iterable[PoolEntry]) -> None:
        """Bring the rankings as far as ``entries``."""
        found = [ScoredRecord(entry.record, entry.event) for entry in entries if isinstance(entry.event, ClipScored)]
        self.scores.apply(found, positions_after(entry.record for entry in found))

    def apply(self, entries: Sequence[PoolEntry], worker: PoolWorker | None = None) -> None:
        assert not (worker or self.worker).apply(entries, positions_after(entry.record for entry in entries))

    def feed(self, *events: PoolInput, worker: PoolWorker | None = None) -> None:
        entries = self.entries(*events)
        self.rank(entries)
        self.apply(entries, worker)

    def fill(self, challenge_id: str = "ch", clips: int = 20) -> None:
        """Give a challenge as many clips as percentiles need, with scores from 0 to below 0.5."""
        self.rank(
            self.entries(
                *(
                    scored(f"{challenge_id}-{n}", 0.5 * n / clips, challenge_id=challenge_id, dancer_id=f"other{n}")
                    for n in range(clips)
                )
            )
        )

    def published(self) -> list[PoolDecision]:
        return [decode(record.value, PoolDecision) for record in self.broker.records(DECISIONS)]

    def rules(self, clip_id: str) -> list[str]:
        made = [decision for decision in self.published() if decision.clip_id == clip_id]
        return [decision.rule for decision in sorted(made, key=lambda decision: decision.number)]

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with self.database.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]

    def engagement(self, clip_id: str = "c1") -> dict[str, Any] | None:
        return next((row for row in self.rows(engagement) if row["clip_id"] == clip_id), None)

    def aside(self) -> list[tuple[str, EngagementObserved]]:
        return [(row["reason"], decode(row["content"], EngagementObserved)) for row in self.rows(engagement_aside)]

    def clip(self, clip_id: str) -> dict[str, Any]:
        return next(row for row in self.rows(pool_clips) if row["clip_id"] == clip_id)
