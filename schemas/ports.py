"""Ports: what the streamer and the ranking need from the outside world, as Protocols.

Implementations: Kafka and in-memory sources and sinks in ``transport``; runtimes of the networks in
``streamer.runtimes``; the views in ``ranking``. Vector indexes have a port of their own,
``ranking.vectors.backends.port``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.bundle import Bundle, BundleManifest
from schemas.errors import DancerankError, UnreadableBatch
from schemas.events import ClipScored, VideoFile
from schemas.features import ClipFeatures, Frames
from schemas.modalities import Modality

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
UInt32 = npt.NDArray[np.uint32]
Bool = npt.NDArray[np.bool_]
Entry = TypeVar("Entry", contravariant=True)


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Unreadable(msgspec.Struct, frozen=True):
    """Why records could not be read, and ``next_offset``, the first offset after them."""

    error: UnreadableBatch
    next_offset: int


class Record(msgspec.Struct, frozen=True):
    """One record as it was read. ``timestamp_ms`` is Kafka's, UTC.

    With ``unreadable`` it stands for records that could not be read, from ``offset`` on: ``value`` is then their batch
    as the broker keeps it, or what was received of it, or empty.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    unreadable: Unreadable | None = None

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    @property
    def next_offset(self) -> int:
        """Where reading continues after it."""
        return self.offset + 1 if self.unreadable is None else self.unreadable.next_offset


