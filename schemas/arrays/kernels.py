"""Passes over the features of a clip that NumPy would take in many calls, each with an array of its own, compiled.

Importing this module takes Numba's 0.3 s, and seconds the first time on a machine, so it is imported where a kernel is
called. Inputs are contiguous and may be read-only. Legend: T time steps, V joints, K coordinates, C channels, D values
of one step, P parts.
"""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.arrays.compiled import compiled

Array = npt.NDArray[Any]
Double = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint16]

# A float16's exponent and mantissa, moved 13 bits up, are those of a float32 that is 2^112 too small: the exponents'
# biases are 15 and 127.
_SIGN: Final = np.uint32(0x8000)
_REST: Final = np.uint32(0x7FFF)
_SIGN_SHIFT: Final = np.uint32(16)
_REST_SHIFT: Final = np.uint32(13)
_REBIAS: Final = np.float32(2.0**112)

_NEIGHBOURS: Final = 3
_STRIDE: Final = 8
"""Values that are compared before two steps are known to differ."""


@compiled("void(Array(uint16, 1, 'C', readonly=True), float32[::1])")
def widen_bits(bits: Bits, out: Float32) -> None:
    """The finite float16 of these ``bits`` as float32, exactly."""
    for at in range(bits.size):
        half = np.uint32(bits[at])
        single = np.uint32((half & _SIGN) << _SIGN_SHIFT | (half & _REST) << _REST_SHIFT)
        out[at] = single.view(np.float32) * _REBIAS


@compiled("void(Array(uint16, 2, 'C', readonly=True), int64, float32[:, ::1])")
def widen_spaced_bits(bits: Bits, stride: int, out: Float32) -> None:
    """Likewise every ``stride``-th channel of (T, C)."""
    for step in range(out.shape[0]):
        for channel in range(out.shape[1]):
            half = np.uint32(bits[step, channel * stride])
            single = np.uint32((half & _SIGN) << _SIGN_SHIFT | (half & _REST) << _REST_SHIFT)
            out[step, channel] = single.view(np.float32) * _REBIAS


@compiled("float64(Array(float32, 2, 'C', readonly=True), float32[::1])")
def sum_steps(values: Float32, sums: Float32) -> float:
    """The sum of the squares of ``values`` (T, C); their sums over time go to ``sums`` (C,)."""
    steps, channels = values.shape
    sums[:] = np.float32(0)
    squares = 0.0
    for step in range(steps):
        row = np.float32(0)
        for channel in range(channels):
            value = values[step, channel]
            sums[channel] += value
            row += value * value
        squares += np.float64(row)
    return squares


@compiled("UniTuple(float64, 3)(Array(float32, 2, 'C', readonly=True), int64, int64)")
def sum_sample(values: Float32, parts: int, sampled: int) -> tuple[float, float, float]:
    """Of the first ``sampled`` steps of (T, C), of step t the part t mod P of the channels: how many are positive, the
    sum of their fourth powers, and of the squares of their differences from the next step, where there is one.
    """
    steps, width = len(values), values.shape[1] // parts
    positive, fourth, changes = 0.0, 0.0, 0.0
    for step in range(sampled):
        first = step % parts * width
        now = values[step, first : first + width]
        of_row, fourth_of_row, changes_of_row = np.float32(0), np.float32(0), np.float32(0)
        for channel in range(width):
            of_row += np.float32(1) if now[channel] > np.float32(0) else np.float32(0)
            square = now[channel] * now[channel]
            fourth_of_row += square * square
        if step + 1 < steps:
            following = values[step + 1, first : first + width]
            for channel in range(width):
                change = following[channel] - now[channel]
                changes_of_row += change * change
        positive += np.float64(of_row)
        fourth += np.float64(fourth_of_row)
        changes += np.float64(changes_of_row)
    return positive, fourth, changes


