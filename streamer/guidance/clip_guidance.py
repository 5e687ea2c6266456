"""The guidance of one clip, and the part of it that the log keeps.

Legend: T time steps, V joints, D coordinates of a joint (2 or 3), B bins.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from schemas.events import GUIDANCE_BIN_S, JointGuidance
from schemas.joints import JointLayout
from schemas.modalities import Dimension
from schemas.ports import Bool, Float32, Float64


@dataclass(frozen=True)
class Guidance:
    """How the score ``of`` a clip changes with each joint's position (Eq. 7), under the model ``generation``.

    ``gradient`` (T, V, D) is in score per unit of the clip's own coordinates, in the axes of ``positions`` (T, V, D):
    pixels, x right and y down, in 2-D layouts. It is zero where ``missing`` (T, V) says that a joint was not detected;
    such a position is interpolated. ``scale`` is the mean absolute deviation of the joints from the body's centre, in
    the same unit: times it the gradient compares between clips of any resolution. ``smoothing`` says how the gradient
    became directions.
    """

    generation: str
    of: Dimension
    smoothing: str
    layout: JointLayout
    rate_hz: float
    positions: Float32
    gradient: Float32
    missing: Bool
    score: float
    scale: float

    @cached_property
    def magnitudes(self) -> Float64:
        """‖g_tj‖ (T, V) in score per unit of the coordinates."""
        found: Float64 = np.linalg.norm(self.gradient.astype(np.float64), axis=2)
        return found

    @property
    def frames(self) -> int:
        """T."""
        return len(self.gradient)


def magnitude_bins(guidance: Guidance, bin_s: float = GUIDANCE_BIN_S) -> JointGuidance:
    """How much each joint counts over the clip, as the log keeps it (``schemas.events.JointGuidance``)."""
    means = bin_means(guidance.magnitudes * guidance.scale, guidance.rate_hz, bin_s)
    largest = float(means.max())
    shares = means / largest if largest > 0 else means
    return JointGuidance(
        joint_layout=guidance.layout.name,
        rate_hz=guidance.rate_hz,
        frames=guidance.frames,
        bin_s=bin_s,
        scale=largest,
        magnitudes=shares.astype("<f2").tobytes(),
    )


def bin_means(values: Float64, rate_hz: float, bin_s: float) -> Float64:
    """(T, V) to (B, V): means over bins of ``bin_s`` seconds, the last of which may be shorter. A frame lasts until the
    next one; one that two bins share counts in each with the time that lies in it.
    """
    frames = len(values)
    bins = math.ceil(round(frames / rate_hz / bin_s, 6))
    edges = np.minimum(np.arange(bins + 1) * bin_s * rate_hz, frames)  # in frames
    before = np.concatenate((np.zeros((1, values.shape[1])), values.cumsum(axis=0)))
    whole = np.minimum(edges.astype(np.intp), frames - 1)
    until = before[whole] + (edges - whole)[:, None] * values[whole]
    means: Float64 = np.diff(until, axis=0) / np.diff(edges)[:, None]
    return np.maximum(means, 0)
