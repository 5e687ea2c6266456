"""Segment-averaged regression, after S3D (Xiang et al., ICIP 2018): one regressor per segment of the clip.

Legend: N clips, T time steps, C channels, K segments, H hidden width.
"""

import torch
from torch import Tensor, nn

from networks.sequences import masked, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput
from schemas.errors import ConfigurationError

HIDDEN = 256
SEGMENTS = 5
"""S3D's stages of a dive: preparation, jumping, dropping, entering the water, ending."""


def segment_means(x: Tensor, lengths: Tensor, segments: int) -> Tensor:
    """Means (N, K, C) over ``segments`` equal parts of the first ``lengths`` (N,) steps of ``x`` (N, T, C).

    A step that two parts share counts in each by the share that lies in it, so a clip may be shorter than K steps. A
    clip of exactly K steps is returned as it is.
    """
    lengths = lengths.clamp(min=1)
    x = masked(x, time_mask(lengths, x.shape[1])[:, :, None])
    edges = torch.arange(segments + 1, device=x.device) * lengths[:, None] / segments
    step = torch.arange(x.shape[1], device=x.device)
    end = torch.minimum(edges[:, 1:, None], step + 1)
    start = torch.maximum(edges[:, :-1, None], step)
    shares = (end - start).clamp(min=0) * (segments / lengths[:, None, None])
    return shares.to(x.dtype) @ x


class SegmentRegression(StreamNetwork):
    """Appearance baseline: the mean of each of K equal segments, a regressor for each, the mean of their predictions.

    S3D finds the stages of a dive with a temporal network and trains one P3D network per stage; dances have no common
    stages and our features are given, so the segments are equal in time and the regressors are small perceptrons (C → H
    → 1). The video-level feature (N, K·H) is their hidden layers side by side: the mean of K linear outputs is one
    linear map of it.
    """

    def __init__(self, channels: int, *, width: float = 1.0, dropout: float = 0.5, segments: int = SEGMENTS) -> None:
        """``channels`` C of a step. ``width`` multiplies H."""
        super().__init__()
        if segments < 1:
            raise ConfigurationError(f"{segments} segments; at least one is needed", field="segments")
        hidden = scaled_channels(HIDDEN, width)
        self.segments = segments
        self.embedding_dim = segments * hidden
        self.regressors = nn.ModuleList(nn.Linear(channels, hidden) for _ in range(segments))
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(self.embedding_dim, 1)

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, C) features of which the first ``lengths`` (N,) steps are real."""
        means = segment_means(frames, lengths, self.segments).unbind(1)
        hidden = [regressor(mean) for regressor, mean in zip(self.regressors, means, strict=True)]
        embedding = self.dropout(torch.relu(torch.cat(hidden, dim=1)))
        return StreamOutput(embedding, self.score(embedding).squeeze(1))
