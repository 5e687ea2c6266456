"""The pose detector's arithmetic against plain loops."""

import numpy as np
import pytest

from extraction.people.anchors import anchor_centres, decode
from extraction.people.detection import PersonDetector, letterboxed, square_corners, weighted_suppression
from extraction.people.region import region_between
from tests.extraction.people import reference


class Answers:
    """A detector's network that finds one person at a given place of each picture that it sees, by colour."""

    def __init__(self):
        self.batches = []

    def run(self, images):
        self.batches.append(images)
        boxes = np.zeros((len(images), 2254, 12), np.float32)
        scores = np.full((len(images), 2254, 1), -20, np.float32)
        for number, image in enumerate(images):
            red = np.argwhere(image[..., 0] > 200)
            if not len(red):
                continue
            y, x = red.mean(axis=0) + 0.5
            anchor = np.argmin(np.linalg.norm(anchor_centres() * 224 - [x, y], axis=1))
            middle = np.array([x, y]) - anchor_centres()[anchor] * 224
            boxes[number, anchor] = [*middle, 10, 10, *middle, *(middle - [0, 40]), *middle, *middle]
            scores[number, anchor] = 5
        return {"boxes": boxes, "scores": scores}


def picture_of(width, height, x, y, size=12):
    image = np.zeros((height, width, 3), np.uint8)
    image[y - size : y + size, x - size : x + size, 0] = 255
    return image


def test_the_anchors_are_those_of_mediapipes_grid():
    np.testing.assert_allclose(anchor_centres(), np.array(reference.anchors()), atol=1e-7)
    assert len(anchor_centres()) == 2254


def test_decoding_and_suppression_are_those_of_the_loops():
    generator = np.random.default_rng(5)
    for _ in range(3):
        raw = generator.normal(0, 30, (2254, 12)).astype(np.float32)
        raw[:, 2:4] = np.abs(raw[:, 2:4]) * 3
        logits = generator.normal(-3, 1.2, (2254, 1)).astype(np.float32)
        placed, scores = decode(raw[None], logits[None], anchor_centres())
        expected = reference.weighted_nms(reference.decoded(raw, logits))
        found = weighted_suppression(placed[0], scores[0])
        assert len(found) == len(expected) > 2
        for (points, score), (expected_score, box, expected_points) in zip(found, expected, strict=True):
            assert score == pytest.approx(expected_score, abs=1e-6)
            np.testing.assert_allclose(points[:2].ravel(), box, atol=1e-5)
            np.testing.assert_allclose(points[2:], expected_points, atol=1e-5)


def test_extreme_logits_overflow_nowhere():
    scores = decode(np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -1e6, np.float32), anchor_centres())[1]
    assert scores.max() == 0


def test_a_region_is_that_of_the_alignment_points():
    generator = np.random.default_rng(6)
    for hips, top in generator.uniform(-50, 300, (200, 2, 2)).astype(np.float32):
        np.testing.assert_allclose(region_between(hips, top), reference.region(hips, top), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("width", "height"), [(960, 540), (540, 960), (224, 224), (518, 496), (100, 37)])
def test_a_letterboxed_picture_leads_back_to_its_own_pixels(width, height):
    image = picture_of(width, height, width // 2, height // 4, size=6)
    square, side, offset = letterboxed(image)
    assert square.shape == (224, 224, 3)
    y, x = (np.argwhere(square[..., 0] > 100).mean(axis=0) + 0.5) / 224
    assert np.array([x, y]) * side - offset == pytest.approx([width // 2, height // 4], abs=side / 224)


def test_a_person_in_the_whole_picture_and_in_squares_is_found_once_at_the_same_place():
    network = Answers()
    for width, height, x, y in ((960, 540, 480, 200), (540, 960, 270, 900), (400, 400, 100, 300)):
        (found,) = PersonDetector(network).search(picture_of(width, height, x, y))
        assert (found.region.x, found.region.y) == pytest.approx((x, y), abs=2)
    assert [len(batch) for batch in network.batches] == [4, 4, 1]


def test_the_squares_cover_an_oblong_picture():
    assert square_corners(960, 540) == [(0, 0), (210, 0), (420, 0)]
    assert square_corners(540, 960) == [(0, 0), (0, 210), (0, 420)]
    assert square_corners(500, 480) == []


def test_pictures_of_one_call_run_as_one_batch():
    network = Answers()
    found = PersonDetector(network).detect([picture_of(300, 200, 50 + 40 * k, 100) for k in range(5)])
    assert [len(batch) for batch in network.batches] == [5]
    assert [each[0].region.x for each in found] == pytest.approx([50, 90, 130, 170, 210], abs=1)
