"""Everybody in a picture, by the pose detector (BlazePose, Bazarevsky et al. 2020).

Legend: N pictures, H, W their height and width, D detections.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np

from extraction.frames import Image
from extraction.networks import Network
from extraction.people.anchors import INPUT_SIZE, anchor_centres, decode
from extraction.people.region import Region, region_between
from schemas.ports import Float32

LEAST_SCORE: Final = 0.5
"""Below it a detection is none; MediaPipe's."""
SAME_PERSON: Final = 0.3
"""Boxes whose intersection is more than this share of their union show the same face; MediaPipe's."""

SEEN_TWICE: Final = 0.25
"""Regions of several views whose middles are nearer than this share of the larger side are of one person."""
OBLONG: Final = 1.2
"""Ratio of the sides from which squares are searched, too."""


class Detection(NamedTuple):
    """One person: ``region`` is the square that the landmarks are looked for in, in pixels; ``score`` is in [0, 1]."""

    region: Region
    score: float


class PersonDetector:
    """Finds people in pictures. The network sees 224 × 224 pixels: whoever takes less than about a third of the longer
    side is not found reliably.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._centres = anchor_centres()

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        """The people in each picture, the surest first. The pictures of one call run as one batch."""
        fitted = [letterboxed(image) for image in images]
        outputs = self._network.run(np.stack([square for square, _, _ in fitted]))
        placed, scores = decode(outputs["boxes"], outputs["scores"], self._centres)
        return [
            [
                Detection(region_between(points[2] * side - offset, points[3] * side - offset), score)
                for points, score in weighted_suppression(placed[number], scores[number])
            ]
            for number, (_, side, offset) in enumerate(fitted)
        ]

    def search(self, image: Image) -> list[Detection]:
        """The people in a picture as a whole and, if it is oblong, in three squares of its shorter side: at the ends
        and in the middle. These show small people nearly twice as large. The surest first, each once.
        """
        corners = square_corners(image.shape[1], image.shape[0])
        side = min(image.shape[:2])
        views = [image, *(np.ascontiguousarray(image[y : y + side, x : x + side]) for x, y in corners)]
        found = [
            Detection(each.region._replace(x=each.region.x + x, y=each.region.y + y), each.score)
            for (x, y), people in zip([(0, 0), *corners], self.detect(views), strict=True)
            for each in people
        ]
        once: list[Detection] = []
        for each in sorted(found, key=lambda each: -each.score):
            if all(each.region.distance(other.region) >= SEEN_TWICE for other in once):
                once.append(each)
        return once


def square_corners(width: int, height: int) -> list[tuple[int, int]]:
    """x, y of the upper left corners of the squares that are searched beside the whole picture."""
    length, side = max(width, height), min(width, height)
    if length < OBLONG * side:
        return []
    starts = (0, (length - side) // 2, length - side)
    return [(start, 0) if width > height else (0, start) for start in starts]


def letterboxed(image: Image) -> tuple[Image, float, Float32]:
    """The picture (H, W, 3), fitted into the middle of a black square of ``INPUT_SIZE``. With it the pixels of the
    picture in the square's side, and the (2,) offset to subtract: a point p of the square, in [0, 1], is at
    p · side - offset of the picture.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    fitted = max(1, round(width * INPUT_SIZE / side)), max(1, round(height * INPUT_SIZE / side))
    left, top = (INPUT_SIZE - fitted[0]) // 2, (INPUT_SIZE - fitted[1]) // 2
    square = np.zeros((INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
    square[top : top + fitted[1], left : left + fitted[0]] = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA)
    return square, float(side), np.array([left, top], np.float32) * (side / INPUT_SIZE)


def weighted_suppression(placed: Float32, scores: Float32) -> list[tuple[Float32, float]]:
    """Detections without duplicates, by score: of all that overlap the best one, the mean by score replaces it.

    ``placed``: (A, 2 + K, 2) as ``decode`` gives one picture's; ``scores``: (A,). Each result is (2 + K, 2) with the
    best score. MediaPipe's ``NonMaxSuppressionCalculator`` with ``WEIGHTED``.
    """
    sure = np.flatnonzero(scores > LEAST_SCORE)
    left = sure[np.argsort(-scores[sure], kind="stable")]
    found = []
    while left.size:
        overlapping = _overlap(placed[left[0]], placed[left]) > SAME_PERSON
        overlapping[0] = True  # a box without an area overlaps nothing, not even itself
        merged = left[overlapping]
        mean = np.average(placed[merged], axis=0, weights=scores[merged]).astype(np.float32)
        found.append((mean, float(scores[left[0]])))
        left = left[~overlapping]
    return found


def _overlap(box: Float32, others: Float32) -> Float32:
    """(D,): intersection over union of the (2 + K, 2) ``box`` with each of the (D, 2 + K, 2) ``others``."""
    low = np.maximum(box[0], others[:, 0])
    high = np.minimum(box[1], others[:, 1])
    intersection = np.clip(high - low, 0, None).prod(axis=1)
    union = (box[1] - box[0]).prod() + (others[:, 1] - others[:, 0]).prod(axis=1) - intersection
    share: Float32 = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return share
