"""Pose+DCT+SVR: the spectrum against its definition, what it must not see, and bad input."""

import math

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from networks.baselines.pose_dct import HEAD, PoseDCT, spectrum
from networks.correlation import spearman
from networks.datasets import Sample
from networks.errors import UnusableSamples
from schemas.errors import ConfigurationError
from schemas.joints import LAYOUTS
from schemas.modalities import Modality

MPII = LAYOUTS["mpii-16"]
HEAD_TOP = HEAD["mpii-16"]


def poses(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, 16, 2))


def waving(count: int, seed: int = 0) -> list[Sample]:
    """Clips whose right wrist swings the wider, the higher the score."""
    generator = np.random.default_rng(seed)
    samples: list[Sample] = []
    for score in generator.uniform(size=count):
        steps = int(generator.integers(50, 90))
        frames = np.tile(np.arange(32.0).reshape(1, 16, 2), (steps, 1, 1)) + generator.normal(size=(steps, 16, 2)) * 0.1
        frames[:, 10, 0] += 5 * score * np.cos(2 * np.pi * 2 * np.linspace(0, 1, steps))
        samples.append(({Modality.SKELETAL: frames.astype(np.float32)}, float(score)))
    return samples


def test_the_spectrum_is_the_magnitude_of_the_cosine_transform_of_positions_relative_to_the_head() -> None:
    steps, frames = 12, poses(12)
    relative = frames - frames[:, 9:10]
    relative = relative / np.mean(np.abs(relative))
    expected = np.zeros((steps, 32))
    for f in range(steps):
        scale = math.sqrt((1 if f == 0 else 2) / steps)
        for column in range(32):
            terms = (
                relative[t].ravel()[column] * math.cos(math.pi * f * (2 * t + 1) / (2 * steps)) for t in range(steps)
            )
            expected[f, column] = abs(scale * sum(terms))
    np.testing.assert_allclose(spectrum(frames, HEAD_TOP, steps), expected, atol=1e-12)


def test_clips_are_resampled_by_linear_interpolation() -> None:
    frames = poses(40)
    at, found = np.linspace(0, 39, 75), np.empty((75, 16, 2))
    for joint in range(16):
        for axis in range(2):
            found[:, joint, axis] = np.interp(at, np.arange(40), frames[:, joint, axis])
    scale = np.abs(found - found[:, 9:10]).mean() / np.abs(frames - frames[:, 9:10]).mean()
    np.testing.assert_allclose(spectrum(frames, HEAD_TOP), spectrum(found, HEAD_TOP) * scale, atol=1e-9)


def test_the_spectrum_sees_neither_place_nor_size_nor_rate() -> None:
    frames = poses(20)
    plain = spectrum(frames, HEAD_TOP)
    np.testing.assert_allclose(spectrum(frames * 250 + np.array([500, 900]), HEAD_TOP), plain, atol=1e-9)
    still = np.repeat(frames[:1], 30, axis=0)
    np.testing.assert_allclose(spectrum(still, HEAD_TOP), spectrum(still[:7], HEAD_TOP), atol=1e-9)


def test_a_clip_of_one_step_or_of_one_point_has_a_finite_spectrum() -> None:
    assert np.isfinite(spectrum(poses(1), HEAD_TOP)).all()
    assert not spectrum(np.ones((5, 16, 2)), HEAD_TOP).any()


def test_movement_is_learned_and_the_targets_of_what_is_predicted_are_not_read() -> None:
    regressor, test = PoseDCT(MPII, coefficients=(10,)), waving(30, seed=1)
    regressor.fit(waving(60))
    predicted = regressor.predict(test)
    assert spearman(predicted, [target for _, target in test]) > 0.9
    np.testing.assert_array_equal(predicted, regressor.predict([(features, math.nan) for features, _ in test]))


def test_a_confidence_is_not_read() -> None:
    with_confidence = [
        (
            {
                Modality.SKELETAL: np.concatenate(
                    (clip[Modality.SKELETAL], np.full((len(clip[Modality.SKELETAL]), 16, 1), t)), 2
                )
            },
            t,
        )
        for clip, t in waving(20)
    ]
    plain, other = PoseDCT(MPII, coefficients=(5,), costs=(1e-3,)), PoseDCT(MPII, coefficients=(5,), costs=(1e-3,))
    plain.fit(waving(20))
    other.fit(with_confidence)
    np.testing.assert_allclose(other.predict(with_confidence), plain.predict(waving(20)), rtol=1e-6)


def test_every_layout_names_its_head() -> None:
    assert set(HEAD) == set(LAYOUTS)
    for name, joints in HEAD.items():
        assert all(LAYOUTS[name].joints[joint].startswith(("head", "nose")) for joint in joints)


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        ({}, "clip 1 has no skeletal features"),
        ({Modality.SKELETAL: np.zeros((4, 17, 2), np.float32)}, r"clip 1 have shape \(4, 17, 2\).*16, any"),
        (
            {Modality.SKELETAL: np.zeros((4, 16, 5), np.float32)},
            r"clip 1 have 5 channels per joint; mpii-16 has 2 or 3",
        ),
        ({Modality.SKELETAL: np.zeros((0, 16, 2), np.float32)}, r"T ≥ 1"),
    ],
)
def test_a_clip_that_does_not_fit_is_named(features: dict[Modality, np.ndarray], complaint: str) -> None:
    with pytest.raises(UnusableSamples, match=complaint):
        PoseDCT(MPII).fit([waving(1)[0], (features, 0.5)])


def test_settings_that_cannot_work_are_refused() -> None:
    for settings, complaint in (
        ({"coefficients": (76,)}, "from 1 to 75"),
        ({"coefficients": ()}, "from 1 to 75"),
        ({"costs": (0.0,)}, "above zero"),
    ):
        with pytest.raises(ConfigurationError, match=complaint):
            PoseDCT(MPII, **settings)  # type: ignore[arg-type]
    with pytest.raises(NotFittedError, match="call fit first"):
        PoseDCT(MPII).predict(waving(1))
    with pytest.raises(UnusableSamples, match="3 clips cannot be split in 5 folds"):
        PoseDCT(MPII).fit(waving(3))
