"""Dance styles without a network: statistics, spectra and rhythm of poses.

Legend: T time steps, V joints, C coordinates, B bands.
"""

from typing import Final

import numpy as np
from scipy.fft import dct

from networks.styles.preparation import Array

POSE_HZ: Final = 25.0
BAND_HZ: Final = 0.3
HIGHEST_HZ: Final = 6.0
POINTS: Final = 512
SMALLEST_SHARE: Final = 1e-3
COEFFICIENTS: Final = 25


def statistics(position: Array) -> Array:
    """Of (T, V, C) positions: mean and deviation of every coordinate, and of its speed the mean size and deviation."""
    speed = np.diff(position, axis=0)
    parts = (position.mean(0), position.std(0), np.abs(speed).mean(0), speed.std(0))
    return np.concatenate([part.ravel() for part in parts])


def rhythm(position: Array, hz: float = POSE_HZ) -> Array:
    """Of each joint, how its movement is spread over frequencies: log shares of power in bands of 0.3 Hz, (V · B).

    Movement is the distance covered from frame to frame, less its mean, in a Hann window. A step, a beat or a bar of a
    dance appears as a peak at its rate and at multiples.
    """
    covered = np.linalg.norm(np.diff(position, axis=0), axis=2)
    covered = (covered - covered.mean(0)) * np.hanning(len(covered))[:, None]
    power = np.abs(np.fft.rfft(covered, max(POINTS, len(covered)), axis=0)) ** 2
    band = np.fft.rfftfreq(max(POINTS, len(covered)), 1 / hz) // BAND_HZ
    total = power.sum(0)
    shares = [
        power[band == number].sum(0) / np.where(total > 0, total, 1) for number in range(1, round(HIGHEST_HZ / BAND_HZ))
    ]
    return np.log(np.array(shares).T + SMALLEST_SHARE).ravel()


def spectrum(position: Array) -> Array:
    """Magnitudes of the first coefficients of the orthonormal DCT-II over time of every coordinate of (T, V, C)."""
    magnitudes: Array = np.abs(dct(position.reshape(len(position), -1), axis=0, norm="ortho"))
    padded = np.zeros((COEFFICIENTS, magnitudes.shape[1]))
    padded[: len(magnitudes)] = magnitudes[:COEFFICIENTS]
    return padded.ravel()
