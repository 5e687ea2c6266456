"""Charts over the time of a clip, on a dark panel below its frames.

Legend: W moments, S series, H, W' height and width of a panel.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from extraction.drawing.colours import GREY, ORANGE, PANEL, SERIES, SKY_BLUE, WHITE, Colour
from extraction.drawing.marks import draw_text, text_size
from extraction.frames import Image

ROW_HEIGHT: Final = 64
MARGIN: Final = 10

Double = npt.NDArray[np.float64]


class Row(NamedTuple):
    """One chart: ``values`` (W,) at ``times_s`` (W,) as a line or, around zero, as bars; (W, S) shares that sum to one
    as a stack, whose series are called ``names``.
    """

    title: str
    times_s: Double
    values: Double
    kind: str
    names: Sequence[str] = ()


def panel(rows: Sequence[Row], width: int, duration_s: float) -> Image:
    """(H, W', 3) with the charts one below the other, for a clip of ``duration_s`` seconds."""
    image = np.full((len(rows) * ROW_HEIGHT, width, 3), PANEL, np.uint8)
    for number, row in enumerate(rows):
        top = number * ROW_HEIGHT
        area = image[top : top + ROW_HEIGHT]
        draw = {"line": _line, "bars": _bars, "stack": _stack}[row.kind]
        across = np.array([at_second(float(second), width, duration_s) for second in row.times_s])
        draw(area, row, across)
        cv2.line(image, (0, top), (width, top), GREY, 1)
        draw_text(area, row.title, (MARGIN, 15), size=0.42)
    return image


def at_second(second: float, width: int, duration_s: float) -> int:
    """The column of a panel that shows a moment."""
    return MARGIN + round((width - 2 * MARGIN) * min(max(second / max(duration_s, 1e-9), 0.0), 1.0))


def with_cursor(panel_image: Image, second: float, duration_s: float) -> Image:
    """A copy with a line at a moment."""
    image = panel_image.copy()
    column = at_second(second, image.shape[1], duration_s)
    cv2.line(image, (column, 0), (column, image.shape[0]), WHITE, 1)
    return image


def _line(area: Image, row: Row, across: npt.NDArray[np.int64]) -> None:
    low, high = float(row.values.min()), float(row.values.max())
    heights = _heights((row.values - low) / max(high - low, 1e-9))
    points = np.stack([across, heights], axis=1).astype(np.int32)
    cv2.polylines(area, [points[:, None]], False, WHITE, 2, cv2.LINE_AA)
    _scale(area, f"{low:.3g} to {high:.3g}")


def _bars(area: Image, row: Row, across: npt.NDArray[np.int64]) -> None:
    """Up in orange what is above zero, down in blue what is below: the direction says it without the colour."""
    largest = float(np.abs(row.values).max())
    middle = (ROW_HEIGHT + 18) // 2
    half = middle - 20
    width = max(2, int(np.diff(across).min()) - 2 if len(across) > 1 else 20)
    for column, value in zip(across, row.values, strict=True):
        end = middle - round(half * float(value) / max(largest, 1e-12))
        corners = (int(column) - width // 2, min(middle, end)), (int(column) + width // 2, max(middle, end))
        cv2.rectangle(area, *corners, ORANGE if value > 0 else SKY_BLUE, -1)
    cv2.line(area, (MARGIN, middle), (area.shape[1] - MARGIN, middle), GREY, 1)
    _scale(area, f"at most {largest:.3g}")


def _stack(area: Image, row: Row, across: npt.NDArray[np.int64]) -> None:
    ends = np.concatenate([np.zeros((len(across), 1)), np.cumsum(row.values, axis=1)], axis=1)
    for series in range(len(row.names)):
        low, high = _heights(ends[:, series]), _heights(ends[:, series + 1])
        outline = [*zip(across, high, strict=True), *reversed([*zip(across, low, strict=True)])]
        cv2.fillPoly(area, [np.array(outline, np.int32)[:, None]], _series(series), cv2.LINE_AA)
    right = area.shape[1] - MARGIN
    for series in reversed(range(len(row.names))):  # in the order of the title row, from its end
        right -= text_size(row.names[series], 0.38)[0]
        draw_text(area, row.names[series], (right, 15), size=0.38)
        right -= 14
        cv2.rectangle(area, (right, 6), (right + 9, 15), _series(series), -1)
        right -= 12


def _series(number: int) -> Colour:
    return SERIES[number % len(SERIES)]


def _heights(shares: Double) -> npt.NDArray[np.int64]:
    """Rows of a chart for shares of its height, from below."""
    floor, ceiling = ROW_HEIGHT - 6, 20
    return np.round(floor - np.clip(shares, 0, 1) * (floor - ceiling)).astype(np.int64)


def _scale(area: Image, text: str) -> None:
    draw_text(area, text, (area.shape[1] - MARGIN - text_size(text, 0.38)[0], 15), size=0.38)
