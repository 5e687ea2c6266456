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

from extraction import kernels

SAMPLES: Final = 20
RADIUS: Final = 20
FEWEST_MATCHES: Final = 2
SUBSAMPLING: Final = 16
NEIGHBOURS: Final = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Offsets (y, x) of the 8-connected neighbourhood, by the number that three random bits give."""

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_Colours = npt.NDArray[np.uint32]


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
        self._samples = np.zeros((SAMPLES, pixels), np.uint32)
        self._known = np.zeros(pixels, np.bool_)
        self._latest = np.zeros(pixels, np.uint32)
        self._counts, self._spread = np.zeros(pixels, np.uint8), np.zeros(pixels, np.int32)
        y, x = np.divmod(np.arange(pixels), width)
        self._neighbours = np.stack(
            [np.clip(y + dy, 0, height - 1) * width + np.clip(x + dx, 0, width - 1) for dy, dx in NEIGHBOURS]
        ).astype(np.int32)

    @property
    def known(self) -> Mask:
        """(H, W): where the model has samples."""
        return self._known.reshape(self._shape)

    @property
    def samples(self) -> Image:
        """(N, H, W, 3): the samples, zeros where none are known."""
        height, width = self._shape
        return _image(self._samples.reshape(-1, width)).reshape(SAMPLES, height, width, 3)

    @property
    def latest(self) -> Image:
        """(H, W, 3): the latest value of each pixel that was background, zeros where none was."""
        return _image(self._latest.reshape(self._shape))

    def fits(self, image: Image, where: Mask) -> Mask:
        """(H, W): the pixels of ``where`` that the model would take for background."""
        return self._matches(_colours(image), where.ravel() & self._known).reshape(self._shape)

    def forget(self, where: Mask) -> None:
        """No samples are known ``where``, (H, W), any more: what is seen there next initialises them."""
        self._known &= ~where.ravel()

    def update(self, image: Image, forbidden: Mask) -> Mask:
        """Learn one frame, but nothing where it is ``forbidden``; returns (H, W), which of the others are background.

        A pixel that is seen for the first time is initialised from this frame, and is background.
        """
        colours = _colours(image)
        allowed = ~forbidden.ravel()
        background = self._matches(colours, allowed & self._known)
        new = np.flatnonzero(allowed & ~self._known)
        words = self._random.random_raw(len(colours))
        kernels.learn(
            self._samples,
            colours,
            self._latest,
            background,
            self._known,
            words,
            SUBSAMPLING,
            self._neighbours,
            self._spread,
        )
        if new.size:
            words = self._random.random_raw(new.size)
            kernels.initialise(self._samples, colours, self._latest, allowed, self._known, new, words, self._neighbours)
            background[new] = True
        return background.reshape(self._shape)

    def _matches(self, colours: _Colours, compared: Mask) -> Mask:
        """(P,): which of the pixels that are ``compared`` have ``FEWEST_MATCHES`` samples or more within the radius."""
        matching = np.empty_like(compared)
        kernels.match(self._samples, colours, compared, RADIUS, FEWEST_MATCHES, self._counts, matching)
        return matching


def _colours(image: Image) -> _Colours:
    """(P,) of an image (H, W, 3), as ``kernels`` take them."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)).view(np.uint32).ravel()


def _image(colours: _Colours) -> Image:
    """(H, W, 3) of colours (H, W)."""
    channels = colours[..., None].view(np.uint8)
    return np.asarray(cv2.cvtColor(channels, cv2.COLOR_RGBA2RGB), np.uint8)


__all__ = ["FEWEST_MATCHES", "NEIGHBOURS", "RADIUS", "SAMPLES", "SUBSAMPLING", "Image", "Mask", "ViBe"]
