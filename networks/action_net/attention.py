"""How much each instance of a routine counts: ATT-U (ACTION-NET, Section 3.2), and what Table 3 puts in its place.

Legend: N routines, T instances, D width of an instance. Masks are as in ``context``. Weights (N, T) sum to one over the
real instances, and are zero at padding and in routines without a real instance.
"""

import torch
from torch import Tensor, nn

from networks.sequences import masked


class AttentionUnit(nn.Module):
    """ATT-U: weights softmax_t(w · ReLU(W f_t + b) + c)."""

    def __init__(self, width: int, hidden: int) -> None:
        """``width`` D; ``hidden`` of the layer between."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Weights (N, T) of (N, T, D) instances."""
        logits = self.layers(x).squeeze(2)
        # The lowest number in place of -inf, whose softmax over an empty routine would be NaN, also in its gradient.
        return masked(logits.masked_fill(~mask, torch.finfo(logits.dtype).min).softmax(1), mask)


class FilterAttention(nn.Module):
    """The mean of several ATT-U, as in rank-aware temporal attention (Doughty et al. 2019) without its losses."""

    def __init__(self, width: int, filters: int, hidden: int) -> None:
        super().__init__()
        self.filters = nn.ModuleList(AttentionUnit(width, hidden) for _ in range(filters))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Weights (N, T) of (N, T, D) instances."""
        return torch.stack([one(x, mask) for one in self.filters]).mean(0)


class EqualAttention(nn.Module):
    """Average pooling: every real instance has the same weight."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Weights (N, T) of (N, T, D) instances."""
        real = mask.expand(x.shape[:2]).to(x.dtype)
        return real / real.sum(1, keepdim=True).clamp(min=1)
