"""The vector view of the log: an embedding space for each model generation in it, side by side."""

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Final, cast

import msgspec

from ranking.vectors.backends.port import IndexBackend, RemoteBackend, SnapshotIndex, VectorIndex
from ranking.vectors.catalogue import Catalogue
from ranking.vectors.content_hash import index_content
from ranking.vectors.embedding_space import EmbeddingSpace, SpaceChange
from ranking.vectors.read_write_lock import ReadWriteLock
from ranking.vectors.snapshots import (
    Position,
    SnapshotManifest,
    knows_deletions,
    pack,
    read_snapshot,
    unpack,
    write_snapshot,
    writes,
)
from ranking.views.log_records import DELETED_CLIP, RETIRED_GENERATION, DeletedRecord, LogEntry
from schemas.clock import Clock
from schemas.errors import NotFound, NotReady, SnapshotError
from schemas.escaping import shortened
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import Refusal, ScoredRecord, TopicPartition
from schemas.queries import SimilarAnswer, SimilarQuery
from schemas.times import BACKFILL_MS

log = logging.getLogger(__name__)

_DELETED_FILE: Final = "deleted.msgpack"
_CATALOGUE_FILE: Final = "catalogue.msgpack"
_COMPONENT_BYTES: Final = 4
_ID_BYTES: Final = 16
_MAX_QUOTED: Final = 80


