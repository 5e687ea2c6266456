import itertools

import numpy as np
import pytest

from extraction.backgrounds.medians import comparators, median_of_allowed


@pytest.mark.parametrize("count", range(1, 10))
def test_the_network_sorts_all_zeros_and_ones_and_so_everything(count):
    for values in itertools.product((0, 1), repeat=count):
        sorting = list(values)
        for i, j in comparators(count):
            assert i < j
            sorting[i], sorting[j] = min(sorting[i], sorting[j]), max(sorting[i], sorting[j])
        assert sorting == sorted(values)


@pytest.mark.parametrize("count", [1, 2, 15])
def test_the_median_is_that_of_the_allowed_values_of_each_pixel(count):
    rng = np.random.default_rng(count)
    pictures = [rng.integers(0, 256, (5, 6, 3)).astype(np.uint8) for _ in range(count)]
    allowed = [rng.random((5, 6)) < 0.5 for _ in range(count)]
    found, known = median_of_allowed(pictures, allowed)
    for y, x in np.ndindex(5, 6):
        values = [picture[y, x] for picture, mask in zip(pictures, allowed, strict=True) if mask[y, x]]
        assert known[y, x] == bool(values)
        if values:
            for channel in range(3):
                ordered = sorted(int(value[channel]) for value in values)
                assert found[y, x, channel] == ordered[(len(ordered) - 1) // 2]
