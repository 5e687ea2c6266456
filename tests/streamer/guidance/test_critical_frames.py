"""Critical frames and their sentences, on constructed guidance."""

import numpy as np
import pytest

from schemas.errors import ConfigurationError
from schemas.joints import LAYOUTS, JointLayout, convert
from schemas.modalities import Dimension
from streamer.guidance.clip_guidance import Guidance
from streamer.guidance.critical import critical_frames
from streamer.guidance.sentences import NOTHING_TO_MOVE, in_the_picture, sentence_of

MPII = LAYOUTS["mpii-16"]
SIDES = ("left ", "right ")


def guidance_of(gradient: np.ndarray, positions: np.ndarray, layout: JointLayout = MPII) -> Guidance:
    return Guidance(
        generation="g",
        of=Dimension.SKELETAL,
        smoothing="raw",
        layout=layout,
        rate_hz=25.0,
        positions=positions.astype(np.float32),
        gradient=gradient.astype(np.float32),
        missing=np.zeros(gradient.shape[:2], np.bool_),
        score=0.0,
        scale=100.0,
    )


def with_magnitudes(magnitudes: list[float]) -> Guidance:
    gradient = np.zeros((len(magnitudes), 16, 2))
    gradient[:, 3, 0] = magnitudes
    return guidance_of(gradient, np.zeros_like(gradient))


def frames_of(guidance: Guidance, count: int, apart_s: float) -> list[int]:
    return [each.frame for each in critical_frames(guidance, count, apart_s)]


def test_the_largest_is_taken_first_and_none_is_nearer_than_asked_for() -> None:
    magnitudes = [0.1] * 200
    for frame, size in ((50, 5.0), (60, 4.0), (100, 3.0), (150, 2.0)):
        magnitudes[frame] = size
    assert frames_of(with_magnitudes(magnitudes), 3, 1.0) == [50, 100, 150]
    assert frames_of(with_magnitudes(magnitudes), 3, 0.2) == [50, 60, 100]
    assert frames_of(with_magnitudes(magnitudes), 1, 1.0) == [50]


def test_a_peak_comes_before_a_larger_frame_on_the_slope_of_another() -> None:
    slope = [max(0.0, 100.0 - abs(frame - 60)) for frame in range(200)]
    slope[150] = 15.0
    assert frames_of(with_magnitudes(slope), 2, 1.0) == [60, 150]


@pytest.mark.parametrize(("steps", "expected"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (24, 3), (1500, 3)])
def test_short_and_long_clips_have_as_many_as_asked_for_where_they_have_as_many_frames(
    steps: int, expected: object
) -> None:
    found = frames_of(with_magnitudes(np.random.default_rng(0).uniform(1, 2, steps).tolist()), 3, 1.0)
    assert found == expected or len(found) == expected
    assert found == sorted(set(found))


def test_a_frame_in_which_nothing_raises_the_score_is_not_critical() -> None:
    assert frames_of(with_magnitudes([0.0] * 100), 3, 1.0) == []
    assert frames_of(with_magnitudes([0.0] * 50 + [1.0] + [0.0] * 50), 3, 1.0) == [50]


def test_a_count_or_distance_that_means_nothing_is_refused() -> None:
    for count, apart_s in ((0, 1.0), (3, -1.0), (3, float("nan")), (3, float("inf"))):
        with pytest.raises(ConfigurationError):
            critical_frames(with_magnitudes([1.0]), count, apart_s)


def standing(layout: JointLayout) -> np.ndarray:
    """(V, D): someone who faces the camera, so that the dancer's left is right in the picture."""
    heights = {"head": 90, "nose": 90, "eye": 92, "ear": 92, "neck": 75, "thorax": 65, "shoulder": 65, "spine": 30}
    heights |= {"elbow": 35, "forearm": 20, "wrist": 5, "hand": 0, "thumb": 0, "hip": 0, "pelvis": 0, "waist": 10}
    heights |= {"knee": -45, "ankle": -90, "heel": -95, "toe": -95, "foot": -95}
    widths = {"shoulder": 25, "elbow": 40, "forearm": 45, "wrist": 50, "hand": 52, "thumb": 50, "eye": 5, "ear": 10}
    widths |= {"hip": 15, "knee": 18, "ankle": 20, "heel": 20, "toe": 22, "foot": 22}
    (x, x_sign), (y, y_sign) = layout.image_axes
    pose = np.zeros((layout.joint_count, layout.coordinates))
    for joint, name in enumerate(layout.joints):
        part = next(part for part in reversed(heights) if part in name)
        side = 1 if name.startswith("left") else -1 if name.startswith("right") else 0
        pose[joint, x] = x_sign * side * widths.get(part, 0)
        pose[joint, y] = -y_sign * heights[part]
    return pose


def moving(layout: JointLayout, wanted: dict[str, tuple[float, float]], pose: np.ndarray | None = None) -> Guidance:
    """``wanted``: by joint, to the right and up in the picture."""
    (x, x_sign), (y, y_sign) = layout.image_axes
    gradient = np.zeros((1, layout.joint_count, layout.coordinates))
    for name, (right, up) in wanted.items():
        gradient[0, layout.joints.index(name), [x, y]] = x_sign * right, -y_sign * up
    return guidance_of(gradient, (standing(layout) if pose is None else pose)[None], layout)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_same_movement_has_the_same_sentence_in_every_layout(layout: JointLayout) -> None:
    wanted = {"left wrist": (0.1, 1.0), "left knee": (-0.8, 0.0), "right knee": (0.7, 0.2)}
    assert sentence_of(moving(layout, wanted), 0) == "raise the left wrist, move both knees inward"
    away = {name: (-right, -up) for name, (right, up) in wanted.items()}
    assert sentence_of(moving(layout, away), 0) == "lower the left wrist, move both knees outward"


