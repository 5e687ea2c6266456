"""Gaps and frame rates: both keep straight lines, and nothing else is made up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d

from schemas.missing_joints import fill_gaps
from tests.vdv.data_sets import pose
from vdv.resampling import resample


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any), st.integers(0, 99))
def test_gaps_are_filled_on_a_line_and_edges_with_the_nearest(known: list[bool], seed: int) -> None:
    mask = np.array(known)
    frames = np.random.default_rng(seed).normal(size=(len(known), 3, 2)).astype(np.float32)
    frames[~mask] = np.nan
    found = fill_gaps(frames, mask)
    for joint in range(3):
        for axis in range(2):
            expected = np.interp(np.arange(len(known)), np.flatnonzero(mask), frames[mask, joint, axis])
            np.testing.assert_allclose(found[:, joint, axis], expected, atol=1e-6)
    np.testing.assert_array_equal(found[mask], frames[mask])
    assert found.dtype == np.float32


@pytest.mark.parametrize("rate_hz", [25.0, 30.0, 50.0, 29.97, 12.0])
def test_a_resampled_pose_is_where_it_was_at_each_fortieth_of_a_second(rate_hz: float) -> None:
    frames = np.random.default_rng(0).normal(size=(100, 16, 2)).astype(np.float32)
    found = resample(frames, rate_hz)
    times_s = np.arange(len(found)) / 25.0
    assert times_s[-1] <= 99 / rate_hz + 1e-9 < times_s[-1] + 0.04 + 1e-9
    line = interp1d(np.arange(100) / rate_hz, frames, axis=0, fill_value="extrapolate")
    np.testing.assert_allclose(found, line(times_s), atol=1e-5)


@pytest.mark.parametrize("rate_hz", [25.0, 30.0, 50.0])
def test_a_number_of_steps_asked_for_is_given(rate_hz: float) -> None:
    found = resample(pose(round(3 * rate_hz)), rate_hz, steps=75)
    np.testing.assert_allclose(found[:, 0, 0], np.arange(75) * rate_hz / 25, rtol=1e-6)


def test_25_hz_stays_as_it_is() -> None:
    np.testing.assert_array_equal(resample(pose(31), 25.0), pose(31))
