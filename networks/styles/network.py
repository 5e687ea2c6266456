"""What every style network is: the frames of clips in, one logit per style out.

Legend: N clips, T time steps, V joints, C channels, D features, K styles.
"""

from torch import Tensor, nn

from schemas.errors import ConfigurationError


class StyleNetwork(nn.Module):
    """Tells the styles of clips apart. In evaluation a clip's logits depend on neither padding nor batch mates."""

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, K) of ``frames`` (N, T, …), of which the first ``lengths`` (N,) steps are real."""
        raise NotImplementedError

    def loss(self, frames: Tensor, lengths: Tensor, styles: Tensor) -> Tensor:
        """What training makes small: the mean cross-entropy, given the true ``styles`` (N,) as indices."""
        return nn.functional.cross_entropy(self(frames, lengths), styles)


class FeatureNetwork(StyleNetwork):
    """One whose logits are a map of one feature vector for each clip."""

    def features(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(N, D) of ``frames`` (N, T, …), of which the first ``lengths`` (N,) steps are real."""
        raise NotImplementedError

    def logits(self, features: Tensor) -> Tensor:
        """(N, K) of ``features`` (N, D)."""
        raise NotImplementedError

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, K) of ``frames`` (N, T, …), of which the first ``lengths`` (N,) steps are real."""
        return self.logits(self.features(frames, lengths))


def check_sizes(channels: int, styles: int, dropout: float) -> None:
    """Raise ``ConfigurationError`` unless there is something to read, something to tell apart, and a probability."""
    if channels < 1:
        raise ConfigurationError(f"channels must be at least 1, not {channels}", field="channels")
    if styles < 2:
        raise ConfigurationError(f"a classifier needs two styles, not {styles}", field="styles")
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"dropout must be at least 0 and below 1, not {dropout}", field="dropout")
