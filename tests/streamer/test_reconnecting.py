"""The streamer reconnects from committed offsets alone, after growing waits, and after retriable errors only."""

import threading
from pathlib import Path
from typing import Any

import pytest

from schemas.bundle import Bundle
from schemas.errors import DancerankError, Fenced, MembershipLost, TransportError
from schemas.events import ClipUploaded, FeatureFile
from schemas.ports import RecordSource, TopicPartition
from streamer.loading import FeatureLoader
from streamer.stores import FeatureStore
from tests.clips import upload
from tests.stopping import Stop
from tests.streaming import (
    FEATURES,
    UPLOADS,
    Everything,
    Log,
    quick_settings,
    running,
    stall_loading,
    uploads,
)
from tests.waiting import wait_until
from transport.memory import MemorySource, MemoryTransactionalSink
from transport.reconnecting import Waits

SOON_S = 60.0


class Scripted(MemoryTransactionalSink):
    """Raises ``errors``, one for each commit that writes something; after one that works there is more to commit."""

    def __init__(self, log: Log, errors: list[DancerankError | None]) -> None:
        super().__init__(log.broker)
        self.log, self.errors, self.more = log, errors, 100
        self.closed = 0

    def commit(self, records: Any, positions: Any, source: Any) -> None:
        if records and self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        super().commit(records, positions, source)
        if not records:
            return
        self.log.upload(*uploads(1, first=self.more))
        self.more += 1

    def close(self) -> None:
        self.closed += 1


class Opening:
    """Opens sources, or raises the next of ``errors``."""

    def __init__(self, log: Log, errors: list[DancerankError | None]) -> None:
        self.log, self.errors, self.opened = log, errors, 0

    def __call__(self, listener: object) -> RecordSource:
        self.opened += 1
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return self.log.open_source(listener)


def assert_waits(stop: Stop, longest_s: list[float]) -> None:
    """Each wait is shortened by a random share of up to the jitter."""
    assert len(stop.waited_s) == len(longest_s)
    for waited_s, most_s in zip(stop.waited_s, longest_s, strict=True):
        assert waited_s is not None
        assert (1 - Waits().jitter) * most_s <= waited_s <= most_s


def unreachable() -> TransportError:
    return TransportError("no broker answers")


