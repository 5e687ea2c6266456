"""Features that an extractor would give for a synthetic clip's picture, face or background. Legend: T steps, F
channels.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from dancerank.synthetic.plan import Plan
from dancerank.synthetic.world import NOISE_STEPS, Extractor, Float, world
from schemas.modalities import Modality

_BLOCK_STEPS: Final = 32
"""Steps worked on at a time, few enough to stay in the processor's cache."""


def appearance(
    modality: Modality,
    challenge: int,
    room: int,
    identity: Float,
    quality: float,
    duration_s: float,
    plan: Plan,
    rng: np.random.Generator,
) -> npt.NDArray[np.float16]:
    """(T, F), never negative, like the pooled output of a rectified network."""
    extractor = world(plan.channels).extractors[modality]
    still = extractor.base + quality * extractor.quality
    if modality is not Modality.SCENIC:
        still = still + identity @ extractor.identity
    if modality is not Modality.FACIAL:
        still = still + extractor.room[room]
    if modality is Modality.HOLISTIC:
        still = still + extractor.challenge[challenge]
    return _over_time(still, extractor, round(duration_s * modality.rate_hz), rng)


def _over_time(still: Float, extractor: Extractor, steps: int, rng: np.random.Generator) -> npt.NDArray[np.float16]:
    """``still`` (F,) with noise in each step, (T, F): a stretch of the world's noise, its channels rotated."""
    width = len(still)
    start, shift = int(rng.integers(NOISE_STEPS - steps)), int(rng.integers(width))
    features = np.empty((steps, width), np.float16)
    level = still.astype(np.float32)
    for first in range(0, steps, _BLOCK_STEPS):
        block = np.roll(extractor.noise[start + first : start + min(first + _BLOCK_STEPS, steps)], shift, axis=1)
        block += level
        np.maximum(block, 0, out=block)
        halve(block, features[first : first + len(block)])
    return features


def halve(block: npt.NDArray[np.float32], halves: npt.NDArray[np.float16]) -> None:
    """Round ``block``, from 0 to 65,000, to ``halves``; ties go up. ``block`` is left with other content.

    Several times faster than ``astype``. With exponents lowered by the difference of the two biases (127 − 15), the
    upper bits of a float32 are those of the float16, subnormal numbers too.
    """
    block *= np.float32(2.0**-112)
    bits = block.view(np.uint32)
    bits += 1 << 12
    bits >>= 13
    halves.view(np.uint16)[...] = bits
