"""Batch normalisation over real positions only."""

import pytest
import torch
from torch import nn

from networks.normalisation import MaskedBatchNorm, RunningStandardisation


def test_without_padding_it_is_batch_normalisation() -> None:
    x = torch.randn(4, 3, 10, 5, generator=torch.Generator().manual_seed(0)) * 3 + 2
    ours, reference = MaskedBatchNorm(3), nn.BatchNorm2d(3)
    mask = torch.ones(4, 1, 10, 5, dtype=torch.bool)
    torch.testing.assert_close(ours(x, mask), reference(x))
    torch.testing.assert_close(ours.running_mean, reference.running_mean)
    torch.testing.assert_close(ours.running_var, reference.running_var)
    torch.testing.assert_close(ours.eval()(x, mask), reference.eval()(x))


def test_statistics_are_those_of_the_real_positions() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 6, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]], dtype=torch.bool)[:, None]
    polluted = torch.where(mask, x, 1e6)
    ours, reference = MaskedBatchNorm(3), nn.BatchNorm1d(3)
    real = torch.cat([x[0, :, :4], x[1, :, :2]], dim=1)[None]
    expected = reference(real)[0]
    normalised = ours(polluted, mask)
    torch.testing.assert_close(torch.cat([normalised[0, :, :4], normalised[1, :, :2]], dim=1), expected)
    torch.testing.assert_close(ours.running_var, reference.running_var)


def test_one_real_position_is_normalised_to_the_bias() -> None:
    norm = MaskedBatchNorm(2)
    x, mask = torch.full((1, 2, 3), 7.0), torch.tensor([[[True, False, False]]])
    assert torch.equal(norm(x, mask)[:, :, 0], torch.zeros(1, 2))
    assert torch.isfinite(norm.running_var).all()


def test_running_statistics_come_to_those_of_all_that_was_seen() -> None:
    batches = torch.randn(400, 8, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1]) + 7
    layer = RunningStandardisation(3, momentum=1e-9)  # below 1/n throughout: every batch has an equal share
    for batch in batches:
        layer(batch)
    seen = batches.flatten(0, 1)
    torch.testing.assert_close(layer.mean, seen.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.variance, seen.var(0), rtol=0.02, atol=0.0)


def test_later_batches_have_the_share_of_the_momentum() -> None:
    layer = RunningStandardisation(1, momentum=0.25)
    values = [1.0, 3.0, 2.0, 8.0, -4.0, 5.0]
    mean, variance = 0.0, 1.0
    for number, value in enumerate(values, start=1):
        layer(torch.tensor([[value]]))
        share, before = max(0.25, 1 / number), mean
        mean += share * (value - mean)
        variance += share * ((value - before) * (value - mean) - variance)
    assert layer.mean.item() == pytest.approx(mean, rel=1e-5)
    assert layer.variance.item() == pytest.approx(variance, rel=1e-5)


def test_running_standardisation_is_one_affine_map_in_training_and_in_evaluation() -> None:
    layer = RunningStandardisation(2)
    for _ in range(5):
        layer(torch.randn(8, 2) * 3 + 1)
    x = torch.randn(4, 2)
    centred, standardised = layer(x)
    mean, deviation = layer.mean.clone(), (layer.variance + layer.eps).sqrt()
    torch.testing.assert_close(centred, x - mean)
    torch.testing.assert_close(standardised, (x - mean) / deviation)
    again = layer.eval()(x)
    torch.testing.assert_close(again[0], centred)
    torch.testing.assert_close(again[1], standardised)
    torch.testing.assert_close(layer.mean, mean)


def test_no_gradient_passes_through_running_statistics() -> None:
    layer = RunningStandardisation(2)
    x = torch.randn(4, 2, requires_grad=True)
    _, standardised = layer(x)
    standardised.sum().backward()
    torch.testing.assert_close(x.grad, torch.rsqrt(layer.variance + layer.eps).expand(4, 2))
