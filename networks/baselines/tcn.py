"""Temporal convolutional network (Bai, Kolter & Koltun, 2018), in the structure of its public code.

Legend: N clips, T time steps, C channels, D width of the last block. Inside, features are (N, C, T).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from networks.rtcn import BLOCK_CHANNELS
from networks.sequences import masked, masked_mean, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput


class CausalBlock(nn.Module):
    """Two weight-normalised dilated convolutions that see only the past, each with ReLU and dropout; residual; ReLU.

    The residual passes a 1 x 1 convolution, initially N(0, 0.01), where the channels change. The public code means to
    give the two convolutions the same initial values, but weight normalisation overwrites them before they are used, so
    here, too, they start as PyTorch's convolutions do.
    """

    def __init__(self, width_in: int, width: int, *, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.convolutions = nn.ModuleList(
            weight_norm(nn.Conv1d(channels, width, kernel, dilation=dilation)) for channels in (width_in, width)
        )
        self.dropout = nn.Dropout(dropout)
        self.projection: nn.Conv1d | None = None
        if width_in != width:
            self.projection = nn.Conv1d(width_in, width, 1)
            nn.init.normal_(self.projection.weight, 0.0, 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T) to (N, C', T). Padding on the left is what padding on both sides and cutting the end off gives."""
        hidden = x
        for convolution in self.convolutions:
            hidden = self.dropout(torch.relu(convolution(nn.functional.pad(hidden, (self.reach, 0)))))
        return torch.relu(hidden + (x if self.projection is None else self.projection(x)))


class TemporalConvNet(nn.Module):
    """Blocks of the given ``widths`` with dilation 2^i (i = 0, 1, …) and a linear head read at every step.

    614 channels, six blocks of 128, kernel 3 and 10 outputs make 859,530 parameters, as in the public code.
    """

    def __init__(self, channels: int, widths: Sequence[int], outputs: int, *, kernel: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                CausalBlock(before, after, kernel=kernel, dilation=2**level, dropout=dropout)
                for level, (before, after) in enumerate(zip((channels, *widths), widths, strict=False))
            )
        )
        self.head = nn.Linear(widths[-1], outputs)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, T) to (N, D, T): what the head reads. Step t depends on steps 0 … t alone."""
        features: Tensor = self.blocks(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T) to (N, T, outputs)."""
        outputs: Tensor = self.head(self.features(x).transpose(1, 2))
        return outputs


class TCN(StreamNetwork):
    """Appearance baseline: 1 x 1 reduction and a TCN with the number and widths of RTCN's layers (paper, Section 5.1).

    The reduction in front, which the paper names for RTCN only, and the kernel of 7 are RTCN's, so that what differs is
    what the paper adds: looking both ways, batch normalisation and relational pooling. Dilations are the public
    code's, from 1. The video-level feature is the mean over real steps, as in RTCN; the public code reads the last
    step, which here would see no more than 757 steps, half of the longest clip.
    """

    def __init__(self, channels: int, *, width: float = 1.0, dropout: float = 0.5, temporal_kernel: int = 7) -> None:
        """``channels`` C of a step. ``width`` multiplies the channel counts."""
        super().__init__()
        widths = [scaled_channels(count, width) for count in BLOCK_CHANNELS]
        self.embedding_dim = widths[-1]
        self.reduction = nn.Conv1d(channels, widths[0], 1)
        self.network = TemporalConvNet(widths[0], widths, 1, kernel=temporal_kernel, dropout=dropout)

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, C) features of which the first ``lengths`` (N,) steps are real."""
        mask = time_mask(lengths, frames.shape[1])[:, None]
        # Causal convolutions carry nothing back from the padding; it is cleared for the sake of the gradients.
        reduced = self.reduction(masked(frames.transpose(1, 2), mask))
        embedding = masked_mean(self.network.features(reduced), mask, (2,)).flatten(1)
        return StreamOutput(embedding, self.network.head(embedding).squeeze(1))
