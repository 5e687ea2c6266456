"""Frames of a video as the extractors see them.

Legend: H, W height and width of ``Frame.image``.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

FRAME_RATE_HZ: Final = 25.0
"""Frames are taken from a video at this rate, by time stamps, whatever its own rate is."""

BATCH_FRAMES: Final = 8
"""The most frames that extractors get at once. On a CPU networks are not faster with more, and the streams wait for the
first batch."""

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What a video shows at ``time_s`` = ``index`` / 25 seconds after its first picture.

    ``image``: (H, W, 3) uint8, RGB, upright (the rotation of the metadata is applied) with square pixels, scaled so
    that its longer side is at most ``extraction.longest_side``. It may be kept, and is not to be written to.
    """

    index: int
    time_s: float
    image: Image


class VideoProperties(NamedTuple):
    """A video as its container describes it.

    ``width`` and ``height``: of the upright source, in square pixels; ``rotation``: degrees, counter-clockwise, that
    were applied to make it upright (0, 90, 180, 270); ``scale``: pixels of ``Frame.image`` per pixel of the source, so
    that (x, y) in an image is (x, y) / ``scale`` in the source. ``duration_s`` and ``frame_rate_hz`` are what the
    container says, 0 where it says nothing.
    """

    width: int
    height: int
    duration_s: float
    frame_rate_hz: float
    rotation: int
    scale: float
    sha256: str
