"""The small bundle that ships: its size, and that it learned what was planted, on dancers it has never seen."""

import numpy as np
import pytest

from dancerank.fitting.training import SHORT, TRAINING_SEED
from dancerank.settings import shipped_bundle
from dancerank.synthetic import SyntheticClip, synthesize
from ranking.monitoring.correlation import spearman
from schemas.bundle import read_bundle
from schemas.events import (
    ClipScored,
    ClipUploaded,
    InlineFeatures,
    embedding_array,
    outside_training,
    training_distance,
)
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.training_distribution import training_distribution
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer

CLIPS = 2400

Scored = list[tuple[SyntheticClip, ClipScored]]


@pytest.fixture(scope="module")
def scored() -> Scored:
    clips = list(synthesize(240, seed=101))
    scorer = Scorer(OnnxRuntime(read_bundle(shipped_bundle())))
    results: Scored = []
    for clip in clips:
        upload = ClipUploaded(
            clip_id=clip.clip_id,
            dancer_id=clip.dancer.dancer_id,
            challenge_id=clip.challenge_id,
            uploaded_at_ms=0,
            duration_s=clip.duration_s,
            features=InlineFeatures(b"-"),
        )
        result = scorer.score([(upload, clip.features)])[0]
        assert isinstance(result, ClipScored)
        results.append((clip, result))
    return results


def test_it_is_small_enough_for_a_repository() -> None:
    assert sum(path.stat().st_size for path in shipped_bundle().iterdir()) <= 5_000_000


@pytest.mark.parametrize("modality", FUSED_MODALITIES)
def test_each_stream_ranks_a_challenge_by_the_quality_planted_in_its_modality(
    scored: Scored, modality: Modality
) -> None:
    agreements = []
    for challenge in {clip.challenge_id for clip, _ in scored}:
        members = [(c, r) for c, r in scored if c.challenge_id == challenge and modality in r.modalities]
        scores = [result.modalities[modality].score for _, result in members]
        agreements.append(spearman(scores, [clip.quality[modality] for clip, _ in members]))
    assert np.mean(agreements) > 0.6


def test_the_fused_score_ranks_by_virality_better_than_any_single_stream(scored: Scored) -> None:
    def mean_agreement(score: str) -> float:
        agreements = []
        for challenge in {clip.challenge_id for clip, _ in scored}:
            members = [(c, r) for c, r in scored if c.challenge_id == challenge and score in r.scores()]
            agreements.append(spearman([r.scores()[score] for _, r in members], [c.virality for c, _ in members]))  # type: ignore[index]
        return float(np.mean(agreements))

    fused = mean_agreement("fused")
    assert fused > 0.5
    assert fused > max(mean_agreement(modality) for modality in FUSED_MODALITIES)


@pytest.mark.parametrize(("modality", "planted"), [(Modality.SKELETAL, "style"), (Modality.SCENIC, "room")])
def test_nearest_neighbours_share_the_planted_style_more_often_than_chance(
    scored: Scored, modality: Modality, planted: str
) -> None:
    vectors = np.array([embedding_array(result.modalities[modality]) for _, result in scored], np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    label = np.array([getattr(clip.dancer, planted) for clip, _ in scored])
    dancer = np.array([clip.dancer.dancer_id for clip, _ in scored])
    similarity[dancer[:, None] == dancer[None, :]] = -np.inf
    nearest = np.argsort(-similarity, axis=1)[:, :5]
    precision = (label[nearest] == label[:, None]).mean()
    others = dancer[:, None] != dancer[None, :]
    chance = ((label[:, None] == label[None, :]) & others).sum() / others.sum()
    assert precision > 1.5 * chance


def test_it_states_the_distribution_of_the_clips_that_it_was_trained_on() -> None:
    manifest = read_bundle(shipped_bundle()).manifest
    assert manifest.training_data == f"synthetic clips={CLIPS} seed={TRAINING_SEED} epochs=5"
    learned = [clip.features.frames for clip in synthesize(CLIPS, seed=TRAINING_SEED, plan=SHORT)]
    again = training_distribution(learned, coordinates=2, modalities=manifest.fused_modalities)
    assert manifest.training_distribution.keys() == {*again, Modality.ROUTINE}
    for modality in again:
        stated = manifest.training_distribution[modality]
        assert (again[modality].clips, again[modality].kept_apart) == (stated.clips, stated.kept_apart)
        np.testing.assert_allclose(again[modality].mean, stated.mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(again[modality].limit, stated.limit, rtol=1e-3)


def test_hardly_any_clip_of_other_dancers_is_flagged(scored: Scored) -> None:
    flagged = [clip.clip_id for clip, result in scored if outside_training(training_distance(result))]
    assert len(flagged) <= 0.02 * len(scored)
