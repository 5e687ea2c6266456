"""Dead letters of the topics that the settings name: which there are, what they hold, and putting them back."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final

import msgspec

from dancerank.console.progress import working
from dancerank.processes import Processes
from dancerank.settings import Settings
from dancerank.topics import scored_topics, topics_read
from schemas.clock import SystemClock
from schemas.codec import decode
from schemas.errors import DancerankError
from schemas.events import UPLOAD_TYPES, ClipDeleted, ClipScored, EngagementObserved, Event
from schemas.ports import OutgoingRecord, Record, TopicPartition
from transport.connection import KafkaConnection
from transport.dead_letter_records import (
    DeadLetter,
    DeadLetterError,
    DeadLetterId,
    dead_letters_of,
    read_dead_letter,
    replayed,
)
from transport.kafka_source import KafkaSource
from transport.reading import read_to_end, record_at, records_between
from transport.topics import describe_topics

_LONGEST_SHOWN: Final = 200
_DEEPEST_SHOWN: Final = 16


class DeadLetters:
    """The dead letters of one Kafka. Every method raises ``TransportError`` if it does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: KafkaConnection = Processes(settings).connection
        self.strange: list[DeadLetterError] = []
        """What was read from a dead-letter topic and is not a dead letter."""

    def topics(self, topic: str | None) -> list[str]:
        """The dead-letter topics that exist: that of ``topic``, or all. Raises ``DeadLetterError`` if there is none."""
        read = {name for names in topics_read(self._settings).values() for name in names}
        wanted = sorted(map(dead_letters_of, read if topic is None else [topic]))
        with working(f"asking Kafka at {self._connection}"):
            found = sorted(describe_topics(self._connection, wanted))
        if not found:
            raise DeadLetterError(f"there is no topic {' or '.join(wanted)}; nothing was dead-lettered there yet")
        return found

    def read(self, topics: Sequence[str]) -> Iterator[tuple[DeadLetter, Record]]:
        """Every dead letter, from the beginning of the topics to their end; ``strange`` is what was not one."""
        self.strange = []
        with closing(KafkaSource(self._connection, topics, group=None)) as source:
            patience_s = self._connection.timeout_s
            for record in read_to_end(source, SystemClock(), patience_s=patience_s, progress=lambda *_: None):
                try:
                    yield read_dead_letter(record), record
                except DeadLetterError as error:
                    self.strange.append(error)

    def get(self, named: DeadLetterId) -> tuple[DeadLetter, Record]:
        """One dead letter. Raises ``DeadLetterError`` if there is none."""
        at, limit_bytes = TopicPartition(named.topic, named.partition), self._settings.kafka.max_batch_bytes
        record = record_at(self._connection, at, named.offset, max_batch_bytes=limit_bytes)
        if record is None or record.offset != named.offset:
            raise DeadLetterError(
                f"there is no dead letter {named}; dancerank dead-letters list shows those that are kept"
            )
        return read_dead_letter(record), record

    def outgoing(
        self, dead_letter: DeadLetter, record: Record, repaired: tuple[bytes, bytes] | None = None
    ) -> list[OutgoingRecord]:
        """The records that put a dead letter back. Raises ``DeadLetterError`` if its value is nowhere to be had."""
        kinds = self._event_types(dead_letter.source.topic)
        return replayed(
            dead_letter,
            record,
            self._originals,
            partition_by=partial(challenge_of, kinds),
            repaired=repaired,
            max_batch_bytes=self._settings.kafka.max_batch_bytes,
        )

    def repaired(self, dead_letter: DeadLetter, value: bytes, origin: str) -> tuple[bytes, bytes]:
        """Key and value of a repaired event. Raises ``DeadLetterError`` if it would fail again at once."""
        kinds = self._event_types(dead_letter.source.topic)
        try:
            event: Any = decode(value, *kinds)
        except DancerankError as error:
            raise DeadLetterError(
                f"{origin} is still not an event for {dead_letter.source.topic}: {error.message}"
            ) from error
        return event.clip_id.encode(), value

    def _originals(self, at: TopicPartition, first: int, last: int) -> list[Record]:
        limit_bytes = self._settings.kafka.max_batch_bytes
        return records_between(self._connection, at, first, last, max_batch_bytes=limit_bytes)

    def _event_types(self, topic: str) -> tuple[type[Event], ...]:
        types: dict[str, tuple[type[Event], ...]] = {
            self._settings.streamer.uploads_topic: UPLOAD_TYPES,
            self._settings.streamer.videos_topic: UPLOAD_TYPES,
            **dict.fromkeys(scored_topics(self._settings), (ClipScored,)),
            self._settings.pools.engagement_topic: (EngagementObserved,),
            self._settings.ranking.deletions_topic: (ClipDeleted,),
        }
        try:
            return types[topic]
        except KeyError:
            raise DeadLetterError(
                f"a dead letter came from {topic}, which the settings do not name; those are {', '.join(types)}"
            ) from None


def challenge_of(kinds: Sequence[type[Event]], value: bytes) -> str | None:
    """The challenge id that producers partition such an event by; ``None``: the key decides, or ``value`` is
    unreadable.
    """
    try:
        return getattr(decode(value, *kinds), "challenge_id", None)
    except DancerankError:
        return None


def as_json(value: bytes) -> bytes | None:
    """What an event holds, whether it is valid or not, as indented JSON, which every topic takes as well; bytes become
    base64. ``None`` if it is neither JSON nor MessagePack.
    """
    content = _content(value)
    return None if content is None else _indented(content)


def in_short(value: bytes) -> str | None:
    """``as_json`` for the eye: long texts and bytes are cut, with their length."""
    content = _content(value)
    return None if content is None else _indented(_cut(content)).decode()


def beginning(value: bytes, most: int = 256) -> str:
    """The first bytes of what is not an event: as text if it is, else in hexadecimal, 16 to a line."""
    start = value[:most]
    try:
        text = start.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        return text
    return "\n".join(start[at : at + 16].hex(" ") for at in range(0, len(start), 16))


def _content(value: bytes) -> dict[Any, Any] | None:
    readers: tuple[Callable[..., Any], ...] = (msgspec.json.decode, msgspec.msgpack.decode)
    for read in readers:
        try:
            content = read(value.removeprefix(b"\xef\xbb\xbf"))
            if isinstance(content, dict) and _indented(content):
                return content
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            continue  # of the other form, or of neither, which is an answer as well
    return None


def _indented(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2)


def _cut(content: Any, depth: int = 0) -> Any:
    if isinstance(content, dict | list) and depth == _DEEPEST_SHOWN:
        return "…"
    if isinstance(content, dict):
        return {key: _cut(part, depth + 1) for key, part in content.items()}
    if isinstance(content, list):
        return [_cut(part, depth + 1) for part in content]
    if isinstance(content, bytes):
        return f"… {len(content):,} bytes"
    if isinstance(content, str) and len(content) > _LONGEST_SHOWN:
        return f"{content[:_LONGEST_SHOWN]}… {len(content):,} characters"
    return content


def chosen(dead_letters: Collection[DeadLetter], limit: int) -> list[DeadLetter]:
    """The newest ``limit`` dead letters, 0: all; the oldest of them first."""
    ordered = sorted(dead_letters, key=lambda dead_letter: (dead_letter.at_ms, dead_letter.id))
    return ordered[-limit:] if limit else ordered
