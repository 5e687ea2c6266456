"""Whatever a broker sends is read, or takes its place as unreadable; what stands after it is read."""

import gzip
import os
import struct
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import OversizedBatch, UnreadableBatch, UnsupportedBatch
from schemas.ports import Record, TopicPartition
from tests.transport.batches import CHECKED_FROM, CODECS, HEADER_BYTES, abort_marker, batch, raw_batch, record
from transport.batches import codecs as bounded_codecs
from transport.batches import unreadable as unreadable_batches
from transport.batches.unreadable import ATTEMPTS, BatchReader, Fetched, records_within

pytestmark = pytest.mark.timeout(60)

AT = TopicPartition("clips.uploaded", 3)
LIMIT = 1024 * 1024


def read_on(
    log: bytes | bytearray,
    *,
    offset: int = 0,
    end: int = 100,
    aborted: tuple[tuple[int, int], ...] | None = (),
    refusal: str | None = None,
    limit: int = LIMIT,
) -> tuple[list[Record], int]:
    """What a consumer gets of ``log`` from ``offset`` on, fetching as Kafka's client does, and where that ends."""
    reader, records = BatchReader(limit), []
    fetches = 0
    while offset < end:
        before = offset
        for step in reader.read(Fetched(AT, offset, end, without(log, offset), aborted, refusal)):
            assert step.next_offset >= offset
            offset = step.next_offset
            records += [step.record] if step.record else []
        fetches += 1
        if offset == before and fetches >= ATTEMPTS:
            break
        fetches = 0 if offset > before else fetches
    return records, offset


def without(log: bytes | bytearray, offset: int) -> bytearray:
    """A broker leaves out the batches before ``offset``, by their headers."""
    at = 0
    while len(log) - at >= 17:
        base, length, _, magic = struct.unpack_from(">qiib", log, at)
        delta = struct.unpack_from(">i", log, at + CHECKED_FROM + 2)[0] if magic not in (0, 1) else 0
        if base + max(delta, 0) >= offset or length < 0:
            break
        at += 12 + length
    return bytearray(log[at:])


def outcome(records: list[Record]) -> list[bytes | type | None]:
    """The values of what was read, and the errors of what was not."""
    return [type(each.unreadable.error) if each.unreadable else each.value for each in records]


FORMATS = {0: [None, "gzip", "snappy"], 1: [None, "gzip", "snappy", "lz4"], 2: [None, *CODECS]}


@pytest.mark.parametrize(("magic", "codec"), [(magic, codec) for magic in FORMATS for codec in FORMATS[magic]])
@pytest.mark.tried(
    kind="unreadable batches", given="batches of the formats 0, 1 and 2, with every codec", outcome="read"
)
def test_records_of_every_format_and_codec_are_read(codec: str | None, magic: int) -> None:
    records, end = read_on(batch([b"a" * 1000, b"b", b""], codec=codec, magic=magic))
    assert [(each.offset, each.key, each.value) for each in records] == [
        (0, b"key", b"a" * 1000),
        (1, b"key", b"b"),
        (2, b"key", b""),
    ]
    assert end == 3


GOOD_AFTER = batch([b"after"], base=10)


def bit_flipped() -> bytearray:
    made = batch([b"one", b"two"], base=8)
    made[-3] ^= 0x10
    return made


def codec_changed(number: int) -> Callable[[], bytearray]:
    return lambda: raw_batch([record(), record(delta=1)], base=8, attributes=number)


