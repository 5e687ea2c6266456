"""How gradients are smoothed, compared with loops. Legend: T time steps, V joints, D coordinates."""

import numpy as np
import pytest

from schemas.errors import ConfigurationError
from schemas.joints import DANCE_23, LAYOUTS, MPII_16
from streamer.guidance.smoothing import (
    NOISE,
    SAMPLES,
    SMOOTHINGS,
    along_bones,
    smoothed,
    smoothgrad,
)

STEPS = 7


def _clip(layout=MPII_16, seed=3):
    rng = np.random.default_rng(seed)
    shape = (STEPS, layout.joint_count, layout.coordinates)
    return rng.normal(scale=80, size=shape) + 300, rng.normal(size=shape)


def _nearest_that_keeps_lengths(gradient, positions, bones, missing=None):
    """Frame by frame: a basis of the displacements that keep all lengths, from the singular vectors, and least squares
    in it."""
    found = np.zeros_like(gradient)
    for step, (frame, wanted) in enumerate(zip(positions, gradient, strict=True)):
        rows = []
        for a, b in bones:
            if missing is None or not (missing[step, a] or missing[step, b]):
                row = np.zeros_like(frame)
                row[a], row[b] = frame[a] - frame[b], frame[b] - frame[a]
                rows.append(row.ravel())
        _, sizes, directions = np.linalg.svd(np.array(rows))
        basis = directions[(sizes > 1e-9 * sizes[0]).sum() :].T
        found[step] = (basis @ np.linalg.lstsq(basis, wanted.ravel(), rcond=None)[0]).reshape(frame.shape)
    return found


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_along_bones_is_the_nearest_displacement_that_keeps_all_lengths(layout):
    positions, gradient = _clip(layout)
    expected = _nearest_that_keeps_lengths(gradient, positions, layout.edges)
    np.testing.assert_allclose(along_bones(gradient, positions, layout.edges), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("layout", [MPII_16, DANCE_23], ids=lambda layout: layout.name)
def test_a_small_step_along_bones_stretches_them_a_hundredth_as_much_as_the_raw_one(layout):
    positions, gradient = _clip(layout)

    def stretched(direction):
        a, b = np.array(layout.edges).T
        before, after = (np.linalg.norm(p[:, a] - p[:, b], axis=2) for p in (positions, positions + 0.01 * direction))
        return np.abs(after - before).max()

    assert stretched(along_bones(gradient, positions, layout.edges)) < 0.01 * stretched(gradient)


def test_what_moves_the_body_as_a_whole_passes_along_bones_unchanged():
    positions, _ = _clip()
    rotation = (positions - positions.mean(axis=1, keepdims=True))[..., ::-1] * [-1, 1]
    shift = np.broadcast_to([3.0, -2.0], positions.shape)
    for rigid in (rotation, shift):
        np.testing.assert_allclose(along_bones(rigid, positions, MPII_16.edges), rigid, rtol=0, atol=1e-9)


def test_a_bone_without_length_constrains_nothing():
    positions, gradient = _clip()
    positions[:, 9] = positions[:, 8]
    bones = [bone for bone in MPII_16.edges if set(bone) != {8, 9}]
    found = along_bones(gradient, positions, MPII_16.edges)
    np.testing.assert_allclose(found, along_bones(gradient, positions, bones), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_missing_joints_get_nothing_and_hold_no_other_joint(name):
    positions, gradient = _clip()
    missing = np.zeros(positions.shape[:2], bool)
    missing[2, 11], missing[4, 7] = True, True
    found = smoothed(
        name, lambda clips: np.stack([gradient] * len(clips)), positions, MPII_16.edges, body=80.0, missing=missing
    )
    assert not found[missing].any()
    expected = np.where(missing[..., None], 0, gradient)
    if name.endswith("bones"):
        expected = _nearest_that_keeps_lengths(expected, positions, MPII_16.edges, missing)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_smoothgrad_is_the_mean_gradient_over_noise_of_the_asked_size():
    positions, _ = _clip()
    seen = []

    def cubic(clips):
        seen.extend(clips)
        return clips**2

    found = smoothgrad(cubic, positions, body=80.0)
    total = np.zeros_like(positions)
    for clip in seen:
        for at in np.ndindex(positions.shape):
            total[at] += clip[at] ** 2 / len(seen)
    np.testing.assert_allclose(found, total, rtol=1e-12)
    assert len(seen) == SAMPLES
    noise = np.stack(seen) - positions
    assert noise.std() == pytest.approx(NOISE * 80.0, rel=0.1)
    assert abs(noise.mean()) < 0.1 * NOISE * 80.0


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_the_same_clip_gets_the_same_answer_twice(name):
    positions, _ = _clip()
    first, second = (smoothed(name, lambda clips: np.sin(clips), positions, MPII_16.edges, body=80.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_raw_is_the_gradient_itself_in_the_precision_of_the_clip():
    positions = _clip()[0].astype(np.float32)
    found = smoothed("raw", np.sin, positions, MPII_16.edges, body=80.0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.sin(positions))


def test_an_unknown_smoothing_is_refused_with_those_that_there_are():
    positions, _ = _clip()
    with pytest.raises(ConfigurationError, match="smoothing 'median' is not known; choose from raw, smoothgrad, bones"):
        smoothed("median", np.sin, positions, MPII_16.edges, body=80.0)
