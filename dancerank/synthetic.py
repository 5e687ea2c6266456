"""Synthetic dance clips with known causes: VDV-shaped features in which every quality was planted.

The *world* (choreographies, what a feature extractor answers to beauty, rooms and outfits) is the same for every seed;
the *people* are not. A dancer has a skill per modality, a way of moving (one of ``MOVEMENT_STYLES``, apart from skill)
and a favourite room; a clip varies around its dancer. Virality is a weighted sum of the clip's four qualities, with
weights that differ between challenges. Nuisances carry no signal: camera, length, starting point, noise.

Legend: T time steps, V = 16 joints (``mpii-16``), F feature channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.features import ClipFeatures
from schemas.joints import MPII_16
from schemas.modalities import FEATURE_DIM, FRAME_RATE_HZ, MODALITIES, Modality

Float = npt.NDArray[np.float64]

CHALLENGES: Final = 8
MOVEMENT_STYLES: Final = ("sharp", "flowing", "bouncy", "grounded", "wide", "compact")
ROOMS: Final = ("studio", "bedroom", "street", "garden", "rooftop", "stage")
EXTRACTOR: Final = "synthetic-1"

_WORLD_SEED: Final = 2021
_CLIP_VARIATION: Final = 0.6
_VIRALITY_NOISE: Final = 0.25
_IDENTITY_WIDTH: Final = 12
_NOISE_STEPS: Final = 2048

# Standing pose, arms half raised; x right, y down, in torso lengths (thorax to pelvis = 1).
_POSE: Final = np.array(
    [
        *([-0.25, 1.9], [-0.22, 0.95], [-0.2, 0.05], [0.2, 0.05], [0.22, 0.95], [0.25, 1.9]),
        *([0.0, 0.0], [0.0, -1.0], [0.0, -1.2], [0.0, -1.65]),
        *([-0.75, -0.6], [-0.65, -0.35], [-0.4, -1.0], [0.4, -1.0], [0.65, -0.35], [0.75, -0.6]),
    ]
)
_REACH: Final = np.array([0.25, 0.2, 0.1, 0.1, 0.2, 0.25, 0.1, 0.1, 0.12, 0.18, 0.6, 0.35, 0.12, 0.12, 0.35, 0.6])
"""How far each joint swings, in torso lengths."""
_LIMBS: Final = (
    np.array([0, 1, 2]),
    np.array([3, 4, 5]),
    np.array([6, 7, 8, 9]),
    np.array([10, 11, 12]),
    np.array([13, 14, 15]),
)
_STYLE_GAIN: Final = np.array(  # (style, limb): right leg, left leg, trunk, right arm, left arm
    [
        *([1.0, 1.0, 0.6, 1.5, 1.5], [0.8, 0.8, 1.6, 1.0, 1.0], [1.8, 1.8, 1.0, 0.7, 0.7]),
        *([1.5, 1.5, 0.5, 0.6, 0.6], [1.2, 1.2, 1.0, 1.8, 1.8], [0.5, 0.5, 0.6, 0.5, 0.5]),
    ]
)

IMPORTANCE: Final = np.array(
    [
        *([0.45, 0.25, 0.15, 0.15], [0.15, 0.45, 0.25, 0.15], [0.15, 0.15, 0.45, 0.25], [0.25, 0.15, 0.15, 0.45]),
        *([0.45, 0.15, 0.25, 0.15], [0.25, 0.45, 0.15, 0.15], [0.15, 0.25, 0.45, 0.15], [0.15, 0.15, 0.25, 0.45]),
    ]
)
"""Planted weight of each modality in a challenge's virality: (CHALLENGES, 4); each modality leads in two."""


@dataclass(frozen=True)
class Dancer:
    """``skill`` by modality, standard normal; ``style`` and ``room`` index ``MOVEMENT_STYLES`` and ``ROOMS``."""

    dancer_id: str
    skill: dict[Modality, float]
    style: int
    room: int
    identity: Float


@dataclass(frozen=True)
class SyntheticClip:
    """A clip and the truth about it. ``quality`` is what was planted, also where features are missing."""

    clip_id: str
    dancer: Dancer
    challenge_id: str
    duration_s: float
    features: ClipFeatures
    quality: dict[Modality, float]
    virality: float


@dataclass(frozen=True)
class _Choreography:
    tempo_hz: float
    amplitude: Float  # (V, 2, harmonic)
    phase: Float  # (V, 2, harmonic)


@dataclass(frozen=True)
class _Extractor:
    """How a feature extractor answers: directions (…, F) in its feature space."""

    base: Float
    quality: Float
    identity: Float
    room: Float
    challenge: Float
    noise: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _World:
    choreographies: tuple[_Choreography, ...]
    extractors: dict[Modality, _Extractor]


