"""Memory that was freed, back to the system.

A merge reads exact vectors and trains codes in arrays of many sizes. glibc keeps what they leave behind for later, more
than the index itself takes, and gives it back when it is asked.
"""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import cache


def return_free_memory() -> None:
    """Give freed memory back to the system; nothing happens with another C library than glibc."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    with suppress(OSError, AttributeError):
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
        return trim
    return None
