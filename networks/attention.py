"""Multi-head self-attention of the relational pooling block (paper, Eq. 10-11).

Legend: N clips, T time steps, C channels, H heads.
"""

import math

from torch import Tensor, nn


class MultiHeadSelfAttention(nn.Module):
    """O = LayerNorm(Concat_i(Attention(I W_i^Q, I W_i^K, I W_i^V)) W^O + I), with C' = C / H and no biases, as
    printed."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, T, C) to the same shape. Steps where ``mask`` (N, T) is false are attended to by none."""
        weights = self.weights(x, mask)
        gathered = (weights @ self._split(self.value(x))).transpose(1, 2).flatten(2)
        normed: Tensor = self.norm(self.output(gathered) + x)
        return normed

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attention weights (N, H, T, T): row t says where step t looks."""
        query, key = self._split(self.query(x)), self._split(self.key(x))
        compatibility = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        return compatibility.masked_fill(~mask[:, None, None, :], -math.inf).softmax(dim=3)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
