"""The index port in plain NumPy: the reference that FAISS is checked against, and an index for small collections."""

from pathlib import Path

import numpy as np

from ranking.vectors.backends.port import checked_queries, checked_vectors, no_hits
from schemas.errors import SnapshotError
from schemas.ports import Float32, Int64


class ExactIndex:
    """``schemas.ports.VectorIndex`` as a dict of vectors; every search compares with every vector."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._vectors: dict[int, Float32] = {}

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        return len(self._vectors)

    def upsert(self, ids: Int64, vectors: Float32) -> None:
        self._vectors.update(zip(ids.tolist(), checked_vectors(ids, vectors, self._dim).copy(), strict=True))

    def remove(self, ids: Int64) -> int:
        return sum(self._vectors.pop(i, None) is not None for i in ids.tolist())

    def search(self, queries: Float32, k: int, *, among: Int64 | None = None) -> tuple[Float32, Int64]:
        queries = checked_queries(queries, self._dim)
        candidates = sorted(self._vectors if among is None else self._vectors.keys() & set(among.tolist()))
        k = min(k, len(candidates))
        if k == 0 or not len(queries):
            return no_hits(len(queries), k)
        ids = np.array(candidates, np.int64)
        rows = np.stack([self._vectors[i] for i in candidates])
        similarities = np.stack([(rows * query).sum(axis=1) for query in queries])
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(similarities, order, 1), ids[order]

    def vectors(self, ids: Int64) -> Float32:
        rows = [self._vectors[i] for i in ids.tolist()]
        return np.stack(rows) if rows else np.empty((0, self._dim), np.float32)

    def write(self, path: Path) -> None:
        """Write all of it to ``path``, for ``ExactIndexes.read``."""
        ids = np.array(sorted(self._vectors), np.int64)
        with path.open("wb") as file:
            np.savez(file, ids=ids, vectors=self.vectors(ids))


class ExactIndexes:
    """Makes and reads ``ExactIndex``."""

    extension = ".npz"

    def create(self, dim: int) -> ExactIndex:
        return ExactIndex(dim)

    def read(self, path: Path) -> ExactIndex:
        """Raises ``SnapshotError`` for a file that is no index of ours."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                ids, vectors = stored["ids"], stored["vectors"]
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise SnapshotError(f"{path}: NumPy cannot read it ({error}); delete the snapshot") from error
        made = self.create(vectors.shape[1])
        made.upsert(ids, vectors)
        return made
