"""Descriptors of a clip's features: few numbers that tell real features from garbage.

Legend: T time steps, V joints, K coordinates, C channels, P parts, N = V·K or C values of a typical step.
"""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.arrays.float16 import doubled, widened

POSE_DESCRIPTORS: Final = ("movement", "speed", "jerk", "width", "travel", "breadth", "typical pose", "spread")
VECTOR_DESCRIPTORS: Final = ("size", "mean", "variation", "jerk", "share of zeros", "tail", "typical vector", "spread")

_WIDTH: Final = POSE_DESCRIPTORS.index("width")
_SMALLEST: Final = 1e-12
_MOST_VALUES: Final = 2**16
"""So many values of a tensor tell what its descriptors need, and stay in the processor's cache."""
_MOST_PARTS: Final = 16
_FEWEST_SAMPLES: Final = 64

Double = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating[Any]]


def mean_step(frames: Floats) -> Double:
    """(N,): the mean over time of (T, V, K) or (T, C), of length 1; of a pose, about its mean joint."""
    step = frames.mean(axis=0, dtype=np.float64)
    if frames.ndim == 3:
        step = step - step.mean(axis=0)
    return np.asarray(step.ravel() / max(float(np.linalg.norm(step)), _SMALLEST))


def describe_pose(frames: Floats, typical: Double) -> Double:
    """(T, V, K) to ``POSE_DESCRIPTORS``; none of them depends on where and how large the body is.

    The movement is the root mean variance over time of the distances between joints, over their root mean square in the
    step. At least ``_FEWEST_SAMPLES`` steps are compared, evenly spaced, if there are so many.
    """
    from schemas.arrays.kernels import describe_joints

    pose = doubled(frames)
    steps, _, coordinates = pose.shape
    moments, found = np.empty((coordinates, coordinates)), np.empty(len(POSE_DESCRIPTORS))
    describe_joints(pose, typical, max(1, steps // _FEWEST_SAMPLES), _SMALLEST, moments, found)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(moments), 0))
    found[_WIDTH] = math.log(max(float(axes[-2]) / max(float(axes[-1]), _SMALLEST), _SMALLEST))
    return found


def describe_vectors(frames: Floats, typical: Double) -> Double:
    """(T, C) to ``VECTOR_DESCRIPTORS``. What a mean of T steps owes to their variation is subtracted, so that long and
    short clips are alike.

    Jerk, share of zeros and tail are those of a ``sample``, the others those of all values.
    """
    from schemas.arrays.kernels import describe_steps

    values, found = np.ascontiguousarray(widened(frames)), np.empty(len(VECTOR_DESCRIPTORS))
    describe_steps(values, typical, *_sampled(*values.shape), _SMALLEST, found)
    return found


def sample(values: Float32) -> tuple[Float32, Float32]:
    """Views (·, P, C / P) of values and of those one step later in the same channels: all, or of large tensors a part.

    Step t contributes the part t mod P of its channels. So no channel is left out, and no step but up to P at the end:
    made-up features cannot hide where nothing is looked at.
    """
    steps, channels = values.shape
    parts, sampled = _sampled(steps, channels)
    if parts == 1:
        return values[:, None], values[1:, None]
    shape = sampled // parts, parts, parts, channels // parts
    now, following = (np.einsum("gppc->gpc", values[start : start + sampled].reshape(shape)) for start in (0, 1))
    return now, following


def _sampled(steps: int, channels: int) -> tuple[int, int]:
    """Into how many parts a ``sample`` divides the channels, and how many steps it has."""
    parts = 1
    while steps * channels > parts * _MOST_VALUES and parts < _MOST_PARTS and channels % (2 * parts) == 0:
        parts *= 2
    if parts == 1 or steps <= parts:
        return 1, steps
    return parts, (steps - 1) // parts * parts
