"""A sink reports what was not written, keeps its memory bounded, and closes in time."""

import time
from collections.abc import Callable

import msgspec
import pytest

from schemas.errors import RecordRefused, TransportError
from schemas.ports import OutgoingRecord
from tests.servers.kafka import KafkaServer
from transport.client_options import ProducerOptions
from transport.connection import KafkaConnection
from transport.embedded import EmbeddedBroker
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics


def test_a_record_over_the_sinks_limit_is_refused_at_once(
    embedded_broker: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    topic = fresh_name("clips")
    sink = KafkaSink(embedded_broker, ProducerOptions(max_record_bytes=1000))
    with pytest.raises(RecordRefused, match=rf"1006 bytes \(key b'clip-1'\).*{topic}"):
        sink.send(OutgoingRecord(topic, b"clip-1", bytes(1000)))
    sink.close()


@pytest.mark.kafka
def test_a_record_over_the_topics_limit_fails_the_flush_naming_topic_partition_and_key(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    topic = fresh_name("clips")
    ensure_topics(kafka_connection, [TopicSpec(name=topic, partitions=1, config={"max.message.bytes": "2000"})])
    sink = KafkaSink(kafka_connection, ProducerOptions(linger_s=0.0))
    sink.send(OutgoingRecord(topic, b"clip-1", bytes(5000)))
    with pytest.raises(RecordRefused, match=f"topic {topic} partition 0 key b'clip-1'"):
        sink.flush(10.0)
    sink.flush(10.0)  # a failure is reported once
    sink.send(OutgoingRecord(topic, b"clip-2", bytes(500)))
    sink.flush(10.0)
    sink.close()


def test_closing_after_a_failed_flush_takes_a_moment_and_tells_of_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedBroker() as connection:
        impatient = msgspec.structs.replace(connection, timeout_s=2.0)
        ensure_topics(impatient, [TopicSpec(name="clips")])
        sink = KafkaSink(impatient, ProducerOptions(delivery_timeout_s=60.0))
        sink.send(OutgoingRecord("clips", b"clip-0", b"value"))
        sink.flush(10.0)
    sink.send(OutgoingRecord("clips", b"clip-1", b"value"))
    with pytest.raises(TransportError, match="not acknowledged within"):
        sink.flush(0.2)
    started_s = time.monotonic()
    sink.close()
    assert time.monotonic() - started_s < 5.0
    assert "the producer did not close cleanly" in caplog.text


@pytest.mark.kafka
@pytest.mark.slow
def test_a_sink_tells_in_time_that_its_broker_died_and_works_again_when_it_is_back(
    own_kafka_server: KafkaServer,
) -> None:
    connection = KafkaConnection(servers=(own_kafka_server.address,), timeout_s=1.0)
    ensure_topics(connection, [TopicSpec(name="clips")])
    sink = KafkaSink(connection, ProducerOptions(delivery_timeout_s=2.0))
    sink.send(OutgoingRecord("clips", b"clip-0", b"value"))
    sink.flush(10.0)
    own_kafka_server.kill()
    started_s = time.monotonic()
    sink.send(OutgoingRecord("clips", b"clip-1", b"value"))
    with pytest.raises(TransportError, match=rf"11 bytes were not acknowledged within 0.5 s.*{connection}"):
        sink.flush(0.5)
    with pytest.raises(TransportError, match=r"not written: topic clips partition \d key b'clip-1'"):
        sink.flush(10.0)
    with pytest.raises(TransportError, match=str(connection)):
        sink.send(OutgoingRecord("clips", b"clip-2", b"value"))
    assert time.monotonic() - started_s < 10.0
    own_kafka_server.start()
    sink.send(OutgoingRecord("clips", b"clip-3", b"value"))
    sink.flush(10.0)
    sink.close()
    source = KafkaSource(connection, ["clips"], group=None)
    keys: set[bytes | None] = set()
    while b"clip-3" not in keys:
        keys |= {record.key for record in source.poll(max_records=10, timeout_s=1.0)}
    assert {b"clip-0", b"clip-3"} <= keys <= {b"clip-0", b"clip-1", b"clip-3"}
    source.close()


def test_no_more_is_queued_than_allowed(embedded_broker: KafkaConnection, fresh_name: Callable[[str], str]) -> None:
    topic = fresh_name("clips")
    ensure_topics(embedded_broker, [TopicSpec(name=topic)])
    sink = KafkaSink(embedded_broker, ProducerOptions(linger_s=0.0, max_queued_bytes=20_000))
    for number in range(300):
        sink.send(OutgoingRecord(topic, b"%d" % number, bytes(1000)))
        assert sink.queued_bytes <= 20_000
    sink.flush(10.0)
    assert sink.queued_bytes == 0
    sink.close()
