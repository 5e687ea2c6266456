"""The vector view of the log: an embedding space for each model generation in it, side by side."""

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Final

import msgspec

from ranking.vectors.backends.port import IndexBackend, RemoteBackend, SegmentFile, VectorIndex
from ranking.vectors.catalogue import Catalogue
from ranking.vectors.catalogue_block import merged, read_blocks
from ranking.vectors.conditions import ClipCondition, Decisions
from ranking.vectors.content_hash import index_content
from ranking.vectors.embedding_space import EmbeddingSpace, SpaceChange
from ranking.vectors.manifest import Position, SnapshotManifest, SpaceContents, pack, state_file, unpack
from ranking.vectors.read_write_lock import ReadWriteLock
from ranking.vectors.snapshots import knows_deletions, read_snapshot, write_snapshot
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
_CATALOGUE_FILE: Final = "catalogue"
_MAX_QUOTED: Final = 80


class IndexView:
    """``schemas.ports.View`` of the logs and the deletions in vector indexes, and the similarity search over them.

    Each generation has a space of its own, and every query is answered from exactly one. Records of retired
    generations and of deleted clips are reported as skipped; of a deleted clip only its id is kept, so that a late
    upload does not restore it.

    ``backend`` holds the vectors. If it lives in this process, the view saves snapshots in a folder; a remote one
    persists by itself and keeps the view's state, so that the folder is not used.

    ``apply`` belongs to one thread, ``save`` to another or the same; any number of others may query meanwhile. Queries
    wait for a batch that is being applied, not for a snapshot.
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
        self._changing, self._saving = threading.Lock(), threading.Lock()
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

    def similar(
        self, query: SimilarQuery, generation: str | None = None, condition: ClipCondition | None = None
    ) -> SimilarAnswer:
        """The clips nearest to the example within ``generation``, by default the first one that is held.

        ``condition``: what other views know of clips, for percentiles and tiers, which ``query`` names and this view
        does not know. Raises ``NotFound`` and ``QueryError`` naming the parameter, and ``NotReady`` while nothing is
        held.
        """
        if condition is None and (query.tier is not None or query.asks_for_percentiles):
            raise ValueError("percentiles and tiers are conditions that other views evaluate; pass them as condition")
        decisions = None if condition is None else Decisions(condition)
        while True:
            with self._lock.reading():
                answer = self._space(generation).similar(query, decisions)
            if isinstance(answer, SimilarAnswer):
                return answer
            if decisions is not None:  # without any nothing is undecided
                decisions.decide(answer.clip_ids)

    def _space(self, generation: str | None) -> EmbeddingSpace:
        if not self._spaces:
            raise NotReady("no scored clip has been read yet; try again shortly")
        space = self._spaces.get(next(iter(self._spaces)) if generation is None else generation)
        if space is None:
            held = ", ".join(self._spaces)
            raise NotFound(f"generation {generation} is not indexed here; held are {held}", field="generation")
        return space

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
        one replaces it. A remote backend gets the state instead. May run beside changes, which wait only while the
        state is taken. Raises ``SnapshotNotWritten`` if the disk refuses, and what the remote backend raises.
        """
        with self._saving:
            with self._changing:
                saved = (self._positions, list(self._spaces))
                is_remote = isinstance(self._backend, RemoteBackend)
                if saved == self._saved and (is_remote or knows_deletions(root, len(self._deleted))):
                    return None
                manifest, state, segments = self._frozen()
            if isinstance(self._backend, RemoteBackend):
                self._backend.save_state(pack(manifest, state))
            else:
                self._intact = write_snapshot(root, manifest, state, segments, spare=self._intact)
            self._saved = saved
            return None if isinstance(self._backend, RemoteBackend) else self._intact

    def _frozen(self) -> tuple[SnapshotManifest, dict[str, bytes], dict[str, SegmentFile]]:
        """What a snapshot writes: its manifest, small files, and segments that it may hold already."""
        state = {_DELETED_FILE: msgspec.msgpack.encode(sorted(self._deleted))}
        segments: dict[str, SegmentFile] = {}
        spaces: list[SpaceContents] = []
        for number, space in enumerate(self._spaces.values()):
            contents, frozen = space.freeze()
            spaces.append(contents)
            state[f"{number}-{_CATALOGUE_FILE}"] = space.encoded_catalogue()
            for index, each in zip(contents.indexes, frozen, strict=True):
                if each is not None:
                    state[state_file(number, index)] = each.state
                    segments |= each.segments
        manifest = SnapshotManifest(
            index=self._backend.name,
            positions=tuple(Position(at.topic, at.partition, next_) for at, next_ in sorted(self._positions.items())),
            spaces=tuple(spaces),
            deleted=len(self._deleted),
            created_at_ms=self._clock.now_ms(),
        )
        return manifest, state, segments

    def restore(self, root: Path) -> bool:
        """Take over the state that a remote backend holds, or the newest intact snapshot under ``root``, before
        anything is applied; ``False`` if there is none.

        Raises ``SnapshotError`` if all are damaged, of another format or of another backend.
        """
        found = self._stored(root)
        if found is None:
            return False
        origin, manifest, state, segments = found
        if manifest.index != self._backend.name:
            raise SnapshotError(
                f"{origin}: index {shortened(repr(manifest.index), _MAX_QUOTED)} wrote it and ranking.index is "
                f"{self._backend.name!r}; set it back, or delete the folder to rebuild the index from the log"
            )
        try:
            spaces = {
                contents.generation: self._restored(number, contents, state, segments, origin)
                for number, contents in enumerate(manifest.spaces)
            }
            deleted = set(msgspec.msgpack.decode(state[_DELETED_FILE], type=list[str]))
        except (KeyError, ValueError, SnapshotError) as error:
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

    def _stored(self, root: Path) -> tuple[Path, SnapshotManifest, Mapping[str, bytes], Mapping[str, Path]] | None:
        """A snapshot as read: its folder, its manifest, the content of its own files, and where its segments are."""
        if isinstance(self._backend, RemoteBackend):
            packed, origin = self._backend.load_state(), Path(f"state of index {self._backend.name}")
            return None if packed is None else (origin, *unpack(packed, str(origin)), {})
        found = read_snapshot(root)
        if found is None:
            return None
        files = {name: (found.folder / name).read_bytes() for name in found.manifest.files}
        return found.folder, found.manifest, files, found.segments

    def _restored(
        self,
        number: int,
        contents: SpaceContents,
        state: Mapping[str, bytes],
        segments: Mapping[str, Path],
        origin: Path,
    ) -> EmbeddingSpace:
        catalogue = Catalogue.of(merged(read_blocks(state[f"{number}-{_CATALOGUE_FILE}"])))
        indexes: dict[Modality, dict[int, VectorIndex]] = {}
        for of in contents.indexes:
            if isinstance(self._backend, RemoteBackend):
                index = self._backend.open(contents.generation, of.modality, of.width)
            else:
                own = {name: segments[name] for name in of.segments}
                index = self._backend.read(state[state_file(number, of)], own, of.width, catalogue)
            indexes.setdefault(of.modality, {})[of.width] = index
        space = EmbeddingSpace.restored(contents.generation, self._backend, catalogue, indexes)
        # A remote index may be ahead of the state that is kept beside it.
        if not isinstance(self._backend, RemoteBackend):
            vectors = {(of.modality, of.width): of.vectors for of in contents.indexes}
            if (len(space), space.vectors()) != (contents.clips, vectors):
                raise SnapshotError(
                    f"{origin}: holds another number of clips or vectors than its manifest says; delete it"
                )
            if not space.holds_its_clips():
                raise SnapshotError(f"{origin}: its indexes hold other clips than its catalogue; delete it")
        return space
