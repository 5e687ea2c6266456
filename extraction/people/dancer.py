"""The dancer as the extractors see them, of what the landmark network gives."""

from collections.abc import Callable
from threading import Lock
from typing import Final

import cv2
import numpy as np

from extraction.people.landmarks import Body
from extraction.people.logits import sigmoid
from extraction.streams import Box, Person
from schemas.ports import Float32

_BODY: Final = 0.5
"""Of the mask: pixels that are more likely the dancer's than not."""


class Dancer(Person):
    """A body in a picture of ``width`` and ``height`` pixels. Masks are made when they are asked for, on the thread of
    who asks, and so is what of the network makes them: each frame is followed only after the one before. The box is
    that of the mask; where the mask is empty, that of the landmarks. ``region``: where the network looked.
    """

    def __init__(self, body: Body, width: int, height: int) -> None:
        self.landmarks = body.landmarks
        self.region = body.region
        self._size = width, height
        self._logits: Float32 | Callable[[], Float32] | None = body.mask
        self._made: Float32 | None = None
        self._making = Lock()

    def _probabilities(self) -> Float32:
        """(S, S) over the region, made once; then what made them is forgotten."""
        with self._making:
            if self._made is None and self._logits is not None:
                self._made = sigmoid(self._logits() if callable(self._logits) else self._logits)
                self._logits = None
            assert self._made is not None
            return self._made

    @property
    def mask(self) -> Float32:
        """(H, W)."""
        return self.region.uncrop(self._probabilities(), *self._size)

    @property
    def box(self) -> Box:
        """x0, y0, x1, y1."""
        x, y, width, height = cv2.boundingRect((self.mask > _BODY).astype(np.uint8))
        if not width:
            low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
            return float(low[0]), float(low[1]), float(high[0]), float(high[1])
        return float(x), float(y), float(x + width), float(y + height)

    def mask_at(self, height: int, width: int) -> Float32:
        """(height, width): the mask at another size of the whole picture, straight from the network's."""
        return self.region.uncrop(self._probabilities(), *self._size, (width, height))


__all__ = ["Dancer"]
