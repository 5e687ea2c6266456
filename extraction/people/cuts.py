"""Cuts: where the next frame shows another scene, so that what was known of the last one is forgotten."""

from typing import Final

import cv2

from extraction.frames import Image
from extraction.resizing import resized

LEAST_CHANGE: Final = 20.0
"""Mean absolute difference of two thumbnails, of 255. Dancers before a still camera stay below 6."""
LEAST_RATIO: Final = 4.0
"""A cut changes this many times as much as the frame before did: fast pans and flashing lights do not."""

_THUMBNAIL: Final = (32, 32)


class CutDetector:
    """Sees each frame of a video in order."""

    def __init__(self) -> None:
        self._last: Image | None = None
        self._last_change = 0.0

    def is_cut(self, image: Image) -> bool:
        """Whether another scene begins with this picture."""
        thumbnail = resized(image, *_THUMBNAIL)
        change = 0.0 if self._last is None else float(cv2.absdiff(thumbnail, self._last).mean())
        before, self._last, self._last_change = self._last_change, thumbnail, change
        return change > LEAST_CHANGE and change > LEAST_RATIO * before
