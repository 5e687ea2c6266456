"""The limitations of the embedded broker are known."""

from collections.abc import Callable

from schemas.ports import OutgoingRecord
from transport.connection import KafkaConnection
from transport.embedded import EmbeddedBroker
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

MIB = 1024 * 1024


def test_a_partition_keeps_about_its_newest_five_mebibytes(
    embedded_broker: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    topic = fresh_name("clips")
    ensure_topics(embedded_broker, [TopicSpec(name=topic)])
    sink = KafkaSink(embedded_broker)
    for number in range(800):
        sink.send(OutgoingRecord(topic, b"%d" % number, bytes(10_000), partition_by="one partition"))
    sink.flush(20.0)
    sink.close()
    source = KafkaSource(embedded_broker, [topic], group=None)
    offsets: list[int] = []
    while 799 not in offsets:
        offsets += [record.offset for record in source.poll(max_records=500, timeout_s=5.0)]
    source.close()
    assert offsets == list(range(offsets[0], 800))
    assert 4 * MIB < len(offsets) * 10_000 < 6 * MIB


def test_what_comes_while_nothing_is_there_is_read_within_a_tenth_of_a_second_for_no_request_is_held_longer(
    embedded_broker: KafkaConnection,
) -> None:
    source = KafkaSource(embedded_broker, ["clips"], group=None)
    try:
        assert source._consumer.config["fetch_max_wait_ms"] == embedded_broker.fetch_wait_ms == 100
        assert KafkaConnection(servers=embedded_broker.servers).fetch_wait_ms == 500  # Kafka answers at once
    finally:
        source.close()


def test_two_embedded_brokers_know_nothing_of_each_other() -> None:
    with EmbeddedBroker() as first, EmbeddedBroker() as second:
        assert first.servers != second.servers
        for connection in (first, second):
            ensure_topics(connection, [TopicSpec(name="clips")])
        sink = KafkaSink(first)
        sink.send(OutgoingRecord("clips", b"clip-1", b"value"))
        sink.flush(10.0)
        sink.close()
        source = KafkaSource(second, ["clips"], group=None)
        assert not source.poll(max_records=1, timeout_s=0.3)
        source.close()
