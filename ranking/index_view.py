"""The vector view of the log: one index per modality and the catalogue, for exactly one model generation."""

import threading
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ranking.catalogue import Catalogue, CatalogueEntry
from ranking.locking import ReadWriteLock
from ranking.log import DELETED_CLIP, DeletedRecord, LogEntry
from ranking.similarity import SimilaritySearch
from ranking.snapshot import Position, SnapshotManifest, knows_deletions, read_snapshot, write_snapshot
from ranking.vectors import IndexFormat, StoredIndex, unit
from schemas.clock import Clock
from schemas.errors import DancerankError, GenerationMismatch, NotReady, SnapshotError
from schemas.events import embedding_array
from schemas.modalities import MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import Float32, Refusal, ScoredRecord, TopicPartition
from schemas.queries import SimilarAnswer, SimilarQuery

_CATALOGUE_FILE: Final = "catalogue.msgpack"
OTHER_GENERATION: Final = "other_generation"


class _Change(NamedTuple):
    entry: CatalogueEntry
    vectors: dict[Modality, Float32]
    scored: ScoredRecord


class IndexView:
    """``schemas.ports.View`` of the log and the deletions in vector indexes, and the similarity search over them.

    It holds one generation: the one given, else that of the snapshot, else that of the first record. Records of
    others are reported as skipped, and so are those of deleted clips. An embedding that is all zero has no direction:
    its modality counts as absent.

    ``apply`` and ``save`` belong to one thread; any number of others may ask meanwhile. Queries wait for a batch
    being applied and for nothing else, a snapshot least of all.
    """

    def __init__(
        self, indexes: IndexFormat, observer: Observer, clock: Clock, *, generation: str | None = None
    ) -> None:
        self._format = indexes
        self._observer = observer
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._generation = generation
        self._indexes: dict[Modality, StoredIndex] = {}
        self._catalogue = Catalogue()
        self._positions: dict[TopicPartition, int] = {}
        self._lock = ReadWriteLock()
        self._changing = threading.Lock()
        self._saved: Mapping[TopicPartition, int] = {}
        self._reported: set[Modality] = set()

    @property
    def generation(self) -> str | None:
        """The generation held; ``None`` until it is known."""
        return self._generation

    def sizes(self) -> dict[Modality, int]:
        """Vectors held of each modality."""
        with self._lock.reading():
            return {modality: len(index) for modality, index in sorted(self._indexes.items())}

    def clips(self) -> int:
        """Clips held."""
        with self._lock.reading():
            return len(self._catalogue)

    def similar(self, query: SimilarQuery) -> SimilarAnswer:
        """Raises ``NotFound`` and ``QueryError`` naming the parameter, and ``NotReady`` while nothing is held."""
        with self._lock.reading():
            if self._generation is None:
                raise NotReady("no scored clip has been read yet; try again shortly")
            return SimilaritySearch(self._generation, self._catalogue, self._indexes).answer(query)

    def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        held = self._positions
        return {partition: held[partition] for partition in partitions if partition in held}

    def apply(self, entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        with self._changing:
            deleted = {entry.event.clip_id for entry in entries if isinstance(entry, DeletedRecord)}
            scored = self._living(entries, deleted)
            generation = self._generation or next((entry.clip.generation for entry in scored), None)
            changes, refusals = self._changes(generation, scored)
            later = {at: max(offset, self._positions.get(at, 0)) for at, offset in positions.items()}
            with self._lock.writing():
                self._generation = generation
                self._delete(deleted)
                self._change(changes)
                self._indexes = {modality: index for modality, index in self._indexes.items() if len(index)}
                self._positions = self._positions | later
        self._report(changes)
        return refusals

    def _living(self, entries: Sequence[LogEntry], deleted: Set[str]) -> list[ScoredRecord]:
        """The scored records of clips that are neither among ``deleted`` nor were deleted before."""
        living: list[ScoredRecord] = []
        for entry in entries:
            if isinstance(entry, ScoredRecord):
                if entry.clip.clip_id in deleted or self._catalogue.was_deleted(entry.clip.clip_id):
                    self._observer.skipped(entry.record.topic, DELETED_CLIP)
                else:
                    living.append(entry)
        return living

    def _changes(self, generation: str | None, scored: Sequence[ScoredRecord]) -> tuple[list[_Change], list[Refusal]]:
        """What the records change, the last of each clip alone, and those that do not fit the indexes."""
        widths = {modality: index.dim for modality, index in self._indexes.items()}
        changes: dict[str, _Change] = {}
        refusals: list[Refusal] = []
        for record, clip in scored:
            if clip.generation != generation:
                self._observer.skipped(record.topic, OTHER_GENERATION)
                continue
            vectors = {
                m: vector
                for m, result in clip.modalities.items()
                if (vector := unit(embedding_array(result))) is not None
            }
            if error := _misfit(vectors, widths, clip.clip_id):
                refusals.append(Refusal(record, error))
                continue
            widths |= {modality: len(vector) for modality, vector in vectors.items()}
            present = tuple(modality for modality in MODALITIES if modality in vectors)
            entry = CatalogueEntry(
                clip_id=clip.clip_id,
                dancer_id=clip.dancer_id,
                challenge_id=clip.challenge_id,
                uploaded_at_ms=clip.uploaded_at_ms,
                log_partition=record.partition,
                log_offset=record.offset,
                modalities=present,
            )
            held = changes[clip.clip_id].entry if clip.clip_id in changes else self._catalogue.get(clip.clip_id)
            if held is None or _written(entry) > _written(held):
                changes[clip.clip_id] = _Change(entry, vectors, ScoredRecord(record, clip))
        return list(changes.values()), refusals

    def _delete(self, deleted: Set[str]) -> None:
        ids = [clip for clip_id in sorted(deleted) if (clip := self._catalogue.delete(clip_id)) is not None]
        if ids:
            for index in self._indexes.values():
                index.remove(np.array(ids, np.int64))

    def _change(self, changes: Sequence[_Change]) -> None:
        put: dict[Modality, tuple[list[int], list[Float32]]] = {modality: ([], []) for modality in MODALITIES}
        gone: dict[Modality, list[int]] = {modality: [] for modality in MODALITIES}
        for change in changes:
            clip = self._catalogue.put(change.entry)
            for modality in MODALITIES:
                if modality in change.vectors:
                    put[modality][0].append(clip)
                    put[modality][1].append(change.vectors[modality])
                else:
                    gone[modality].append(clip)
        for modality in MODALITIES:
            ids, vectors = put[modality]
            if modality in self._indexes and gone[modality]:
                self._indexes[modality].remove(np.array(gone[modality], np.int64))
            if ids:
                if modality not in self._indexes:
                    self._indexes[modality] = self._format.create(len(vectors[0]))
                self._indexes[modality].upsert(np.array(ids, np.int64), np.stack(vectors))

    def _report(self, changes: Sequence[_Change]) -> None:
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
        """Write a snapshot under ``root``; returns its folder, or ``None`` if none is called for.

        It is if anything changed since the last, or if one that is kept may still hold a deleted clip: the new one
        pushes it out. Raises ``SnapshotError`` if the disk refuses.
        """
        with self._changing:
            if self._positions == self._saved and knows_deletions(root, self._catalogue.deleted):
                return None
            manifest = SnapshotManifest(
                generation=self._generation,
                positions=tuple(
                    Position(at.topic, at.partition, next_) for at, next_ in sorted(self._positions.items())
                ),
                clips=len(self._catalogue),
                deleted=self._catalogue.deleted,
                vectors={modality: len(index) for modality, index in self._indexes.items()},
                created_at_ms=self._clock.now_ms(),
            )
            catalogue = self._catalogue.encode()
            files = {f"{modality}{self._format.extension}": index.write for modality, index in self._indexes.items()}
            folder = write_snapshot(root, manifest, files | {_CATALOGUE_FILE: partial(_write_bytes, catalogue)})
            self._saved = self._positions
            return folder

    def restore(self, root: Path) -> bool:
        """Take over the newest intact snapshot under ``root``, before anything is applied; ``False`` if there is none.

        Raises ``SnapshotError`` if all are damaged, and ``GenerationMismatch`` if it is of another generation than
        was given.
        """
        found = read_snapshot(root)
        if found is None:
            return False
        folder, manifest = found
        if self._generation not in (None, manifest.generation):
            raise GenerationMismatch(
                f"{folder} holds generation {manifest.generation}, not {self._generation}; "
                "give each generation a snapshot folder of its own"
            )
        catalogue = Catalogue.decode((folder / _CATALOGUE_FILE).read_bytes())
        indexes = {
            modality: self._format.read(folder / f"{modality}{self._format.extension}") for modality in manifest.vectors
        }
        counted = (len(catalogue), catalogue.deleted, {modality: len(index) for modality, index in indexes.items()})
        if counted != (manifest.clips, manifest.deleted, manifest.vectors):
            raise SnapshotError(f"{folder}: holds another number of clips or vectors than its manifest says; delete it")
        with self._changing, self._lock.writing():
            self._generation = manifest.generation
            self._catalogue, self._indexes = catalogue, indexes
            self._positions = self._saved = manifest.next_offsets()
        self._report(())
        return True


def _written(entry: CatalogueEntry) -> tuple[int, int, int]:
    return entry.uploaded_at_ms, entry.log_partition, entry.log_offset


def _misfit(vectors: Mapping[Modality, Float32], widths: Mapping[Modality, int], clip_id: str) -> DancerankError | None:
    for modality, vector in vectors.items():
        width = widths.get(modality, len(vector))
        if len(vector) != width:
            return GenerationMismatch(
                f"clip {clip_id} has a {modality} embedding of width {len(vector)}, its generation's is {width}; "
                "score the clip again with the bundle in service",
                field=f"modalities.{modality}.embedding",
            )
    return None


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)
