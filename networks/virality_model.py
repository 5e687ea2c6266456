"""The virality model: one stream per modality and attentive fusion (paper, Fig. 2).

Legend: N clips, T time steps, V joints, C channels, D embedding width, M modalities (in ``MODALITIES`` order).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.baselines.dmgnn import DMGNN
from networks.baselines.lstm import LSTM
from networks.baselines.segments import SegmentRegression
from networks.baselines.spatial_attention import SpatialAttention
from networks.baselines.stgcn import STGCN
from networks.baselines.tcn import TCN
from networks.baselines.usdl import USDL
from networks.fusion import AttentiveFusion, MeanFusion
from networks.model_config import ViralityModelConfig
from networks.psgcn import PSGCN
from networks.rtcn import RTCN
from networks.sequences import scaled_channels
from networks.streams import StreamNetwork, StreamOutput
from schemas.joints import layout_named
from schemas.modalities import Modality

FUSION_HIDDEN = 128
"""C' of Eq. (12) at full width. The paper gives no number."""


class ViralityModelOutput(NamedTuple):
    """``scores`` (N, M) and ``embeddings`` (N, sum of D), zero for absent modalities; ``attention`` (N, M); ``fused``
    (N,)."""

    scores: Tensor
    embeddings: Tensor
    attention: Tensor
    fused: Tensor


class ViralityModel(nn.Module):
    """Streams for the configured modalities and their fusion."""

    def __init__(self, config: ViralityModelConfig) -> None:
        super().__init__()
        self.config = config
        self.streams = nn.ModuleDict({str(modality): _stream(config, modality) for modality in config.modalities})
        self.embedding_dims = tuple(self.stream(modality).embedding_dim for modality in config.modalities)
        hidden = scaled_channels(FUSION_HIDDEN, config.fusion_width)
        self.fusion: AttentiveFusion | MeanFusion = (
            AttentiveFusion(sum(self.embedding_dims), len(config.modalities), hidden)
            if config.attentive_fusion
            else MeanFusion()
        )

    def stream(self, modality: Modality) -> StreamNetwork:
        """The stream of ``modality``; ``KeyError`` if the model has none."""
        network = self.streams[str(modality)]
        if not isinstance(network, StreamNetwork):
            raise TypeError(f"the {modality} stream is a {type(network).__name__}")
        return network

    def forward(self, inputs: Mapping[Modality, tuple[Tensor, Tensor]], present: Tensor) -> ViralityModelOutput:
        """Score a padded batch.

        ``inputs`` maps each modality to frames (N, T, V, C) or (N, T, C) and lengths (N,); one that no clip has may
        be left out. ``present`` (N, M) says which clip has which; a stream sees only the clips that have its
        modality, so what stands in the other rows is of no consequence, not even for the statistics of batch
        normalisation.
        """
        outputs = [
            self._stream_output(modality, inputs.get(modality), present[:, index])
            for index, modality in enumerate(self.config.modalities)
        ]
        scores = torch.stack([output.score for output in outputs], dim=1)
        embeddings = torch.cat([output.embedding for output in outputs], dim=1)
        attention, fused = self.fusion(embeddings, scores, present)
        return ViralityModelOutput(scores, embeddings, attention, fused)

    def _stream_output(self, modality: Modality, batch: tuple[Tensor, Tensor] | None, present: Tensor) -> StreamOutput:
        network = self.stream(modality)
        clips = present.shape[0]
        embedding = next(network.parameters()).new_zeros(clips, network.embedding_dim)
        score = embedding.new_zeros(clips)
        rows = present.nonzero().squeeze(1)
        if batch is None or rows.numel() == 0:
            return StreamOutput(embedding, score)
        frames, lengths = batch
        output = network(frames[rows], lengths[rows])
        return StreamOutput(embedding.index_copy(0, rows, output.embedding), score.index_copy(0, rows, output.score))


def _stream(config: ViralityModelConfig, modality: Modality) -> StreamNetwork:
    if modality.has_joints:
        return _graph_network(config)
    return _temporal_network(config, config.input_channels(modality))


def _graph_network(config: ViralityModelConfig) -> StreamNetwork:
    layout, channels = layout_named(config.joint_layout), config.joint_channels
    match config.skeletal_network:
        case "st-gcn":
            return STGCN(layout, channels, width=config.graph_width, dropout=config.dropout)
        case "dmgnn":
            return DMGNN(layout, channels, width=config.graph_width, dropout=config.dropout)
        case "psgcn":
            return PSGCN(
                layout,
                channels,
                width=config.graph_width,
                dropout=config.dropout,
                temporal_kernel=config.temporal_kernel,
                sampling=config.sampling,
                pyramid=config.pyramid,
            )


def _temporal_network(config: ViralityModelConfig, channels: int) -> StreamNetwork:
    width, dropout, kernel = config.temporal_width, config.dropout, config.temporal_kernel
    match config.appearance_network:
        case "lstm":
            return LSTM(channels, width=width, dropout=dropout)
        case "tcn":
            return TCN(channels, width=width, dropout=dropout, temporal_kernel=kernel)
        case "segments":
            return SegmentRegression(channels, width=width, dropout=dropout)
        case "spatial-attention":
            return SpatialAttention(channels, width=width, dropout=dropout)
        case "usdl":
            return USDL(channels, width=width)
        case "rtcn":
            return RTCN(
                channels,
                width=width,
                dropout=dropout,
                temporal_kernel=kernel,
                relational_pooling=config.relational_pooling,
            )
