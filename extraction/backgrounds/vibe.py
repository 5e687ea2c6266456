"""ViBe, the background model that the paper runs over its clips, with updates forbidden under a mask.

O. Barnich and M. Van Droogenbroeck, "ViBe: A Universal Background Subtraction Algorithm for Video Sequences", IEEE
Transactions on Image Processing 20 (2011): N = 20 samples of each pixel, radius R = 20 in RGB, #min = 2 matches, one
update in φ = 16, initialised from one frame's neighbourhoods, propagated to neighbours. A mask that forbids updates
beside the segmentation is an improvement of the same authors (Van Droogenbroeck and Paquot, CVPRW 2012, Section 3.2).

Legend: N samples, P = H·W pixels in raster order, K of them.
"""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

SAMPLES: Final = 20
RADIUS: Final = 20
FEWEST_MATCHES: Final = 2
SUBSAMPLING: Final = 16
NEIGHBOURS: Final = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Offsets (y, x) of the 8-connected neighbourhood, by the number that three random bits give."""

_EASY: Final = 4
"""Samples that are compared for all pixels; most have their two matches then, and only the others go on."""
_NEIGHBOUR_BITS: Final = np.arange(SAMPLES, dtype=np.uint64) * np.uint64(3)
"""Where in a random word the number of a sample's neighbour begins."""
_BEYOND: Final = np.array([RADIUS + 1], np.float64)
"""Differences are cut here, so that the squares of three fit into 16 bits."""

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_Indices = npt.NDArray[np.intp]
_Bits = npt.NDArray[np.uint64]


