"""Critical frames side by side: an arrow at each joint, along its gradient, as long as it is large."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dancerank.pictures.bodies import ARROW
from dancerank.pictures.guidance import GuidedFrame, guidance_frames
from schemas.joints import LAYOUTS, MPII_16, JointLayout
from schemas.picture_formats import PictureFormat
from tests.dancerank.pictures.drawn import HOSTILE, dancer, of_class, parsed, pixels, points, tail_and_tip, words

SVG, PNG = PictureFormat.SVG, PictureFormat.PNG


def frame(gradient: np.ndarray, layout: JointLayout = MPII_16, **others: object) -> GuidedFrame:
    given = {
        "time_s": 1.5,
        "positions": dancer(layout, 1)[0],
        "gradient": gradient,
        "sentence": "Raise the left wrist.",
    }
    return GuidedFrame(**{**given, **others})  # type: ignore[arg-type]


def random_gradient(layout: JointLayout = MPII_16, seed: int = 1) -> np.ndarray:
    """Magnitudes from 1 to 3: no arrow is too short to be drawn."""
    rng = np.random.default_rng(seed)
    angles, sizes = rng.uniform(0, 2 * np.pi, layout.joint_count), rng.uniform(1, 3, layout.joint_count)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * sizes[:, None]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_arrows_point_along_the_gradient_and_their_length_is_its_magnitude(layout: JointLayout) -> None:
    gradient = random_gradient(layout)
    root = parsed(guidance_frames([frame(gradient, layout)], layout, title="a", kind=SVG))
    drawn = of_class(root, "arrow")
    assert len(drawn) == layout.joint_count
    [scale] = of_class(root, "scale")
    tail, tip = tail_and_tip(scale)
    [stated] = [said for said in words(root, "key") if "score per pixel" in said]
    per_unit = (tip - tail)[0] / float(stated.split()[0])
    by_magnitude = np.argsort(np.hypot(*gradient.T), kind="stable")  # shorter ones are drawn first
    for arrow, joint in zip(drawn, by_magnitude, strict=True):
        tail, tip = tail_and_tip(arrow)
        np.testing.assert_allclose(tip - tail, gradient[joint] * per_unit, atol=0.1)
        assert (arrow[0].text or "").startswith(layout.joints[joint])


def test_arrows_of_all_frames_have_one_scale() -> None:
    one = np.zeros((16, 2))
    one[3] = [0.002, 0]
    root = parsed(guidance_frames([frame(one), frame(one / 2), frame(-one)], MPII_16, title="a", kind=SVG))
    reaches = [(tip - tail)[0] for tail, tip in map(tail_and_tip, of_class(root, "arrow"))]
    np.testing.assert_allclose(np.array(reaches) / reaches[0], [1, 0.5, -1], atol=0.01)


def test_bodies_and_arrows_stay_in_their_panels() -> None:
    gradient = np.zeros((16, 2))
    gradient[:4] = [[0, -1], [0, 1], [1, 0], [-1, 0]]
    root = parsed(guidance_frames([frame(gradient)] * 3, MPII_16, title="a", kind=SVG))
    panels = [element for element in of_class(root, "frame") if element.get("fill") == "#ffffff"]
    edges = [[float(panel.get(name, "")) for name in ("x", "y", "width", "height")] for panel in panels]
    for number, arrow in enumerate(of_class(root, "arrow")):
        x, y, wide, high = edges[number // 4]
        corners = points(arrow)
        assert (corners > [x, y]).all()
        assert (corners < [x + wide, y + high]).all()


def test_missing_joints_and_their_bones_are_not_drawn() -> None:
    positions = dancer(MPII_16, 1)[0]
    positions[9] = np.nan  # the head, which has one bone
    gradient = random_gradient()
    gradient[9] = np.nan
    root = parsed(guidance_frames([frame(gradient, positions=positions)], MPII_16, title="a", kind=SVG))
    assert len(of_class(root, "arrow")) == len(of_class(root, "joint")) == 15
    assert len(of_class(root, "bone")) == len(MPII_16.edges) - 1
    assert "nan" not in guidance_frames([frame(gradient, positions=positions)], MPII_16, title="a", kind=SVG).decode()


@pytest.mark.parametrize("kind", [PNG, SVG])
def test_without_frames_joints_or_gradient_the_picture_says_so(kind: PictureFormat) -> None:
    nothing = np.full((16, 2), np.nan)
    for frames, said in (
        ([], "No moment of this clip"),
        ([frame(nothing, positions=nothing)], "no joint is known here"),
        ([frame(np.zeros((16, 2)))], "no joint changes the score"),
    ):
        picture = guidance_frames(frames, MPII_16, title="a", kind=kind)
        if kind is SVG:
            assert any(said in text for text in words(parsed(picture), "note") + words(parsed(picture), "key"))
        else:
            assert pixels(picture).min() < 128


def test_pixels_along_an_arrow_have_its_colour() -> None:
    gradient = np.zeros((16, 2))
    gradient[5] = [0.003, 0.004]
    svg, png = (guidance_frames([frame(gradient)], MPII_16, title="a", kind=kind) for kind in (SVG, PNG))
    [arrow] = of_class(parsed(svg), "arrow")
    tail, tip = tail_and_tip(arrow)
    image = pixels(png)
    for share in (0.3, 0.5, 0.7, 0.9):
        x, y = ((tail + (tip - tail) * share) * 2).round().astype(int)
        assert np.abs(image[y, x] - ARROW).max() < 12
    width, height = (float(parsed(svg).get(name, "")) for name in ("width", "height"))
    assert image.shape[:2] == (round(height * 2), round(width * 2))


def test_a_frame_of_the_video_lies_under_the_skeleton_where_its_pixels_belong() -> None:
    """Frames may be smaller than the source. A white disc at the left wrist, in a dark frame, is at the wrist drawn."""
    positions = dancer(MPII_16, 1)[0]
    rows, columns = np.mgrid[:800, :500]
    image = np.full((800, 500, 3), 40, np.uint8)
    image[np.hypot(columns - positions[15, 0], rows - positions[15, 1]) < 40] = 250
    given = frame(np.zeros((16, 2)), positions=positions * 2, image=image, image_scale=0.5)
    root = parsed(guidance_frames([given], MPII_16, title="a", kind=SVG))
    [photograph] = of_class(root, "frame")[2:]
    inside = (photograph.get("href") or "").removeprefix("data:image/jpeg;base64,")
    with Image.open(BytesIO(base64.b64decode(inside))) as shown:
        shades = np.asarray(shown.convert("L"), np.float64)
    bright = np.argwhere(shades > 200).mean(0)[::-1] / shades.shape[::-1]
    corner, size = ([float(photograph.get(name, "")) for name in pair] for pair in (("x", "y"), ("width", "height")))
    wrist = of_class(root, "joint")[15]
    centre = [float(wrist.get("cx", "")), float(wrist.get("cy", ""))]
    np.testing.assert_allclose(corner + bright * size, centre, atol=2)
    assert pixels(guidance_frames([given], MPII_16, title="a")).mean() < 200


def test_any_words_are_shown_as_words() -> None:
    for kind in (SVG, PNG):
        picture = guidance_frames([frame(random_gradient(), sentence=HOSTILE)], MPII_16, title=HOSTILE, kind=kind)
        if kind is SVG:
            root = parsed(picture)
            assert not [element for element in root.iter() if "script" in element.tag]
            assert "$\\frac{1}{2}$" in " ".join(words(root, "sentence"))
            assert "😀 مرحبا שלום" in " ".join(words(root, "sentence"))


def test_joints_far_off_and_infinite_break_nothing() -> None:
    positions = dancer(MPII_16, 1)[0]
    positions[3], positions[4] = [1e30, -1e30], [np.inf, 5]
    gradient = random_gradient()
    gradient[7] = [1e300, 0]
    for kind in (SVG, PNG):
        picture = guidance_frames([frame(gradient, positions=positions)], MPII_16, title="a", kind=kind)
        assert len(picture) < 1_000_000
