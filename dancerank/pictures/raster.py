"""A sheet as pixels: drawn ``OVERSAMPLING`` times as large and averaged, which smooths every edge alike."""

from collections.abc import Sequence
from io import BytesIO
from typing import Final

from PIL import Image as Pillow
from PIL import ImageDraw

from dancerank.pictures.fonts import font, plain
from dancerank.pictures.sheets import (
    Circle,
    Line,
    Photograph,
    Point,
    Polygon,
    Rectangle,
    Sheet,
    Text,
    near,
)
from extraction.drawing.colours import WHITE, Colour

OVERSAMPLING: Final = 2
PIXELS_PER_UNIT: Final = 2
"""Of a PNG: sharp on screens with two pixels to a CSS pixel, and on paper."""
MOST_PIXELS: Final = 24_000_000
"""A sheet that would have more is drawn at a lower scale."""

_ANCHORS: Final = {"start": "ls", "middle": "ms", "end": "rs"}


def png(sheet: Sheet) -> bytes:
    """``PIXELS_PER_UNIT`` times the size of the sheet, less for a sheet beyond ``MOST_PIXELS``."""
    scale = min(float(PIXELS_PER_UNIT), (MOST_PIXELS / (sheet.width * sheet.height)) ** 0.5)
    made = BytesIO()
    raster(sheet, scale).save(made, "PNG")
    return made.getvalue()


def raster(sheet: Sheet, scale: float = 1.0) -> Pillow.Image:
    """The sheet as an RGB image of ``scale`` times its size."""
    size = max(1, round(sheet.width * scale)), max(1, round(sheet.height * scale))
    canvas = Pillow.new("RGB", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), WHITE)
    _Pencil(canvas, scale * OVERSAMPLING).draw(sheet)
    return canvas.reduce(OVERSAMPLING)


class _Pencil:
    def __init__(self, canvas: Pillow.Image, scale: float) -> None:
        self._canvas, self._scale = canvas, scale
        self._draw = ImageDraw.Draw(canvas)

    def draw(self, sheet: Sheet) -> None:
        for mark in sheet.marks:
            match mark:
                case Line():
                    self._line(mark)
                case Polygon():
                    points = self._points(mark.points)
                    if mark.edge is not None:
                        self._stroke([*points, *points[:2]], mark.edge, 2 * mark.edge_width)
                    self._draw.polygon(points, fill=mark.fill)
                case Circle():
                    if mark.edge is not None:
                        self._disc(mark.centre, mark.radius + mark.edge_width, mark.edge)
                    self._disc(mark.centre, mark.radius, mark.fill)
                case Rectangle():
                    left, top, right, bottom = self._box(mark)
                    if right > left and bottom > top:
                        self._draw.rectangle((left, top, right - 1, bottom - 1), fill=mark.fill)
                case Text():
                    self._text(mark)
                case Photograph():
                    left, top, right, bottom = self._box(mark)
                    size = max(1, right - left), max(1, bottom - top)
                    image = Pillow.fromarray(mark.image).resize(size, Pillow.Resampling.BILINEAR)
                    self._canvas.paste(image, (left, top))

    def _line(self, mark: Line) -> None:
        if not mark.dashed:
            self._stroke(self._points(mark.points), mark.colour, mark.width)
            return
        for (x0, y0), (x1, y1) in zip(mark.points, mark.points[1:], strict=False):
            length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
            step = max(3 * mark.width, length / 2000)
            for number in range(int(length / (2 * step)) + 1):
                start, end = (min(at / length, 1) for at in (2 * number * step, (2 * number + 1) * step))
                ends = [(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for share in (start, end)]
                self._stroke(self._points(ends), mark.colour, mark.width)

    def _stroke(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        thick = max(1, round(width * self._scale))
        self._draw.line(points, fill=colour, width=thick, joint="curve" if len(points) > 2 else None)
        if thick > 3:
            radius = (thick - 1) / 2
            for x, y in (points[0], points[-1]):
                self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def _disc(self, centre: Point, radius: float, colour: Colour) -> None:
        x, y = (near(value) * self._scale for value in centre)
        radius *= self._scale
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def _text(self, mark: Text) -> None:
        words = plain(mark.words)
        face = font(mark.size * self._scale, bold=mark.bold)
        x, y = (near(value) * self._scale for value in mark.at)
        if not mark.upwards:
            self._draw.text((x, y), words, fill=mark.colour, font=face, anchor=_ANCHORS[mark.anchor])
            return
        long, above, below = max(1, round(face.getlength(words))), *face.getmetrics()
        mask = Pillow.new("L", (long, above + below))
        ImageDraw.Draw(mask).text((0, above), words, fill=255, font=face, anchor="ls")
        before = {"start": long, "middle": long / 2, "end": 0}[mark.anchor]
        mask = mask.transpose(Pillow.Transpose.ROTATE_90)
        self._canvas.paste(mark.colour, (round(x) - above, round(y - before)), mask)

    def _points(self, points: Sequence[Point]) -> list[Point]:
        return [(near(x) * self._scale, near(y) * self._scale) for x, y in points]

    def _box(self, mark: Rectangle | Photograph) -> tuple[int, int, int, int]:
        """Whole pixels; neighbours share their edges."""
        x, y = (near(value) for value in mark.corner)
        edges = (x, y, x + mark.width, y + mark.height)
        left, top, right, bottom = (round(edge * self._scale) for edge in edges)
        return left, top, right, bottom
