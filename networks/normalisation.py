"""Normalisation that sees neither padding nor, where it matters, the batch."""

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
        x = x.float()  # statistics need more digits than mixed precision has
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


class RunningStandardisation(nn.Module):
    """Standardise (N, D) features by the mean and variance that training has seen, in training as in evaluation.

    No gradient passes through the statistics, and a batch enters them only by its share, so small batches add no
    noise. The share is 1/n in the n-th batch until it falls to ``momentum``; the variance is about the moving mean.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, features: int, *, momentum: float = 0.05, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, D) to the same, centred only, and centred and divided by the deviation."""
        if self.training:
            self._see(x.detach().float())
        centred = x - self.mean
        return centred, centred * torch.rsqrt(self.variance + self.eps)

    @torch.no_grad()
    def _see(self, x: Tensor) -> None:
        self.batches += 1
        share = self.batches.reciprocal().clamp(min=self.momentum)
        before = self.mean.clone()
        self.mean.lerp_(x.mean(dim=0), share)
        self.variance.lerp_(((x - before) * (x - self.mean)).mean(dim=0), share)
