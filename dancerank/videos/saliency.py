"""Which parts of a frame the score of a clip comes from, as far as it comes from whole pictures: the holistic stream.

A square of the frame is hidden (filled smoothly from around it), the network of pictures is run again, and the change
of its features is added to the steps of the second around the frame; the clip is then scored again. How much lower the
score is without a square is its *importance* (occlusion; Zeiler and Fergus 2014). No gradient is needed, and no
linearisation of the score; that a square changes the features of neighbouring frames as it changes those of this one is
an approximation.

Legend: S squares, H, W of a frame, C features of a picture, T steps of the holistic stream.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dancerank.videos.explaining import score_variants, steps_around
from extraction.backgrounds.filling import fill_holes
from extraction.networks import Features
from extraction.resizing import Crop, Image, crop_of, resized
from schemas.features import Frames
from schemas.modalities import Modality
from schemas.ports import ModelRuntime

SQUARES: Final = 7
"""In a row, and rows: neighbours overlap by more than half."""
SIDE: Final = 2 / 7
"""Of a square, as a share of the network's input: about a head and shoulders of somebody who fills the frame."""
_AT_ONCE: Final = 7

Square = tuple[slice, slice]
"""Rows and columns."""
Double = npt.NDArray[np.float64]


class Saliency(NamedTuple):
    """``importance`` (h, w) of the pixels of the part of a frame that the network sees, in fused score: the mean over
    the squares that hide a pixel, weighted by how central it is in each; above zero where the score comes from, below
    where it is lowered. ``crop``: where that part is in the frame. ``strongest``: the importance of the square that
    matters most, with its sign.
    """

    importance: Double
    crop: Crop
    strongest: float


class FrameSaliency:
    """Saliency of frames of one clip. ``frames``: what the model of ``runtime`` reads of it, by modality, holistic
    features by ``network`` among them.
    """

    def __init__(
        self, runtime: ModelRuntime, network: Features, frames: dict[Modality, Frames], duration_s: float
    ) -> None:
        self._runtime, self._network, self._duration_s = runtime, network, duration_s
        self._others: dict[Modality, Sequence[Frames]] = {
            modality: [each] for modality, each in frames.items() if modality is not Modality.HOLISTIC
        }
        self._steps = frames[Modality.HOLISTIC]
        (self._score,) = self._scores([self._steps])

    def of(self, image: Image, second: float) -> Saliency:
        """Of the frame ``image`` (H, W, 3) that is shown at ``second``."""
        height, width = self._network.height, self._network.width
        crop = crop_of(image)
        squares = squares_of(height, width)
        seen = resized(crop.of(image), height, width)
        (plain,) = self._network.of([seen])
        changes = np.concatenate(
            [
                self._network.of([without(seen, square) for square in squares[at : at + _AT_ONCE]]) - plain
                for at in range(0, len(squares), _AT_ONCE)
            ]
        )
        found = self.importance(changes, second)
        total, covered = np.zeros((2, height, width))
        for square, importance in zip(squares, found, strict=True):
            weights = np.outer(*(_tent(side.stop - side.start) for side in square))
            total[square] += weights * importance
            covered[square] += weights
        return Saliency(total / covered, crop, float(found[np.argmax(np.abs(found))]))

    def importance(self, changes: npt.NDArray[np.float32], second: float) -> Double:
        """(S,) how much lower the score is with each of the ``changes`` (S, C), or (S, T of the second, C), added to
        the steps of the second around a moment.
        """
        first, end = steps_around(len(self._steps), second, self._duration_s)
        scores = []
        for at in range(0, len(changes), _AT_ONCE):
            variants: list[Frames] = []
            for change in changes[at : at + _AT_ONCE]:
                steps = self._steps.astype(np.float32)
                steps[first:end] += change
                variants.append(steps)
            scores.append(self._scores(variants))
        return np.asarray(self._score - np.concatenate(scores), np.float64)

    def _scores(self, holistic: Sequence[Frames]) -> Double:
        return score_variants(self._runtime, {**self._others, Modality.HOLISTIC: holistic}).fused


def without(image: Image, square: Square) -> Image:
    """A copy of ``image`` (H, W, 3) with the square filled smoothly from around it."""
    missing = np.zeros(image.shape[:2], np.bool_)
    missing[square] = True
    return fill_holes(image, missing)


def _tent(size: int) -> Double:
    """Weights that fall linearly from the middle to the ends, above zero everywhere."""
    at = np.arange(size) + 0.5
    return np.asarray(np.minimum(at, size - at), np.float64)


def squares_of(height: int, width: int) -> list[Square]:
    """The squares of an input, row by row; the first and the last of a row touch the edges."""
    tall, wide = round(height * SIDE), round(width * SIDE)
    tops, lefts = np.linspace(0, height - tall, SQUARES).round(), np.linspace(0, width - wide, SQUARES).round()
    return [
        (slice(top, top + tall), slice(left, left + wide))
        for top in tops.astype(int).tolist()
        for left in lefts.astype(int).tolist()
    ]
