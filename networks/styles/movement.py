"""How much and how fast each joint moves, and a linear discriminant of that: the style classifier of a bundle.

The regularised linear discriminant (Fisher 1936; Ledoit & Wolf 2004, A well-conditioned estimator for large-dimensional
covariance matrices) has one covariance for all styles, so that what varies alike in all of them, such as tempo, camera
and choreography, counts little. It is fitted in closed form, and it says how far a clip is from all that it was fitted
to.

Legend: N clips, T time steps, V joints, C coordinates, D descriptors, K styles.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from networks.errors import UnusableSamples
from networks.sequences import masked, time_mask
from networks.styles.clips import StyleClip, styles_of
from networks.styles.network import StyleNetwork, check_sizes
from schemas.joints import JointLayout

SMALLEST_SPREAD: Final = 1e-3
"""Added to a spread before its logarithm is taken, in mean absolute coordinates of the clip."""
SMALLEST_SPEED: Final = 1e-4
"""Likewise to a speed, for each frame."""
LEAST_VARIATION: Final = 1e-6
"""A descriptor whose standard deviation over clips is not above this says nothing."""
PER_COORDINATE: Final = 3
_CLIPS_AT_ONCE: Final = 64

Array = NDArray[np.float64]


class MovementDiscriminant(StyleNetwork):
    """Logits and the familiarity of clips, by ``movement`` of their poses in ``layout``.

    With w the whitened descriptors, c_k the whitened mean of style k, and z and e_k the parts of w - mean(c) and
    c_k - mean(c) in the space that the means span, the logits are -‖z - e_k‖² / 2: the log density of equally frequent
    normal distributions with one covariance, up to what is the same for all. The familiarity is the negative sum of two
    mean squares: of z - e_k over its K - 1 dimensions, for the nearest style, and of the rest of w over the other
    D - K + 1. Both are about 1 for a clip like those of the fit, whatever D is. All is computed in float64.
    """

    def __init__(self, layout: JointLayout, styles: int) -> None:
        """``styles`` K. Until it is fitted (``fit_discriminant``) all is zero."""
        super().__init__()
        check_sizes(layout.coordinates, styles, 0.0)
        self.layout = layout
        width = descriptor_width(layout)
        for name, shape in {
            "mean": (width,),
            "whitening": (width, width),
            "centre": (width,),
            "basis": (width, styles - 1),
            "places": (styles, styles - 1),
        }.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.mean: Tensor
        self.whitening: Tensor
        self.centre: Tensor
        self.basis: Tensor
        self.places: Tensor

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, K) of (N, T, V, C) poses, of which the first ``lengths`` (N,) steps are real."""
        return self.judged(frames, lengths)[0]

    def judged(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and familiarity (N,)."""
        whitened = (self.movement(frames, lengths) - self.mean) @ self.whitening - self.centre
        within = whitened @ self.basis
        squares = (within[:, None] - self.places).square().sum(2)
        beside = (whitened.square().sum(1) - within.square().sum(1)).relu()
        dimensions = self.basis.shape[1]
        familiarity = -squares.amin(1) / dimensions - beside / (len(self.mean) - dimensions)
        return (-squares / 2).float(), familiarity.float()

    def movement(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(N, D) descriptors: of each coordinate of each joint the logarithm of its standard deviation, of its mean
        speed and of the standard deviation of its speed, from frame to frame.

        Poses are centred on the body's centre in each frame and divided by the clip's mean absolute coordinate;
        three-dimensional ones are turned so that the hips lie along the first axis. What bodies look like is left out:
        the mean pose would say who dances.
        """
        real = time_mask(lengths, frames.shape[1])
        mask = real[:, :, None, None]
        position = masked(frames[..., : self.layout.coordinates].double(), mask)
        position = position - position[:, :, list(self.layout.centre)].mean(2, keepdim=True)
        if self.layout.coordinates == 3:
            position = self._turned(position)
        count = real.sum(1).double()[:, None, None]
        size = masked(position.abs(), mask).sum((1, 2, 3), keepdim=True)
        size = size / (count[..., None] * position.shape[2] * position.shape[3])
        position = masked(position / torch.where(size > 0, size, torch.ones_like(size)), mask)
        steps, between = position[:, 1:] - position[:, :-1], mask[:, 1:]
        parts = (
            _deviation(position, mask, count) + SMALLEST_SPREAD,
            masked(steps.abs(), between).sum(1) / (count - 1).clamp(min=1) + SMALLEST_SPEED,
            _deviation(steps, between, (count - 1).clamp(min=1)) + SMALLEST_SPEED,
        )
        return torch.cat([part.log().flatten(1) for part in parts], dim=1)

    def _turned(self, position: Tensor) -> Tensor:
        left, right = (self.layout.joints.index(f"{side} hip") for side in ("left", "right"))
        across = position[:, :, left] - position[:, :, right]
        along, towards = across[..., :1], across[..., 2:]
        length = (along.square() + towards.square()).sqrt()
        unit = torch.where(length > 0, length, torch.ones_like(length))
        cosine = torch.where(length > 0, along / unit, torch.ones_like(length))
        sine = torch.where(length > 0, towards / unit, torch.zeros_like(length))
        x, y, z = position[..., 0], position[..., 1], position[..., 2]
        return torch.stack((x * cosine + z * sine, y, z * cosine - x * sine), dim=-1)


def descriptor_width(layout: JointLayout) -> int:
    """D."""
    return PER_COORDINATE * layout.joint_count * layout.coordinates


def fit_discriminant(clips: Sequence[StyleClip], layout: JointLayout) -> MovementDiscriminant:
    """A discriminant of the clips' styles, class k being ``styles_of(clips)[k]``; every style has the same weight.

    Raises ``UnusableSamples`` for clips that cannot be used, and if no style has clips that differ.
    """
    styles = styles_of(clips)
    network = MovementDiscriminant(layout, len(styles))
    described = _described(network, clips)
    truth = np.array([styles.index(clip.style) for clip in clips])
    mean, scale = described.mean(0), described.std(0)
    scale = np.where(scale > LEAST_VARIATION, scale, np.inf)  # the body's centre does not move: it counts nothing
    values = (described - mean) / scale
    means = np.stack([values[truth == style].mean(0) for style in range(len(styles))])
    variances, axes = np.linalg.eigh(ledoit_wolf(values - means[truth])[0])
    if not variances[0] > 0:
        raise UnusableSamples(
            "the clips of each style all move alike, so what varies within a style cannot be learned; add recordings",
            field="style",
        )
    whitening = axes / np.sqrt(variances)
    whitened = means @ whitening
    centre = whitened.mean(0)
    basis = np.linalg.svd(whitened - centre, full_matrices=False)[2][: len(styles) - 1].T
    for name, value in {
        "mean": mean,
        "whitening": whitening / scale[:, None],
        "centre": centre,
        "basis": basis,
        "places": (whitened - centre) @ basis,
    }.items():
        network.get_buffer(name).copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return network.eval()


@torch.inference_mode()
def judge(network: MovementDiscriminant, clips: Sequence[StyleClip]) -> tuple[Array, Array]:
    """Logits (N, K) and familiarity (N,) of the clips; their styles are not read."""
    logits, familiarity = [np.empty((0, len(network.places)))], [np.empty(0)]
    for frames, lengths in _padded(clips):
        found = network.judged(frames, lengths)
        logits.append(found[0].double().numpy())
        familiarity.append(found[1].double().numpy())
    return np.concatenate(logits), np.concatenate(familiarity)


@torch.inference_mode()
def _described(network: MovementDiscriminant, clips: Sequence[StyleClip]) -> Array:
    return np.concatenate([network.movement(*each).numpy() for each in _padded(clips)])


def _padded(clips: Sequence[StyleClip]) -> list[tuple[Tensor, Tensor]]:
    batches = []
    for start in range(0, len(clips), _CLIPS_AT_ONCE):
        part = [torch.from_numpy(np.array(clip.frames, np.float32)) for clip in clips[start : start + _CLIPS_AT_ONCE]]
        frames = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
        batches.append((frames, torch.tensor([len(each) for each in part])))
    return batches


def _deviation(x: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Standard deviation (N, V, C) of (N, T, V, C) over real steps."""
    mean = masked(x, mask).sum(1) / count
    return (masked((x - mean[:, None]).square(), mask).sum(1) / count).sqrt()
