"""Clients of a load generator that weigh little beside what is measured: librdkafka's, whose work is not Python's.

They send and read as the project's own do (each record by itself, acknowledged by all replicas, idempotent; committed
records only), at a fifth of the processor time.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from schemas.ports import OutgoingRecord, Record
from transport.partitioning import partition_of

_PATIENCE_S: Final = 10.0


class LightSink:
    """Sends each record at once. Raises ``KafkaException`` for what is not acknowledged."""

    def __init__(self, server: str) -> None:
        options = {"bootstrap.servers": server, "enable.idempotence": True, "linger.ms": 0}
        self._producer = Producer(options)
        self._partitions: dict[str, int] = {}
        self._failures: list[object] = []

    def send(self, record: OutgoingRecord) -> None:
        """A record that names its partition, or by what it is chosen."""
        topic = record.topic
        if topic not in self._partitions:
            self._partitions[topic] = len(self._producer.list_topics(topic, _PATIENCE_S).topics[topic].partitions)
        at = partition_of(record, self._partitions[topic], turn=0)
        self._producer.produce(topic, record.value, record.key, at, on_delivery=self._delivered)
        self._producer.poll(0)

    def flush(self, timeout_s: float) -> None:
        left = self._producer.flush(timeout_s)
        if left or self._failures:
            raise KafkaException(*self._failures, f"{left} records are not acknowledged")

    def close(self) -> None:
        self._producer.flush(_PATIENCE_S)

    def _delivered(self, error: object, _: Message) -> None:
        if error is not None:
            self._failures.append(error)


@contextmanager
def reading(server: str, topic: str) -> Iterator[Consumer]:
    """A consumer of all that is committed to ``topic``, from its beginning; as a member of no group."""
    options = {"bootstrap.servers": server, "group.id": "none", "enable.auto.commit": False}
    with closing(Consumer(options | {"isolation.level": "read_committed"})) as consumer:
        partitions = consumer.list_topics(topic, _PATIENCE_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        yield consumer


def poll(consumer: Consumer, timeout_s: float) -> list[Record]:
    """What has come, once a first record has; none after ``timeout_s`` without one."""
    first = consumer.poll(timeout_s)
    messages = [] if first is None else [first, *consumer.consume(500, 0.0)]
    for message in messages:
        if message.error() is not None:
            raise KafkaException(message.error())
    return [Record(m.topic(), m.partition(), m.offset(), 0, m.key(), m.value()) for m in messages]
