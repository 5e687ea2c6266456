"""Faces in a picture, by a single-shot detector (BlazeFace, Bazarevsky et al. 2019) of one of two sizes.

Anchors, decoding and suppression: MediaPipe 0.10.21, ``face_detection_full_range_common.pbtxt`` and
``face_detection_short_range_common.pbtxt``.
Legend: V views, S pixels of the network's square input, A anchors, K = 6 points of a face, D faces.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from extraction.networks import Network
from schemas.ports import Float32

LEAST_SCORE: Final = 0.5
SAME_FACE: Final = 0.3
"""Boxes that overlap by more, intersection over union, show the same face."""
POINTS: Final = 6
"""Of a face that looks at the camera: the eyes, the left one in the picture first, nose, mouth, and the ears."""

_LAYERS: Final = {192: ((4, 1),), 128: ((8, 2), (16, 6))}
"""By the side of the input: strides of the cells, and anchors in each."""

Image = npt.NDArray[np.uint8]


class Face(NamedTuple):
    """``box``: x0, y0, x1, y1 and ``points`` (6, 2), in pixels of the picture; ``score`` in [0, 1]."""

    box: tuple[float, float, float, float]
    points: Float32
    score: float

    @property
    def middle(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def side(self) -> float:
        """The longer side of the box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


class View(NamedTuple):
    """A square of a picture, in its pixels; it may reach beyond the picture, where it is black."""

    x: float
    y: float
    side: float

    def holds(self, point: tuple[float, float]) -> bool:
        """Whether x, y of the picture lies in it."""
        return 0 <= point[0] - self.x <= self.side and 0 <= point[1] - self.y <= self.side


class FaceDetector:
    """Finds faces in views of pictures. A face is found if it takes about a tenth of a view or more."""

    def __init__(self, network: Network) -> None:
        side = network.manifest.height
        if side not in _LAYERS or network.manifest.width != side:
            raise ValueError(f"{network.manifest.name} is not a BlazeFace of {' or '.join(map(str, _LAYERS))} pixels")
        self._network = network
        self._side = side
        self._anchors = anchors(side)

    def detect(self, views: Sequence[tuple[Image, View]]) -> list[list[Face]]:
        """The faces in each view, in pixels of its picture, the surest first. All views run as one batch."""
        if not views:
            return []
        outputs = self._network.run(np.stack([cut_out(image, view, self._side) for image, view in views]))
        scores = 1 / (1 + np.exp(-outputs["scores"][..., 0].clip(-80, 80)))
        return [
            [
                placed._replace(
                    box=(
                        placed.box[0] * view.side + view.x,
                        placed.box[1] * view.side + view.y,
                        placed.box[2] * view.side + view.x,
                        placed.box[3] * view.side + view.y,
                    ),
                    points=placed.points * np.float32(view.side) + np.array([view.x, view.y], np.float32),
                )
                for placed in self._decoded(outputs["boxes"][number], scores[number])
            ]
            for number, (_, view) in enumerate(views)
        ]

    def _decoded(self, raw: Float32, scores: Float32) -> list[Face]:
        """Faces in units of the view's side, from (A, 4 + 2 K) offsets in pixels of the input, and (A,) scores."""
        sure = np.flatnonzero(scores >= LEAST_SCORE)
        values = raw[sure].reshape(len(sure), 2 + POINTS, 2) / np.float32(self._side)
        middles = values[:, 0] + self._anchors[sure]
        low, high = middles - values[:, 1] / 2, middles + values[:, 1] / 2
        points = values[:, 2:] + self._anchors[sure][:, None]
        faces = [
            Face((float(x0), float(y0), float(x1), float(y1)), points[i], float(scores[sure[i]]))
            for i, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True))
        ]
        return merged(faces)


def anchors(side: int) -> Float32:
    """(A, 2): x, y of the anchors in units of the input's side: the middles of the cells, row by row."""
    layers = []
    for stride, repeats in _LAYERS[side]:
        cells = side // stride
        row, column = np.divmod(np.arange(cells * cells), cells)
        layers.append(np.repeat((np.stack([column, row], axis=1) + 0.5) / cells, repeats, axis=0))
    return np.concatenate(layers).astype(np.float32)


def merged(faces: Sequence[Face]) -> list[Face]:
    """Each face once, the surest first: of all that overlap with the surest one, their mean by score replaces it."""
    left = sorted(faces, key=lambda face: -face.score)
    found = []
    while left:
        same = [face for face in left if face is left[0] or overlap(face.box, left[0].box) > SAME_FACE]
        weights = np.array([face.score for face in same])
        box = np.average([face.box for face in same], axis=0, weights=weights)
        points = np.average([face.points for face in same], axis=0, weights=weights).astype(np.float32)
        found.append(Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), points, left[0].score))
        left = [face for face in left if not any(face is other for other in same)]
    return found


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def whole(image: Image) -> View:
    """The square around a picture (H, W, 3)."""
    height, width = image.shape[:2]
    side = max(height, width)
    return View((width - side) / 2, (height - side) / 2, side)


def cut_out(image: Image, view: View, side: int) -> Image:
    """(side, side, 3): a view of a picture (H, W, 3), scaled."""
    x0, y0 = round(view.x), round(view.y)
    length = max(1, round(view.side))
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x0 + length, image.shape[1]), min(y0 + length, image.shape[0])
    scaled = np.zeros((side, side, 3), np.uint8)
    scale = side / length
    columns = slice(round((left - x0) * scale), round((right - x0) * scale))
    rows = slice(round((top - y0) * scale), round((bottom - y0) * scale))
    width, height = columns.stop - columns.start, rows.stop - rows.start
    if right > left and bottom > top and width > 0 and height > 0:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        scaled[rows, columns] = cv2.resize(image[top:bottom, left:right], (width, height), interpolation=method)
    return scaled


__all__ = ["Face", "FaceDetector", "View", "anchors", "cut_out", "merged", "overlap", "whole"]
