"""Times that producers send, held against the clock of who reads them.

The latest time wins in every view, so an absurd one would win for ever. A day ahead is refused, and two days in the
log of scored clips, whose writer's clock may differ from the broker's.
"""

from typing import Final

from schemas.clock import Clock
from schemas.errors import MalformedEvent
from schemas.ports import Record

DAY_MS: Final = 86_400_000
AHEAD_MS: Final = DAY_MS
LOG_AHEAD_MS: Final = 2 * DAY_MS
BACKFILL_MS: Final = DAY_MS
"""A clip that is scored later than this after its upload is a backfill: its age says nothing about how fast we are."""
_FIRST_MS: Final = 10**12  # 2001
_LIVED_MS: Final = 20 * 365 * DAY_MS
"""A number that is a time of the last 20 years in another unit is taken for one."""


def check_time(at_ms: int, now_ms: int, *, field: str, ahead_ms: int = AHEAD_MS) -> None:
    """Raise ``MalformedEvent`` naming ``field``, and the unit that the time seems to be in, if ``at_ms`` is later than
    ``now_ms`` by more than ``ahead_ms``, or is seconds. All in milliseconds since 1970, UTC.
    """
    latest_ms, earliest_ms = now_ms + ahead_ms, max(_FIRST_MS, now_ms - _LIVED_MS)
    looks = ""
    if earliest_ms <= at_ms * 1000 <= latest_ms:
        looks = "looks like seconds"
    elif at_ms > latest_ms:
        units = (unit for unit, per_ms in _FINER.items() if earliest_ms <= at_ms // per_ms <= latest_ms)
        unit = next(units, None)
        looks = f"looks like {unit}" if unit else f"is more than {ahead_ms // DAY_MS} d ahead of the clock here"
    if looks:
        raise MalformedEvent(f"{field} is {at_ms}, which {looks}; send milliseconds since 1970, UTC", field=field)


_FINER: Final = {"microseconds": 1000, "nanoseconds": 1_000_000}


def written_ms(record: Record, clock: Clock) -> int:
    """When a record was written: by its own time stamp, so that every replica judges it alike, whenever it reads; by
    the clock here if it has none, or one ahead.
    """
    now_ms = clock.now_ms()
    return min(record.timestamp_ms, now_ms) if record.timestamp_ms > 0 else now_ms
