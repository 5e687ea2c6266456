"""Batch normalisation folded into the convolution before it, which is exact in evaluation."""

import copy

import torch
from torch import Tensor, nn

from networks.normalisation import MaskedBatchNorm


def folded(convolution: nn.Conv1d | nn.Conv2d, norm: MaskedBatchNorm) -> tuple[Tensor, Tensor]:
    """Weight, of the convolution's shape, and bias (C',) of one convolution that computes ``norm(convolution(x))`` in
    evaluation; the convolution has no bias."""
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = convolution.weight.double() * scale.view(-1, *(1 for _ in convolution.weight.shape[1:]))
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return weight.float().detach(), bias.float().detach()


def convolution_of(like: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """A copy of ``like`` with other values."""
    made = copy.deepcopy(like)
    made.weight = nn.Parameter(weight, requires_grad=False)
    made.bias = nn.Parameter(bias, requires_grad=False)
    return made
