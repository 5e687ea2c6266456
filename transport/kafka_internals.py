"""Everything of kafka-python that is not its public interface, and why it is needed.

pyproject.toml bounds the version above for the sake of this module; ``tests/transport/test_kafka_internals.py`` names
what a new version lacks.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import (
    CorruptRecordError,
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    NoError,
    UnknownError,
    UnsupportedCompressionTypeError,
    UnsupportedForMessageFormatError,
)
from kafka.net.compat import KafkaNetClient
from kafka.protocol.consumer import IsolationLevel

from schemas.ports import Record, TopicPartition
from transport.batches.unreadable import BatchReader, Fetched

_FAILED_ON_OFFSET: Final = (
    CorruptRecordError,
    InvalidRecordError,
    UnknownError,
    UnsupportedCompressionTypeError,
    UnsupportedForMessageFormatError,
)
"""What a broker answers that cannot read, or convert, what it keeps at an offset."""
_NO_LEADER: Final = (None, -1)
_BETWEEN_REFUSALS_S: Final = 0.1
"""Before a broker that failed on an offset is asked for it again."""

USED: Final = {
    KafkaConsumer: (
        "_fetcher.PartitionRecords",
        "_fetcher._isolation_level",
        "_fetcher._parse_fetched_data",
        "_fetcher._next_partition_records",
        "_fetcher._subscriptions.assignment",
        "_fetcher.in_flight_fetches",
    ),
    KafkaProducer: (
        "_sender.force_close",
        "_sender.wakeup",
        "_transaction_manager.begin_abort",
        "_transaction_manager.begin_commit",
        "_transaction_manager.producer_id_and_epoch",
        "_transaction_manager.send_offsets_to_transaction",
    ),
    KafkaNetClient: (
        "_manager.get_connection",
        "check_version",
        "cluster.leader_for_partition",
        "cluster.partitions_for_topic",
        "cluster.request_update",
        "cluster.topic_id",
        "wakeup",
    ),
}
"""What must exist, as paths of attributes, of a producer with a transactional id and of the client beneath it."""


def transactions_of(producer: KafkaProducer) -> Any:
    """The producer's transactions, whose calls return results that can be awaited: the public ones wait for ever."""
    return producer._transaction_manager


def wake_sender(producer: KafkaProducer) -> None:
    """Let the producer's thread send what was begun on ``transactions_of`` at once."""
    producer._sender.wakeup()


def force_close(producer: KafkaProducer) -> None:
    """End the producer's thread, which ``close`` leaves running when it gives up waiting."""
    producer._sender.force_close()


def refresh_metadata(network: KafkaNetClient, timeout_s: float) -> None:
    """Return when the client has asked the broker which partitions its topics have now.

    Raises kafka-python's error for an answer that does not come.
    """
    answered = threading.Event()
    asked = network.cluster.request_update()
    asked.add_both(lambda *_: answered.set())
    network.wakeup()
    if not answered.wait(timeout_s):
        raise KafkaTimeoutError(f"no answer about the topics' partitions within {timeout_s:g} s")
    if asked.failed():
        raise asked.exception


def known_partitions(network: KafkaNetClient, topic: str) -> frozenset[int]:
    """The partitions of ``topic`` as of the client's last metadata; none for a topic that it did not know then."""
    return frozenset(network.cluster.partitions_for_topic(topic) or ())


def has_leader(network: KafkaNetClient, at: TopicPartition) -> bool:
    """Whether a partition has a leader, as of the client's last metadata."""
    return network.cluster.leader_for_partition(at) not in _NO_LEADER


class TopicIds:
    """Which topics a client follows, by the ids that brokers from 2.8 on give them; older ones give none."""

    def __init__(self, network: KafkaNetClient, topics: Iterable[str]) -> None:
        self._network = network
        self._ids: dict[str, object] = dict.fromkeys(topics)

    def replaced(self) -> frozenset[str]:
        """The topics that were deleted and created again since the last call, as of the client's last metadata."""
        replaced = set()
        for topic, known in self._ids.items():
            now = self._network.cluster.topic_id(topic)
            if now is not None and now != known:
                self._ids[topic] = now
                if known is not None:
                    replaced.add(topic)
        return frozenset(replaced)


def connection_failures(network: KafkaNetClient) -> list[BaseException]:
    """A list that receives what goes wrong with each connection: the client itself only says that time ran out."""
    failures: list[BaseException] = []
    manager = network._manager
    connect = manager.get_connection

    def remembering(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        connection.init_future.add_errback(failures.append)
        return connection

    manager.get_connection = remembering
    return failures


def next_to_return(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The client's own positions, as far as it has any. Its method looks at all partitions for each that is asked for,
    which for the partitions of three topics takes a millisecond.
    """
    states = consumer._fetcher._subscriptions.assignment
    found = ((at, states.get(KafkaTopicPartition(*at))) for at in partitions)
    return {at: state.position.offset for at, state in found if state is not None and state.position is not None}


def in_flight(consumer: KafkaConsumer) -> bool:
    """Whether a broker was asked for records and has not answered yet."""
    return bool(consumer._fetcher.in_flight_fetches())


def read_batches_by(reader: BatchReader, consumer: KafkaConsumer) -> None:
    """Have ``reader`` take apart what ``consumer`` fetches, whose ``poll`` then returns records of ``schemas.ports``.

    The client itself raises an error at the first bytes that it cannot read, at every poll, and decompresses whatever
    comes; how much, it does not look at.
    """
    fetcher = consumer._fetcher
    parse = fetcher._parse_fetched_data

    class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc] # kafka-python has no types
        """What the client keeps of one answer for one partition, until all of it was returned."""

        def _unpack_records(self, at: Any, received: Any, *_: object) -> Iterator[Record]:
            aborted = [(one.producer_id, one.first_offset) for one in self.aborted_transactions]
            fetched = Fetched(
                TopicPartition(at.topic, at.partition),
                self.fetch_offset,
                fetcher._subscriptions.assignment[at].highwater,
                received._buffer,
                aborted if self.isolation_level == IsolationLevel.READ_COMMITTED else None,
                getattr(received, "refusal", None),
            )
            for next_offset, record in reader.read(fetched):
                self.next_fetch_offset = next_offset
                if record is not None:
                    self.records_read += 1
                    self.bytes_read += len(record.value or b"")
                    yield record
            self.drain()

    def parse_whatever_comes(answer: Any) -> Any:
        try:
            return parse(answer)
        except KafkaError as error:
            data = answer.partition_data
            if isinstance(error, _FAILED_ON_OFFSET):
                time.sleep(_BETWEEN_REFUSALS_S)
                received = SimpleNamespace(_buffer=b"", refusal=f"error {data.error_code}, {type(error).__name__}")
            elif data.error_code == NoError.errno and type(error) is KafkaError:
                received = SimpleNamespace(_buffer=data.records)  # which are not one whole batch
            else:
                raise
            return PartitionRecords(
                answer.fetched_offset,
                answer.topic_partition,
                received,
                isolation_level=fetcher._isolation_level,
                on_drain=fetcher._on_partition_records_drain,
            )

    fetcher.PartitionRecords = PartitionRecords
    fetcher._parse_fetched_data = parse_whatever_comes
