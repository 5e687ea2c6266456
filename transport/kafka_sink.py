"""Writes records to Kafka: batched, idempotent, acknowledged by all in-sync replicas."""

import itertools
import logging
import threading
from functools import partial
from typing import Final

import msgspec
from kafka import KafkaProducer
from kafka.errors import InvalidRecordError, KafkaTimeoutError, MessageSizeTooLargeError, RecordListTooLargeError

from schemas.errors import DancerankError, KafkaRefused, RecordRefused, TransportError
from schemas.ports import OutgoingRecord, TopicPartition
from transport.client_options import ProducerOptions
from transport.connection import KafkaConnection, failure_of, open_client, transport_errors
from transport.kafka_internals import force_close, refresh_metadata
from transport.partitioning import partition_of
from transport.refusals import check_size, too_large

log = logging.getLogger(__name__)

_AFTER_FAILURE_S: Final = 1.0
_REFUSED: Final = (InvalidRecordError, MessageSizeTooLargeError, RecordListTooLargeError)
"""What a broker answers about one record; another one may be written."""


_DEFAULTS = ProducerOptions()


class _Failure(msgspec.Struct, frozen=True):
    at: TopicPartition
    key: bytes | None
    error: Exception

    def __str__(self) -> str:
        return f"topic {self.at.topic} partition {self.at.partition} key {self.key!r}: {self.error}"


