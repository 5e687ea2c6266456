"""Pyramidal skeleton graph convolutional network (paper, Section 4.1, Eq. 3-6, Fig. 5).

Legend: N clips, T time steps, V vertices, C channels, K = 3 subsets. Inside, features are (N, C, T, V).
"""

import torch
from torch import Tensor, nn

from networks.graph import SUBSETS, normalised_adjacency, vertex_mask
from networks.model_config import SampleReading
from networks.normalisation import MaskedBatchNorm, RunningStandardisation
from networks.sampling import sample, sampling_matrix
from networks.sequences import halved, masked, masked_mean, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput
from schemas.joints import JointLayout

BLOCK_CHANNELS = (64, 64, 64, 128, 128, 128, 256, 256, 256)
STRIDED_BLOCKS = (3, 6)
"""Indices of the blocks with stride two over time and joints: the fourth and the seventh."""

SMALLEST_SCALE = 1e-12


class PoseNormalisation(nn.Module):
    """Centre and scale a clip, so that pixels and normalised coordinates score the same.

    Subtracts the mean position of the centre joint over the real frames and divides by the mean absolute deviation of
    all joints from it: linear in an outlier (a variance is quadratic), without the sort of a median, and with a
    gradient everywhere. The first frame's centre is subtracted beforehand; at pixel coordinates this saves the digits
    that the sums would lose. A clip whose joints never leave one point becomes all zeros.
    """

    centre: Tensor

    def __init__(self, layout: JointLayout) -> None:
        super().__init__()
        self.coordinates = layout.coordinates
        self.register_buffer("centre", torch.tensor(layout.centre), persistent=False)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(N, T, V, C) in the layout's joint order to the same shape, zero at padded steps. ``mask`` (N, T, 1, 1).

        Channels after the coordinates (a confidence) pass unchanged.
        """
        position, rest = frames[..., : self.coordinates], frames[..., self.coordinates :]
        position = position - self._body_centre(position[:, :1])
        position = position - masked_mean(self._body_centre(position), mask, (1,))
        scale = masked_mean(position.abs(), mask, (1, 2, 3))
        return masked(torch.cat((position / scale.clamp(min=SMALLEST_SCALE), rest), dim=3), mask)

    def _body_centre(self, position: Tensor) -> Tensor:
        return position.index_select(2, self.centre).mean(2, keepdim=True)


class GraphBlock(nn.Module):
    """Spatial graph convolution, temporal convolution and a residual.

    With ``spatial_stride`` 1 the spatial part is Eq. (4), with 2 it is Eq. (5); both use Ā = Ā_o + A_l with A_l
    learnable and zero at the start. Order as in ST-GCN, which the paper builds on: graph convolution, BN, ReLU,
    temporal convolution, BN, dropout, sum, ReLU. The residual is the identity, or a 1 x 1 convolution with the
    block's strides and BN when channels or strides differ.
    """

    adjacency: Tensor
    real: Tensor
    sampler: Tensor | None

    def __init__(
        self,
        channels: tuple[int, int],
        adjacency: Tensor,
        real: Tensor,
        *,
        strides: tuple[int, int],
        temporal_kernel: int,
        dropout: float,
        sampling: SampleReading,
    ) -> None:
        """``adjacency`` (K, V, V) is Ā_o at the input's resolution, ``real`` (V,) marks vertices that hold joints.

        ``strides`` are those over time and over joints, each 1 or 2.
        """
        super().__init__()
        width_in, width = channels
        time_stride, joint_stride = strides
        vertices = adjacency.shape[1]
        self.time_stride = time_stride
        coarse = real if joint_stride == 1 else real.view(-1, 2).any(1)
        sampler = sampling_matrix(vertices, sampling) if joint_stride == 2 else None
        # Constants follow from the layout: they move with the module but are not part of a checkpoint.
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.register_buffer("real", coarse, persistent=False)
        self.register_buffer("sampler", sampler, persistent=False)
        self.learned = nn.Parameter(torch.zeros(SUBSETS, vertices, vertices))
        self.spatial = nn.Conv2d(width_in, SUBSETS * width, (1, joint_stride), (1, joint_stride), bias=False)
        self.spatial_norm = MaskedBatchNorm(width)
        self.temporal = nn.Conv2d(
            width, width, (temporal_kernel, 1), (time_stride, 1), padding=(temporal_kernel // 2, 0), bias=False
        )
        self.temporal_norm = MaskedBatchNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.residual: nn.Conv2d | None = None
        if width_in != width or strides != (1, 1):
            self.residual = nn.Conv2d(width_in, width, 1, strides, bias=False)
            self.residual_norm = MaskedBatchNorm(width)

    def connectivity(self) -> Tensor:
        """Ā (K, V', V') as the block applies it: Ā_o + A_l, sampled if the block down-samples the graph."""
        connectivity = self.adjacency + self.learned
        return connectivity if self.sampler is None else sample(connectivity, self.sampler)

    def coarse_adjacency(self) -> Tensor:
        """Ā_o at the block's output resolution, for the next block."""
        return self.adjacency if self.sampler is None else sample(self.adjacency, self.sampler)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, T, V), zero at padding, and lengths (N,) to the block's output, likewise zeroed, and its lengths."""
        mask = time_mask(lengths, x.shape[2])[:, None, :, None] & self.real
        # Weights of vertex i are row i of Ā, hence the transpose. The kernel comes first, as Eq. (5) needs its stride;
        # for Eq. (4) the order makes no difference.
        first, second, third = self.connectivity().transpose(1, 2).unbind()
        root, closer, farther = self.spatial(x).chunk(SUBSETS, dim=1)
        mixed = root @ first + closer @ second + farther @ third
        hidden = masked(torch.relu(self.spatial_norm(mixed, mask)), mask)
        hidden = self.temporal(hidden)
        if self.time_stride == 2:
            lengths = halved(lengths)
            mask = time_mask(lengths, hidden.shape[2])[:, None, :, None] & self.real
        hidden = self.dropout(self.temporal_norm(hidden, mask))
        if self.residual is not None:
            x = self.residual_norm(self.residual(x), mask)
        return masked(torch.relu(hidden + x), mask), lengths


