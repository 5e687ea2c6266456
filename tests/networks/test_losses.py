"""Eq. (13) and (14) against loops."""

import numpy as np
import pytest
import torch

from networks.losses import loss_terms, margin_ranking_loss
from networks.training_settings import LossWeights
from networks.virality_model import ViralityModelOutput


def slow_ranking_loss(predicted: list[float], truth: list[float], margin: float) -> float:
    total = 0.0
    for i in range(len(predicted)):
        for j in range(i + 1, len(predicted)):
            sign = np.sign(truth[j] - truth[i])
            total += max((predicted[i] - predicted[j]) * sign + margin, 0)
    return total


@pytest.mark.parametrize("truth", [[0.1, 0.5, 0.3, 0.9], [0.5, 0.5, 0.1, 0.5], [0.2] * 4, [0.4], []])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_ranking_loss_is_the_sum_over_pairs(truth: list[float], margin: float) -> None:
    predicted = np.random.default_rng(3).normal(size=len(truth)).tolist()
    loss = margin_ranking_loss(torch.tensor(predicted), torch.tensor(truth), margin)
    assert loss.item() == pytest.approx(slow_ranking_loss(predicted, truth, margin), rel=1e-5, abs=1e-6)


def test_a_tie_adds_the_margin_and_no_gradient() -> None:
    predicted = torch.tensor([3.0, -2.0], requires_grad=True)
    loss = margin_ranking_loss(predicted, torch.tensor([0.5, 0.5]), 0.25)
    loss.backward()
    assert loss.item() == 0.25
    assert not predicted.grad.any()


def test_the_total_weighs_error_ranking_and_the_mean_over_streams_of_their_own_clips() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, fused, truth = torch.randn(5, 3, generator=generator), torch.randn(5, generator=generator), torch.rand(5)
    present = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [1, 1, 0]], dtype=torch.bool)
    terms = loss_terms(ViralityModelOutput(scores, scores, scores, fused), truth, present, 0.1)
    streams = [
        slow_ranking_loss(scores[present[:, m], m].tolist(), truth[present[:, m]].tolist(), 0.1) for m in range(3)
    ]
    error = np.mean((fused.numpy() - truth.numpy()) ** 2)
    ranking = slow_ranking_loss(fused.tolist(), truth.tolist(), 0.1)
    expected = 2 * error + 0.5 * ranking + 3 * sum(streams) / 3
    assert terms.total(LossWeights(2.0, 0.5, 3.0)).item() == pytest.approx(expected, rel=1e-4)
