"""Vectors as networks make them: in clusters of low dimension; and an index of them beside the oracle."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from ranking.vectors.backends.numpy_exact import NumpyIndex
from ranking.vectors.backends.port import Filter, IndexedClip, VectorIndex

WIDTH = 24


class Names:
    """``RowNumbers`` of clips named by their rows."""

    def find(self, clip_ids: Collection[str]) -> npt.NDArray[np.int64]:
        return np.array([int(clip_id) for clip_id in clip_ids], np.int64)

    def clip_ids(self, rows: npt.NDArray[np.int64]) -> list[str]:
        return [str(row) for row in rows.tolist()]


NAMES = Names()


def clustered(count: int, rng: np.random.Generator, clusters: int = 12) -> npt.NDArray[np.float32]:
    """Unit vectors (count, WIDTH)."""
    centres = np.random.default_rng(1).normal(size=(clusters, WIDTH))
    axes = np.random.default_rng(2).normal(size=(clusters, 4, WIDTH))
    of = rng.integers(clusters, size=count)
    vectors = centres[of] + 0.5 * np.einsum("nk,nkd->nd", rng.normal(size=(count, 4)), axes[of])
    vectors += 0.05 * rng.normal(size=vectors.shape)
    unit: npt.NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def clips(rows: Sequence[int]) -> list[IndexedClip]:
    return [IndexedClip(str(row), "challenge", "dancer", row) for row in rows]


def among(rows: Collection[int]) -> Filter:
    admitted = {str(row) for row in rows}
    return Filter(clip_ids=lambda: admitted, rows=lambda: np.sort(NAMES.find(admitted)), count=len(admitted))


class Beside:
    """An index, changed and asked together with the oracle."""

    def __init__(self, index: VectorIndex, seed: int = 3) -> None:
        self.index, self.exact, self.rng = index, NumpyIndex(WIDTH), np.random.default_rng(seed)

    def put(self, rows: Sequence[int]) -> None:
        vectors = clustered(len(rows), self.rng)
        for each in (self.index, self.exact):
            each.upsert(clips(rows), vectors)

    def remove(self, rows: Collection[int]) -> None:
        for each in (self.index, self.exact):
            each.remove([str(row) for row in rows])

    def held(self, rows: Sequence[int]) -> Filter:
        """Admits those of the rows that are held."""
        absent = np.isnan(self.exact.vectors([str(row) for row in rows])[:, 0])
        return among([row for row, is_absent in zip(rows, absent, strict=True) if not is_absent])

    def recall(self, k: int, admitted: Filter | None = None, queries: int = 80) -> float:
        """Of the k nearest, how many are found; everything else that a search promises is asserted."""
        found_of_all = 0.0
        # The oracle's search once, for what it holds; the order is that of its similarities.
        everything = self.exact.search(clustered(1, self.rng)[0], len(self.exact), among=admitted).ids
        vectors = self.exact.vectors(everything)
        place = {clip_id: number for number, clip_id in enumerate(everything)}
        for query in clustered(queries, self.rng):
            found, similarities = self.index.search(query, k, among=admitted), vectors @ query
            expected = np.argsort(-similarities)[:k]
            assert len(found.ids) == len(set(found.ids)) == len(expected)
            places = [place[clip_id] for clip_id in found.ids]  # nothing that was removed, nor that the filter excludes
            np.testing.assert_allclose(found.similarities, similarities[places], atol=2e-3)
            assert (np.diff(found.similarities) <= 0).all()
            if found.exact:
                np.testing.assert_allclose(found.similarities, similarities[expected], atol=2e-3)
            found_of_all += len({*places} & {*expected.tolist()}) / len(expected) if len(expected) else 1
        return found_of_all / queries

    def agree(self, rows: Sequence[int]) -> None:
        """Both hold the same vectors, of these rows too."""
        assert len(self.index) == len(self.exact)
        ids = [str(row) for row in rows]
        np.testing.assert_allclose(self.index.vectors(ids), self.exact.vectors(ids), atol=1e-3)
