"""Loads the features of several clips at once, ahead of the networks, within bounds on clips and bytes."""

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from schemas.clock import Clock
from schemas.errors import DancerankError, LoadingAbandoned
from schemas.events import ClipUploaded
from schemas.features import ClipFeatures
from schemas.ports import Record
from streamer.offset_tracker import Ticket
from streamer.stores import Admission

Load = Callable[[ClipUploaded, Admission], ClipFeatures]


@dataclass(frozen=True, eq=False)
class Upload:
    """A clip in flight: its record, what that says, where it stands in the log, and when it was read (monotonic)."""

    record: Record
    clip: ClipUploaded
    ticket: Ticket
    read_at_s: float


@dataclass(frozen=True)
class Loaded:
    """The features of an upload, or why there are none. ``loaded_at_s`` is monotonic."""

    upload: Upload
    outcome: ClipFeatures | DancerankError
    loading_s: float
    loaded_at_s: float


class ByteBudget:
    """Bytes that may be held at once. Who asks first is served first; one request above the limit is served alone."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def waiting(self) -> int:
        """Requests that wait for room."""
        return len(self._queue)

    def acquire(self, size_bytes: int) -> None:
        """Wait for room. Raises ``LoadingAbandoned`` if the budget is closed meanwhile."""
        turn = object()
        with self._changed:
            self._queue.append(turn)
            self._changed.wait_for(lambda: self._closed or (self._queue[0] is turn and self._has_room(size_bytes)))
            self._queue.remove(turn)
            self._changed.notify_all()
            if self._closed:
                raise LoadingAbandoned("loading was abandoned; the upload is read again after a restart")
            self._held_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        with self._changed:
            self._held_bytes -= size_bytes
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, size_bytes: int) -> bool:
        return self._held_bytes == 0 or self._held_bytes + size_bytes <= self._limit_bytes


class _Reservation:
    """The bytes of one clip: of its record from the start, of its file once the size is known."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._file_bytes = 0

    def admit(self, size_bytes: int) -> None:
        self.give_back()  # a file that is read again is asked for again
        self._budget.acquire(size_bytes)
        self._file_bytes = size_bytes

    def give_back(self) -> None:
        self._budget.release(self._file_bytes)
        self._file_bytes = 0


class Prefetcher:
    """A pool of threads that load. A clip is in flight from ``submit`` to ``release``; use as a context manager.

    ``max_clips`` bounds the clips, ``max_bytes`` the loaded files and, separately, the records. ``abandoned`` is set
    when the pool closes, for whatever still waits on a store.
    """

    def __init__(
        self,
        load: Load,
        *,
        threads: int,
        max_clips: int,
        max_bytes: int,
        clock: Clock,
        abandoned: threading.Event,
    ) -> None:
        self._load = load
        self._max_clips = max_clips
        self._max_bytes = max_bytes
        self._clock = clock
        self._abandoned = abandoned
        self._budget = ByteBudget(max_bytes)
        self._record_bytes = 0
        self._in_flight: dict[Upload, _Reservation] = {}
        self._loading = 0
        self._done: queue.SimpleQueue[Future[Loaded]] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="load-features")
        self._threads = threads

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def clips(self) -> int:
        """Clips in flight."""
        return len(self._in_flight)

    @property
    def held_bytes(self) -> int:
        """Bytes of loaded files in flight."""
        return self._budget.held_bytes

    @property
    def loading(self) -> int:
        """Clips submitted and not yet given out by ``ready``."""
        return self._loading

    @property
    def room(self) -> int:
        """How many clips may be submitted now."""
        if self._record_bytes >= self._max_bytes:
            return 0
        return max(0, self._max_clips - len(self._in_flight))

    @property
    def is_stuck(self) -> bool:
        """Whether nothing more gets loaded until something is released."""
        waiting = self._budget.waiting
        return waiting > 0 and waiting >= min(self._threads, self._loading)

    def submit(self, upload: Upload) -> None:
        """Start loading a clip."""
        reservation = _Reservation(self._budget)
        self._in_flight[upload] = reservation
        self._record_bytes += _record_bytes(upload)
        self._loading += 1
        self._pool.submit(self._run, upload, reservation).add_done_callback(self._done.put)

    def ready(self, timeout_s: float) -> list[Loaded]:
        """What was loaded since the last call, in the order in which it finished; waits up to ``timeout_s`` for the
        first.

        Whatever is no ``DancerankError`` is a defect and is raised here.
        """
        loaded: list[Loaded] = []
        try:
            while self._loading:
                wait = timeout_s > 0 and not loaded
                future = self._done.get(timeout=timeout_s) if wait else self._done.get_nowait()
                self._loading -= 1
                loaded.append(future.result())
        except queue.Empty:
            pass
        return loaded

    def release(self, upload: Upload) -> None:
        """The clip is no longer in flight and its features are no longer held."""
        reservation = self._in_flight.pop(upload, None)
        if reservation is not None:
            reservation.give_back()
            self._record_bytes -= _record_bytes(upload)

    def close(self) -> None:
        """Stop loading; what was not loaded yet is dropped. Idempotent."""
        self._abandoned.set()
        self._budget.close()
        self._pool.shutdown(wait=False, cancel_futures=True)  # a hanging store must not hold up the exit

    def _run(self, upload: Upload, reservation: _Reservation) -> Loaded:
        started_s = self._clock.monotonic_s()
        outcome: ClipFeatures | DancerankError
        try:
            outcome = self._load(upload.clip, reservation.admit)
        except DancerankError as error:
            outcome = error
        ended_s = self._clock.monotonic_s()
        return Loaded(upload, outcome, ended_s - started_s, ended_s)


def _record_bytes(upload: Upload) -> int:
    return len(upload.record.value or b"")
