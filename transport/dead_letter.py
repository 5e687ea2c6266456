"""Dead letters: a record that cannot be processed, kept as it was, with the reason in its headers."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from schemas.clock import Clock
from schemas.codec import peek_clip_id
from schemas.errors import DancerankError, RecordRefused
from schemas.escaping import shortened
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, Record, Refusal
from transport.topics import TopicSpec

log = logging.getLogger(__name__)

SUFFIX: Final = ".dead-letter"

ORIGINAL: Final = "original."
"""Prefix of the headers that the record came with, so that they are not confused with ours."""

HEADER_ROOM_BYTES: Final = 64 * 1024
"""More than its record that a dead letter may have."""
# An error may quote what the record holds; uncut, it would make the dead letter larger than any record may be.
_LONGEST: Final = {"message": 2048, "field": 256, "clip_id": 128}


def dead_letter_topic(topic: str) -> str:
    return topic + SUFFIX


def dead_letter_spec(source: TopicSpec) -> TopicSpec:
    """The topic for what cannot be processed of ``source``: as many partitions, room for its largest record."""
    source_limit_bytes = int(source.config.get("max.message.bytes", 1024 * 1024))
    limit = {"max.message.bytes": str(source_limit_bytes + HEADER_ROOM_BYTES)}
    return TopicSpec(
        name=dead_letter_topic(source.name), partitions=source.partitions, replication=source.replication, config=limit
    )


def dead_letter(record: Record, error: DancerankError, *, clip_id: str | None, failed_at_ms: int) -> OutgoingRecord:
    """The record for the dead-letter topic of ``record.topic``: key and value unchanged.

    Headers, UTF-8: ``code``, ``message`` and ``field`` of the error; ``topic``, ``partition`` and ``offset`` of the
    record; ``last_offset``, if it stands for records that could not be read; ``clip_id``; ``failed_at_ms``. Those not
    known (``field``, ``clip_id``) are left out; ``message`` is cut to 2048 characters, ``field`` to 256, ``clip_id`` to
    128. The record's own headers follow, named ``original.…``.
    """
    reason = {
        "code": error.code,
        "message": error.message,
        "field": error.field,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "last_offset": None if record.unreadable is None else str(record.next_offset - 1),
        "clip_id": clip_id,
        "failed_at_ms": str(failed_at_ms),
    }
    return OutgoingRecord(
        dead_letter_topic(record.topic),
        record.key,
        # Kafka has no record without key and value; one that came so (as a null tombstone) is kept as an empty value.
        record.value if record.value is not None or record.key is not None else b"",
        (
            *(
                (name, text[: _LONGEST.get(name)].encode(errors="backslashreplace"))
                for name, text in reason.items()
                if text is not None
            ),
            *((ORIGINAL + name, content) for name, content in record.headers),
        ),
    )


def send_dead_letter(send: Callable[[OutgoingRecord], None], whole: OutgoingRecord) -> OutgoingRecord:
    """Send a dead letter whole or, if it is refused, without value and original headers, then without key as well.

    Topic, partition and offset in the headers still lead to the original. Returns the form that was sent. Raises what
    ``send`` raises, and ``RecordRefused`` only if even the smallest form is refused.
    """
    reduced = without_value(whole)
    for form in (whole, reduced):
        try:
            send(form)
        except RecordRefused:
            continue
        return form
    bare = msgspec.structs.replace(reduced, key=None)
    send(bare)
    return bare


def without_value(whole: OutgoingRecord) -> OutgoingRecord:
    """A dead letter without value and original headers."""
    ours = tuple((name, content) for name, content in whole.headers if not name.startswith(ORIGINAL))
    return msgspec.structs.replace(whole, value=b"", headers=ours)


def reason(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """Our headers of a dead letter, read back."""
    return {name: content.decode() for name, content in headers if not name.startswith(ORIGINAL)}


class DeadLetterWriter:
    """Writes the dead letters of a loop, reports them to the observer, and logs them."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock

    def write(
        self,
        refusals: Sequence[Refusal],
        send: Callable[[OutgoingRecord], None],
        flush: Callable[[], object] = lambda: None,
    ) -> list[OutgoingRecord]:
        """Send the dead letters and flush, then report them; as they were sent, see ``send_dead_letter``.

        If the broker refuses some of them, because their topic takes less than the one that was read, all are sent
        again without values. Raises what ``flush`` raises then.
        """
        now_ms = self._clock.now_ms()
        whole = [
            dead_letter(record, error, clip_id=_clip_of(record), failed_at_ms=now_ms) for record, error in refusals
        ]
        sent = [send_dead_letter(send, each) for each in whole]
        try:
            flush()
        except RecordRefused as refused:
            log.warning("%s; the dead letters are written without values: raise max.message.bytes", refused)
            sent = [without_value(each) for each in whole]
            for each in sent:
                send(each)
            flush()
        for record, error in refusals:
            self._observer.dead_lettered(record.topic, error.code)
            _log("dead-lettered", record, error)
        return sent

    def skip(self, refusals: Sequence[Refusal]) -> None:
        """Report records whose dead letters another reader of the topic writes."""
        for record, error in refusals:
            self._observer.skipped(record.topic, error.code)
            _log("skipped", record, error)


def _clip_of(record: Record) -> str | None:
    return None if record.unreadable else peek_clip_id(record.value)


def _log(done: str, record: Record, error: DancerankError) -> None:
    place = (record.topic, record.partition, record.offset)
    log.warning("%s[%d]@%d%s %s: %s (%s)", *place, _named(record), done, error, error.code)


def _named(record: Record) -> str:
    """The clip that a record is about or, if that cannot be read, its key."""
    if (clip_id := _clip_of(record)) is not None:
        return f" (clip {clip_id})"
    if record.key is None:
        return ""
    return f" (key {shortened(record.key.decode(errors='backslashreplace'), _LONGEST['clip_id'])})"
