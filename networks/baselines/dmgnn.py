"""The encoder of the dynamic multiscale graph network (Li et al., CVPR 2020), in the structure of its public code.

Legend: N clips, T time steps, V nodes of a scale, C channels, H hidden width between scales. Inside, features are
(N, C, T, V).
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from networks.baselines.body_scales import Scale, body_scales
from networks.baselines.segments import segment_means
from networks.baselines.stgcn import SpatialTemporalBlock, initialise
from networks.normalisation import MaskedBatchNorm
from networks.psgcn import PoseNormalisation
from networks.sequences import halved, masked, masked_mean, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput
from schemas.joints import JointLayout

LEVEL_CHANNELS: Final = (32, 64, 128, 256)
TEMPORAL_KERNEL: Final = 5
FUSION_HIDDEN: Final = 256
FUSION_BINS: Final = (25, 13)
"""Steps that the exchange after the first and the second level sees: what the public code's 49 frames leave."""

FUSION_DROPOUT: Final = 0.2
CROSS_SCALE_WEIGHT: Final = 0.3
COARSE_WEIGHT: Final = 0.6
"""The public code's ``cross_w`` and ``lamda`` for Human3.6M."""

FUSED_PAIRS: Final = ((0, 1), (1, 0), (1, 2), (2, 1))
"""From which scale to which: joints and parts, parts and limbs."""


