"""FAISS and the exact NumPy index return the same neighbours on realistic embeddings."""

import numpy as np
import pytest

from ranking.vectors.backends.contract_clips import NUMBERS, admitting
from ranking.vectors.backends.live.index import LiveIndex
from ranking.vectors.backends.numpy_exact import NumpyIndex
from ranking.vectors.backends.port import IndexedClip


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dim", [8, 96, 256])
def test_faiss_finds_what_exact_search_finds(dim: int, threads: int) -> None:
    rng = np.random.default_rng(dim)
    vectors = rng.normal(size=(700, dim)).astype(np.float32)
    vectors[300:330] = vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    clips = [IndexedClip(f"clip-{number}", "ch", "d", int(number)) for number in rng.permutation(5000)[:700]]
    ids = [clip.clip_id for clip in clips]
    faiss, exact = LiveIndex(dim, NUMBERS, threads=threads), NumpyIndex(dim)
    for index in (faiss, exact):
        index.upsert(clips, vectors)
        index.upsert(clips[:50], vectors[50:100])
        index.remove(ids[600:])
    queries = np.concatenate([vectors[:3], vectors[50:53], vectors[640:643]])
    for k in (1, 10, 40, 600, 1000):
        for among in (None, ids[200:500], ids[:5]):
            admitted = None if among is None else admitting(among)
            for query in queries:
                found, expected = (index.search(query, k, among=admitted) for index in (faiss, exact))
                np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-5)
                # Where the order differs, the two similarities have to be equal but for rounding.
                at = dict(zip(expected.ids, expected.similarities.tolist(), strict=True))
                last = float(expected.similarities[-1])
                for place, (clip_id, similarity) in enumerate(zip(found.ids, found.similarities.tolist(), strict=True)):
                    if clip_id != expected.ids[place]:
                        assert at.get(clip_id, last) == pytest.approx(similarity, abs=1e-5)
