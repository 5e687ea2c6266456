"""The discriminant of movement against loops and densities, and what it makes of padding."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from networks.errors import UnusableSamples
from networks.styles import movement
from networks.styles.calibration import calibration_error, fit_temperature, threshold_accepting
from networks.styles.classifier import evaluate_classifier, train_classifier
from networks.styles.clips import StyleClip
from networks.styles.judging import judge
from networks.styles.movement import MovementDiscriminant, fit_discriminant
from schemas.joints import DANCE_23, MPII_16, JointLayout
from tests.styles import STYLES, dance, dances


def descriptors(frames: np.ndarray, layout: JointLayout) -> np.ndarray:
    """Likewise, step by step and joint by joint."""
    position = frames[..., : layout.coordinates].astype(np.float64)
    for step in range(len(position)):
        position[step] -= np.mean([position[step, joint] for joint in layout.centre], axis=0)
        if layout.coordinates == 3:
            across = position[step, layout.joints.index("left hip")] - position[step, layout.joints.index("right hip")]
            angle = np.arctan2(across[2], across[0])
            for joint in range(layout.joint_count):
                x, y, z = position[step, joint]
                position[step, joint] = (
                    x * np.cos(angle) + z * np.sin(angle), y, z * np.cos(angle) - x * np.sin(angle)
                )  # fmt: skip
    position /= np.mean(np.abs(position))
    spread, speed, unsteady = [], [], []
    for joint in range(layout.joint_count):
        for axis in range(layout.coordinates):
            track = position[:, joint, axis]
            moved = [track[step + 1] - track[step] for step in range(len(track) - 1)]
            spread.append(np.log(np.std(track) + 1e-3))
            speed.append(np.log(np.mean(np.abs(moved)) + 1e-4))
            unsteady.append(np.log(np.std(moved) + 1e-4))
    return np.array([*spread, *speed, *unsteady])


@pytest.mark.parametrize("layout", [MPII_16, DANCE_23], ids=lambda layout: layout.name)
def test_descriptors_are_what_loops_compute(layout: JointLayout) -> None:
    clips = [dance("legs", seed, steps=steps, layout=layout) for seed, steps in enumerate((40, 7, 23))]
    frames = np.full((3, 40, *clips[0].shape[1:]), np.nan, np.float32)
    for row, clip in enumerate(clips):
        frames[row, : len(clip)] = clip
    network = MovementDiscriminant(layout, 3)
    found = network.movement(torch.from_numpy(frames), torch.tensor([40, 7, 23])).numpy()
    np.testing.assert_allclose(found, [descriptors(clip, layout) for clip in clips], rtol=1e-9, atol=1e-9)


def test_a_clip_is_judged_alike_alone_and_in_a_batch_padded_with_anything() -> None:
    network, clips = fit_discriminant(dances(), MPII_16), dances(first=5000)[:4]
    together = judge(network, clips)
    for row, clip in enumerate(clips):
        padded = torch.full((1, 80, 16, 2), torch.nan)
        padded[0, : len(clip.frames)] = torch.from_numpy(clip.frames)
        logits, familiarity = network.judged(padded, torch.tensor([len(clip.frames)]))
        np.testing.assert_allclose(logits[0], together[0][row], rtol=1e-6)
        np.testing.assert_allclose(familiarity[0], together[1][row], rtol=1e-6)


def test_logits_are_log_densities_of_normal_distributions_with_one_covariance() -> None:
    clips, others = dances(), dances(first=5000)[::4]
    values = np.stack([descriptors(clip.frames, MPII_16) for clip in clips])
    moving = values.std(0) > 1e-6
    mean, scale = values.mean(0), np.where(moving, values.std(0), np.inf)
    values = (values - mean) / scale
    truth = np.array([STYLES.index(clip.style) for clip in clips])
    means = [values[truth == style].mean(0) for style in range(3)]
    covariance = ledoit_wolf(values - np.stack(means)[truth])[0]
    logits, _ = judge(fit_discriminant(clips, MPII_16), others)
    for clip, found in zip(others, logits, strict=True):
        described = (descriptors(clip.frames, MPII_16) - mean) / scale
        expected = np.array([multivariate_normal.logpdf(described, each, covariance) for each in means])
        np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-4, atol=1e-3)


def test_styles_are_told_apart_and_a_dance_like_none_of_them_is_refused() -> None:
    trained = train_classifier(dances(), MPII_16)
    others = [StyleClip(f"still-{seed}", "s", "still", dance("still", seed)) for seed in range(9)]
    found = evaluate_classifier(trained, [*dances(first=5000), *others])
    assert (found.known, found.unknown) == (54, 9)
    assert found.accuracy > 0.95
    assert found.accepted > 0.8
    assert (found.falsely_accepted, found.auroc) == (0, 1)


def test_familiarity_is_the_distance_to_the_nearest_clips_of_the_fit() -> None:
    clips, others = dances(), dances(first=5000)[::4]
    network = fit_discriminant(clips, MPII_16)

    def whitened(clip: StyleClip) -> np.ndarray:
        described = descriptors(clip.frames, MPII_16) - network.mean.numpy()
        return described @ network.whitening.numpy() - network.centre.numpy()

    learned = [whitened(clip).astype(np.float16).astype(float) for clip in clips]
    _, familiarity = judge(network, others)
    for clip, found in zip(others, familiarity, strict=True):
        apart = [whitened(clip) - each for each in learned]
        within = sorted(np.linalg.norm(each @ network.basis.numpy()) for each in apart)
        whole = sorted(np.square(each).mean() for each in apart)
        assert found == pytest.approx(-within[4] - np.mean(whole[:5]), rel=1e-5)


def test_of_very_many_clips_some_are_kept_to_measure_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movement, "MOST_LEARNED", 7)
    clips = dances(recordings=2)
    first, again, other = (fit_discriminant(clips, MPII_16, seed=seed).learned for seed in (1, 1, 2))
    assert first.shape == (7, 96)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_temperature_softens_what_is_too_sure_and_leaves_the_most_probable_style() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (4000, 3))
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([rng.choice(3, p=row) for row in odds])
    assert fit_temperature(logits, truth) == pytest.approx(1, abs=0.1)
    assert fit_temperature(7 * logits, truth) == pytest.approx(7, abs=0.7)
    sure = np.exp(7 * logits) / np.exp(7 * logits).sum(1, keepdims=True)
    correct = logits.argmax(1) == truth
    assert calibration_error(odds.max(1), correct) < 0.03 < 0.2 < calibration_error(sure.max(1), correct)


def test_clips_that_are_all_told_apart_do_not_make_the_probabilities_certain() -> None:
    logits = np.array([[9.0, 0.0], [0.0, 9.0]] * 20)
    temperature = fit_temperature(logits, np.array([0, 1] * 20))
    assert 1 / (1 + np.exp(-9 / temperature)) == pytest.approx(41 / 42, abs=1e-3)


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    probability = np.array([0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, False, True, False])
    assert calibration_error(probability, correct, bins=10) == pytest.approx((2 * 0.45 + 2 * 0.05) / 4)


def test_the_threshold_is_reached_by_the_share_of_clips_that_is_to_be_named() -> None:
    familiarity = np.arange(100.0)
    assert (familiarity >= threshold_accepting(familiarity, 0.95)).mean() == pytest.approx(0.95, abs=0.011)


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        (dances(("hands",)), "all 18 clips are of the style 'hands'"),
        (dances(recordings=1), "one recording of the style 'hands' only"),
        ([clip._replace(style="unknown" if clip.style == "hands" else clip.style) for clip in dances()], "'unknown'"),
    ],
    ids=["one style", "one recording", "the reserved name"],
)
def test_clips_that_cannot_be_learned_from_are_named(clips: list[StyleClip], said: str) -> None:
    with pytest.raises(UnusableSamples, match=said):
        train_classifier(clips, MPII_16)