@compiled("float64(float64, float64)")
def log_from(least: float, value: float) -> float:
    """The logarithm of ``value``, or of ``least`` if that is more; NaN stays NaN."""
    return math.log(least if value < least else value)


@compiled("float64(float64, float64)")
def at_least(least: float, value: float) -> float:
    """``value``, or ``least`` if that is more; NaN stays NaN."""
    return least if value < least else value


@compiled(
    "void(Array(float32, 2, 'C', readonly=True), Array(float64, 1, 'C', readonly=True), int64, int64, float64, "
    "float64[::1])"
)
def describe_steps(values: Float32, typical: Double, parts: int, sampled: int, least: float, found: Double) -> None:
    """The ``VECTOR_DESCRIPTORS`` of ``values`` (T, C) go to ``found``; ``parts`` and ``sampled`` are those of
    ``sum_sample``.
    """
    steps, channels = values.shape
    sums = np.empty(channels, np.float32)
    power = at_least(least, sum_steps(values, sums) / values.size)
    positive, fourth, changes = sum_sample(values, parts, sampled)
    square, level, likeness = 0.0, 0.0, 0.0
    for channel in range(channels):
        mean = np.float64(sums[channel] / np.float32(steps))
        square += mean * mean
        level += mean
        likeness += mean * typical[channel]
    square, level = square / channels, level / channels
    size, width = math.sqrt(power), channels // parts
    # What a mean of T steps owes to their variation is subtracted, so that long and short clips are alike.
    variance = at_least(0.0, power - square) * steps / max(steps - 1, 1)
    still = at_least(least, square - variance / steps)
    change = changes / max(min(sampled, steps - 1) * width, 1)
    found[0] = log_from(least, size)
    found[1] = level / size
    found[2] = log_from(least, math.sqrt(variance) / size)
    found[3] = log_from(least, math.sqrt(change / at_least(least, 2 * variance)))
    found[4] = 1.0 - positive / (sampled * width)
    found[5] = log_from(least, fourth / (sampled * width) / (power * power))
    found[6] = likeness / math.sqrt(still * channels)
    found[7] = log_from(least, math.sqrt(at_least(0.0, square - level * level - variance / steps)) / size)


@compiled("UniTuple(float64, 3)(Array(float32, 2, 'C', readonly=True), float64, float32[:, ::1])")
def centre_steps(values: Float32, share: float, centred: Float32) -> tuple[float, float, float]:
    """(T, C) less its mean over time goes to ``centred``. Returned are in how many steps the squared sum is below
    ``share`` of the sum of squares, the sum of all squares, and that of ``centred``.
    """
    steps, channels = values.shape
    sums = np.zeros(channels, np.float32)
    below, power = 0.0, 0.0
    for step in range(steps):
        squares, total = 0.0, 0.0
        for channel in range(channels):
            value = values[step, channel]
            sums[channel] += value
            total += np.float64(value)
            squares += np.float64(value) * np.float64(value)
        power += squares
        if total * total < share * squares:
            below += 1.0
    spread = 0.0
    for channel in range(channels):
        sums[channel] /= np.float32(steps)
    for step in range(steps):
        for channel in range(channels):
            apart = values[step, channel] - sums[channel]
            centred[step, channel] = apart
            spread += np.float64(apart) * np.float64(apart)
    return below, power, spread


@compiled(
    "void(Array(float32, 2, 'C', readonly=True), float64[::1])",
    "void(Array(float64, 2, 'C', readonly=True), float64[::1])",
)
def step_changes(steps: Array, changes: Double) -> None:
    """The Euclidean distance of each of ``steps`` (T, D) from the one before goes to ``changes`` (T - 1,)."""
    for step in range(len(changes)):
        square = 0.0
        for at in range(steps.shape[1]):
            apart = np.float64(steps[step + 1, at]) - np.float64(steps[step, at])
            square += apart * apart
        changes[step] = np.sqrt(square)


