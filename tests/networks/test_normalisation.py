"""Batch normalisation over real positions only."""

import torch
from torch import nn

from networks.normalisation import MaskedBatchNorm


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