DAMAGED: dict[str, tuple[Callable[[], bytearray], type]] = {
    "a flipped bit": (bit_flipped, UnreadableBatch),
    "codec 5": (codec_changed(5), UnsupportedBatch),
    "codec 7": (codec_changed(7), UnsupportedBatch),
    "format 3": (lambda: raw_batch([record(), record(delta=1)], base=8, magic=3), UnsupportedBatch),
    "format -1": (lambda: raw_batch([record(), record(delta=1)], base=8, magic=-1), UnsupportedBatch),
    **{f"{name} that is none": (codec_changed(number), UnreadableBatch) for name, number in CODECS.items()},
    "a record count of two thousand million": (
        lambda: raw_batch([record(), record(delta=1)], base=8, count=2_000_000_000),
        UnreadableBatch,
    ),
    "a negative record count": (lambda: raw_batch([record(), record(delta=1)], base=8, count=-5), UnreadableBatch),
    "bytes after the records": (
        lambda: raw_batch([], content=record() + record(delta=1) + b"xx", base=8, last_delta=1, count=2),
        UnreadableBatch,
    ),
    "a record cut off": (
        lambda: raw_batch([], content=record() + record(delta=1)[:-2], base=8, last_delta=1, count=2),
        UnreadableBatch,
    ),
    "offsets that fall": (
        lambda: raw_batch([record(delta=1), record(delta=0)], base=8),
        UnreadableBatch,
    ),
    "an offset beyond the last": (lambda: raw_batch([record(delta=0), record(delta=9)], base=8), UnreadableBatch),
    "a length of more than 64 bits": (
        lambda: raw_batch([], content=b"\xff" * 11, base=8, last_delta=1, count=2),
        UnreadableBatch,
    ),
    "truncated gzip": (
        lambda: raw_batch(
            [], content=gzip.compress(record() + record(delta=1))[:-4], base=8, attributes=1, last_delta=1, count=2
        ),
        UnreadableBatch,
    ),
    "truncated zstd": (
        lambda: raw_batch(
            [], content=zstandard.compress(os.urandom(999))[:-4], base=8, attributes=4, last_delta=1, count=2
        ),
        UnreadableBatch,
    ),
    "a message of format 1 with a wrong checksum": (lambda: flipped_legacy(1), UnreadableBatch),
    "a message of format 0 with a wrong checksum": (lambda: flipped_legacy(0), UnreadableBatch),
}


def flipped_legacy(magic: int) -> bytearray:
    made = batch([b"one"], base=9, magic=magic)
    made[-1] ^= 1
    return made


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.tried(
    kind="unreadable batches",
    given="flipped bits, unknown codecs and formats, counts, offsets and lengths that cannot be",
    outcome="dead-lettered as the bytes of the batch; the next is read",
)
def test_what_cannot_be_read_takes_its_place_and_what_follows_is_read(name: str) -> None:
    make, error = DAMAGED[name]
    damaged = make()
    records, end = read_on(batch([b"before"], base=7) + damaged + GOOD_AFTER, offset=7, end=11)
    assert outcome(records) == [b"before", error, b"after"]
    assert [each.offset for each in records] == [7, 8, 10]
    assert end == 11
    unreadable = records[1]
    assert unreadable.value == bytes(damaged)
    assert unreadable.next_offset == 10
    assert "clips.uploaded[3]@" in str(unreadable.unreadable.error)
    assert "offsets 8 to 9" in str(unreadable.unreadable.error)


@pytest.mark.tried(
    kind="unreadable batches", given="bytes that a connection damaged once", outcome="fetched again and read"
)
def test_bytes_that_a_connection_damaged_are_fetched_again() -> None:
    reader, log = BatchReader(LIMIT), batch([b"one"])
    broken = bytearray(log)
    broken[-1] ^= 1
    for _ in range(ATTEMPTS - 1):
        assert list(reader.read(Fetched(AT, 0, 1, broken))) == []
    assert outcome([step.record for step in reader.read(Fetched(AT, 0, 1, log)) if step.record]) == [b"one"]


@pytest.mark.tried(
    kind="unreadable batches",
    given="a batch whose codec has no library here",
    outcome="dead-lettered with the library named; others are read",
)
def test_a_library_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'zstandard'")

    monkeypatch.setitem(bounded_codecs._STREAMS, bounded_codecs.Codec.ZSTD, absent)
    records, _ = read_on(batch([b"one"] * 3, codec="zstd") + batch([b"after"], base=3, codec="lz4"))
    assert outcome(records) == [UnsupportedBatch, b"after"]
    assert "library for zstd is not installed (No module named 'zstandard')" in str(records[0].unreadable.error)


