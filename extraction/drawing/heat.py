"""Heat over a grey copy of a frame: orange where values are above zero, blue where they are below."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from extraction.drawing.colours import ORANGE, SKY_BLUE
from extraction.frames import Image
from extraction.resizing import Crop

STRONGEST: Final = 0.75
"""How much of the colour is seen where a value is at the limit; the rest is the frame."""


def heated(image: Image, values: npt.NDArray[np.float64], crop: Crop, limit: float) -> Image:
    """A grey copy of ``image`` (H, W, 3) with the ``values`` (h, w) over its part ``crop``: full colour at ±``limit``,
    none at zero.
    """
    grey = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    part = crop.of(grey)
    scaled = cv2.resize(values, (crop.width, crop.height), interpolation=cv2.INTER_LINEAR)
    share = np.clip(np.abs(scaled) / max(limit, np.finfo(np.float64).tiny), 0, 1)[..., None] * STRONGEST
    colour = np.where(scaled[..., None] > 0, np.array(ORANGE), np.array(SKY_BLUE))
    part[:] = np.rint(part * (1 - share) + colour * share).astype(np.uint8)
    return grey
