"""Reading a topic once, from its beginning to its end, and one record by its offset."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Final

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.errors import OffsetOutOfRangeError

from schemas.clock import Clock
from schemas.errors import TransportError
from schemas.ports import Record, RecordSource, TopicPartition
from transport.batches.unreadable import BatchReader
from transport.client_options import MAX_BATCH_BYTES
from transport.connection import KafkaConnection, open_client, transport_errors
from transport.kafka_internals import read_batches_by
from transport.kafka_partitions import listed

Progress = Callable[[int, int], object]
"""Called with how much is done, and of how much."""

_RECORDS_PER_POLL: Final = 500
_POLL_S: Final = 0.5


def read_to_end(source: RecordSource, clock: Clock, *, patience_s: float, progress: Progress) -> Iterator[Record]:
    """All records that the topics of ``source`` held when the first was asked for, and perhaps a few more; those of
    one partition in order.

    A partition may end in offsets that no record has, those of transaction markers. So when nothing has come for
    ``patience_s`` and the broker still answers, that is the end. Raises ``TransportError`` if it does not answer, or
    has no such topic.
    """
    records = source.poll(max_records=_RECORDS_PER_POLL, timeout_s=_POLL_S)
    ends = _ends(source)
    reached: dict[TopicPartition, int] = {}
    heard_at_s = clock.monotonic_s()
    while True:
        for record in records:
            yield record
            reached[record.topic_partition] = record.next_offset
        progress(sum(min(reached.get(at, 0), end) for at, end in ends.items()), sum(ends.values()))
        lags = source.lag()
        if all(reached.get(at, 0) >= end or lags.get(at) == 0 for at, end in ends.items()):
            return
        if records:
            heard_at_s = clock.monotonic_s()
        elif clock.monotonic_s() - heard_at_s >= patience_s:
            _ends(source)  # a broker that is gone looks like the end of a topic until it is asked
            progress(sum(ends.values()), sum(ends.values()))
            return
        records = source.poll(max_records=_RECORDS_PER_POLL, timeout_s=_POLL_S)


def _ends(source: RecordSource) -> Mapping[TopicPartition, int]:
    """Of every partition. Raises ``TransportError`` if one has no leader."""
    ends = source.end_offsets()
    if leaderless := source.assignment() - ends.keys():
        raise TransportError(f"{listed(leaderless)} cannot be read: no leader; start the broker that holds it")
    return ends


def record_at(
    connection: KafkaConnection, at: TopicPartition, offset: int, *, max_batch_bytes: int = MAX_BATCH_BYTES
) -> Record | None:
    """The record at an offset; ``None`` if there is none: no longer kept, not written yet, or no such partition. As
    ``RecordSource.poll`` returns it, if it cannot be read.

    Raises ``TransportError`` if the broker does not answer within the timeout of a request.
    """
    return next(iter(records_between(connection, at, offset, offset, max_batch_bytes=max_batch_bytes)), None)


def records_between(
    connection: KafkaConnection, at: TopicPartition, first: int, last: int, *, max_batch_bytes: int = MAX_BATCH_BYTES
) -> list[Record]:
    """Likewise those from offset ``first`` to ``last``, as many as there are; none if the first is no longer kept."""
    theirs = KafkaTopicPartition(at.topic, at.partition)
    consumer, _ = open_client(
        KafkaConsumer,
        connection,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
        allow_auto_create_topics=False,
    )
    read_batches_by(BatchReader(max_batch_bytes), consumer)
    records: list[Record] = []
    with closing(consumer), transport_errors(connection, f"cannot read {at.topic}[{at.partition}]@{first}"):
        if at.partition not in (consumer.partitions_for_topic(at.topic) or ()):
            return []
        consumer.assign([theirs])
        end = min(consumer.end_offsets([theirs], timeout_ms=connection.timeout_ms)[theirs], last + 1)
        consumer.seek(theirs, first)
        deadline_s = time.monotonic() + connection.timeout_s
        while consumer.position(theirs, timeout_ms=connection.timeout_ms) < end and time.monotonic() < deadline_s:
            try:
                fetched = consumer.poll(timeout_ms=round(_POLL_S * 1000), max_records=last + 1 - first)
            except OffsetOutOfRangeError:
                return []
            # Compaction and transaction markers leave gaps, after which later records come.
            found = [record for record in fetched.get(theirs, ()) if record.offset <= last]
            records += found
            if found:
                deadline_s = time.monotonic() + connection.timeout_s
    return records
