"""The vector view of the log: an embedding space for each model generation in it, side by side."""

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from pathlib import Path

import msgspec

from ranking.vectors.backends.port import FrozenIndex, IndexBackend, RemoteBackend, SnapshotIndex
from ranking.vectors.conditions import ClipCondition, Decisions
from ranking.vectors.content_hash import index_content
from ranking.vectors.embedding_space import EmbeddingSpace, SpaceChange
from ranking.vectors.erasure import ERASE_AT_ONCE_BYTES, ERASE_WITHIN_S, Erasure
from ranking.vectors.manifest import Position, SnapshotManifest, SpaceContents, pack, state_file
from ranking.vectors.profiles import Unsummed
from ranking.vectors.read_write_lock import ReadWriteLock
from ranking.vectors.restoring import DELETED_FILE, catalogue_file, restored
from ranking.vectors.segments import SEGMENTS
from ranking.vectors.snapshot_logs import SnapshotLogs
from ranking.vectors.snapshots import is_erased, write_snapshot
from ranking.vectors.turns import Turns
from ranking.views.log_records import DELETED_CLIP, RETIRED_GENERATION, DeletedRecord, LogEntry
from schemas.clock import Clock
from schemas.errors import NotFound, NotReady, SnapshotError, SnapshotNotWritten
from schemas.escaping import shortened
from schemas.modalities import MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import Refusal, ScoredRecord, TopicPartition
from schemas.questions.dancers import SimilarDancersAnswer, SimilarDancersQuery
from schemas.questions.retrieval import SimilarAnswer, SimilarQuery
from schemas.times import BACKFILL_MS

log = logging.getLogger(__name__)


