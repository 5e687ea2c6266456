"""Time as a port, with the real clock and one that tests move by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back. For durations and deadlines."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC. For time stamps."""
        ...


class SystemClock:
    def monotonic_s(self) -> float:
        return time.monotonic()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, *, start_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = start_ms
        self._elapsed_s = 0.0

    def advance(self, seconds: float) -> None:
        self._elapsed_s += seconds

    def monotonic_s(self) -> float:
        return self._elapsed_s

    def now_ms(self) -> int:
        return self._start_ms + round(self._elapsed_s * 1000)
