import numpy as np
import pytest

from extraction.backgrounds.filling import fill_holes


def means_of_squares(image, known):
    """Colours of every pixel by loops, for sides that are powers of two: means over known pixels of each square of two,
    and what lacks any from the coarser picture, bilinearly between the centres of its pixels.
    """
    side = len(image)
    weights = known.astype(float)
    if known.all():
        return image.astype(float)
    sums = image.astype(float) * weights[..., None]
    return _pushed(sums, weights, side)


def _pushed(sums, weights, side):
    colours = np.zeros_like(sums)
    for y, x in np.ndindex(side, side):
        colours[y, x] = sums[y, x] / weights[y, x] if weights[y, x] else 0
    if (weights > 0).all():
        return colours
    half = side // 2
    coarse_sums, coarse_weights = np.zeros((half, half, 3)), np.zeros((half, half))
    for y, x in np.ndindex(side, side):
        coarse_sums[y // 2, x // 2] += sums[y, x] / 4
        coarse_weights[y // 2, x // 2] += weights[y, x] / 4
    coarse = _pushed(coarse_sums, coarse_weights, half)
    for y, x in np.ndindex(side, side):
        if weights[y, x] == 0:
            colours[y, x] = _between(coarse, (y + 0.5) / 2 - 0.5, (x + 0.5) / 2 - 0.5)
    return colours


def _between(image, y, x):
    top, left = int(np.floor(y)), int(np.floor(x))
    value = 0.0
    for yy, xx in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        weight = (1 - abs(y - yy)) * (1 - abs(x - xx))
        value = value + weight * image[np.clip(yy, 0, len(image) - 1), np.clip(xx, 0, len(image) - 1)]
    return value


@pytest.mark.parametrize("seed", range(3))
def test_holes_are_filled_as_by_loops(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
    missing = np.zeros((16, 16), bool)
    missing[3:14, 2:11] = True
    missing[rng.random((16, 16)) < 0.2] = True
    filled = fill_holes(image, missing)
    np.testing.assert_array_equal(filled[~missing], image[~missing])
    assert np.abs(filled - means_of_squares(image, ~missing)).max() <= 0.51


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (37, 53), (64, 64)])
def test_a_hole_in_one_colour_takes_that_colour(shape):
    image = np.full((*shape, 3), (10, 200, 77), np.uint8)
    missing = np.zeros(shape, bool)
    missing[: max(1, shape[0] // 2), : shape[1] // 2] = True
    broken = image.copy()
    broken[missing] = 0
    np.testing.assert_array_equal(fill_holes(broken, missing), image)


def test_a_picture_without_any_pixel_stays_as_it_is():
    image = np.zeros((5, 4, 3), np.uint8)
    np.testing.assert_array_equal(fill_holes(image, np.ones((5, 4), bool)), image)
