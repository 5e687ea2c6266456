"""Frame by frame: every frame is classified alone, and the majority names the clip (Bendit-Shtull et al., Section 3.1).

Legend: N clips, T time steps, C channels, K styles, P people (20), V joints (17).
"""

from typing import Final

import torch
from torch import Tensor, nn

from networks.sequences import masked, masked_mean, time_mask
from networks.styles.network import StyleNetwork, check_sizes

PEOPLE: Final = 20
JOINTS: Final = 17
FILTERS: Final = 3
POSE_FEATURES: Final = FILTERS * JOINTS * 2
"""102."""

IMAGE_FEATURES: Final = 512
"""Of ResNet-18 without its last layer."""

TWO_STREAM_FEATURES: Final = IMAGE_FEATURES + POSE_FEATURES
"""614: what the sequential networks read."""


class FrameNetwork(StyleNetwork):
    """A classifier of single frames: trained on each frame alone, it names a clip by vote."""

    def frame_logits(self, frames: Tensor) -> Tensor:
        """Logits (…, K) of single frames (…, any shape of a frame)."""
        raise NotImplementedError

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, K) of the vote over (N, T, …) frames, of which the first ``lengths`` (N,) are real."""
        mask = time_mask(lengths, frames.shape[1])
        real = mask.reshape(*mask.shape, *(1 for _ in frames.shape[2:]))
        return vote_logits(self.frame_logits(masked(frames, real)), mask)

    def loss(self, frames: Tensor, lengths: Tensor, styles: Tensor) -> Tensor:
        """The mean cross-entropy of all real frames, each with its clip's style."""
        mask = time_mask(lengths, frames.shape[1])
        return nn.functional.cross_entropy(self.frame_logits(frames[mask]), styles[:, None].expand_as(mask)[mask])


class FrameClassifier(FrameNetwork):
    """A linear head on the features of an image network."""

    def __init__(self, channels: int, styles: int, *, dropout: float = 0.0) -> None:
        """``channels`` C of a frame, ``styles`` K."""
        super().__init__()
        check_sizes(channels, styles, dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, styles)
        self.apply(_initialise)

    def frame_logits(self, frames: Tensor) -> Tensor:
        """Logits (…, K) of single frames (…, C)."""
        logits: Tensor = self.head(self.dropout(frames))
        return logits


class PoseCNN(FrameNetwork):
    """Two convolutions of three filters of size 3, ReLU, and a linear map of the 102 values that come out.

    People are the channels of an image of 17 joints by two coordinates, padded by one: this is how three filters give
    102 values.
    """

    def __init__(self, styles: int) -> None:
        """``styles`` K."""
        super().__init__()
        check_sizes(PEOPLE, styles, 0.0)
        self.convolutions = nn.Sequential(
            nn.Conv2d(PEOPLE, FILTERS, 3, padding=1), nn.Conv2d(FILTERS, FILTERS, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(POSE_FEATURES, styles)
        self.apply(_initialise)

    def features(self, poses: Tensor) -> Tensor:
        """(…, P, V, 2) coordinates in [-1, 1], zero for absent people, to (…, 102)."""
        flat: Tensor = self.convolutions(poses.flatten(0, -4))
        return flat.reshape(*poses.shape[:-3], POSE_FEATURES)

    def frame_logits(self, frames: Tensor) -> Tensor:
        """Logits (…, K) of the people in single frames (…, P, V, 2)."""
        logits: Tensor = self.head(self.features(frames))
        return logits


def two_stream_features(images: Tensor, poses: Tensor, network: PoseCNN) -> Tensor:
    """(N, T, 512) features of images and (N, T, P, V, 2) poses to (N, T, 614), what the sequential networks read.

    Features are extracted frame by frame, without gradients: the streams meet late.
    """
    with torch.no_grad():
        return torch.cat((images, network.features(poses)), dim=2)


def vote_logits(logits: Tensor, mask: Tensor) -> Tensor:
    """Log shares (N, K) of the styles in the votes of frames with ``logits`` (N, T, K); ``mask`` (N, T) is true at
    real ones.

    The share of a style is its number of votes and its mean probability, over the number of frames and one: the most
    votes win, and the mean probability decides between equal numbers.
    """
    real = mask[:, :, None]
    votes = masked(nn.functional.one_hot(logits.argmax(2), logits.shape[2]).to(logits.dtype), real).sum(1)
    probability = masked_mean(logits.softmax(2), real, (1,)).squeeze(1)
    return ((votes + probability) / (real.sum(1) + 1)).log()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
