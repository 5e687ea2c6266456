"""Writes records to Kafka in one transaction with the offsets that they were made of."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kafka import KafkaProducer, OffsetAndMetadata
from kafka import TopicPartition as KafkaTopicPartition
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    RecordListTooLargeError,
    TransactionAbortedError,
    UnknownMemberIdError,
)

from schemas.errors import Fenced, KafkaRefused, MembershipLost, TransportError
from schemas.ports import OutgoingRecord, RecordSource, TopicPartition
from transport.client_options import TransactionOptions
from transport.connection import KafkaConnection, failure_of, open_client, transport_errors
from transport.kafka_internals import force_close, transactions_of, wake_sender
from transport.partitioning import partition_of
from transport.refusals import RecordLimits, check_size

log = logging.getLogger(__name__)

_MEMBERSHIP_LOST: Final = (CommitFailedError, IllegalGenerationError, UnknownMemberIdError)
_ABORT_S: Final = 2.0
_FENCED: Final = (FencedInstanceIdError, InvalidProducerEpochError, ProducerFencedError)
_HEADER_ROOM_BYTES: Final = 64 * 1024


_DEFAULTS: Final = TransactionOptions()


class KafkaTransactionalSink:
    """A ``TransactionalSink``, for a ``KafkaSource`` with a group.

    ``transactional_id`` names this process among all that write to this Kafka. Opening a sink under an id in use
    aborts the other's transaction, and the other is ``Fenced``. After a ``TransportError`` the sink can be used again,
    after ``Fenced`` not.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        transactional_id: str,
        options: TransactionOptions = _DEFAULTS,
        limits: RecordLimits | None = None,
    ) -> None:
        """Ends what another process left open under this name. Raises ``TransportError``.

        ``limits``: what was learned of the topics, by sinks before this one too.
        """
        self._limits = RecordLimits() if limits is None else limits
        self._connection = connection
        self._options = options
        self._turn = itertools.count()
        self._closed = False
        self._is_broken = False
        self._patience_s = options.delivery_timeout_s + connection.timeout_s
        self._producer, _ = open_client(
            KafkaProducer,
            connection,
            transactional_id=transactional_id,
            transaction_timeout_ms=round(options.timeout_s * 1000),
            acks="all",
            enable_idempotence=True,
            batch_size=options.batch_bytes,
            linger_ms=0,
            delivery_timeout_ms=round(options.delivery_timeout_s * 1000),
            max_block_ms=connection.timeout_ms,
            max_request_size=max(options.max_record_bytes, options.batch_bytes) + _HEADER_ROOM_BYTES,
            allow_auto_create_topics=connection.topics_on_demand,
        )
        self._transactions = transactions_of(self._producer)
        try:
            with transport_errors(connection, f"cannot begin as {transactional_id}"):
                self._producer.init_transactions()
        except BaseException:
            self.close()
            raise

    def check(self, record: OutgoingRecord) -> None:
        check_size(record, self._limits.of(record.topic, self._options.max_record_bytes))

    def commit(
        self, records: Sequence[OutgoingRecord], positions: Mapping[TopicPartition, int], source: RecordSource
    ) -> None:
        membership: Any = source.membership()
        try:
            self._commit(records, positions, membership)
        except MembershipLost:
            now: Any = source.membership()
            if now.member_id != membership.member_id or now.generation_id == membership.generation_id:
                raise
            # The group rebalanced in between. Partitions that this member still has were not revoked yet.
            self._commit(records, positions, now)

    def _commit(
        self, records: Sequence[OutgoingRecord], positions: Mapping[TopicPartition, int], membership: Any
    ) -> None:
        offsets = {
            KafkaTopicPartition(at.topic, at.partition): OffsetAndMetadata(offset) for at, offset in positions.items()
        }
        try:
            self._producer.begin_transaction()
            epoch = self._transactions.producer_id_and_epoch
            written = [self._send(record) for record in records]
            # kafka-python also commits a transaction of which it has lost records, or that it restarted in between
            # because the broker had forgotten the producer. So each record has to be acknowledged first, in this one.
            self._producer.flush(timeout=self._patience_s)
            self._check_acknowledged(records, written)
            self._await(self._transactions.send_offsets_to_transaction(offsets, membership), self._patience_s)
            if self._transactions.producer_id_and_epoch != epoch:
                raise TransactionAbortedError("the producer had to restart")
            self._await(self._transactions.begin_commit(), self._patience_s)
        except (KafkaError, OSError) as error:
            self._abort()
            doing = f"cannot write {len(records)} records with the offsets that they were made of"
            if isinstance(error, _MEMBERSHIP_LOST):
                raise MembershipLost(f"{doing}: the group rebalanced without this member: {error}") from error
            if isinstance(error, _FENCED):
                raise Fenced(f"{doing}: another process uses the same transactional id: {error}") from error
            with transport_errors(self._connection, doing):
                raise

    def _check_acknowledged(self, records: Sequence[OutgoingRecord], written: Sequence[Any]) -> None:
        """Raise what Kafka answered about one that failed, best one that no waiting mends. What it found too large is
        remembered, so that ``check`` refuses it when it comes again.
        """
        failures: list[Exception] = []
        for record, future in zip(records, written, strict=True):
            try:
                future.get(timeout=0)
            except (KafkaError, OSError) as error:
                failures.append(error)
                if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
                    self._limits.learn(record)
        if failures:
            # One failure aborts the transaction, which the other records then report as theirs.
            raise min(failures, key=lambda error: isinstance(failure_of(self._connection, error, ""), TransportError))

    def _send(self, record: OutgoingRecord) -> Any:
        partitions = len(self._producer.partitions_for(record.topic))
        return self._producer.send(
            record.topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=partition_of(record, partitions, next(self._turn)),
        )

    def close(self) -> None:
        """Leave; nothing is open between two commits."""
        if self._closed:
            return
        self._closed = True
        try:
            with transport_errors(self._connection, "the producer did not close cleanly"):
                self._producer.close(timeout=_ABORT_S if self._is_broken else self._connection.timeout_s)
        except (TransportError, KafkaRefused) as error:
            log.warning("%s", error)
            force_close(self._producer)

    def _abort(self) -> None:
        try:
            self._await(self._transactions.begin_abort(), _ABORT_S)
        except (KafkaError, OSError) as error:
            self._is_broken = True
            log.warning("the transaction is left to the broker to end (Kafka at %s): %s", self._connection, error)

    def _await(self, result: Any, patience_s: float) -> None:
        """kafka-python itself waits without a limit, and the answer to a request is lost if its broker fails."""
        wake_sender(self._producer)
        if not result.wait(timeout_ms=round(patience_s * 1000)):
            raise KafkaTimeoutError(f"no answer within {patience_s:g} s")
