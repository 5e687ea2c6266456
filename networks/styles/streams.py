"""PSGCN and RTCN with a classification head: what the virality streams make of dance styles.

Legend: N clips, K styles, D embedding width.
"""

from torch import Tensor, nn

from networks.psgcn import PSGCN
from networks.rtcn import RTCN
from networks.streams import StreamNetwork
from networks.styles.network import FeatureNetwork, check_sizes
from schemas.joints import JointLayout


class StreamClassifier(FeatureNetwork):
    """A linear map of a stream's video-level feature. The stream's own score is neither read nor trained."""

    def __init__(self, stream: StreamNetwork, styles: int, *, dropout: float = 0.5) -> None:
        """``stream`` gives embeddings of width D; ``styles`` K. Dropout acts on the feature."""
        super().__init__()
        check_sizes(stream.embedding_dim, styles, dropout)
        self.stream = stream
        for parameter in getattr(stream, "score", nn.Identity()).parameters():
            parameter.requires_grad_(False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(stream.embedding_dim, styles)

    def features(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The embedding (N, D) of the frames that the stream reads, of which the first ``lengths`` (N,) are real."""
        embedding: Tensor = self.stream(frames, lengths).embedding
        return embedding

    def logits(self, features: Tensor) -> Tensor:
        """(N, K) of (N, D)."""
        logits: Tensor = self.head(self.dropout(features))
        return logits


def style_psgcn(layout: JointLayout, styles: int, *, width: float = 1.0, dropout: float = 0.5) -> StreamClassifier:
    """PSGCN on (N, T, V, C) poses of ``layout``; ``width`` multiplies its channel counts."""
    return StreamClassifier(PSGCN(layout, layout.coordinates, width=width, dropout=dropout), styles, dropout=dropout)


def style_rtcn(channels: int, styles: int, *, width: float = 1.0, dropout: float = 0.5) -> StreamClassifier:
    """RTCN on (N, T, C) features; ``width`` multiplies its channel counts."""
    return StreamClassifier(RTCN(channels, width=width, dropout=dropout), styles, dropout=dropout)