def synthesize(
    clips: int, *, seed: int, dancers: int | None = None, missing_face_share: float = 0.1
) -> Iterator[SyntheticClip]:
    """``clips`` clips of 5 to 15 s, spread evenly over the challenges, in random order.

    Reproducible: equal arguments give equal clips. ``dancers`` defaults to one for every five clips.
    """
    rng = np.random.default_rng([seed, clips])
    people = [_dancer(index, seed, rng) for index in range(dancers or max(2, clips // 5))]
    order = rng.permutation(clips)
    for number in range(clips):
        dancer = people[int(rng.integers(len(people)))]
        has_face = bool(rng.random() >= missing_face_share)
        yield _clip(f"clip-{seed}-{number:05d}", dancer, int(order[number]) % CHALLENGES, has_face, rng)


@cache
def _world() -> _World:
    rng = np.random.default_rng(_WORLD_SEED)
    choreographies = tuple(_choreography(rng) for _ in range(CHALLENGES))
    extractors = {modality: _extractor(width, rng) for modality, width in FEATURE_DIM.items()}
    return _World(choreographies, extractors)


def _choreography(rng: np.random.Generator) -> _Choreography:
    shape = (MPII_16.joint_count, 2, 3)
    amplitude = rng.uniform(0.3, 1.0, shape) * _REACH[:, None, None] / np.array([1.0, 2.0, 3.0])
    return _Choreography(float(rng.uniform(0.4, 0.9)), amplitude, rng.uniform(0, 2 * np.pi, shape))


def _extractor(width: int, rng: np.random.Generator) -> _Extractor:
    def directions(count: int, scale: float) -> Float:
        return rng.normal(0, scale, (count, width))

    return _Extractor(
        base=rng.gamma(2.0, 0.15, width),
        quality=directions(1, 0.12)[0],
        identity=directions(_IDENTITY_WIDTH, 0.07),
        room=directions(len(ROOMS), 0.3),
        challenge=directions(CHALLENGES, 0.12),
        noise=rng.normal(0, 0.25, (_NOISE_STEPS, width)).astype(np.float32),
    )


def _dancer(index: int, seed: int, rng: np.random.Generator) -> Dancer:
    return Dancer(
        dancer_id=f"dancer-{seed}-{index:04d}",
        skill={m: float(rng.normal()) for m in MODALITIES},
        style=int(rng.integers(len(MOVEMENT_STYLES))),
        room=int(rng.integers(len(ROOMS))),
        identity=rng.normal(size=_IDENTITY_WIDTH),
    )


def _clip(clip_id: str, dancer: Dancer, challenge: int, has_face: bool, rng: np.random.Generator) -> SyntheticClip:
    duration_s = float(rng.uniform(5.0, 15.0))
    spread = np.sqrt(1 - _CLIP_VARIATION**2)
    quality = {m: float(spread * dancer.skill[m] + _CLIP_VARIATION * rng.normal()) for m in MODALITIES}
    frames = {
        m: _pose_sequence(dancer, challenge, quality[m], duration_s, rng)
        if m is Modality.SKELETAL
        else _appearance(m, dancer, challenge, quality[m], duration_s, rng)
        for m in MODALITIES
        if has_face or m is not Modality.FACIAL
    }
    weighted = sum(IMPORTANCE[challenge, i] * quality[m] for i, m in enumerate(MODALITIES))
    return SyntheticClip(
        clip_id=clip_id,
        dancer=dancer,
        challenge_id=f"challenge-{challenge + 1}",
        duration_s=duration_s,
        features=ClipFeatures(frames, MPII_16.name, dict.fromkeys(frames, EXTRACTOR)),
        quality=quality,
        virality=float(weighted + _VIRALITY_NOISE * rng.normal()),
    )


def _pose_sequence(
    dancer: Dancer, challenge: int, quality: float, duration_s: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(T, V, 2) in pixels. Better dancers move larger, closer to the beat, and with less tremor."""
    steps = _steps(Modality.SKELETAL, duration_s)
    plan = _world().choreographies[challenge]
    drift = np.cumsum(rng.normal(0, 0.02 * np.exp(-0.5 * quality), steps))
    beat = (np.arange(steps) / FRAME_RATE_HZ[Modality.SKELETAL] + rng.uniform(0, 4)) * plan.tempo_hz + drift
    angle = 2 * np.pi * beat[:, None, None, None] * np.array([1.0, 2.0, 3.0]) + plan.phase
    motion = (plan.amplitude * np.sin(angle)).sum(axis=-1)
    for limb, gain in zip(_LIMBS, _STYLE_GAIN[dancer.style], strict=True):
        motion[:, limb] *= gain * np.clip(1 + 0.2 * quality, 0.3, None)
    tremor = rng.normal(0, 0.03 * np.exp(-0.6 * quality), motion.shape)
    pixels_per_torso = rng.uniform(120, 260)
    camera = rng.uniform([200, 300], [500, 700])
    pixels: Float = (_POSE + motion + tremor) * pixels_per_torso + camera
    return pixels.astype(np.float32)


def _appearance(
    modality: Modality, dancer: Dancer, challenge: int, quality: float, duration_s: float, rng: np.random.Generator
) -> npt.NDArray[np.float16]:
    """(T, F), never negative, like the pooled output of a rectified network."""
    steps = _steps(modality, duration_s)
    world = _world().extractors[modality]
    still = world.base + quality * world.quality
    if modality is not Modality.SCENIC:
        still = still + dancer.identity @ world.identity
    if modality is not Modality.FACIAL:
        still = still + world.room[dancer.room]
    if modality is Modality.HOLISTIC:
        still = still + world.challenge[challenge]
    start = int(rng.integers(_NOISE_STEPS - steps)) if steps < _NOISE_STEPS else 0
    noise = np.roll(world.noise[start : start + steps], int(rng.integers(world.noise.shape[1])), axis=1)
    features: npt.NDArray[np.float32] = np.maximum(still.astype(np.float32) + noise, 0)
    return features.astype(np.float16)


def _steps(modality: Modality, duration_s: float) -> int:
    return max(1, round(duration_s * FRAME_RATE_HZ[modality]))
