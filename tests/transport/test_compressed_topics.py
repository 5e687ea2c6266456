"""Every compression that Kafka has is read, whoever chose it: a producer, the topic, or this project's own sink."""

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Producer

from schemas.ports import OutgoingRecord
from tests.transport.test_kafka_source import read
from transport.client_options import ProducerOptions
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

VALUES = [b"%d " % number + b"a" * 2000 for number in range(20)]


def written(connection: KafkaConnection, topic: str, codec: str) -> None:
    producer = Producer({"bootstrap.servers": str(connection), "compression.type": codec, "linger.ms": 50})
    for value in VALUES:
        producer.produce(topic, value, key=b"one partition")
    assert producer.flush(30) == 0


def values(connection: KafkaConnection, topic: str) -> list[bytes | None]:
    with closing(KafkaSource(connection, [topic], group=None)) as source:
        return sorted((record.value for record in read(source, len(VALUES))), key=VALUES.index)


@pytest.mark.kafka
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
@pytest.mark.tried(
    kind="unreadable batches", given="uploads compressed by the producer, with any codec", outcome="read"
)
def test_what_a_producer_compresses_is_read(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], codec: str
) -> None:
    topic = fresh_name("clips")
    ensure_topics(kafka_connection, [TopicSpec(name=topic)])
    written(kafka_connection, topic, codec)
    assert values(kafka_connection, topic) == VALUES


@pytest.mark.kafka
@pytest.mark.parametrize(
    "config",
    [
        {"compression.type": "gzip"},
        {"compression.type": "snappy"},
        {"compression.type": "lz4"},
        {"compression.type": "zstd"},
        {"compression.type": "zstd", "compression.zstd.level": "22"},
        {"compression.type": "lz4", "compression.lz4.level": "17"},
    ],
    ids=lambda config: "-".join(config.values()),
)
@pytest.mark.tried(kind="unreadable batches", given="a topic that its broker compresses again", outcome="read")
def test_what_a_broker_compresses_is_read(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], config: dict[str, str]
) -> None:
    topic = fresh_name("clips")
    ensure_topics(kafka_connection, [TopicSpec(name=topic, config=config)])
    written(kafka_connection, topic, "none")
    assert values(kafka_connection, topic) == VALUES


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_the_embedded_broker_keeps_what_is_compressed(
    embedded_broker: KafkaConnection, fresh_name: Callable[[str], str], codec: str
) -> None:
    topic = fresh_name("clips")
    ensure_topics(embedded_broker, [TopicSpec(name=topic)])
    written(embedded_broker, topic, codec)
    assert values(embedded_broker, topic) == VALUES


@pytest.mark.kafka
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_the_own_sink_writes_every_codec(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], codec: str
) -> None:
    topic = fresh_name("clips")
    ensure_topics(kafka_connection, [TopicSpec(name=topic)])
    with closing(KafkaSink(kafka_connection, ProducerOptions(compression=codec))) as sink:
        for value in VALUES:
            sink.send(OutgoingRecord(topic, b"key", value))
        sink.flush(30.0)
    assert values(kafka_connection, topic) == VALUES
