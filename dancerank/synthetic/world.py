"""The world that all synthetic clips share: choreographies, and how feature extractors answer to what they see.

Legend: V = 16 joints (``mpii-16``), F feature channels.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from dancerank.synthetic.plan import CHALLENGES
from schemas.joints import MPII_16
from schemas.modalities import PAPER_MODALITIES, Modality

Float = npt.NDArray[np.float64]

MOVEMENT_STYLES: Final = ("sharp", "flowing", "bouncy", "grounded", "wide", "compact")
ROOMS: Final = ("studio", "bedroom", "street", "garden", "rooftop", "stage")
IDENTITY_WIDTH: Final = 12
NOISE_STEPS: Final = 2048
HARMONICS: Final = np.array([1.0, 2.0, 3.0])

_WORLD_SEED: Final = 2021

# Effect sizes on the appearance features, per channel.
_QUALITY: Final = 0.12
"""Of one standard deviation of quality, the causal factor."""
_IDENTITY: Final = 0.07
"""Of each trait of the dancer's looks, which makes clips of one dancer similar."""
_ROOM: Final = 0.2
"""Of the room, which makes clips of one place similar and is independent of quality."""
_CHALLENGE: Final = 0.4
"""Of the challenge on the whole picture: large, so that a fusion can weigh modalities by challenge."""
_NOISE: Final = 0.25
"""Standard deviation of the noise, drawn independently at each step."""

# Standing pose, arms half raised; x right, y down, in torso lengths (thorax to pelvis = 1).
POSE: Final = np.array(
    [
        *([-0.25, 1.9], [-0.22, 0.95], [-0.2, 0.05], [0.2, 0.05], [0.22, 0.95], [0.25, 1.9]),
        *([0.0, 0.0], [0.0, -1.0], [0.0, -1.2], [0.0, -1.65]),
        *([-0.75, -0.6], [-0.65, -0.35], [-0.4, -1.0], [0.4, -1.0], [0.65, -0.35], [0.75, -0.6]),
    ]
)
_REACH: Final = np.array([0.25, 0.2, 0.1, 0.1, 0.2, 0.25, 0.1, 0.1, 0.12, 0.18, 0.6, 0.35, 0.12, 0.12, 0.35, 0.6])
"""How far each joint swings, in torso lengths."""
_LIMB: Final = np.repeat([0, 1, 2, 3, 4], [3, 3, 4, 3, 3])
"""Which limb each joint belongs to: right leg, left leg, trunk, right arm, left arm."""
_LIMB_GAIN: Final = np.array(
    [
        *([1.0, 1.0, 0.6, 1.5, 1.5], [0.8, 0.8, 1.6, 1.0, 1.0], [1.8, 1.8, 1.0, 0.7, 0.7]),
        *([1.5, 1.5, 0.5, 0.6, 0.6], [1.2, 1.2, 1.0, 1.8, 1.8], [0.5, 0.5, 0.6, 0.5, 0.5]),
    ]
)
STYLE_GAIN: Final = _LIMB_GAIN[:, _LIMB]
"""How much larger or smaller each style moves each joint: (style, V)."""


@dataclass(frozen=True)
class Choreography:
    """A periodic movement: amplitude times sine of phase, summed over ``HARMONICS``; both (V, 2, harmonic)."""

    tempo_hz: float
    amplitude: Float
    phase: Float


@dataclass(frozen=True)
class Extractor:
    """How a feature extractor answers: directions (…, F) in its feature space, and ``noise`` (NOISE_STEPS, F)."""

    base: Float
    quality: Float
    identity: Float
    room: Float
    challenge: Float
    noise: npt.NDArray[np.float32]


@dataclass(frozen=True)
class World:
    choreographies: tuple[Choreography, ...]
    extractors: dict[Modality, Extractor]


@cache
def world(channels: tuple[tuple[Modality, int], ...] = ()) -> World:
    """The one world, made at the first call, as extractors see it whose features have ``channels`` instead of the
    paper's. Dancers move in the same way for any extractors.
    """
    rng = np.random.default_rng(_WORLD_SEED)
    choreographies = tuple(_choreography(rng) for _ in range(CHALLENGES))
    widths = {m: m.channels for m in PAPER_MODALITIES if m.channels is not None} | dict(channels)
    return World(choreographies, {m: _extractor(width, rng) for m, width in widths.items()})


def _choreography(rng: np.random.Generator) -> Choreography:
    shape = (MPII_16.joint_count, 2, len(HARMONICS))
    amplitude = rng.uniform(0.3, 1.0, shape) * _REACH[:, None, None] / HARMONICS
    return Choreography(float(rng.uniform(0.4, 0.9)), amplitude, rng.uniform(0, 2 * np.pi, shape))


def _extractor(width: int, rng: np.random.Generator) -> Extractor:
    def directions(count: int, scale: float) -> Float:
        return rng.normal(0, scale, (count, width))

    return Extractor(
        base=rng.gamma(2.0, 0.15, width),
        quality=directions(1, _QUALITY)[0],
        identity=directions(IDENTITY_WIDTH, _IDENTITY),
        room=directions(len(ROOMS), _ROOM),
        challenge=directions(CHALLENGES, _CHALLENGE),
        noise=rng.normal(0, _NOISE, (NOISE_STEPS, width)).astype(np.float32),
    )
