"""Batches of records as Kafka keeps them and sends them, taken apart without trusting a byte of them.

The layout is that of https://kafka.apache.org/documentation/#recordbatch. Formats 0 and 1, which brokers before Kafka 4
still keep, are in ``legacy``.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from kafka.record.util import calc_crc32c, decode_varint

from schemas.errors import OversizedBatch, UnreadableBatch, UnsupportedBatch
from schemas.ports import Record, TopicPartition, Unreadable
from transport.batches.codecs import Codec, CodecMissing, Damaged, TooLarge, decompress

OVERHEAD_BYTES: Final = 12
"""Of offset and length, which precede every batch and are not counted by the length."""
_FIRST: Final = struct.Struct(">qiib")
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_CHECKED_FROM: Final = 21
"""Where the bytes begin that the checksum covers."""
_CODEC_MASK: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_CONTROL_TYPE: Final = struct.Struct(">hh")
_ABORT: Final = 0
_FORMAT: Final = 2
Bytes = bytes | bytearray


class BatchHeader(NamedTuple):
    """The fields before the records, in their order and with Kafka's names."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records_count: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & _CONTROL)


class RawBatch(NamedTuple):
    """A whole batch as it was received, of any format. ``base_offset``: that of its first record, or, in format 1 with
    compression, of its last.
    """

    at: TopicPartition
    base_offset: int
    magic: int
    content: memoryview

    @property
    def header(self) -> BatchHeader:
        """Of format 2; raises ``UnreadableBatch`` if the batch is shorter than a header."""
        if len(self.content) < _HEADER.size:
            raise UnreadableBatch(f"{self} has {len(self.content)} bytes, fewer than a header of {_HEADER.size}")
        return BatchHeader(*_HEADER.unpack_from(self.content))

    def __str__(self) -> str:
        return f"the batch at {self.at.topic}[{self.at.partition}]@{self.base_offset}"


def split(at: TopicPartition, received: Bytes | memoryview) -> Iterator[RawBatch]:
    """The whole batches of what a broker sent. The last may be cut off, and is left out."""
    view, start = memoryview(received), 0
    while len(view) - start >= _FIRST.size:
        base_offset, length, _, magic = _FIRST.unpack_from(view, start)
        end = start + OVERHEAD_BYTES + length
        if length <= _FIRST.size - OVERHEAD_BYTES or end > len(view):
            return
        yield RawBatch(at, base_offset, magic, view[start:end])
        start = end


def checked_header(batch: RawBatch) -> BatchHeader:
    """The header of a batch of format 2 whose checksum is right. Raises ``UnreadableBatch``."""
    header = batch.header
    if calc_crc32c(batch.content[_CHECKED_FROM:]) != header.crc:
        raise UnreadableBatch(f"{batch} is damaged: its checksum differs from that of its bytes")
    return header


def ends_by_abort(batch: RawBatch, header: BatchHeader) -> bool:
    """Whether a control batch says that its producer aborted its transaction. Raises ``UnreadableBatch``."""
    for record in records_of(batch, header, limit_bytes=len(batch.content)):
        key = record.key or b""
        if record.unreadable is None and len(key) >= _CONTROL_TYPE.size:
            return bool(_CONTROL_TYPE.unpack_from(key)[1] == _ABORT)
    raise UnreadableBatch(f"{batch} is damaged: it is a control batch without a type")


def records_of(batch: RawBatch, header: BatchHeader, *, limit_bytes: int) -> Iterator[Record]:
    """The records of a batch of format 2. One whose own bytes make no sense comes as ``unreadable``; the next follows.

    Raises before the first record: ``OversizedBatch`` if it holds more than ``limit_bytes``, ``UnsupportedBatch`` for a
    compression that is unknown or whose library is absent, ``UnreadableBatch`` for a batch that is not sound.
    """
    compressed = bytes(batch.content[_HEADER.size :])
    content = decompressed(batch, header.attributes & _CODEC_MASK, compressed, limit_bytes)
    _check_lengths(batch, header, content)
    return _records(batch, header, content)


