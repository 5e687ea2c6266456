"""Threads that run the streams of several batches side by side, so that no core waits for a batch to be complete."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from schemas.clock import Clock
from schemas.errors import InferenceFailed
from schemas.events import ClipScored
from streamer.padding import PaddedBuffer
from streamer.runs import Run
from streamer.scoring import Scorer, Scoring

BATCHES_AHEAD: Final = 2
"""Batches that wait while others are worked on: what the threads do while the loop reads, writes and commits."""

Results = list[ClipScored | InferenceFailed]
Item = TypeVar("Item")


class Scored(NamedTuple, Generic[Item]):
    """A batch that is through: the ``items`` it was submitted with, and the result of each."""

    items: Sequence[Item]
    results: Results


class _Job(Generic[Item]):
    """A batch under way; ``left`` runs are not done."""

    def __init__(self, items: Sequence[Item], scoring: Scoring) -> None:
        self.items, self.scoring = items, scoring
        self.left = len(scoring.runs)
        self.error: BaseException | None = None
        self.results: Results = []

    def attempt(self, act: Callable[[], object]) -> None:
        """Do nothing after an error; the first is raised where the batch is collected."""
        if self.error is None:
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - not lost: the loop raises it
                self.error = error

    def finish(self, scorer: Scorer) -> None:
        self.results = scorer.finish(self.scoring)


class Inference(Generic[Item]):
    """Scores batches on ``workers`` threads, one run of a graph at a time on each, in the order of the batches.

    ``submit`` and ``collect`` are called on one thread. ``ended`` is called, on any thread, when a batch is through.
    """

    def __init__(self, scorer: Scorer, *, workers: int, clock: Clock, ended: Callable[[], object]) -> None:
        self._scorer, self._clock, self._ended = scorer, clock, ended
        self._queue: queue.SimpleQueue[tuple[_Job[Item], Run] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[_Job[Item]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._since_s: dict[int, float] = {}
        self._closed = False
        self.batches = 0
        """Submitted and not collected."""
        self._most = 1 + BATCHES_AHEAD
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"run-streams-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def has_room(self) -> bool:
        """Whether the threads may run out of work before another batch is submitted."""
        return self.batches < self._most

    def busy_since_s(self) -> float | None:
        """When the run began that has taken longest, by the clock's monotonic time; ``None`` if nothing runs."""
        return min(list(self._since_s.values()), default=None)

    def submit(self, items: Sequence[Item], scoring: Scoring) -> None:
        """Begin a batch; its results come in the order of ``items``."""
        job = _Job(items, scoring)
        self.batches += 1
        for run in scoring.runs:
            self._queue.put((job, run))

    def collect(self) -> list[Scored[Item]]:
        """Batches that are through, in the order in which they were. Raises any exception of a run that is not an
        ``InferenceFailed``: it is a defect.
        """
        scored: list[Scored[Item]] = []
        while True:
            try:
                job = self._done.get_nowait()
            except queue.Empty:
                return scored
            self.batches -= 1
            if job.error is not None:
                raise job.error
            scored.append(Scored(job.items, job.results))

    def close(self) -> None:
        """Drop what has not begun, and wait for what has: nothing uses the runtime afterwards. Idempotent."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        buffer = PaddedBuffer()
        while (taken := self._queue.get()) is not None:
            if self._closed:
                continue
            job, run = taken
            self._since_s[number] = self._clock.monotonic_s()
            job.attempt(lambda: self._scorer.run(job.scoring, run, buffer))  # noqa: B023 - called at once
            with self._lock:
                job.left -= 1
                is_last = job.left == 0
            if is_last:
                job.attempt(lambda: job.finish(self._scorer))  # noqa: B023 - called at once
                self._done.put(job)
            del self._since_s[number]
            if is_last:
                self._ended()
