"""USDL: the distribution, its loss and its expectation."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy, norm

from networks.baselines.usdl import BINS, USDL, distribution_loss
from schemas.errors import ConfigurationError

EXTREMES = (0.0, 1.0)


def test_the_loss_is_the_divergence_from_a_gaussian_of_five_bins() -> None:
    generator = np.random.default_rng(0)
    targets = np.array([*EXTREMES, 0.5, 0.123, 0.777])
    logits = generator.normal(size=(len(targets), BINS)) * 3
    divergences = []
    for row, target in zip(logits, targets, strict=True):
        wanted = norm.pdf(np.arange(BINS), loc=target * 100, scale=5)
        divergences.append(entropy(wanted / wanted.sum(), softmax(row)))
    found = distribution_loss(torch.from_numpy(logits), torch.from_numpy(targets))
    assert found.item() == pytest.approx(np.mean(divergences), rel=1e-9)


def test_the_loss_is_zero_at_the_wanted_distribution_and_positive_elsewhere() -> None:
    bins = torch.linspace(0, 1, BINS)
    targets = torch.tensor([*EXTREMES, 0.31])
    wanted = -0.5 * ((bins - targets[:, None]) / 0.05) ** 2
    assert distribution_loss(wanted, targets).item() == pytest.approx(0.0, abs=1e-6)
    assert distribution_loss(wanted, targets.flip(0)) > 1


def test_the_gradient_stays_finite_for_confident_mistakes() -> None:
    logits = torch.zeros(2, BINS)
    logits[0, -1] = logits[1, 0] = 1e4
    logits.requires_grad_()
    distribution_loss(logits, torch.tensor(EXTREMES)).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_the_score_is_the_expectation_of_the_distribution() -> None:
    torch.manual_seed(0)
    network = USDL(8).eval()
    with torch.inference_mode():
        output = network(torch.randn(3, 5, 8), torch.tensor([5, 2, 1]))
    expected = [
        sum(b / 100 * probability for b, probability in enumerate(softmax(row.double().numpy())))
        for row in output.embedding
    ]
    np.testing.assert_allclose(output.score.numpy(), expected, rtol=1e-5)
    assert output.embedding.shape == (3, BINS)


def test_it_has_the_layers_of_the_public_head() -> None:
    sizes = (1024, 256, 128, 101)
    expected = sum((before + 1) * after for before, after in itertools.pairwise(sizes))
    assert sum(parameter.numel() for parameter in USDL(1024).parameters()) == expected


def test_training_brings_the_expectation_to_the_targets() -> None:
    torch.manual_seed(0)
    network = USDL(4, width=1 / 8)
    frames, targets = torch.randn(16, 3, 4), torch.rand(16)
    lengths = torch.full((16,), 3)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(300):
        optimiser.zero_grad()
        distribution_loss(network(frames, lengths).embedding, targets).backward()
        optimiser.step()
    assert (network(frames, lengths).score - targets).abs().mean() < 0.05


def test_a_single_bin_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="1 bins"):
        USDL(4, bins=1)
