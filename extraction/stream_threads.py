"""The streams of one video on threads of their own, one each, while the dancer is followed through the next frames.

The networks release Python's lock. Each extractor sees the same frames in the same order as without threads, so its
stream has the same bytes.

The dancer is followed through one frame after the other, which takes nearly as long as all streams together. So it must
not wait for a core: while frames come, no more streams run at once than there are other cores.
"""

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore
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
        self._turns = Semaphore(at_once or max(1, cores() - 1))
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
            while len(behind) >= BATCHES_BEHIND:
                behind.popleft().result()
            behind.append(self._threads[modality].submit(self._add, modality, frames, people))

    def finish(self) -> dict[Modality, ExtractedStream | NotExtracted]:
        """The streams, once every frame was seen. Raises what an extractor raises."""
        self._turns.release()  # the core of who followed the dancer
        for behind in self._behind.values():
            while behind:
                behind.popleft().result()
        last = {modality: thread.submit(self._finish, modality) for modality, thread in self._threads.items()}
        return {modality: result.result() for modality, result in last.items()}

    def _add(self, modality: Modality, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        with self._turns:
            began_s = time.perf_counter()
            self._extractors[modality].add(frames, people)
            self.seconds[modality] += time.perf_counter() - began_s

    def _finish(self, modality: Modality) -> ExtractedStream | NotExtracted:
        with self._turns:
            began_s = time.perf_counter()
            stream = self._extractors[modality].finish()
            self.seconds[modality] += time.perf_counter() - began_s
        return stream


def cores() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = ["BATCHES_BEHIND", "StreamThreads", "cores"]
