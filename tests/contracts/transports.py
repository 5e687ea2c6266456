"""Every transport behind one interface: memory, the embedded broker and a real Apache Kafka."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

import pytest
from kafka import KafkaAdminClient
from kafka import TopicPartition as KafkaTopicPartition

from schemas.ports import LogGap, OutgoingRecord, RebalanceListener, Record, RecordSink, RecordSource, TopicPartition
from tests.waiting import STANDSTILL_S
from transport.client_options import ConsumerOptions, ProducerOptions
from transport.connection import KafkaConnection, open_client
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.topics import TopicSpec, ensure_topics

PARTITIONS = 4


class Transport(Protocol):
    """One implementation under test."""

    def ensure_topic(self, name: str) -> None: ...

    def add_partitions(self, name: str, total: int) -> None: ...

    def delete_records(self, at: TopicPartition, before: int) -> None: ...

    def source(
        self, topics: Iterable[str], *, group: str | None, listener: RebalanceListener | None = None
    ) -> RecordSource: ...

    def sink(self) -> RecordSink: ...

    def close(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self._broker = MemoryBroker()

    def ensure_topic(self, name: str) -> None:
        self._broker.ensure_topics([TopicSpec(name=name, partitions=PARTITIONS)])

    def add_partitions(self, name: str, total: int) -> None:
        self._broker.add_partitions(name, total)

    def delete_records(self, at: TopicPartition, before: int) -> None:
        self._broker.delete_records(at, before)

    def source(
        self, topics: Iterable[str], *, group: str | None, listener: RebalanceListener | None = None
    ) -> RecordSource:
        return MemorySource(self._broker, topics, group=group, listener=listener)

    def sink(self) -> RecordSink:
        return MemorySink(self._broker)

    def close(self) -> None:
        pass


class OnKafka:
    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._opened: list[KafkaSource | KafkaSink] = []

    def ensure_topic(self, name: str) -> None:
        ensure_topics(self._connection, [TopicSpec(name=name, partitions=PARTITIONS)])

    def add_partitions(self, name: str, total: int) -> None:
        admin, _ = open_client(KafkaAdminClient, self._connection)
        with closing(admin):
            admin.create_partitions({name: total})

    def delete_records(self, at: TopicPartition, before: int) -> None:
        admin, _ = open_client(KafkaAdminClient, self._connection)
        with closing(admin):
            admin.delete_records({KafkaTopicPartition(*at): before})

    def source(
        self, topics: Iterable[str], *, group: str | None, listener: RebalanceListener | None = None
    ) -> RecordSource:
        settings = ConsumerOptions(session_timeout_s=6.0, heartbeat_interval_s=0.2)
        source = KafkaSource(self._connection, topics, group=group, listener=listener, options=settings)
        self._opened.append(source)
        return source

    def sink(self) -> RecordSink:
        sink = KafkaSink(self._connection, ProducerOptions(linger_s=0.0))
        self._opened.append(sink)
        return sink

    def close(self) -> None:
        for client in self._opened:
            client.close()


ON_KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)

# What the embedded broker cannot do, by its own account, is not asked of it.
groups_of_several = pytest.mark.parametrize("transport", ["memory", ON_KAFKA], indirect=True)
topics_are_created_first = pytest.mark.parametrize("transport", ["memory", ON_KAFKA], indirect=True)


def upload(topic: str, number: int, challenge: str | None = None) -> OutgoingRecord:
    return OutgoingRecord(topic, b"clip-%d" % number, b"value-%d" % number, partition_by=challenge)


def write(transport: Transport, records: Iterable[OutgoingRecord]) -> None:
    sink = transport.sink()
    for record in records:
        sink.send(record)
    sink.flush(STANDSTILL_S)


def polled_together(*members: RecordSource) -> list[Record]:
    """Records of members that poll concurrently; if they polled in turns, a rebalance of Kafka's clients would not
    end.
    """
    with ThreadPoolExecutor(len(members)) as pool:
        found = pool.map(lambda member: member.poll(max_records=100, timeout_s=0.2), members)
        return [record for records in found for record in records]


def positions(records: Sequence[Record]) -> dict[TopicPartition, int]:
    after: dict[TopicPartition, int] = {}
    for record in records:
        after[record.topic_partition] = max(after.get(record.topic_partition, 0), record.offset + 1)
    return after


def values(records: Iterable[Record]) -> list[bytes | None]:
    return sorted((record.value for record in records), key=lambda value: value or b"")


class Watcher:
    """A listener that records its calls, starts from the given positions, and commits on revocation if asked to."""

    def __init__(self, start: Mapping[TopicPartition, int] | None = None) -> None:
        self.start = start or {}
        self.calls: list[tuple[str, frozenset[TopicPartition]]] = []
        self.on_revoked: Callable[[frozenset[TopicPartition]], None] = lambda partitions: None
        self.gaps: list[LogGap] = []
        self.refuses: Exception | None = None

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.calls.append(("assigned", partitions))
        return {at: offset for at, offset in self.start.items() if at in partitions}

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("revoked", partitions))
        self.on_revoked(partitions)

    def dropped(self, gap: LogGap) -> None:
        self.gaps.append(gap)
        if self.refuses is not None:
            raise self.refuses
