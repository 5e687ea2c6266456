"""How much and how fast each joint moves, and a linear discriminant of that: the style classifier of a bundle.

The discriminant (``networks.styles.discriminant``) says how far a clip is from all that it was fitted to. On recorded
dances inner folds choose it among others (``networks.styles.choosing``).

Legend: N clips, T time steps, V joints, C coordinates, D descriptors, K styles.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from networks.sequences import masked, time_mask
from networks.styles.clips import StyleClip, styles_of
from networks.styles.discriminant import linear_discriminant
from networks.styles.judging import PoseClassifier, padded_poses
from networks.styles.poses import facing_poses
from schemas.joints import JointLayout

SMALLEST_SPREAD: Final = 1e-3
"""Added to a spread before its logarithm is taken, in mean absolute coordinates of the clip."""
SMALLEST_SPEED: Final = 1e-4
"""Likewise to a speed, for each frame."""
PER_COORDINATE: Final = 3
NEAREST: Final = 5
"""Clips of the fit that a clip is measured by."""
MOST_LEARNED: Final = 1000
"""Clips of the fit that are kept to measure by; with 96 descriptors each 192 bytes of the graph."""

Array = NDArray[np.float64]


class MovementDiscriminant(PoseClassifier):
    """Logits and the familiarity of clips, by ``movement`` of their poses in ``layout``.

    With w the whitened descriptors, c_k the whitened mean of style k, and z and e_k the parts of w - mean(c) and
    c_k - mean(c) in the space that the means span, the logits are -‖z - e_k‖² / 2: the log density of equally frequent
    normal distributions with one covariance, up to what is the same for all. The familiarity is the negative sum of two
    distances to the nearest clips of the fit: of z to the fifth nearest of them, and the mean square of w to the five
    nearest over D. So a dance between two styles, or beside one, is unfamiliar, where distances to the means would have
    it near. All is computed in float64; the clips of the fit are kept in float16.
    """

    def __init__(self, layout: JointLayout, styles: int) -> None:
        """``styles`` K. Until it is fitted (``fit_discriminant``) all is zero."""
        super().__init__(layout, styles)
        width = descriptor_width(layout)
        for name, shape in {
            "mean": (width,),
            "whitening": (width, width),
            "centre": (width,),
            "basis": (width, styles - 1),
            "places": (styles, styles - 1),
        }.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("learned", torch.zeros(1, width, dtype=torch.float16))
        self.mean: Tensor
        self.whitening: Tensor
        self.centre: Tensor
        self.basis: Tensor
        self.places: Tensor
        self.learned: Tensor

    def judged(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and familiarity (N,)."""
        whitened = (self.movement(frames, lengths) - self.mean) @ self.whitening - self.centre
        within = whitened @ self.basis
        squares = (within[:, None] - self.places).square().sum(2)
        learned = self.learned.double()
        beside = _nearest(within, learned @ self.basis)[:, -1].sqrt()
        whole = _nearest(whitened, learned).mean(1) / len(self.mean)
        return (-squares / 2).float(), -(beside + whole).float()

    def movement(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(N, D) descriptors: of each coordinate of each joint the logarithm of its standard deviation, of its mean
        speed and of the standard deviation of its speed, from frame to frame.

        They are of poses that face forward (``facing_poses``). What bodies look like is left out: the mean pose would
        say who dances.
        """
        real = time_mask(lengths, frames.shape[1])
        mask, count = real[:, :, None, None], real.sum(1).double()[:, None, None]
        position = facing_poses(frames, lengths, self.layout)
        steps, between = position[:, 1:] - position[:, :-1], mask[:, 1:]
        parts = (
            _deviation(position, mask, count) + SMALLEST_SPREAD,
            masked(steps.abs(), between).sum(1) / (count - 1).clamp(min=1) + SMALLEST_SPEED,
            _deviation(steps, between, (count - 1).clamp(min=1)) + SMALLEST_SPEED,
        )
        return torch.cat([part.log().flatten(1) for part in parts], dim=1)


def descriptor_width(layout: JointLayout) -> int:
    """D."""
    return PER_COORDINATE * layout.joint_count * layout.coordinates


def fit_discriminant(
    clips: Sequence[StyleClip],
    layout: JointLayout,
    *,
    seed: int = 0,
) -> MovementDiscriminant:
    """A discriminant of the clips' styles, class k being ``styles_of(clips)[k]``; every style has the same weight. Of
    more than ``MOST_LEARNED`` clips so many are drawn by ``seed`` to measure the distance to.

    Raises ``UnusableSamples`` for clips that cannot be used, and if no style has clips that differ.
    """
    styles = styles_of(clips)
    truth = np.array([styles.index(clip.style) for clip in clips])
    return discriminant_of(described(clips, layout), truth, layout, seed=seed)


def discriminant_of(
    described: Array, truth: NDArray[np.int64], layout: JointLayout, *, seed: int = 0
) -> MovementDiscriminant:
    """Likewise from the descriptors (N, D) of clips and the numbers (N,) of their styles, from 0 to K - 1."""
    found = linear_discriminant(described, truth)
    network = MovementDiscriminant(layout, len(found.places))
    kept = np.sort(np.random.default_rng(seed).permutation(len(described))[:MOST_LEARNED])
    network.learned = torch.zeros(len(kept), len(found.mean), dtype=torch.float16)
    for name, value in {**found._asdict(), "learned": found.whitened(described[kept])}.items():
        network.get_buffer(name).copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return network.eval()


@torch.inference_mode()
def described(clips: Sequence[StyleClip], layout: JointLayout) -> Array:
    """Descriptors (N, D) of the poses of clips."""
    network = MovementDiscriminant(layout, 2)
    return np.concatenate([network.movement(*each).numpy() for each in padded_poses(clips)])


def _nearest(x: Tensor, learned: Tensor) -> Tensor:
    """Squared distances (N, ``NEAREST``) of (N, D) to the nearest of (M, D), ascending; (N, M) if there are fewer."""
    squares = x.square().sum(1, keepdim=True) + learned.square().sum(1) - 2 * x @ learned.T
    return squares.relu().topk(min(NEAREST, len(learned)), dim=1, largest=False).values


def _deviation(x: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Standard deviation (N, V, C) of (N, T, V, C) over real steps."""
    mean = masked(x, mask).sum(1) / count
    return (masked((x - mean[:, None]).square(), mask).sum(1) / count).sqrt()
