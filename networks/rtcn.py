"""Relational temporal convolutional network (paper, Section 4.3, Eq. 10-11, Fig. 6).

Legend: N clips, T time steps, C channels. Inside, features are (N, C, T).
"""

import torch
from torch import Tensor, nn

from networks.attention import MultiHeadSelfAttention
from networks.normalisation import MaskedBatchNorm, RunningStandardisation
from networks.sequences import halved, masked, masked_mean, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput

BLOCK_CHANNELS = (256, 256, 512, 512, 1024, 1024)
POOLED_BLOCKS = (1, 3, 5)
"""Indices of the blocks that a relational pooling block follows: the second, fourth and sixth."""


class TemporalBlock(nn.Module):
    """Two dilated convolution-BN-ReLU-dropout sequences and a residual, through 1 x 1 convolution if channels differ.

    Convolutions keep the length and look both ways. Nothing follows the sum, as the text names no activation there.
    """

    def __init__(self, width_in: int, width: int, *, dilation: int, kernel: int, dropout: float) -> None:
        super().__init__()
        reach = dilation * (kernel // 2)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, width, kernel, padding=reach, dilation=dilation, bias=False)
            for channels in (width_in, width)
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.residual = nn.Identity() if width_in == width else nn.Conv1d(width_in, width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, T), zero at padding, to (N, C', T), likewise zeroed. ``mask`` (N, 1, T)."""
        hidden = x
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = masked(self.dropout(torch.relu(norm(convolution(hidden), mask))), mask)
        return masked(hidden + self.residual(x), mask)


class RelationalPooling(nn.Module):
    """Max pooling that halves the length (an odd last step survives), then self-attention over all steps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = MultiHeadSelfAttention(channels)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, T) and lengths (N,) to (N, C, ceil(T / 2)), zero at padding, and the halved lengths."""
        lowest = torch.finfo(x.dtype).min
        contenders = torch.where(time_mask(lengths, x.shape[2])[:, None], x, lowest)
        padded = nn.functional.pad(contenders, (0, 1), value=lowest)
        # Two-dimensional, because tracing the one-dimensional pooling fixes the number of steps.
        pooled = nn.functional.max_pool2d(padded[:, :, None], (1, 2)).squeeze(2)
        lengths = halved(lengths)
        mask = time_mask(lengths, pooled.shape[2])
        attended = self.attention(masked(pooled, mask[:, None]).transpose(1, 2), mask)
        return masked(attended.transpose(1, 2), mask[:, None]), lengths


class RTCN(StreamNetwork):
    """Appearance stream: 1 x 1 reduction, six temporal blocks with dilation 2^n (n = 1..6), three relational poolings.

    The video-level feature is the mean over the remaining real steps (the paper does not say how time is removed); the
    score is a linear map of it.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: float = 1.0,
        dropout: float = 0.5,
        temporal_kernel: int = 7,
        relational_pooling: bool = True,
    ) -> None:
        """``channels`` C of a step. ``width`` multiplies the channel counts. ``relational_pooling`` is the ablation."""
        super().__init__()
        widths = [scaled_channels(count, width) for count in BLOCK_CHANNELS]
        self.embedding_dim = widths[-1]
        self.reduction = nn.Conv1d(channels, widths[0], 1)
        self.blocks = nn.ModuleList(
            TemporalBlock(before, after, dilation=2**n, kernel=temporal_kernel, dropout=dropout)
            for n, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False), start=1)
        )
        self.poolings = nn.ModuleDict()
        if relational_pooling:
            self.poolings.update({str(index): RelationalPooling(widths[index]) for index in POOLED_BLOCKS})
        self.standardise = RunningStandardisation(self.embedding_dim)
        self.score = nn.Linear(self.embedding_dim, 1)

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, C) features of which the first ``lengths`` (N,) steps are real."""
        mask = time_mask(lengths, frames.shape[1])[:, None]
        if self.training:  # the reduction's gradient is a sum over all steps, in which NaN times zero is NaN
            frames = masked(frames, mask.transpose(1, 2))
        # A 1 x 1 convolution is a linear map of each step; as such it needs no transposed copy of the wide input.
        reduced = nn.functional.linear(frames, self.reduction.weight.squeeze(2), self.reduction.bias)
        x = masked(reduced.transpose(1, 2), mask)
        for index, block in enumerate(self.blocks):
            x = block(x, mask)
            if str(index) in self.poolings:
                x, lengths = self.poolings[str(index)](x, lengths)
                mask = time_mask(lengths, x.shape[2])[:, None]
        pooled = masked_mean(x, mask, (2,)).flatten(1)
        feature, embedding = self.standardise(pooled)
        return StreamOutput(embedding, self.score(feature).squeeze(1))
