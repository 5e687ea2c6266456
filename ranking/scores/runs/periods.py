"""Periods of upload times that runs are kept for, so that a window of time is a few periods and not many clips.

Minutes, hours and days since 1970, UTC. Beside the runs of all time, a challenge has runs of each minute, hour and day
of the longest window that begins within a minute, an hour or a day.
"""

from typing import Final, NamedTuple

from schemas.questions.retrieval import Window

MINUTE_MS: Final = 60_000
ALL_TIME: Final = 0
MINUTE: Final = 1
HOUR: Final = 60
DAY: Final = 1440

KEPT: Final = {MINUTE: 3 * HOUR, HOUR: 9 * DAY, DAY: 9 * DAY}
"""How long ago, in minutes, a period may have started for its runs to be kept: more than the longest window that needs
it, since clocks of workers may differ, by an hour.
"""

_LAST: Final = 2**31 - 2 * DAY
_LENGTHS: Final[dict[Window, tuple[int, int]]] = {"1h": (HOUR, MINUTE), "24h": (DAY, HOUR), "7d": (7 * DAY, HOUR)}
"""Of each window, in minutes, and what its beginning is rounded down to."""


class Period(NamedTuple):
    """``minutes`` long, from the minute ``start`` on; both 0: all time."""

    minutes: int
    start: int


ALL: Final = Period(ALL_TIME, 0)


class Since(NamedTuple):
    """A window of upload times: all from the minute ``minute`` on. It consists of the minutes up to the full hour
    ``hour``, the hours up to the full day ``day``, and all days from then on.
    """

    minute: int
    hour: int
    day: int

    @property
    def at_ms(self) -> int:
        return self.minute * MINUTE_MS


def minute_of(at_ms: int) -> int:
    """Of the first or last minute that 32 bits can say, if ``at_ms`` is beyond it."""
    return min(max(at_ms // MINUTE_MS, -_LAST), _LAST)


def since(window: Window, now_ms: int) -> Since | None:
    """The window that ends now and begins at a full minute (1 h) or a full hour (24 h, 7 d); ``None``: all time."""
    if window == "all":
        return None
    length, rounded_to = _LENGTHS[window]
    minute = (minute_of(now_ms) - length) // rounded_to * rounded_to
    return Since(minute, -(-minute // HOUR) * HOUR, -(-minute // DAY) * DAY)
