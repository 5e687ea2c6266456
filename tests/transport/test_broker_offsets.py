"""What a real broker says of topics and groups to a client that belongs to none."""

import signal
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from schemas.errors import TransportError
from schemas.ports import OutgoingRecord, TopicPartition
from tests.servers.kafka import KafkaServer
from transport.broker_offsets import KafkaOffsets, Span
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

RECORDS = 5
SOON_S = 60.0


@pytest.fixture
def topic(kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]) -> str:
    """Two partitions, of which the first has records."""
    name = fresh_name("offsets")
    ensure_topics(kafka_connection, [TopicSpec(name=name, partitions=2)])
    with closing(KafkaSink(kafka_connection)) as sink:
        for _ in range(RECORDS):
            sink.send(OutgoingRecord(name, b"k", b"v", partition=0))
        sink.flush(SOON_S)
    return name


def eventually(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.kafka
def test_ends_committed_offsets_and_what_members_hold(
    topic: str, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    group, (first, second) = fresh_name("group"), (TopicPartition(topic, n) for n in range(2))
    with closing(KafkaOffsets(kafka_connection)) as offsets:
        eventually(lambda: offsets.look([topic], [group]).held.get(group) == frozenset())
        with closing(KafkaSource(kafka_connection, [topic], group=group)) as source:
            while not source.poll(max_records=3, timeout_s=1.0):
                continue
            source.commit({first: 3})
            found = offsets.look([topic], [group])
            assert found.spans == {first: Span(0, RECORDS), second: Span(0, 0)}
            assert found.committed[group] == {first: 3}
            assert found.held[group] == {first, second}
            assert source.positions()[first] == 3
        eventually(lambda: offsets.look([topic], [group]).held.get(group) == frozenset())


@pytest.mark.kafka
def test_a_topic_that_does_not_exist_has_no_partitions_and_hides_no_other(
    topic: str, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    with closing(KafkaOffsets(kafka_connection)) as offsets:
        found = offsets.look([topic, fresh_name("absent")], [])
    assert {at.topic for at in (*found.spans, *found.unanswered)} == {topic}


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_that_is_frozen_or_gone_is_an_error_within_the_timeout_and_is_asked_again_afterwards(
    own_kafka_server: KafkaServer,
) -> None:
    connection = KafkaConnection(servers=(own_kafka_server.address,), timeout_s=2.0)
    ensure_topics(connection, [TopicSpec(name="t", partitions=1)])
    with closing(KafkaOffsets(connection)) as offsets:
        assert offsets.look(["t"], []).spans == {TopicPartition("t", 0): Span(0, 0)}
        for harm, mend in (
            (lambda: own_kafka_server.send(signal.SIGSTOP), lambda: own_kafka_server.send(signal.SIGCONT)),
            (own_kafka_server.kill, own_kafka_server.start),
        ):
            harm()
            for _ in range(2):
                asked_s = time.monotonic()
                with pytest.raises(TransportError, match=own_kafka_server.address):
                    offsets.look(["t"], [])
                assert time.monotonic() - asked_s < 3 * connection.timeout_s
            mend()
            assert offsets.look(["t"], []).spans