class IndexView:
    """``schemas.ports.View`` of the logs and the deletions in vector indexes, and the similarity search over them.

    Each generation has a space of its own, and every query is answered from exactly one. Records of retired
    generations and of deleted clips are reported as skipped; of a deleted clip only its id is kept, so that a late
    upload does not restore it.

    ``backend`` holds the vectors. If it lives in this process, the view saves snapshots in a folder; a remote one
    persists by itself and keeps the view's state, so that the folder is not used.

    ``apply`` and ``save`` belong to one thread; any number of others may query meanwhile. Queries wait for a batch
    that is being applied, not for a snapshot.
    """

    def __init__(self, backend: IndexBackend, observer: Observer, clock: Clock) -> None:
        self._backend = backend
        self._observer = observer
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._spaces: dict[str, EmbeddingSpace] = {}
        self._retired: frozenset[str] = frozenset()
        self._deleted: set[str] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._lock = ReadWriteLock()
        self._changing = threading.Lock()
        self._intact: Path | None = None
        self._saved: tuple[Mapping[TopicPartition, int], list[str]] = ({}, [])
        self._reported: set[Modality] = set()
        self._several: set[tuple[str, Modality, tuple[int, ...]]] = set()

    def generations(self) -> dict[str, int]:
        """Clips held of each generation, in the order in which the generations came."""
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
        """The clips nearest to the example within ``generation``, by default the first one that is held.

        Raises ``NotFound`` and ``QueryError`` naming the parameter, and ``NotReady`` while nothing is held.
        """
        with self._lock.reading():
            if not self._spaces:
                raise NotReady("no scored clip has been read yet; try again shortly")
            space = self._spaces.get(next(iter(self._spaces)) if generation is None else generation)
            if space is None:
                held = ", ".join(self._spaces)
                raise NotFound(f"generation {generation} is not indexed here; held are {held}", field="generation")
            return space.similar(query)

    def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        held = self._positions
        return {partition: held[partition] for partition in partitions if partition in held}

    def apply(self, entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        with self._changing:
            deleted = {entry.event.clip_id for entry in entries if isinstance(entry, DeletedRecord)}
            changes: dict[str, list[SpaceChange]] = {}
            spaces: dict[str, EmbeddingSpace] = {}
            for generation, scored in self._living(entries, deleted).items():
                space = self._spaces.get(generation) or EmbeddingSpace(generation, self._backend)
                changes[generation] = space.changes(scored, self._clock.now_ms())
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
        return []

    def retire(self, generations: Collection[str]) -> None:
        """Hold nothing of ``generations`` from now on; what is held of them is dropped."""
        if self._retired.issuperset(generations):
            return
        with self._changing, self._lock.writing():
            self._hold(self._spaces, self._retired | frozenset(generations))
        self._report(())

    def _hold(self, spaces: Mapping[str, EmbeddingSpace], retired: frozenset[str]) -> None:
        for name in spaces.keys() & retired:
            spaces[name].drop()
        self._spaces = {name: space for name, space in spaces.items() if name not in retired}
        self._retired = retired

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
        self._warn_of_widths()
        now_ms = self._clock.now_ms()
        for change in changes:
            written_ms, uploaded_ms = change.scored.record.timestamp_ms, change.scored.clip.uploaded_at_ms
            if written_ms < self._started_ms:
                continue  # it may have been retrievable long ago, from another replica
            if written_ms - uploaded_ms > BACKFILL_MS:
                self._observer.backfilled()
            else:
                self._observer.retrievable(max(0, now_ms - uploaded_ms) / 1000)

    def _warn_of_widths(self) -> None:
        with self._lock.reading():
            held = {(name, *found) for name, space in self._spaces.items() for found in space.widths().items()}
        for name, modality, widths in sorted({one for one in held if len(one[-1]) > 1} - self._several):
            log.warning(
                "generation %s has %s embeddings of the widths %s, so two bundles share its name; clips are compared "
                "with those of their own width; score the clips again with one bundle",
                name,
                modality,
                ", ".join(map(str, widths)),
            )
        self._several |= held

    def save(self, root: Path) -> Path | None:
        """Write a snapshot of all spaces under ``root``; returns its folder, or ``None`` if none is needed.

        One is needed if anything changed since the last, or if one that is kept may still hold a deleted clip: the new
        one replaces it. A remote backend gets the state instead. Raises ``SnapshotNotWritten`` if the disk refuses, and
        what the remote backend raises.
        """
        with self._changing:
            saved = (self._positions, list(self._spaces))
            is_remote = isinstance(self._backend, RemoteBackend)
            if saved == self._saved and (is_remote or knows_deletions(root, len(self._deleted))):
                return None
            manifest = SnapshotManifest(
                index=self._backend.name,
                positions=tuple(
                    Position(at.topic, at.partition, next_) for at, next_ in sorted(self._positions.items())
                ),
                spaces=tuple(space.contents() for space in self._spaces.values()),
                deleted=len(self._deleted),
                created_at_ms=self._clock.now_ms(),
            )
            state = {_DELETED_FILE: msgspec.msgpack.encode(sorted(self._deleted))}
            for number, space in enumerate(self._spaces.values()):
                state[_prefix(number) + _CATALOGUE_FILE] = space.encoded_catalogue()
            folder = self._write(root, manifest, state)
            self._saved = saved
            return folder

    def _write(self, root: Path, manifest: SnapshotManifest, state: Mapping[str, bytes]) -> Path | None:
        if isinstance(self._backend, RemoteBackend):
            self._backend.save_state(pack(manifest, state))
            return None
        files = {name: writes(content) for name, content in state.items()}
        needed_bytes = sum(map(len, state.values()))
        for number, space in enumerate(self._spaces.values()):
            for modality, indexes in space.parts()[1].items():
                for width, index in indexes.items():
                    name = _index_file(number, modality, None if width == min(indexes) else width)
                    # A SnapshotBackend makes no other index.
                    frozen = cast(SnapshotIndex, index).freeze()
                    files[name] = writes(frozen.state)
                    files |= {f"{name}.{segment}": file.write for segment, file in frozen.segments.items()}
                    needed_bytes += len(index) * (index.dim * _COMPONENT_BYTES + _ID_BYTES)
        self._intact = write_snapshot(root, manifest, files, needed_bytes=needed_bytes, spare=self._intact)
        return self._intact

    def restore(self, root: Path) -> bool:
        """Take over the state that a remote backend holds, or the newest intact snapshot under ``root``, before
        anything is applied; ``False`` if there is none.

        Raises ``SnapshotError`` if all are damaged, of another format or of another backend.
        """
        found = self._stored(root)
        if found is None:
            return False
        origin, manifest, state = found
        if manifest.index != self._backend.name:
            raise SnapshotError(
                f"{origin}: index {shortened(repr(manifest.index), _MAX_QUOTED)} wrote it and ranking.index is "
                f"{self._backend.name!r}; set it back, or delete the folder to rebuild the index from the log"
            )
        try:
            spaces = {
                contents.generation: self._restored(manifest, number, state[_prefix(number) + _CATALOGUE_FILE], origin)
                for number, contents in enumerate(manifest.spaces)
            }
            deleted = set(msgspec.msgpack.decode(state[_DELETED_FILE], type=list[str]))
        except (KeyError, ValueError) as error:
            raise SnapshotError(f"{origin}: cannot be read ({shortened(str(error))}); delete it") from error
        if len(deleted) != manifest.deleted:
            raise SnapshotError(f"{origin}: knows another number of deletions than its manifest says; delete it")
        with self._changing, self._lock.writing():
            self._hold(spaces, self._retired)
            self._deleted = deleted
            self._positions = manifest.next_offsets()
            self._saved = (self._positions, list(spaces))
        if not isinstance(self._backend, RemoteBackend):
            self._intact = origin
        self._report(())
        return True

    def _stored(self, root: Path) -> tuple[Path, SnapshotManifest, Mapping[str, bytes]] | None:
        """A snapshot as read: its folder, its manifest, and the content of every file but the indexes."""
        if isinstance(self._backend, RemoteBackend):
            packed, origin = self._backend.load_state(), Path(f"state of index {self._backend.name}")
            return None if packed is None else (origin, *unpack(packed, str(origin)))
        found = read_snapshot(root)
        if found is None:
            return None
        folder, manifest = found
        names = (_DELETED_FILE, *(_prefix(number) + _CATALOGUE_FILE for number in range(len(manifest.spaces))))
        return folder, manifest, {name: (folder / name).read_bytes() for name in names if name in manifest.files}

    def _restored(self, manifest: SnapshotManifest, number: int, catalogue: bytes, folder: Path) -> EmbeddingSpace:
        contents = manifest.spaces[number]
        indexes, held = dict[Modality, dict[int, VectorIndex]](), Catalogue.decode(catalogue)
        for modality, smallest in contents.widths.items():
            indexes[modality] = {}
            for width in (smallest, *contents.other_widths.get(modality, ())):
                if isinstance(self._backend, RemoteBackend):
                    indexes[modality][width] = self._backend.open(contents.generation, modality, width)
                else:
                    name = _index_file(number, modality, None if width == smallest else width)
                    segments = {
                        file.removeprefix(f"{name}."): folder / file
                        for file in manifest.files
                        if file.startswith(f"{name}.")
                    }
                    try:
                        state = (folder / name).read_bytes()
                        indexes[modality][width] = self._backend.read(state, segments, width, held)
                    except (OSError, SnapshotError) as error:
                        raise SnapshotError(f"{folder / name}: {error}") from error
        space = EmbeddingSpace.restored(contents.generation, self._backend, held, indexes)
        # A remote index may be ahead of the state that is kept beside it.
        if space.contents() != contents and not isinstance(self._backend, RemoteBackend):
            raise SnapshotError(f"{folder}: holds another number of clips or vectors than its manifest says; delete it")
        if not isinstance(self._backend, RemoteBackend) and not space.holds_its_clips():
            raise SnapshotError(f"{folder}: its indexes hold other clips than its catalogue; delete it")
        return space


def _prefix(number: int) -> str:
    """Prefix of a space's file names; a generation's name may contain characters that file names may not."""
    return f"{number}-"


def _index_file(number: int, modality: Modality, width: int | None) -> str:
    """Its state; ``width``: of the indexes but that of the smallest width. Segments add their names."""
    return f"{_prefix(number)}{modality}" + (f"-{width}" if width is not None else "") + ".index"
