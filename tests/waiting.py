"""How tests wait: until what they wait for has happened, or until nothing has changed for long.

The limit is not a bound on speed: what makes progress on a busy machine is waited for however long it takes.
"""

import time
from collections.abc import Callable
from typing import Final

from schemas.ports import Record, RecordSource

STANDSTILL_S: Final = 240.0
"""Seconds without progress after which a wait has failed; below pytest's own limit, which says less."""


def pause(waited_s: float = 0.0) -> None:
    """A twentieth of what was waited for so far, for asking costs those who are waited for; 0.02 to 0.1 s."""
    time.sleep(min(max(0.02, waited_s / 20), 0.1))


def watching(check: Callable[[], object]) -> Callable[[], None]:
    """Pauses, and calls ``check``, which raises if what is waited for has failed."""

    def act() -> None:
        check()
        pause()

    return act


def wait_until(
    condition: Callable[[], object],
    act: Callable[[], object] | None = None,
    *,
    what: str = "waited in vain",
    progress: Callable[[], object] = lambda: None,
    standstill_s: float = STANDSTILL_S,
) -> None:
    """Call ``act``, or pause, until ``condition``.

    Raises ``TimeoutError`` if ``progress`` has been the same for ``standstill_s``.
    """
    began_s = time.monotonic()
    seen, since_s = progress(), began_s
    while not condition():
        if time.monotonic() - since_s > standstill_s:
            now = progress()
            if now == seen:
                raise TimeoutError(f"{what}: nothing changed for {standstill_s:g} s ({now})")
            seen, since_s = now, time.monotonic()
        if act is None:
            pause(time.monotonic() - began_s)
        else:
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
