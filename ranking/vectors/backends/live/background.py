"""Threads that merge the parts of indexes, one for small merges and one for large ones, while there is work.

Each uses one core. On Linux a thread has a priority of its own, and theirs is lower. OpenMP's threads could not be
given one: FAISS is set to a single thread, which is the calling one.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from ranking.vectors.backends.live.heap import return_free_memory
from ranking.vectors.backends.live.tiers import Lane

log = logging.getLogger(__name__)

_NICER: Final = 5
"""No more, since a thread that is not scheduled may hold Python's lock."""


class Mergeable(Protocol):
    def merge(self, lane: Lane, check: Callable[[], None], /) -> bool:
        """Carry out one merge; ``False`` if none is due. Ends when ``check`` raises."""
        ...


class MergeThreads:
    """Merges for any number of indexes. A thread ends when nothing is due, or with the main thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued: dict[Lane, deque[Mergeable]] = {lane: deque() for lane in Lane}
        self._current: dict[Lane, Mergeable] = {}
        self._running: dict[Lane, threading.Thread] = {}
        self._resting = False

    def wake(self, index: Mergeable, lanes: Iterable[Lane] = tuple(Lane)) -> None:
        """Something may be due in these lanes of ``index``."""
        with self._lock:
            for lane in lanes:
                if index not in self._queued[lane]:
                    self._queued[lane].append(index)
                if lane not in self._running:
                    self._running[lane] = threading.Thread(target=self._run, args=(lane,), name=f"merge-{lane}")
                    self._running[lane].start()

    def serves(self, index: Mergeable) -> bool:
        """Whether small merges of ``index`` are under way or still to come."""
        with self._lock:
            return index in self._queued[Lane.SMALL] or self._current.get(Lane.SMALL) is index

    def rest(self) -> None:
        """Give up what is under way and wait until no thread merges; the next ``wake`` starts again.

        Whoever removes the folder of the segments calls this before, once nothing changes the indexes any more.
        """
        with self._lock:
            self._resting = True
            for queued in self._queued.values():
                queued.clear()
            running = list(self._running.values())
        for thread in running:
            thread.join()
        with self._lock:
            self._resting = False

    def _run(self, lane: Lane) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICER)
        while (index := self._next(lane)) is not None:
            merged = False
            try:
                while index.merge(lane, self._check):
                    merged = True
            except _GivenUpError:
                log.debug("a merge was given up")
            except OSError as error:
                log.error(
                    "segments of an index could not be merged (%s); free space or repair the disk. Searches are right, "
                    "and slower the longer this lasts; the next change tries again",
                    error,
                )
            except Exception:
                log.exception("segments of an index could not be merged; searches are right, and slower than they were")
            if merged and lane is Lane.LARGE:
                return_free_memory()

    def _next(self, lane: Lane) -> Mergeable | None:
        with self._lock:
            self._current.pop(lane, None)
            if not self._queued[lane]:
                del self._running[lane]
                return None
            self._current[lane] = self._queued[lane].popleft()
            return self._current[lane]

    def _check(self) -> None:
        if self._resting or not threading.main_thread().is_alive():
            raise _GivenUpError


class _GivenUpError(Exception):
    """No merge is to go on, or the main thread has ended and waits for this one."""
