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
    neighbours: tuple[int, ...]


def is_ordinary(planes: Double, changes: Double, greatest: float, limits: PoseLimits) -> bool:
    """Whether a pose surely keeps the rules of extent, width, movement and speed.

    ``planes``: (K, V, T), at least two steps. ``changes``, (T - 1,): the Euclidean distances between steps.
    ``greatest``: the greatest absolute value.
    """
    joints, steps = planes.shape[1:]
    centred = planes - (np.add.reduce(planes, axis=1) / joints)[:, None]
    variances = np.einsum("kvt,kvt->kt", centred, centred)
    power = np.add.reduce(variances, axis=0)
    # Popoviciu's inequality: a range is at least twice the standard deviation. So a bounding box's diagonal is at least
    # twice the root mean square distance from the centre.
    size = 2 * float(np.sqrt(np.sort(power)[(steps - 1) // 2] / joints))
    return bool(
        size > 0
        and size >= _MARGIN * limits.extent * greatest
        and _is_wide(centred, variances, power, limits.width)
        and _moves_slowly(changes / np.sqrt(joints), limits.speed * size)
        and _changes(planes, limits)
    )


def _is_wide(centred: Double, variances: Double, power: Double, least: float) -> bool:
    """Of the eigenvalues a ≥ b ≥ c of the covariance, ab + ac + bc ≤ 3ab and (a + b + c)² ≥ a², so that the quotient of
    the two is at most 3b/a. Both are sums of squares of the covariance's elements.
    """
    squares = np.add.reduce(variances * variances, axis=0)
    for first in range(len(centred)):
        for second in range(first):
            covariance = np.einsum("vt,vt->t", centred[first], centred[second])
            squares += 2 * covariance * covariance
    whole = power * power
    wide = np.count_nonzero(whole - squares > 2 * 3 * _MARGIN * least**2 * whole)
    return bool(2 * wide > len(power))


def _moves_slowly(speeds: Double, most: float) -> bool:
    """``speeds``: root mean squares over the joints, which are at least the means."""
    ordered = np.sort(speeds)
    still = int(np.searchsorted(ordered, 0.0, side="right"))
    moving = len(ordered) - still
    return not moving or bool(_MARGIN * ordered[still + moving // 2] <= most)


def _changes(planes: Double, limits: PoseLimits) -> bool:
    """A sum of squares about the mean is at least that of some of its terms about their own mean."""
    joints, steps = planes.shape[1:]
    some = planes[..., :: max(1, steps // _SAMPLES)]
    places = (np.arange(joints) - np.array(limits.neighbours)[:, None]) % joints
    apart = some[:, places] - some[:, None]
    square = np.einsum("knvt,knvt->nvt", apart, apart).reshape(-1, some.shape[-1])
    scale = np.add.reduce(square, axis=0) / len(square)
    if not scale.all():
        return False
    typical = np.add.reduce(np.sqrt(square / scale), axis=1) / some.shape[-1]
    # The distances over their root mean square have the mean square 1.
    variance = 1 - float(np.vecdot(typical, typical)) / len(typical)
    return bool(variance * some.shape[-1] / steps >= (_MARGIN * limits.movement) ** 2)
