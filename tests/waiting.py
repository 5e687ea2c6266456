"""How tests wait: until what they wait for has happened, or until nothing has changed for long.

The limit is not a bound on speed: what makes progress on a busy machine is waited for however long it takes.
"""

import time
from collections.abc import Callable
from typing import Final

from schemas.ports import Record, RecordSource

STANDSTILL_S: Final = 240.0
"""Seconds without progress after which a wait has failed; below pytest's own limit, which says less."""


def pause() -> None:
    time.sleep(0.02)


def watching(check: Callable[[], object]) -> Callable[[], None]:
    """Pauses, and calls ``check``, which raises if what is waited for has failed."""

    def act() -> None:
        check()
        pause()

    return act


def wait_until(
    condition: Callable[[], object],
    act: Callable[[], object] = pause,
    *,
    what: str = "waited in vain",
    progress: Callable[[], object] = lambda: None,
    standstill_s: float = STANDSTILL_S,
) -> None:
    """Call ``act`` until ``condition``; ``TimeoutError`` if ``progress`` has been the same for ``standstill_s``."""
    seen, since_s = progress(), time.monotonic()
    while not condition():
        if time.monotonic() - since_s > standstill_s:
            now = progress()
            if now == seen:
                raise TimeoutError(f"{what}: nothing changed for {standstill_s:g} s ({now})")
            seen, since_s = now, time.monotonic()
        act()


def read(source: RecordSource, count: int) -> list[Record]:
    """Poll until ``count`` records have been read; not more."""
    records: list[Record] = []
    wait_until(
        lambda: len(records) >= count,
        lambda: records.extend(source.poll(max_records=count - len(records), timeout_s=0.5)),
        what=f"{count} records were not read",
        progress=lambda: len(records),
    )
    return records
