"""A pose that is far from every limit is recognised at a small part of what its exact values cost.

Each condition is sufficient: it compares a bound of the value with the limit. A pose that does not meet them all may
still be plausible; ``schemas.plausibility`` then computes the values. Legend: T time steps, V joints, K coordinates.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_MARGIN: Final = 1.001
"""Far above the rounding of float64, and far below what a bound loses."""
_SAMPLES: Final = 16
"""Least number of steps between which a pose has to change."""

Double = npt.NDArray[np.float64]


class PoseLimits(NamedTuple):
    """Limits of the rules of one step and of movement, as ``schemas.plausibility`` names them."""

    extent: float
    width: float
    movement: float
    speed: float


def is_ordinary(pose: Double, changes: Double, greatest: float, limits: PoseLimits) -> bool:
    """Whether a pose surely keeps the rules of extent, width, movement and speed.

    ``pose``: (T, V, K), at least two steps. ``changes``, (T - 1,): the Euclidean distances between steps.
    ``greatest``: the greatest absolute value.
    """
    from schemas.arrays.kernels import measure_shapes

    steps, joints, _ = pose.shape
    power = np.empty(steps)
    # Of the eigenvalues a ≥ b ≥ c of the covariance, ab + ac + bc ≤ 3ab and (a + b + c)² ≥ a², so that the quotient of
    # the two is at most 3b/a.
    wide = measure_shapes(pose, 2 * 3 * _MARGIN * limits.width**2, power)
    # Popoviciu's inequality: a range is at least twice the standard deviation. So a bounding box's diagonal is at least
    # twice the root mean square distance from the centre.
    size = 2 * float(np.sqrt(np.sort(power)[(steps - 1) // 2] / joints))
    return bool(
        size > 0
        and size >= _MARGIN * limits.extent * greatest
        and 2 * wide > steps
        and _moves_slowly(changes / np.sqrt(joints), limits.speed * size)
        and _changes(pose, limits)
    )


def _moves_slowly(speeds: Double, most: float) -> bool:
    """``speeds``: root mean squares over the joints, which are at least the means."""
    ordered = np.sort(speeds)
    still = int(np.searchsorted(ordered, 0.0, side="right"))
    moving = len(ordered) - still
    return not moving or bool(_MARGIN * ordered[still + moving // 2] <= most)


def _changes(pose: Double, limits: PoseLimits) -> bool:
    """A sum of squares about the mean is at least that of some of its terms about their own mean."""
    from schemas.arrays.kernels import neighbour_distances

    stride = max(1, len(pose) // _SAMPLES)
    _, square_of_means, smallest = neighbour_distances(pose, stride, 0.0)
    # The distances over their root mean square have the mean square 1.
    share = -(-len(pose) // stride) / len(pose)
    return smallest > 0 and (1 - square_of_means) * share >= (_MARGIN * limits.movement) ** 2
