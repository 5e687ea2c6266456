"""Filling gaps in pose sequences and bringing them to 25 Hz. Legend: T time steps; further axes are free."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.modalities import Modality

POSE_HZ: Final = Modality.SKELETAL.rate_hz

Floats = npt.NDArray[np.floating[Any]]


def fill_gaps(frames: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    """``frames`` (T, ...) with each step that is not ``known`` (T,) interpolated linearly between the known ones around
    it; before the first and after the last, the nearest. Some step must be known.
    """
    if known.all():
        return frames
    return _at(frames[known], np.interp(np.arange(len(frames)), np.flatnonzero(known), np.arange(known.sum())))


def resample(frames: Floats, rate_hz: float, *, steps: int | None = None) -> Floats:
    """``frames`` (T, ...) recorded at ``rate_hz``, as (T', ...) at 25 Hz from the first frame on, interpolated.

    T' is ``steps``, or as many as lie within the recording. Steps behind its end repeat its last frame.
    """
    if steps is None:
        steps = int((len(frames) - 1) / rate_hz * POSE_HZ + 1e-6) + 1
    return _at(frames, np.arange(steps, dtype=np.float64) * (rate_hz / POSE_HZ))


def _at(frames: Floats, positions: npt.NDArray[np.float64]) -> Floats:
    """``frames`` (T, ...) at fractional indices (T',), in their own float type."""
    positions = np.clip(np.round(positions, 9), 0, len(frames) - 1)
    before = np.floor(positions).astype(int)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (positions - before).reshape(-1, *(1,) * (frames.ndim - 1))
    blended: Floats = (frames[before] * (1 - share) + frames[after] * share).astype(frames.dtype)
    return blended
