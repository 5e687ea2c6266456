"""Vectors at unit length, alone and beside others."""

import numpy as np
import pytest

from ranking.vectors.unit_vectors import unit, units


@pytest.mark.parametrize("width", [1, 3, 64, 1024])
def test_a_vector_has_the_same_direction_whatever_others_there_are(width: int) -> None:
    vectors = np.random.default_rng(width).normal(size=(37, width)).astype(np.float16)
    for vector, direction in zip(vectors, units(vectors), strict=True):
        alone = unit(vector)
        assert alone is not None
        assert direction is not None
        assert direction.tobytes() == alone.tobytes()


def test_vectors_without_a_direction_have_none_beside_very_long_and_very_short_ones() -> None:
    found = units(np.array([[0.0, 0.0], [3e300, 4e300], [3e-300, -4e-300], [0.0, 0.0], [0.0, -2.0]]))
    assert found[0] is None
    assert found[3] is None
    np.testing.assert_allclose([found[1], found[2], found[4]], [[0.6, 0.8], [0.6, -0.8], [0, -1]], atol=1e-7)  # type: ignore[arg-type]


def test_of_no_vectors_there_are_no_directions() -> None:
    assert units(np.empty((0, 5))) == []
