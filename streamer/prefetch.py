"""Loads the features of several clips concurrently, ahead of inference, within limits on clips and bytes."""

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
from schemas.events import UploadEvent
from schemas.features import ClipFeatures
from schemas.ports import Record
from streamer.offset_tracker import Ticket
from streamer.stores import MemoryReservation

Load = Callable[[UploadEvent, MemoryReservation], ClipFeatures]


@dataclass(frozen=True, eq=False)
class Upload:
    """A clip in flight: its record, the decoded event, its ticket of the offset tracker. ``read_at_s`` is monotonic."""

    record: Record
    clip: UploadEvent
    ticket: Ticket
    read_at_s: float


@dataclass(frozen=True)
class Loaded:
    """The features of an upload, or the error that loading raised. ``loaded_at_s`` is monotonic."""

    upload: Upload
    outcome: ClipFeatures | DancerankError
    loading_s: float
    loaded_at_s: float


class ByteBudget:
    """A limit on bytes held at once. Requests are granted in order, one above the limit once nothing else is held."""

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
        """Requests that are not granted yet."""
        return len(self._queue)

    def acquire(self, size_bytes: int) -> None:
        """Wait until ``size_bytes`` more may be held. Raises ``LoadingAbandoned`` if the budget is closed meanwhile."""
        turn = object()
        with self._changed:
            self._queue.append(turn)
            self._changed.wait_for(lambda: self._closed or (self._queue[0] is turn and self._fits(size_bytes)))
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

    def _fits(self, size_bytes: int) -> bool:
        return self._held_bytes == 0 or self._held_bytes + size_bytes <= self._limit_bytes


class _Reservation:
    """The bytes that the feature file of one clip holds in the budget; none before its size is known.

    ``waits_since_s``: since when its store is waited for, by a monotonic clock; ``None`` while it is not.
    """

    def __init__(self, budget: ByteBudget, clock: Clock) -> None:
        self._budget, self._clock = budget, clock
        self._file_bytes = 0
        self.waits_since_s: float | None = None

    def reserve(self, size_bytes: int) -> None:
        self.give_back()  # a retry of the same file reserves again
        since_s, self.waits_since_s = self.waits_since_s, None
        began_s = self._clock.monotonic_s()
        self._budget.acquire(size_bytes)
        if since_s is not None:  # waiting for room is not waiting for the store
            self.waits_since_s = since_s + self._clock.monotonic_s() - began_s
        self._file_bytes = size_bytes

    def give_back(self) -> None:
        self._budget.release(self._file_bytes)
        self._file_bytes = 0


class Prefetcher:
    """A pool of threads that load features. A clip is in flight from ``submit`` to ``release``. A context manager.

    At most ``max_clips`` clips are in flight. ``max_bytes`` limits the bytes of loaded files and, separately, of
    records. ``abandoned`` is set when the pool closes, so that loads that wait for a store stop waiting.
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
        self._done: queue.SimpleQueue[Future[Loaded] | None] = queue.SimpleQueue()
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
        """Clips submitted and not yet returned by ``ready``."""
        return self._loading

    @property
    def free_slots(self) -> int:
        """How many more clips may be submitted now."""
        if self._record_bytes >= self._max_bytes:
            return 0
        return max(0, self._max_clips - len(self._in_flight))

    @property
    def is_stuck(self) -> bool:
        """Whether every thread waits for bytes, so that nothing is loaded until a clip is released."""
        waiting = self._budget.waiting
        return waiting > 0 and waiting >= min(self._threads, self._loading)

    def silent_s(self) -> float:
        """For how long a store has kept the clip waiting that waits longest; 0 if none waits."""
        waiting = [each.waits_since_s for each in list(self._in_flight.values())]
        return max((self._clock.monotonic_s() - since_s for since_s in waiting if since_s is not None), default=0.0)

    def submit(self, upload: Upload) -> None:
        """Start loading a clip."""
        reservation = _Reservation(self._budget, self._clock)
        self._in_flight[upload] = reservation
        self._record_bytes += _record_bytes(upload)
        self._loading += 1
        self._pool.submit(self._run, upload, reservation).add_done_callback(self._done.put)

    def ready(self, timeout_s: float, *, may_be_woken: bool = False) -> list[Loaded]:
        """Clips whose loading has ended since the last call, in the order in which it ended. Waits up to ``timeout_s``
        for the first, or for ``wake``; if nothing is loading, only where it ``may_be_woken``.

        Raises any exception of a load that is not a ``DancerankError``: it is a defect.
        """
        loaded: list[Loaded] = []
        try:
            while self._loading or may_be_woken:
                wait = timeout_s > 0 and not loaded
                future = self._done.get(timeout=timeout_s) if wait else self._done.get_nowait()
                if future is None:
                    timeout_s = 0.0
                    continue
                self._loading -= 1
                loaded.append(future.result())
        except queue.Empty:
            pass
        return loaded

    def wake(self) -> None:
        """End the wait of ``ready``, or the next one; from any thread."""
        self._done.put(None)

    def release(self, upload: Upload) -> None:
        """End the flight of a clip and give back its bytes. Does nothing for a clip that is not in flight."""
        reservation = self._in_flight.pop(upload, None)
        if reservation is not None:
            reservation.give_back()
            self._record_bytes -= _record_bytes(upload)

    def close(self) -> None:
        """Stop loading and drop clips that are not loaded yet. Idempotent."""
        self._abandoned.set()
        self._budget.close()
        self._pool.shutdown(wait=False, cancel_futures=True)  # a store that hangs must not delay the exit

    def _run(self, upload: Upload, reservation: _Reservation) -> Loaded:
        started_s = self._clock.monotonic_s()
        outcome: ClipFeatures | DancerankError
        reservation.waits_since_s = started_s
        try:
            outcome = self._load(upload.clip, reservation.reserve)
        except DancerankError as error:
            outcome = error
        finally:
            reservation.waits_since_s = None
        ended_s = self._clock.monotonic_s()
        return Loaded(upload, outcome, ended_s - started_s, ended_s)


def _record_bytes(upload: Upload) -> int:
    return len(upload.record.value or b"")
