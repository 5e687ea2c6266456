"""The limits on clips in flight, and what a streamer leaves to others when it loses a partition or stops."""

import threading
import time
from typing import Any

import pytest

from schemas.bundle import Bundle
from schemas.errors import FeatureFileMissing, FeatureStoreUnavailable, MembershipLost
from schemas.events import ClipUploaded
from schemas.ports import TopicPartition
from streamer.loading import FeatureLoader
from streamer.pipeline import Streamer
from tests.streaming import (
    UPLOADS,
    Everything,
    Log,
    process,
    quick_settings,
    running,
    stall_loading,
    uploads,
)
from tests.waiting import wait_until
from transport.memory import MemoryTransactionalSink

IN_FLIGHT = 2
HELD_PER_CLIP = 16
CLIPS = 60
UPLOADED = TopicPartition(UPLOADS, 0)


def test_results_that_wait_for_a_slow_clip_are_limited_and_then_reading_pauses(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, slow = Log(partitions=1), stall_loading(monkeypatch, "clip-0")
    log.upload(*uploads(CLIPS))
    streamer = log.streamer(bundle, quick_settings(max_in_flight_clips=IN_FLIGHT, max_batch_wait_s=0.0))
    with running(streamer):
        try:
            wait_until(lambda: streamer._intake.is_paused and streamer._tracker.held >= IN_FLIGHT * HELD_PER_CLIP)
            time.sleep(0.2)  # all could be held by now
            assert streamer._tracker.held <= IN_FLIGHT * HELD_PER_CLIP + IN_FLIGHT
            assert log.settled() == 0
        finally:
            slow.set()
        wait_until(lambda: log.settled() == CLIPS)
    assert log.committed() == {UPLOADED: CLIPS}


def test_paused_reading_resumes_when_half_of_the_slots_are_free(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, silent = Log(partitions=1), stall_loading(monkeypatch)
    log.upload(*uploads(20))
    streamer = log.streamer(bundle, quick_settings(max_in_flight_clips=8))
    try:
        for _ in range(4):
            streamer._read_uploads()
        in_flight = list(streamer._prefetcher._in_flight)
        assert (len(in_flight), streamer._intake.is_paused) == (8, True)
        for upload in in_flight[:3]:
            streamer._prefetcher.release(upload)
            streamer._read_uploads()
            assert streamer._intake.is_paused
        streamer._prefetcher.release(in_flight[3])
        streamer._read_uploads()
        assert (streamer._intake.is_paused, streamer._prefetcher.clips) == (False, 8)
    finally:
        silent.set()
        streamer.close()


class GivenUp(MemoryTransactionalSink):
    def commit(self, *_: object) -> None:
        raise MembershipLost("the group rebalanced without this member")


def test_a_member_removed_while_it_stops_stops_cleanly_and_leaves_the_rest_to_others(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    log, stop = Log(partitions=1), threading.Event()
    log.upload(*uploads(2))
    streamer = log.streamer(bundle, quick_settings(commit_interval_s=600.0), sink=GivenUp(log.broker))
    for _ in range(2):
        streamer._read_uploads()
    stop.set()
    streamer.run(stop)
    assert "other members will read again what was not written" in caplog.text
    assert (log.settled(), log.committed()) == (0, {})


def taken_on(log: Log, bundle: Bundle, **options: Any) -> Streamer:
    """A streamer that has read all uploads and processed none."""
    streamer = log.streamer(bundle, quick_settings(commit_interval_s=600.0), **options)
    for _ in range(2):
        streamer._read_uploads()
    return streamer


def test_results_of_a_revoked_partition_are_written_before_it_is_released(bundle: Bundle) -> None:
    log = Log(partitions=1)
    log.upload(*uploads(5), b"no event")
    streamer = taken_on(log, bundle)
    assert log.settled() == 0
    streamer.revoked(frozenset([UPLOADED]))
    assert (len(log.scored()), len(log.dead()), log.committed()) == (5, 1, {UPLOADED: 6})
    streamer.close()


def test_results_of_a_revoked_partition_are_dropped_even_if_its_last_commit_failed(bundle: Bundle) -> None:
    log = Log(partitions=1)
    log.upload(*uploads(3))
    sink = GivenUp(log.broker)
    streamer = taken_on(log, bundle, sink=sink)
    with pytest.raises(MembershipLost):
        streamer.revoked(frozenset([UPLOADED]))
    assert (streamer._tracker.held, streamer._tracker.committable()) == (0, {})
    streamer.close()


def test_no_state_of_finished_clips_is_kept(bundle: Bundle) -> None:
    log = Log()
    log.upload(*uploads(20), b"no event")
    streamer = log.streamer(bundle, quick_settings(max_in_flight_clips=8))
    process(log, streamer, 21)
    assert (streamer._tracker.held, streamer._tracker.unfinished()) == (0, 0)
    assert (streamer._prefetcher.held_bytes, streamer._prefetcher.clips) == (0, 0)


def test_results_wait_until_a_commit_is_due_and_are_then_written_together(bundle: Bundle) -> None:
    log = Log(partitions=1)
    log.upload(*uploads(5))
    streamer = log.streamer(bundle, quick_settings(commit_interval_s=600.0))
    wait_until(lambda: streamer._step() or streamer._tracker.held == 5)
    streamer._step()
    assert (log.settled(), log.committed()) == (0, {})
    streamer._commit_at_s = 0.0
    streamer._step()
    assert (log.settled(), log.committed()) == (5, {UPLOADED: 5})
    assert streamer._commit_at_s > streamer._clock.monotonic_s() + 500.0
    streamer.close()


def test_clips_of_a_lost_partition_are_neither_reported_nor_waited_for(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = FeatureLoader.load

    def load_or_fail(loader: FeatureLoader, clip: ClipUploaded, *reserve: Any) -> object:
        if clip.clip_id == "clip-0":
            raise FeatureStoreUnavailable("silent")
        if clip.clip_id == "clip-1":
            raise FeatureFileMissing("no such file")
        return load(loader, clip, *reserve)

    monkeypatch.setattr(FeatureLoader, "load", load_or_fail)
    log, seen = Log(partitions=1), Everything()
    log.upload(*uploads(4))
    streamer = taken_on(log, bundle, observer=seen)
    streamer._tracker.forget([UPLOADED])
    streamer._drain(float("inf"))
    reported = [what for what in seen.counts if isinstance(what, tuple) and what[0] in ("dead", "total")]
    assert (reported, streamer._prefetcher.clips) == ([], 0)
    streamer.close()


def test_closing_abandons_waits_for_a_store(bundle: Bundle) -> None:
    streamer = taken_on(Log(), bundle)
    streamer.close()
    assert streamer._prefetcher._abandoned.is_set()