class KafkaSink:
    """A ``RecordSink`` on an idempotent producer: the client's own retries write nothing twice and keep the order.

    After a ``TransportError`` it is unknown which of the records since the last successful ``flush`` were written;
    sending them again may write some of them twice.
    """

    def __init__(self, connection: KafkaConnection, options: ProducerOptions = _DEFAULTS) -> None:
        self._connection = connection
        self._options = options
        self._room = threading.Condition()
        self._queued_bytes = 0
        self._failures: list[_Failure] = []
        self._turn = itertools.count()
        self._closed = False
        self._flush_failed = False
        self._producer: KafkaProducer | None = None
        self._open()

    @property
    def queued_bytes(self) -> int:
        """Keys and values sent and not acknowledged yet."""
        return self._queued_bytes

    def send(self, record: OutgoingRecord) -> None:
        """Queue a record; see ``RecordSink``. Raises ``RecordRefused`` for one that this topic can never take."""
        size_bytes = check_size(record, self._options.max_record_bytes)
        self._await_room(size_bytes)
        try:
            producer = self._open()
            with transport_errors(self._connection, f"cannot send to topic {record.topic}; does it exist?"):
                partition = self._partition_of(record, producer)
                future = producer.send(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    partition=partition,
                )
        except DancerankError as error:
            self._acknowledged(size_bytes)
            if isinstance(error.__cause__, MessageSizeTooLargeError):
                raise too_large(record, size_bytes, self._options.max_record_bytes) from error
            raise
        future.add_callback(partial(self._acknowledged, size_bytes))
        future.add_errback(partial(self._failed, TopicPartition(record.topic, partition), record.key, size_bytes))

    def partitions(self, topic: str) -> int:
        producer = self._open()
        with transport_errors(self._connection, f"cannot tell the partitions of topic {topic}; does it exist?"):
            producer.partitions_for(topic)  # has the client follow the topic
            refresh_metadata(self._network, self._connection.timeout_s)
            return len(producer.partitions_for(topic))

    def _partition_of(self, record: OutgoingRecord, producer: KafkaProducer) -> int:
        known = len(producer.partitions_for(record.topic))
        partition = partition_of(record, known, next(self._turn))
        if partition >= known and partition >= (there := self.partitions(record.topic)):
            raise TransportError(
                f"topic {record.topic} has {there} partitions, so nothing can be sent to partition {partition} (Kafka "
                f"at {self._connection})"
            )
        return partition

    def check(self, record: OutgoingRecord) -> None:
        """Raise ``RecordRefused`` for a record that ``send`` would refuse."""
        check_size(record, self._options.max_record_bytes)

    def flush(self, timeout_s: float) -> None:
        """Wait for every acknowledgement; see ``RecordSink``. The error names topic, partition and key of a failure."""
        try:
            if self._producer is not None:
                with transport_errors(self._connection, "cannot flush"):
                    self._producer.flush(timeout_s)
        except DancerankError as error:
            self._flush_failed = True
            if isinstance(error.__cause__, KafkaTimeoutError):
                raise TransportError(
                    f"{self._queued_bytes} bytes were not acknowledged within {timeout_s} s "
                    f"(Kafka at {self._connection})"
                ) from error
            raise
        with self._room:
            failures, self._failures = self._failures, []
        self._flush_failed = bool(failures)
        if failures:
            # An idempotent producer may refuse everything after one failed batch; the next send begins with a new one.
            self._end_producer()
            # If others failed in another way, they are what has to be tried again, the large ones with them.
            first = min(failures, key=lambda failure: isinstance(failure.error, _REFUSED))
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            if isinstance(first.error, _REFUSED):
                raise RecordRefused(f"not written: {first}{more} (Kafka at {self._connection})") from first.error
            doing = f"not written: topic {first.at.topic} partition {first.at.partition} key {first.key!r}{more}"
            raise failure_of(self._connection, first.error, doing) from first.error

    def close(self) -> None:
        """Wait for what is queued, at most ``delivery_timeout_s``, and disconnect. Reports no failure: flush first.

        After a flush that failed it waits for a moment only.
        """
        if self._closed:
            return
        self._closed = True
        self._end_producer()

    def _open(self) -> KafkaProducer:
        """The producer; a new one after one that had to be given up."""
        if self._producer is not None:
            return self._producer
        options = self._options
        self._producer, self._network = open_client(
            KafkaProducer,
            self._connection,
            acks="all",
            enable_idempotence=True,
            batch_size=options.batch_bytes,
            linger_ms=round(options.linger_s * 1000),
            delivery_timeout_ms=round(options.delivery_timeout_s * 1000),
            max_block_ms=self._connection.timeout_ms,
            max_request_size=max(options.max_record_bytes, options.batch_bytes),
            compression_type=options.compression,
            allow_auto_create_topics=self._connection.topics_on_demand,
        )
        return self._producer

    def _end_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # Every record succeeds or fails within the delivery timeout, so this ends by then.
            patience_s = self._options.delivery_timeout_s + self._connection.timeout_s
            try:
                with transport_errors(self._connection, "the producer did not close cleanly"):
                    producer.close(timeout=_AFTER_FAILURE_S if self._flush_failed else patience_s)
            except (TransportError, KafkaRefused) as error:
                log.warning("%s", error)
                force_close(producer)
            self._flush_failed = False

    def _await_room(self, size_bytes: int) -> None:
        limit = self._options.max_queued_bytes
        with self._room:
            # A record larger than the limit passes when nothing else is queued.
            has_room = self._room.wait_for(
                lambda: self._queued_bytes == 0 or self._queued_bytes + size_bytes <= limit,
                timeout=self._options.delivery_timeout_s,
            )
            if not has_room:
                raise TransportError(
                    f"{self._queued_bytes} bytes await acknowledgement and none came within "
                    f"{self._options.delivery_timeout_s} s (Kafka at {self._connection})"
                )
            self._queued_bytes += size_bytes

    def _acknowledged(self, size_bytes: int, _: object = None) -> None:
        with self._room:
            self._queued_bytes -= size_bytes
            self._room.notify_all()

    def _failed(self, at: TopicPartition, key: bytes | None, size_bytes: int, error: Exception) -> None:
        with self._room:
            self._failures.append(_Failure(at, key, error))
            self._queued_bytes -= size_bytes
            self._room.notify_all()
