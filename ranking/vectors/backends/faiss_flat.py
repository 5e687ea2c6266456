"""FAISS behind the index port."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path

import faiss
import msgspec
import numpy as np

from ranking.vectors.backends.port import (
    Filter,
    FrozenState,
    IndexedClip,
    RowNumbers,
    SearchResult,
    best_first,
    checked_query,
    checked_vectors,
    reading,
)
from schemas.ports import Float32, Int64

_search_parameters: Callable[..., faiss.SearchParameters] = faiss.SearchParameters


class FaissIndex:
    """``SnapshotIndex``, exact: an inner-product scan over unit vectors.

    FAISS knows vectors by int64 labels; which clip has which label is known here alone.
    """

    def __init__(self, dim: int, *, threads: int = 1) -> None:
        """``dim``: width D. ``threads``: how many a search may use; inference shares the machine."""
        self._threads = threads
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        self._labels: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._next_label = 0

    @property
    def dim(self) -> int:
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        vectors = checked_vectors(clips, vectors, self.dim)
        ids = [clip.clip_id for clip in clips]
        held = np.array([clip_id in self._labels for clip_id in ids], bool)
        changed = (self.vectors(ids) != vectors).any(axis=1)  # NaN differs from everything
        if (held & changed).any():
            self._remove_labels(self._labels_of(ids)[held & changed])
        self._name([clip_id for clip_id in ids if clip_id not in self._labels])
        if changed.any():
            self._index.add_with_ids(np.ascontiguousarray(vectors[changed]), self._labels_of(ids)[changed])

    def remove(self, clip_ids: Collection[str]) -> None:
        held = [clip_id for clip_id in set(clip_ids) if clip_id in self._labels]
        if held:
            self._remove_labels(self._labels_of(held))
            for clip_id in held:
                del self._ids[self._labels.pop(clip_id)]

    def search(
        self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
    ) -> SearchResult:
        query = checked_query(query, self.dim)
        candidates = None if among is None else np.unique(self._labels_of(among.clip_ids()))
        if candidates is not None:
            candidates = candidates[candidates >= 0]
        count = len(self) if candidates is None else len(candidates)
        k = min(k, count)
        if k == 0:
            return SearchResult(np.empty(0, np.float32), [], exact=True)
        # OpenMP keeps the number per calling thread, so it has to be set where the search runs.
        faiss.omp_set_num_threads(self._threads)
        # FAISS's Python layer takes the selector as a keyword and keeps it alive; its type hints do not know.
        parameters = candidates if candidates is None else _search_parameters(sel=faiss.IDSelectorBatch(candidates))
        # FAISS cuts ties at the k-th hit arbitrarily: look past it until the tie is complete, then cut by id.
        fetch = min(k + 1, count)
        while True:
            similarities, labels = (rows[0] for rows in self._index.search(query[None], fetch, params=parameters))
            if fetch == count or similarities[k - 1] > similarities[-1]:
                return best_first(similarities, [*map(self._ids.__getitem__, labels.tolist())], k, at_least)
            fetch = min(4 * fetch, count)

    def vectors(self, clip_ids: Sequence[str]) -> Float32:
        labels = self._labels_of(clip_ids)
        held = labels >= 0
        rows: Float32 = np.full((len(labels), self.dim), np.nan, np.float32)
        if held.any():
            rows[held] = self._index.reconstruct_batch(labels[held])
        return rows

    def freeze(self) -> FrozenState:
        return FrozenState(msgspec.msgpack.encode((self._ids, faiss.serialize_index(self._index).tobytes())))

    def compact(self) -> None:
        """Nothing that was removed is held."""

    def read(self, state: bytes) -> None:
        """Take over what ``freeze`` gave. Raises ``ValueError`` and ``RuntimeError``."""
        ids, content = msgspec.msgpack.decode(state, type=tuple[dict[int, str], bytes])
        index = faiss.deserialize_index(np.frombuffer(content, np.uint8))
        if not isinstance(index, faiss.IndexIDMap2) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise ValueError("not an inner-product index with ids")
        if ids.keys() != set(faiss.vector_to_array(index.id_map).tolist()):
            raise ValueError("its ids are not those of its vectors")
        self._index, self._ids = index, ids
        self._labels = {clip_id: label for label, clip_id in ids.items()}
        self._next_label = max(ids, default=-1) + 1

    def _name(self, clip_ids: Sequence[str]) -> None:
        labels = range(self._next_label, self._next_label + len(clip_ids))
        self._next_label = labels.stop
        self._labels.update(zip(clip_ids, labels, strict=True))
        self._ids.update(zip(labels, clip_ids, strict=True))

    def _labels_of(self, clip_ids: Iterable[str]) -> Int64:
        """-1 for an id that is not held."""
        return np.array([*map(self._labels.get, clip_ids, repeat(-1))], np.int64)

    def _remove_labels(self, labels: Int64) -> None:
        self._index.remove_ids(faiss.IDSelectorBatch(labels))


class FaissBackend:
    """``SnapshotBackend`` of ``FaissIndex``; ``threads`` is how many each search may use."""

    name = "faiss"

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads

    def create(self, dim: int, _numbers: RowNumbers) -> FaissIndex:
        return FaissIndex(dim, threads=self._threads)

    def read(self, state: bytes, _segments: Mapping[str, Path], dim: int, numbers: RowNumbers) -> FaissIndex:
        made = self.create(dim, numbers)
        with reading(f"index {self.name}"):
            made.read(state)
        return made
