"""Joint layouts and their conversions."""

import numpy as np
import pytest

from schemas.errors import ConfigurationError, FeatureShapeInvalid
from schemas.joints import CONVERSIONS, LAYOUTS, JointLayout, convert, layout_named

MPII = LAYOUTS["mpii-16"]
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
every_conversion = pytest.mark.parametrize("name", CONVERSIONS)


def hops(layout: JointLayout) -> np.ndarray:
    """Bones between every two joints, by relaxing the edges until nothing changes."""
    count = layout.joint_count
    distance = np.where(np.eye(count, dtype=bool), 0.0, np.inf)
    for _ in range(count):
        for a, b in layout.edges:
            for i, j in ((a, b), (b, a)):
                distance[i] = np.minimum(distance[i], distance[j] + 1)
    return distance


@every_layout
def test_a_layout_is_one_connected_skeleton_without_repeated_bones(layout: JointLayout) -> None:
    bones = {frozenset(edge) for edge in layout.edges}
    assert len(bones) == len(layout.edges)
    assert all(len(bone) == 2 for bone in bones)
    assert np.isfinite(hops(layout)).all()
    assert len(set(layout.joints)) == layout.joint_count


@every_layout
def test_vertices_are_a_permutation_padded_to_a_multiple_of_four(layout: JointLayout) -> None:
    assert sorted(layout.vertex_order) == list(range(layout.joint_count))
    assert layout.vertex_count % 4 == 0
    assert 0 <= layout.padding < 4


@every_layout
def test_vertices_that_are_merged_are_anatomical_neighbours(layout: JointLayout) -> None:
    distance = hops(layout)
    order = layout.vertex_order
    for a, b in zip(order[::2], order[1::2], strict=False):
        assert distance[a, b] <= 2, (layout.joints[a], layout.joints[b])


@every_conversion
def test_conversion_weights_are_convex(name: str) -> None:
    weights = CONVERSIONS[name]
    assert weights.shape == (16, LAYOUTS[name].joint_count)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)


@every_conversion
def test_a_joint_that_both_layouts_name_is_taken_over(name: str) -> None:
    source = LAYOUTS[name]
    shared = set(source.joints) & set(MPII.joints)
    assert len(shared) >= 12
    for joint in shared:
        assert CONVERSIONS[name][MPII.joints.index(joint), source.joints.index(joint)] == 1


def test_conversion_averages_joint_by_joint() -> None:
    source = LAYOUTS["coco-17"]
    frames = np.random.default_rng(0).normal(size=(5, 17, 3)).astype(np.float32)
    converted = convert(frames, source, MPII)
    slow = np.zeros((5, 16, 3))
    for t in range(5):
        for target in range(16):
            for joint in range(17):
                slow[t, target] += CONVERSIONS["coco-17"][target, joint] * frames[t, joint]
    np.testing.assert_allclose(converted, slow, rtol=1e-5, atol=1e-6)
    assert converted.dtype == np.float32


def test_motion_capture_with_y_up_becomes_image_coordinates_with_y_down() -> None:
    source = LAYOUTS["dance-23"]
    frames = np.zeros((1, 23, 3), np.float16)
    frames[:, [0, 1], 1] = 60
    frames[:, [9, 18], 1] = -80
    frames[:, 9, 0] = -5
    picture = convert(frames, source, MPII)
    assert picture.shape == (1, 16, 2)
    assert picture.dtype == np.float16
    head, ankle = picture[0, MPII.joints.index("head top")], picture[0, MPII.joints.index("right ankle")]
    assert head[1] == -60
    assert tuple(ankle) == (-5, 80)


def test_a_kinect_dancer_facing_the_sensor_has_the_right_hand_on_the_left_of_the_picture() -> None:
    source = LAYOUTS["kinect-25"]
    frames = np.zeros((1, 25, 3), np.float32)
    frames[:, source.joints.index("right wrist"), 0] = 0.4
    assert convert(frames, source, MPII)[0, MPII.joints.index("right wrist"), 0] < 0


@every_layout
def test_equal_layouts_need_no_conversion(layout: JointLayout) -> None:
    frames = np.ones((2, layout.joint_count, layout.coordinates), np.float32)
    assert convert(frames, layout, layout) is frames


def test_a_conversion_that_does_not_exist_says_what_to_upload() -> None:
    frames = np.zeros((2, 16, 2), np.float32)
    with pytest.raises(FeatureShapeInvalid, match="upload dance-23") as caught:
        convert(frames, MPII, LAYOUTS["dance-23"])
    assert caught.value.field == "skeletal"


@pytest.mark.parametrize("shape", [(2, 15, 2), (2, 16, 4), (16,)])
def test_frames_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FeatureShapeInvalid, match="are not poses of mpii-16"):
        convert(np.zeros(shape, np.float32), MPII, MPII)


def test_an_unknown_layout_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="mpii-16, coco-17"):
        layout_named("smpl-24")