@compiled(
    "int64(Array(float32, 2, 'C', readonly=True), float64, float64)",
    "int64(Array(float64, 2, 'C', readonly=True), float64, float64)",
)
def count_new(steps: Array, near: float, enough: float) -> int:
    """How many of ``steps`` (T, D) lie further than ``near`` from each earlier one but the one before; counting ends
    once there are ``enough``.
    """
    length, width = steps.shape
    square_near, new = near * near, 0
    for step in range(length):
        is_new = True
        for earlier in range(step - 1):
            square, start = 0.0, 0
            while start < width and square <= square_near:
                for at in range(start, min(start + _STRIDE, width)):
                    apart = np.float64(steps[step, at]) - np.float64(steps[earlier, at])
                    square += apart * apart
                start += _STRIDE
            if square <= square_near:
                is_new = False
                break
        if is_new:
            new += 1
            if new >= enough:
                break
    return new


@compiled("UniTuple(float64, 3)(Array(float64, 3, 'C', readonly=True), int64, float64)")
def neighbour_distances(pose: Double, stride: int, least: float) -> tuple[float, float, float]:
    """Of every ``stride``-th step of (T, V, K): the squared distances from each joint to the three before it in the
    order of the layout, over their mean in the step or ``least``, if that is more. Returned are the mean of these
    quotients, the mean over joints of the squares of the means over time of their roots, and the smallest divisor.
    """
    steps, joints, coordinates = pose.shape
    pairs = _NEIGHBOURS * joints
    square, roots = np.empty(pairs), np.zeros(pairs)
    quotients, smallest, count = 0.0, np.inf, 0
    for step in range(0, steps, stride):
        count += 1
        total, pair = 0.0, 0
        for places in range(1, _NEIGHBOURS + 1):
            for joint in range(joints):
                other, apart_square = (joint - places) % joints, 0.0
                for axis in range(coordinates):
                    apart = pose[step, other, axis] - pose[step, joint, axis]
                    apart_square += apart * apart
                square[pair] = apart_square
                total += apart_square
                pair += 1
        scale = total / pairs
        smallest = min(smallest, scale)
        scale = max(scale, least)
        for pair in range(pairs):
            quotient = square[pair] / scale
            quotients += quotient
            roots[pair] += np.sqrt(quotient)
    of_roots = 0.0
    for pair in range(pairs):
        mean = roots[pair] / count
        of_roots += mean * mean
    return quotients / (count * pairs), of_roots / pairs, smallest


@compiled("int64(Array(float64, 3, 'C', readonly=True), float64, float64[::1])")
def measure_shapes(pose: Double, least: float, power: Double) -> int:
    """The sum of squares of the joints' distances from their centre in each step of (T, V, K) goes to ``power`` (T,).
    Returned is in how many steps (a + b + c)² - (a² + b² + c²) is more than ``least`` times (a + b + c)², with a, b, c
    the eigenvalues of the joints' covariance.
    """
    steps, joints, coordinates = pose.shape
    wide = 0
    covariance = np.empty((coordinates, coordinates))
    for step in range(steps):
        trace, squares = 0.0, 0.0
        covariance[:] = 0.0
        for axis in range(coordinates):
            centre = 0.0
            for joint in range(joints):
                centre += pose[step, joint, axis]
            centre /= joints
            for other in range(axis + 1):
                product = 0.0
                middle = 0.0
                for joint in range(joints):
                    middle += pose[step, joint, other]
                middle /= joints
                for joint in range(joints):
                    product += (pose[step, joint, axis] - centre) * (pose[step, joint, other] - middle)
                covariance[axis, other] = product
        for axis in range(coordinates):
            trace += covariance[axis, axis]
            squares += covariance[axis, axis] ** 2
            for other in range(axis):
                squares += 2 * covariance[axis, other] ** 2
        power[step] = trace
        if trace * trace - squares > least * (trace * trace):
            wide += 1
    return wide


