"""When the streamer looks for uploads, and when it writes what it has."""

import pytest

from schemas.bundle import Bundle
from schemas.clock import ManualClock
from streamer.pipeline import Streamer
from tests.streaming import Log, quick_settings, stall_loading, uploads
from tests.waiting import wait_until

IN_FLIGHT = 4


def is_time(streamer: Streamer) -> bool:
    return streamer._intake.is_time_to_read(streamer._clock.monotonic_s(), is_busy=streamer._is_busy)


def test_uploads_are_looked_for_now_and_then_while_clips_are_in_flight_and_at_once_when_none_is(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, may_go_on = Log(partitions=1), stall_loading(monkeypatch)
    log.upload(*uploads(1))
    streamer = log.streamer(bundle, quick_settings())
    try:
        assert [is_time(streamer) for _ in range(3)] == [True, True, True]
        wait_until(lambda: streamer._read_uploads() or streamer._prefetcher.loading == 1)
        clock = streamer._clock = ManualClock()
        clock.advance(1000.0)
        assert [is_time(streamer) for _ in range(2)] == [True, False]
        clock.advance(0.02)
        assert is_time(streamer)
    finally:
        may_go_on.set()
        streamer.close()


def test_a_streamer_that_has_no_room_polls_ten_times_a_second_and_at_once_when_half_of_it_is_free(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, may_go_on = Log(partitions=1), stall_loading(monkeypatch)
    log.upload(*uploads(20))
    streamer = log.streamer(bundle, quick_settings(max_in_flight_clips=IN_FLIGHT))
    try:
        wait_until(lambda: streamer._read_uploads() or streamer._intake.is_paused)
        clock = streamer._clock = ManualClock()
        clock.advance(1000.0)
        assert is_time(streamer)
        clock.advance(0.09)
        assert not is_time(streamer)
        clock.advance(0.02)
        assert is_time(streamer)
        clock.advance(0.02)
        for upload in list(streamer._prefetcher._in_flight)[: IN_FLIGHT // 2]:
            assert not is_time(streamer)
            streamer._prefetcher.release(upload)
        assert is_time(streamer)
    finally:
        may_go_on.set()
        streamer.close()


def test_results_wait_a_fifth_of_the_interval_if_nothing_else_is_in_flight_and_all_of_it_if_something_is(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, may_go_on = Log(partitions=1), stall_loading(monkeypatch, "clip-2")
    clock = ManualClock()
    clock.advance(1e9)  # so that every batch is due
    streamer = log.streamer(bundle, quick_settings(commit_interval_s=10.0))
    streamer._clock, streamer._commit_at_s = clock, clock.monotonic_s() + 10.0

    def work() -> None:
        streamer._collect_loaded()
        streamer._score_batches()

    try:
        log.upload(*uploads(3))
        wait_until(lambda: streamer._read_uploads() or streamer._prefetcher.clips == 3)
        wait_until(lambda: streamer._tracker.held == 2, work)
        clock.advance(9.9)
        streamer._commit_when_due()
        assert log.settled() == 0  # clip-2 is in flight
        clock.advance(0.2)
        streamer._commit_when_due()
        assert log.settled() == 2

        may_go_on.set()
        wait_until(lambda: streamer._tracker.held == 1, work)
        clock.advance(1.9)
        assert streamer._idle_budget_s() <= 0.1 + 1e-9  # no poll is waited for beyond the transaction
        streamer._commit_when_due()
        assert log.settled() == 2
        clock.advance(0.2)
        streamer._commit_when_due()
        assert log.settled() == 3
    finally:
        may_go_on.set()
        streamer.close()
