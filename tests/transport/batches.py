"""Batches of records, as a broker keeps them, made and damaged for tests."""

import struct
from collections.abc import Iterable, Sequence

from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c, encode_varint

HEADER_BYTES = 61
CHECKED_FROM = 21
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def batch(
    values: Sequence[bytes], *, base: int = 0, codec: str | None = None, magic: int = 2, producer: int | None = None
) -> bytearray:
    """A batch of ``values`` as kafka-python writes it, with its offset set as a broker does: that of the first record,
    or, for messages within a message, of the last.
    """
    transaction = {} if producer is None else {"producer_id": producer, "producer_epoch": 0, "base_sequence": 0}
    builder = MemoryRecordsBuilder(
        magic, CODECS[codec] if codec else 0, 1 << 30, offset=0, transactional=producer is not None, **transaction
    )
    for value in values:
        builder.append(1_700_000_000_000, b"key", value, [("h", b"x")] if magic == 2 else None)
    builder.close()
    made = bytearray(builder.buffer())
    struct.pack_into(">q", made, 0, base + (len(values) - 1 if codec and magic < 2 else 0))
    return made


def abort_marker(base: int, producer: int, *, commits: bool = False) -> bytearray:
    """A control batch that ends a transaction."""
    return raw_batch([record(key=struct.pack(">hh", 0, int(commits)))], base=base, attributes=0x30, producer=producer)


def record(
    *,
    delta: int = 0,
    key: bytes | None = b"key",
    value: bytes | None = b"value",
    headers: Iterable[tuple[bytes, bytes]] = (),
    after: bytes = b"",
) -> bytes:
    """One record; ``after`` are bytes that do not belong within it."""
    headers = list(headers)
    body = b"\0" + varint(0) + varint(delta) + _sized(key) + _sized(value) + varint(len(headers))
    body += b"".join(_sized(part) for header in headers for part in header) + after
    return varint(len(body)) + body


def raw_batch(
    records: Sequence[bytes],
    *,
    base: int = 0,
    attributes: int = 0,
    magic: int = 2,
    last_delta: int | None = None,
    count: int | None = None,
    producer: int = -1,
    content: bytes | None = None,
) -> bytearray:
    """A batch with a right checksum, whatever is in it; ``content``: its records as they are sent."""
    content = b"".join(records) if content is None else content
    last_delta = len(records) - 1 if last_delta is None else last_delta
    count = len(records) if count is None else count
    rest = struct.pack(">hiqqqhii", attributes, last_delta, 1000, 1000, producer, 0, 0, count) + content
    return bytearray(struct.pack(">qiibI", base, len(rest) + 9, 0, magic, calc_crc32c(rest)) + rest)


def varint(number: int) -> bytes:
    written = bytearray()
    encode_varint(number, written.append)
    return bytes(written)


def _sized(content: bytes | None) -> bytes:
    return varint(-1) if content is None else varint(len(content)) + content
