"""The contract of transactional sinks, for the memory broker, the embedded broker and a real Apache Kafka."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from schemas.errors import Fenced, MembershipLost, RecordRefused
from schemas.ports import OutgoingRecord, Record, RecordSource, TopicPartition, TransactionalSink
from tests.waiting import STANDSTILL_S, read, wait_until
from transport.client_options import ConsumerOptions, TransactionOptions
from transport.connection import KafkaConnection
from transport.kafka_flushes import open_results
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.memory import MemoryBroker, MemorySink, MemorySource, MemoryTransactionalSink
from transport.topics import TopicSpec, ensure_topics

ON_KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)
MEMBERS = ConsumerOptions(session_timeout_s=6.0, heartbeat_interval_s=0.2)


class Transport:
    """A broker with two topics, and clients of it that are closed at the end."""

    def __init__(self, connection: KafkaConnection | None, fresh_name: Callable[[str], str]) -> None:
        self.connection = connection
        self.memory = MemoryBroker()
        self.read, self.written = fresh_name("uploads"), fresh_name("scored")
        self.group = fresh_name("streamers")
        self.opened: list[Any] = []
        specs = [TopicSpec(name=name, partitions=4) for name in (self.read, self.written)]
        if connection is None:
            self.memory.ensure_topics(specs)
        else:
            ensure_topics(connection, specs)

    def source(self, topic: str, group: str | None = None) -> RecordSource:
        if self.connection is None:
            return self._kept(MemorySource(self.memory, [topic], group=group))
        return self._kept(KafkaSource(self.connection, [topic], group=group, options=MEMBERS))

    def sink(self, name: str | None = None) -> TransactionalSink:
        if self.connection is None:
            return self._kept(MemoryTransactionalSink(self.memory))
        return self._kept(open_results(self.connection, name or self.group, TransactionOptions()))

    def upload(self, count: int) -> None:
        sink = MemorySink(self.memory) if self.connection is None else KafkaSink(self.connection)
        for number in range(count):
            sink.send(OutgoingRecord(self.read, b"clip-%d" % number, b"upload", partition_by="one"))
        sink.flush(STANDSTILL_S)
        sink.close()

    def close(self) -> None:
        for client in self.opened:
            client.close()

    def _kept(self, client: Any) -> Any:
        self.opened.append(client)
        return client


@pytest.fixture(params=["memory", "embedded", ON_KAFKA])
def transport(request: pytest.FixtureRequest, fresh_name: Callable[[str], str]) -> Iterator[Transport]:
    names = {"embedded": "embedded_broker", "kafka": "kafka_connection"}
    connection = request.getfixturevalue(names[request.param]) if request.param in names else None
    made = Transport(connection, fresh_name)
    yield made
    made.close()


only_on_kafka = pytest.mark.parametrize("transport", [ON_KAFKA], indirect=True)


def made_of(transport: Transport, records: Sequence[Record]) -> list[OutgoingRecord]:
    return [OutgoingRecord(transport.written, record.key, b"result", partition_by="one") for record in records]


def after(records: Sequence[Record]) -> dict[TopicPartition, int]:
    return {record.topic_partition: record.offset + 1 for record in records}


def test_results_and_positions_are_committed_together(transport: Transport) -> None:
    transport.upload(5)
    source, sink = transport.source(transport.read, transport.group), transport.sink()
    first = read(source, 3)
    sink.commit(made_of(transport, first), after(first), source)
    assert [r.key for r in read(transport.source(transport.written), 3)] == [r.key for r in first]
    source.close()
    rest = read(transport.source(transport.read, transport.group), 2)
    assert [record.offset for record in rest] == [3, 4]


def test_results_keep_their_order_over_many_transactions(transport: Transport) -> None:
    transport.upload(30)
    source, sink = transport.source(transport.read, transport.group), transport.sink()
    for record in read(source, 30):
        sink.commit(made_of(transport, [record]), after([record]), source)
    results = read(transport.source(transport.written), 30)
    assert [record.key for record in results] == [b"clip-%d" % number for number in range(30)]


def test_positions_without_results_are_stored_as_well(transport: Transport) -> None:
    transport.upload(2)
    source, sink = transport.source(transport.read, transport.group), transport.sink()
    records = read(source, 2)
    sink.commit([], after(records[:1]), source)
    source.close()
    assert [record.offset for record in read(transport.source(transport.read, transport.group), 1)] == [1]


def test_a_record_that_can_never_be_written_is_refused_when_sent(transport: Transport) -> None:
    sink = transport.sink()
    with pytest.raises(RecordRefused, match=transport.written):
        sink.check(OutgoingRecord(transport.written, None, None))
    sink.check(OutgoingRecord(transport.written, b"key", None))


def test_closing_twice_is_closing_once(transport: Transport) -> None:
    sink = transport.sink()
    sink.close()
    sink.close()


def test_a_reader_of_all_results_has_no_lag(transport: Transport) -> None:
    transport.upload(3)
    source, sink = transport.source(transport.read, transport.group), transport.sink()
    for record in read(source, 3):
        sink.commit(made_of(transport, [record]), after([record]), source)
    reader = transport.source(transport.written)
    read(reader, 3)

    def reads_nothing() -> None:
        assert not reader.poll(max_records=1, timeout_s=0.2)

    wait_until(lambda: not any(reader.lag().values()), reads_nothing, progress=reader.lag)


@only_on_kafka
def test_a_record_too_large_for_the_sink_is_refused_when_sent(transport: Transport) -> None:
    with pytest.raises(RecordRefused, match=r"1048577 bytes"):
        transport.sink().check(OutgoingRecord(transport.written, b"", bytes(1024 * 1024 + 1)))


@only_on_kafka
def test_a_producer_fences_the_older_one_of_its_name_whose_transaction_is_aborted(transport: Transport) -> None:
    transport.upload(2)
    source, first = transport.source(transport.read, transport.group), transport.sink("one name")
    records = read(source, 2)
    second = transport.sink("one name")
    with pytest.raises(Fenced, match="another process uses the same transactional id"):
        first.commit(made_of(transport, records), after(records), source)
    second.commit(made_of(transport, records[:1]), after(records[:1]), source)
    assert [r.key for r in read(transport.source(transport.written), 1)] == [b"clip-0"]


class GivenUp:
    """A source that its group has removed, and that has not noticed."""

    def __init__(self, membership: object) -> None:
        self._membership = membership

    def membership(self) -> object:
        return self._membership


@only_on_kafka
def test_a_source_that_is_not_a_member_yet_cannot_write(transport: Transport) -> None:
    source, sink = transport.source(transport.read, transport.group), transport.sink()
    with pytest.raises(MembershipLost, match="no member of group"):
        sink.commit([], {TopicPartition(transport.read, 0): 1}, source)


@only_on_kafka
def test_a_member_that_was_removed_from_its_group_writes_nothing(transport: Transport) -> None:
    transport.upload(2)
    source, sink = transport.source(transport.read, transport.group), transport.sink("a zombie")
    records = read(source, 2)
    zombie = GivenUp(source.membership())
    source.close()
    successor = transport.source(transport.read, transport.group)
    again = read(successor, 2)
    with pytest.raises(MembershipLost, match="the group rebalanced without this member"):
        sink.commit(made_of(transport, records), after(records), zombie)
    sink.commit(made_of(transport, again), after(again), successor)  # the sink itself is as good as before
    written = transport.source(transport.written)
    assert len(read(written, 2)) == 2
    assert not written.poll(max_records=10, timeout_s=1.0)
