"""Held-out predictions: what they hold, and that a file gives them back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from networks.errors import UnusableSamples
from networks.evaluation import predict
from networks.predictions import concatenated, held_out_predictions, intervals, read_predictions, write_predictions
from networks.virality_model import ViralityModel
from tests.networks.planted import CONFIG, SCENIC, planted, scenes


def two_folds() -> tuple[ViralityModel, list[str]]:
    torch.manual_seed(0)
    return ViralityModel(CONFIG), [f"clip-{number}" for number in range(20)]


def test_they_are_the_models_and_come_back_from_a_file(tmp_path: Path) -> None:
    model, ids = two_folds()
    samples = planted(20, seed=2)
    parts = [
        held_out_predictions(model, samples[rows], ids[rows], name)
        for rows, name in ((slice(0, 8), "fold 0"), (slice(8, 20), "fold 1"))
    ]
    whole = concatenated(parts)
    output = predict(model, samples)
    np.testing.assert_allclose(whole.fused, output.fused.numpy(), atol=1e-5)
    scenic = whole.scores[:, 1]
    assert np.isnan(scenic).sum() == 4  # every fifth clip has no scene
    np.testing.assert_allclose(scenic[~np.isnan(scenic)], output.scores[~np.isnan(scenic), 1].numpy(), atol=1e-5)
    np.testing.assert_allclose(np.nansum(whole.attention, axis=1), 1, atol=1e-6)
    write_predictions(whole, tmp_path / "predictions.csv")
    back = read_predictions(tmp_path / "predictions.csv")
    assert back.clip_ids == tuple(ids)
    assert back.folds == ("fold 0",) * 8 + ("fold 1",) * 12
    assert back.modalities == CONFIG.modalities
    for name in ("truth", "fused", "scores", "attention"):
        np.testing.assert_array_equal(getattr(back, name), getattr(whole, name))


def test_correlations_are_pooled_or_the_mean_of_folds_over_the_clips_that_have_a_modality() -> None:
    model, ids = two_folds()
    samples = planted(20, seed=2)
    parts = [held_out_predictions(model, samples[:10], ids[:10], "a")]
    parts.append(held_out_predictions(model, samples[10:], ids[10:], "b"))
    whole = concatenated(parts)
    pooled, mean = intervals(whole, resamples=50), intervals(whole, statistic="fold-mean", resamples=50)
    assert set(pooled) == {"fused", "skeletal", "scenic"}
    has = ~np.isnan(whole.scores[:, 1])
    assert pooled["scenic"].estimate == pytest.approx(spearmanr(whole.scores[has, 1], whole.truth[has]).statistic)
    expected = np.mean([spearmanr(part.fused, part.truth).statistic for part in parts])
    assert mean["fused"].estimate == pytest.approx(expected)
    assert all(found.low <= found.estimate <= found.high for found in pooled.values())


def test_other_files_and_other_modalities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    for content in ("", "clip_id,score\nx,1\n", "clip_id,fold,truth,fused,odour,attention_odour\n"):
        path.write_text(content)
        with pytest.raises(UnusableSamples, match=r"other\.csv"):
            read_predictions(path)
    model, ids = two_folds()
    skeletal = held_out_predictions(model, planted(2, seed=0), ids[:2], "a")
    scenic = held_out_predictions(ViralityModel(SCENIC), scenes(2, 0), ids[:2], "b")
    with pytest.raises(UnusableSamples, match="modalities"):
        concatenated([skeletal, scenic])
