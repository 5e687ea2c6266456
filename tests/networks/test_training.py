"""Training: it learns a planted signal, repeats itself, and trains the presence mask."""

import msgspec
import numpy as np
import pytest
import torch

from networks.datasets import Sample
from networks.evaluation import rank_correlations
from networks.framework import Framework, FrameworkConfig
from networks.training import TrainingSettings, fit, hide_modalities
from schemas.errors import ConfigurationError
from schemas.modalities import Modality

CONFIG = FrameworkConfig(
    modalities=(Modality.SKELETAL, Modality.SCENIC),
    graph_width=1 / 16,
    temporal_width=1 / 32,
    fusion_width=1 / 8,
    dropout=0.1,
)
SETTINGS = TrainingSettings(epochs=8, learning_rate=3e-3, modality_dropout=0.1, seed=3)
QUIET = {"accelerator": "cpu"}


def planted(count: int, seed: int) -> list[Sample]:
    """Virality is the energy of the pose's motion, plus a brightness of the scene."""
    stance = np.random.default_rng(0).normal(size=(16, 2))
    generator = np.random.default_rng(seed)
    samples: list[Sample] = []
    for clip in range(count):
        virality = generator.random()
        steps = int(generator.integers(8, 20))
        pose = stance + virality * generator.normal(size=(steps, 16, 2))
        scene = generator.normal(0.3 + virality, 0.3, (steps // 4, 512)).clip(min=0)
        features = {Modality.SKELETAL: pose.astype(np.float32), Modality.SCENIC: scene.astype(np.float16)}
        if clip % 5 == 0:
            del features[Modality.SCENIC]
        samples.append((features, virality))
    return samples


def test_training_learns_a_planted_signal_in_every_stream() -> None:
    held_out = planted(40, seed=1)
    result = fit(CONFIG, planted(96, seed=0), held_out, SETTINGS, progress=False, trainer_options=QUIET)
    torch.manual_seed(3)
    untrained = rank_correlations(Framework(CONFIG), held_out)
    assert set(result.metrics) == {"spearman_fused", "spearman_skeletal", "spearman_scenic"}
    assert all(value > 0.5 for value in result.metrics.values()), result.metrics
    assert result.metrics["spearman_fused"] > untrained["spearman_fused"] + 0.2
    assert not result.framework.training


def test_the_same_seed_trains_the_same_framework_and_leaves_the_global_one_alone() -> None:
    settings = msgspec.structs.replace(SETTINGS, epochs=1)
    samples = planted(16, seed=0)
    torch.manual_seed(9)
    expected = torch.rand(1)
    results = []
    for _ in range(2):
        torch.manual_seed(9)
        results.append(fit(CONFIG, samples, samples, settings, progress=False, trainer_options=QUIET))
        assert torch.equal(torch.rand(1), expected)
    first, second = (result.framework.state_dict() for result in results)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_hidden_modalities_are_present_ones_and_never_all() -> None:
    torch.manual_seed(0)
    present = torch.rand(500, 4) < 0.6
    present[:, 0] |= ~present.any(dim=1)
    kept = hide_modalities(present, 0.5)
    assert not (kept & ~present).any()
    assert kept.any(dim=1).all()
    assert 0.4 < kept.sum() / present.sum() < 0.7
    assert torch.equal(hide_modalities(present, 0.0), present)


def test_a_clip_that_no_stream_can_read_is_refused() -> None:
    samples: list[Sample] = [({Modality.FACIAL: np.zeros((3, 2048), np.float32)}, 0.5)]
    with pytest.raises(ConfigurationError, match="skeletal, scenic"):
        fit(CONFIG, samples, [], SETTINGS)
    with pytest.raises(ConfigurationError, match="no clips"):
        fit(CONFIG, [], [], SETTINGS)
