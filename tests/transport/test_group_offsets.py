"""Offsets of groups are listed, and changed only while a group has no members."""

import time
from collections.abc import Callable
from contextlib import closing

import pytest

from schemas.errors import DancerankError
from schemas.ports import OutgoingRecord, TopicPartition
from tests.waiting import STANDSTILL_S, read
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection
from transport.group_offsets import (
    GroupBusy,
    PartitionEnds,
    committed_offsets,
    members_of,
    offsets_at,
    partition_ends,
    set_offsets,
)
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic(kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]) -> str:
    """Two partitions: ten records in the first, none in the second."""
    name = fresh_name("clips")
    ensure_topics(kafka_connection, [TopicSpec(name=name, partitions=2)])
    write(kafka_connection, name, range(10))
    return name


def write(connection: KafkaConnection, topic: str, numbers: range) -> None:
    with closing(KafkaSink(connection)) as sink:
        for number in numbers:
            sink.send(OutgoingRecord(topic, b"key", b"%d" % number, (("n", b"%d" % number),), partition_by="b"))
        sink.flush(STANDSTILL_S)


def filled(ends: dict[TopicPartition, PartitionEnds]) -> TopicPartition:
    return max(ends, key=lambda at: ends[at].end)


def test_ends_are_those_of_the_topics_that_exist(kafka_connection: KafkaConnection, topic: str) -> None:
    ends = partition_ends(kafka_connection, [topic, "absent"])
    assert sorted(ends.values(), key=lambda e: e.end) == [PartitionEnds(0, 0), PartitionEnds(0, 10)]
    assert partition_ends(kafka_connection, ["absent"]) == {}


def test_a_place_is_an_end_or_the_first_record_since_a_time(kafka_connection: KafkaConnection, topic: str) -> None:
    between_ms = int(time.time() * 1000) + 1
    time.sleep(0.01)
    write(kafka_connection, topic, range(10, 13))
    ends = partition_ends(kafka_connection, [topic])
    full = filled(ends)
    for place, offset in {"earliest": 0, "latest": 13, 0: 0, between_ms: 10, between_ms + 60_000: 13}.items():
        found = offsets_at(kafka_connection, ends, place)  # type: ignore[arg-type]
        assert found.pop(full) == offset, place
        assert list(found.values()) == [0], place


def test_an_unknown_group_has_no_members_and_no_offsets(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    group = fresh_name("group")
    assert members_of(kafka_connection, group) == []
    assert committed_offsets(kafka_connection, group) == {}


def test_an_empty_group_continues_where_it_was_set(
    kafka_connection: KafkaConnection, topic: str, fresh_name: Callable[[str], str]
) -> None:
    group, ends = fresh_name("group"), partition_ends(kafka_connection, [topic])
    for offset in (7, 4):
        set_offsets(kafka_connection, group, {filled(ends): offset})
        assert committed_offsets(kafka_connection, group) == {filled(ends): offset}
        with closing(KafkaSource(kafka_connection, [topic], group=group)) as source:
            assert read(source, 1)[0].offset == offset


def test_a_group_with_members_is_not_touched_and_names_them(
    kafka_connection: KafkaConnection, topic: str, fresh_name: Callable[[str], str]
) -> None:
    group, ends = fresh_name("group"), partition_ends(kafka_connection, [topic])
    settings = ConsumerOptions(instance="pod-1", session_timeout_s=6.0)
    with closing(KafkaSource(kafka_connection, [topic], group=group, options=settings)) as source:
        read(source, 1)
        (member,) = members_of(kafka_connection, group)
        assert (member.instance, set(member.partitions)) == ("pod-1", set(ends))
        with pytest.raises(GroupBusy, match=f"group {group} has 1 live member: instance pod-1 on .* Stop them first"):
            set_offsets(kafka_connection, group, {filled(ends): 3})
    assert committed_offsets(kafka_connection, group) == {}


def test_an_unreachable_broker_is_an_error_that_names_the_servers() -> None:
    nowhere = KafkaConnection(servers=("127.0.0.1:1",), timeout_s=0.5)
    for ask in (lambda: members_of(nowhere, "g"), lambda: partition_ends(nowhere, ["t"])):
        with pytest.raises(DancerankError, match=r"cannot connect.*127\.0\.0\.1:1"):
            ask()
