"""Attentive modality fusion (paper, Section 4.4, Eq. 12)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.sequences import masked


class FusionOutput(NamedTuple):
    """``attention`` (N, M) sums to one over the present modalities of a clip; ``fused_score`` (N,)."""

    attention: Tensor
    fused_score: Tensor


class AttentiveFusion(nn.Module):
    """A = softmax(I W^H W^O) over the modalities that a clip has, and the fused score s = A Sᵀ.

    Two linear maps without bias or activation between them, as printed. ``hidden`` is C', which the paper leaves open.
    """

    def __init__(self, embedding_dim: int, modalities: int, hidden: int) -> None:
        """``embedding_dim`` C is the sum of the streams' widths D, ``modalities`` their number M."""
        super().__init__()
        self.hidden = nn.Linear(embedding_dim, hidden, bias=False)
        self.output = nn.Linear(hidden, modalities, bias=False)

    def forward(self, embeddings: Tensor, scores: Tensor, present: Tensor) -> FusionOutput:
        """Fuse ``embeddings`` (N, C), ``scores`` (N, M) by ``present`` (N, M) booleans.

        Scores of absent modalities are ignored; their part of ``embeddings`` has to be zero. A clip without any
        modality gets zero attention and score zero; refusing such clips is the caller's duty.
        """
        logits = self.output(self.hidden(embeddings)).masked_fill(~present, -math.inf)
        attention = masked(logits.softmax(dim=1), present)
        return FusionOutput(attention, (attention * masked(scores, present)).sum(dim=1))


class MeanFusion(nn.Module):
    """The mean of the scores of the modalities that a clip has: the ablation of the attention (paper, Table 5)."""

    def forward(self, embeddings: Tensor, scores: Tensor, present: Tensor) -> FusionOutput:  # noqa: ARG002
        """As ``AttentiveFusion.forward``; ``embeddings`` play no part."""
        share = present.to(scores.dtype) / present.sum(dim=1, keepdim=True).clamp(min=1)
        return FusionOutput(share, (share * torch.where(present, scores, 0.0)).sum(dim=1))
