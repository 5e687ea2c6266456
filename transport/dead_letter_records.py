"""Dead letters read back, and the records that put them back where they came from."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from schemas.errors import FinalError, UnreadableBatch
from schemas.escaping import shortened
from schemas.ports import OutgoingRecord, Record, TopicPartition
from transport.batches.unreadable import records_within
from transport.client_options import MAX_BATCH_BYTES
from transport.dead_letter import ORIGINAL, SUFFIX, dead_letter_topic, reason

REPLAYED_FROM: Final = "replayed-from"
"""Header of a record that was put back: ``topic:partition:offset`` of the dead letter that it first became."""
ATTEMPTS: Final = "attempts"
"""Header of a record that was put back: how often that was done, with this time."""

_MAX_QUOTED: Final = 80
_LETTER_ID: Final = re.compile(r"((?P<topic>[A-Za-z0-9._-]+):)?(?P<partition>[0-9]{1,9}):(?P<offset>[0-9]{1,18})")
_OURS: Final = (REPLAYED_FROM, ATTEMPTS)


class DeadLetterError(FinalError):
    """A dead letter that cannot be named, found or put back as asked; the message says which and what to do."""

    code = "dead_letter"
    remedy = "Do what the message says; `dancerank dead-letters list` shows the dead letters that are kept."


class DeadLetterId(msgspec.Struct, frozen=True, order=True):
    """Where a dead letter lies: ``topic`` is the dead-letter topic. Written ``topic:partition:offset``."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter without its value. ``source`` and ``source_offset`` lead to the record that it was made of. With
    ``last_offset`` it was made of records that could not be read, up to that offset; its value is their batch.

    ``original`` are the headers that the record came with, without those that a replay adds. ``attempts``: how often
    it was put back and failed again; ``first`` is then the dead letter that it was at first, else
    this one.
    """

    id: DeadLetterId
    at_ms: int
    source: TopicPartition
    source_offset: int
    last_offset: int | None = None
    code: str
    message: str
    field: str | None
    clip_id: str | None
    key: bytes | None
    size_bytes: int
    original: tuple[tuple[str, bytes], ...]
    first: str
    attempts: int


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant: those of one error ``code``, and those that failed at ``since_ms`` or later."""

    code: str | None = None
    since_ms: int | None = None

    def admits(self, dead_letter: DeadLetter) -> bool:
        return (self.code is None or dead_letter.code == self.code) and (
            self.since_ms is None or dead_letter.at_ms >= self.since_ms
        )


def parse_dead_letter_id(text: str, default_topic: str) -> DeadLetterId:
    """``partition:offset`` of the dead letters of ``default_topic``, or ``topic:partition:offset``; the topic may be
    the one that was read or its dead-letter topic. Raises ``DeadLetterError``.
    """
    named = _LETTER_ID.fullmatch(text)
    if named is None:
        raise DeadLetterError(
            f"{shortened(repr(text), _MAX_QUOTED)} names no dead letter; write PARTITION:OFFSET or "
            "TOPIC:PARTITION:OFFSET, as in 0:17"
        )
    return DeadLetterId(dead_letters_of(named["topic"] or default_topic), int(named["partition"]), int(named["offset"]))


def dead_letters_of(topic: str) -> str:
    """The dead-letter topic of ``topic``, which may be that topic already."""
    return topic if topic.endswith(SUFFIX) else dead_letter_topic(topic)


def read_dead_letter(record: Record) -> DeadLetter:
    """A record of a dead-letter topic. Raises ``DeadLetterError`` if its headers are not those of a dead letter."""
    named = DeadLetterId(record.topic, record.partition, record.offset)
    if record.unreadable is not None:
        raise DeadLetterError(f"{named} cannot be read: {record.unreadable.error.message}")
    try:
        ours = reason(record.headers)
        theirs = tuple(
            (name.removeprefix(ORIGINAL), held) for name, held in record.headers if name.startswith(ORIGINAL)
        )
        first, attempts = _replays(dict(theirs))
        return DeadLetter(
            id=named,
            at_ms=int(ours["failed_at_ms"]),
            source=TopicPartition(ours["topic"], int(ours["partition"])),
            source_offset=int(ours["offset"]),
            last_offset=int(ours["last_offset"]) if "last_offset" in ours else None,
            code=ours["code"],
            message=ours["message"],
            field=ours.get("field"),
            clip_id=ours.get("clip_id"),
            key=record.key,
            size_bytes=len(record.value or b""),
            original=_without_ours(theirs),
            first=first or str(named),
            attempts=attempts,
        )
    except (KeyError, ValueError) as error:
        raise DeadLetterError(
            f"{named} has not the headers of a dead letter ({shortened(str(error))}); it is left alone"
        ) from error


