"""Padded batches: which steps are real, and how to compute with only those.

The rule of every network here: a padded step is replaced by zero (selected, never multiplied, so even NaN cannot leak)
before anything mixes time steps. What a clip yields then depends on neither the padding nor its batch mates.
"""

import torch
from torch import Tensor


def scaled_channels(channels: int, width: float) -> int:
    """``channels`` times ``width``, as a multiple of four (the attention heads) and at least four."""
    return max(4, 4 * round(channels * width / 4))


def time_mask(lengths: Tensor, steps: int) -> Tensor:
    """(N,) lengths to (N, ``steps``) booleans: true at real steps. A length below one counts as one."""
    return torch.arange(steps, device=lengths.device) < lengths.clamp(min=1).unsqueeze(1)


def halved(lengths: Tensor) -> Tensor:
    """Lengths after a stride of two that keeps an odd last step: ceil(length / 2)."""
    return (lengths + 1) // 2


def masked(x: Tensor, mask: Tensor) -> Tensor:
    """``x`` where ``mask`` (broadcast) is true, zero elsewhere."""
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))


def masked_mean(x: Tensor, mask: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Mean of ``x`` over ``dim`` (kept, as size one) where ``mask``, of the same rank as ``x``, is true."""
    everywhere = mask.to(x.dtype).expand(x.shape)
    return masked(x, mask).sum(dim, keepdim=True) / everywhere.sum(dim, keepdim=True)
