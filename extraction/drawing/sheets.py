"""Contact sheets: several pictures with captions as one."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from extraction.drawing.colours import PANEL
from extraction.drawing.marks import draw_text
from extraction.frames import Image
from schemas.errors import ConfigurationError

TILE_WIDTH: Final = 320
GAP: Final = 6


class Captioned(NamedTuple):
    """A picture (H, W, 3), RGB, and a line of text (ASCII) in its upper left corner."""

    image: Image
    caption: str


def contact_sheet(pictures: Sequence[Captioned], *, columns: int = 4) -> Image:
    """The pictures, each ``TILE_WIDTH`` pixels wide, row by row. All must have the same size. There must be one."""
    height, width = pictures[0].image.shape[:2]
    tile = max(1, round(height * TILE_WIDTH / width))
    columns = min(columns, len(pictures))
    rows = ceil(len(pictures) / columns)
    size = rows * (tile + GAP) + GAP, columns * (TILE_WIDTH + GAP) + GAP
    sheet = np.full((*size, 3), PANEL, np.uint8)
    for number, (image, caption) in enumerate(pictures):
        row, column = divmod(number, columns)
        y, x = GAP + row * (tile + GAP), GAP + column * (TILE_WIDTH + GAP)
        way = cv2.INTER_AREA if width > TILE_WIDTH else cv2.INTER_LINEAR
        placed = np.ascontiguousarray(cv2.resize(image, (TILE_WIDTH, tile), interpolation=way), np.uint8)
        draw_text(placed, caption, (8, 20))
        sheet[y : y + tile, x : x + TILE_WIDTH] = placed
    return sheet


def write_png(path: Path, image: Image) -> None:
    """Raises ``ConfigurationError`` naming the file if it cannot be written."""
    _, encoded = cv2.imencode(".png", image[..., ::-1])
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
