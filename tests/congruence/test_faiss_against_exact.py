"""FAISS and the plain NumPy index give the same answers on realistic embeddings."""

import numpy as np
import pytest

from ranking.vectors.backends.faiss_flat import FaissIndex
from ranking.vectors.backends.numpy_exact import ExactIndex


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dim", [8, 96, 256])
def test_faiss_finds_what_exact_search_finds(dim: int, threads: int) -> None:
    rng = np.random.default_rng(dim)
    vectors = rng.normal(size=(700, dim)).astype(np.float32)
    vectors[300:330] = vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = rng.permutation(5000)[:700].astype(np.int64)
    faiss, exact = FaissIndex(dim, threads=threads), ExactIndex(dim)
    for index in (faiss, exact):
        index.upsert(ids, vectors)
        index.upsert(ids[:50], vectors[50:100])
        index.remove(ids[600:])
    queries = np.concatenate([vectors[:3], vectors[50:53], vectors[640:643]])
    for k in (1, 10, 40, 600, 1000):
        for among in (None, ids[200:500], ids[:5]):
            found, hits = faiss.search(queries, k, among=among)
            expected, expected_hits = exact.search(queries, k, among=among)
            np.testing.assert_allclose(found, expected, atol=1e-5)
            # Where the order differs, the two similarities have to be equal but for rounding.
            for row in range(len(queries)):
                at = {int(i): float(s) for i, s in zip(expected_hits[row], expected[row], strict=True)}
                differing = hits[row] != expected_hits[row]
                for i, similarity in zip(hits[row][differing], found[row][differing], strict=True):
                    assert at.get(int(i), expected[row, -1]) == pytest.approx(float(similarity), abs=1e-5)
