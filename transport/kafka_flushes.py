"""Writes records to Kafka, then commits the offsets that they were made of: for a broker without transactions."""

from collections.abc import Mapping, Sequence

from schemas.ports import OutgoingRecord, RecordSource, TopicPartition, TransactionalSink
from transport.client_options import TransactionOptions
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_transactions import KafkaTransactionalSink
from transport.refusals import RecordLimits


class FlushingSink:
    """A ``TransactionalSink`` without transactions: a crash between the two steps writes the records again."""

    def __init__(self, connection: KafkaConnection, timeout_s: float) -> None:
        self._sink = KafkaSink(connection)
        self._timeout_s = timeout_s

    def check(self, record: OutgoingRecord) -> None:
        self._sink.check(record)

    def commit(
        self, records: Sequence[OutgoingRecord], positions: Mapping[TopicPartition, int], source: RecordSource
    ) -> None:
        for record in records:
            self._sink.send(record)
        self._sink.flush(self._timeout_s)
        source.commit(positions)

    def close(self) -> None:
        self._sink.close()


def open_results(
    connection: KafkaConnection, name: str, settings: TransactionOptions, limits: RecordLimits | None = None
) -> TransactionalSink:
    """A sink for results under the transactional id ``name``, as good as the broker allows.

    ``limits``: what sinks before it learned of the topics.
    """
    if connection.transactions:
        return KafkaTransactionalSink(connection, name, settings, limits)
    return FlushingSink(connection, settings.delivery_timeout_s)
