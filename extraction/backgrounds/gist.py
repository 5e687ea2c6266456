"""GIST, the spatial envelope of a scene: how strongly edges of each orientation and scale occur in each part of it.

A. Oliva and A. Torralba, "Modeling the Shape of the Scene", International Journal of Computer Vision 42 (2001), as
computed by the authors' ``LMgist.m``: local contrast is normalised, 32 Gabor filters (4 scales, 8 orientations) are
applied as products of spectra, and the magnitudes are averaged over 4 × 4 parts: 512 values.

Legend: S = ``SIDE`` pixels of the picture, B of the border, P = S + 2·B.
"""

from functools import cache
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from extraction import kernels
from extraction.resizing import resized

SCALES: Final = 4
ORIENTATIONS: Final = 8
PARTS: Final = 4
WIDTH: Final = SCALES * ORIENTATIONS * PARTS**2
SIDE: Final = 128
VERSION: Final = "gist/1"

_BORDER: Final = 32
_CYCLES: Final = 4.0
"""Cut-off of the prefilter, in cycles per picture."""
_PREFILTER_BORDER: Final = 5
_LEAST_DEVIATION: Final = 0.2

Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.floating[Any]]


def gist(image: Image) -> Float32:
    """(512,), ordered by scale (fine first), orientation, column of parts and row of parts, of an image (H, W, 3).

    The largest centred square counts. A picture of one colour has no edges: zeros.
    """
    grey = square(image, SIDE).mean(axis=2, dtype=np.float32)
    low, high = float(grey.min()), float(grey.max())
    if high <= low:
        return np.zeros(WIDTH, np.float32)
    contrast = _prefiltered((grey - low) * np.float32(255 / (high - low)))
    padded = np.pad(contrast, _BORDER, mode="symmetric")
    spectrum: Float32 = np.asarray(cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT), np.float32)
    product, filtered = np.empty_like(spectrum), np.empty_like(spectrum)
    means = np.empty((SCALES * ORIENTATIONS, PARTS, PARTS), np.float32)
    for each, part_means in zip(gabor_filters(SIDE + 2 * _BORDER), means, strict=True):
        kernels.weigh(spectrum, each, product)
        cv2.idft(product, filtered, flags=cv2.DFT_SCALE | cv2.DFT_COMPLEX_OUTPUT)
        # Not by cv2.magnitude, whose last bits depend on where its result lies in memory.
        kernels.average_magnitudes(filtered, _BORDER, SIDE // PARTS, part_means)
    return means.transpose(0, 2, 1).ravel()


def square(image: Image, side: int) -> Image:
    """(side, side, 3): the largest centred square of an image (H, W, 3), scaled."""
    height, width = image.shape[:2]
    length = min(height, width)
    top, left = (height - length) // 2, (width - length) // 2
    return resized(image[top : top + length, left : left + length], side, side)


@cache
def gabor_filters(side: int) -> Float32:
    """(32, side, side): transfer functions, the zero frequency first, as ``createGabor.m`` defines them."""
    frequencies = np.fft.fftfreq(side, 1 / side)
    fx, fy = np.meshgrid(frequencies, frequencies)
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    filters = []
    for scale in range(SCALES):
        for orientation in range(ORIENTATIONS):
            turned = angle + np.pi * orientation / ORIENTATIONS
            turned += 2 * np.pi * (turned < -np.pi) - 2 * np.pi * (turned > np.pi)
            across = -10 * 0.35 * (radius / side / (0.3 / 1.85**scale) - 1) ** 2
            along = -2 * np.pi * (16 * ORIENTATIONS**2 / 32**2) * turned**2
            filters.append(np.exp(across + along))
    return np.stack(filters).astype(np.float32)


def _prefiltered(grey: Float32) -> Float32:
    """Local contrast normalisation of (S, S) values in [0, 255], as ``prefilt.m``."""
    padded: Float32 = np.pad(np.log1p(grey).astype(np.float32), _PREFILTER_BORDER, mode="symmetric")
    side = len(padded) + len(padded) % 2
    padded = np.pad(padded, (0, side - len(padded)), mode="symmetric")
    whitened = padded - _smoothed(padded)
    deviation: Float32 = np.sqrt(np.abs(_smoothed(whitened**2)))
    inner = slice(_PREFILTER_BORDER, _PREFILTER_BORDER + len(grey))
    return (whitened / (np.float32(_LEAST_DEVIATION) + deviation))[inner, inner]


def _smoothed(values: Float32) -> Float32:
    """(S, S) real values without what changes faster than the prefilter's cut-off."""
    smoothed: Float32 = np.fft.irfft2(np.fft.rfft2(values) * _low_pass(len(values)), values.shape).astype(np.float32)
    return smoothed


@cache
def _low_pass(side: int) -> Float32:
    """(S, S/2 + 1): of the spectrum of real values."""
    frequencies = np.fft.fftfreq(side, 1 / side)
    fx, fy = np.meshgrid(np.fft.rfftfreq(side, 1 / side), frequencies)
    cut_off = _CYCLES / np.sqrt(np.log(2))
    low_pass: Float32 = np.exp(-(fx**2 + fy**2) / cut_off**2).astype(np.float32)
    return low_pass


__all__ = ["SIDE", "VERSION", "WIDTH", "gabor_filters", "gist", "square"]
