"""The vector view of the log: an embedding space for each model generation in it, side by side."""

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Final

import msgspec

from ranking.vectors.backends.port import IndexFormat
from ranking.vectors.embedding_space import EmbeddingSpace, SpaceChange
from ranking.vectors.read_write_lock import ReadWriteLock
from ranking.vectors.snapshots import (
    FileWriter,
    Position,
    SnapshotManifest,
    knows_deletions,
    read_snapshot,
    write_snapshot,
    writes,
)
from ranking.views.content_hash import index_content
from ranking.views.log_records import DELETED_CLIP, RETIRED_GENERATION, DeletedRecord, LogEntry
from schemas.clock import Clock
from schemas.errors import NotReady, QueryError, SnapshotError
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import Refusal, ScoredRecord, TopicPartition
from schemas.queries import SimilarAnswer, SimilarQuery

_DELETED_FILE: Final = "deleted.msgpack"


class IndexView:
    """``schemas.ports.View`` of the logs and the deletions in vector indexes, and the similarity search over them.

    Each generation has a space of its own, and every question is answered from exactly one. Records of retired
    generations and of deleted clips are reported as skipped; of a deleted clip only its id is kept, so that a late
    upload does not bring it back.

    ``apply`` and ``save`` belong to one thread; any number of others may ask meanwhile. Queries wait for a batch
    being applied and for nothing else, a snapshot least of all.
    """

    def __init__(self, indexes: IndexFormat, observer: Observer, clock: Clock) -> None:
        self._format = indexes
        self._observer = observer
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._spaces: dict[str, EmbeddingSpace] = {}
        self._retired: frozenset[str] = frozenset()
        self._deleted: set[str] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._lock = ReadWriteLock()
        self._changing = threading.Lock()
        self._saved: tuple[Mapping[TopicPartition, int], list[str]] = ({}, [])
        self._reported: set[Modality] = set()

    def generations(self) -> dict[str, int]:
        """Clips held of each generation, the one that came first at first."""
        with self._lock.reading():
            return {generation: len(space) for generation, space in self._spaces.items()}

    def sizes(self) -> dict[Modality, int]:
        """Vectors held of each modality, of all generations."""
        with self._lock.reading():
            return self._sizes()

    def clips(self) -> int:
        """Clips held, one under two generations counted twice."""
        return sum(self.generations().values())

    def content(self) -> str:
        """Hash of all that is held; equal for two views that were built from one log."""
        with self._lock.reading():
            return index_content({name: space.parts() for name, space in self._spaces.items()}, self._deleted)

    def similar(self, query: SimilarQuery, generation: str | None = None) -> SimilarAnswer:
        """Of ``generation``, by default the one that came first.

        Raises ``NotFound`` and ``QueryError`` naming the parameter, and ``NotReady`` while nothing is held.
        """
        with self._lock.reading():
            if not self._spaces:
                raise NotReady("no scored clip has been read yet; try again shortly")
            space = self._spaces.get(next(iter(self._spaces)) if generation is None else generation)
            if space is None:
                held = ", ".join(self._spaces)
                raise QueryError(f"generation {generation} is not indexed here; held are {held}", field="generation")
            return space.similar(query)

    def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        held = self._positions
        return {partition: held[partition] for partition in partitions if partition in held}

    def apply(self, entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        with self._changing:
            deleted = {entry.event.clip_id for entry in entries if isinstance(entry, DeletedRecord)}
            changes: dict[str, list[SpaceChange]] = {}
            spaces: dict[str, EmbeddingSpace] = {}
            refusals: list[Refusal] = []
            for generation, scored in self._living(entries, deleted).items():
                space = self._spaces.get(generation) or EmbeddingSpace(generation, self._format)
                changes[generation], refused = space.changes(scored)
                refusals += refused
                if changes[generation]:
                    spaces[generation] = space
            later = {at: max(offset, self._positions.get(at, 0)) for at, offset in positions.items()}
            with self._lock.writing():
                self._deleted |= deleted
                for space in self._spaces.values():
                    space.delete(deleted)
                for generation, space in spaces.items():
                    space.change(changes[generation])
                self._spaces |= spaces
                self._positions = self._positions | later
        self._report([change for made in changes.values() for change in made])
        return refusals

    def retire(self, generations: Collection[str]) -> None:
        """Hold nothing of ``generations`` from now on; what is held of them is dropped."""
        if self._retired.issuperset(generations):
            return
        with self._changing, self._lock.writing():
            self._retired |= frozenset(generations)
            self._spaces = {name: space for name, space in self._spaces.items() if name not in self._retired}
        self._report(())

    def _living(self, entries: Sequence[LogEntry], deleted: Set[str]) -> dict[str, list[ScoredRecord]]:
        """By generation, the scored records of clips that are neither among ``deleted`` nor were deleted before."""
        living = defaultdict[str, list[ScoredRecord]](list)
        for entry in entries:
            if isinstance(entry, ScoredRecord):
                if entry.clip.clip_id in deleted or entry.clip.clip_id in self._deleted:
                    self._observer.skipped(entry.record.topic, DELETED_CLIP)
                elif entry.clip.generation in self._retired:
                    self._observer.skipped(entry.record.topic, RETIRED_GENERATION)
                else:
                    living[entry.clip.generation].append(entry)
        return living

    def _sizes(self) -> dict[Modality, int]:
        sizes: dict[Modality, int] = {}
        for space in self._spaces.values():
            for modality, vectors in space.sizes().items():
                sizes[modality] = sizes.get(modality, 0) + vectors
        return dict(sorted(sizes.items()))

    def _report(self, changes: Sequence[SpaceChange]) -> None:
        sizes = self.sizes()
        self._reported |= sizes.keys()
        for modality in sorted(self._reported):
            self._observer.index_size(modality, sizes.get(modality, 0))
        now_ms = self._clock.now_ms()
        for change in changes:
            # What was scored before this process began may have been retrievable long ago, from another replica.
            if change.scored.record.timestamp_ms >= self._started_ms:
                self._observer.retrievable(max(0, now_ms - change.scored.clip.uploaded_at_ms) / 1000)

    def save(self, root: Path) -> Path | None:
        """Write a snapshot of all spaces under ``root``; returns its folder, or ``None`` if none is called for.

        It is if anything changed since the last, or if one that is kept may still hold a deleted clip: the new one
        pushes it out. Raises ``SnapshotError`` if the disk refuses.
        """
        with self._changing:
            state = (self._positions, list(self._spaces))
            if state == self._saved and knows_deletions(root, len(self._deleted)):
                return None
            manifest = SnapshotManifest(
                positions=tuple(
                    Position(at.topic, at.partition, next_) for at, next_ in sorted(self._positions.items())
                ),
                spaces=tuple(space.contents() for space in self._spaces.values()),
                deleted=len(self._deleted),
                created_at_ms=self._clock.now_ms(),
            )
            files: dict[str, FileWriter] = {_DELETED_FILE: writes(msgspec.msgpack.encode(sorted(self._deleted)))}
            for number, space in enumerate(self._spaces.values()):
                files |= space.files(_prefix(number))
            folder = write_snapshot(root, manifest, files)
            self._saved = state
            return folder

    def restore(self, root: Path) -> bool:
        """Take over the newest intact snapshot under ``root``, before anything is applied; ``False`` if there is none.

        Raises ``SnapshotError`` if all are damaged.
        """
        found = read_snapshot(root)
        if found is None:
            return False
        folder, manifest = found
        spaces = {
            contents.generation: EmbeddingSpace.read(contents, self._format, folder, _prefix(number))
            for number, contents in enumerate(manifest.spaces)
        }
        deleted = _read_deleted(folder / _DELETED_FILE)
        if len(deleted) != manifest.deleted:
            raise SnapshotError(f"{folder}: knows another number of deletions than its manifest says; delete it")
        with self._changing, self._lock.writing():
            self._spaces = {name: space for name, space in spaces.items() if name not in self._retired}
            self._deleted = deleted
            self._positions = manifest.next_offsets()
            self._saved = (self._positions, list(spaces))
        self._report(())
        return True


def _prefix(number: int) -> str:
    """Of the names of a space's files; a generation's own name may hold what a file's may not."""
    return f"{number}-"


def _read_deleted(path: Path) -> set[str]:
    try:
        return set(msgspec.msgpack.decode(path.read_bytes(), type=list[str]))
    except msgspec.DecodeError as error:
        raise SnapshotError(f"{path}: cannot be read ({error}); delete the snapshot") from error
