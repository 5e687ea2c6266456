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
_NEIGHBOURS: Final = (1, 2, 3)
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
    planes = np.ascontiguousarray(doubled(frames).transpose(2, 1, 0))  # sums over V and differences in T are contiguous
    joints, steps = planes.shape[1:]
    centre = np.add.reduce(planes, axis=1) / joints
    centred = planes - centre[:, None]
    power = np.einsum("kvt,kvt->t", centred, centred) / joints
    size = math.sqrt(max(median_of_ordered(np.sort(power)), _SMALLEST))
    mean_power = float(np.add.reduce(power)) / steps
    radius = float(np.add.reduce(np.sqrt(power))) / steps
    mean = np.add.reduce(centred, axis=2) / steps
    still = float(np.vdot(mean, mean))
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(np.einsum("kvt,lvt->kl", centred, centred)), 0))
    travelled = centre - (np.add.reduce(centre, axis=1) / steps)[:, None]
    speed, jerk = _speed_and_jerk(planes)
    likeness = float(mean.T.ravel() @ typical) / max(math.sqrt(still), _SMALLEST)
    return np.array(
        [
            _log(_movement(planes)),
            _log(speed / size),
            _log(jerk / max(speed, _SMALLEST)),
            _log(float(axes[-2]) / max(float(axes[-1]), _SMALLEST)),
            _log(_root(float(np.vdot(travelled, travelled)) / steps) / size),
            _log(_root(mean_power - radius * radius) / size),
            _log(1.001 - likeness),
            _log(_root(mean_power - still / joints) / size),
        ]
    )


def _movement(planes: Double) -> float:
    """Root mean variance over time of the distances between joints, over their root mean square in the step.

    At least ``_FEWEST_SAMPLES`` steps are compared, evenly spaced, if there are so many.
    """
    planes = planes[..., :: max(1, planes.shape[2] // _FEWEST_SAMPLES)]
    joints, steps = planes.shape[1:]
    places = (np.arange(joints) - np.array(_NEIGHBOURS)[:, None]) % joints
    apart = planes[:, places] - planes[:, None]
    square = np.einsum("knvt,knvt->nvt", apart, apart).reshape(-1, steps)
    scale = np.add.reduce(square, axis=0) / len(square)
    square /= np.maximum(scale, _SMALLEST)
    mean_square = float(np.add.reduce(square, axis=None)) / square.size
    mean = np.add.reduce(np.sqrt(square, out=square), axis=1) / steps
    return _root(mean_square - float(np.vdot(mean, mean)) / len(mean))


def _speed_and_jerk(planes: Double) -> tuple[float, float]:
    """Root mean squares of the joints' first and second differences; 0 where there are too few steps."""
    first = planes[..., 1:] - planes[..., :-1]
    second = first[..., 1:] - first[..., :-1]
    speed, jerk = (
        math.sqrt(len(planes) * float(np.vecdot(each, each).sum()) / max(each.size, 1)) for each in (first, second)
    )
    return speed, jerk


def describe_vectors(frames: Floats, typical: Double) -> Double:
    """(T, C) to ``VECTOR_DESCRIPTORS``. What a mean of T steps owes to their variation is subtracted, so that long and
    short clips are alike.

    Jerk, share of zeros and tail are those of a ``sample``, the others those of all values.
    """
    values = widened(frames)
    steps, channels = values.shape
    mean = (np.add.reduce(values, axis=0) / np.float32(steps)).astype(np.float64)
    power = max(_mean_square(values), _SMALLEST)
    size = math.sqrt(power)
    still = float(mean @ mean) / channels
    variance = max(power - still, 0.0) * steps / max(steps - 1, 1)
    still = max(still - variance / steps, _SMALLEST)
    now, following = sample(values)
    squares = now * now
    tail = _mean_square(squares)
    change = 0.0
    if steps > 1:
        pairs = len(following)
        change = _mean_square(np.subtract(following, now[:pairs], out=squares[:pairs]))
    level = float(np.add.reduce(mean)) / channels
    return np.array(
        [
            _log(size),
            level / size,
            _log(math.sqrt(variance) / size),
            _log(math.sqrt(change / max(2 * variance, _SMALLEST))),
            1.0 - np.count_nonzero(now > 0) / now.size,
            _log(tail / power**2),
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
    parts = 1
    while values.size > parts * _MOST_VALUES and parts < _MOST_PARTS and channels % (2 * parts) == 0:
        parts *= 2
    if parts == 1 or steps <= parts:
        return values[:, None], values[1:, None]
    groups = (steps - 1) // parts
    shape = groups, parts, parts, channels // parts
    now, following = (np.einsum("gppc->gpc", values[start : start + groups * parts].reshape(shape)) for start in (0, 1))
    return now, following


def _mean_square(values: Float32) -> float:
    """Of contiguous values, (·, C) or (·, P, C / P)."""
    rows = values.reshape(len(values), -1)
    return float(np.add.reduce(np.vecdot(rows, rows), dtype=np.float64)) / values.size


def _root(square: float) -> float:
    """Of a difference of squares, which rounding can put below 0."""
    return math.sqrt(max(square, 0.0))


def _log(value: float) -> float:
    return math.log(max(value, _SMALLEST))
