import cmath
import math

import numpy as np
import pytest

from extraction.backgrounds.gist import WIDTH, gist, square


def spectrum_matrix(side, sign):
    """(side, side): the discrete Fourier transform as a matrix."""
    k = np.arange(side)
    return np.exp(sign * 2j * np.pi * np.outer(k, k) / side)


def transformed(image):
    forward = spectrum_matrix(len(image), -1)
    return forward @ image @ forward


def back(spectrum):
    inverse = spectrum_matrix(len(spectrum), 1) / len(spectrum)
    return inverse @ spectrum @ inverse


def mirrored(image, before, after):
    """Padded by mirror images, one value at a time, as MATLAB's ``padarray(…, 'symmetric')``."""
    places = [*range(before - 1, -1, -1), *range(len(image)), *range(len(image) - 1, len(image) - 1 - after, -1)]
    return np.array([[image[y, x] for x in places] for y in places])


def signed(k, side):
    return k if k < side / 2 else k - side


def transfer(side, scale, orientation):
    values = np.zeros((side, side))
    for y, x in np.ndindex(side, side):
        fy, fx = signed(y, side), signed(x, side)
        angle = cmath.phase(complex(fx, fy)) + math.pi / 8 * orientation
        angle += 2 * math.pi if angle < -math.pi else -2 * math.pi if angle > math.pi else 0
        radial = math.hypot(fx, fy) / side / (0.3 / 1.85**scale) - 1
        values[y, x] = math.exp(-10 * 0.35 * radial**2 - 2 * math.pi * angle**2)
    return values


def slow_gist(grey, filters):
    """``LMgist.m`` in float64, by matrices instead of fast transforms. ``filters``: pairs of scale and orientation."""
    grey = 255 * (grey - grey.min()) / (grey.max() - grey.min())
    padded = mirrored(np.log(grey + 1), 5, 5)
    side = len(padded)
    f = np.array([signed(k, side) for k in range(side)])
    low = np.exp(-(f[:, None] ** 2 + f[None] ** 2) / (4 / math.sqrt(math.log(2))) ** 2)
    white = padded - back(transformed(padded) * low).real
    contrast = (white / (0.2 + np.sqrt(np.abs(back(transformed(white**2) * low)))))[5:-5, 5:-5]
    spectrum = transformed(mirrored(contrast, 32, 32))
    values = []
    for scale, orientation in filters:
        magnitudes = np.abs(back(spectrum * transfer(len(spectrum), scale, orientation)))[32:-32, 32:-32]
        for column in range(4):
            for row in range(4):
                part = magnitudes[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
                values.append(part.sum() / part.size)
    return np.array(values)


def test_gist_is_that_of_its_authors():
    rng = np.random.default_rng(0)
    image = np.cumsum(np.cumsum(rng.normal(0, 1, (128, 128, 3)), axis=0), axis=1)
    image = (255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    filters = [(0, 0), (1, 3), (2, 7), (3, 4)]
    expected = slow_gist(image.mean(axis=2), filters)
    found = gist(image).reshape(4, 8, 16)
    np.testing.assert_allclose(
        np.concatenate([found[scale, orientation] for scale, orientation in filters]), expected, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize(("vertical", "strongest"), [(True, 0), (False, 4)])
def test_stripes_are_strongest_in_their_orientation(vertical, strongest):
    stripes = (127 + 100 * np.sin(2 * np.pi * np.arange(128) / 6)).astype(np.uint8)
    image = np.repeat(np.broadcast_to(stripes if vertical else stripes[:, None], (128, 128))[..., None], 3, axis=2)
    by_orientation = gist(image).reshape(4, 8, 16).sum(axis=(0, 2))
    assert by_orientation.argmax() == strongest


def test_brightness_and_contrast_of_the_whole_picture_do_not_count():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 100, (90, 120, 3)).astype(np.uint8)
    one, other = gist(image), gist(image * 2 + 40)
    assert one.shape == (WIDTH,) == (512,)
    assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(one)


def test_a_picture_of_one_colour_has_no_edges():
    assert not gist(np.full((50, 80, 3), 7, np.uint8)).any()


def test_the_largest_centred_square_counts():
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 30:70] = 255
    assert (square(image, 20) == 255).all()
    assert (square(image.transpose(1, 0, 2), 20) == 255).all()
