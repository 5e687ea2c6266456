"""The contract of sources and sinks, for the memory broker, the embedded broker and a real Apache Kafka."""

import time
from collections.abc import Callable, Mapping

import pytest

from schemas.errors import ConfigurationError, PositionBeyondLog, RecordRefused, TransportError
from schemas.ports import OutgoingRecord, Record, TopicPartition
from tests.contracts.transports import (
    PARTITIONS,
    OnKafka,
    Transport,
    Watcher,
    positions,
    topics_are_created_first,
    upload,
    values,
    write,
)
from tests.waiting import read, wait_until
from transport.connection import KafkaConnection


def test_a_record_is_read_as_it_was_written(transport: Transport, topic: str) -> None:
    before_ms = time.time_ns() // 1_000_000
    headers = (("code", b"malformed_event"), ("empty", b""), ("utf-8", "größer".encode()), ("code", b"twice"))
    write(transport, [OutgoingRecord(topic, b"clip-1", bytes(range(256)), headers, "challenge-7")])
    after_ms = time.time_ns() // 1_000_000
    (record,) = read(transport.source([topic], group=None), 1)
    assert (record.topic, record.offset, record.key, record.value) == (topic, 0, b"clip-1", bytes(range(256)))
    assert record.headers == headers
    assert before_ms <= record.timestamp_ms <= after_ms


def test_a_tombstone_keeps_its_key_and_a_keyless_record_its_value(transport: Transport, topic: str) -> None:
    write(transport, [OutgoingRecord(topic, b"clip-1", None), OutgoingRecord(topic, None, b"value")])
    records = read(transport.source([topic], group=None), 2)
    assert {(record.key, record.value) for record in records} == {(b"clip-1", None), (None, b"value")}


def test_a_record_with_neither_key_nor_value_is_refused(transport: Transport, topic: str) -> None:
    with pytest.raises(RecordRefused, match=topic):
        transport.sink().send(OutgoingRecord(topic, None, None))


def test_a_record_goes_to_the_partition_that_it_names(transport: Transport, topic: str) -> None:
    partitions = transport.sink().partitions(topic)
    assert partitions > 1
    write(
        transport,
        [OutgoingRecord(topic, b"clip-1", None, partition_by="any", partition=number) for number in range(partitions)],
    )
    records = read(transport.source([topic], group=None), partitions)
    assert sorted(record.partition for record in records) == [*range(partitions)]


def test_one_challenge_stays_in_one_partition_and_in_order(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, n, challenge=f"challenge-{n % 8}") for n in range(80)])
    records = read(transport.source([topic], group=None), 80)
    partitions: dict[int, set[int]] = {}
    order: dict[int, list[int]] = {}
    for record in records:
        number = int((record.key or b"").removeprefix(b"clip-"))
        partitions.setdefault(number % 8, set()).add(record.partition)
        order.setdefault(number % 8, []).append(number)
    assert all(len(found) == 1 for found in partitions.values())
    assert len(set().union(*partitions.values())) > 1
    assert all(numbers == sorted(numbers) for numbers in order.values())


def test_every_transport_chooses_the_same_partition(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, 0, challenge="challenge-3"), upload(topic, 1)])
    records = read(transport.source([topic], group=None), 2)
    # CRC-32 of the challenge, else of the key, modulo 4.
    assert {record.key: record.partition for record in records} == {b"clip-0": 2, b"clip-1": 3}


def test_no_record_is_lost_or_repeated_within_one_reader(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, n) for n in range(500)])
    source = transport.source([topic], group=None)
    records = read(source, 500)
    assert values(records) == sorted(b"value-%d" % n for n in range(500))
    assert not source.poll(max_records=10, timeout_s=0.2)


def test_poll_returns_no_more_than_asked_for(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, n) for n in range(50)])
    source = transport.source([topic], group=None)
    sizes: list[int] = []
    wait_until(lambda: sum(sizes) == 50, lambda: sizes.append(len(source.poll(max_records=7, timeout_s=0.5))))
    assert max(sizes) <= 7


def test_an_empty_poll_takes_no_longer_than_asked(transport: Transport, topic: str) -> None:
    source = transport.source([topic], group=None)
    wait_until(lambda: bool(source.assignment()), lambda: source.poll(max_records=1, timeout_s=0.2))
    started_s = time.monotonic()
    assert not source.poll(max_records=1, timeout_s=0.3)
    assert time.monotonic() - started_s < 2.0


def test_a_restarted_reader_continues_from_its_commit(transport: Transport, topic: str, group: str) -> None:
    write(transport, [upload(topic, n, challenge="one partition") for n in range(20)])
    first = transport.source([topic], group=group)
    records = read(first, 20)
    first.commit(positions(records[:12]))
    first.close()
    again = read(transport.source([topic], group=group), 8)
    assert [record.offset for record in again] == list(range(12, 20))


def test_closing_commits_nothing(transport: Transport, topic: str, group: str) -> None:
    write(transport, [upload(topic, n) for n in range(10)])
    first = transport.source([topic], group=group)
    read(first, 10)
    first.close()
    first.close()
    assert len(read(transport.source([topic], group=group), 10)) == 10


def test_groups_read_independently(transport: Transport, topic: str, fresh_name: Callable[[str], str]) -> None:
    write(transport, [upload(topic, n) for n in range(10)])
    for _ in range(2):
        source = transport.source([topic], group=fresh_name("group"))
        source.commit(positions(read(source, 10)))


