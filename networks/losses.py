"""The losses of the paper (Section 5.1, Eq. 13-14). Legend: N clips of a batch, M modalities."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from networks.training_settings import LossWeights
from networks.virality_model import ViralityModelOutput


class LossTerms(NamedTuple):
    """L_s, L_r and the mean of L_r^m over the streams, each a scalar, before weighting."""

    error: Tensor
    ranking: Tensor
    stream_ranking: Tensor

    def total(self, weights: LossWeights) -> Tensor:
        """L of Eq. (14)."""
        return (
            weights.error * self.error + weights.ranking * self.ranking + weights.stream_ranking * self.stream_ranking
        )


def margin_ranking_loss(predicted: Tensor, truth: Tensor, margin: float) -> Tensor:
    """Σ_{i<j} max((p_i - p_j) sign(g_j - g_i) + δ, 0) over ``predicted`` p and ``truth`` g, both (N,); a scalar.

    A sum, as printed, so it grows with the pairs of a batch. A tie in g has sign 0 and adds the constant δ.
    """
    i, j = torch.triu_indices(len(predicted), len(predicted), offset=1, device=predicted.device)
    return ((predicted[i] - predicted[j]) * torch.sign(truth[j] - truth[i]) + margin).clamp(min=0).sum()


def loss_terms(output: ViralityModelOutput, truth: Tensor, present: Tensor, margin: float) -> LossTerms:
    """The terms of Eq. (14) for ``truth`` (N,), in float32 whatever the precision of ``output``.

    A stream's ranking loss is over the clips that have its modality, ``present`` (N, M); the mean is over all M.
    """
    scores, fused = output.scores.float(), output.fused.float()
    streams = [
        margin_ranking_loss(scores[rows, index], truth[rows], margin)
        for index, rows in enumerate(present.unbind(dim=1))
    ]
    return LossTerms(
        functional.mse_loss(fused, truth),
        margin_ranking_loss(fused, truth, margin),
        torch.stack(streams).mean(),
    )