def test_waits_double_up_to_ten_seconds(bundle: Bundle) -> None:
    log, stop = Log(), Stop(waits=8)
    log.upload(*uploads(2))
    log.streamer(bundle, quick_settings(), sink=Scripted(log, [unreachable() for _ in range(20)])).run(stop)
    assert_waits(stop, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    assert not any(log.committed().values())  # nothing beyond where reading began


def test_waits_double_as_well_while_nothing_can_be_opened(bundle: Bundle) -> None:
    log, stop = Log(), Stop(waits=4)
    log.upload(*uploads(2))
    opening = Opening(log, [None, *(unreachable() for _ in range(20))])
    log.streamer(bundle, quick_settings(), sink=Scripted(log, [unreachable()]), open_source=opening).run(stop)
    assert_waits(stop, [0.2, 0.4, 0.8, 1.6])


def test_after_a_commit_that_worked_waits_are_short_again(bundle: Bundle) -> None:
    log, stop = Log(partitions=1), Stop(waits=4)
    log.upload(*uploads(2))
    sink = Scripted(log, [unreachable(), unreachable(), None, *(unreachable() for _ in range(20))])
    log.streamer(bundle, quick_settings(), sink=sink).run(stop)
    assert_waits(stop, [0.2, 0.4, 0.2, 0.4])


def test_a_member_that_was_given_up_joins_at_once_and_waits_only_if_that_fails(bundle: Bundle) -> None:
    log, stop = Log(), Stop(waits=3)
    log.upload(*uploads(2))
    opening = Opening(log, [None, unreachable(), unreachable(), unreachable()])
    sink = Scripted(log, [MembershipLost("the group rebalanced without this member")])
    log.streamer(bundle, quick_settings(), sink=sink, open_source=opening).run(stop)
    assert stop.waited_s[0] == 0.0
    assert all(waited_s and waited_s >= 0.2 * (1 - Waits().jitter) for waited_s in stop.waited_s[1:])


def test_a_fenced_streamer_ends_and_fences_no_other(bundle: Bundle) -> None:
    log = Log()
    opening = Opening(log, [])
    log.upload(*uploads(2))
    streamer = log.streamer(bundle, quick_settings(), sink=Scripted(log, [Fenced("taken")]), open_source=opening)
    with pytest.raises(Fenced, match="taken"):
        streamer.run(Stop(waits=3))
    assert opening.opened == 1


def test_what_was_open_is_closed_before_anything_is_opened_and_after_each_try(bundle: Bundle) -> None:
    log, stop = Log(), Stop(waits=5)
    log.upload(*uploads(2))
    sink = Scripted(log, [unreachable()])
    opening = Opening(log, [None, unreachable(), unreachable(), unreachable(), unreachable()])
    log.streamer(bundle, quick_settings(), sink=sink, open_source=opening).run(stop)
    assert sink.closed >= opening.opened  # each try opened a sink, and the end closes once more


class Unreachable(MemorySource):
    """A source whose broker does not answer."""

    is_unreachable = True


def test_what_it_waits_for_is_reported_until_something_is_committed(bundle: Bundle) -> None:
    log, reported = Log(partitions=1), list[str | None]()

    class Waiting(Stop):
        def wait(self, timeout: float | None = None) -> bool:
            reported.append(streamer.waiting_for)
            return super().wait(timeout)

    log.upload(*uploads(2))
    opening = Opening(log, [None, TransportError("no broker")])
    streamer = log.streamer(bundle, quick_settings(), sink=Scripted(log, [unreachable()]), open_source=opening)
    assert streamer.waiting_for is None
    stop = Waiting()
    thread = threading.Thread(target=streamer.run, args=(stop,))
    thread.start()
    wait_until(lambda: len(log.scored()) >= 2)
    wait_until(lambda: streamer.waiting_for is None)
    stop.set()
    thread.join()
    assert reported == ["no broker answers (transport)", "no broker (transport)"]


def test_the_wait_is_over_once_there_is_nothing_to_do(bundle: Bundle) -> None:
    log = Log(partitions=1)
    streamer = log.streamer(bundle, quick_settings())
    streamer._reconnecting.reconnect(unreachable(), Stop())
    assert streamer.waiting_for == "no broker answers (transport)"
    for _ in range(3):
        streamer._step()
    assert streamer.waiting_for is None
    streamer.close()


def test_the_wait_is_over_with_a_commit_and_not_before_though_more_is_in_flight(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, goes_on, load = Log(partitions=1), threading.Event(), FeatureLoader.load

    def slow(loader: FeatureLoader, clip: ClipUploaded, *admission: Any) -> Any:
        if clip.clip_id != "good":
            goes_on.wait(SOON_S)
        return load(loader, clip, *admission)

    monkeypatch.setattr(FeatureLoader, "load", slow)
    streamer = log.streamer(bundle, quick_settings())
    try:
        streamer._reconnecting.reconnect(unreachable(), Stop())
        log.upload(upload("good", FEATURES), upload("late", FEATURES))
        streamer._read_uploads()
        streamer._read_uploads()

        def committed() -> bool:
            assert streamer.waiting_for == "no broker answers (transport)"
            streamer._step()
            return any(log.committed().values())  # more than where reading began

        wait_until(committed)
        assert streamer._prefetcher.clips == 1
        assert streamer.waiting_for is None
    finally:
        goes_on.set()
        streamer.close()


class Outside(MemorySource):
    """A source to which its group has assigned no partitions."""

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset()


def test_a_member_without_partitions_still_waits(bundle: Bundle) -> None:
    log = Log(partitions=1)
    opening = lambda listener: Outside(log.broker, [UPLOADS], group="g", listener=listener)  # noqa: E731
    streamer = log.streamer(bundle, quick_settings(), open_source=opening)
    streamer._reconnecting.reconnect(unreachable(), Stop())
    for _ in range(3):
        streamer._step()
    assert streamer.waiting_for == "no broker answers (transport)"
    streamer.close()


def test_a_broker_that_does_not_answer_is_waited_for_without_work_too(bundle: Bundle) -> None:
    log = Log(partitions=1)
    opening = lambda listener: Unreachable(log.broker, [UPLOADS], group="g", listener=listener)  # noqa: E731
    streamer = log.streamer(bundle, quick_settings(), open_source=opening)
    assert streamer.waiting_for == "Kafka does not answer"
    streamer.close()


def test_a_client_that_does_not_close_cleanly_does_not_prevent_reconnecting(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log, stop, close = Log(), Stop(waits=2), MemorySource.close

    def close_badly(source: MemorySource) -> None:
        close(source)
        raise TransportError("cannot leave the group")

    monkeypatch.setattr(MemorySource, "close", close_badly)
    log.upload(*uploads(2))
    sink = Scripted(log, [unreachable(), unreachable()])
    log.streamer(bundle, quick_settings(), sink=sink).run(stop)
    assert_waits(stop, [0.2, 0.4])
    assert "cannot leave the group" in caplog.text


def test_a_sink_is_closed_if_the_first_source_cannot_be_opened(bundle: Bundle) -> None:
    log = Log()
    sink = Scripted(log, [])
    with pytest.raises(TransportError, match="no broker answers"):
        log.streamer(bundle, quick_settings(), sink=sink, open_source=Opening(log, [unreachable()]))
    assert sink.closed == 1


def test_results_from_before_reconnecting_are_not_written_by_a_member_that_may_not_own_them(bundle: Bundle) -> None:
    log = Log(partitions=1)
    log.upload(*uploads(3))
    streamer = log.streamer(bundle, quick_settings())
    streamer._read_uploads()  # takes on the partition
    streamer._read_uploads()
    streamer._drain(float("inf"))
    assert streamer._tracker.held == 3
    streamer._reconnecting.reconnect(unreachable(), Stop())
    streamer._commit()
    assert (streamer._tracker.held, log.settled(), log.committed()) == (0, 0, {})
    streamer.close()


def test_memory_stays_bounded_when_it_reconnects_while_full(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    log, silent = Log(partitions=1), stall_loading(monkeypatch)
    log.upload(*uploads(20))
    streamer = log.streamer(bundle, quick_settings(max_in_flight_clips=4))
    try:
        for _ in range(4):
            streamer._read_uploads()
        assert (streamer._prefetcher.free_slots, streamer._intake.is_paused) == (0, True)
        taken: list[object] = []
        monkeypatch.setattr(streamer, "_take", taken.append)
        streamer._reconnecting.reconnect(unreachable(), Stop())
        for _ in range(4):
            streamer._read_uploads()
        assert taken == []
    finally:
        silent.set()
        streamer.close()


def test_a_store_that_stays_silent_holds_up_no_result_until_the_next_commit_is_due(
    bundle: Bundle, feature_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> object:
        raise TimeoutError("timed out")

    monkeypatch.setattr(FeatureStore, "_read_local", silent)
    log, seen = Log(partitions=1), Everything()
    log.upload(upload("good", FEATURES), upload("late", FeatureFile(f"{feature_root.as_uri()}/clip")))
    settings = quick_settings(feature_roots=(feature_root.as_uri(),), commit_interval_s=600.0)
    streamer = log.streamer(bundle, settings, observer=seen)
    with running(streamer):
        wait_until(lambda: log.committed() == {TopicPartition(UPLOADS, 0): 1})
        wait_until(lambda: seen.counts.get(("interrupted", "feature_store_unavailable"), 0) >= 2)
        assert "(feature_store_unavailable)" in str(streamer.waiting_for)
    assert [clip.clip_id for clip in log.scored()] == ["good"]
    assert log.dead() == []
