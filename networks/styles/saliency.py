"""Guided back-propagation (Springenberg et al. 2015): which pixels the features of an image come from.

Legend: N images, C colours, F features.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from schemas.errors import ConfigurationError


def guided_saliency(network: nn.Module, images: Tensor) -> Tensor:
    """Saliency (N, height, width): the mean over all features of ``network`` of the guided gradients of each with
    respect to ``images`` (N, C, height, width), of which the largest magnitude over colours is taken.

    A guided gradient passes a ReLU only where it and the ReLU's input are positive; a ReLU6 likewise, where its input
    is below 6, too. ReLUs have to be modules; those
    that work in place are run out of place meanwhile. Parameters keep their gradients. Raises ``ConfigurationError``
    for a network without a ReLU module, or whose output is not (N, F).
    """
    was_training = network.training
    network.eval()
    images = images.detach().clone().requires_grad_()
    with _guided(network):
        features = network(images)
        if features.dim() != 2:
            raise ConfigurationError(
                f"features have shape {tuple(features.shape)}, expected (images, features)", field="network"
            )
        total = torch.zeros_like(images)
        for feature in range(features.shape[1]):
            (gradient,) = torch.autograd.grad(features[:, feature].sum(), images, retain_graph=True)
            total += gradient
    network.train(was_training)
    saliency: Tensor = (total / features.shape[1]).abs().amax(1).detach()
    return saliency


@contextmanager
def _guided(network: nn.Module) -> Iterator[None]:
    """Inside, gradients that leave a ReLU are not negative."""
    rectifiers = [module for module in network.modules() if isinstance(module, nn.ReLU | nn.ReLU6)]
    if not rectifiers:
        raise ConfigurationError("the network has no ReLU module to guide gradients through", field="network")
    in_place = [module.inplace for module in rectifiers]
    handles = []
    try:
        for module in rectifiers:
            module.inplace = False
            handles.append(module.register_full_backward_hook(_only_positive))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, before in zip(rectifiers, in_place, strict=True):
            module.inplace = before


def _only_positive(
    module: nn.Module,  # noqa: ARG001
    inputs: tuple[Tensor, ...] | Tensor,
    outputs: tuple[Tensor, ...] | Tensor,  # noqa: ARG001
) -> tuple[Tensor, ...]:
    return tuple(gradient.clamp(min=0) for gradient in inputs)
