"""How a synthetic dancer moves, as a pose estimator sees it. Legend: T time steps, V = 16 joints (``mpii-16``)."""

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dancerank.synthetic.plan import Plan
from dancerank.synthetic.world import HARMONICS, POSE, STYLE_GAIN, Float, world
from schemas.missing_joints import fill_gaps
from schemas.modalities import Modality

# What quality does to movement: the cause. Better dancers …
_TREMOR: Final = 0.05
"""… tremble less: per joint and step, in torso lengths, at quality 0;"""
_TREMOR_FALL: Final = 0.7
"""by a factor of exp(-0.7) for each standard deviation of quality;"""
_DRIFT: Final = 0.03
"""… keep closer to the beat: the random walk away from it, in beats per step, at quality 0;"""
_DRIFT_FALL: Final = 0.5
_GROWTH: Final = 0.2
"""… and move larger."""
_SMALLEST: Final = 0.3


class Causes(NamedTuple):
    """The quality that each cause follows, standard normal. One number in all clips that are synthesized."""

    steadiness: float
    """How little joints tremble."""
    timing: float
    """How close to the beat they keep."""
    size: float
    """How large they move."""


_MOST_GAPS: Final = 3
_GAP_STEPS: Final = (5, 25)
"""How long the pose fails at a time, from 0.2 to 1 s."""


def pose_sequence(
    challenge: int, style: int, quality: Causes, duration_s: float, plan: Plan, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(T, V, 2) in pixels: the challenge's choreography in the dancer's style. Equal generators draw the same tremor,
    drift and camera, whatever the quality.
    """
    steps = round(duration_s * Modality.SKELETAL.rate_hz)
    choreography = world().choreographies[challenge]
    tempo_hz = choreography.tempo_hz * math.exp(plan.tempo_spread * rng.normal())
    drift = np.cumsum(rng.normal(0, _DRIFT * math.exp(-_DRIFT_FALL * quality.timing), steps))
    beat = (np.arange(steps) / Modality.SKELETAL.rate_hz + rng.uniform(0, 4)) * tempo_hz + drift
    size = STYLE_GAIN[style][:, None] * max(1 + _GROWTH * quality.size, _SMALLEST)
    motion = swing(beat, choreography.amplitude, choreography.phase) * size
    tremor = math.hypot(_TREMOR * math.exp(-_TREMOR_FALL * quality.steadiness), plan.joint_noise * rng.random())
    motion += tremor * rng.normal(size=motion.shape)
    pixels_per_torso = rng.uniform(120, 260)
    camera = rng.uniform([200, 300], [500, 700])
    pixels: npt.NDArray[np.floating[Any]] = (POSE + motion) * pixels_per_torso + camera
    if rng.random() < plan.pose_failure_share:
        pixels = fill_gaps(pixels, _known(steps, rng))
    return pixels.astype(np.float32)


def swing(beat: Float, amplitude: Float, phase: Float) -> Float:
    """Σ amplitude · sin(2π · h · beat + phase) over the harmonics h: beat (T,), the others (V, 2, h), to (T, V, 2).

    By sin(a + b) = sin a cos b + cos a sin b, so that only (T, h) sines are taken.
    """
    angle = 2 * np.pi * beat[:, None] * HARMONICS
    along = (amplitude * np.cos(phase)).reshape(-1, len(HARMONICS))
    across = (amplitude * np.sin(phase)).reshape(-1, len(HARMONICS))
    motion: Float = np.sin(angle) @ along.T + np.cos(angle) @ across.T
    return motion.reshape(len(beat), *amplitude.shape[:2])


def _known(steps: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(T,): where the pose was found, which it is at the first step."""
    known = np.ones(steps, bool)
    for _ in range(rng.integers(1, _MOST_GAPS + 1)):
        start = int(rng.integers(1, steps))
        known[start : start + int(rng.integers(*_GAP_STEPS, endpoint=True))] = False
    return known
