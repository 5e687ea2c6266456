"""Batches of records as brokers send them: every format, codec and kind, whole and damaged."""

import struct
from random import Random
from typing import Final, NamedTuple

from ranking.views.log_records import read_log
from schemas.errors import FinalError
from schemas.ports import Record, TopicPartition
from tests.fuzz.event_inputs import CLOCK, event_value
from tests.fuzz.mutations import BYTES, damaged
from tests.fuzz.outcomes import Target, check_refusal
from tests.ranking.examples import DELETIONS, TOPIC
from tests.transport.batches import CODECS, abort_marker, batch, raw_batch, record
from transport.batches.unreadable import ATTEMPTS, BatchReader, Fetched

_LIMIT_BYTES: Final = 1 << 20
_AT: Final = TopicPartition(TOPIC, 0)


class Received(NamedTuple):
    """What a partition holds from ``offset`` to ``end``, as it is sent at each fetch, and what was aborted in it."""

    offset: int
    end: int
    content: bytes
    aborted: tuple[tuple[int, int], ...]


def received(rng: Random) -> Received:
    """One to four batches, some of them control batches or of aborted transactions; about half are damaged."""
    offset = base = rng.choice((0, 7, 1 << 40))
    parts: list[bytes] = []
    aborted = []
    for _ in range(rng.randint(1, 4)):
        part, count, producer = _batch(rng, base)
        if producer is not None and rng.random() < 0.5:
            aborted.append((producer, base))
        if rng.random() < 0.4:
            part = damaged(rng, part, parts)
        parts.append(part)
        base += count + rng.choice((0, 0, 0, 3))
    content = b"".join(parts)
    if rng.random() < 0.1 and content:
        content = content[: rng.randint(1, len(content))]
    if rng.random() < 0.05:
        aborted.append((rng.randrange(9), rng.choice((-1, 0, 1 << 62))))
    # A broker that sends nothing has nothing to send yet: that is no input.
    return Received(offset, base, content or b"\0", tuple(aborted))


def _batch(rng: Random, base: int) -> tuple[bytes, int, int | None]:
    """A batch, the offsets it takes, and the producer of its transaction."""
    values = [event_value(rng)[:20_000] for _ in range(rng.randint(1, 4))]
    match rng.randrange(5):
        case 0:
            magic = rng.choice((0, 1))
            codec = rng.choice((None, "gzip", "snappy", *(("lz4",) if magic else ())))
            whole = values if codec else values[:1]  # without a codec a batch is one message
            return bytes(batch(whole, base=base, codec=codec, magic=magic)), len(whole), None
        case 1:
            return bytes(abort_marker(base, rng.randrange(3), commits=rng.random() < 0.5)), 1, None
        case 2:
            return _raw(rng, base), 4, None
        case _:
            producer = rng.choice((None, None, rng.randrange(3)))
            codec = rng.choice((None, *CODECS))
            return bytes(batch(values, base=base, codec=codec, producer=producer)), len(values), producer


def _raw(rng: Random, base: int) -> bytes:
    """A batch with a right checksum, and anything in it: no keys, no values, odd headers, counts, deltas and codecs."""
    records = [
        record(
            delta=rng.choice((number, number, 0, -1, 1 << 40)) if rng.random() < 0.2 else number,
            key=rng.choice((None, b"", b"key", b"\xff\xfe")),
            value=rng.choice((None, b"", event_value(rng)[:20_000])),
            headers=[
                (rng.choice((b"", b"h", b"\xff", b"trace" * 99)), rng.choice(BYTES)) for _ in range(rng.randrange(3))
            ],
            after=rng.choice((b"", b"", b"", b"?")),
        )
        for number in range(rng.randint(1, 4))
    ]
    made = raw_batch(
        records,
        base=base,
        attributes=rng.choice((0, 0, 0x08, 0x10, 0x20, 0x30, rng.randrange(8), rng.randrange(1 << 15))),
        magic=rng.choice((2, 2, 2, 2, 3, 127)),
        last_delta=rng.choice((3, 3, 3, len(records) - 1, -1, 0, 2**31 - 1)),
        count=rng.choice((None, None, None, -1, 0, 2**31 - 1)),
        producer=rng.choice((-1, 1, 2)),
        content=rng.choice((None, None, None, rng.randbytes(40), b"")),
    )
    if rng.random() < 0.3:  # time stamps -1 and beyond, which the checksum does not know of
        struct.pack_into(">qq", made, 27, rng.choice((-1, 2**63 - 1)), rng.choice((-1, 2**63 - 1)))
    return bytes(made)


def read_batches(given: Received) -> None:
    """Reading comes to the end, forward at each step, in as many fetches as damage allows; each record comes once."""
    reader, position, fetches, refused = BatchReader(_LIMIT_BYTES), given.offset, 0, list[FinalError]()
    while position < given.end:
        start = position
        for step in reader.read(Fetched(_AT, position, given.end, given.content, given.aborted)):
            assert step.next_offset >= position
            if step.record is not None:
                assert step.next_offset > position or step.record.offset >= position
                _read(step.record, refused)
            position = step.next_offset
        fetches = 0 if position > start else fetches + 1
        assert fetches < ATTEMPTS, f"stands still at {position}"
    if refused:
        raise refused[0]


def _read(found: Record, refused: list[FinalError]) -> None:
    if found.unreadable is not None:
        check_refusal(found.unreadable.error)
        refused.append(found.unreadable.error)
    elif found.value is not None:
        entries, refusals = read_log([found], DELETIONS, clock=CLOCK)
        assert len(entries) + len(refusals) == 1


TARGETS: Final = (Target("record batches", received, read_batches, 1.0),)
