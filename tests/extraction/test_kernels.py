"""Compiled passes over pictures give what NumPy and OpenCV give by another way."""

import cv2
import numpy as np
import pytest

from extraction import kernels
from extraction.resizing import resized


@pytest.mark.parametrize("times", [3, 4, 5, 15, 64, kernels.MOST_ROWS])
def test_means_over_squares_are_those_of_opencv(times: int) -> None:
    rng = np.random.default_rng(times)
    image = rng.integers(0, 256, (2 * times, 3 * times, 3), np.uint8)
    image[:, :times] = 255  # the largest sum
    means, sums = np.empty((2, 9), np.uint8), np.empty(9 * times, np.uint16)
    kernels.average_squares(image.reshape(2 * times, -1), times, sums, means)
    np.testing.assert_array_equal(means.reshape(2, 3, 3), cv2.resize(image, (3, 2), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize("times", [2, 3, 8, kernels.MOST_ROWS, kernels.MOST_ROWS + 1])
def test_a_picture_is_scaled_down_by_means_and_what_is_left_over_does_not_count(times: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (4 * times + 1, 3 * times + 1, 3), np.uint8)
    expected = cv2.resize(image[:-1, :-1], (3, 4), interpolation=cv2.INTER_AREA)
    for view in (image, np.pad(image, ((0, 0), (2, 2), (0, 0)))[:, 2:-2], image[:, :, ::-1]):
        found = resized(view, 4, 3)
        np.testing.assert_array_equal(found[..., ::-1] if view.strides[2] < 0 else found, expected)


def test_filtered_magnitudes_are_those_of_complex_numbers() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.standard_normal((20, 20, 2), np.float32), rng.random((20, 20), np.float32)
    weighted, means = np.empty_like(values), np.empty((2, 2), np.float32)
    kernels.weigh(values, weights, weighted)
    np.testing.assert_array_equal(weighted, values * weights[..., None])
    kernels.average_magnitudes(weighted, 2, 8, means)
    magnitudes = np.abs(weighted.view(np.complex64)[..., 0])[2:-2, 2:-2]
    np.testing.assert_allclose(means, magnitudes.reshape(2, 8, 2, 8).mean(axis=(1, 3)), rtol=1e-6)