BOMBS = {
    "gzip": lambda: gzip.compress(bytes(3 * LIMIT)),
    "gzip of many members": lambda: b"".join(gzip.compress(bytes(LIMIT // 4)) for _ in range(5)),
    "snappy": lambda: b"\x80\x80\x80\x80\x08" + bytes(100),
    "snappy in blocks": lambda: bytes(batch([bytes(3 * LIMIT)], codec="snappy")[HEADER_BYTES:]),
    "lz4": lambda: lz4.frame.compress(bytes(3 * LIMIT)),
    "zstd": lambda: zstandard.compress(bytes(3 * LIMIT)),
    "zstd of many frames": lambda: zstandard.compress(bytes(LIMIT // 4)) * 5,
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.tried(
    kind="bounds on compressed bytes",
    given="gzip, snappy, lz4 and zstd that hold more than kafka.max_batch_bytes, in one piece or many",
    outcome="dead-lettered compressed; its neighbours are read",
)
def test_a_batch_that_holds_too_much_is_passed_and_its_neighbours_are_read(name: str) -> None:
    attributes = CODECS[name.split()[0]]
    bomb = raw_batch([], content=BOMBS[name](), base=1, attributes=attributes, last_delta=3, count=4)
    records, end = read_on(batch([b"before"]) + bomb + batch([b"after"], base=5))
    assert outcome(records) == [b"before", OversizedBatch, b"after"]
    assert records[1].value == bytes(bomb)
    assert end == 6


def test_the_limit_itself_is_allowed() -> None:
    framing = 100
    assert outcome(read_on(batch([bytes(LIMIT - framing)], codec="gzip"))[0]) == [bytes(LIMIT - framing)]


@pytest.mark.tried(
    kind="unreadable batches",
    given="one damaged record among sound ones in a batch",
    outcome="that record is dead-lettered",
)
def test_one_record_that_makes_no_sense_takes_no_other_with_it() -> None:
    strange = record(delta=1, after=b"???")
    records, end = read_on(raw_batch([record(value=b"one"), strange, record(delta=2, value=b"three")]))
    assert outcome(records) == [b"one", UnreadableBatch, b"three"]
    assert [each.offset for each in records] == [0, 1, 2]
    assert (records[1].value, records[1].next_offset, end) == (strange, 2, 3)
    assert "clips.uploaded[3]@1" in str(records[1].unreadable.error)


@pytest.mark.tried(kind="unreadable batches", given="names of headers that are not UTF-8", outcome="read")
def test_names_of_headers_need_not_be_text() -> None:
    (read,), _ = read_on(raw_batch([record(headers=[(b"\xff\x00", b"v")])]))
    assert (read.value, read.headers) == (b"value", (("\\xff\x00", b"v"),))


@pytest.mark.parametrize("delta", [-2_000_000_000, -1, 0, 5, 2_000_000_000])
@pytest.mark.tried(
    kind="unreadable batches",
    given="a damaged last offset of a batch, far ahead or negative",
    outcome="neither read again nor beyond the end",
)
def test_a_damaged_last_offset_leads_neither_back_nor_beyond_the_end(delta: int) -> None:
    """Beyond the end Kafka's client would begin at the first record again, or pass all that are still to come."""
    log = batch([b"one", b"two"])
    struct.pack_into(">i", log, CHECKED_FROM + 2, delta)
    records, end = read_on(log, end=4)
    assert set(outcome(records)) == {UnreadableBatch}
    assert end in (1, 4)
    records, end = read_on(log + batch([b"after"], base=2), end=3)
    assert outcome(records)[-1] == b"after"
    assert end == 3


@pytest.mark.tried(
    kind="unreadable batches",
    given="a first offset of a batch that lies before its neighbours or beyond the end of the partition",
    outcome="dead-lettered; what follows is read once",
)
@pytest.mark.parametrize("base", [0, 5, 1_000_000, -7])
def test_a_damaged_first_offset_leads_neither_back_nor_beyond_the_end(base: int) -> None:
    """It is no part of the checksum."""
    strange = batch([b"2", b"3"], base=2)
    struct.pack_into(">q", strange, 0, base)
    reader, offset, records = BatchReader(), 0, []
    log = batch([b"0", b"1"]) + strange + batch([b"4"], base=4)
    for _ in range(4 * ATTEMPTS):
        sent = log if offset < 2 else log[len(batch([b"0", b"1"])) :] if offset < 4 else log[-len(batch([b"4"])) :]
        for step in reader.read(Fetched(AT, offset, 5, sent)) if offset < 5 else ():
            offset, records = step.next_offset, [*records, *([step.record] if step.record else [])]
    assert outcome(records) == [b"0", b"1", UnreadableBatch, b"4"]
    assert (records[2].offset, records[2].next_offset) == (2, 4)
    kept = records[2].value or b""
    assert [one.value for one in records_within(AT, kept, 2, 3, LIMIT)] == [b"2", b"3"]


@pytest.mark.tried(
    kind="unreadable batches",
    given="a broker that fails on an offset for seconds, because its disk is damaged",
    outcome="dead-lettered by its position",
)
def test_what_the_broker_itself_finds_damaged_is_passed_by_its_position(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, refused = BatchReader(), Fetched(AT, 5, 9, b"", refusal="error 2, CORRUPT_MESSAGE")
    assert [step for _ in range(2 * ATTEMPTS) for step in reader.read(refused)] == []  # it may pass within seconds
    monkeypatch.setattr(unreadable_batches, "REFUSED_FOR_S", 0.0)
    reader = BatchReader()
    steps = [list(reader.read(Fetched(AT, 5, 9, b"", refusal="error 2, CORRUPT_MESSAGE"))) for _ in range(ATTEMPTS)]
    assert [len(each) for each in steps] == [0, 0, 1]
    (step,) = steps[-1]
    assert (step.next_offset, step.record.offset, step.record.value) == (6, 5, b"")
    assert "clips.uploaded[3]@5" in str(step.record.unreadable.error)


@pytest.mark.tried(
    kind="unreadable batches",
    given="a damaged marker of the end of a transaction",
    outcome="later transactions are read",
)
def test_aborted_transactions_are_passed_and_a_damaged_end_of_one_hides_no_later_one() -> None:
    aborted = batch([b"never"] * 2, producer=7)
    log = aborted + abort_marker(2, 7) + batch([b"kept"], base=3, producer=7) + abort_marker(4, 7, commits=True)
    assert outcome(read_on(log, aborted=((7, 0),))[0]) == [b"kept"]
    assert outcome(read_on(log, aborted=None)[0]) == [b"never", b"never", b"kept"]
    marker = len(aborted)
    log[marker + HEADER_BYTES] ^= 1
    reader, offset, records = BatchReader(), 0, []
    for _ in range(ATTEMPTS + 1):
        known = ((7, 0),) if offset < 3 else ()  # as a broker lists what overlaps with its answer
        for step in reader.read(Fetched(AT, offset, 5, without(log, offset), known)):
            offset, records = step.next_offset, [*records, *([step.record] if step.record else [])]
    assert outcome(records) == [UnreadableBatch, b"kept"]


def test_what_a_broker_no_longer_finds_after_it_was_damaged_is_passed_aloud() -> None:
    reader, strange = BatchReader(), batch([b"2"], base=2)
    struct.pack_into(">q", strange, 0, 0)
    after = batch([b"3"], base=3)
    assert list(reader.read(Fetched(AT, 2, 4, strange + after))) == []
    records = [step.record for step in reader.read(Fetched(AT, 2, 4, after)) if step.record]
    assert outcome(records) == [UnreadableBatch, b"3"]
    assert (records[0].offset, records[0].next_offset, records[0].value) == (2, 3, bytes(strange))


def test_a_part_of_a_batch_is_read_from_the_middle() -> None:
    records, _ = read_on(batch([b"0", b"1", b"2"], codec="lz4"), offset=2)
    assert [(each.offset, each.value) for each in records] == [(2, b"2")]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), min_size=1, max_size=8),
    st.sampled_from([None, *CODECS]),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
)
def test_any_damage_is_passed_in_the_end_and_never_an_error(
    damage: list[tuple[int, int]], codec: str | None, magic: int, right_checksum: bool
) -> None:
    codec = codec if codec in FORMATS[magic] else None
    log = b"".join(batch([b"value"] * 3, base=base, codec=codec, magic=magic) for base in (0, 3, 6))
    damaged = bytearray(log)
    for at, mask in damage:
        damaged[at % len(damaged)] ^= mask
    if right_checksum and magic == 2:
        length = len(log) // 3
        for start in range(0, len(log), length):
            whole = damaged[start : start + length]
            struct.pack_into(">I", damaged, start + 17, checksum(whole[CHECKED_FROM:]))
    reader, offset, fetches = BatchReader(LIMIT), 0, 0
    while offset < 9 and fetches < 100:
        fetches += 1
        for step in reader.read(Fetched(AT, offset, 9, damaged, ())):
            assert step.next_offset >= offset
            offset = step.next_offset
    assert fetches < 100


def checksum(content: bytes | bytearray) -> int:
    from kafka.record.util import calc_crc32c

    return int(calc_crc32c(content))


def test_legacy_checksums_are_those_of_zlib() -> None:
    assert zlib.crc32(batch([b"one"], magic=1)[16:]) == struct.unpack_from(">I", batch([b"one"], magic=1), 12)[0]
