import numpy as np
import pytest
from scipy.stats import spearmanr

from dancerank.synthetic import CHALLENGES, IMPORTANCE, SyntheticClip, synthesize
from schemas.features import decode_features, encode_features
from schemas.modalities import FRAME_RATE_HZ, MODALITIES, Modality


@pytest.fixture(scope="module")
def clips() -> list[SyntheticClip]:
    return list(synthesize(240, seed=3))


def test_equal_seeds_give_equal_clips_and_other_seeds_others(clips: list[SyntheticClip]) -> None:
    again = next(synthesize(240, seed=3))
    other = next(synthesize(240, seed=4))
    assert again.features.modalities == clips[0].features.modalities
    for modality, frames in again.features.frames.items():
        np.testing.assert_array_equal(frames, clips[0].features.frames[modality])
    skeletal = Modality.SKELETAL
    assert not np.array_equal(other.features.frames[skeletal][:100], again.features.frames[skeletal][:100])


def test_clips_pass_the_feature_checks_and_last_5_to_15_seconds(clips: list[SyntheticClip]) -> None:
    for clip in clips[:40]:
        assert 5 <= clip.duration_s <= 15
        decoded = decode_features(encode_features(clip.features))
        for modality, frames in decoded.frames.items():
            assert len(frames) == round(clip.duration_s * FRAME_RATE_HZ[modality])


def test_challenges_are_of_even_size_and_some_clips_lack_only_the_face(clips: list[SyntheticClip]) -> None:
    counts = np.unique([clip.challenge_id for clip in clips], return_counts=True)[1]
    assert counts.tolist() == [240 // CHALLENGES] * CHALLENGES
    lacking = [set(MODALITIES) - set(clip.features.modalities) for clip in clips]
    assert all(absent in (set(), {Modality.FACIAL}) for absent in lacking)
    assert 0.02 < np.mean([bool(absent) for absent in lacking]) < 0.25


@pytest.mark.parametrize("challenge", [0, 6])
def test_virality_follows_the_planted_importance_of_each_modality(clips: list[SyntheticClip], challenge: int) -> None:
    of_challenge = [clip for clip in clips if clip.challenge_id == f"challenge-{challenge + 1}"]
    quality = np.array([[clip.quality[m] for m in MODALITIES] for clip in of_challenge])
    fitted = np.linalg.lstsq(quality, np.array([clip.virality for clip in of_challenge]), rcond=None)[0]
    np.testing.assert_allclose(IMPORTANCE.sum(axis=1), 1)
    np.testing.assert_allclose(fitted, IMPORTANCE[challenge], atol=0.15)


def test_better_movers_shake_less_and_move_more_than_worse_ones(clips: list[SyntheticClip]) -> None:
    def tremor(clip: SyntheticClip) -> float:
        frames = clip.features.frames[Modality.SKELETAL].astype(np.float64)
        torso = np.linalg.norm(frames[:, 7] - frames[:, 6], axis=-1).mean()
        return float(np.abs(np.diff(frames, n=4, axis=0)).mean() / torso)

    quality = [clip.quality[Modality.SKELETAL] for clip in clips]
    assert spearmanr([tremor(clip) for clip in clips], quality).statistic < -0.6


@pytest.mark.parametrize("modality", [m for m in MODALITIES if m is not Modality.SKELETAL])
def test_appearance_features_carry_the_planted_quality(clips: list[SyntheticClip], modality: Modality) -> None:
    having = [clip for clip in clips if modality in clip.features.frames]
    pooled = np.array([clip.features.frames[modality].astype(np.float32).mean(axis=0) for clip in having])
    quality = np.array([clip.quality[modality] for clip in having])
    half = len(having) // 2
    gram = pooled[:half] @ pooled[:half].T + 10 * np.eye(half)
    predicted = pooled[half:] @ pooled[:half].T @ np.linalg.solve(gram, quality[:half] - quality[:half].mean())
    assert spearmanr(predicted, quality[half:]).statistic > 0.5
