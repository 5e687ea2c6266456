"""A source outlives the broker's restarts and the loss of its partitions."""

import threading
import time
from collections.abc import Callable, Mapping

import pytest
from kafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from schemas.errors import AccessDenied, TransportError
from schemas.ports import OutgoingRecord, TopicPartition
from tests.servers.kafka import KafkaServer
from tests.waiting import STANDSTILL_S, read, wait_until
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics


def write(connection: KafkaConnection, topic: str, numbers: range) -> None:
    sink = KafkaSink(connection)
    for number in numbers:
        sink.send(OutgoingRecord(topic, b"clip-%d" % number, b"%d" % number))
    sink.flush(STANDSTILL_S)
    sink.close()


@pytest.mark.kafka
@pytest.mark.slow
def test_a_source_outlives_a_restart_of_the_broker(own_kafka_server: KafkaServer) -> None:
    connection = KafkaConnection(servers=(own_kafka_server.address,), timeout_s=2.0)
    ensure_topics(connection, [TopicSpec(name="clips")])
    write(connection, "clips", range(50))
    source = KafkaSource(connection, ["clips"], group="g", options=ConsumerOptions(heartbeat_interval_s=0.5))
    first = read(source, 50)
    source.commit({record.topic_partition: record.offset + 1 for record in first})
    own_kafka_server.stop()
    assert not source.poll(max_records=10, timeout_s=0.5)
    started_s = time.monotonic()
    with pytest.raises(TransportError, match=f"cannot commit clips.*{own_kafka_server.address}"):
        source.commit({first[-1].topic_partition: first[-1].offset + 1})
    assert time.monotonic() - started_s < 10.0
    own_kafka_server.start()
    write(connection, "clips", range(50, 80))
    values = [record.value for record in read(source, 30)]
    assert sorted(values) == sorted(b"%d" % number for number in range(50, 80))
    source.close()


class Committer:
    """A listener that commits given offsets on revocation."""

    def __init__(self) -> None:
        self.source: KafkaSource | None = None
        self.refused: list[TransportError] = []

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {}

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        assert self.source is not None
        try:
            self.source.commit(dict.fromkeys(partitions, 0))
        except TransportError as error:
            self.refused.append(error)
            raise


@pytest.mark.kafka
def test_a_member_that_was_put_out_of_its_group_cannot_commit_and_comes_back(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    topic, group = fresh_name("clips"), fresh_name("group")
    ensure_topics(kafka_connection, [TopicSpec(name=topic)])
    listener = Committer()
    impatient = ConsumerOptions(max_poll_interval_s=1.0, heartbeat_interval_s=0.2, session_timeout_s=2.0)
    idle = KafkaSource(kafka_connection, [topic], group=group, listener=listener, options=impatient)
    listener.source = idle
    while len(idle.assignment()) < 4:
        idle.poll(max_records=1, timeout_s=0.2)
    other = KafkaSource(kafka_connection, [topic], group=group, options=ConsumerOptions(heartbeat_interval_s=0.2))
    # The idle member does not poll, so the group removes it.
    wait_until(lambda: len(other.assignment()) == 4, lambda: other.poll(max_records=1, timeout_s=0.2))
    stop = threading.Event()

    def keep_polling() -> None:
        while not stop.is_set():
            other.poll(max_records=1, timeout_s=0.1)

    polling = threading.Thread(target=keep_polling)
    polling.start()
    idle.poll(max_records=1, timeout_s=0.2)
    wait_until(idle.assignment, lambda: idle.poll(max_records=1, timeout_s=0.2))
    stop.set()
    polling.join()
    assert len(listener.refused) == 1
    assert f"of group {group}" in caplog.text
    idle.close()
    other.close()


class Disconnected:
    """A client whose broker is unreachable: raises the given error until ``is_unreachable`` is false."""

    def __init__(self, consumer: object, error: KafkaError) -> None:
        self._poll, self.error = consumer.poll, error  # type: ignore[attr-defined]
        self.is_unreachable = True

    def poll(self, **options: object) -> object:
        if self.is_unreachable:
            raise self.error
        return self._poll(**options)


def test_a_retriable_error_is_waited_for_and_logged_once_per_outage(
    embedded_broker: KafkaConnection,
    fresh_name: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = fresh_name("clips")
    ensure_topics(embedded_broker, [TopicSpec(name=topic)])
    write(embedded_broker, topic, range(3))
    source = KafkaSource(embedded_broker, [topic], group=None)
    assert len(read(source, 3)) == 3
    client = Disconnected(source._consumer, KafkaConnectionError("the socket was closed"))
    monkeypatch.setattr(source._consumer, "poll", client.poll)
    for outage in (1, 2):
        started_s = time.monotonic()
        for _ in range(3):
            assert source.poll(max_records=10, timeout_s=0.1) == []
        assert time.monotonic() - started_s >= 0.3  # no busy loop for the caller
        assert caplog.text.count("the socket was closed") == outage
        client.is_unreachable = False
        write(embedded_broker, topic, range(1))
        assert len(read(source, 1)) == 1
        client.is_unreachable = True
    source.close()


def test_an_error_that_does_not_pass_comes_out_of_poll(
    embedded_broker: KafkaConnection, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = fresh_name("clips")
    ensure_topics(embedded_broker, [TopicSpec(name=topic)])
    source = KafkaSource(embedded_broker, [topic], group=None)
    source.poll(max_records=1, timeout_s=0.0)
    client = Disconnected(source._consumer, TopicAuthorizationFailedError(topic))
    monkeypatch.setattr(source._consumer, "poll", client.poll)
    with pytest.raises(AccessDenied, match=f"cannot read {topic}.*grant this process Read"):
        source.poll(max_records=1, timeout_s=0.1)
    source.close()