class PSGCN(StreamNetwork):
    """Skeletal stream: nine graph convolution blocks, V and T halved at the fourth and the seventh.

    The video-level feature is the mean over real steps and vertices that hold joints; the score is a linear map of it.
    Fig. 5 is not spelled out in the text: 64, 128 and 256 channels, three blocks each. The paper names no normalisation
    of the input; see ``PoseNormalisation``. Padded vertices stay zero throughout, so A_l cannot connect them to
    anything.
    """

    order: Tensor
    real: Tensor

    def __init__(
        self,
        layout: JointLayout,
        channels: int = 2,
        *,
        width: float = 1.0,
        dropout: float = 0.5,
        temporal_kernel: int = 7,
        sampling: SampleReading = "bounded",
        pyramid: bool = True,
    ) -> None:
        """``channels`` C of a joint. ``width`` multiplies the channel counts. ``pyramid=False`` is the ablation."""
        super().__init__()
        widths = [scaled_channels(count, width) for count in BLOCK_CHANNELS]
        self.embedding_dim = widths[-1]
        self.padding = layout.padding
        self.register_buffer("order", torch.tensor(layout.vertex_order), persistent=False)
        self.normalise = PoseNormalisation(layout)
        adjacency, real = normalised_adjacency(layout), vertex_mask(layout)
        blocks: list[GraphBlock] = []
        for index, pair in enumerate(zip((channels, *widths), widths, strict=False)):
            strided = index in STRIDED_BLOCKS
            block = GraphBlock(
                pair,
                adjacency,
                real,
                strides=(2 if strided else 1, 2 if strided and pyramid else 1),
                temporal_kernel=temporal_kernel,
                dropout=dropout,
                sampling=sampling,
            )
            adjacency, real = block.coarse_adjacency(), block.real
            blocks.append(block)
        self.blocks = nn.ModuleList(blocks)
        self.register_buffer("real", real, persistent=False)
        self.standardise = RunningStandardisation(self.embedding_dim)
        self.score = nn.Linear(self.embedding_dim, 1)

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, V, C) frames in the layout's joint order, of which the first ``lengths`` (N,) steps are real."""
        frames = self.normalise(frames, time_mask(lengths, frames.shape[1])[:, :, None, None])
        x = nn.functional.pad(frames.index_select(2, self.order).permute(0, 3, 1, 2), (0, self.padding))
        for block in self.blocks:
            x, lengths = block(x, lengths)
        mask = time_mask(lengths, x.shape[2])[:, None, :, None] & self.real
        pooled = masked_mean(x, mask, (2, 3)).flatten(1)
        feature, embedding = self.standardise(pooled)
        return StreamOutput(embedding, self.score(feature).squeeze(1))
