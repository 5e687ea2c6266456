"""RTCN for inference: the batch as the height of one image.

ONNX Runtime's blocked kernels take two-dimensional convolutions; one-dimensional ones miss them, read the weights again
for every clip and multiply the padding of dilated taps. Legend: N clips, T time steps, C channels. Inside, features
are (1, C, N, T).
"""

import torch
from torch import Tensor, nn

from exporters.onnx.inference.folding import folded
from networks.normalisation import MaskedBatchNorm
from networks.rtcn import RTCN, RelationalPooling, TemporalBlock
from networks.sequences import halved, masked, time_mask
from networks.streams import StreamNetwork, StreamOutput


class InferenceBlock(nn.Module):
    """``TemporalBlock`` in evaluation. Padding is multiplied by zero, as no NaN can be left there."""

    def __init__(self, block: TemporalBlock) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            _image_convolution(convolution, *folded(convolution, norm))
            for convolution, norm in zip(block.convolutions, block.norms, strict=True)
            if isinstance(convolution, nn.Conv1d) and isinstance(norm, MaskedBatchNorm)
        )
        self.residual: nn.Conv2d | None = None
        if isinstance(block.residual, nn.Conv1d):
            self.residual = _image_convolution(block.residual, block.residual.weight, block.residual.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(1, C, N, T), zero at padding, to (1, C', N, T), likewise. ``mask`` (1, 1, N, T) is one at real steps."""
        hidden = x
        for convolution in self.convolutions:
            hidden = torch.relu(convolution(hidden)) * mask
        return hidden + x if self.residual is None else (hidden + self.residual(x)) * mask


class InferenceRTCN(StreamNetwork):
    """``RTCN`` in evaluation."""

    def __init__(self, network: RTCN) -> None:
        super().__init__()
        self.embedding_dim = network.embedding_dim
        self.reduction = network.reduction
        self.blocks = nn.ModuleList(
            InferenceBlock(block) for block in network.blocks if isinstance(block, TemporalBlock)
        )
        self.poolings = network.poolings
        self.standardise = network.standardise
        self.score = network.score

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """As ``RTCN.forward``."""
        lengths = lengths.clamp(min=1)
        real = time_mask(lengths, frames.shape[1])
        # Selected, not multiplied: what stands in the padding may be NaN.
        reduced = nn.functional.linear(frames, self.reduction.weight.squeeze(2), self.reduction.bias)
        x = masked(reduced, real[:, :, None]).permute(2, 0, 1)[None]
        for index, block in enumerate(self.blocks):
            x = block(x, real[None, None].to(x.dtype))
            pooling = dict(self.poolings.items()).get(str(index))
            if isinstance(pooling, RelationalPooling):
                x, lengths = _pooled(pooling, x, lengths, real)
                real = time_mask(lengths, x.shape[3])
        pooled = (x.sum(3)[0] / lengths.to(x.dtype)).t()
        feature, embedding = self.standardise(pooled)
        return StreamOutput(embedding, self.score(feature).squeeze(1))


def _pooled(pooling: RelationalPooling, x: Tensor, lengths: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    lowest = torch.finfo(x.dtype).min
    padded = nn.functional.pad(torch.where(real, x, lowest), (0, 1), value=lowest)
    maxima = nn.functional.max_pool2d(padded, (1, 2))
    lengths = halved(lengths)
    real = time_mask(lengths, maxima.shape[3])
    weight = real[:, :, None].to(x.dtype)
    attended = pooling.attention(masked(maxima[0].permute(1, 2, 0), real[:, :, None]), real)
    return (attended * weight).permute(2, 0, 1)[None], lengths


def _image_convolution(convolution: nn.Conv1d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    (kernel,), (dilation,) = convolution.kernel_size, convolution.dilation
    image = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (1, kernel),
        padding=(0, dilation * (kernel // 2)),
        dilation=(1, dilation),
        bias=bias is not None,
    )
    image.weight = nn.Parameter(weight[:, :, None].contiguous(), requires_grad=False)
    if bias is not None:
        image.bias = nn.Parameter(bias, requires_grad=False)
    return image
