"""Periods of upload times that runs are kept for, so that a window of time is a few periods and not many clips.

Minutes, hours and days since 1970, UTC. Beside the runs of all time, a challenge has runs of each minute, hour and day
that lies within the longest window which begins in a minute, an hour or a day.
"""

from typing import Final, NamedTuple

MINUTE_MS: Final = 60_000
_LAST: Final = 2**31 - 2 * 1440
ALL_TIME: Final = 0
MINUTE: Final = 1
HOUR: Final = 60
DAY: Final = 1440

KEPT: Final = {MINUTE: 3 * HOUR, HOUR: 9 * DAY, DAY: 9 * DAY}
"""How long ago, in minutes, a period may have started for its runs to be kept: more than the longest window that needs
it, since clocks of workers may differ, by an hour.
"""


class Period(NamedTuple):
    """``minutes`` long, from the minute ``start`` on; both 0: all time."""

    minutes: int
    start: int


ALL: Final = Period(ALL_TIME, 0)


def minute_of(at_ms: int) -> int:
    """Of the first or last minute that 32 bits can say, if ``at_ms`` is beyond it."""
    return min(max(at_ms // MINUTE_MS, -_LAST), _LAST)
