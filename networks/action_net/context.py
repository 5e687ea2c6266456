"""What an instance learns from the others of its routine: TCG-U (ACTION-NET, Section 3.2), and what Table 3 puts in
its place.

Legend: N routines, T instances, D width of an instance. Masks (N, T), or (1, T) for all routines, are true at real
instances.
"""

from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from networks.sequences import masked

AdjacencyReading = Literal["temporal", "features"]
"""What Eq. (1) measures: the distance in time, without +I in Eq. (2), as the public code; or of the features, with
+I, as printed."""

LAYERS: Final = 2


class GraphContext(nn.Module):
    """TCG-U: two graph convolutions H' = ReLU(Â H W + b) over all instances of a routine (Eq. 1-3).

    Â = D^-½ A D^-½ with D the row sums of A. ``temporal``: A_ij = exp(-|i - j| / K). ``features``: A_ij =
    exp(-‖f_i - f_j‖ / K), plus I. Eq. (3) is printed with Ã where Eq. (2) introduces Â; Â is used. Biases are the
    public code's.
    """

    def __init__(self, width: int, *, adjacency: AdjacencyReading = "temporal", scale: float = 1.0) -> None:
        """``width`` D; ``scale`` K of Eq. (1)."""
        super().__init__()
        self.width = width
        self.reading = adjacency
        self.scale = scale
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(LAYERS))

    def adjacency(self, x: Tensor, mask: Tensor) -> Tensor:
        """Â (N, T, T), or (1, T, T) if all routines share it. Rows and columns of padding are zero."""
        if self.reading == "features":
            weights = torch.exp(-_distances(x) / self.scale) + torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        else:
            weights = temporal_weights(x.shape[1], self.scale, like=x)[None]
        weights = masked(weights, mask[:, :, None] & mask[:, None, :])
        degree = weights.sum(2)
        root = torch.where(degree > 0, degree, 1.0).pow(-0.5)
        return root[:, :, None] * weights * root[:, None, :]

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, T, D) to the same shape. What stands at padding has no influence on real instances."""
        adjacency = self.adjacency(x, mask)
        for layer in self.layers:
            x = torch.relu(layer(adjacency @ x))
        return x


def _distances(x: Tensor) -> Tensor:
    """‖f_i - f_j‖ (N, T, T) of (N, T, D), written out because torch.cdist has no ONNX counterpart. At zero, where the
    root has no derivative, the gradient is zero."""
    squared = (x[:, :, None] - x[:, None]).square().sum(3)
    apart = squared > 0
    return masked(torch.where(apart, squared, 1.0).sqrt(), apart)


def temporal_weights(instances: int, scale: float, *, like: Tensor) -> Tensor:
    """A_ij = exp(-|i - j| / K), (T, T), before normalisation."""
    at = torch.arange(instances, dtype=like.dtype, device=like.device)
    return torch.exp(-(at[:, None] - at).abs() / scale)


class RecurrentContext(nn.Module):
    """An LSTM of 256, or one of 128 in each direction, in the place of TCG-U (Table 3).

    Real instances have to come first: a mask with gaps is read as if the instances after a gap followed at once.
    """

    def __init__(self, channels: int, width: int, *, bidirectional: bool) -> None:
        """``channels`` D of an instance; ``width`` of the result, both directions together."""
        super().__init__()
        self.width = width
        hidden = width // 2 if bidirectional else width
        self.recurrent = nn.LSTM(channels, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, T, D) to (N, T, ``width``)."""
        mask = mask.expand(x.shape[:2])
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=x.shape[1])
        return states
