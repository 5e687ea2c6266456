"""Frame-level attention averaging, after Bielski & Trzcinski (CVPR Workshops 2018).

Legend: N clips, T time steps, C channels, G groups of channels, H hidden width.
"""

import torch
from torch import Tensor, nn

from networks.sequences import masked, masked_mean, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput
from schemas.errors import ConfigurationError

GROUPS = 8
HIDDEN = 256


class SpatialAttention(StreamNetwork):
    """Appearance baseline: attention within every frame, a prediction for every frame, their mean.

    The original attends to places of a convolutional feature map. Our features are pooled over the picture, so the
    places are gone; the attention here weighs G equal groups of channels instead, which keeps the form (a softmax
    within the frame, no exchange between frames) and is not spatial attention in the strict sense. Per frame:
    v_g = W_g x_g, e_g = u · tanh(v_g + b_g), a = softmax(e), h = ReLU(Σ_g a_g v_g), prediction = w · h. The video-level
    feature is the mean of h over real frames; the mean prediction is the same linear map of it.
    """

    def __init__(self, channels: int, *, width: float = 1.0, dropout: float = 0.5, groups: int = GROUPS) -> None:
        """``channels`` C of a step, a multiple of ``groups`` G. ``width`` multiplies H."""
        super().__init__()
        if groups < 1 or channels % groups:
            raise ConfigurationError(f"{channels} channels cannot be split in {groups} equal groups", field="groups")
        self.groups = groups
        self.embedding_dim = scaled_channels(HIDDEN, width)
        self.values = nn.Conv1d(channels, groups * self.embedding_dim, 1, groups=groups, bias=False)
        self.offsets = nn.Parameter(torch.zeros(groups, self.embedding_dim, 1))
        self.query = nn.Conv1d(self.embedding_dim, 1, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(self.embedding_dim, 1)

    def attention(self, values: Tensor) -> Tensor:
        """Weights (N, G, 1, T) of the groups, one sum per frame, from ``values`` (N, G, H, T)."""
        looked_at = torch.tanh(values + self.offsets).flatten(0, 1)
        weights: Tensor = self.query(looked_at).unflatten(0, values.shape[:2]).softmax(dim=1)
        return weights

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, C) features of which the first ``lengths`` (N,) steps are real."""
        mask = time_mask(lengths, frames.shape[1])[:, None]
        values = self.values(masked(frames.transpose(1, 2), mask)).unflatten(1, (self.groups, -1))
        hidden = torch.relu((self.attention(values) * values).sum(1))
        embedding = self.dropout(masked_mean(hidden, mask, (2,)).flatten(1))
        return StreamOutput(embedding, self.score(embedding).squeeze(1))
