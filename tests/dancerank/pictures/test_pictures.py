"""What holds for every picture: colours that everybody tells apart, equal bytes for equal input, threads, words."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from itertools import combinations

import numpy as np
import pytest

from dancerank.pictures.adjacency import Layer, adjacency
from dancerank.pictures.attention import HUES, attention_bins
from dancerank.pictures.bodies import ARROW, SIDES
from dancerank.pictures.fonts import fitted, plain, width_of, wrapped
from dancerank.pictures.guidance import GuidedFrame, guidance_frames
from dancerank.pictures.moving import MovingClip, moving_guidance
from dancerank.pictures.scales import MISSING, figure, round_below, scaled, shade
from dancerank.pictures.sheets import luminance
from dancerank.pictures.strips import Strip, strips
from extraction.drawing.colours import Colour
from extraction.drawing.sides import Side
from schemas.joints import MPII_16
from schemas.picture_formats import STILL, PictureFormat
from tests.dancerank.pictures.drawn import HOSTILE, dancer

# What the eyes of people without red, green or blue cones make of linear RGB (Machado et al. 2009, severity 1).
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: Colour) -> np.ndarray:
    share = np.array(colour) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.clip(to_xyz @ rgb, 0, None) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_sides_and_arrows_differ_for_people_with_any_colour_vision(kind: str) -> None:
    for one, other in combinations([SIDES[Side.RIGHT], SIDES[Side.LEFT], ARROW], 2):
        seen = [lab(np.array(BLINDNESS[kind]) @ linear(colour)) for colour in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) > 15, (kind, one, other)  # 2.3 is just noticeable


def test_sides_and_arrows_differ_in_grey() -> None:
    for one, other in combinations([SIDES[Side.RIGHT], SIDES[Side.LEFT], ARROW], 2):
        lighter, darker = sorted([luminance(one), luminance(other)], reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) > 1.5


@pytest.mark.parametrize("hue", HUES)
@pytest.mark.parametrize("kind", ["normal", *BLINDNESS])
def test_a_ramp_gets_darker_all_the_way_for_everybody(hue: Colour, kind: str) -> None:
    matrix = np.array(BLINDNESS.get(kind, np.eye(3)))
    lightness = np.array([lab(matrix @ linear(shade(share, hue)))[0] for share in np.linspace(0, 1, 21)])
    assert (np.diff(lightness) < -1).all()
    assert shade(float("nan"), hue) == MISSING


PICTURES: dict[str, Callable[[], bytes]] = {
    **{
        f"guidance {kind}": partial(
            guidance_frames,
            [GuidedFrame(1.0, dancer(MPII_16, 1)[0], np.cos(dancer(MPII_16, 1)[0]), HOSTILE)],
            MPII_16,
            title=HOSTILE,
            kind=kind,
        )
        for kind in STILL
    },
    **{
        f"moving {kind}": partial(
            moving_guidance,
            MovingClip(HOSTILE, MPII_16, 25.0, dancer(MPII_16, 6), np.cos(dancer(MPII_16, 6))),
            kind,
        )
        for kind in (PictureFormat.WEBP, PictureFormat.GIF)
    },
    "attention": partial(attention_bins, np.ones((4, 60)) / 60, 15.0, title=HOSTILE),
    "adjacency": partial(adjacency, [(HOSTILE, [Layer(2, np.eye(16), MPII_16.joints)])]),
    "strips": partial(
        strips, HOSTILE, "fused", [Strip(HOSTILE, 1, 0.5, 4.0, MPII_16, dancer(MPII_16, 9))], [], clips=1
    ),
}


def test_pictures_made_on_many_threads_at_once_are_those_of_one_thread() -> None:
    alone = {name: draw() for name, draw in PICTURES.items()}
    with ThreadPoolExecutor(8) as threads:
        asked = [(name, threads.submit(draw)) for _ in range(2) for name, draw in PICTURES.items()]
        for name, picture in asked:
            assert picture.result() == alone[name], name


def test_equal_input_gives_equal_bytes_in_another_process() -> None:
    code = (
        "import sys; from tests.dancerank.pictures.test_pictures import PICTURES; from hashlib import sha256; "
        "print(*(sha256(draw()).hexdigest() for draw in PICTURES.values())); assert 'matplotlib' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout.split() == [sha256(draw()).hexdigest() for draw in PICTURES.values()]


def test_words_from_outside_are_one_line_without_what_would_change_others() -> None:
    assert plain("a\x00b\n\tc\u202e\u2066d\ud800\uffff e\u2028f") == "ab cd e f"
    assert plain("👩‍🎤 é ש") == "👩‍🎤 é ש"
    assert len(plain("x" * 10_000)) == 400


@pytest.mark.parametrize("words", ["short", "a" * 300, HOSTILE * 5, "", "舞" * 100, "العربية " * 40])
def test_words_fit_into_their_width(words: str) -> None:
    for width in (60.0, 200.0):
        assert width_of(fitted(words, 13, width), 13) <= width
        lines = wrapped(words, 13, width, 3)
        assert len(lines) <= 3
        assert all(width_of(line, 13) <= width for line in lines)


def test_words_are_wrapped_whole() -> None:
    sentence = "Raise the left wrist and move both knees inward"
    assert " ".join(wrapped(sentence, 14, 150, 4)) == sentence
    assert wrapped(sentence, 14, 150, 2)[-1].endswith("…")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (1, "1"),
        (0.00234567, "0.00235"),
        (1234.5, "1234"),
        (0.1, "0.1"),
        (1.5e-7, "1.5e-7"),
        (1e-5, "1e-5"),
        (2.5e9, "2.5e9"),
        (-0.25, "-0.25"),
    ],
)
def test_figures_have_three_significant_digits(value: float, written: str) -> None:
    assert figure(value) == written


def test_round_lengths_are_the_largest_below() -> None:
    assert [round_below(value) for value in (0.0199, 0.02, 7, 1, 99)] == pytest.approx([0.01, 0.02, 5, 1, 50])


def test_values_are_scaled_over_all_that_are_known() -> None:
    made = scaled(np.array([1.0, np.nan, 3.0, 2.0]))
    np.testing.assert_equal(made.shares, [0, np.nan, 1, 0.5])
    assert (made.low, made.high) == (1, 3)
    assert scaled(np.full(3, np.nan)).high == 0
    assert scaled(np.full(3, 2.0)).shares.tolist() == [1, 1, 1]
    assert scaled(np.zeros(2)).shares.tolist() == [0, 0]