class OutgoingRecord(msgspec.Struct, frozen=True):
    """One record to write.

    ``partition_by`` (a challenge id) chooses the partition; records with equal ``partition_by`` share one and keep
    their order. Without it the key chooses. ``partition`` names one and overrides both.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition_by: str | None = None
    partition: int | None = None


class LogGap(NamedTuple):
    """Offsets from ``position`` to ``start`` - 1 of a partition, which were dropped before they were read."""

    at: TopicPartition
    position: int
    start: int

    @property
    def records(self) -> int:
        """The most records that were dropped: compaction and transaction markers leave offsets without a record."""
        return self.start - self.position

    def __str__(self) -> str:
        return (
            f"{self.at.topic}[{self.at.partition}] begins at offset {self.start}, but the next one to read is "
            f"{self.position}: up to {self.records:,} records were dropped before they were read"
        )


class RebalanceListener(Protocol):
    """A source calls it, from within ``poll``, when its partitions change."""

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Start positions of the partitions whose position is kept outside Kafka; those left out start at the committed
        offset. A position beyond the end of its partition makes ``poll`` raise ``PositionBeyondLog``.
        """
        ...

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Last chance to commit offsets of these partitions; another member gets them after it returns."""
        ...

    def dropped(self, gap: LogGap) -> None:
        """Retention, or an operator, dropped records before they were read. Reading continues after the gap once this
        returns; what it raises comes out of ``poll``.
        """
        ...


class RecordSource(Protocol):
    """Reads records of one or more topics, in order within a partition; partitions that are added are read too."""

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Up to ``max_records`` records, waiting at most ``timeout_s`` for the first. An empty list is not an error.

        Records that cannot be read come as one with ``unreadable``, in their place; those after them follow. While
        paused it returns nothing but keeps the group membership alive. Raises ``TransportError``.
        """
        ...

    def pause(self) -> None:
        """Stop fetching every assigned partition, also ones assigned later, until ``resume``."""
        ...

    def resume(self) -> None: ...

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool = True) -> None:
        """Store the next offset to read of each partition and wait for the broker. Raises ``TransportError``.

        Without ``wait`` it returns at once, and a failure is logged: for positions that nobody starts from.
        """
        ...

    def assignment(self) -> frozenset[TopicPartition]: ...

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records between the next one to be returned and the end, for each assigned partition whose end is known."""
        ...

    @property
    def is_expecting(self) -> bool:
        """Whether more records may be on their way: the brokers were asked, and have not answered yet."""
        ...

    @property
    def is_member(self) -> bool:
        """Whether it has been given its share of the partitions, which is empty if its group has more members than
        partitions; of a source without a group: whether it has its partitions.
        """
        ...

    def positions(self) -> Mapping[TopicPartition, int]:
        """Next offset to be returned of each assigned partition, as far as it is known; every record before it was
        returned.
        """
        ...

    def end_offsets(self) -> Mapping[TopicPartition, int]:
        """Offset after the last record of each assigned partition that has a leader, asked of the brokers."""
        ...

    @property
    def is_unreachable(self) -> bool:
        """Whether the last request to the brokers had no answer. Requests are repeated, also while idle."""
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
        """How many partitions a topic has, asked of the broker. Raises ``TransportError``."""
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


class StreamResult(NamedTuple):
    """Result of one stream for N clips: ``embeddings`` (N, D) and ``scores`` (N,), float32.

    ``attention``: (N, P, T), zero beyond each length, of a stream whose manifest names P parts; ``None`` of others.
    """

    embeddings: Float32
    scores: Float32
    attention: Float32 | None = None


class FusionResult(NamedTuple):
    """Result of the fusion for N clips: ``attention`` (N, M), 0 for absent modalities, and ``scores`` (N,), float32."""

    attention: Float32
    scores: Float32


@runtime_checkable
class ModelRuntime(Protocol):
    """Runs the graphs of one bundle, which it has loaded.

    Legend: N clips, T time steps of the longest, V joints, C channels, D embedding width of a stream, M streams.

    A clip's result depends neither on the other clips of its batch nor on the values in ``frames`` beyond its length.
    A runtime does not write to arrays that it was given, nor to arrays that it has returned. Several threads may call
    it at once; one that cannot run side by side lets them wait for each other.
    Streams are computed in float32, but for those of a ``precision`` in the manifest that the attribute ``precisions``
    of the runtime names; without it a bundle with other ones is refused.
    """

    @property
    def manifest(self) -> BundleManifest:
        """The bundle's manifest, as read."""
        ...

    @property
    def providers(self) -> Mapping[Modality | None, str]:
        """Device or execution provider that really runs each stream (``None``: the fusion), for logs and metrics."""
        ...

    def run_stream(self, modality: Modality, frames: Frames, lengths: Int64) -> StreamResult:
        """Embed and score clips of one modality: ``frames`` (N, T, [V,] C), ``lengths`` (N,), from 1 to T. Raises
        ``InferenceFailed``.

        ``frames`` are float32, or float16 if the attribute ``reads_half`` of the runtime is set and names the modality.
        """
        ...

    def run_fusion(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionResult:
        """Fuse ``embeddings`` (N, sum of D) and ``scores`` (N, M), 0 where not ``present`` (N, M). Raises
        ``InferenceFailed``.
        """
        ...

    def close(self) -> None:
        """Free what the graphs hold; nothing is run afterwards. Idempotent."""
        ...


class FusionGradient(NamedTuple):
    """∂(fused score) of N clips: by ``embeddings`` (N, sum of D) and by ``scores`` (N, M), float32."""

    embeddings: Float32
    scores: Float32


class GradientRuntime(Protocol):
    """Runs the gradient graphs of one bundle; legend and rules as of ``ModelRuntime``, but padding is finite too."""

    @property
    def manifest(self) -> BundleManifest: ...

    def stream_gradient(self, frames: Float32, lengths: Int64, score_seed: Float32, embedding_seed: Float32) -> Float32:
        """∂(score_seed · score + embedding_seed · embedding) / ∂frames, of the shape of ``frames`` (N, T, V, C), zero
        beyond ``lengths`` (N,). ``score_seed`` (N,), ``embedding_seed`` (N, D). Raises ``InferenceFailed``.
        """
        ...

    def fusion_gradient(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionGradient:
        """Inputs as of ``run_fusion``. Raises ``InferenceFailed``."""
        ...

    def close(self) -> None:
        """Free what the graphs hold; nothing is run afterwards. Idempotent."""
        ...


@runtime_checkable
class PreparesShapes(Protocol):
    """A runtime for which a new shape of input costs, and which therefore rounds shapes to a few."""

    def shape_buckets(self, modality: Modality) -> Iterable[tuple[int, int]]:
        """Shapes (N, T) of a stream to run once before the first clip."""
        ...


class RuntimeFactory(Protocol):
    """Makes a runtime: its class, or a function."""

    def __call__(self, bundle: Bundle, *, providers: Sequence[str], threads: int) -> ModelRuntime:
        """Load the graphs of ``bundle`` on the first of ``providers`` that this machine has, with ``threads`` threads
        for each operator (0: one per core).

        ``providers`` are short names that the runtime defines (``cuda``, ``cpu``), best first. Raises
        ``ConfigurationError`` with ``field="providers"`` for an unknown name, or if none is available, and
        ``BundleError`` naming the file whose graph cannot be loaded or is not what the manifest says.
        """
        ...


@runtime_checkable
class FeatureExtractor(Protocol):
    """Takes the features of a clip from its video. Called from several threads at once."""

    def extract(self, video: VideoFile) -> ClipFeatures:
        """The features of ``video`` at the nominal rate of each modality; ``extractors`` names what made each, with its
        version (``tsn 1.2``). A modality that the video does not show is left out.

        The caller has checked that ``video.uri`` lies in an allowed root; the extractor checks ``video.sha256``. Raises
        a ``FeatureError``: ``FeatureFileMissing`` if there is no such video, ``FeatureFileCorrupt`` for a checksum that
        differs, ``ExtractionFailed`` for a video that cannot be used; and ``FeatureStoreUnavailable`` if a later try
        may succeed.
        """
        ...


@runtime_checkable
class ExtractsOpenFiles(Protocol):
    """What a ``FeatureExtractor`` may have besides: videos that no URI names, such as one that came with a request."""

    def extract_open(self, descriptor: int) -> ClipFeatures:
        """The features of a video in an open file, read from its start. Raises as ``extract`` does."""
        ...
