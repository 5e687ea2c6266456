"""The greatest magnitude, by comparing bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas.arrays.magnitude import greatest_magnitude

TYPES = [np.float16, np.float32, np.float64]


@given(st.sampled_from(TYPES).flatmap(lambda kind: arrays.arrays(kind, st.integers(1, 30))))
def test_it_is_the_maximum_of_absolute_values_whatever_they_are(values: np.ndarray) -> None:
    np.testing.assert_equal(greatest_magnitude(values), float(np.abs(values).max()))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_enough(kind: type[np.floating], bad: float) -> None:
    values = np.ones((7, 5), kind)
    values[3, 2] = bad
    assert not np.isfinite(greatest_magnitude(values))
    assert not np.isfinite(greatest_magnitude(values[:, 2:3]))
    assert greatest_magnitude(values[:, :2]) == 1.0
