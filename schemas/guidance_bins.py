"""Which frames of a clip make up which bin of its guidance."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

GUIDANCE_BIN_S: Final = 0.5
"""Length of a bin: tips are means over the clips of a challenge at the same bin."""

_MIDDLE: Final = 0.5


def bin_of_frames(frames: int, rate_hz: float, bin_s: float, bins: int) -> NDArray[np.int64]:
    """The bin of each frame, (T,), 0 to ``bins`` − 1: the one that holds its middle, (t + ½) / ``rate_hz`` seconds."""
    middles = (np.arange(frames) + _MIDDLE) / (rate_hz * bin_s)
    # Within a millionth of its end a bin is full, as JointGuidance.bins has it.
    return np.minimum(np.floor(np.round(middles, 6)), bins - 1).astype(np.int64)
