import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from schemas.clock import Clock, ManualClock, SystemClock
from schemas.errors import FeatureFileMissing, LoadingAbandoned
from schemas.events import ClipUploaded, InlineFeatures
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from schemas.ports import Record, TopicPartition
from streamer.offset_tracker import Ticket
from streamer.prefetch import ByteBudget, Load, Loaded, Prefetcher, Upload
from streamer.stores import MemoryReservation
from tests.clips import upload
from tests.waiting import wait_until

TIMEOUT_S = 60.0


def an_upload(number: int, *, value: bytes = b"") -> Upload:
    record = Record("clips.uploaded", 0, number, 0, None, value)
    ticket = Ticket(TopicPartition("clips.uploaded", 0), number, 1)
    return Upload(record, upload(f"clip-{number}", InlineFeatures(b"-")), ticket, 0.0)


def nothing(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
    return ClipFeatures({Modality.SCENIC: np.zeros((1, 512), np.float16)})


Open = Callable[..., Prefetcher]


@pytest.fixture
def open_prefetcher() -> Iterator[Open]:
    opened: list[Prefetcher] = []

    def start(
        load: Load, *, threads: int = 2, max_clips: int = 8, max_bytes: int = 100, clock: Clock | None = None
    ) -> Prefetcher:
        opened.append(
            Prefetcher(
                load,
                threads=threads,
                max_clips=max_clips,
                max_bytes=max_bytes,
                clock=clock or SystemClock(),
                abandoned=threading.Event(),
            )
        )
        return opened[-1]

    yield start
    for prefetcher in opened:
        prefetcher.close()


def collect(prefetcher: Prefetcher, count: int) -> list[Loaded]:
    loaded: list[Loaded] = []
    while len(loaded) < count:
        more = prefetcher.ready(TIMEOUT_S)
        assert more, "nothing was loaded in time"
        loaded += more
    return loaded


def test_every_clip_comes_out_once_with_its_features_or_its_error(open_prefetcher: Open) -> None:
    def load(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        if clip.clip_id == "clip-1":
            raise FeatureFileMissing("not there")
        return nothing(clip, reserve)

    prefetcher = open_prefetcher(load)
    uploads = [an_upload(number) for number in range(5)]
    for item in uploads:
        prefetcher.submit(item)
    outcomes = {loaded.upload: loaded.outcome for loaded in collect(prefetcher, 5)}
    assert set(outcomes) == set(uploads)
    assert [isinstance(outcomes[item], ClipFeatures) for item in uploads] == [True, False, True, True, True]
    assert prefetcher.ready(0.0) == []


def test_an_exception_that_is_not_ours_is_raised_and_not_reported_as_a_bad_clip(open_prefetcher: Open) -> None:
    def load(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        raise ZeroDivisionError

    prefetcher = open_prefetcher(load)
    prefetcher.submit(an_upload(0))
    with pytest.raises(ZeroDivisionError):
        collect(prefetcher, 1)


def test_clips_are_loaded_concurrently(open_prefetcher: Open) -> None:
    together = threading.Barrier(2)

    def load(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        together.wait(TIMEOUT_S)
        return nothing(clip, reserve)

    prefetcher = open_prefetcher(load, threads=2)
    prefetcher.submit(an_upload(0))
    prefetcher.submit(an_upload(1))
    collect(prefetcher, 2)


def test_no_slot_is_free_at_the_limit_of_clips_until_one_is_released(open_prefetcher: Open) -> None:
    prefetcher = open_prefetcher(nothing, max_clips=2)
    first, second = an_upload(0), an_upload(1)
    prefetcher.submit(first)
    assert prefetcher.free_slots == 1
    prefetcher.submit(second)
    assert prefetcher.free_slots == 0
    collect(prefetcher, 2)
    assert (prefetcher.free_slots, prefetcher.clips) == (0, 2)
    prefetcher.release(first)
    prefetcher.release(first)
    assert (prefetcher.free_slots, prefetcher.clips) == (1, 1)


def test_no_slot_is_free_while_records_hold_the_limit_of_bytes(open_prefetcher: Open) -> None:
    prefetcher = open_prefetcher(nothing, max_clips=8, max_bytes=100)
    large = an_upload(0, value=bytes(100))
    prefetcher.submit(large)
    assert prefetcher.free_slots == 0
    collect(prefetcher, 1)
    prefetcher.release(large)
    assert prefetcher.free_slots == 8


def test_files_held_never_exceed_the_limit_of_bytes(open_prefetcher: Open) -> None:
    def load(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        reserve(60)
        return nothing(clip, reserve)

    prefetcher = open_prefetcher(load, threads=2, max_bytes=100)
    for number in range(3):
        prefetcher.submit(an_upload(number))
    for _ in range(3):
        (loaded,) = collect(prefetcher, 1)
        assert prefetcher.held_bytes == 60
        assert prefetcher.ready(0.05) == []
        assert prefetcher.is_stuck == (prefetcher.loading > 0)
        prefetcher.release(loaded.upload)
    assert prefetcher.held_bytes == 0


def test_a_file_above_the_limit_is_loaded_alone(open_prefetcher: Open) -> None:
    def load(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        reserve(500)
        return nothing(clip, reserve)

    prefetcher = open_prefetcher(load, max_bytes=100)
    prefetcher.submit(an_upload(0))
    prefetcher.submit(an_upload(1))
    (first,) = collect(prefetcher, 1)
    assert prefetcher.ready(0.05) == []
    prefetcher.release(first.upload)
    collect(prefetcher, 1)


def test_a_file_that_is_read_again_is_counted_once(open_prefetcher: Open) -> None:
    def load(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        reserve(60)
        reserve(60)
        return nothing(clip, reserve)

    prefetcher = open_prefetcher(load, max_bytes=100)
    prefetcher.submit(an_upload(0))
    collect(prefetcher, 1)
    assert prefetcher.held_bytes == 60


def test_closing_wakes_loads_that_wait_for_bytes(open_prefetcher: Open) -> None:
    errors: list[Exception] = []
    asked = threading.Event()

    def load(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        if clip.clip_id == "clip-1":
            asked.set()
        try:
            reserve(100)
        except LoadingAbandoned as error:
            errors.append(error)
            raise
        return nothing(clip, reserve)

    prefetcher = open_prefetcher(load, threads=1, max_bytes=100)
    prefetcher.submit(an_upload(0))
    prefetcher.submit(an_upload(1))
    collect(prefetcher, 1)
    assert asked.wait(TIMEOUT_S)
    prefetcher.close()
    assert isinstance(collect(prefetcher, 1)[0].outcome, LoadingAbandoned)
    assert len(errors) == 1


def test_requests_for_bytes_are_granted_in_order() -> None:
    budget, served = ByteBudget(100), []
    budget.acquire(100)
    threads = []
    for name, size in (("large", 100), ("small", 1)):

        def ask(name: str = name, size: int = size) -> None:
            budget.acquire(size)
            served.append(name)
            budget.release(size)

        waiting = budget.waiting
        threads.append(threading.Thread(target=ask, daemon=True))
        threads[-1].start()
        while budget.waiting == waiting:
            time.sleep(0.001)
    budget.release(50)
    time.sleep(0.1)  # the small one could have it by now
    assert served == []
    budget.release(50)
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert served == ["large", "small"]


def test_closing_signals_loads_that_wait_for_a_store_and_returns_at_once() -> None:
    abandoned, begun, hanging = threading.Event(), threading.Semaphore(0), threading.Event()
    asked: list[str] = []

    def load(clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        asked.append(clip.clip_id)
        begun.release()
        assert hanging.wait(TIMEOUT_S)
        return nothing(clip, reserve)

    prefetcher = Prefetcher(load, threads=1, max_clips=8, max_bytes=100, clock=SystemClock(), abandoned=abandoned)
    prefetcher.submit(an_upload(0))
    prefetcher.submit(an_upload(1))
    assert begun.acquire(timeout=TIMEOUT_S)
    started_s = time.monotonic()
    prefetcher.close()
    assert time.monotonic() - started_s < TIMEOUT_S / 4
    assert abandoned.is_set()
    hanging.set()
    assert not begun.acquire(timeout=0.2)
    assert asked == ["clip-0"]


class Store:
    """Files that come when a test lets them: ``asked`` counts the questions, ``answer`` answers one clip's."""

    def __init__(self, size_bytes: int = 0) -> None:
        self.asked: list[str] = []
        self._answered: dict[str, threading.Event] = {}
        self._size_bytes = size_bytes

    def load(self, clip: ClipUploaded, reserve: MemoryReservation) -> ClipFeatures:
        reserve(self._size_bytes)
        answered = self._answered.setdefault(clip.clip_id, threading.Event())
        self.asked.append(clip.clip_id)
        assert answered.wait(TIMEOUT_S)
        return nothing(clip, reserve)

    def answer(self, clip_id: str) -> None:
        self._answered[clip_id].set()


def test_the_silence_of_a_store_is_that_of_the_file_that_waits_longest(open_prefetcher: Open) -> None:
    clock, store = ManualClock(), Store()
    prefetcher = open_prefetcher(store.load, clock=clock)
    assert prefetcher.silent_s() == 0.0
    prefetcher.submit(an_upload(0))
    wait_until(lambda: store.asked == ["clip-0"])
    clock.advance(30)
    prefetcher.submit(an_upload(1))
    wait_until(lambda: store.asked == ["clip-0", "clip-1"])
    clock.advance(5)
    assert prefetcher.silent_s() == 35.0
    store.answer("clip-0")
    collect(prefetcher, 1)
    assert prefetcher.silent_s() == 5.0
    store.answer("clip-1")
    collect(prefetcher, 1)
    clock.advance(60)
    assert prefetcher.silent_s() == 0.0


def test_a_clip_that_no_thread_has_taken_on_yet_is_not_waited_for(open_prefetcher: Open) -> None:
    clock, store = ManualClock(), Store()
    prefetcher = open_prefetcher(store.load, threads=1, clock=clock)
    for number in range(2):
        prefetcher.submit(an_upload(number))
    wait_until(lambda: store.asked == ["clip-0"])
    clock.advance(30)
    store.answer("clip-0")
    wait_until(lambda: store.asked == ["clip-0", "clip-1"])
    clock.advance(1)
    assert prefetcher.silent_s() == 1.0
    store.answer("clip-1")
    collect(prefetcher, 2)


def test_waiting_for_room_is_not_the_silence_of_a_store(open_prefetcher: Open) -> None:
    clock, store = ManualClock(), Store(size_bytes=60)
    prefetcher = open_prefetcher(store.load, max_bytes=100, clock=clock)
    first, second = an_upload(0), an_upload(1)
    prefetcher.submit(first)
    wait_until(lambda: store.asked == ["clip-0"])
    prefetcher.submit(second)
    wait_until(lambda: prefetcher._budget.waiting == 1)
    store.answer("clip-0")
    collect(prefetcher, 1)
    clock.advance(600)
    assert prefetcher.silent_s() == 0.0  # the other one waits for room
    prefetcher.release(first)
    wait_until(lambda: store.asked == ["clip-0", "clip-1"])
    clock.advance(7)
    assert prefetcher.silent_s() == 7.0
    store.answer("clip-1")
    collect(prefetcher, 1)
