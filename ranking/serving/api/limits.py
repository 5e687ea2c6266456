"""Rate limit of a client: a token bucket, counted exactly."""

from typing import Final

_TOKEN: Final = 60_000_000_000
"""One token in parts: a bucket gains as many parts a nanosecond as it gains tokens a minute, so nothing is rounded."""


class TokenBucket:
    """Holds up to ``burst`` requests and gains ``per_minute`` a minute; it is full at first.

    In any span of ``t`` seconds no more than ``burst + per_minute * t / 60`` requests are admitted, and every request
    is that keeps to it.
    """

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_minute = per_minute
        self._capacity = burst * _TOKEN
        self._parts = self._capacity
        self._filled_at_ns: int | None = None

    def take(self, now_ns: int) -> int:
        """0 if a request is admitted, which takes one token; else nanoseconds until one would be.

        ``now_ns``: a clock that never goes back.
        """
        elapsed_ns = 0 if self._filled_at_ns is None else now_ns - self._filled_at_ns
        self._filled_at_ns = now_ns
        self._parts = min(self._capacity, self._parts + elapsed_ns * self._per_minute)
        if self._parts < _TOKEN:
            return -((self._parts - _TOKEN) // self._per_minute)
        self._parts -= _TOKEN
        return 0
