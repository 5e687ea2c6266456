"""The index port in plain NumPy: the reference that others are checked against, and an index for small collections."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final
from zipfile import ZIP_STORED

import msgspec
import numpy as np

from ranking.vectors.backends.port import (
    Filter,
    IndexedClip,
    RowNumbers,
    SearchResult,
    best_first,
    checked_query,
    checked_vectors,
    reading,
)
from schemas.ports import Float32


class NumpyIndex:
    """``SnapshotIndex`` as a dict of vectors, exact: every search compares the query with every vector."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._vectors: dict[str, Float32] = {}
        self._absent: Final = np.full(dim, np.nan, np.float32)

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        return len(self._vectors)

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        rows = checked_vectors(clips, vectors, self._dim).copy()
        self._vectors.update((clip.clip_id, row) for clip, row in zip(clips, rows, strict=True))

    def remove(self, clip_ids: Collection[str]) -> None:
        for clip_id in clip_ids:
            self._vectors.pop(clip_id, None)

    def search(
        self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
    ) -> SearchResult:
        query = checked_query(query, self._dim)
        ids = list(self._vectors if among is None else self._vectors.keys() & set(among.clip_ids()))
        # Not a matrix product: BLAS may round equal rows differently, and they have to tie.
        return best_first((self.vectors(ids) * query).sum(axis=1), ids, k, at_least)

    def vectors(self, clip_ids: Sequence[str]) -> Float32:
        rows = [self._vectors.get(clip_id, self._absent) for clip_id in clip_ids]
        return np.stack(rows) if rows else np.empty((0, self._dim), np.float32)

    def write(self, path: Path) -> None:
        ids = sorted(self._vectors)
        with path.open("wb") as file:
            np.savez(file, ids=np.frombuffer(msgspec.msgpack.encode(ids), np.uint8), vectors=self.vectors(ids))


class NumpyBackend:
    """``SnapshotBackend`` of ``NumpyIndex``."""

    name = "numpy"
    extension = ".npz"

    def create(self, dim: int, _numbers: RowNumbers) -> NumpyIndex:
        return NumpyIndex(dim)

    def read(self, path: Path, numbers: RowNumbers) -> NumpyIndex:
        with reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if any(info.compress_type != ZIP_STORED for info in stored.zip.infolist()):
                raise ValueError("it is compressed, as no snapshot is written")
            ids, vectors = msgspec.msgpack.decode(stored["ids"].tobytes(), type=list[str]), stored["vectors"]
            made = self.create(vectors.shape[1], numbers)
            made.upsert([IndexedClip(clip_id, "", "") for clip_id in ids], vectors)
            return made
