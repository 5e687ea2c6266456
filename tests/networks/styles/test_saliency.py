"""Guided back-propagation against a literal computation, and its picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from networks.styles.pictures import draw_saliency
from networks.styles.saliency import guided_saliency
from schemas.errors import ConfigurationError


def network(*, inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 9), nn.ReLU(inplace), nn.Linear(9, 7), nn.ReLU(inplace), nn.Linear(7, 4)
    )


def test_gradients_pass_a_rectifier_only_where_they_and_its_input_are_positive() -> None:
    images = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    weights = [layer.weight.detach().numpy() for layer in network() if isinstance(layer, nn.Linear)]
    biases = [layer.bias.detach().numpy() for layer in network() if isinstance(layer, nn.Linear)]
    expected = np.zeros((2, 12))
    for row, image in enumerate(images.flatten(1).numpy()):
        first = weights[0] @ image + biases[0]
        second = weights[1] @ np.maximum(first, 0) + biases[1]
        for feature in range(4):
            gradient = np.where(second > 0, np.maximum(weights[2][feature], 0), 0)
            gradient = np.where(first > 0, np.maximum(weights[1].T @ gradient, 0), 0)
            expected[row] += weights[0].T @ gradient / 4
    for inplace in (False, True):
        one = network(inplace=inplace)
        found = guided_saliency(one, images)
        np.testing.assert_allclose(found, np.abs(expected.reshape(2, 3, 2, 2)).max(1), atol=1e-6)
        assert [layer.inplace for layer in one if isinstance(layer, nn.ReLU)] == [inplace] * 2
        assert one.training
        assert all(parameter.grad is None for parameter in one.parameters())
        plain = images.clone().requires_grad_()
        one(plain).sum().backward()
        assert plain.grad is not None
        assert not torch.allclose(plain.grad.abs().amax(1) / 4, found)


def test_a_relu6_passes_no_gradient_where_its_input_is_above_six() -> None:
    found = guided_saliency(nn.Sequential(nn.Flatten(), nn.ReLU6(inplace=True)), torch.tensor([[[[7.0, 3.0, -1.0]]]]))
    np.testing.assert_allclose(found, [[[0, 1 / 3, 0]]])


def test_networks_without_rectifiers_or_features_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no ReLU module"):
        guided_saliency(nn.Flatten(), torch.zeros(1, 3, 2, 2))
    with pytest.raises(ConfigurationError, match=r"features have shape \(1, 3, 2, 2\)"):
        guided_saliency(nn.Sequential(nn.ReLU()), torch.zeros(1, 3, 2, 2))


def test_images_are_drawn_above_their_saliency(tmp_path: Path) -> None:
    draw_saliency(np.random.default_rng(0).random((2, 5, 4, 3)), np.zeros((2, 5, 4)), tmp_path / "saliency.png")
    assert (tmp_path / "saliency.png").read_bytes().startswith(b"\x89PNG")
