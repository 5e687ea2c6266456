"""The embeddings of one model generation, searchable; those of another one live in another space."""

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Final, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt

from ranking.vectors.backends.port import (
    FrozenIndex,
    IndexBackend,
    IndexedClip,
    RemoteBackend,
    SnapshotBackend,
    SnapshotIndex,
    VectorIndex,
)
from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from ranking.vectors.conditions import Decisions, Undecided
from ranking.vectors.dancers import DancerSearch
from ranking.vectors.manifest import IndexContents, SpaceContents
from ranking.vectors.profiles import IndexesByWidth, Profiles, Unsummed
from ranking.vectors.similarity import Reading, SimilaritySearch
from ranking.vectors.unit_vectors import units
from ranking.views.clip_styles import clip_style
from schemas.errors import NotFound, StoreRefused, StoreUnavailable
from schemas.events import ClipScored, embedding_array
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Float32, ScoredRecord
from schemas.questions.dancers import SimilarDancersAnswer, SimilarDancersQuery
from schemas.questions.retrieval import SimilarAnswer, SimilarQuery
from schemas.times import LOG_AHEAD_MS

_SAMPLE: Final = 1000
_CLIPS_AT_ONCE: Final = 4096
_COMPONENT_BYTES: Final = 4


class SpaceChange(NamedTuple):
    """The state of a clip after a scored record."""

    entry: CatalogueEntry
    vectors: dict[Modality, Float32]
    scored: ScoredRecord