def test_the_listener_says_where_to_start(transport: Transport, topic: str, group: str) -> None:
    write(transport, [upload(topic, n, challenge="one partition") for n in range(10)])
    source = transport.source([topic], group=group)
    records = read(source, 10)
    source.commit(positions(records[:3]))
    source.close()
    watcher = Watcher({records[0].topic_partition: 7})
    again = read(transport.source([topic], group=group, listener=watcher), 3)
    assert [record.offset for record in again] == [7, 8, 9]
    assert [what for what, _ in watcher.calls] == ["assigned"]


def test_without_a_group_every_reader_has_every_partition(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, n) for n in range(40)])
    for _ in range(2):
        watcher = Watcher()
        source = transport.source([topic], group=None, listener=watcher)
        assert len(read(source, 40)) == 40
        assert source.assignment() == {TopicPartition(topic, number) for number in range(PARTITIONS)}
        assert watcher.calls == [("assigned", source.assignment())]


def test_without_a_group_the_listener_gives_the_positions(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, n, challenge="one partition") for n in range(10)])
    at = read(transport.source([topic], group=None), 10)[0].topic_partition
    source = transport.source([topic], group=None, listener=Watcher({at: 6}))
    assert [record.offset for record in read(source, 4)] == [6, 7, 8, 9]
    with pytest.raises(ConfigurationError, match="without a group"):
        source.commit({at: 10})


@pytest.mark.parametrize("grouped", [True, False], ids=["group", "no group"])
def test_a_position_beyond_the_end_belongs_to_another_log_and_is_refused(
    transport: Transport, topic: str, group: str, grouped: bool
) -> None:
    write(transport, [upload(topic, n, challenge="one partition") for n in range(10)])
    at = read(transport.source([topic], group=None), 10)[0].topic_partition
    source = transport.source([topic], group=group if grouped else None, listener=Watcher({at: 11}))
    says = rf"{topic}\[{at.partition}\] ends at offset 10.*is 11.*delete"
    with pytest.raises(PositionBeyondLog, match=says):
        wait_until(lambda: False, lambda: source.poll(max_records=1, timeout_s=0.2))
    if not grouped:
        with pytest.raises(PositionBeyondLog, match=says):
            source.poll(max_records=1, timeout_s=0.2)


def test_a_position_at_the_end_waits_for_what_comes(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, n, challenge="one partition") for n in range(3)])
    at = read(transport.source([topic], group=None), 3)[0].topic_partition
    source = transport.source([topic], group=None, listener=Watcher({at: 3}))
    assert not source.poll(max_records=1, timeout_s=0.2)
    write(transport, [upload(topic, 3, challenge="one partition")])
    assert [record.offset for record in read(source, 1)] == [3]


@topics_are_created_first
def test_without_a_group_an_absent_topic_is_named(transport: Transport, fresh_name: Callable[[str], str]) -> None:
    absent = fresh_name("absent")
    with pytest.raises(TransportError, match=absent):
        transport.source([absent], group=None).poll(max_records=1, timeout_s=0.1)


def test_poll_raises_what_the_listener_raises(transport: Transport, topic: str, group: str) -> None:
    watcher = Watcher()

    def fail(partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        raise LookupError("the view is gone")

    watcher.assigned = fail  # type: ignore[method-assign]
    source = transport.source([topic], group=group, listener=watcher)
    with pytest.raises(LookupError, match="the view is gone"):
        wait_until(lambda: False, lambda: source.poll(max_records=1, timeout_s=0.2))


def test_a_paused_reader_gets_nothing_and_misses_nothing(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, n) for n in range(60)])
    source = transport.source([topic], group=None)
    records: list[Record] = []
    wait_until(lambda: bool(records), lambda: records.extend(source.poll(max_records=1, timeout_s=0.2)))
    source.pause()
    write(transport, [upload(topic, n) for n in range(60, 80)])
    for _ in range(3):
        assert not source.poll(max_records=100, timeout_s=0.2)
    source.resume()
    records += read(source, 79)
    assert values(records) == sorted(b"value-%d" % n for n in range(80))


def test_a_pause_covers_partitions_assigned_later(transport: Transport, topic: str, group: str) -> None:
    write(transport, [upload(topic, n) for n in range(20)])
    source = transport.source([topic], group=group)
    source.pause()
    wait_until(lambda: bool(source.assignment()), lambda: source.poll(max_records=1, timeout_s=0.2))
    for _ in range(3):
        assert not source.poll(max_records=100, timeout_s=0.2)
    source.resume()
    assert len(read(source, 20)) == 20


def test_lag_counts_what_is_left_to_read(transport: Transport, topic: str) -> None:
    write(transport, [upload(topic, n, challenge="one partition") for n in range(30)])
    source = transport.source([topic], group=None)
    records: list[Record] = []
    wait_until(
        lambda: len(records) == 10, lambda: records.extend(source.poll(max_records=10 - len(records), timeout_s=0.2))
    )
    at = records[0].topic_partition
    assert source.lag()[at] == 20
    assert source.end_offsets() == {place: 30 if place == at else 0 for place in source.assignment()}
    read(source, 20)
    assert source.lag()[at] == 0


@topics_are_created_first
def test_an_unknown_topic_is_named_when_written_to(transport: Transport, fresh_name: Callable[[str], str]) -> None:
    if isinstance(transport, OnKafka):
        impatient = KafkaConnection(servers=transport._connection.servers, timeout_s=1.0)
        transport = OnKafka(impatient)
    absent = fresh_name("absent")
    with pytest.raises(TransportError, match=absent):
        transport.sink().send(upload(absent, 1))
    transport.close()


def test_a_flush_with_nothing_to_do_returns(transport: Transport) -> None:
    transport.sink().flush(1.0)