def decompressed(batch: RawBatch, number: int, compressed: bytes, limit_bytes: int) -> Bytes:
    """What codec ``number`` compressed. Raises as ``records_of`` does."""
    try:
        codec = Codec(number)
    except ValueError:
        raise UnsupportedBatch(f"{batch} is compressed by codec {number}, which is unknown here") from None
    try:
        return decompress(codec, compressed, limit_bytes)
    except TooLarge as error:
        raise OversizedBatch(f"{batch} was not read: {error} (kafka.max_batch_bytes)") from error
    except CodecMissing as error:
        raise UnsupportedBatch(f"{batch} was not read: {error}") from error
    except Damaged as error:
        raise UnreadableBatch(f"{batch} is damaged: {error}") from error


def _check_lengths(batch: RawBatch, header: BatchHeader, content: Bytes) -> None:
    """Raise ``UnreadableBatch`` unless the records follow one another, by rising offsets, to the last byte."""
    at, last_delta = 0, -1
    try:
        for _ in range(header.records_count):
            at, delta, _, end = _start_of(content, at)
            if not (last_delta < delta <= header.last_offset_delta and at <= end <= len(content)):
                raise ValueError(f"a record of offset {header.base_offset + delta} up to byte {end}")
            at, last_delta = end, delta
        if at != len(content):
            raise ValueError(f"{len(content) - at} bytes after {header.records_count} records")
    except (ValueError, IndexError) as error:
        raise UnreadableBatch(f"{batch} is damaged: {error}") from error


def _start_of(content: Bytes, at: int) -> tuple[int, int, int, int]:
    """Of the record at ``at``: where its key begins, its deltas of offset and time stamp, and where it ends."""
    length, at = decode_varint(content, at)
    end = at + length
    time_delta, at = decode_varint(content, at + 1)  # the attributes of a record are unused
    offset_delta, at = decode_varint(content, at)
    return at, offset_delta, time_delta, end


def _records(batch: RawBatch, header: BatchHeader, content: Bytes) -> Iterator[Record]:
    start = 0
    for _ in range(header.records_count):
        at, offset_delta, time_delta, end = _start_of(content, start)
        offset = header.base_offset + offset_delta
        appended = header.attributes & _LOG_APPEND_TIME
        timestamp_ms = header.max_timestamp if appended else header.first_timestamp + time_delta
        try:
            key, at = _bytes(content, at, end)
            value, at = _bytes(content, at, end)
            headers, at = _headers(content, at, end)
            if at != end:
                raise ValueError(f"{end - at} bytes are left after its headers")
        except (ValueError, IndexError) as error:
            place = f"{batch.at.topic}[{batch.at.partition}]@{offset}"
            unreadable = Unreadable(UnreadableBatch(f"the record at {place} is damaged: {error}"), offset + 1)
            yield Record(*batch.at, offset, timestamp_ms, None, bytes(content[start:end]), (), unreadable)
        else:
            yield Record(*batch.at, offset, timestamp_ms, key, value, headers)
        start = end


def _bytes(content: Bytes, at: int, end: int) -> tuple[bytes | None, int]:
    size, at = decode_varint(content, at)
    if size < 0:
        return None, at
    if at + size > end:
        raise ValueError(f"{size} bytes at {at} lie beyond its end at {end}")
    return bytes(content[at : at + size]), at + size


def _headers(content: Bytes, at: int, end: int) -> tuple[tuple[tuple[str, bytes], ...], int]:
    count, at = decode_varint(content, at)
    if count < 0 or count > end - at:
        raise ValueError(f"{count} headers")
    headers = []
    for _ in range(count):
        name, at = _bytes(content, at, end)
        value, at = _bytes(content, at, end)
        # Kafka's protocol has text here, but any producer may send any bytes.
        headers.append(((name or b"").decode(errors="backslashreplace"), value or b""))
    return tuple(headers), at
