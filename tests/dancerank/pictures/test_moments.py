"""The attention of a long performance: bars over time, and what is seen at its strongest and weakest moments."""

import numpy as np
import pytest

from dancerank.pictures.moments import MOST_BARS, Attended, attended_moments, shown_seconds, strongest, weakest
from schemas.picture_formats import PictureFormat
from tests.dancerank.pictures.drawn import HOSTILE, of_class, parsed, pixels, words

SVG = PictureFormat.SVG


def test_the_strongest_and_weakest_moments_come_first_and_of_equal_ones_the_earlier() -> None:
    weights = np.array([0.1, 0.3, 0.2, 0.3, 0.1])
    assert strongest(weights, 3) == [1, 3, 2]
    assert weakest(weights, 3) == [0, 4]
    assert weakest(np.array([1.0])) == []


def test_bars_are_as_high_as_their_weights_and_moments_have_their_seconds() -> None:
    stream = Attended("segments", np.array([0.1, 0.4, 0.2, 0.25, 0.05]), 3.2)
    root = parsed(attended_moments([stream], title="a routine", kind=SVG))
    heights = [float(bar.get("height", "")) for bar in of_class(root, "bar")]
    np.testing.assert_allclose(np.array(heights) / heights[1], stream.weights / 0.4, atol=1e-3)
    assert words(root, "moment") == [
        *("1: 3.2 s, 0.4", "2: 9.6 s, 0.25", "3: 6.4 s, 0.2", "4: 0.0 s, 0.1", "1′: 12.8 s, 0.05")
    ]
    assert words(root, "equal") == ["dashed: equal attention, 0.2"]


def test_stills_are_those_of_the_middles_of_the_moments() -> None:
    stream = Attended("frames", np.array([0.5, 0.3, 0.2]), 1.0)
    seconds = shown_seconds([stream])
    assert seconds == [0.5, 1.5, 2.5]
    stills = {second: np.full((30, 40, 3), 99, np.uint8) for second in seconds[:2]}
    root = parsed(attended_moments([stream], title="a", stills=stills, kind=SVG))
    assert sum(element.tag.endswith("image") for element in of_class(root, "still")) == 2
    assert words(root, "note") == ["not in the video"]
    assert (pixels(attended_moments([stream], title="a", stills=stills)) == 99).all(2).sum() > 50_000


@pytest.mark.parametrize("instances", [0, 1, 5, 3_000])
def test_any_number_of_moments_makes_a_picture_of_bounded_size(instances: int) -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(instances)) if instances else np.zeros(0)
    root = parsed(attended_moments([Attended("frames", weights, 1.0)], title=HOSTILE, kind=SVG))
    assert len(of_class(root, "bar")) <= MOST_BARS
    assert float(root.get("width", "")) < 1_000
