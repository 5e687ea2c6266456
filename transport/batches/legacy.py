"""Records in the formats 0 and 1, which brokers before Kafka 4 still keep: https://kafka.apache.org/documentation/#messageset

There a batch is one message, and with compression its value holds messages.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from schemas.errors import UnreadableBatch, UnsupportedBatch
from schemas.ports import Record
from transport.batches.codecs import Codec, Damaged
from transport.batches.records import Bytes, RawBatch, decompressed

_OVERHEAD_BYTES: Final = 12  # of offset and size
_HEADERS: Final = {0: struct.Struct(">qiIbb"), 1: struct.Struct(">qiIbbq")}
_CHECKED_FROM: Final = 16
_LENGTH: Final = struct.Struct(">i")
_CODEC_MASK: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_NO_TIME: Final = -1


class _Message(NamedTuple):
    offset: int
    crc: int
    attributes: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    end: int


def legacy_records(batch: RawBatch, *, limit_bytes: int) -> Iterator[Record]:
    """The records of a batch of format 0 or 1, by rising offsets. Raises as ``records.records_of`` does, before
    the first of them.
    """
    content = batch.content
    try:
        outer = _message(content, 0, batch.magic)
        if zlib.crc32(content[_CHECKED_FROM:]) != outer.crc or outer.end != len(content):
            raise Damaged("its checksum differs from that of its bytes")
        codec = outer.attributes & _CODEC_MASK
        if codec == Codec.NONE:
            return iter([Record(*batch.at, outer.offset, outer.timestamp_ms, outer.key, outer.value)])
        if outer.value is None or (batch.magic == 0 and codec == Codec.LZ4):
            raise UnsupportedBatch(
                f"{batch} is compressed by codec {codec} as format {batch.magic} cannot be read here"
            )
        inner = decompressed(batch, codec, outer.value, limit_bytes)
        return _records(batch, outer, inner, _shift(batch, outer, inner))
    except (Damaged, struct.error) as error:
        raise UnreadableBatch(f"{batch} is damaged: {error}") from error


def _shift(batch: RawBatch, outer: _Message, inner: Bytes) -> int:
    """What is added to the offsets of the messages within. In format 1 they are relative, and the message around them
    has the offset of the last. Raises ``Damaged`` unless messages follow one another to the last byte.
    """
    at, last = 0, -1
    while at < len(inner):
        message = _message(inner, at, batch.magic)
        if message.offset <= last or message.attributes & _CODEC_MASK:
            raise Damaged(f"a message within, of offset {message.offset}")
        at, last = message.end, message.offset
    shift = outer.offset - last if batch.magic else 0
    if last < 0 or last + shift != outer.offset:
        raise Damaged(f"the last message within has offset {last}")
    return shift


def _records(batch: RawBatch, outer: _Message, inner: Bytes, shift: int) -> Iterator[Record]:
    at = 0
    while at < len(inner):
        message = _message(inner, at, batch.magic)
        appended = outer.attributes & _LOG_APPEND_TIME
        timestamp_ms = outer.timestamp_ms if appended else message.timestamp_ms
        yield Record(*batch.at, message.offset + shift, timestamp_ms, message.key, message.value)
        at = message.end


def _message(content: Bytes | memoryview, at: int, magic: int) -> _Message:
    header = _HEADERS[magic]
    offset, size, crc, found, attributes, *time = header.unpack_from(content, at)
    end = at + _OVERHEAD_BYTES + size
    if found != magic or not at + header.size < end <= len(content):
        raise Damaged(f"a message of format {found} up to byte {end} of {len(content)}")
    key, after_key = _bytes(content, at + header.size, end)
    value, after = _bytes(content, after_key, end)
    if after != end:
        raise Damaged(f"{end - after} bytes after a message")
    return _Message(offset, crc, attributes, time[0] if time else _NO_TIME, key, value, end)


def _bytes(content: Bytes | memoryview, at: int, end: int) -> tuple[bytes | None, int]:
    (size,) = _LENGTH.unpack_from(content, at)
    at += _LENGTH.size
    if size < 0:
        return None, at
    if at + size > end:
        raise Damaged(f"{size} bytes at {at} lie beyond a message's end at {end}")
    return bytes(content[at : at + size]), at + size
