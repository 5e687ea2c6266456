"""Critical frames: where the guidance of a clip is largest, some time apart.

Legend: T time steps, V joints.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.errors import ConfigurationError
from schemas.ports import Float64
from streamer.guidance.clip_guidance import Guidance
from streamer.guidance.sentences import joints_by_magnitude, sentence_of, without_centre

COUNT: Final = 3
"""As in the paper's Fig. 10 and 12."""
APART_S: Final = 1.0
"""Two beats at 120 beats per minute: frames nearer to each other show one movement."""


@dataclass(frozen=True)
class CriticalFrame:
    """One moment of a clip. ``magnitude`` is ‖g_t‖ in score per unit of the clip's coordinates, over all joints but the
    centre of the body (``without_centre``); ``joints`` are the indices of those that count most, the largest first, and
    ``sentence`` says how to move them.
    """

    frame: int
    time_s: float
    magnitude: float
    joints: tuple[int, ...]
    sentence: str


def critical_frames(guidance: Guidance, count: int = COUNT, apart_s: float = APART_S) -> list[CriticalFrame]:
    """At most ``count`` frames, in the order of time, each ``apart_s`` seconds or more from the others.

    The largest comes first, then the largest of those that are far enough from it, and so on: peaks before frames on
    the slope of another. A clip too short for that has them nearer to each other, at half of an even share of its
    length. A frame that nothing would raise the score in is not critical. Raises ``ConfigurationError`` for a count
    below 1 or a distance that is negative or not finite.
    """
    if count < 1:
        raise ConfigurationError(f"{count} critical frames: ask for 1 or more", field="critical")
    if not 0 <= apart_s < float("inf"):
        raise ConfigurationError(f"critical frames {apart_s} s apart: give seconds, from 0 on", field="apart_s")
    magnitudes = np.linalg.norm(without_centre(guidance.magnitudes, guidance.layout), axis=1)
    apart = max(1.0, min(apart_s * guidance.rate_hz, len(magnitudes) / (2 * count)))
    chosen = _apart(magnitudes, count, apart)
    return [
        CriticalFrame(
            frame=frame,
            time_s=frame / guidance.rate_hz,
            magnitude=float(magnitudes[frame]),
            joints=joints_by_magnitude(guidance, frame),
            sentence=sentence_of(guidance, frame),
        )
        for frame in sorted(chosen)
    ]


def _apart(magnitudes: Float64, count: int, apart: float) -> list[int]:
    """Greedy: of the frames that are ``apart`` or more from those chosen, the largest."""
    around = np.concatenate(([-np.inf], magnitudes, [-np.inf]))
    peak = (magnitudes >= around[:-2]) & (magnitudes >= around[2:])
    chosen: list[int] = []
    for frame in np.lexsort((np.arange(len(magnitudes)), -magnitudes, ~peak)).tolist():
        if len(chosen) == count:
            break
        if magnitudes[frame] > 0 and all(abs(frame - other) >= apart for other in chosen):
            chosen.append(frame)
    return chosen
