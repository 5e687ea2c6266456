"""Saliency of a frame, with a network and a model whose numbers are closed forms, against literal loops."""

import numpy as np
import pytest

from dancerank.videos.saliency import SIDE, SQUARES, FrameSaliency
from extraction.backgrounds.filling import fill_holes
from extraction.drawing.colours import ORANGE, SKY_BLUE
from extraction.drawing.heat import heated
from extraction.networks import Features
from extraction.resizing import Crop, fitted
from schemas.modalities import Modality
from tests.dancerank.test_explaining import SECONDS, Means
from tests.extraction.made_networks import MadeNetwork

INPUT = 28
NOISE = np.random.default_rng(5)
PICTURE = NOISE.integers(0, 256, (60, 120, 3), np.uint8)
"""Wider than 4:3: the network sees columns 20 to 100."""


def network():
    """Its first feature is the mean red of the upper left quarter of what it sees."""
    half = INPUT // 2

    def outputs(images):
        return {"features": images[:, :half, :half, 0].mean(axis=(1, 2), dtype="float32")[:, None] / 255}

    return Features(MadeNetwork("red", INPUT, outputs, {"features": (1,)}, feature="features"))


def clip():
    holistic = np.repeat(network().of([fitted(PICTURE, INPUT, INPUT)]), 250, axis=0)
    return {Modality.HOLISTIC: holistic, Modality.SCENIC: np.full((40, 512), 0.3, np.float32)}


def saliency(picture=PICTURE, second=4.0):
    return FrameSaliency(Means(), network(), clip(), SECONDS).of(picture, second)


def test_it_is_what_hiding_each_square_for_a_second_takes_from_the_score():
    found = saliency()
    seen = fitted(PICTURE, INPUT, INPUT)
    side = round(INPUT * SIDE)
    places = [round(number * (INPUT - side) / (SQUARES - 1)) for number in range(SQUARES)]

    def fused(steps):
        streams = np.array([steps.mean(), 0.3])
        weights = np.exp(streams - streams.max())
        return float((weights / weights.sum()) @ streams)

    red = float(seen[: INPUT // 2, : INPUT // 2, 0].mean()) / 255
    total, covered, strongest = np.zeros((INPUT, INPUT)), np.zeros((INPUT, INPUT)), 0.0
    for top in places:
        for left in places:
            missing = np.zeros((INPUT, INPUT), bool)
            missing[top : top + side, left : left + side] = True
            hidden = float(fill_holes(seen, missing)[: INPUT // 2, : INPUT // 2, 0].mean()) / 255
            steps = np.full(250, red)
            steps[87:113] += hidden - red  # 3.5 to 4.5 s
            effect = fused(np.full(250, red)) - fused(steps)
            strongest = max(strongest, effect, key=abs)
            for row in range(side):
                for column in range(side):
                    weight = (min(row, side - 1 - row) + 0.5) * (min(column, side - 1 - column) + 0.5)
                    total[top + row, left + column] += weight * effect
                    covered[top + row, left + column] += weight
    scale = np.abs(total / covered).max()
    assert scale > 1e-4
    np.testing.assert_allclose(found.importance, total / covered, atol=2e-3 * scale)
    assert found.strongest == pytest.approx(strongest, rel=2e-3)
    assert found.crop == Crop(0, 20, 60, 80)


def test_parts_that_the_score_does_not_come_from_have_none():
    importance = saliency().importance
    reach = INPUT // 2 + round(INPUT * SIDE)  # of squares that lie over an edge of the quarter
    assert not importance[reach:].any()
    assert not importance[:, reach:].any()
    assert np.abs(importance[: INPUT // 2, : INPUT // 2]).max() > 0


def test_what_raises_the_score_is_above_zero_and_what_lowers_it_below():
    light = np.full_like(PICTURE, 90)
    light[8:16, 30:40] = 255  # within the upper left quarter of what is seen
    assert saliency(light).strongest > 0
    dark = np.full_like(PICTURE, 90)
    dark[8:16, 30:40] = 0
    assert saliency(dark).strongest < 0


def test_heat_is_orange_above_zero_blue_below_and_the_grey_frame_elsewhere():
    values = np.zeros((4, 4))
    values[0, 0], values[3, 3] = 2.0, -1.0
    picture = np.zeros((40, 60, 3), np.uint8)
    drawn = heated(picture, values, Crop(0, 10, 40, 40), limit=2.0)
    np.testing.assert_allclose(drawn[0, 10], np.array(ORANGE) * 0.75, atol=1)
    np.testing.assert_allclose(drawn[39, 49], np.array(SKY_BLUE) * 0.375, atol=1)
    assert not drawn[:, :10].any()
    assert not drawn[:, 50:].any()
    assert not picture.any(), "the frame itself stays as it is"
