"""Spatial temporal graph convolutional network (Yan et al., AAAI 2018), in the structure of its public code.

Legend: N clips, T time steps, V joints, C channels, K = 3 subsets. Inside, features are (N, C, T, V).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.normalisation import MaskedBatchNorm
from networks.psgcn import PoseNormalisation
from networks.sequences import halved, masked, masked_mean, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput
from schemas.joints import JointLayout

BLOCK_CHANNELS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
STRIDED_BLOCKS = (4, 7)
"""Indices of the blocks with stride two over time: the fifth and the eighth."""

SUBSETS = 3


def column_normalised(adjacency: NDArray[np.float64]) -> NDArray[np.float64]:
    """A D⁻¹ (V, V) of ``adjacency``, D its column sums; an empty column stays zero."""
    degree = adjacency.sum(0)
    return adjacency / np.where(degree > 0, degree, 1.0)


def spatial_partition(layout: JointLayout) -> Tensor:
    """A D⁻¹ (K, V, V) in three subsets: the joint itself, root and centripetal neighbours, centrifugal ones.

    Entry (j, i) is the weight of joint j in joint i. As in the public code with ``max_hop`` 1, a distance from the
    centre beyond one bone counts as infinite: neighbours that both lie farther out are equally far, so the third subset
    holds edges at the centre and at its neighbours only.
    """
    joints = layout.joint_count
    linked = np.eye(joints, dtype=bool)
    for a, b in layout.edges:
        linked[a, b] = linked[b, a] = True
    weights = column_normalised(linked.astype(np.float64))
    distance = np.where(linked[list(layout.centre)].any(0), 1.0, np.inf)
    distance[list(layout.centre)] = 0
    outwards = distance[:, None] < distance[None, :]
    itself = np.eye(joints, dtype=bool)
    subsets = (itself, linked & ~itself & ~outwards, linked & ~itself & outwards)
    return torch.from_numpy(np.stack([np.where(subset, weights, 0.0) for subset in subsets])).float()


def initialise(network: nn.Module) -> None:
    """The public code's initial values: convolutions N(0, 0.02) without bias, batch normalisation N(1, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, MaskedBatchNorm):
            nn.init.normal_(module.weight, 1.0, 0.02)


class SpatialGraphConvolution(nn.Module):
    """K 1 x 1 convolutions, each mixed over the joints by its subset's adjacency, and summed."""

    def __init__(self, width_in: int, width: int, subsets: int) -> None:
        super().__init__()
        self.subsets = subsets
        self.kernels = nn.Conv2d(width_in, subsets * width, 1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(N, C, T, V) to (N, C', T, V). ``adjacency`` (K, V, V): entry (k, v, w) is the weight of joint v in w."""
        x = self.kernels(x).unflatten(1, (self.subsets, -1))
        return torch.einsum("nkctv,kvw->nctw", x, adjacency)


class SpatialTemporalBlock(nn.Module):
    """Graph convolution, BN, ReLU, temporal convolution, BN, dropout; plus a residual; ReLU.

    The residual is absent, the identity, or a strided 1 x 1 convolution with BN where channels or length change.
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        *,
        subsets: int,
        temporal_kernel: int,
        stride: int = 1,
        dropout: float = 0.0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.graph = SpatialGraphConvolution(width_in, width, subsets)
        self.graph_norm = MaskedBatchNorm(width)
        self.temporal = nn.Conv2d(width, width, (temporal_kernel, 1), (stride, 1), padding=(temporal_kernel // 2, 0))
        self.temporal_norm = MaskedBatchNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.residual = residual
        self.projection: nn.Conv2d | None = None
        if residual and (width_in != width or stride != 1):
            self.projection = nn.Conv2d(width_in, width, 1, (stride, 1))
            self.projection_norm = MaskedBatchNorm(width)

    def forward(self, x: Tensor, adjacency: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, T, V), zero at padding, and lengths (N,) to the block's output, likewise zeroed, and its lengths."""
        mask = time_mask(lengths, x.shape[2])[:, None, :, None]
        hidden = torch.relu(self.graph_norm(self.graph(x, adjacency), mask))
        hidden = self.temporal(masked(hidden, mask))
        if self.stride == 2:
            lengths = halved(lengths)
            mask = time_mask(lengths, hidden.shape[2])[:, None, :, None]
        hidden = self.dropout(self.temporal_norm(hidden, mask))
        if self.projection is not None:
            hidden = hidden + self.projection_norm(self.projection(x), mask)
        elif self.residual:
            hidden = hidden + x
        return masked(torch.relu(hidden), mask), lengths


class STGCN(StreamNetwork):
    """Skeletal baseline: batch-normalised input, ten blocks with learned edge weights, mean over steps and joints.

    With two channels, one output and OpenPose's 18 joints: 3,074,369 parameters, as in the public code. Departures: the
    input is first centred and scaled per clip as for PSGCN (the public code expects coordinates divided by the size of
    the picture), there is one person per clip, and padded steps are masked. The first block has no dropout.
    """

    adjacency: Tensor

    def __init__(
        self,
        layout: JointLayout,
        channels: int = 2,
        *,
        width: float = 1.0,
        dropout: float = 0.5,
        temporal_kernel: int = 9,
    ) -> None:
        """``channels`` C of a joint. ``width`` multiplies the channel counts. ``temporal_kernel`` is odd."""
        super().__init__()
        widths = [scaled_channels(count, width) for count in BLOCK_CHANNELS]
        self.embedding_dim = widths[-1]
        self.normalise = PoseNormalisation(layout)
        # A constant of the layout: it moves with the module but is not part of a checkpoint.
        self.register_buffer("adjacency", spatial_partition(layout), persistent=False)
        self.input_norm = MaskedBatchNorm(channels * layout.joint_count)
        self.blocks = nn.ModuleList(
            SpatialTemporalBlock(
                before,
                after,
                subsets=SUBSETS,
                temporal_kernel=temporal_kernel,
                stride=2 if index in STRIDED_BLOCKS else 1,
                dropout=dropout if index else 0.0,
                residual=index > 0,
            )
            for index, (before, after) in enumerate(zip((channels, *widths), widths, strict=False))
        )
        self.importance = nn.ParameterList(torch.ones_like(self.adjacency) for _ in widths)
        self.score = nn.Linear(self.embedding_dim, 1)
        initialise(self)
        nn.init.normal_(self.score.weight, 0.0, 0.02)
        nn.init.zeros_(self.score.bias)

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, V, C) frames in the layout's joint order, of which the first ``lengths`` (N,) steps are real."""
        mask = time_mask(lengths, frames.shape[1])
        frames = self.normalise(frames, mask[:, :, None, None])
        flat = self.input_norm(frames.flatten(2).transpose(1, 2), mask[:, None])
        x = masked(flat.unflatten(1, frames.shape[2:]).permute(0, 2, 3, 1), mask[:, None, :, None])
        for block, importance in zip(self.blocks, self.importance, strict=True):
            x, lengths = block(x, self.adjacency * importance, lengths)
        embedding = masked_mean(x, time_mask(lengths, x.shape[2])[:, None, :, None], (2, 3)).flatten(1)
        return StreamOutput(embedding, self.score(embedding).squeeze(1))