class EmbeddingSpace:
    """One vector index per modality and width, and the catalogue of its clips, all scored by ``generation``.

    Embeddings of two trainings are not comparable, whatever their width: a search takes place in one space. Two
    bundles may share a generation's name by mistake; embeddings of another width are held beside the others and
    compared among themselves. An embedding that is all zero has no direction: its modality counts as absent. Not safe
    for threads by itself: questions are given what holds up changes, ``reading``, and hold them up for moments only.
    """

    def __init__(self, generation: str, backend: IndexBackend) -> None:
        self.generation: Final = generation
        self._backend = backend
        # Asked about often, and it takes long to find out whether an object has all methods of a protocol.
        self._remote = backend if isinstance(backend, RemoteBackend) else None
        self._catalogue = Catalogue()
        self._indexes: dict[Modality, dict[int, VectorIndex]] = {}
        self._incomplete: dict[tuple[Modality, int], str] = {}
        self._profiles = Profiles()
        self._dropped = False

    def __len__(self) -> int:
        """Clips held."""
        return len(self._catalogue)

    def sizes(self) -> dict[Modality, int]:
        """Vectors held of each modality that has any."""
        held: dict[Modality, int] = {}
        for modality, width in self._held():
            held[modality] = held.get(modality, 0) + self._count(modality, width)
        return held

    def widths(self) -> dict[Modality, tuple[int, ...]]:
        """Widths of the vectors held of each modality, ascending; one each, unless two bundles share the name."""
        return {modality: tuple(sorted(indexes)) for modality, indexes in sorted(self._indexes.items())}

    def similar(
        self, query: SimilarQuery, now_ms: int, decisions: Decisions | None = None, reading: Reading = nullcontext
    ) -> SimilarAnswer | Undecided | Unsummed:
        """``Undecided`` or ``Unsummed`` if more has to be known before there is an answer. Raises ``NotFound`` and
        ``QueryError`` naming the parameter. An answer is approximate as long as an index is incomplete.
        """
        search = SimilaritySearch(self.generation, self._catalogue, self._indexes, self._profiles, reading)
        was_incomplete = bool(self._incomplete)
        with self._while_held():
            answer = search.answer(query, now_ms, decisions)
        if (was_incomplete or self._incomplete) and isinstance(answer, SimilarAnswer):
            return dataclasses.replace(answer, approximate=True)
        return answer

    def similar_dancers(
        self, query: SimilarDancersQuery, reading: Reading = nullcontext
    ) -> SimilarDancersAnswer | Unsummed:
        """Raises as ``similar``, and is approximate likewise."""
        search = DancerSearch(self.generation, self._catalogue, self._indexes, self._profiles, reading)
        was_incomplete = bool(self._incomplete)
        with self._while_held():
            answer = search.answer(query)
        if (was_incomplete or self._incomplete) and isinstance(answer, SimilarDancersAnswer):
            return dataclasses.replace(answer, approximate=True)
        return answer

    @contextmanager
    def _while_held(self) -> Iterator[None]:
        """A question that a remote backend cannot answer because the space was dropped meanwhile says so."""
        try:
            yield
        except (StoreRefused, StoreUnavailable) as error:
            if self._dropped:
                raise NotFound(f"generation {self.generation} was retired just now", field="generation") from error
            raise

    def sum_more(self, dancer_id: str) -> bool:
        """Add some thousand clips to the profile of a dancer; whether all are in it."""
        return self._profiles.sum_more(dancer_id, self._catalogue, self._indexes)

    def parts(self) -> tuple[Catalogue, IndexesByWidth]:
        """The catalogue and the indexes by modality and width, to be read while nothing changes."""
        return self._catalogue, self._indexes

    def changes(self, scored: Sequence[ScoredRecord], now_ms: int) -> list[SpaceChange]:
        """What records of this generation change, the last of each clip alone.

        A clip that is held with an implausible time of upload at ``now_ms``, by an earlier release, gives way to any.
        """
        changes: dict[str, SpaceChange] = {}
        for (record, clip), vectors in zip(scored, _directions([clip for _, clip in scored]), strict=True):
            present = tuple(modality for modality in MODALITIES if modality in vectors)
            entry = CatalogueEntry(
                clip_id=clip.clip_id,
                dancer_id=clip.dancer_id,
                challenge_id=clip.challenge_id,
                uploaded_at_ms=clip.uploaded_at_ms,
                log_partition=record.partition,
                log_offset=record.offset,
                modalities=present,
                style=clip_style(clip).style,
            )
            held = changes[clip.clip_id].entry if clip.clip_id in changes else self._catalogue.get(clip.clip_id)
            if held is not None and held.uploaded_at_ms > now_ms + LOG_AHEAD_MS:
                held = None
            if held is None or _written(entry) > _written(held):
                changes[clip.clip_id] = SpaceChange(entry, vectors, ScoredRecord(record, clip))
        return list(changes.values())

    def change(self, changes: Sequence[SpaceChange]) -> None:
        """Carry out what ``changes`` returned.

        If an index fails, the catalogue still says what it said, and the same records bring the same changes again.
        """
        with self._changing_profiles((change.entry.clip_id, change.entry, change.vectors) for change in changes):
            self._change_indexes(changes)
            for change in changes:
                self._catalogue.put(change.entry)
        self._drop_empty()

    def _change_indexes(self, changes: Sequence[SpaceChange]) -> None:
        for modality in MODALITIES:
            put = defaultdict[int, list[SpaceChange]](list)
            for change in changes:
                if modality in change.vectors:
                    put[len(change.vectors[modality])].append(change)
            indexes = self._indexes.get(modality, {})
            for width, index in indexes.items():
                kept = {change.entry.clip_id for change in put.get(width, ())}
                if gone := [change.entry.clip_id for change in changes if change.entry.clip_id not in kept]:
                    index.remove(gone)
            for width, those in put.items():
                if width not in indexes:
                    self._indexes[modality] = indexes = indexes | {width: self._open(modality, width)}
                vectors = np.stack([change.vectors[modality] for change in those])
                indexes[width].upsert([self._indexed(change.entry) for change in those], vectors)

    @contextmanager
    def _changing_profiles(
        self, clips: Iterable[tuple[str, CatalogueEntry | None, Mapping[Modality, Float32]]]
    ) -> Iterator[None]:
        """Within, the clips get these entries and vectors, or are removed."""
        changes = self._profiles.changes(clips, self._catalogue, self._indexes)
        try:
            yield
        except BaseException:
            self._profiles.forget(change.dancer_id for change in changes)  # part of the vectors may be others by now
            raise
        self._profiles.apply(changes, self._catalogue)

    def delete(self, clip_ids: Collection[str]) -> int:
        """Remove clips, whether they are held or not; returns how many were."""
        before = len(self)
        if clip_ids:
            with self._changing_profiles((clip_id, None, {}) for clip_id in clip_ids):
                for indexes in self._indexes.values():
                    for index in indexes.values():
                        index.remove(clip_ids)
                for clip_id in clip_ids:
                    self._catalogue.delete(clip_id)
            self._drop_empty()
        return before - len(self)

    def drop(self) -> None:
        """Delete what a remote backend holds of this space; it is not used any more."""
        self._dropped = True
        for modality in self._indexes:
            self._drop(modality)

    def vectors(self) -> dict[tuple[Modality, int], int]:
        """How many vectors are held of each modality and width D."""
        return {(modality, width): self._count(modality, width) for modality, width in self._held()}

    def freeze(self) -> tuple[SpaceContents, list[FrozenIndex | None]]:
        """Its entry in a snapshot's manifest, and its indexes; ``None`` for a remote one, which persists by itself."""
        contents: list[IndexContents] = []
        frozen: list[FrozenIndex | None] = []
        for (modality, width), vectors in self.vectors().items():
            # A SnapshotBackend makes no other index.
            index = cast(SnapshotIndex, self._indexes[modality][width])
            each = None if self._remote is not None else index.freeze()
            segments = () if each is None else tuple(sorted(each.segments))
            contents.append(IndexContents(modality=modality, width=width, vectors=vectors, segments=segments))
            frozen.append(each)
        return SpaceContents(generation=self.generation, clips=len(self), indexes=tuple(contents)), frozen

    def holds_its_clips(self) -> bool:
        """Whether the indexes hold the clips that the catalogue says, and no others: their numbers, and a sample."""
        for modality in MODALITIES:
            if any(each is modality for each, _ in self._incomplete):
                continue
            rows, indexes = self._catalogue.clips_having(modality), self._indexes.get(modality, {})
            if len(rows) != sum(map(len, indexes.values())):
                return False
            some = self._catalogue.clip_ids(rows[:: max(1, len(rows) // _SAMPLE)])
            if some and not np.all(sum(~np.isnan(index.vectors(some)[:, 0]) for index in indexes.values())):
                return False
        return True

    def size_bytes(self) -> int:
        """What the vectors take as float32."""
        return sum(vectors * width * _COMPONENT_BYTES for (_, width), vectors in self.vectors().items())

    def indexes(self) -> list[SnapshotIndex]:
        """Those that live in this process."""
        # A SnapshotBackend makes no other index.
        local = self._remote is None
        return [cast(SnapshotIndex, each) for of in self._indexes.values() for each in of.values() if local]

    @classmethod
    def restored(
        cls,
        generation: str,
        backend: IndexBackend,
        catalogue: Catalogue,
        indexes: dict[Modality, dict[int, VectorIndex]],
        incomplete: Mapping[tuple[Modality, int], str] | None = None,
    ) -> "EmbeddingSpace":
        """A space of what was held before. ``incomplete``: why indexes lack vectors of clips, by modality and width."""
        space = cls(generation, backend)
        space._catalogue, space._indexes, space._incomplete = catalogue, indexes, dict(incomplete or {})
        return space

    @property
    def incomplete(self) -> Mapping[tuple[Modality, int], str]:
        """Why indexes lack vectors of clips, by modality and width."""
        return self._incomplete

    def refill(self, scored: Sequence[ScoredRecord]) -> None:
        """Give incomplete indexes the vectors of those of the records that are what is held of their clips."""
        self._profiles.forget()
        for (modality, width), found in self._lacking(scored).items():
            clips, vectors = zip(*found.values(), strict=True)
            self._indexes[modality][width].upsert([*map(self._indexed, clips)], np.stack(vectors))

    def finish_refilling(self) -> dict[Modality, int]:
        """All records were there: clips whose vector was not among them lack it from now on; how many, by modality."""
        lost: dict[Modality, int] = {}
        for modality in {modality for modality, _ in self._incomplete}:
            rows, indexes = self._catalogue.clips_having(modality), self._indexes[modality].values()
            if len(rows) == sum(map(len, indexes)):
                continue
            for start in range(0, len(rows), _CLIPS_AT_ONCE):
                clip_ids = self._catalogue.clip_ids(rows[start : start + _CLIPS_AT_ONCE])
                held = sum(~np.isnan(index.vectors(clip_ids)[:, 0]) for index in indexes)
                for number in np.flatnonzero(held == 0).tolist():
                    entry = self._catalogue.entry(self._catalogue.row_of(clip_ids[number]))
                    left = tuple(each for each in entry.modalities if each != modality)
                    self._catalogue.put(msgspec.structs.replace(entry, modalities=left))
                    lost[modality] = lost.get(modality, 0) + 1
        self._incomplete = {}
        self._profiles.forget()
        self._drop_empty()
        return lost

    def _lacking(
        self, scored: Sequence[ScoredRecord]
    ) -> dict[tuple[Modality, int], dict[str, tuple[CatalogueEntry, Float32]]]:
        """By index, what the records have of clips, by clip id."""
        found: dict[tuple[Modality, int], dict[str, tuple[CatalogueEntry, Float32]]] = {}
        for (record, clip), vectors in zip(scored, _directions([clip for _, clip in scored]), strict=True):
            held = self._catalogue.get(clip.clip_id)
            if held is None or _written(held) != (clip.uploaded_at_ms, record.partition, record.offset):
                continue
            for modality, width in self._incomplete:
                vector = vectors.get(modality)
                if modality in held.modalities and vector is not None and len(vector) == width:
                    found.setdefault((modality, width), {})[clip.clip_id] = (held, vector)
        return found

    def _held(self) -> Iterator[tuple[Modality, int]]:
        for modality, widths in self.widths().items():
            for width in widths:
                yield modality, width

    def _count(self, modality: Modality, width: int) -> int:
        """Vectors held. A server counts them one by one; it is asked only if embeddings have several widths."""
        indexes = self._indexes[modality]
        if self._remote is not None and len(indexes) == 1:
            return self._catalogue.count_having(modality)
        return len(indexes[width])

    def _open(self, modality: Modality, dim: int) -> VectorIndex:
        if self._remote is not None:
            return self._remote.open(self.generation, modality, dim)
        return cast(SnapshotBackend, self._backend).create(dim, self._catalogue)  # a backend is one of the two

    def _indexed(self, entry: CatalogueEntry) -> IndexedClip:
        return IndexedClip(entry.clip_id, entry.challenge_id, entry.dancer_id, self._catalogue.reserve(entry.clip_id))

    def _drop(self, modality: Modality) -> None:
        if self._remote is not None:
            self._remote.drop(self.generation, modality)

    def _drop_empty(self) -> None:
        # What is left must not depend on which widths there once were.
        for modality, indexes in [*self._indexes.items()]:
            held = {
                width: index
                for width, index in indexes.items()
                if self._count(modality, width) or (modality, width) in self._incomplete
            }
            if held:
                self._indexes[modality] = held
            else:
                self._drop(modality)
                del self._indexes[modality]


def _directions(clips: Sequence[ClipScored]) -> list[dict[Modality, Float32]]:
    """The unit vectors of each clip, without those that have no direction."""
    found: list[dict[Modality, Float32]] = [{} for _ in clips]
    alike = defaultdict[tuple[Modality, int], dict[int, npt.NDArray[np.float16]]](dict)
    for number, clip in enumerate(clips):
        for modality, result in clip.modalities.items():
            embedding = embedding_array(result)
            alike[modality, len(embedding)][number] = embedding
    for (modality, _), embeddings in alike.items():
        for number, direction in zip(embeddings, units(np.stack([*embeddings.values()])), strict=True):
            if direction is not None:
                found[number][modality] = direction
    return found


def _written(entry: CatalogueEntry) -> tuple[int, int, int]:
    return entry.uploaded_at_ms, entry.log_partition, entry.log_offset
