"""PSGCN for inference: one product with all subsets of the adjacency, and one strided convolution, for each block.

Legend: N clips, T time steps, V vertices (V' after the block), C channels, K = 3 subsets, J joint stride of a block.
"""

import torch
from torch import Tensor, nn

from exporters.onnx.inference.folding import convolution_of, folded
from networks.graph import SUBSETS
from networks.psgcn import PSGCN, GraphBlock
from networks.sequences import halved, time_mask
from networks.streams import StreamNetwork, StreamOutput


class InferenceGraphBlock(nn.Module):
    """``GraphBlock`` in evaluation.

    Eq. (4) and (5) are Σ_k Σ_j W_kj x[.., J u + j] Ā_k[u, v]. Vertices first: ``spread`` (V, V'·K·J) puts side by side
    the K·J values that vertex v weighs, and a convolution of that width and stride applies the W_kj.
    """

    spread: Tensor
    real: Tensor

    def __init__(self, block: GraphBlock) -> None:
        super().__init__()
        joint_stride = block.spatial.stride[1]
        self.time_stride = block.time_stride
        self.register_buffer("spread", _spread(block.connectivity().transpose(1, 2).detach(), joint_stride))
        self.register_buffer("real", block.real)
        self.spatial = _spatial(block, joint_stride)
        self.temporal = convolution_of(block.temporal, *folded(block.temporal, block.temporal_norm))
        self.residual: nn.Conv2d | None = None
        if block.residual is not None:
            self.residual = convolution_of(block.residual, *folded(block.residual, block.residual_norm))

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As ``GraphBlock.forward``; padding is multiplied by zero, as no NaN can be left there."""
        hidden = torch.relu(self.spatial(x @ self.spread)) * _mask(lengths, x.shape[2], self.real, x.dtype)
        hidden = self.temporal(hidden)
        if self.time_stride == 2:
            lengths = halved(lengths)
        rest = x if self.residual is None else self.residual(x)
        return torch.relu(hidden + rest) * _mask(lengths, hidden.shape[2], self.real, x.dtype), lengths


class InferencePSGCN(StreamNetwork):
    """``PSGCN`` in evaluation."""

    order: Tensor
    real: Tensor

    def __init__(self, network: PSGCN) -> None:
        super().__init__()
        self.embedding_dim, self.padding = network.embedding_dim, network.padding
        self.register_buffer("order", network.order)
        self.register_buffer("real", network.real)
        self.normalise = network.normalise
        self.blocks = nn.ModuleList(
            InferenceGraphBlock(block) for block in network.blocks if isinstance(block, GraphBlock)
        )
        self.standardise, self.score = network.standardise, network.score

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """As ``PSGCN.forward``."""
        lengths = lengths.clamp(min=1)
        frames = self.normalise(frames, time_mask(lengths, frames.shape[1])[:, :, None, None])
        x = nn.functional.pad(frames.index_select(2, self.order).permute(0, 3, 1, 2), (0, self.padding))
        for block in self.blocks:
            x, lengths = block(x, lengths)
        pooled = x.sum((2, 3)) / (lengths * self.real.sum()).to(x.dtype)[:, None]
        feature, embedding = self.standardise(pooled)
        return StreamOutput(embedding, self.score(feature).squeeze(1))


def _mask(lengths: Tensor, steps: int, real: Tensor, dtype: torch.dtype) -> Tensor:
    return (time_mask(lengths, steps)[:, None, :, None] & real).to(dtype)


def _spread(adjacency: Tensor, joint_stride: int) -> Tensor:
    """(K, U, V') with column v the weights of vertex v, to (U·J, V'·K·J)."""
    subsets, before, after = adjacency.shape
    spread = adjacency.new_zeros(before, joint_stride, after, subsets, joint_stride)
    for offset in range(joint_stride):
        spread[:, offset, :, :, offset] = adjacency.permute(1, 2, 0)
    return spread.reshape(before * joint_stride, after * subsets * joint_stride)


def _spatial(block: GraphBlock, joint_stride: int) -> nn.Conv2d:
    """(C', C, 1, K·J) from (K·C', C, 1, J), with the norm that follows the sum over subsets."""
    norm = block.spatial_norm
    width, width_in = norm.weight.shape[0], block.spatial.in_channels
    weight = block.spatial.weight.view(SUBSETS, width, width_in, 1, joint_stride).permute(1, 2, 3, 0, 4)
    side = SUBSETS * joint_stride
    convolution = nn.Conv2d(width_in, width, (1, side), (1, side), bias=False)
    convolution.weight = nn.Parameter(weight.reshape(width, width_in, 1, side).contiguous(), requires_grad=False)
    return convolution_of(convolution, *folded(convolution, norm))
