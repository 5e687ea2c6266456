"""Compiled kernels give what NumPy gives by another way, wherever their machine code is kept."""

import logging

import numpy as np
import pytest

from schemas import descriptors
from schemas.arrays import kernels
from schemas.arrays.compiled import compiled
from schemas.arrays.float16 import widened_spaced


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("channels", "stride"), [(2048, 32), (100, 1), (130, 2), (131, 2), (1, 1)])
def test_spaced_channels_are_those_of_a_slice(dtype: type[np.floating], channels: int, stride: int) -> None:
    whole = np.random.default_rng(0).standard_normal((7, channels + 3)).astype(dtype)
    for frames in (whole[:, :channels], np.ascontiguousarray(whole[:, :channels])):
        found = widened_spaced(frames, stride)
        assert found.flags.c_contiguous
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, frames[:, ::stride].astype(np.float32))


@pytest.mark.parametrize(("steps", "channels"), [(1, 2048), (2, 8), (255, 2048), (1500, 2048), (900, 100), (70, 1001)])
def test_sums_of_a_sample_are_those_of_its_views(steps: int, channels: int) -> None:
    values = np.random.default_rng(0).standard_normal((steps, channels)).astype(np.float32)
    now, following = (view.astype(np.float64) for view in descriptors.sample(values))
    changes = following - now[: len(following)]
    expected = ((now > 0).sum(), (now**4).sum(), (changes**2).sum())
    found = kernels.sum_sample(values, *descriptors._sampled(steps, channels))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_new_steps_are_those_that_no_earlier_one_but_the_last_is_near(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((40, 19)).astype(dtype)
    steps[20:30] = steps[3:13] + 1e-3
    steps[31] = steps[30]
    far = [
        all(np.linalg.norm(step - other) > 0.1 for other in steps[: max(0, at - 1)]) for at, step in enumerate(steps)
    ]
    assert sum(far) == 30
    assert kernels.count_new(steps, 0.1, np.inf) == 30
    assert kernels.count_new(steps, 0.1, 12.0) == 12


@pytest.mark.parametrize("length", [1, 2, 3, 50, 375])
def test_a_ranked_value_is_that_of_the_sorted_ones(length: int) -> None:
    for values in np.random.default_rng(0).integers(0, length, (20, length)).astype(np.float64):
        for rank in (0, (length - 1) // 2, length // 2, length - 1):
            assert kernels.ranked(values.copy(), rank) == np.sort(values)[rank]


def test_a_function_that_cannot_be_kept_on_the_disk_is_compiled_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    names: dict[str, object] = {}
    exec("def doubled(value):\n    return 2 * value", names)  # no file, so no folder beside it
    with caplog.at_level(logging.WARNING):
        doubled = compiled("float64(float64)")(names["doubled"])  # type: ignore[type-var]
    assert doubled(1.5) == 3.0  # type: ignore[operator]
    assert "NUMBA_CACHE_DIR" in caplog.text
