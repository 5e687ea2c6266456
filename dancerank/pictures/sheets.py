"""A picture as a list of marks, in the order in which they are drawn. Legend: lengths in pixels, x right, y down."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from extraction.drawing.colours import BLACK, Colour
from schemas.picture_formats import PictureFormat, StillFormat

Point = tuple[float, float]
Image = npt.NDArray[np.uint8]
"""(H, W, 3), RGB."""
Double = npt.NDArray[np.float64]

INK: Final[Colour] = (33, 33, 33)
FAINT: Final[Colour] = (200, 200, 200)
SUBDUED: Final[Colour] = (95, 95, 95)

FAR: Final = 16384.0
"""Coordinates are clipped to ± this: Pillow and browsers draw nothing sensible of lines that end farther off."""


class Line(NamedTuple):
    """A line through ``points``, with round ends."""

    role: str
    points: Sequence[Point]
    colour: Colour
    width: float
    dashed: bool = False
    title: str = ""


class Polygon(NamedTuple):
    """A filled area with an edge of ``edge_width`` around it."""

    role: str
    points: Sequence[Point]
    fill: Colour
    edge: Colour | None = None
    edge_width: float = 1.0
    title: str = ""


class Circle(NamedTuple):
    """A filled circle; the edge lies around it."""

    role: str
    centre: Point
    radius: float
    fill: Colour
    edge: Colour | None = None
    edge_width: float = 1.0
    title: str = ""


class Rectangle(NamedTuple):
    """``title``: what a browser shows when the mouse is on it."""

    role: str
    corner: Point
    width: float
    height: float
    fill: Colour
    title: str = ""


class Text(NamedTuple):
    """One line of text from, around or up to ``at``, on its base line. ``upwards``: read from below."""

    role: str
    at: Point
    words: str
    size: float
    anchor: Literal["start", "middle", "end"] = "start"
    colour: Colour = INK
    bold: bool = False
    upwards: bool = False


class Photograph(NamedTuple):
    """``image`` (H, W, 3) scaled to ``width`` × ``height``."""

    role: str
    corner: Point
    width: float
    height: float
    image: Image


Mark = Line | Polygon | Circle | Rectangle | Text | Photograph


@dataclass
class Sheet:
    """A white picture of ``width`` × ``height`` pixels. ``title`` and ``description`` are for those who do not see it.

    ``role`` of a mark says what it shows (``arrow``, ``bone``, ``cell``): the class of the element in SVG.
    """

    width: float
    height: float
    title: str
    description: str = ""
    marks: list[Mark] = field(default_factory=list)

    def add(self, *marks: Mark) -> None:
        self.marks += marks


def encoded(sheet: Sheet, kind: StillFormat) -> bytes:
    """The sheet in a format."""
    if kind == PictureFormat.SVG:
        from dancerank.pictures.svg import svg

        return svg(sheet)
    from dancerank.pictures.raster import png

    return png(sheet)


def near(value: float) -> float:
    """``value`` within ± ``FAR``."""
    return float(min(max(value, -FAR), FAR))


def luminance(colour: Colour) -> float:
    """Relative luminance in [0, 1] (WCAG 2)."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever is easier to read on ``colour``."""
    return BLACK if luminance(colour) > 0.18 else (255, 255, 255)
