"""The streams of one video on threads of their own, one each, while the dancer is followed through the next frames.

The networks release Python's lock. Each extractor sees the same frames in the same order as without threads, so its
stream has the same bytes.

The dancer is followed through one frame after the other, which takes nearly as long as all streams together. So it must
not wait for a core: while frames come, no more streams run at once than there are other cores, and the one that is
furthest behind goes first. While the pass itself waits for a stream, another one has its core.
"""

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from heapq import heapify, heappush
from itertools import count
from threading import Condition
from types import TracebackType
from typing import Final, Self

from extraction.frames import Frame
from extraction.streams import ExtractedStream, NotExtracted, Person, StreamExtractor
from schemas.modalities import Modality

BATCHES_BEHIND: Final = 4
"""Batches of frames that a stream may be behind; then the pass waits for it, which bounds memory."""


class StreamThreads:
    """A context manager: leaving it waits for what runs, and drops what has not begun.

    ``at_once``: streams that run at the same time until ``finish``, then one more. ``seconds``: what each extractor
    took while it ran.
    """

    def __init__(self, extractors: Mapping[Modality, StreamExtractor], at_once: int | None = None) -> None:
        self._extractors = extractors
        self._turns = _Turns(at_once or max(1, cores() - 1))
        self._threads = {modality: ThreadPoolExecutor(1, f"extract-{modality}") for modality in extractors}
        self._behind: dict[Modality, deque[Future[None]]] = {modality: deque() for modality in extractors}
        self.seconds = dict.fromkeys(extractors, 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for thread in self._threads.values():
            thread.shutdown(wait=True, cancel_futures=True)

    def add(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        """Give every stream the next frames. Raises what an extractor raised on earlier ones."""
        for modality, behind in self._behind.items():
            if len(behind) >= BATCHES_BEHIND and not behind[0].done():
                self._turns.give()  # the core of who follows the dancer, who waits
                try:
                    behind[0].result()
                finally:
                    self._turns.take(BATCHES_BEHIND + 1)
            while len(behind) >= BATCHES_BEHIND:
                behind.popleft().result()
            behind.append(self._threads[modality].submit(self._add, modality, frames, people))

    def finish(self) -> dict[Modality, ExtractedStream | NotExtracted]:
        """The streams, once every frame was seen. Raises what an extractor raises."""
        self._turns.give()  # the core of who followed the dancer
        for behind in self._behind.values():
            while behind:
                behind.popleft().result()
        last = {modality: thread.submit(self._finish, modality) for modality, thread in self._threads.items()}
        return {modality: result.result() for modality, result in last.items()}

    def _add(self, modality: Modality, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        self._turns.take(sum(not each.done() for each in [*self._behind[modality]]))
        try:
            began_s = time.perf_counter()
            self._extractors[modality].add(frames, people)
            self.seconds[modality] += time.perf_counter() - began_s
        finally:
            self._turns.give()

    def _finish(self, modality: Modality) -> ExtractedStream | NotExtracted:
        self._turns.take(0)
        try:
            began_s = time.perf_counter()
            stream = self._extractors[modality].finish()
            self.seconds[modality] += time.perf_counter() - began_s
        finally:
            self._turns.give()
        return stream


class _Turns:
    """``free`` turns, which go to the most urgent first, and to the first among equals."""

    def __init__(self, free: int) -> None:
        self._free, self._changed = free, Condition()
        self._waiting: list[tuple[int, int]] = []
        self._numbers = count()

    def take(self, urgency: int) -> None:
        """Wait for a turn. Whoever is interrupted meanwhile has none, and does not stand in the way of others."""
        with self._changed:
            place = (-urgency, next(self._numbers))
            heappush(self._waiting, place)
            try:
                while not self._free or self._waiting[0] != place:
                    self._changed.wait()
                self._free -= 1
            finally:
                self._waiting.remove(place)
                heapify(self._waiting)
                self._changed.notify_all()

    def give(self) -> None:
        """One more turn is free."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()


def cores() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = ["BATCHES_BEHIND", "StreamThreads", "cores"]
