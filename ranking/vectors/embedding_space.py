"""The embeddings of one model generation, searchable; those of another one live in another space."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ranking.vectors.backends.port import IndexFormat, StoredIndex, unit
from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from ranking.vectors.similarity import SimilaritySearch
from ranking.vectors.snapshots import FileWriter, SpaceContents, writes
from schemas.errors import DancerankError, GenerationMismatch, SnapshotError
from schemas.events import embedding_array
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Float32, Refusal, ScoredRecord
from schemas.queries import SimilarAnswer, SimilarQuery

_CATALOGUE: Final = "catalogue.msgpack"


class SpaceChange(NamedTuple):
    """What a scored record makes of its clip."""

    entry: CatalogueEntry
    vectors: dict[Modality, Float32]
    scored: ScoredRecord


class EmbeddingSpace:
    """One vector index per modality and the catalogue of its clips, all scored by ``generation``.

    Embeddings of two trainings are not comparable, whatever their width: nothing here ever meets another space. An
    embedding that is all zero has no direction: its modality counts as absent. Not safe for threads by itself.
    """

    def __init__(self, generation: str, indexes: IndexFormat) -> None:
        self.generation: Final = generation
        self._format = indexes
        self._catalogue = Catalogue()
        self._indexes: dict[Modality, StoredIndex] = {}

    def __len__(self) -> int:
        """Clips held."""
        return len(self._catalogue)

    def sizes(self) -> dict[Modality, int]:
        """Vectors held of each modality that has any."""
        return {modality: len(index) for modality, index in sorted(self._indexes.items())}

    def similar(self, query: SimilarQuery) -> SimilarAnswer:
        """Raises ``NotFound`` and ``QueryError`` naming the parameter."""
        return SimilaritySearch(self.generation, self._catalogue, self._indexes).answer(query)

    def parts(self) -> tuple[Catalogue, Mapping[Modality, StoredIndex]]:
        """The catalogue and the indexes by modality, to be looked at while nothing changes."""
        return self._catalogue, self._indexes

    def changes(self, scored: Sequence[ScoredRecord]) -> tuple[list[SpaceChange], list[Refusal]]:
        """What records of this generation change, the last of each clip alone, and those that fit no index."""
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
            if held is None or _written(entry) > _written(held):
                changes[clip.clip_id] = SpaceChange(entry, vectors, ScoredRecord(record, clip))
        return list(changes.values()), refusals

    def change(self, changes: Sequence[SpaceChange]) -> None:
        """Carry out what ``changes`` returned."""
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
        self._drop_empty()

    def delete(self, clip_ids: Collection[str]) -> None:
        """Forget clips, whether they are here or not."""
        ids = [clip for clip_id in sorted(clip_ids) if (clip := self._catalogue.delete(clip_id)) is not None]
        if ids:
            for index in self._indexes.values():
                index.remove(np.array(ids, np.int64))
            self._drop_empty()

    def contents(self) -> SpaceContents:
        """What a snapshot's manifest says of it."""
        return SpaceContents(generation=self.generation, clips=len(self), vectors=self.sizes())

    def files(self, prefix: str) -> dict[str, FileWriter]:
        """What writes each file of a snapshot, by name; as it is now only until the next change."""
        files: dict[str, FileWriter] = {f"{prefix}{_CATALOGUE}": writes(self._catalogue.encode())}
        for modality, index in self._indexes.items():
            files[f"{prefix}{modality}{self._format.extension}"] = index.write
        return files

    @classmethod
    def read(cls, contents: SpaceContents, indexes: IndexFormat, folder: Path, prefix: str) -> "EmbeddingSpace":
        """What ``files`` wrote. Raises ``SnapshotError`` if it is not what ``contents`` says."""
        space = cls(contents.generation, indexes)
        space._catalogue = Catalogue.decode((folder / f"{prefix}{_CATALOGUE}").read_bytes())
        space._indexes = {
            modality: indexes.read(folder / f"{prefix}{modality}{indexes.extension}") for modality in contents.vectors
        }
        if space.contents() != contents:
            raise SnapshotError(f"{folder}: holds another number of clips or vectors than its manifest says; delete it")
        return space

    def _drop_empty(self) -> None:
        # The next embedding of the modality may have another width.
        self._indexes = {modality: index for modality, index in self._indexes.items() if len(index)}


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
