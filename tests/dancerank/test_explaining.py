"""Occlusion, parts and attention of a clip, with a model whose numbers are closed forms."""

import msgspec
import numpy as np
import pytest

from dancerank.settings import shipped_bundle
from dancerank.videos.explaining import MOST_MOMENTS, explain, fitted, moments, part, without
from schemas.bundle import read_bundle
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from schemas.ports import FusionResult, StreamResult

SECONDS = 10.0
MANIFEST = msgspec.structs.replace(read_bundle(shipped_bundle()).manifest, training_distribution={})


class Means:
    """The score of a stream is the mean of its first channel over the clip's steps; attention follows the scores."""

    manifest = MANIFEST

    def __init__(self):
        self.most = 0

    def run_stream(self, modality, frames, lengths):
        self.most = max(self.most, len(frames))
        scores = [frames[row, :length].reshape(length, -1)[:, 0].mean() for row, length in enumerate(lengths)]
        width = MANIFEST.stream(modality).embedding_dim
        return StreamResult(np.zeros((len(frames), width), np.float32), np.array(scores, np.float32))

    def run_fusion(self, embeddings, scores, present):
        weights = np.where(present, np.exp(scores), 0)
        attention = weights / weights.sum(axis=1, keepdims=True)
        return FusionResult(attention.astype(np.float32), (attention * scores).sum(axis=1).astype(np.float32))


def clip(**first_channels):
    frames = {}
    for name, values in first_channels.items():
        modality = Modality(name)
        array = np.zeros((len(values), modality.channels), np.float32)
        array[:, 0] = values
        frames[modality] = array
    return ClipFeatures(frames)


def bump(rate_hz, centre_s):
    times = np.arange(round(SECONDS * rate_hz)) / rate_hz
    return np.exp(-(((times - centre_s) / 0.4) ** 2))


def test_the_moment_that_a_score_comes_from_is_the_most_important():
    explanation = explain(Means(), clip(holistic=bump(25, 7.25)), SECONDS)
    assert explanation.times_s[np.argmax(explanation.importance)] == pytest.approx(7.25)
    elsewhere = np.abs(explanation.times_s - 7.25) > 2
    assert np.abs(explanation.importance[elsewhere]).max() < 1e-3 * explanation.importance.max()
    np.testing.assert_allclose(explanation.importance, explanation.stream_importance[Modality.HOLISTIC], atol=1e-6)


def test_a_moment_that_lowers_the_score_has_a_negative_importance():
    explanation = explain(Means(), clip(holistic=-bump(25, 3.25)), SECONDS)
    assert explanation.times_s[np.argmin(explanation.importance)] == pytest.approx(3.25)
    assert explanation.importance.min() < 0


def test_what_does_not_change_adds_nothing():
    explanation = explain(Means(), clip(holistic=np.full(250, 0.7), scenic=np.full(40, 0.2)), SECONDS)
    np.testing.assert_allclose(explanation.importance, 0, atol=1e-6)
    np.testing.assert_allclose(explanation.part_scores, explanation.fused, atol=1e-6)


def test_scores_and_attention_of_parts_are_those_of_the_parts_alone():
    rising = np.linspace(0, 1, 250)
    features = clip(holistic=rising, scenic=np.full(40, 0.5))
    explanation = explain(Means(), features, SECONDS)
    assert list(explanation.attention) == [Modality.HOLISTIC, Modality.SCENIC]
    assert sum(explanation.attention.values()) == pytest.approx(1)
    for number, second in enumerate(explanation.times_s):
        mean = part(rising, second, SECONDS).mean()
        weights = np.exp([mean, 0.5])
        expected = weights / weights.sum()
        np.testing.assert_allclose(explanation.part_attention[number], expected, atol=1e-5)
        assert explanation.part_scores[number] == pytest.approx(expected @ [mean, 0.5], abs=1e-5)


def test_an_occluded_second_is_a_straight_line_and_the_rest_stays():
    values = np.random.default_rng(0).normal(size=(250, 3)).astype(np.float32)
    changed = without(values, 4.0, SECONDS)
    np.testing.assert_array_equal(changed[:87], values[:87])
    np.testing.assert_array_equal(changed[113:], values[113:])
    np.testing.assert_allclose(np.diff(changed[86:114], 2, axis=0), 0, atol=1e-5)
    assert changed.dtype == values.dtype


def test_a_stream_with_few_steps_loses_the_nearest_one_and_a_single_one_becomes_zero():
    three = np.array([[1.0], [5.0], [2.0]], np.float32)
    np.testing.assert_allclose(without(three, 5.0, SECONDS), [[1.0], [1.5], [2.0]])
    np.testing.assert_allclose(without(three[:1], 5.0, SECONDS), [[0.0]])


def test_parts_stay_within_the_clip():
    steps = np.arange(250)
    for second in (0.0, 5.0, 10.0):
        assert len(part(steps, second, SECONDS)) in (75, 76)
    assert len(part(steps[:50], 1.0, 2.0)) == 50


def test_memory_is_bounded_for_long_clips():
    model = Means()
    explain(model, clip(scenic=np.zeros(240)), 60.0)
    assert len(moments(60.0)) == MOST_MOMENTS
    assert model.most <= 8


def test_a_modality_of_another_width_is_left_out_with_the_reason():
    features = ClipFeatures(
        {
            Modality.HOLISTIC: np.zeros((250, 1280), np.float32),
            Modality.SCENIC: np.zeros((40, 512), np.float32),
        }
    )
    frames, left_out = fitted(MANIFEST, features)
    assert list(frames) == [Modality.SCENIC]
    assert left_out == ("holistic: the clip has 1280 channels, the model reads 2048",)
    assert explain(Means(), ClipFeatures({Modality.HOLISTIC: np.zeros((250, 1280), np.float32)}), SECONDS) is None


def test_a_pose_is_given_without_its_confidence_if_the_model_reads_none():
    poses = np.random.default_rng(1).normal(size=(50, 16, 3)).astype(np.float32)
    frames, _ = fitted(MANIFEST, ClipFeatures({Modality.SKELETAL: poses}, "mpii-16"))
    np.testing.assert_array_equal(frames[Modality.SKELETAL], poses[..., :2])
