"""FAISS behind the index port; the only module that knows FAISS."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

from ranking.vectors.backends.port import NO_IDS, checked_queries, checked_vectors, no_hits
from schemas.errors import SnapshotError
from schemas.ports import Float32, Int64

# FAISS multiplies larger batches with BLAS, whose rounding depends on a vector's place: equal vectors would not tie.
_QUERIES_AT_ONCE = 16
_search_parameters: Callable[..., faiss.SearchParameters] = faiss.SearchParameters


class FaissIndex:
    """``schemas.ports.VectorIndex``, exact: an inner-product scan over unit vectors, with ids.

    Searches may run side by side; a change may run beside nothing.
    """

    def __init__(self, dim: int, *, threads: int = 1) -> None:
        """``dim``: width D. ``threads``: how many a search may use; inference shares the machine."""
        self._threads = threads
        self._adopt(faiss.IndexIDMap2(faiss.IndexFlatIP(dim)))

    def _adopt(self, index: faiss.IndexIDMap2) -> None:
        self._index = index
        self._ids: set[int] = set(faiss.vector_to_array(index.id_map).tolist())

    @property
    def dim(self) -> int:
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def upsert(self, ids: Int64, vectors: Float32) -> None:
        vectors = checked_vectors(ids, vectors, self.dim)
        known = np.fromiter((int(i) in self._ids for i in ids), bool, len(ids))
        changed = ~known
        if known.any():
            changed[known] = (self.vectors(ids[known]) != vectors[known]).any(axis=1)
        if (known & changed).any():
            self.remove(ids[known & changed])
        if changed.any():
            self._index.add_with_ids(np.ascontiguousarray(vectors[changed]), ids[changed])
            self._ids.update(ids[changed].tolist())

    def remove(self, ids: Int64) -> int:
        here = self._present(ids)
        if len(here):
            self._index.remove_ids(faiss.IDSelectorBatch(here))
            self._ids.difference_update(here.tolist())
        return len(here)

    def search(self, queries: Float32, k: int, *, among: Int64 | None = None) -> tuple[Float32, Int64]:
        queries = checked_queries(queries, self.dim)
        candidates = None if among is None else self._present(among)
        count = len(self) if candidates is None else len(candidates)
        k = min(k, count)
        if k == 0 or not len(queries):
            return no_hits(len(queries), k)
        # OpenMP keeps the number per calling thread, so it has to be set where the search runs.
        faiss.omp_set_num_threads(self._threads)
        # FAISS's Python layer takes the selector as a keyword and keeps it alive; its type hints do not know.
        parameters = candidates if candidates is None else _search_parameters(sel=faiss.IDSelectorBatch(candidates))
        blocks = [
            self._search_block(queries[start : start + _QUERIES_AT_ONCE], k, count, parameters)
            for start in range(0, len(queries), _QUERIES_AT_ONCE)
        ]
        return np.concatenate([similarities for similarities, _ in blocks]), np.concatenate([ids for _, ids in blocks])

    def _search_block(
        self, queries: Float32, k: int, count: int, parameters: faiss.SearchParameters | None
    ) -> tuple[Float32, Int64]:
        # FAISS cuts ties at the k-th hit arbitrarily: look past it until the tie is complete, then cut by id.
        fetch = min(k + 1, count)
        while True:
            similarities, ids = self._index.search(queries, fetch, params=parameters)
            if fetch == count or (similarities[:, k - 1] > similarities[:, -1]).all():
                break
            fetch = min(4 * fetch, count)
        order = np.lexsort((ids, -similarities), axis=-1)[:, :k]
        return np.take_along_axis(similarities, order, 1), np.take_along_axis(ids, order, 1)

    def vectors(self, ids: Int64) -> Float32:
        absent = set(ids.tolist()) - self._ids
        if absent:
            raise KeyError(*absent)
        if not len(ids):
            return np.empty((0, self.dim), np.float32)
        vectors: Float32 = self._index.reconstruct_batch(ids)
        return vectors

    def write(self, path: Path) -> None:
        """Write all of it to ``path``, for ``FaissIndexes.read``. Raises ``OSError``."""
        # FAISS's own files raise RuntimeError for a full disk, or only print it when the last bytes are refused.
        with path.open("wb") as file:
            faiss.write_index(self._index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]

    def _present(self, ids: Int64) -> Int64:
        return np.array([i for i in np.unique(ids).tolist() if i in self._ids], np.int64) if len(ids) else NO_IDS


class FaissIndexes:
    """Makes and reads ``FaissIndex``; ``threads`` is how many each search may use."""

    extension = ".faiss"

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads

    def create(self, dim: int) -> FaissIndex:
        return FaissIndex(dim, threads=self._threads)

    def read(self, path: Path) -> FaissIndex:
        """Raises ``SnapshotError`` for a file that is no index of ours."""
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise SnapshotError(f"{path}: FAISS cannot read it ({error}); delete the snapshot") from error
        if not isinstance(index, faiss.IndexIDMap2) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise SnapshotError(f"{path}: no inner-product index with ids; delete the snapshot")
        made = self.create(index.d)
        made._adopt(index)
        return made
