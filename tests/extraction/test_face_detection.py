import numpy as np
import pytest

from extraction.faces.detection import Face, FaceDetector, View, anchors, cut_out, merged, overlap, whole
from tests.extraction.made_faces import draw_face, red_squares
from tests.extraction.made_networks import mean_colours

POINTS = np.zeros((6, 2), np.float32)


def mediapipe_anchors(side, strides, interpolated):
    """``SsdAnchorsCalculator`` of MediaPipe with one aspect ratio and fixed sizes, one anchor after the other."""
    centres, layer = [], 0
    while layer < len(strides):
        last, each = layer, 0
        while last < len(strides) and strides[last] == strides[layer]:
            each += 2 if interpolated else 1
            last += 1
        cells = -(-side // strides[layer])
        for y in range(cells):
            for x in range(cells):
                centres += [((x + 0.5) / cells, (y + 0.5) / cells)] * each
        layer = last
    return np.array(centres)


@pytest.mark.parametrize(
    ("side", "strides", "interpolated", "count"),
    [(192, (4,), False, 2304), (128, (8, 16, 16, 16), True, 896)],
    ids=["full range", "short range"],
)
def test_anchors_are_those_of_mediapipe(side, strides, interpolated, count):
    np.testing.assert_allclose(anchors(side), mediapipe_anchors(side, strides, interpolated), atol=1e-6)
    assert anchors(side).shape == (count, 2)


@pytest.mark.parametrize(("height", "width"), [(300, 300), (960, 540), (360, 640)])
def test_faces_are_found_in_pixels_of_the_picture(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    x, y, side = width * 0.6, height * 0.3, min(height, width) / 4
    draw_face(image, x, y, side)
    ((face,),) = FaceDetector(red_squares()).detect([(image, whole(image))])
    pixel = max(height, width) / 192
    assert np.abs(np.array(face.box) - (x - side / 2, y - side / 2, x + side / 2, y + side / 2)).max() < 1.5 * pixel
    assert np.abs(face.points[0] - (x - side / 4, y - 0.15 * side)).max() < 1.5 * pixel
    assert np.abs(face.points[1] - (x + side / 4, y - 0.15 * side)).max() < 1.5 * pixel
    assert face.score == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-6)


def test_a_small_face_is_found_in_a_view_that_is_closer():
    image = np.zeros((900, 900, 3), np.uint8)
    draw_face(image, 700, 120, 40)
    detector = FaceDetector(red_squares())
    far, near = detector.detect([(image, whole(image)), (image, View(620, 40, 160))])
    assert far == []
    assert np.abs(np.array(near[0].box) - (680, 100, 720, 140)).max() < 2


def test_a_view_shows_its_part_of_the_picture_and_black_beyond_it():
    image = np.full((40, 60, 3), 200, np.uint8)
    image[:20, :30] = 90
    assert (cut_out(image, View(0, 0, 30), 30)[:20] == 90).all()
    beyond = cut_out(image, View(-30, -30, 60), 30)
    assert not beyond[:15].any()
    assert not beyond[:, :15].any()
    assert (beyond[16:24, 16:29] == 90).all()
    assert not cut_out(image, View(500, 500, 60), 30).any()
    assert (cut_out(image, View(30, 0, 10.2), 90) == 200).all()


def test_of_faces_that_overlap_the_mean_by_score_stays():
    faces = [
        Face((0, 0, 10, 10), POINTS, 0.6),
        Face((1, 0, 11, 10), POINTS + 1, 0.9),
        Face((50, 50, 60, 60), POINTS, 0.7),
    ]
    found = merged(faces)
    assert [face.score for face in found] == [0.9, 0.7]
    assert found[0].box == pytest.approx((0.6, 0, 10.6, 10))
    np.testing.assert_allclose(found[0].points, POINTS + 0.6, atol=1e-6)
    assert found[1].box == pytest.approx((50, 50, 60, 60))


def test_faces_without_an_area_do_not_keep_others_or_go_on_for_ever():
    flat = Face((5, 5, 5, 5), POINTS, 0.8)
    assert len(merged([flat, flat._replace(score=0.7), Face((0, 0, 10, 10), POINTS, 0.9)])) == 3


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0, 0, 10, 10), 1), ((5, 0, 15, 10), 1 / 3), ((10, 0, 20, 10), 0), ((2, 2, 7, 12), 40 / 110)],
)
def test_overlap_is_intersection_over_union(other, expected):
    assert overlap((0, 0, 10, 10), other) == pytest.approx(expected)


def test_another_kind_of_network_is_refused():
    with pytest.raises(ValueError, match="colours is not a BlazeFace of 192 or 128 pixels"):
        FaceDetector(mean_colours())
