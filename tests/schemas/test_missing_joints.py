"""Undetected joints are missing values: short gaps are interpolated, long ones refused, complete poses untouched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import FeatureValueInvalid
from schemas.features import ClipFeatures, decode_features, encode_features
from schemas.joints import LAYOUTS, MPII_16
from schemas.missing_joints import fill_missing, missing_joints
from schemas.modalities import Modality
from tests.clips import random_features

S = Modality.SKELETAL
STEPS = 100
WRISTS = [10, 15]


def dance(channels: int = 3, *, layout: str = "mpii-16", dtype: type[np.floating] = np.float32) -> np.ndarray:
    """A body of 60 by 300 pixels, 300 pixels from the picture's corner, all joints moving on straight lines."""
    joints = LAYOUTS[layout].joint_count
    frames = np.full((STEPS, joints, channels), 0.9)
    frames[..., 0] = 300 + np.arange(STEPS)[:, None] + 4 * np.arange(joints)
    frames[..., 1] = 200 + 0.5 * np.arange(STEPS)[:, None] + 20 * np.arange(joints)
    return frames.astype(dtype)


def read(frames: np.ndarray, layout: str = "mpii-16") -> ClipFeatures:
    return decode_features(encode_features(ClipFeatures({S: frames}, layout)))


@pytest.mark.tried(
    kind="missing values in disguise",
    given="two joints at (0, 0) in every seventh frame",
    outcome="interpolated, and their share reported",
)
@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_wrists_lost_in_every_seventh_step_are_interpolated(channels: int, dtype: type[np.floating]) -> None:
    lost = dance(channels, dtype=dtype)
    lost[::7, WRISTS] = 0
    features = read(lost)
    exact = dance(channels).astype(np.float64)
    exact[0, WRISTS] = exact[1, WRISTS]  # before the first detection, the nearest
    exact[98, WRISTS] = (exact[97, WRISTS] + exact[99, WRISTS]) / 2
    np.testing.assert_allclose(features.frames[S], exact, rtol=1e-6 if dtype is np.float32 else 1e-3)
    assert features.frames[S].dtype == dtype
    assert features.filled_joints == pytest.approx(15 * 2 / (STEPS * 16))


@pytest.mark.tried(
    kind="missing values in disguise",
    given="coordinates of confidence 0 or below, whatever they are",
    outcome="interpolated",
)
@pytest.mark.parametrize("coordinates", [0.0, -1.0, 5000.0])
@pytest.mark.parametrize("confidence", [0.0, -1.0])
def test_without_confidence_in_it_a_value_does_not_matter(coordinates: float, confidence: float) -> None:
    lost = dance()
    lost[40:50, WRISTS, :2], lost[40:50, WRISTS, 2] = coordinates, confidence
    np.testing.assert_allclose(read(lost).frames[S], dance(), rtol=1e-6)


@pytest.mark.tried(kind="missing values in disguise", given="ten whole frames of zeros", outcome="interpolated")
@pytest.mark.parametrize("channels", [2, 3])
def test_whole_steps_of_zeros_are_interpolated(channels: int) -> None:
    lost = dance(channels)
    lost[50:60] = 0
    features = read(lost)
    np.testing.assert_allclose(features.frames[S], dance(channels), rtol=1e-6)
    assert features.filled_joints == pytest.approx(0.1)


@pytest.mark.tried(
    kind="missing values in disguise",
    given="joints undetected for 0.52 s, also at the start and at the end",
    outcome="refused with joints and share",
)
@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("gap", [slice(40, 53), slice(0, 13), slice(87, 100)])
def test_a_gap_over_half_a_second_is_refused_with_joints_and_share(channels: int, gap: slice) -> None:
    lost = dance(channels)
    lost[gap, WRISTS] = 0
    with pytest.raises(
        FeatureValueInvalid,
        match=r"undetected joints: right wrist, left wrist for 0\.52 s in a row, 13\.0% of the clip; up to 0\.5 s .*"
        r"in all 1\.6% of the values are missing; extract the pose again, or leave the clip out",
    ) as caught:
        read(lost)
    assert caught.value.field == "skeletal"
    lost[gap.start] = dance(channels)[gap.start]
    lost[gap.stop - 1] = dance(channels)[gap.stop - 1]
    read(lost)


