"""What every vector index agrees on: checked shapes, unit length, files. Legend: B vectors, Q queries, D width."""

from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from schemas.errors import GenerationMismatch
from schemas.ports import Float32, Int64, VectorIndex

NO_IDS: Final[Int64] = np.empty(0, np.int64)


class StoredIndex(VectorIndex, Protocol):
    """An index that a snapshot can hold."""

    @property
    def dim(self) -> int:
        """Width D of its vectors."""
        ...

    def write(self, path: Path) -> None:
        """Write all of it to ``path``."""
        ...


class IndexFormat(Protocol):
    """One kind of index: how it is made and read. ``extension`` is that of its files."""

    extension: str

    def create(self, dim: int) -> StoredIndex: ...

    def read(self, path: Path) -> StoredIndex:
        """Raises ``SnapshotError``."""
        ...


def unit(vector: npt.ArrayLike) -> Float32 | None:
    """A vector (D,) at unit length, or ``None`` if it has no direction because it is zero."""
    wide = np.asarray(vector, np.float64)
    # Scaling by the largest value first keeps the squares of very large or small values in range.
    largest = np.abs(wide).max(initial=0.0)
    if largest == 0.0:
        return None
    scaled = wide / largest
    direction: Float32 = (scaled / np.linalg.norm(scaled)).astype(np.float32)
    return direction


def checked_vectors(ids: Int64, vectors: Float32, dim: int) -> Float32:
    """``vectors`` (B, D) as contiguous float32.

    Raises ``GenerationMismatch`` for another D, ``ValueError`` for another B.
    """
    vectors = checked_queries(vectors, dim)
    if len(vectors) != len(ids):
        raise ValueError(f"{len(ids)} ids for {len(vectors)} vectors")
    return vectors


def checked_queries(queries: Float32, dim: int) -> Float32:
    """``queries`` (Q, D) as contiguous float32. Raises ``GenerationMismatch`` for another width."""
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise GenerationMismatch(
            f"vectors of shape {queries.shape} in an index of width {dim}: they come from different model generations"
        )
    return np.ascontiguousarray(queries, np.float32)


def no_hits(queries: int, k: int) -> tuple[Float32, Int64]:
    return np.empty((queries, k), np.float32), np.empty((queries, k), np.int64)
