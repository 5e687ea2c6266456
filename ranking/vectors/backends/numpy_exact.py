"""The index port in plain NumPy: the reference that others are checked against, and an index for small collections."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

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
        query = checked_query(query, self._dim, k)
        ids = list(self._vectors if among is None else self._vectors.keys() & set(among.clip_ids()))
        # Not a matrix product: BLAS may round equal rows differently, and they have to tie.
        return best_first((self.vectors(ids) * query).sum(axis=1), ids, k, at_least)

    def vectors(self, clip_ids: Sequence[str]) -> Float32:
        rows = [self._vectors.get(clip_id, self._absent) for clip_id in clip_ids]
        return np.stack(rows) if rows else np.empty((0, self._dim), np.float32)

    def freeze(self) -> FrozenState:
        ids = sorted(self._vectors)
        return FrozenState(msgspec.msgpack.encode((ids, self.vectors(ids).astype("<f4").tobytes())))

    def await_room(self) -> None:
        """It never waits."""

    def compact(self) -> None:
        """Nothing that was removed is held."""


class NumpyBackend:
    """``SnapshotBackend`` of ``NumpyIndex``."""

    name = "numpy"

    def create(self, dim: int, _numbers: RowNumbers) -> NumpyIndex:
        return NumpyIndex(dim)

    def read(self, state: bytes, _segments: Mapping[str, Path], dim: int, numbers: RowNumbers) -> NumpyIndex:
        with reading(f"index {self.name}"):
            ids, vectors = msgspec.msgpack.decode(state, type=tuple[list[str], bytes])
            made = self.create(dim, numbers)
            rows = np.frombuffer(vectors, "<f4").reshape(len(ids), dim)
            made.upsert([IndexedClip(clip_id, "", "") for clip_id in ids], rows)
            return made
