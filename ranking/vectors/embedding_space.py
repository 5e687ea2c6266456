"""The embeddings of one model generation, searchable; those of another one live in another space."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from ranking.vectors.backends.port import IndexBackend, IndexedClip, RemoteBackend, VectorIndex, unit
from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from ranking.vectors.similarity import SimilaritySearch
from ranking.vectors.snapshots import SpaceContents
from schemas.errors import DancerankError, GenerationMismatch
from schemas.events import embedding_array
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Float32, Refusal, ScoredRecord
from schemas.queries import SimilarAnswer, SimilarQuery
from schemas.times import LOG_AHEAD_MS


class SpaceChange(NamedTuple):
    """What a scored record makes of its clip."""

    entry: CatalogueEntry
    vectors: dict[Modality, Float32]
    scored: ScoredRecord


class EmbeddingSpace:
    """One vector index per modality and the catalogue of its clips, all scored by ``generation``.

    Embeddings of two trainings are not comparable, whatever their width: a search takes place in one space. An
    embedding that is all zero has no direction: its modality counts as absent. Not safe for threads by itself.
    """

    def __init__(self, generation: str, backend: IndexBackend) -> None:
        self.generation: Final = generation
        self._backend = backend
        self._catalogue = Catalogue()
        self._indexes: dict[Modality, VectorIndex] = {}

    def __len__(self) -> int:
        """Clips held."""
        return len(self._catalogue)

    def sizes(self) -> dict[Modality, int]:
        """Vectors held of each modality that has any."""
        return {modality: len(index) for modality, index in sorted(self._indexes.items())}

    def similar(self, query: SimilarQuery) -> SimilarAnswer:
        """Raises ``NotFound`` and ``QueryError`` naming the parameter."""
        return SimilaritySearch(self.generation, self._catalogue, self._indexes).answer(query)

    def parts(self) -> tuple[Catalogue, Mapping[Modality, VectorIndex]]:
        """The catalogue and the indexes by modality, to be read while nothing changes."""
        return self._catalogue, self._indexes

    def changes(self, scored: Sequence[ScoredRecord], now_ms: int) -> tuple[list[SpaceChange], list[Refusal]]:
        """What records of this generation change, the last of each clip alone, and those that fit no index.

        A clip that is held with an implausible time of upload at ``now_ms``, by an earlier release, gives way to any.
        """
        widths = {modality: index.dim for modality, index in self._indexes.items()}
        changes: dict[str, SpaceChange] = {}
        refusals: list[Refusal] = []
        for record, clip in scored:
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
            if held is not None and held.uploaded_at_ms > now_ms + LOG_AHEAD_MS:
                held = None
            if held is None or _written(entry) > _written(held):
                changes[clip.clip_id] = SpaceChange(entry, vectors, ScoredRecord(record, clip))
        return list(changes.values()), refusals

    def change(self, changes: Sequence[SpaceChange]) -> None:
        """Carry out what ``changes`` returned.

        If an index fails, the catalogue still says what it said, and the same records bring the same changes again.
        """
        for modality in MODALITIES:
            put = [change for change in changes if modality in change.vectors]
            gone = [change.entry.clip_id for change in changes if modality not in change.vectors]
            if modality in self._indexes and gone:
                self._indexes[modality].remove(gone)
            if put:
                vectors = np.stack([change.vectors[modality] for change in put])
                if modality not in self._indexes:
                    self._indexes[modality] = self._open(modality, vectors.shape[1])
                self._indexes[modality].upsert([_indexed(change.entry) for change in put], vectors)
        for change in changes:
            self._catalogue.put(change.entry)
        self._drop_empty()

    def delete(self, clip_ids: Collection[str]) -> None:
        """Remove clips, whether they are held or not."""
        if clip_ids:
            for index in self._indexes.values():
                index.remove(clip_ids)
            for clip_id in clip_ids:
                self._catalogue.delete(clip_id)
            self._drop_empty()

    def drop(self) -> None:
        """Delete what a remote backend holds of this space; it is not used any more."""
        for modality in self._indexes:
            self._drop(modality)

    def contents(self) -> SpaceContents:
        """What a snapshot's manifest says of it."""
        widths = {modality: index.dim for modality, index in sorted(self._indexes.items())}
        return SpaceContents(generation=self.generation, clips=len(self), vectors=self.sizes(), widths=widths)

    def encoded_catalogue(self) -> bytes:
        """For ``Catalogue.decode``."""
        return self._catalogue.encode()

    @classmethod
    def restored(
        cls, generation: str, backend: IndexBackend, catalogue: Catalogue, indexes: dict[Modality, VectorIndex]
    ) -> "EmbeddingSpace":
        """A space of what was held before."""
        space = cls(generation, backend)
        space._catalogue, space._indexes = catalogue, indexes
        return space

    def _open(self, modality: Modality, dim: int) -> VectorIndex:
        if isinstance(self._backend, RemoteBackend):
            return self._backend.open(self.generation, modality, dim)
        return self._backend.create(dim)

    def _drop(self, modality: Modality) -> None:
        if isinstance(self._backend, RemoteBackend):
            self._backend.drop(self.generation, modality)

    def _drop_empty(self) -> None:
        # The next embedding of the modality may have another width.
        for modality in [modality for modality, index in self._indexes.items() if not len(index)]:
            self._drop(modality)
            del self._indexes[modality]


def _indexed(entry: CatalogueEntry) -> IndexedClip:
    return IndexedClip(entry.clip_id, entry.challenge_id, entry.dancer_id)


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