def latest(dead_letters: Iterable[DeadLetter]) -> list[DeadLetter]:
    """One dead letter for each record that failed, in the order given: the last, if it was put back and failed
    again, or if several readers of its topic dead-lettered it.
    """
    first_of: dict[tuple[TopicPartition, int], str] = {}
    last: dict[str, DeadLetter] = {}
    for dead_letter in dead_letters:
        first = first_of.setdefault((dead_letter.source, dead_letter.source_offset), dead_letter.first)
        known = last.get(first)
        if known is None or dead_letter.attempts >= known.attempts:
            last.pop(first, None)
            last[first] = dead_letter
    return list(last.values())


class Originals(Protocol):
    """Reads records again where they came from."""

    def __call__(self, at: TopicPartition, first: int, last: int) -> Sequence[Record]:
        """Those from offset ``first`` to ``last`` that are kept, or what stands for those that cannot be read."""
        ...


def replayed(
    dead_letter: DeadLetter,
    record: Record,
    originals: Originals,
    *,
    partition_by: Callable[[bytes], str | None],
    repaired: tuple[bytes | None, bytes] | None = None,
    max_batch_bytes: int = MAX_BATCH_BYTES,
) -> list[OutgoingRecord]:
    """What puts ``dead_letter`` back on its topic: key, value and headers as they came, marked as replayed. One record,
    or as many as could not be read at the time, if they can be read now.

    ``record`` is the dead letter as it was read. What it lacks because it was too large is taken from ``originals``.
    ``repaired`` are the key and value to send instead. ``partition_by`` gives the challenge of a value, by which
    producers choose the partition. Raises ``DeadLetterError`` if the value is not kept anywhere, or cannot be read.
    """
    if repaired is not None:
        found = [msgspec.structs.replace(record, key=repaired[0], value=repaired[1], headers=dead_letter.original)]
    elif dead_letter.last_offset is not None:
        found = _read_again(dead_letter, dead_letter.last_offset, record, originals, max_batch_bytes)
    elif record.value:
        found = [msgspec.structs.replace(record, headers=dead_letter.original)]
    else:
        found = [_original(dead_letter, originals)]
    marks = ((REPLAYED_FROM, dead_letter.first.encode()), (ATTEMPTS, str(dead_letter.attempts + 1).encode()))
    return [
        OutgoingRecord(
            dead_letter.source.topic,
            one.key,
            one.value,
            (*_without_ours(one.headers), *marks),
            partition_by=partition_by(one.value) if one.value else None,
        )
        for one in found
    ]


def _read_again(
    dead_letter: DeadLetter, last: int, record: Record, originals: Originals, max_batch_bytes: int
) -> list[Record]:
    """The records of a batch that could not be read, from its bytes or, if these are damaged, from its topic, where an
    operator may have put a whole replica in place.
    """
    source, first = dead_letter.source, dead_letter.source_offset
    error = UnreadableBatch("its bytes were too large for a dead letter, and it is no longer kept")
    if record.value:
        try:
            return records_within(source, record.value, first, last, max_batch_bytes)
        except UnreadableBatch as failure:
            error = failure
    found = originals(source, first, last)
    broken = next((each.unreadable.error for each in found if each.unreadable is not None), None)
    if broken is not None or not found:
        raise DeadLetterError(f"{dead_letter.id} still cannot be read: {(broken or error).message}. {error.remedy}")
    return list(found)


def _replays(headers: Mapping[str, bytes]) -> tuple[str | None, int]:
    """The first dead letter and the attempts, as a replayed record says them; any producer may send these."""
    try:
        return headers[REPLAYED_FROM].decode(), int(headers[ATTEMPTS])
    except (KeyError, ValueError):
        return None, 0


def _original(dead_letter: DeadLetter, originals: Originals) -> Record:
    source, offset = dead_letter.source, dead_letter.source_offset
    place = f"{shortened(source.topic)}[{source.partition}]@{offset}"  # a header says so, and anybody may write one
    found = next((record for record in originals(source, offset, offset) if record.offset == offset), None)
    if found is None:
        raise DeadLetterError(
            f"{dead_letter.id} holds no value, because it was empty or too large for a dead letter, and the original "
            f"at {place} is no longer kept; have the clip uploaded again, or give a value with --value"
        )
    if found.unreadable is not None:
        raise DeadLetterError(f"{dead_letter.id} holds no value, and {found.unreadable.error.message}")
    if found.key is None and found.value is None:
        raise DeadLetterError(
            f"{dead_letter.id}: the original at {place} has neither key nor value; there is nothing to put back"
        )
    return found


def _without_ours(headers: Iterable[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value) for name, value in headers if name not in _OURS)
