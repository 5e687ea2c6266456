"""What every stream network is: features of one modality in, a video-level feature and a score out.

Legend: N clips, T time steps, V joints, C channels, D embedding width.
"""

from typing import Final, NamedTuple

from torch import Tensor, nn

MIDDLE_SCORE: Final = 0.5


class StreamOutput(NamedTuple):
    """What a stream network says of N clips: ``embedding`` (N, D), the video-level feature, and ``score`` (N,)."""

    embedding: Tensor
    score: Tensor


class StreamNetwork(nn.Module):
    """The network of one modality. In evaluation a clip's output depends on neither padding nor batch mates."""

    embedding_dim: int
    """D."""

    def forward(self, frames: Tensor, lengths: Tensor) -> StreamOutput:
        """Score ``frames`` (N, T, V, C) or (N, T, C), of which the first ``lengths`` (N,) steps are real."""
        raise NotImplementedError

    def start_score(self) -> None:
        """Let every clip begin with the same score, the middle of the range of Eq. (2).

        The ranking losses leave the level of a stream's scores open. Streams that start at different levels let the
        attention move the fused score by going from one level to another, whatever the streams have found out.
        """
        score = getattr(self, "score", None)
        if isinstance(score, nn.Linear):
            nn.init.zeros_(score.weight)
            nn.init.constant_(score.bias, MIDDLE_SCORE)
