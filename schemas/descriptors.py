"""Descriptors of a clip's features: few numbers that tell real features from garbage.

Legend: T time steps, V joints, K coordinates, C channels, P parts, N = V·K or C values of a typical step.
"""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.arrays.float16 import doubled, widened
from schemas.plausibility.repetition import median_of_ordered

POSE_DESCRIPTORS: Final = ("movement", "speed", "jerk", "width", "travel", "breadth", "typical pose", "spread")
VECTOR_DESCRIPTORS: Final = ("size", "mean", "variation", "jerk", "share of zeros", "tail", "typical vector", "spread")

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
    """(T, V, K) to ``POSE_DESCRIPTORS``; none of them depends on where and how large the body is."""
    from schemas.arrays.kernels import measure_movement

    pose = doubled(frames)
    steps, joints, coordinates = pose.shape
    power, moments = np.empty(steps), np.empty((coordinates, coordinates))
    still, product, travelled, first, second = measure_movement(pose, typical, power, moments)
    size = math.sqrt(max(median_of_ordered(np.sort(power)), _SMALLEST))
    mean_power = float(np.add.reduce(power)) / steps
    radius = float(np.add.reduce(np.sqrt(power))) / steps
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(moments), 0))
    speed, jerk = (math.sqrt(each / (max(steps - apart, 1) * joints)) for apart, each in ((1, first), (2, second)))
    likeness = product / max(math.sqrt(still), _SMALLEST)
    return np.array(
        [
            _log(_movement(pose)),
            _log(speed / size),
            _log(jerk / max(speed, _SMALLEST)),
            _log(float(axes[-2]) / max(float(axes[-1]), _SMALLEST)),
            _log(_root(travelled / steps) / size),
            _log(_root(mean_power - radius * radius) / size),
            _log(1.001 - likeness),
            _log(_root(mean_power - still / joints) / size),
        ]
    )


def _movement(pose: Double) -> float:
    """Root mean variance over time of the distances between joints, over their root mean square in the step.

    At least ``_FEWEST_SAMPLES`` steps are compared, evenly spaced, if there are so many.
    """
    from schemas.arrays.kernels import neighbour_distances

    mean_square, square_of_means, _ = neighbour_distances(pose, max(1, len(pose) // _FEWEST_SAMPLES), _SMALLEST)
    return _root(mean_square - square_of_means)


def describe_vectors(frames: Floats, typical: Double) -> Double:
    """(T, C) to ``VECTOR_DESCRIPTORS``. What a mean of T steps owes to their variation is subtracted, so that long and
    short clips are alike.

    Jerk, share of zeros and tail are those of a ``sample``, the others those of all values.
    """
    from schemas.arrays.kernels import sum_sample, sum_steps

    values = np.ascontiguousarray(widened(frames))
    steps, channels = values.shape
    sums = np.empty(channels, np.float32)
    power = max(sum_steps(values, sums) / values.size, _SMALLEST)
    mean = (sums / np.float32(steps)).astype(np.float64)
    size = math.sqrt(power)
    still = float(mean @ mean) / channels
    variance = max(power - still, 0.0) * steps / max(steps - 1, 1)
    still = max(still - variance / steps, _SMALLEST)
    parts, sampled = _sampled(steps, channels)
    positive, fourth, changes = sum_sample(values, parts, sampled)
    seen, width = sampled * channels // parts, channels // parts
    change = changes / max(min(sampled, steps - 1) * width, 1)
    level = float(np.add.reduce(mean)) / channels
    return np.array(
        [
            _log(size),
            level / size,
            _log(math.sqrt(variance) / size),
            _log(math.sqrt(change / max(2 * variance, _SMALLEST))),
            1.0 - positive / seen,
            _log(fourth / seen / power**2),
            float(mean @ typical) / math.sqrt(still * channels),
            _log(_root(float(mean @ mean) / channels - level * level - variance / steps) / size),
        ]
    )


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


def _root(square: float) -> float:
    """Of a difference of squares, which rounding can put below 0."""
    return math.sqrt(max(square, 0.0))


def _log(value: float) -> float:
    return math.log(max(value, _SMALLEST))
