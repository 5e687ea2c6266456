"""Batch normalisation that does not see padding."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.sequences import masked


class MaskedBatchNorm(nn.Module):
    """Batch normalisation of (N, C, ...) with training statistics over the positions where a mask is true.

    The paper names plain batch normalisation; over a padded batch that would mix padding into the statistics. In
    evaluation it is the ordinary affine map, exported as one ONNX ``BatchNormalization``.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalised ``x`` (N, C, ...). ``mask`` (N, 1, ...) marks real positions; the others hold arbitrary values."""
        if not self.training:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        reduced = (0, *range(2, x.dim()))
        shape = (1, -1, *(1 for _ in reduced[1:]))
        count = mask.to(x.dtype).expand(x.shape[0], 1, *x.shape[2:]).sum()
        mean = masked(x, mask).sum(reduced) / count
        centred = masked(x - mean.view(shape), mask)
        variance = centred.square().sum(reduced) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(shape) + self.bias.view(shape)
