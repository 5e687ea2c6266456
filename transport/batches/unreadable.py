"""What a broker sent, as records. What cannot be read takes its place among them, and those after it follow."""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from schemas.errors import OversizedBatch, UnreadableBatch, UnsupportedBatch
from schemas.ports import Record, TopicPartition, Unreadable
from transport.batches.legacy import legacy_records
from transport.batches.records import BatchHeader, RawBatch, checked_header, ends_by_abort, records_of, split
from transport.client_options import MAX_BATCH_BYTES

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""How often damaged bytes are fetched before they are passed: a connection may have damaged them, and not a disk."""
REFUSED_FOR_S: Final = 5.0
"""How long a broker has to fail on an offset before it is passed; a source that gets nothing for 10 s is reopened."""
_LEGACY: Final = (0, 1)
_FORMAT: Final = 2


class Fetched(NamedTuple):
    """What a broker sent of one partition when asked for ``offset``. ``end``: the offset after the last that it has.

    ``aborted``: producer id and first offset of transactions that were aborted, by first offset; ``None`` if records of
    aborted transactions are to be returned too. ``refusal``: why nothing was sent, if the broker failed on it.
    """

    at: TopicPartition
    offset: int
    end: int | None
    content: bytes | bytearray | memoryview
    aborted: Sequence[tuple[int, int]] | None = ()
    refusal: str | None = None


class Step(NamedTuple):
    """Reading has come to ``next_offset``: past ``record``, or past what is not returned."""

    next_offset: int
    record: Record | None = None


class BatchReader:
    """Takes apart what was fetched, and remembers what was damaged, to have it fetched again before it is passed.

    ``limit_bytes``: the most that a compressed batch may hold. One reader serves one consumer.
    """

    def __init__(self, limit_bytes: int = MAX_BATCH_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._damaged: dict[TopicPartition, _Failures] = {}

    def read(self, fetched: Fetched) -> Iterator[Step]:
        """Where reading comes to, step by step. It ends at damaged bytes, which are then fetched again; and after them,
        because they may have held the end of a transaction: the next answer of the broker says which were aborted.
        """
        at, position, transactions = fetched.at, fetched.offset, _Transactions(fetched.aborted)
        batches = list(split(at, fetched.content))
        if not batches and (len(fetched.content) or fetched.refusal):
            what = fetched.refusal or f"{len(fetched.content)} bytes, which are not a whole batch"
            nothing = UnreadableBatch(f"{at.topic}[{at.partition}]@{position} is damaged: the broker sends {what}")
            patience_s = REFUSED_FOR_S if fetched.refusal else 0.0
            yield from self._passed(
                at, position, position + 1, fetched.content, nothing, again=True, patience_s=patience_s
            )
            return
        failed = self._damaged.get(at)
        if failed is not None and failed.offset == position and batches and batches[0].base_offset >= failed.end:
            # The broker itself no longer finds what was damaged, and has gone on to what follows.
            position = failed.end
            yield from self._passed(at, failed.offset, position, failed.content, failed.error, again=False)
        for number, batch in enumerate(batches):
            following = batches[number + 1].base_offset if number + 1 < len(batches) else None
            header: BatchHeader | None = None
            try:
                if batch.magic not in _LEGACY:
                    header = _header(batch, position, fetched.end)
                    if transactions.skip(batch, header):
                        position = max(position, header.last_offset + 1)
                        yield Step(position)
                        continue
                for record in self._records(batch, header):
                    if record.offset >= position:
                        position = record.next_offset
                        yield Step(position, record)
            except UnreadableBatch as error:
                if header is None and following is not None and following <= position:
                    continue  # passed before; a broker that trusts its last offset sends it again
                is_sound = header is not None and not header.is_control
                again = not is_sound and not isinstance(error, OversizedBatch | UnsupportedBatch)
                first, position = _range(batch, header, position, following, fetched.end)
                yield from self._passed(at, first, position, batch.content, error, again=again)
                if not is_sound:
                    return
            if header is not None:
                position = max(position, header.last_offset + 1)
                yield Step(position)
        if batches and position == fetched.offset:
            other = UnreadableBatch(f"{at.topic}[{at.partition}]@{position}: the broker sends other records instead")
            yield from self._passed(at, position, position + 1, b"", other, again=True)

    def _records(self, batch: RawBatch, header: BatchHeader | None) -> Iterator[Record]:
        if header is None:
            return legacy_records(batch, limit_bytes=self._limit_bytes)
        return records_of(batch, header, limit_bytes=self._limit_bytes)

    def _passed(
        self,
        at: TopicPartition,
        offset: int,
        end: int,
        content: bytes | bytearray | memoryview,
        error: UnreadableBatch,
        *,
        again: bool,
        patience_s: float = 0.0,
    ) -> Iterator[Step]:
        """The step past records that cannot be read; none yet if they are to be fetched ``again``: until that was done
        ``ATTEMPTS`` times, and for ``patience_s``.
        """
        before, now_s = self._damaged.get(at), time.monotonic()
        if before is None or before.offset != offset:
            before = None
        times, since_s = (1, now_s) if before is None else (before.times + 1, before.since_s)
        if again and (times < ATTEMPTS or now_s - since_s < patience_s):
            self._damaged[at] = _Failures(offset, end, bytes(content), error, times, since_s)
            if before is None:
                log.info("%s; it is fetched again", error)
            return
        self._damaged.pop(at, None)
        range_named = type(error)(f"{error.message} (offsets {offset} to {end - 1})")
        now_ms = time.time_ns() // 1_000_000
        yield Step(end, Record(*at, offset, now_ms, None, bytes(content), (), Unreadable(range_named, end)))


def records_within(at: TopicPartition, content: bytes, first: int, last: int, limit_bytes: int) -> list[Record]:
    """The records of the offsets ``first`` to ``last`` of a batch that was kept, if it can be read here and now.

    Raises the error of what cannot.
    """
    batch = next(split(at, content), None)
    if batch is None or len(batch.content) != len(content):
        raise UnreadableBatch(f"the {len(content)} bytes kept of {at.topic}[{at.partition}]@{first} are not a batch")
    if batch.magic in _LEGACY:
        records = legacy_records(batch, limit_bytes=limit_bytes)
    else:
        records = records_of(batch, _checked(batch), limit_bytes=limit_bytes)
    readable = list(map(_readable, records))
    # A damaged first offset is no part of the checksum; the records are then those that were meant all the same.
    return [record for record in readable if first <= record.offset <= last] or readable


def _readable(record: Record) -> Record:
    if record.unreadable is not None:
        raise record.unreadable.error
    return record


class _Failures(NamedTuple):
    """What could not be read from ``offset`` to before ``end``, and why; how often it was fetched, and since when, on
    the monotonic clock.
    """

    offset: int
    end: int
    content: bytes
    error: UnreadableBatch
    times: int
    since_s: float


def _checked(batch: RawBatch) -> BatchHeader:
    if batch.magic != _FORMAT:
        raise UnsupportedBatch(f"{batch} has format {batch.magic}, which is unknown here")
    return checked_header(batch)


def _header(batch: RawBatch, position: int, end: int | None) -> BatchHeader:
    """The header of ``batch``, which a broker sends for ``position`` of a partition that ends at ``end``. Its first
    offset is no part of the checksum: one that cannot be leads back, or beyond the end.
    """
    header = _checked(batch)
    if header.last_offset < position or (end is not None and header.last_offset >= end):
        until = "" if end is None else f" before the end at {end}"
        raise UnreadableBatch(f"{batch} is damaged: it is not at or after offset {position}{until}")
    return header


def _range(
    batch: RawBatch, header: BatchHeader | None, position: int, following: int | None, end: int | None
) -> tuple[int, int]:
    """The first offset of ``batch``, not before ``position``, and the one after it, at most that of the ``following``.

    What a damaged header says counts only if it can be true: beyond the end of the partition Kafka's client would
    continue at its beginning. Otherwise one offset is passed, after which the broker sends what there is.
    """
    if header is None:
        with contextlib.suppress(UnreadableBatch):
            header = None if batch.magic in _LEGACY else batch.header
    first, after = batch.base_offset, batch.base_offset + 1 if header is None else header.last_offset + 1
    known = following if following is not None and following > position else None
    if not position < after or (after > known if known is not None else end is not None and after > end):
        return position, position + 1 if known is None else known
    return (max(position, min(first, after - 1)) if header else position), after


class _Transactions:
    """Which batches belong to transactions that were aborted, or end a transaction: neither holds records to return."""

    def __init__(self, aborted: Sequence[tuple[int, int]] | None) -> None:
        self._to_come = None if aborted is None else sorted(aborted, key=lambda one: one[1], reverse=True)
        self._aborted: set[int] = set()

    def skip(self, batch: RawBatch, header: BatchHeader) -> bool:
        """Whether ``batch`` is passed. Raises ``UnreadableBatch`` for a control batch that makes no sense."""
        if self._to_come is not None and header.producer_id >= 0:
            while self._to_come and self._to_come[-1][1] <= header.last_offset:
                self._aborted.add(self._to_come.pop()[0])
            if header.is_control and ends_by_abort(batch, header):
                self._aborted.discard(header.producer_id)
        return header.is_control or (header.is_transactional and header.producer_id in self._aborted)