class IndexView:
    """``schemas.ports.View`` of the logs and the deletions in vector indexes, and the similarity search over them.

    Each generation has a space of its own, and every query is answered from exactly one. Records of retired
    generations and of deleted clips are reported as skipped; of a deleted clip only its id is kept, so that a late
    upload does not restore it.

    ``backend`` holds the vectors. If it lives in this process, the view saves snapshots in a folder; a remote one
    persists by itself and keeps the view's state, so that the folder is not used.

    ``apply`` belongs to one thread, ``save`` to another or the same; any number of others may query meanwhile. Queries
    wait for a batch that is being applied, not for a snapshot; a batch waits for queries as ``Turns`` has it.
    """

    def __init__(
        self,
        backend: IndexBackend,
        observer: Observer,
        clock: Clock,
        *,
        erase_within_s: float = ERASE_WITHIN_S,
        erase_at_once_bytes: int = ERASE_AT_ONCE_BYTES,
    ) -> None:
        """``erase_within_s``: so long after a deletion, at the latest, a snapshot is without anything of it; the next
        one, if all vectors take no more than ``erase_at_once_bytes``.
        """
        self._backend = backend
        self._observer = observer
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._spaces: dict[str, EmbeddingSpace] = {}
        self._retired: frozenset[str] = frozenset()
        self._deleted: set[str] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._lock, self._turns = ReadWriteLock(), Turns()
        self._changing, self._saving = threading.Lock(), threading.Lock()
        self._intact: Path | None = None
        self._logs = SnapshotLogs()
        self._erasure = Erasure(clock, erase_within_s, erase_at_once_bytes)
        self._saved: tuple[Mapping[TopicPartition, int], list[str]] = ({}, [])
        self._reported: set[Modality] = set()
        self._refilling = "is being rebuilt from the log, and answers leave out clips meanwhile"
        self._several: set[tuple[str, Modality, tuple[int, ...]]] = set()

    def generations(self) -> dict[str, int]:
        """Clips held of each generation, in the order in which the generations came."""
        with self._lock.reading():
            return {generation: len(space) for generation, space in self._spaces.items()}

    def sizes(self) -> dict[Modality, int]:
        """Vectors held of each modality, of all generations."""
        sizes = Counter[Modality]()
        with self._lock.reading():
            for space in self._spaces.values():
                sizes.update(space.sizes())
        return dict(sorted(sizes.items()))

    def clips(self) -> int:
        """Clips held, one under two generations counted twice."""
        return sum(self.generations().values())

    def content(self) -> str:
        """Hash of all that is held; equal for two views that were built from one log.

        Raises ``SnapshotError`` while an index is incomplete.
        """
        with self._lock.reading():
            for space in self._spaces.values():
                for problem in space.incomplete.values():
                    raise SnapshotError(f"{problem}; dancerank serve rebuilds this index from the log")
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
        now_ms = self._clock.now_ms()
        space = self._space(generation)
        while True:
            with self._turns.question():
                answer = space.similar(query, now_ms, decisions, self._lock.reading)
            if isinstance(answer, SimilarAnswer):
                return answer
            if isinstance(answer, Unsummed):
                self._sum_profiles(answer, space)
            elif decisions is not None:  # without any nothing is undecided
                decisions.decide(answer.clip_ids)

    def similar_dancers(self, query: SimilarDancersQuery, generation: str | None = None) -> SimilarDancersAnswer:
        """The dancers most similar to one; raises as ``similar``."""
        space = self._space(generation)
        while True:
            with self._turns.question():
                answer = space.similar_dancers(query, self._lock.reading)
            if isinstance(answer, SimilarDancersAnswer):
                return answer
            self._sum_profiles(answer, space)

    def _sum_profiles(self, unsummed: Unsummed, space: EmbeddingSpace) -> None:
        """A part at a time, so that changes do not wait for all of it."""
        for dancer_id in unsummed.dancer_ids:
            summed = False
            while not summed:
                with self._lock.reading():
                    summed = space.sum_more(dancer_id)

    def _space(self, generation: str | None) -> EmbeddingSpace:
        spaces = self._spaces
        if not spaces:
            raise NotReady("no scored clip has been read yet; try again shortly")
        space = spaces.get(next(iter(spaces)) if generation is None else generation)
        if space is None:
            held = ", ".join(spaces)
            raise NotFound(f"generation {generation} is not indexed here; held are {held}", field="generation")
        return space

    def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        held = self._positions
        return {partition: held[partition] for partition in partitions if partition in held}

    def apply(self, entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        with self._changing:  # a repair that ends meanwhile drops indexes
            indexes = [each for space in self._spaces.values() for each in space.indexes()]
        for index in indexes:
            index.await_room()
        with self._changing, self._turns.change(len(entries)):
            deleted = {entry.event.clip_id for entry in entries if isinstance(entry, DeletedRecord)}
            changes: dict[str, list[SpaceChange]] = {}
            spaces: dict[str, EmbeddingSpace] = {}
            for generation, scored in self._living(entries, deleted).items():
                space = self._spaces.get(generation) or EmbeddingSpace(generation, self._backend)
                changes[generation] = space.changes(scored, self._clock.now_ms())
                if changes[generation]:
                    spaces[generation] = space
            later = {at: max(offset, self._positions.get(at, 0)) for at, offset in positions.items()}
            if not isinstance(self._backend, RemoteBackend):
                self._logs.declare(deleted - self._deleted)
            with self._lock.writing():
                self._deleted |= deleted
                if sum([space.delete(deleted) for space in self._spaces.values()]):
                    self._erasure.need()
                for generation, space in spaces.items():
                    space.change(changes[generation])
                self._spaces = self._spaces | spaces
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

    def incomplete(self) -> list[str]:
        """In a sentence each, which indexes lack vectors because their files were damaged."""
        with self._lock.reading():
            return [
                f"the {modality} index of generation {space.generation} {self._refilling}: {problem}"
                for space in self._spaces.values()
                for (modality, _), problem in space.incomplete.items()
            ]

    def refill(self, scored: Sequence[ScoredRecord]) -> None:
        """Give incomplete indexes what records from the beginning of the log have for them. Nothing else changes."""
        with self._changing, self._lock.writing():
            for space in self._spaces.values():
                space.refill([each for each in scored if each.clip.generation == space.generation])
        self._report(())

    def refilling_failed(self, error: Exception) -> None:
        """The log could not be read to its end; ``incomplete`` says so."""
        self._refilling = f"was not rebuilt ({shortened(str(error))}), and answers leave out clips until a restart"

    def finish_refilling(self) -> None:
        """The log was read: no index is incomplete any more."""
        with self._changing, self._lock.writing():
            lost = {space.generation: space.finish_refilling() for space in self._spaces.values()}
        for generation, clips in lost.items():
            for modality, count in clips.items():
                log.warning(
                    "generation %s: the log has no %s embedding any more of %d clips; upload them again",
                    generation,
                    modality,
                    count,
                )
        log.info("the indexes whose files were damaged are complete again")
        self._report(())

    def save(self, root: Path) -> Path | None:
        """Write a snapshot of all spaces under ``root``; returns its folder, or ``None`` if none is needed.

        One is needed if anything changed since the last, or if one that is kept may still hold a deleted clip: the new
        one replaces it. While an index is incomplete none is written. It writes what has changed since the last. May
        run beside changes, which wait only while the state is taken. A remote backend gets the state instead. Raises
        ``SnapshotNotWritten`` if the disk refuses, and what the remote backend raises.
        """
        with self._saving:
            if isinstance(self._backend, RemoteBackend):
                self._save_remotely(self._backend)
                return None
            with self._changing:
                erasing = self._erasure.is_due(sum(space.size_bytes() for space in self._spaces.values()))
                if any(space.incomplete for space in self._spaces.values()):
                    return None
                if self._is_saved() and not erasing and is_erased(root, self._erasure.count):
                    return None
                self._logs.find(root / SEGMENTS)
                if erasing:
                    self._take_changes()
                    self._erasure.begin()
                indexes = [index for space in self._spaces.values() for index in space.indexes()] if erasing else []
            try:
                self._intact = self._write(root, erasing, indexes)
            except BaseException:
                self._erasure.give_up()
                raise
            self._erasure.finish()
            return self._intact

    def _write(self, root: Path, erasing: bool, indexes: Sequence[SnapshotIndex]) -> Path:
        """Write a snapshot; ``erasing``: first take everything that was deleted out of logs and ``indexes``."""
        try:
            self._logs.shrink(root / SEGMENTS, all_of_them=erasing)
            for index in indexes:
                index.compact()
        except OSError as error:
            raise SnapshotNotWritten(f"{root}: what was deleted could not be erased ({error})") from error
        with self._changing:
            saved = (self._positions, list(self._spaces))
            self._take_changes()
            manifest, frozen = self._frozen()
        files = {name: each.state for name, each in frozen.items()}
        segments = {name: file for each in frozen.values() for name, file in each.segments.items()}
        folder = write_snapshot(root, manifest, files, segments, self._logs.all(), spare=self._intact)
        self._saved = saved
        return folder

    def _take_changes(self) -> None:
        self._logs.take({name: space.parts()[0] for name, space in self._spaces.items()}, self._deleted)

    def _is_saved(self) -> bool:
        return (self._positions, list(self._spaces)) == self._saved

    def _frozen(self) -> tuple[SnapshotManifest, dict[str, FrozenIndex]]:
        """What a snapshot writes: its manifest, and indexes by the names of their files."""
        indexes: dict[str, FrozenIndex] = {}
        spaces: list[SpaceContents] = []
        for number, space in enumerate(self._spaces.values()):
            contents, frozen = space.freeze()
            spaces.append(msgspec.structs.replace(contents, catalogue=self._logs.catalogue(space.generation)))
            for index, each in zip(contents.indexes, frozen, strict=True):
                if each is not None:
                    indexes[state_file(number, index)] = each
        manifest = msgspec.structs.replace(
            self._manifest(spaces),
            deletions=self._logs.deletions,
            erasures=self._erasure.count,
            erasing_since_ms=self._erasure.since_ms,
        )
        return manifest, indexes

    def _manifest(self, spaces: Sequence[SpaceContents]) -> SnapshotManifest:
        return SnapshotManifest(
            index=self._backend.name,
            positions=tuple(Position(at.topic, at.partition, next_) for at, next_ in sorted(self._positions.items())),
            spaces=tuple(spaces),
            deleted=len(self._deleted),
            created_at_ms=self._clock.now_ms(),
            modalities=MODALITIES,
        )

    def _save_remotely(self, backend: RemoteBackend) -> None:
        with self._changing:
            if self._is_saved():
                return
            saved = (self._positions, list(self._spaces))
            files = {DELETED_FILE: msgspec.msgpack.encode(sorted(self._deleted))}
            for number, space in enumerate(self._spaces.values()):
                files[catalogue_file(number)] = space.parts()[0].block().encoded()
            manifest = self._manifest([space.freeze()[0] for space in self._spaces.values()])
        backend.save_state(pack(manifest, files))
        self._saved = saved

    def restore(self, root: Path) -> bool:
        """Take over the state that a remote backend holds, or the newest intact snapshot under ``root``, before
        anything is applied; ``False`` if there is none.

        If files of indexes are damaged in all of them, these indexes are ``incomplete``. Raises ``SnapshotError`` if
        other files are, or if all snapshots are of another format or of another backend.
        """
        found = restored(self._backend, root)
        if found is None:
            return False
        with self._changing, self._lock.writing():
            self._hold(found.spaces, self._retired)
            self._deleted, self._logs = found.deleted, found.logs
            self._erasure.since_ms, self._erasure.count = found.manifest.erasing_since_ms, found.manifest.erasures
            self._positions = found.manifest.next_offsets()
            self._saved = (self._positions, list(found.spaces)) if found.is_whole else ({}, [])
        if found.is_whole and not isinstance(self._backend, RemoteBackend):
            self._intact = found.origin
        self._report(())
        return True