@compiled("float64(float64[::1], int64)")
def ranked(values: Double, rank: int) -> float:
    """The value of this ``rank``, from 0, by Hoare's selection, which rearranges ``values``."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot, first, last = values[rank], low, high
        while first <= last:
            while values[first] < pivot:
                first += 1
            while pivot < values[last]:
                last -= 1
            if first <= last:
                values[first], values[last] = values[last], values[first]
                first, last = first + 1, last - 1
        if last < rank:
            low = first
        if rank < first:
            high = last
    return float(values[rank])


@compiled(
    "void(Array(float64, 3, 'C', readonly=True), Array(float64, 1, 'C', readonly=True), int64, float64, "
    "float64[:, ::1], float64[::1])"
)
def describe_joints(pose: Double, typical: Double, stride: int, least: float, moments: Double, found: Double) -> None:
    """The ``POSE_DESCRIPTORS`` of (T, V, K) go to ``found``, but for the width, which follows from the sums over steps
    and joints of products of their coordinates about the centre: these go to ``moments`` (K, K). Every ``stride``-th
    step tells the movement.
    """
    steps, joints, coordinates = pose.shape
    centres, mean_centre = np.empty((steps, coordinates)), np.zeros(coordinates)
    mean = np.zeros((joints, coordinates))
    apart, power, radius = np.empty(coordinates), np.empty(steps), 0.0
    moments[:] = 0.0
    for step in range(steps):
        for axis in range(coordinates):
            centre = 0.0
            for joint in range(joints):
                centre += pose[step, joint, axis]
            centres[step, axis] = centre / joints
            mean_centre[axis] += centre / joints
        square = 0.0
        for joint in range(joints):
            for axis in range(coordinates):
                apart[axis] = pose[step, joint, axis] - centres[step, axis]
                mean[joint, axis] += apart[axis]
                square += apart[axis] * apart[axis]
            for axis in range(coordinates):
                for other in range(axis + 1):
                    moments[axis, other] += apart[axis] * apart[other]
        power[step] = square / joints
        radius += math.sqrt(power[step])
    for axis in range(coordinates):
        for other in range(axis):
            moments[other, axis] = moments[axis, other]
    still, likeness, travelled = 0.0, 0.0, 0.0
    for joint in range(joints):
        for axis in range(coordinates):
            value = mean[joint, axis] / steps
            still += value * value
            likeness += value * typical[joint * coordinates + axis]
    for step in range(steps):
        for axis in range(coordinates):
            value = centres[step, axis] - mean_centre[axis] / steps
            travelled += value * value
    speed, jerk = 0.0, 0.0
    for step in range(1, steps):
        for joint in range(joints):
            for axis in range(coordinates):
                change = pose[step, joint, axis] - pose[step - 1, joint, axis]
                speed += change * change
                if step + 1 < steps:
                    second = pose[step + 1, joint, axis] - pose[step, joint, axis] - change
                    jerk += second * second
    mean_power, radius = power.sum() / steps, radius / steps
    size = math.sqrt(at_least(least, (ranked(power, (steps - 1) // 2) + ranked(power, steps // 2)) / 2))
    speed = math.sqrt(speed / (max(steps - 1, 1) * joints))
    jerk = math.sqrt(jerk / (max(steps - 2, 1) * joints))
    quotients, of_roots, _ = neighbour_distances(pose, stride, least)
    found[0] = log_from(least, math.sqrt(at_least(0.0, quotients - of_roots)))
    found[1] = log_from(least, speed / size)
    found[2] = log_from(least, jerk / at_least(least, speed))
    found[4] = log_from(least, math.sqrt(travelled / steps) / size)
    found[5] = log_from(least, math.sqrt(at_least(0.0, mean_power - radius * radius)) / size)
    found[6] = log_from(least, 1.001 - likeness / at_least(least, math.sqrt(still)))
    found[7] = log_from(least, math.sqrt(at_least(0.0, mean_power - still / joints)) / size)
