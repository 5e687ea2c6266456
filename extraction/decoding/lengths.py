"""How long a video is at least, for a clip."""

from typing import Final

from schemas.errors import VideoLengthRefused
from schemas.events import MIN_DURATION_S

_SLACK_S: Final = 0.1  # containers round their lengths


def check_shortest(length_s: float, shortest_s: float = MIN_DURATION_S) -> None:
    """Raise ``VideoLengthRefused`` for a video of less than ``shortest_s`` seconds."""
    if length_s < shortest_s - _SLACK_S:
        raise VideoLengthRefused(
            f"it lasts {length_s:.2f} s, and a clip lasts at least {shortest_s:g} s; send a longer one",
            field="features.uri",
        )
