"""Recurrent baseline: long short-term memory (Hochreiter & Schmidhuber, 1997) over the features of a clip.

Legend: N clips, T time steps, C channels, D hidden width.
"""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from networks.sequences import masked_mean, scaled_channels, time_mask
from networks.streams import StreamNetwork, StreamOutput

LAYERS = 2
HIDDEN = 512


class LSTM(StreamNetwork):
    """Appearance baseline: two recurrent layers of 512 (paper, Section 5.1), read by a linear map.

    The video-level feature is the mean of the upper layer's states over the real steps. The paper does not say which
    states are read; the mean is how RTCN removes time, and the last state alone would have to carry up to 1,500 steps.
    Dropout acts between the layers and on the feature.
    """

    def __init__(self, channels: int, *, width: float = 1.0, dropout: float = 0.5) -> None:
        """``channels`` C of a step. ``width`` multiplies the hidden width."""
        super().__init__()
        self.embedding_dim = scaled_channels(HIDDEN, width)
        self.recurrent = nn.LSTM(channels, self.embedding_dim, LAYERS, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(self.embedding_dim, 1)

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score (N, T, C) features of which the first ``lengths`` (N,) steps are real."""
        lengths = lengths.clamp(min=1)
        packed = pack_padded_sequence(frames, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
        mask = time_mask(lengths, states.shape[1])[:, :, None]
        embedding = self.dropout(masked_mean(states, mask, (1,)).squeeze(1))
        return StreamOutput(embedding, self.score(embedding).squeeze(1))
