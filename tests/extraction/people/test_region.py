"""Rotated squares: what is cut out of a picture and put back, against plain loops."""

import numpy as np
import pytest

from extraction.people.dancer import Dancer
from extraction.people.landmarks import Body, body_of
from extraction.people.region import Region
from tests.extraction.people import reference

SQUARES = [Region(40, 30, 40, 0.0), Region(22.3, 41.7, 51.0, 0.7), Region(70, 5, 33, -2.4), Region(-10, 90, 60, 3.1)]


def smooth_picture():
    y, x = np.mgrid[:60, :80]
    waves = [np.sin(x / 9) * np.cos(y / 7), np.cos(x / 11 + y / 13), np.sin(y / 8)]
    return np.round(127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("square", SQUARES)
def test_a_crop_is_that_of_the_loops(square):
    picture = smooth_picture()
    found = square.crop(picture, 24).astype(float)
    assert np.abs(found - reference.crop(picture, square, 24)).max() <= 4  # OpenCV interpolates at 32nds of a pixel
    assert np.abs(found - reference.crop(picture, square, 24)).mean() <= 0.6


@pytest.mark.parametrize("square", SQUARES)
def test_cells_lie_where_the_loops_say(square):
    matrix = square.to_picture(256)
    for u, v in ((0, 0), (256, 0), (17.5, 200), (128, 128)):
        assert matrix @ [u, v, 1] == pytest.approx(reference.in_picture(u, v, square, 256), abs=1e-3)


def test_a_mask_comes_back_to_the_pixels_that_it_was_cut_from():
    square = Region(42, 31, 48, 0.6)
    y, x = np.mgrid[:60, :80]
    shown = np.clip(1.5 - np.hypot(x - 45, y - 28) / 10, 0, 1).astype(np.float32)
    cut = reference.crop(shown[..., None], square, 96)[..., 0].astype(np.float32)
    back = square.uncrop(cut, 80, 60)
    assert back.shape == (60, 80)
    assert np.abs(back - shown).max() < 0.06
    assert square.uncrop(np.ones((96, 96), np.float32), 80, 60)[0, 0] == 0  # beyond the square


def test_landmarks_and_the_next_region_are_in_pixels_of_the_picture():
    square = Region(200, 150, 128, 0.4)
    points = np.zeros((39, 5), np.float32)
    points[:, 0], points[:, 1] = np.linspace(20, 230, 39), np.linspace(240, 10, 39)
    points[:, 3], points[:, 4] = 2.0, -3.0
    body = body_of(points, 0.9, np.full((256, 256), -2.0, np.float32), square)
    for number in (0, 16, 32):
        expected = reference.in_picture(points[number, 0], points[number, 1], square, 256)
        assert body.landmarks[number, :2] == pytest.approx(expected, abs=1e-3)
    assert body.landmarks[5, 2:] == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(3))])
    hips, top = (reference.in_picture(points[k, 0], points[k, 1], square, 256) for k in (33, 34))
    np.testing.assert_allclose(body.next_region, reference.region(hips, top), rtol=1e-4)
    assert Dancer(body, 400, 300).mask.max() == pytest.approx(1 / (1 + np.exp(2)))


@pytest.mark.parametrize("size", [(80, 60), (40, 30), (37, 23), (160, 120)])
def test_a_mask_at_another_size_shows_the_dancer_at_the_same_place(size):
    square = Region(42, 31, 48, 0.6)
    y, x = np.mgrid[:96, :96]
    logits = (24 - np.hypot(x - 50, y - 40)).astype(np.float32)
    dancer = Dancer(Body(np.zeros((33, 4), np.float32), 1.0, square, square, logits), 80, 60)
    width, height = size
    found = dancer.mask_at(height, width)
    # The picture's value at the middle of each pixel of the other size, and that of the square there, one by one.
    for row, column in ((height // 2, width // 2), (height // 3, width // 2), (height // 2, width * 2 // 3), (0, 0)):
        at_x, at_y = (column + 0.5) * 80 / width - 0.5, (row + 0.5) * 60 / height - 0.5
        forth = np.vstack([square.to_picture(96), [0, 0, 1]]).astype(np.float64)
        u, v, _ = np.linalg.inv(forth) @ [at_x, at_y, 1]
        expected = reference.bilinear((1 / (1 + np.exp(-logits.astype(np.float64))))[..., None], u, v)[0]
        assert found[row, column] == pytest.approx(expected, abs=0.06)
    assert found.shape == (height, width)
    assert (found > 0.5).sum() / found.size == pytest.approx((dancer.mask > 0.5).sum() / 4800, rel=0.06)
