"""LSTM, LSTM with self-attention, and TCN (Bendit-Shtull et al. 2020, Section 3.2).

Legend: N clips, T time steps, C channels, H hidden width, K styles.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from networks.baselines.tcn import TemporalConvNet
from networks.sequences import masked, time_mask
from networks.styles.network import FeatureNetwork, check_sizes

TCN_LAYERS: Final = 6
TCN_WIDTH: Final = 128
TCN_KERNEL: Final = 3


class StyleLSTM(FeatureNetwork):
    """Dropout on the input, one LSTM layer, and a linear map of its last output (Section 3.2.1)."""

    def __init__(self, channels: int, styles: int, *, hidden: int = 128, dropout: float = 0.7) -> None:
        """``channels`` C of a step, ``styles`` K, ``hidden`` H. The defaults are the paper's final model."""
        super().__init__()
        check_sizes(channels, styles, dropout)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.LSTM(channels, hidden, batch_first=True)
        self.head = nn.Linear(hidden, styles)

    def features(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The last output (N, H) of (N, T, C) features, of which the first ``lengths`` (N,) steps are real."""
        return self.states(frames, lengths)[1]

    def logits(self, features: Tensor) -> Tensor:
        """(N, K) of (N, H)."""
        logits: Tensor = self.head(features)
        return logits

    def states(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs (N, T, H), zero at padding, the last output (N, H) and the last cell state (N, H)."""
        lengths = lengths.clamp(min=1)
        packed = pack_padded_sequence(
            self.dropout(masked(frames, time_mask(lengths, frames.shape[1])[:, :, None])),
            lengths.cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        outputs, (last, cell) = self.recurrent(packed)
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=frames.shape[1])
        return padded, last[0], cell[0]


class AttentiveStyleLSTM(StyleLSTM):
    """The same, read by self-attention: α = softmax_t(c_T · y_t / √H), and a linear map of Σ α_t y_t (Section 3.2.2).

    y_t are the outputs, c_T is the last cell state. The text divides by the dimension, the equation by its root: the
    root is taken.
    """

    def __init__(self, channels: int, styles: int, *, hidden: int = 32, dropout: float = 0.05) -> None:
        """As ``StyleLSTM``; the defaults are the paper's final model."""
        super().__init__(channels, styles, hidden=hidden, dropout=dropout)

    def features(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Σ α_t y_t (N, H) of (N, T, C) features, of which the first ``lengths`` (N,) steps are real."""
        outputs, _, cell = self.states(frames, lengths)
        return (self.weights(outputs, cell, lengths)[:, :, None] * outputs).sum(1)

    def weights(self, outputs: Tensor, cell: Tensor, lengths: Tensor) -> Tensor:
        """α (N, T): what part each step has, zero at padding."""
        compatibility = (outputs * cell[:, None]).sum(2) / math.sqrt(cell.shape[1])
        return compatibility.masked_fill(~time_mask(lengths, outputs.shape[1]), -math.inf).softmax(1)


class StyleTCN(FeatureNetwork):
    """Causal TCN of six blocks of 128 channels with kernel 3, read at the last step (Section 3.2.3; Bai et al. 2018).

    With 614 channels and ten styles it has 859,530 parameters. ``load_official_tcn`` loads weights of the public code.
    """

    def __init__(
        self,
        channels: int,
        styles: int,
        *,
        layers: int = TCN_LAYERS,
        width: int = TCN_WIDTH,
        kernel: int = TCN_KERNEL,
        dropout: float = 0.02,
    ) -> None:
        """``channels`` C of a step, ``styles`` K. The defaults are the paper's final model."""
        super().__init__()
        check_sizes(channels, styles, dropout)
        self.network = TemporalConvNet(channels, [width] * layers, styles, kernel=kernel, dropout=dropout)

    def features(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The last real step (N, D) of (N, T, C) features, of which the first ``lengths`` (N,) are real."""
        # The last real step sees only steps before it; padding is cleared for the sake of the gradients.
        frames = masked(frames, time_mask(lengths, frames.shape[1])[:, :, None])
        features = self.network.features(frames.transpose(1, 2))
        last = (lengths.clamp(min=1) - 1)[:, None, None].expand(-1, features.shape[1], 1)
        return torch.gather(features, 2, last).squeeze(2)

    def logits(self, features: Tensor) -> Tensor:
        """(N, K) of (N, D)."""
        logits: Tensor = self.network.head(features)
        return logits