@pytest.mark.parametrize("name", ["dance-23", "kinect-25"])
def test_a_layout_that_is_converted_says_the_same_of_its_image(name: str) -> None:
    layout = LAYOUTS[name]
    flat = convert(standing(layout)[None].astype(np.float32), layout, MPII)[0]
    wanted = {"left wrist": (0.9, 0.2), "right ankle": (0.3, -0.8)}
    own, converted = (sentence_of(moving(*each), 0) for each in ((layout, wanted), (MPII, wanted, flat)))
    assert own == converted == "move the left wrist outward, lower the right ankle"


def test_the_third_axis_leads_to_the_camera() -> None:
    for name, near in (("dance-23", 1.0), ("kinect-25", -1.0)):  # y is up; z of a Kinect leads away from it
        layout = LAYOUTS[name]
        gradient = np.zeros((1, layout.joint_count, 3))
        gradient[0, layout.joints.index("right hip"), 2] = near
        guidance = guidance_of(gradient, standing(layout)[None], layout)
        assert sentence_of(guidance, 0) == "move the right hip towards the camera"
        assert in_the_picture(gradient[0, layout.joints.index("right hip")], layout) == (0.0, 0.0, 1.0)
        guidance = guidance_of(-gradient, standing(layout)[None], layout)
        assert sentence_of(guidance, 0) == "move the right hip away from the camera"


def test_a_hand_that_is_crossed_over_moves_inward_to_its_own_side() -> None:
    pose = standing(MPII)
    pose[MPII.joints.index("left wrist"), 0] = -40.0
    assert sentence_of(moving(MPII, {"left wrist": (1.0, 0.0)}, pose), 0) == "move the left wrist inward"


def test_what_has_no_side_or_is_at_the_midline_moves_to_a_side_of_the_picture() -> None:
    assert sentence_of(moving(MPII, {"head top": (1.0, 0.2)}), 0) == "move the head to the right of the picture"
    pose = standing(MPII)
    pose[MPII.joints.index("left wrist"), 0] = 5.0  # of a body of 100
    assert sentence_of(moving(MPII, {"left wrist": (-1.0, 0.0)}, pose), 0) == (
        "move the left wrist to the left of the picture"
    )


def test_a_pair_that_moves_apart_is_named_joint_by_joint() -> None:
    wanted = {"left knee": (0.0, 1.0), "right knee": (0.0, -0.9)}
    assert sentence_of(moving(MPII, wanted), 0) == "raise the left knee, lower the right knee"


def test_at_most_three_are_named_and_none_that_counts_little() -> None:
    wanted = {"left wrist": (0.0, 1.0), "right wrist": (0.0, 0.8), "head top": (0.0, 0.7), "pelvis": (0.0, -0.6)}
    wanted |= {"left knee": (0.0, 0.5), "right knee": (0.0, 0.3)}
    assert sentence_of(moving(MPII, wanted), 0) == "raise both wrists and the head, lower the pelvis"
    del wanted["pelvis"]
    assert sentence_of(moving(MPII, wanted), 0) == "raise both wrists, the head and the left knee"


def test_feet_are_feet() -> None:
    wanted = {"left foot": (0.0, 1.0), "right foot": (0.0, 1.0)}
    assert sentence_of(moving(LAYOUTS["kinect-25"], wanted), 0) == "raise both feet"


def test_a_frame_without_gradient_says_to_keep_the_pose() -> None:
    assert sentence_of(moving(MPII, {}), 0) == NOTHING_TO_MOVE


def test_every_joint_of_every_layout_has_a_name_and_every_pair_a_plural() -> None:
    for layout in LAYOUTS.values():
        for joint in layout.joints:
            assert sentence_of(moving(layout, {joint: (0.0, 1.0)}), 0).startswith("raise the ")
        for joint in (name.removeprefix("left ") for name in layout.joints if name.startswith("left ")):
            pair = dict.fromkeys((f"left {joint}", f"right {joint}"), (0.0, 1.0))
            assert sentence_of(moving(layout, pair), 0).startswith("raise both ")


@pytest.mark.parametrize("name", ["mpii-16", "dance-23"])
def test_the_centre_of_the_body_is_no_advice_where_another_joint_counts(name: str) -> None:
    layout = LAYOUTS[name]
    centre = {layout.joints[joint]: (0.0, 9.0) for joint in layout.centre}
    assert sentence_of(moving(layout, centre | {"left knee": (0.0, -1.0)}), 0) == "lower the left knee"
    assert sentence_of(moving(layout, centre), 0).startswith("raise ")
    gradient = np.zeros((100, layout.joint_count, layout.coordinates))
    gradient[20, list(layout.centre), 0] = 9.0
    gradient[70, layout.joints.index("left knee"), 0] = 1.0
    assert frames_of(guidance_of(gradient, np.zeros_like(gradient), layout), 1, 1.0) == [70]
