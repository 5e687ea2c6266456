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
    spectrum = np.fft.fft2(np.pad(contrast, _BORDER, mode="symmetric"))
    filters = gabor_filters(SIDE + 2 * _BORDER)
    return np.concatenate([_part_means(spectrum * each) for each in filters]).astype(np.float32)


def _part_means(spectrum: npt.NDArray[np.complex64]) -> Float32:
    """(16,): mean magnitudes in the parts of a filtered picture, by its spectrum (P, P), column after column."""
    parts = spectrum.view(np.float32).reshape(*spectrum.shape, 2)
    filtered = np.ascontiguousarray(cv2.idft(parts, flags=cv2.DFT_SCALE | cv2.DFT_COMPLEX_OUTPUT), np.float32)
    # Not by cv2.magnitude, whose last bits depend on where its result lies in memory.
    magnitudes = np.abs(filtered.view(np.complex64)[_BORDER:-_BORDER, _BORDER:-_BORDER, 0])
    length = SIDE // PARTS
    means: Float32 = magnitudes.reshape(PARTS, length, PARTS, length).mean(axis=(1, 3))
    return means.T.ravel()


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
    low_pass = _low_pass(side)
    whitened = padded - np.fft.ifft2(np.fft.fft2(padded) * low_pass).real.astype(np.float32)
    deviation = np.sqrt(np.abs(np.fft.ifft2(np.fft.fft2(whitened**2) * low_pass))).astype(np.float32)
    inner = slice(_PREFILTER_BORDER, _PREFILTER_BORDER + len(grey))
    return (whitened / (np.float32(_LEAST_DEVIATION) + deviation))[inner, inner]


@cache
def _low_pass(side: int) -> Float32:
    frequencies = np.fft.fftfreq(side, 1 / side)
    fx, fy = np.meshgrid(frequencies, frequencies)
    cut_off = _CYCLES / np.sqrt(np.log(2))
    low_pass: Float32 = np.exp(-(fx**2 + fy**2) / cut_off**2).astype(np.float32)
    return low_pass


__all__ = ["SIDE", "VERSION", "WIDTH", "gabor_filters", "gist", "square"]
