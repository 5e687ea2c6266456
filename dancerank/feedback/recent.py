"""The results of the latest questions, for a while: a person who looks at a clip asks several about it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from schemas.clock import Clock, SystemClock

Result = TypeVar("Result")


class Recent(Generic[Result]):
    """At most ``most`` results, none older than ``longest_s`` seconds. Thread-safe."""

    def __init__(self, most: int, longest_s: float, clock: Clock | None = None) -> None:
        self._most, self._longest_s = most, longest_s
        self._clock = clock or SystemClock()
        self._kept: OrderedDict[Hashable, tuple[float, Result]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable | None, compute: Callable[[], Result]) -> Result:
        """The result that is kept under ``key``, or what ``compute`` gives, which is kept then; never under ``None``.

        Two threads that ask at once may both compute. An exception is not kept.
        """
        if key is None:
            return compute()
        with self._lock:
            found = self._kept.get(key)
            if found is not None and self._clock.monotonic_s() - found[0] <= self._longest_s:
                self._kept.move_to_end(key)
                return found[1]
        result = compute()
        with self._lock:
            self._kept[key] = self._clock.monotonic_s(), result
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return result
