"""Cosines of float16 vectors against NumPy's in double precision."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ranking.vectors.backends.live import half_cosines as module
from ranking.vectors.backends.live.half_cosines import half_cosines


def half_vectors(count: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def plain(parts: list[tuple[np.ndarray, np.ndarray]], query: np.ndarray) -> np.ndarray:
    return np.concatenate([[float(vectors[slot].astype(float) @ query) for slot in slots] for vectors, slots in parts])


@pytest.mark.parametrize("dim", [1, 3, 8, 64, 130])
def test_cosines_are_those_of_the_slots_in_order_over_several_parts(dim: int) -> None:
    rng = np.random.default_rng(dim)
    held = [half_vectors(count, dim, seed) for seed, count in enumerate((7, 300, 5000))]
    slots = [np.array([6, 0, 0, 3]), np.empty(0, np.int64), rng.permutation(5000)]  # more than are compared at once
    query = rng.normal(size=dim)
    query = (query / np.linalg.norm(query)).astype(np.float32)
    parts = [*zip(held, slots, strict=True)]
    np.testing.assert_allclose(half_cosines(parts, query), plain(parts, query), atol=2e-6)
    assert len(half_cosines([], query)) == 0


def test_equal_vectors_have_equal_cosines_wherever_they_are() -> None:
    query = half_vectors(1, 130)[0].astype(np.float32)
    same = np.repeat(half_vectors(1, 130, seed=3), 4001, axis=0)
    compared = half_cosines([(same, np.arange(4001)), (same[:5], np.arange(5))], query)
    assert (compared == compared[0]).all()


def test_threads_compare_side_by_side_and_keep_few_rooms() -> None:
    held, queries = half_vectors(4000, 32), half_vectors(64, 32, seed=9).astype(np.float32)
    slots = np.random.default_rng(1).permutation(4000)
    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(lambda query: half_cosines([(held, slots)], query), queries)]
    for compared, query in zip(found, queries, strict=True):
        np.testing.assert_allclose(compared, held[slots].astype(float) @ query, atol=2e-6)
    assert 1 <= len(module._rooms[32]) <= module._KEPT
