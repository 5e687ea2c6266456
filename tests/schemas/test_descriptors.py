"""The descriptors are those of their slow definitions, and no channel and hardly a step is left out of a sample."""

import numpy as np
import pytest

from dancerank.synthetic import Plan, synthesize
from schemas import descriptors
from schemas.descriptors import POSE_DESCRIPTORS, VECTOR_DESCRIPTORS, describe_pose, describe_vectors
from schemas.joints import LAYOUTS
from schemas.modalities import Modality
from tests.clips import random_features
from tests.schemas.descriptor_reference import pose_descriptors, vector_descriptors

S, H, B = Modality.SKELETAL, Modality.HOLISTIC, Modality.SCENIC


def features(seconds: float, modality: Modality) -> np.ndarray:
    (made,) = synthesize(1, seed=4, plan=Plan(shortest_s=seconds, longest_s=seconds, missing_face_share=0.0))
    return made.features.frames[modality]


def typical(size: int) -> np.ndarray:
    step = np.random.default_rng(0).standard_normal(size)
    return step / np.linalg.norm(step)


def assert_described(found: np.ndarray, expected: dict[str, float], names: tuple[str, ...], rel: float) -> None:
    assert tuple(expected) == names
    assert dict(zip(names, found.tolist(), strict=True)) == pytest.approx(expected, rel=rel, abs=rel)


@pytest.mark.parametrize("seconds", [3.0, 4.0, 14.0, 59.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_poses_are_described_as_defined(seconds: float, dtype: type[np.floating]) -> None:
    pose = features(seconds, S).astype(dtype)
    expected = pose_descriptors(pose.astype(np.float64), typical(32))
    assert_described(describe_pose(pose, typical(32)), expected, POSE_DESCRIPTORS, 1e-9)


@pytest.mark.parametrize("layout", [name for name, layout in LAYOUTS.items() if layout.coordinates == 3])
def test_poses_in_space_are_described_as_defined(layout: str) -> None:
    pose = random_features(4.0, modalities=[S], joint_layout=layout, joint_channels=3).frames[S]
    step = typical(pose[0].size)
    assert_described(describe_pose(pose, step), pose_descriptors(pose.astype(np.float64), step), POSE_DESCRIPTORS, 1e-9)


@pytest.mark.parametrize(
    ("modality", "seconds"), [(B, 2.0), (B, 59.0), (H, 0.04), (H, 1.0), (H, 1.4), (H, 4.0), (H, 14.0)]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vectors_are_described_as_defined(modality: Modality, seconds: float, dtype: type[np.floating]) -> None:
    frames = features(14.0, modality) if seconds < 14 else features(seconds, modality)
    frames = frames[: max(1, round(seconds * modality.rate_hz))].astype(dtype)
    step = typical(frames.shape[1])
    expected = vector_descriptors(frames.astype(np.float64), step)
    assert_described(describe_vectors(frames, step), expected, VECTOR_DESCRIPTORS, 1e-4)


@pytest.mark.parametrize(
    ("steps", "channels"), [(1, 2048), (40, 2048), (255, 2048), (1500, 2048), (900, 100), (70, 1001)]
)
def test_a_sample_leaves_out_no_channel_and_of_the_steps_at_most_the_last(steps: int, channels: int) -> None:
    numbered = np.arange(steps * channels, dtype=np.float32).reshape(steps, channels)  # exact below 2^24
    now, following = descriptors.sample(numbered)
    looked_at = now.ravel().astype(int)
    assert len(set(looked_at.tolist())) == looked_at.size >= min(numbered.size, 2**15)
    assert set((looked_at % channels).tolist()) == set(range(channels))
    missed = sorted(set(range(steps)) - set((looked_at // channels).tolist()))
    assert missed == list(range(steps - len(missed), steps))
    assert len(missed) <= 16
    np.testing.assert_array_equal(following, now[: len(following)] + channels)
    assert now.size <= max(2**17, numbered.size / 16) or channels % 2
