"""Resampling of pose sequences to 25 Hz. Legend: T time steps; further axes are free."""

from typing import Final

import numpy as np

from schemas.missing_joints import Floats, at_positions
from schemas.modalities import Modality

POSE_HZ: Final = Modality.SKELETAL.rate_hz


def resample(frames: Floats, rate_hz: float, *, steps: int | None = None) -> Floats:
    """``frames`` (T, ...) recorded at ``rate_hz``, as (T', ...) at 25 Hz from the first frame on, interpolated.

    T' is ``steps``, or as many as lie within the recording. Steps after its end repeat its last frame.
    """
    if steps is None:
        steps = int((len(frames) - 1) / rate_hz * POSE_HZ + 1e-6) + 1
    return at_positions(frames, np.arange(steps, dtype=np.float64) * (rate_hz / POSE_HZ))