class Perceptron(nn.Module):
    """Linear, leaky ReLU, dropout, a linear layer that sees the input again, BN and, unless it is the last, leaky
    ReLU."""

    def __init__(self, width_in: int, width: int, *, last: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(width_in, width)
        self.second = nn.Linear(width + width_in, width)
        for layer in (self.first, self.second):
            nn.init.xavier_normal_(layer.weight)
            nn.init.constant_(layer.bias, 0.1)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(FUSION_DROPOUT)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """(N, V, C) to (N, V, C')."""
        hidden = self.dropout(nn.functional.leaky_relu(self.first(x)))
        hidden = self.second(torch.cat((hidden, x), dim=2))
        hidden = self.norm(hidden.flatten(0, 1)).unflatten(0, x.shape[:2])
        return hidden if self.last else nn.functional.leaky_relu(hidden)


class NodeEmbedding(nn.Module):
    """What a node is to the attention between scales: its motion, and messages from every other node of its scale."""

    def __init__(self, channels: int, bins: int, hidden: int) -> None:
        super().__init__()
        self.bins = bins
        self.temporal = nn.Conv2d(channels, channels, (TEMPORAL_KERNEL, 1), (2, 1), padding=(TEMPORAL_KERNEL // 2, 0))
        self.norm = MaskedBatchNorm(channels)
        self.dropout = nn.Dropout(FUSION_DROPOUT)
        self.node = Perceptron(bins * channels, hidden)
        self.edge = Perceptron(2 * hidden, hidden)
        self.gathered = Perceptron(2 * hidden, hidden, last=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(N, C, T, V), zero at padding, and lengths (N,) to (N, V, H)."""
        clips, channels, _, nodes = x.shape
        hidden, lengths = self.temporal(x), halved(lengths)
        mask = time_mask(lengths, hidden.shape[2])[:, None, :, None]
        hidden = self.dropout(self.norm(hidden, mask))
        steps = hidden.permute(0, 2, 3, 1).flatten(2)
        motion = segment_means(steps, lengths, self.bins).view(clips, self.bins, nodes, channels)
        node = self.node(motion.transpose(1, 2).flatten(2))
        embedding: Tensor = self.gathered(torch.cat((self.messages(node), node), dim=2))
        return embedding

    def messages(self, node: Tensor) -> Tensor:
        """(N, V, H): for each receiver r, the sum over senders s ≠ r of the edge perceptron of (r, r - s), over V."""
        nodes = node.shape[1]
        receiver, sender = (~torch.eye(nodes, dtype=torch.bool, device=node.device)).nonzero().unbind(1)
        received = node[:, receiver]
        edge: Tensor = self.edge(torch.cat((received, received - node[:, sender]), dim=2))
        return edge.view(len(node), nodes, nodes - 1, -1).sum(2) / nodes


class CrossScale(nn.Module):
    """Features of one scale for another: every target node attends to all source nodes of the clip."""

    def __init__(self, channels: int, bins: int, hidden: int) -> None:
        super().__init__()
        self.source = NodeEmbedding(channels, bins, hidden)
        self.target = NodeEmbedding(channels, bins, hidden)

    def forward(self, source: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
        """(N, C, T, V) of the source and (N, C, T, V') of the target scale to (N, C, T, V')."""
        compatibility: Tensor = self.source(source, lengths) @ self.target(target, lengths).transpose(1, 2)
        return source @ compatibility.softmax(dim=1)[:, None]


class ScaleBlock(nn.Module):
    """A spatial temporal block on one scale, with the connectivity A ∘ M + S; M and S are learned from one and zero."""

    adjacency: Tensor

    def __init__(self, width_in: int, width: int, scale: Scale, *, stride: int, dropout: float, residual: bool) -> None:
        super().__init__()
        # A constant of the layout: it moves with the module but is not part of a checkpoint.
        self.register_buffer("adjacency", scale.adjacency, persistent=False)
        self.importance = nn.Parameter(torch.ones_like(scale.adjacency))
        self.learned = nn.Parameter(torch.zeros_like(scale.adjacency))
        self.block = SpatialTemporalBlock(
            width_in,
            width,
            subsets=len(scale.adjacency),
            temporal_kernel=TEMPORAL_KERNEL,
            stride=stride,
            dropout=dropout,
            residual=residual,
        )
        initialise(self.block)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, T, V), zero at padding, and lengths (N,) to the block's output, likewise zeroed, and its lengths."""
        output: tuple[Tensor, Tensor] = self.block(x, self.adjacency * self.importance + self.learned, lengths)
        return output


class Level(nn.Module):
    """One block per scale and, if ``bins`` is given, the exchange between the scales."""

    def __init__(
        self,
        width_in: int,
        width: int,
        scales: Sequence[Scale],
        *,
        first: bool,
        dropout: float,
        hidden: int,
        bins: int | None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ScaleBlock(width_in, width, scale, stride=1 if first else 2, dropout=dropout, residual=not first)
            for scale in scales
        )
        self.crossings = nn.ModuleList(CrossScale(width, bins, hidden) for _ in FUSED_PAIRS) if bins else None

    def forward(self, features: Sequence[Tensor], lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Per scale (N, C, T, V), zero at padding, and lengths (N,) to the level's output and its lengths."""
        outputs = [block(feature, lengths) for block, feature in zip(self.blocks, features, strict=True)]
        separate, lengths = [output for output, _ in outputs], outputs[0][1]
        if self.crossings is None:
            return separate, lengths
        fused = list(separate)
        for crossing, (source, target) in zip(self.crossings, FUSED_PAIRS, strict=True):
            fused[target] = fused[target] + CROSS_SCALE_WEIGHT * crossing(separate[source], separate[target], lengths)
        return fused, lengths


class Encoder(nn.Module):
    """Four levels on three scales, fused after the first two, then added up in the joints for one more block."""

    def __init__(self, layout: JointLayout, channels: int, *, width: float, dropout: float) -> None:
        super().__init__()
        widths = [scaled_channels(count, width) for count in LEVEL_CHANNELS]
        scales = body_scales(layout)
        self.coarse_scales = range(1, len(scales))
        self.levels = nn.ModuleList(
            Level(
                before,
                after,
                scales,
                first=level == 0,
                dropout=dropout,
                hidden=scaled_channels(FUSION_HIDDEN, width),
                bins=FUSION_BINS[level] if level < len(FUSION_BINS) else None,
            )
            for level, (before, after) in enumerate(zip((channels, *widths), widths, strict=False))
        )
        self.top = ScaleBlock(widths[-1], widths[-1], scales[0], stride=1, dropout=dropout, residual=True)
        for index in self.coarse_scales:
            self.register_buffer(f"averaging{index}", scales[index].averaging(), persistent=False)
            self.register_buffer(f"node_of_joint{index}", scales[index].node_of_joint, persistent=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(N, C, T, V), zero at padding, and lengths (N,) to the mean over real steps (N, V, C')."""
        features = [x, *(x @ self.get_buffer(f"averaging{index}") for index in self.coarse_scales)]
        for level in self.levels:
            features, lengths = level(features, lengths)
        joints = features[0]
        for index in self.coarse_scales:
            spread = features[index].index_select(3, self.get_buffer(f"node_of_joint{index}"))
            joints = joints + COARSE_WEIGHT * spread
        top, lengths = self.top(joints, lengths)
        mask = time_mask(lengths, top.shape[2])[:, None, :, None]
        return masked_mean(top, mask, (2,)).squeeze(2).transpose(1, 2)


class DMGNN(StreamNetwork):
    """Skeletal baseline: encoders of position, velocity and acceleration, a linear layer with ReLU, mean over joints.

    Departures from the public code, which predicts motion: its decoder gives way to the mean over joints and a linear
    score. It is built for 49 frames, so what the attention between scales sees is averaged to the number of steps that
    49 frames give (exactly those, for 49 frames). It also mixes the axes of joints and time there, and hands the last
    joint of the right leg the torso's features; here both go where the paper says. Human3.6M's 20 joints are
    replaced by the layout's, grouped by name (``body_scales``), the input is centred and scaled per clip as for PSGCN,
    and padded steps are masked. Raises ``ConfigurationError`` for a layout without all ten parts (COCO has no torso).
    """

    def __init__(self, layout: JointLayout, channels: int = 2, *, width: float = 1.0, dropout: float = 0.5) -> None:
        """``channels`` C of a joint. ``width`` multiplies the channel counts."""
        super().__init__()
        encoded = scaled_channels(LEVEL_CHANNELS[-1], width)
        self.embedding_dim = encoded
        self.normalise = PoseNormalisation(layout)
        self.encoders = nn.ModuleList(Encoder(layout, channels, width=width, dropout=dropout) for _ in range(3))
        self.merged = nn.Linear(3 * encoded, encoded)
        self.score = nn.Linear(encoded, 1)

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, V, C) frames in the layout's joint order, of which the first ``lengths`` (N,) steps are real."""
        lengths = lengths.clamp(min=1)
        position = self.normalise(frames, time_mask(lengths, frames.shape[1])[:, :, None, None])
        encoded = [
            encoder(motion.permute(0, 3, 1, 2), lengths)
            for encoder, motion in zip(self.encoders, (position, *differences(position, lengths)), strict=True)
        ]
        embedding = torch.relu(self.merged(torch.cat(encoded, dim=2))).mean(1)
        return StreamOutput(embedding, self.score(embedding).squeeze(1))


def differences(position: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Velocity x_t - x_{t-1}, zero at the first step, and acceleration v_{t+1} - v_t, zero at the last real one.

    ``position`` (N, T, V, C); both results have its shape and are zero at padding.
    """
    step = position[:, 1:] - position[:, :-1]
    velocity = torch.nn.functional.pad(step, (0, 0, 0, 0, 1, 0))
    velocity = masked(velocity, time_mask(lengths, position.shape[1])[:, :, None, None])
    change = torch.nn.functional.pad(velocity[:, 1:] - velocity[:, :-1], (0, 0, 0, 0, 0, 1))
    before_last = torch.arange(position.shape[1], device=position.device) < lengths[:, None] - 1
    return velocity, masked(change, before_last[:, :, None, None])
