"""How the gradient of a clip's score becomes directions in which its joints should move.

``raw`` is the gradient of Eq. (7) as it is. ``smoothgrad`` is the mean of the gradients of the clip under small random
changes (Smilkov et al. 2017, SmoothGrad: removing noise by adding noise). ``bones`` is the part of the gradient that
leaves the length of every bone as it is, to first order: a dancer can turn a limb and cannot stretch it.
``smoothgrad-bones`` is that part of the mean.

Legend: N variations of a clip, T time steps, V joints, D coordinates, E bones.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigurationError

Float = npt.NDArray[np.floating[Any]]
GradientOf = Callable[[Float], Float]
"""Positions (N, T, V, D) to the gradient of each variation's score, of the same shape."""

RAW: Final = "raw"
SMOOTHGRAD: Final = "smoothgrad"
BONES: Final = "bones"
SMOOTHGRAD_BONES: Final = "smoothgrad-bones"
SMOOTHINGS: Final = (RAW, SMOOTHGRAD, BONES, SMOOTHGRAD_BONES)
DEFAULT_SMOOTHING: Final = RAW

SAMPLES: Final = 8
"""Variations of which SmoothGrad takes the mean."""
NOISE: Final = 0.05
"""Standard deviation of their joints' changes, as a share of the body's size."""
_SEED: Final = 0
_SHORTEST: Final = 1e-6
"""Bones below this share of the body's size have no direction, and constrain nothing."""


def smoothed(
    name: str,
    gradient_of: GradientOf,
    positions: Float,
    bones: Sequence[tuple[int, int]],
    *,
    body: float,
    missing: npt.NDArray[np.bool_] | None = None,
) -> Float:
    """The directions of the smoothing ``name`` (one of ``SMOOTHINGS``) at ``positions`` (T, V, D), in their unit.

    ``bones`` are pairs of joints, ``body`` is the body's size (the mean absolute deviation of the joints), ``missing``
    (T, V) marks joints that were not detected: they get zero, and no bone is held at them. The same clip gets the same
    answer each time. Raises ``ConfigurationError`` for a name that is not known.
    """
    if name not in SMOOTHINGS:
        raise ConfigurationError(
            f"smoothing {name!r} is not known; choose from {', '.join(SMOOTHINGS)}", field="smoothing"
        )
    averaged = name in (SMOOTHGRAD, SMOOTHGRAD_BONES)
    found = smoothgrad(gradient_of, positions, body=body) if averaged else gradient_of(positions[None])[0]
    if missing is not None:
        found = np.where(missing[..., None], 0, found)
    if name in (BONES, SMOOTHGRAD_BONES):
        found = along_bones(found, positions, bones, missing=missing)
    return found.astype(positions.dtype)


def smoothgrad(
    gradient_of: GradientOf, positions: Float, *, body: float, samples: int = SAMPLES, noise: float = NOISE
) -> Float:
    """The mean gradient (T, V, D) of ``samples`` variations of ``positions``, in which each coordinate has normal noise
    with a deviation of ``noise`` times ``body``. The noise is the same in each call.
    """
    drawn = np.random.default_rng(_SEED).standard_normal((samples, *positions.shape))
    varied = (positions + noise * body * drawn).astype(positions.dtype)
    mean: Float = gradient_of(varied).mean(axis=0)
    return mean


def along_bones(
    gradient: Float,
    positions: Float,
    bones: Sequence[tuple[int, int]],
    *,
    missing: npt.NDArray[np.bool_] | None = None,
) -> Float:
    """The part of ``gradient`` (T, V, D) that changes the length of no bone at ``positions`` to first order.

    Of all displacements δ with (p_a − p_b) · (δ_a − δ_b) = 0 for every bone (a, b), the nearest to the gradient:
    g − Jᵀ (J Jᵀ)⁺ J g with the rows of J (E, V·D) the unit vectors along the bones, positive at a, negative at b.
    """
    steps, joints, coordinates = positions.shape
    rows, at = np.arange(len(bones)), np.array(bones, np.intp).reshape(-1, 2)
    along = positions[:, at[:, 0]].astype(np.float64) - positions[:, at[:, 1]]
    length = np.linalg.norm(along, axis=2, keepdims=True)
    size = np.abs(positions - positions.mean(axis=(0, 1))).mean()
    held = length > _SHORTEST * max(float(size), np.finfo(np.float64).tiny)
    if missing is not None:
        held &= ~missing[:, at].any(axis=2, keepdims=True)
    unit = np.where(held, along / np.where(held, length, 1), 0)
    stretching = np.zeros((steps, len(bones), joints, coordinates))
    stretching[:, rows, at[:, 0]] = unit
    stretching[:, rows, at[:, 1]] = -unit
    jacobian = stretching.reshape(steps, len(bones), joints * coordinates)
    transposed = jacobian.swapaxes(1, 2)
    given = gradient.reshape(steps, -1, 1).astype(np.float64)
    tension = np.linalg.pinv(jacobian @ transposed, hermitian=True) @ (jacobian @ given)
    free: Float = (given - transposed @ tension).reshape(positions.shape)
    return free
