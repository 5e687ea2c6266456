"""Ports: what the streamer and the ranking need from the outside world, as Protocols.

Implementations: Kafka and in-memory sources and sinks in ``transport``; the views in ``ranking``. Vector indexes have a
port of their own, ``ranking.vectors.backends.port``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import DancerankError
from schemas.events import ClipScored

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Entry = TypeVar("Entry", contravariant=True)


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Record(msgspec.Struct, frozen=True):
    """One record as it was read. ``timestamp_ms`` is Kafka's, UTC."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class OutgoingRecord(msgspec.Struct, frozen=True):
    """One record to write.

    ``partition_by`` (a challenge id) chooses the partition; records with equal ``partition_by`` share one and keep
    their order. Without it the key chooses. ``partition`` names one, whatever the others say.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition_by: str | None = None
    partition: int | None = None


class RebalanceListener(Protocol):
    """Told by a source, from within ``poll``, when its partitions change."""

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where to start the partitions whose position is kept outside Kafka; those left out start at the committed
        offset. A position beyond the end of its partition makes ``poll`` raise ``PositionBeyondLog``.
        """
        ...

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Last chance to commit offsets of these partitions; another member gets them after it returns."""
        ...


class RecordSource(Protocol):
    """Reads records of one or more topics, in order within a partition."""

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Up to ``max_records`` records, waiting at most ``timeout_s`` for the first. Empty is no error.

        While paused it returns nothing but keeps the group membership alive. Raises ``TransportError``.
        """
        ...

    def pause(self) -> None:
        """Stop fetching every assigned partition, also ones assigned later, until ``resume``."""
        ...

    def resume(self) -> None: ...

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Store the next offset to read of each partition and wait for the broker. Raises ``TransportError``."""
        ...

    def assignment(self) -> frozenset[TopicPartition]: ...

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records between the next one to be returned and the end, for each assigned partition whose end is known."""
        ...

    def end_offsets(self) -> Mapping[TopicPartition, int]:
        """Offset after the last record of each assigned partition, asked of the broker."""
        ...

    @property
    def is_unreachable(self) -> bool:
        """Whether nobody answered when the broker was asked last. It is asked again and again, also while idle."""
        ...

    def membership(self) -> object:
        """What a ``TransactionalSink`` of the same transport needs to know of this member of its group."""
        ...

    def close(self) -> None:
        """Leave the group without committing. Idempotent."""
        ...


class RecordSink(Protocol):
    """Writes records; they are safe once ``flush`` has returned."""

    def send(self, record: OutgoingRecord) -> None:
        """Queue a record. May block for room. Raises ``TransportError``."""
        ...

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises ``TransportError``."""
        ...

    def flush(self, timeout_s: float) -> None:
        """Return when every record sent so far is acknowledged by all in-sync replicas; ``TransportError`` if one is
        not.
        """
        ...

    def close(self) -> None: ...


class TransactionalSink(Protocol):
    """Writes what was made of records together with how far they were read: all of it or nothing."""

    def check(self, record: OutgoingRecord) -> None:
        """Raise ``RecordRefused`` for a record that its topic could never take."""
        ...

    def commit(
        self, records: Sequence[OutgoingRecord], positions: Mapping[TopicPartition, int], source: RecordSource
    ) -> None:
        """Write ``records``, in order, and store the next offset to read of each partition; return when both are done.

        ``source`` is where they were read: a member that its group has given up on writes nothing. Raises
        ``TransportError``; what was to be written is then not written, or, if the broker's answer was lost, wholly
        written. ``MembershipLost`` if the group gave the member up, ``Fenced`` if another process has taken its name.
        """
        ...

    def close(self) -> None: ...


class ScoredRecord(NamedTuple):
    """A record of the log of scored clips, decoded."""

    record: Record
    clip: ClipScored


class Refusal(NamedTuple):
    """A record that can never be applied, and why."""

    record: Record
    error: DancerankError


class View(Protocol[Entry]):
    """A view of one or more topics that remembers how far it has come together with what it holds.

    ``Entry`` is what its records are read as: ``ScoredRecord`` for the views of the log.
    """

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Next offset to apply, for those of ``partitions`` that it has a position of."""
        ...

    def apply(self, entries: Sequence[Entry], positions: Mapping[TopicPartition, int], /) -> Sequence[Refusal]:
        """Apply entries and advance to ``positions``, both or neither; a position never goes back.

        Applying an entry again changes nothing. Of two scored records of one clip and generation the one with the
        greater (``uploaded_at_ms``, partition, offset) holds, in whichever order they come: a clip uploaded again for
        another challenge is in another partition, whose offsets compare with nothing. Nothing brings back a clip that
        was deleted. Returns the records that this view can never apply; they changed nothing and the positions are past
        them. Raises ``StoreUnavailable`` if a later try may succeed.
        """
        ...
