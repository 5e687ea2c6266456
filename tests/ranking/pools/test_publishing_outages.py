"""Decisions are published once each, through outages of Kafka and of the database."""

from collections.abc import Sequence

import pytest

from ranking.database.connection import Database
from schemas.codec import encode
from schemas.errors import StoreUnavailable, TransportError
from schemas.events import PoolDecision
from tests.ranking.pools.audit import stored_decisions
from tests.ranking.pools.service import (
    DECISIONS,
    Service,
    deleted,
    observed,
    scored,
)
from transport.memory import MemorySink
from transport.topics import TopicSpec


@pytest.fixture
def service(sqlite_database: Database) -> Service:
    made = Service(sqlite_database, rankings_timeout_s=-1.0)
    made.fill()
    return made


class Unreliable(MemorySink):
    """Fails while ``unreachable``; with ``forgets`` it sends, and then fails."""

    unreachable = False
    forgets = False

    def flush(self, timeout_s: float) -> None:
        if self.unreachable:
            self._queued.clear()
            raise TransportError("no broker answers")
        super().flush(timeout_s)
        if self.forgets:
            raise TransportError("no acknowledgement came")


def test_decisions_outlast_an_outage_of_kafka_and_are_published_in_sequence(sqlite_database: Database) -> None:
    service = Service(sqlite_database, publish_records=2)
    service.fill()
    service.broker.ensure_topics([TopicSpec(name=DECISIONS, partitions=1)])
    sink = Unreliable(service.broker)
    worker = service.another(sink=sink)
    sink.unreachable = True
    for number in range(5):
        service.feed(scored(f"c{number}", 0.9), worker=worker)
    worker.round()
    assert not service.published()
    sink.unreachable, sink.forgets = False, True
    service.feed(deleted("c0"), worker=worker)
    made = stored_decisions(sqlite_database)
    assert _ordered(service.published(), made[:2])
    sink.forgets = False
    service.publisher(sink=sink).publish()
    assert len(made) >= 6
    assert {(d.clip_id, d.number) for d in service.published()} == {(d.clip_id, d.number) for d in made}
    _in_first_appearance(service, made)


def _ordered(published: Sequence[PoolDecision], expected: Sequence[PoolDecision]) -> bool:
    return sorted(published, key=str) == sorted(expected, key=str)


def _in_first_appearance(service: Service, made: Sequence[PoolDecision]) -> None:
    """Of every partition the records, without those that came before, are in sequence; repetitions are the same."""
    sequence = {encode(decision): number for number, decision in enumerate(made)}
    for partition in range(2):
        values = [r.value for r in service.broker.records(DECISIONS) if r.partition == partition]
        first = [sequence[value] for value in dict.fromkeys(values)]  # type: ignore[index]
        assert first == sorted(first)


def test_a_database_that_is_lost_while_publishing_makes_nothing_twice(service: Service) -> None:
    store, publish = service.pools, service.pools.publish

    def lost(*_: object) -> int:
        store.publish = publish  # type: ignore[method-assign]
        raise StoreUnavailable("gone")

    store.publish = lost  # type: ignore[assignment,method-assign]
    entries = service.entries(scored("c1", 0.9), observed("c1", 30, 100), observed("c9", 1))
    service.rank(entries)
    with pytest.raises(StoreUnavailable):
        service.apply(entries)
    service.apply(entries)
    service.worker.round()
    assert service.rules("c1") == ["nominated", "promoted"]
    assert service.pools.replay().difference is None
