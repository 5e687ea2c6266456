"""Partitions that are added to a topic while it is read and written: every reader and writer finds them."""

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from schemas.errors import TransportError
from schemas.ports import OutgoingRecord, RecordSource, TopicPartition
from tests.contracts.transports import (
    ON_KAFKA,
    PARTITIONS,
    InMemory,
    OnKafka,
    Transport,
    Watcher,
    polled_together,
    upload,
    values,
    write,
)
from tests.waiting import read, wait_until

MORE = PARTITIONS + 3


@pytest.fixture(params=["memory", ON_KAFKA])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """A transport whose metadata is refreshed every second, and on which partitions can be added."""
    if request.param == "memory":
        transport: Transport = InMemory()
    else:
        connection = request.getfixturevalue("kafka_connection")
        transport = OnKafka(msgspec.structs.replace(connection, metadata_refresh_s=1.0))
    with closing(transport):
        yield transport


def added(topic: str) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(topic, number) for number in range(PARTITIONS, MORE))


def in_each(topic: str, first: int) -> list[OutgoingRecord]:
    """A record for every partition, including the new ones."""
    return [
        OutgoingRecord(topic, b"clip-%d" % number, b"value-%d" % (first + number), partition=number)
        for number in range(MORE)
    ]


@pytest.mark.tried(
    kind="metadata looked up once",
    given="partitions added to a topic that a reader without a group reads",
    outcome="read from their beginning within one metadata refresh",
)
def test_without_a_group_new_partitions_are_read_from_their_beginning(transport: Transport, topic: str) -> None:
    watcher = Watcher()
    source = transport.source([topic], group=None, listener=watcher)
    write(transport, [upload(topic, n) for n in range(20)])
    read(source, 20)
    transport.add_partitions(topic, MORE)
    write(transport, in_each(topic, 100))
    assert values(read(source, MORE)) == sorted(b"value-%d" % n for n in range(100, 100 + MORE))
    assert source.assignment() == {TopicPartition(topic, number) for number in range(MORE)}
    assert watcher.calls[1:] == [("assigned", added(topic))]
    assert source.end_offsets().keys() == source.lag().keys() == source.assignment()


def test_records_are_not_read_again_after_partitions_were_added(transport: Transport, topic: str) -> None:
    source = transport.source([topic], group=None)
    write(transport, [upload(topic, n) for n in range(20)])
    read(source, 20)
    transport.add_partitions(topic, MORE)
    wait_until(lambda: added(topic) <= source.assignment(), lambda: source.poll(max_records=1, timeout_s=0.2))
    write(transport, [upload(topic, 20)])
    assert values(read(source, 1)) == [b"value-20"]
    assert not source.poll(max_records=10, timeout_s=0.2)


def test_new_partitions_are_paused_if_the_reader_is(transport: Transport, topic: str) -> None:
    source = transport.source([topic], group=None)
    wait_until(lambda: bool(source.assignment()), lambda: source.poll(max_records=1, timeout_s=0.2))
    source.pause()
    transport.add_partitions(topic, MORE)
    write(transport, in_each(topic, 0))
    wait_until(
        lambda: added(topic) <= source.assignment(),
        lambda: nothing(source),
    )
    for _ in range(3):
        nothing(source)
    source.resume()
    assert len(read(source, MORE)) == MORE


def nothing(source: RecordSource) -> None:
    assert not source.poll(max_records=10, timeout_s=0.2)


def test_a_listener_that_fails_for_new_partitions_is_called_again_and_nothing_is_skipped(
    transport: Transport, topic: str
) -> None:
    watcher = Watcher()
    source = transport.source([topic], group=None, listener=watcher)
    wait_until(lambda: bool(source.assignment()), lambda: source.poll(max_records=1, timeout_s=0.2))
    transport.add_partitions(topic, MORE)
    write(transport, in_each(topic, 0))
    answer = watcher.assigned

    def fail(partitions: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
        raise LookupError("the view does not answer")

    watcher.assigned = fail  # type: ignore[method-assign]
    old = []
    for _ in range(2):
        with pytest.raises(LookupError, match="the view does not answer"):
            wait_until(lambda: False, lambda: old.extend(source.poll(max_records=100, timeout_s=0.2)))
    assert not added(topic) & {record.topic_partition for record in old}
    watcher.assigned = answer  # type: ignore[method-assign]
    assert values([*old, *read(source, MORE - len(old))]) == sorted(b"value-%d" % n for n in range(MORE))


@pytest.mark.tried(
    kind="metadata looked up once",
    given="partitions added to a topic that a consumer group reads",
    outcome="shared out and read from their beginning",
)
def test_new_partitions_are_assigned_within_the_group(transport: Transport, topic: str, group: str) -> None:
    first, second = transport.source([topic], group=group), transport.source([topic], group=group)
    old = {TopicPartition(topic, number) for number in range(PARTITIONS)}
    wait_until(lambda: first.assignment() | second.assignment() == old, lambda: polled_together(first, second))
    transport.add_partitions(topic, MORE)
    write(transport, in_each(topic, 0))
    records = []
    wait_until(lambda: len(records) >= MORE, lambda: records.extend(polled_together(first, second)))
    assert values(records) == sorted(b"value-%d" % n for n in range(MORE))
    assert first.assignment() | second.assignment() == old | added(topic)
    assert not first.assignment() & second.assignment()


@pytest.mark.tried(
    kind="metadata looked up once",
    given="a record for a partition that was added since the producer connected",
    outcome="written there at once",
)
def test_a_sink_writes_to_a_partition_that_was_added_after_it_connected(transport: Transport, topic: str) -> None:
    sink = transport.sink()
    assert sink.partitions(topic) == PARTITIONS
    sink.send(upload(topic, 0))
    sink.flush(30.0)
    transport.add_partitions(topic, MORE)
    sink.send(OutgoingRecord(topic, b"clip-1", b"last", partition=MORE - 1))
    sink.flush(30.0)
    records = read(transport.source([topic], group=None), 2)
    assert {record.partition for record in records if record.value == b"last"} == {MORE - 1}


@pytest.mark.tried(
    kind="metadata looked up once",
    given="a sink asked for the partitions of a topic right after some were added",
    outcome="counts all of them, so that tombstones reach them",
)
def test_a_sink_counts_partitions_as_they_are_now(transport: Transport, topic: str) -> None:
    sink = transport.sink()
    assert sink.partitions(topic) == PARTITIONS
    transport.add_partitions(topic, MORE)
    assert sink.partitions(topic) == MORE


@pytest.mark.parametrize("transport", [ON_KAFKA], indirect=True)
def test_a_partition_that_does_not_exist_is_named(transport: Transport, topic: str) -> None:
    sink = transport.sink()
    with pytest.raises(TransportError, match=f"topic {topic} has {PARTITIONS} partitions.*partition {PARTITIONS} "):
        sink.send(OutgoingRecord(topic, b"clip-1", b"", partition=PARTITIONS))
    sink.send(upload(topic, 0))
    sink.flush(30.0)
