"""The rotated square around one person, in which the landmarks are looked for, and what is cut out of it.

Legend: H, W height and width of a picture; S side of the square that the landmark network sees (256).
"""

from math import atan2, cos, hypot, pi, sin
from typing import Final, NamedTuple, TypeVar, cast

import cv2
import numpy as np

from extraction.frames import Image
from schemas.ports import Float32

MARGIN: Final = 1.25
"""Side of a region as a multiple of the circle's diameter around the body; MediaPipe's. The dancer's movement until the
next frame has to stay within."""

_Picture = TypeVar("_Picture", Image, Float32)


class Region(NamedTuple):
    """A square with its middle at ``x``, ``y``, a ``side`` in pixels, turned clockwise by ``angle`` (radians), so that
    the person in it stands upright.
    """

    x: float
    y: float
    side: float
    angle: float

    def to_picture(self, cells: int) -> Float32:
        """(2, 3): takes (u, v, 1), in cells of the square divided into ``cells`` × ``cells``, to pixels (x, y)."""
        step = self.side / cells
        across, down = step * cos(self.angle), step * sin(self.angle)
        half = cells / 2
        return np.array(
            [
                [across, -down, self.x - half * (across - down)],
                [down, across, self.y - half * (across + down)],
            ],
            np.float32,
        )

    def crop(self, image: Image, cells: int) -> Image:
        """(S, S, 3): what the picture (H, W, 3) shows there, bilinear; black beyond its edges."""
        return _warped(image, self.to_picture(cells), (cells, cells))

    def uncrop(self, square: Float32, width: int, height: int, size: tuple[int, int] | None = None) -> Float32:
        """(H, W): a map (S, S) over the square put back into the picture, bilinear; 0 outside of the square. ``size``
        (width, height): of the picture scaled, if it is to be another.
        """
        to_picture = np.vstack([self.to_picture(len(square)), [0, 0, 1]])
        inverse = np.linalg.inv(to_picture)
        if size is not None:
            across, down = width / size[0], height / size[1]
            # The middles of pixels lie at whole numbers; those of the scaled picture at (u + 1/2) · across - 1/2.
            inverse = inverse @ np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])
        return _warped(square, inverse[:2].astype(np.float32), size or (width, height))

    def distance(self, other: "Region") -> float:
        """Between the middles, as a share of the larger side."""
        return hypot(self.x - other.x, self.y - other.y) / max(self.side, other.side)


def region_between(hips: Float32, top: Float32) -> Region:
    """Around the body that has the middle of its hips at ``hips`` (2,) and the top of its circle at ``top`` (2,)."""
    x, y = float(hips[0]), float(hips[1])
    right, up = float(top[0]) - x, y - float(top[1])
    return Region(x, y, 2 * MARGIN * hypot(right, up), (pi / 2 - atan2(up, right) + pi) % (2 * pi) - pi)


def _warped(picture: _Picture, target_to_source: Float32, size: tuple[int, int]) -> _Picture:
    """The picture of ``size`` (width, height) whose pixel p shows ``picture`` at ``target_to_source`` · p."""
    return cast(
        _Picture, cv2.warpAffine(picture, target_to_source, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    )