class ViBe:
    """The model of one scene. A pixel that every frame forbade has no samples; ``known`` says which have.

    Random numbers are raw 64-bit words of PCG64, whose stream NumPy keeps from release to release: equal images, masks
    and seeds give equal models. One word serves a pixel. When its model is initialised, bits 3n … 3n + 2 number the
    neighbour of sample n. In each later frame, bits 0 … 3 decide about its own update, 4 … 7 about that of a neighbour
    (zero updates, one chance in φ each), 8 … 10 number the neighbour, and 16 … 31 and 32 … 47, times N, the samples.

    All pixels are classified before the first is updated; of two updates of one sample that of the later pixel stays.
    """

    def __init__(self, height: int, width: int, seed: int) -> None:
        self._shape = height, width
        self._random = np.random.PCG64(seed)
        pixels = height * width
        self._samples = np.zeros((SAMPLES, 3, pixels), np.uint8)
        self._known = np.zeros(pixels, np.bool_)
        self._latest = np.zeros((3, pixels), np.uint8)
        y, x = np.divmod(np.arange(pixels), width)
        self._neighbours = np.stack(
            [np.clip(y + dy, 0, height - 1) * width + np.clip(x + dx, 0, width - 1) for dy, dx in NEIGHBOURS]
        )

    @property
    def known(self) -> Mask:
        """(H, W): where the model has samples."""
        return self._known.reshape(self._shape)

    @property
    def samples(self) -> Image:
        """(N, H, W, 3): the samples, zeros where none are known."""
        return self._samples.reshape(SAMPLES, 3, *self._shape).transpose(0, 2, 3, 1)

    @property
    def latest(self) -> Image:
        """(H, W, 3): the latest value of each pixel that was background, zeros where none was."""
        return self._latest.T.reshape(*self._shape, 3).copy()

    def fits(self, image: Image, where: Mask) -> Mask:
        """(H, W): the pixels of ``where`` that the model would take for background."""
        return self._matches(_planes(image), where.ravel() & self._known).reshape(self._shape)

    def forget(self, where: Mask) -> None:
        """No samples are known ``where``, (H, W), any more: what is seen there next initialises them."""
        self._known &= ~where.ravel()

    def update(self, image: Image, forbidden: Mask) -> Mask:
        """Learn one frame, but nothing where it is ``forbidden``; returns (H, W), which of the others are background.

        A pixel that is seen for the first time is initialised from this frame, and is background.
        """
        planes = _planes(image)
        allowed = ~forbidden.ravel()
        background = self._matches(planes, allowed & self._known)
        new = allowed & ~self._known
        self._learn(planes, background)
        np.copyto(self._latest, planes, where=background)
        if new.any():
            self._initialise(planes, np.flatnonzero(new), allowed)
        return (background | new).reshape(self._shape)

    def _initialise(self, planes: Image, pixels: _Indices, allowed: Mask) -> None:
        """Samples of ``pixels``, (K,), are their neighbours' values, or their own where the neighbour is forbidden."""
        bits = self._words(len(pixels))
        numbers = (bits >> _NEIGHBOUR_BITS[:, None]) & np.uint64(7)
        neighbours = self._neighbours[numbers.astype(np.intp), pixels]
        sources = np.where(allowed[neighbours], neighbours, pixels)
        self._samples[:, :, pixels] = planes[:, sources].transpose(1, 0, 2)
        self._known[pixels] = True
        self._latest[:, pixels] = planes[:, pixels]

    def _matches(self, planes: Image, compared: Mask) -> Mask:
        """(P,): which of the pixels that are ``compared`` have ``FEWEST_MATCHES`` samples or more within the radius."""
        counts = _within(self._samples[0], planes).astype(np.uint8)
        for n in range(1, _EASY):
            counts += _within(self._samples[n], planes)
        hard = np.flatnonzero(compared & (counts < FEWEST_MATCHES))
        if hard.size:
            # All at once: they are few, and each call costs more than its pixels.
            others = self._samples[_EASY:, :, hard].transpose(1, 0, 2).reshape(3, -1)
            values = np.tile(planes[:, hard], (1, SAMPLES - _EASY))
            counts[hard] += _within(others, values).reshape(-1, hard.size).sum(axis=0, dtype=np.uint8)
        matches: Mask = compared & (counts >= FEWEST_MATCHES)
        return matches

    def _learn(self, planes: Image, learned: Mask) -> None:
        bits = self._words(len(learned))
        low = bits.astype(np.uint8)
        own = np.flatnonzero(learned & ((low & (SUBSAMPLING - 1)) == 0))
        self._replace(_sample_number(bits[own], 16), own, planes, own)
        spread = np.flatnonzero(learned & ((low >> 4) == 0))
        chosen = bits[spread]
        neighbours = self._neighbours[((chosen >> np.uint64(8)) & np.uint64(7)).astype(np.intp), spread]
        known = self._known[neighbours]
        self._replace(_sample_number(chosen[known], 32), neighbours[known], planes, spread[known])

    def _replace(self, numbers: _Indices, pixels: _Indices, planes: Image, sources: _Indices) -> None:
        """Sample ``numbers[k]`` of ``pixels[k]`` becomes the value of ``sources[k]``."""
        flat = self._samples.reshape(-1)
        count = planes.shape[1]
        for channel in range(3):
            flat[(numbers * 3 + channel) * count + pixels] = planes[channel, sources]

    def _words(self, count: int) -> _Bits:
        return self._random.random_raw(count)


def _planes(image: Image) -> Image:
    return np.ascontiguousarray(image.reshape(-1, 3).T)


def _within(samples: Image, planes: Image) -> Mask:
    """(K,): whether the Euclidean distance of two colours, both (3, K), is at most ``RADIUS``."""
    near = cv2.min(cv2.absdiff(samples, planes), _BEYOND)
    squares: npt.NDArray[np.uint16] = near.astype(np.uint16)
    squares *= squares
    within: Mask = (squares[0] + squares[1] + squares[2]) <= RADIUS**2
    return within


def _sample_number(bits: _Bits, at: int) -> _Indices:
    return ((((bits >> np.uint64(at)) & np.uint64(0xFFFF)) * np.uint64(SAMPLES)) >> np.uint64(16)).astype(np.intp)


__all__ = ["FEWEST_MATCHES", "NEIGHBOURS", "RADIUS", "SAMPLES", "SUBSAMPLING", "Image", "Mask", "ViBe"]