@pytest.mark.tried(
    kind="missing values in disguise",
    given="a joint undetected in three frames of four",
    outcome="refused with joint and share",
)
@pytest.mark.parametrize("channels", [2, 3])
def test_a_joint_missing_in_most_steps_is_refused_however_short_its_gaps_are(channels: int) -> None:
    lost = dance(channels)
    lost[::2, 10] = lost[1::4, 10] = 0
    with pytest.raises(FeatureValueInvalid, match=r"undetected joints: right wrist .* 75\.0% of the clip"):
        read(lost)


@pytest.mark.tried(
    kind="missing values in disguise",
    given="joints that are never detected, and a clip of zeros alone",
    outcome="refused with the joints",
)
@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("joints", [[10], [0, 1, 4, 5], list(range(16))])
def test_a_joint_that_is_never_detected_is_refused(channels: int, joints: list[int]) -> None:
    lost = dance(channels)
    lost[:, joints] = 0
    with pytest.raises(FeatureValueInvalid, match=f"{MPII_16.joints[joints[0]]}.* in every step, 100.0% of the clip"):
        read(lost)


@pytest.mark.tried(
    kind="missing values in disguise", given="an undetected joint in a clip of one frame", outcome="refused"
)
@pytest.mark.parametrize("steps", [1, 2])
def test_a_clip_of_one_step_has_nothing_to_interpolate_from(steps: int) -> None:
    lost = dance()[:steps]
    lost[:, 10] = 0
    with pytest.raises(FeatureValueInvalid, match="right wrist in every step"):
        read(lost)


@pytest.mark.tried(kind="missing values in disguise", given="(0, 0, 0) from a depth camera", outcome="interpolated")
def test_untracked_joints_of_a_depth_camera_are_interpolated() -> None:
    frames = np.random.default_rng(0).normal((0.2, 0.0, 2.5), 0.1, (STEPS, 25, 3)).astype(np.float32)
    frames[20:26, [7, 11]] = 0
    found = read(frames, "kinect-25")
    assert found.filled_joints == pytest.approx(12 / 2500)
    assert np.abs(found.frames[S][20:26, [7, 11], 2] - 2.5).max() < 1
    np.testing.assert_array_equal(np.delete(found.frames[S], [7, 11], axis=1), np.delete(frames, [7, 11], axis=1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_root_of_a_root_centred_pose_stays_where_it_is(layout: str) -> None:
    frames = dance(LAYOUTS[layout].coordinates, layout=layout)
    frames -= frames[:, 6:7]
    np.testing.assert_array_equal(read(frames, layout).frames[S], frames)


@pytest.mark.tried(
    kind="missing values in disguise",
    given="(0, 0) as the corner of a pose in coordinates of its box",
    outcome="a position, read as it is",
)
def test_the_corner_of_a_pose_in_its_own_box_stays_where_it_is() -> None:
    frames = np.random.default_rng(1).random((STEPS, 16, 2)).astype(np.float32)
    frames[:, 9] *= 0.1
    frames[30:80, 9] = 0
    assert read(frames).filled_joints == 0


@pytest.mark.tried(
    kind="missing values in disguise", given="(0, 0) with a confidence", outcome="a position, read as it is"
)
def test_a_confidence_makes_the_picture_corner_a_position() -> None:
    frames = dance()
    frames[40:80, WRISTS, :2] = 0
    np.testing.assert_array_equal(read(frames).frames[S], frames)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(LAYOUTS)), st.booleans(), st.sampled_from([np.float16, np.float32]), st.integers(0, 999))
def test_a_complete_pose_is_read_bit_for_bit(layout: str, widest: bool, dtype: type[np.floating], seed: int) -> None:
    channels = LAYOUTS[layout].channel_counts[-1 if widest else 0]
    features = random_features(
        2.0, modalities=[S], seed=seed, joint_layout=layout, joint_channels=channels, dtype=dtype
    )
    found = read(features.frames[S], layout)
    assert found.frames[S].tobytes() == features.frames[S].tobytes()
    assert found.filled_joints == 0


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.3))
def test_detected_values_are_never_changed_and_a_filled_pose_is_complete(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    frames = dance()
    missing = rng.random((STEPS, 16)) < share
    frames[missing] = 0
    try:
        filled = fill_missing(frames, missing_joints(frames, MPII_16), MPII_16.joints, 25.0)
    except FeatureValueInvalid:
        return
    np.testing.assert_array_equal(filled[~missing], frames[~missing])
    assert not missing_joints(filled, MPII_16).any()
    assert filled[..., 2] == pytest.approx(0.9)
