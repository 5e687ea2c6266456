"""Planted routines: features of ACTION-NET's two streams in which a quarter of the instances shows how good they are.

The *world*, what the features of segments and of frames answer to quality, is the same for every seed; routines are
not. The score, in points, is the sum of what both streams show. All else is noise. Legend: S segments, T seconds.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.modalities import MAX_DURATION_S
from schemas.routines import DYNAMIC_CHANNELS, STATIC_CHANNELS, packed, segments_of

PLANTED: Final = "planted routines"
"""What the training data of a network that has learned from them begins with."""
HIGHEST_SCORE: Final = 25.0
SHORTEST_S: Final = int(MAX_DURATION_S) + 1
LONGEST_S: Final = 90

_WORLD_SEED: Final = 0
_SHOWN: Final = 4
"""Every so many instances one shows the quality."""


@dataclass(frozen=True)
class PlantedRoutine:
    """``dynamic`` (S, 1024) and ``static`` (T, 2048) features; the segments and the seconds that show the quality;
    ``score`` from 0 to ``HIGHEST_SCORE``."""

    dynamic: npt.NDArray[np.float32]
    static: npt.NDArray[np.float32]
    shown_segments: tuple[int, ...]
    shown_seconds: tuple[int, ...]
    score: float

    @property
    def frames(self) -> npt.NDArray[np.float32]:
        """(T, 3072), of one whose segments and seconds go together."""
        return packed(self.dynamic, self.static)


def planted_routines(
    count: int, *, seed: int = _WORLD_SEED, segments: int = 12, seconds: int = 16
) -> list[PlantedRoutine]:
    """So many routines of equal numbers of instances, which need not go together."""
    generator, directions = _world(seed)
    return [_routine(directions, segments, seconds, generator) for _ in range(count)]


def long_routines(
    count: int, *, seed: int, shortest_s: int = SHORTEST_S, longest_s: int = LONGEST_S
) -> list[PlantedRoutine]:
    """So many routines of whole seconds, uniform between the two, as the stream ``routine`` of a bundle reads them."""
    generator, directions = _world(seed)
    lengths = generator.integers(shortest_s, longest_s + 1, count)
    return [_routine(directions, segments_of(int(length)), int(length), generator) for length in lengths]


def _world(seed: int) -> tuple[np.random.Generator, list[npt.NDArray[np.float64]]]:
    world = np.random.default_rng(_WORLD_SEED)
    directions = [world.normal(0, 1, channels) for channels in (DYNAMIC_CHANNELS, STATIC_CHANNELS)]
    return world if seed == _WORLD_SEED else np.random.default_rng(seed), directions


def _routine(
    directions: list[npt.NDArray[np.float64]], segments: int, seconds: int, generator: np.random.Generator
) -> PlantedRoutine:
    streams, moments, score = [], [], 0.0
    for direction, instances in zip(directions, (segments, seconds), strict=True):
        quality = generator.uniform(0, 1)
        features = np.abs(generator.normal(0, 0.5, (instances, len(direction))))
        shown = generator.permutation(instances)[: instances // _SHOWN]
        features[shown] += np.maximum(direction, 0) * quality
        streams.append(features.astype(np.float32))
        moments.append(tuple(sorted(shown.tolist())))
        score += HIGHEST_SCORE / len(directions) * quality
    return PlantedRoutine(streams[0], streams[1], moments[0], moments[1], score)
