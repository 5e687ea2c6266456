"""Uncertainty-aware score distribution learning (Tang et al., CVPR 2020), its single-score form.

Legend: N clips, T time steps, C channels, B bins.
"""

import torch
from torch import Tensor, nn

from networks.sequences import masked_mean, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput
from schemas.errors import ConfigurationError

BINS = 101
"""The public code's 0, 1, …, 100: bin b stands for the score b / (B - 1)."""

DEVIATION = 0.05
"""Standard deviation of the target distribution on the scale of scores: the public code's 5 of 100 bins."""

HIDDEN = (256, 128)


def bin_scores(logits: Tensor) -> Tensor:
    """(B,) the scores that the bins of ``logits`` (N, B) stand for, from 0 to 1."""
    return torch.linspace(0, 1, logits.shape[1], device=logits.device, dtype=logits.dtype)


def distribution_loss(logits: Tensor, targets: Tensor, deviation: float = DEVIATION) -> Tensor:
    """Mean over N clips of KL(target ‖ softmax(``logits`` (N, B))); ``targets`` (N,) are scores in [0, 1].

    The target distribution is a Gaussian around the score, of standard deviation ``deviation``, taken at the bins and
    normalised to sum one. The public code's mean also divides by B, which scales the gradient only.
    """
    distance = (bin_scores(logits) - targets.to(logits.dtype)[:, None]) / deviation
    wanted = (-0.5 * distance.square()).log_softmax(dim=1)
    return (wanted.exp() * (wanted - logits.log_softmax(dim=1))).sum(dim=1).mean()


class USDL(StreamNetwork):
    """Appearance baseline: mean feature → 256 → 128 → a distribution over B scores; train with ``distribution_loss``.

    The embedding is the logits (N, B). The score is the expectation of the distribution: the public code takes its most
    probable bin, which ties clips at 101 values and jumps where the distribution has two peaks. As there, no dropout.
    The features of all steps are averaged, as the public code averages those of its ten snippets.
    """

    def __init__(self, channels: int, *, width: float = 1.0, bins: int = BINS) -> None:
        """``channels`` C of a step. ``width`` multiplies the hidden widths, ``bins`` B is at least two."""
        super().__init__()
        if bins < 2:
            raise ConfigurationError(f"{bins} bins; a distribution over scores needs two", field="bins")
        first, second = (scaled_channels(count, width) for count in HIDDEN)
        self.embedding_dim = bins
        self.layers = nn.Sequential(
            nn.Linear(channels, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, bins)
        )

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, C) features of which the first ``lengths`` (N,) steps are real."""
        mask = time_mask(lengths, frames.shape[1])[:, :, None]
        logits = self.layers(masked_mean(frames, mask, (1,)).squeeze(1))
        return StreamOutput(logits, logits.softmax(dim=1) @ bin_scores(logits))
