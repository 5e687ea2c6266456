"""What a loop does when its view, its broker or its disk fails it: nothing is lost, and it goes on where it can."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import pytest

from ranking.scores.store import ScoreStore
from ranking.views.loop import LoopSettings, LoopThread, StoredPositions, ViewLoop
from schemas.errors import (
    DancerankError,
    GenerationMismatch,
    SnapshotNotWritten,
    StoreUnavailable,
    TransportError,
)
from schemas.ports import Record, Refusal, ScoredRecord, TopicPartition
from tests.ranking.examples import TOPIC, at, scored_clip
from tests.ranking.views.loops import READ, FailingView, Setting, drain
from transport.memory import MemorySink, MemorySource


@pytest.mark.parametrize("error", [StoreUnavailable("down"), TransportError("no broker for the tombstones")])
def test_what_is_unavailable_is_tried_again(setting: Setting, store: ScoreStore, error: DancerankError) -> None:
    setting.send(b"poison", scored_clip("a"))
    drain(setting.loop(FailingView(store, 3, error)))
    assert store.generations() == {"g1": 1}
    assert len(setting.dead_letters()) == 1


def test_a_store_that_stays_away_ends_the_loop_and_nothing_is_lost(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    loop = setting.loop(FailingView(store, 4, StoreUnavailable("down")))
    with pytest.raises(StoreUnavailable):
        drain(loop)
    assert setting.broker.committed("ranking") == {}
    drain(setting.loop(store, group="restarted"))
    assert store.generations() == {"g1": 1}


def test_an_error_that_time_does_not_heal_is_not_tried_again(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    view = FailingView(store, 2, GenerationMismatch("no"))
    with pytest.raises(GenerationMismatch):
        drain(setting.loop(view))
    assert view.failures == 1


def test_a_failed_commit_is_no_failure_of_the_view(
    setting: Setting, store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TransportError("rebalancing")

    monkeypatch.setattr(MemorySource, "commit", refuse)
    setting.send(scored_clip("a"))
    assert drain(setting.loop(store)) == 1
    assert store.generations() == {"g1": 1}


def test_nothing_passes_before_its_dead_letter_is_safe(
    setting: Setting, store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TransportError("no broker")

    setting.send(b"poison", scored_clip("a"))
    with monkeypatch.context() as broken:
        broken.setattr(MemorySink, "flush", refuse)
        with pytest.raises(TransportError):
            drain(setting.loop(store))
    assert store.positions([at(0), at(1)]) == {}
    assert drain(setting.loop(store, group="restarted")) == 2
    assert len(setting.dead_letters()) == 1


@pytest.mark.parametrize("failing", [{1}, {1, 2, 3}], ids=["once", "to the end"])
def test_a_snapshot_that_fails_is_reported_and_tried_again_and_ends_nothing(
    setting: Setting, store: ScoreStore, failing: set[int]
) -> None:
    stop, tries, steps = threading.Event(), 0, 0

    def save() -> None:
        nonlocal tries
        tries += 1
        if tries in failing:
            raise SnapshotNotWritten("no space left on the device")

    class Stepping(ViewLoop):
        def step(self) -> int:
            nonlocal steps
            steps += 1
            setting.clock.advance(30)
            if steps == 5:
                stop.set()
            return super().step()

    source = MemorySource(setting.broker, [TOPIC], group=None, listener=StoredPositions(store))
    settings = LoopSettings(commits=False, poll_timeout_s=0, maintenance_interval_s=60)
    loop = Stepping(source, store, READ, None, setting.reports, setting.clock, settings, maintenance=save)
    setting.send(scored_clip("a"))
    loop.run(stop)
    assert (steps, tries) == (5, 3)  # after 60 s, after 120 s, and at the end
    assert setting.reports.failed_snapshots == len(failing)
    assert store.generations() == {"g1": 1}


class Stumbling(MemorySource):
    """Cannot be read the first time that something is there."""

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        if records := super().poll(max_records=max_records, timeout_s=timeout_s):
            raise TransportError(f"{len(records)} records are lost on the way")
        return records


def test_a_loop_that_can_open_another_source_goes_on_from_the_views_positions(
    setting: Setting, store: ScoreStore
) -> None:
    setting.send(*(scored_clip(f"c{n}") for n in range(5)))
    listener = StoredPositions(store)

    def reopen() -> MemorySource:
        return MemorySource(setting.broker, [TOPIC], group="ranking", listener=listener)

    first = Stumbling(setting.broker, [TOPIC], group="ranking", listener=listener)
    sink = MemorySink(setting.broker)
    settings = LoopSettings(poll_timeout_s=0.01, retry_wait_s=0.01)
    loop = ViewLoop(first, store, READ, sink, setting.reports, setting.clock, settings, reopen=reopen)
    thread = LoopThread(loop, name="stumbling")
    thread.start()
    deadline_s = time.monotonic() + 20
    while store.generations() != {"g1": 5} and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert thread.stop(10)
    assert thread.failure is None
    assert store.generations() == {"g1": 5}


class Away(FailingView):
    """A view that never comes back, and asks for the end once it has failed."""

    def __init__(self, inner: ScoreStore, stop: threading.Event) -> None:
        super().__init__(inner, 1000, StoreUnavailable("down"))
        self._ending = threading.Timer(0.05, stop.set)

    def apply(self, scored: Sequence[ScoredRecord], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        if not self._ending.is_alive():
            self._ending.start()
        return super().apply(scored, positions)


@pytest.mark.parametrize("reopens", [True, False])
def test_a_loop_that_waits_for_its_view_stops_at_once_and_leaves_the_batch(
    setting: Setting, store: ScoreStore, reopens: bool
) -> None:
    setting.send(scored_clip("a"), scored_clip("b"))
    stop = threading.Event()
    view = Away(store, stop)
    source = MemorySource(setting.broker, [TOPIC], group="ranking", listener=StoredPositions(view))
    settings = LoopSettings(poll_timeout_s=0, retry_wait_s=60, retry_wait_max_s=60)
    sink = MemorySink(setting.broker)
    reopen = (lambda: pytest.fail("a loop that ends needs no source")) if reopens else None
    loop = ViewLoop(source, view, READ, sink, setting.reports, setting.clock, settings, reopen=reopen)
    began_s = time.monotonic()
    with nullcontext() if reopens else pytest.raises(StoreUnavailable):
        loop.run(stop)
    assert time.monotonic() - began_s < 10
    assert view.failures == 999  # one attempt
    assert store.positions([at(0), at(1)]) == {}
    assert setting.broker.committed("ranking") == {}
    drain(setting.loop(store))
    assert store.generations() == {"g1": 2}


def test_what_a_loop_waits_for_is_told_until_it_goes_on(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    view = FailingView(store, 1, StoreUnavailable("down"))
    loop = setting.loop(view)
    told = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            told.append(loop.waiting_for)
            return False

        def is_set(self) -> bool:
            return bool(store.generations())

    assert loop.waiting_for is None
    loop.run(Waiting())
    assert told == ["down (store_unavailable)"]
    assert loop.waiting_for is None


class Joining(MemorySource):
    """Has no partitions before its third poll."""

    polls = 0

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        self.polls += 1
        return super().poll(max_records=max_records, timeout_s=timeout_s) if self.polls > 2 else []

    def assignment(self) -> frozenset[TopicPartition]:
        return super().assignment() if self.polls > 2 else frozenset()


def test_a_loop_that_connects_anew_waits_until_it_has_partitions(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    listener = StoredPositions(store)
    second = Joining(setting.broker, [TOPIC], group="ranking", listener=listener)
    opens: list[TransportError | MemorySource] = [TransportError("no broker"), second]
    told, waited = dict[int, str | None](), list[str | None]()

    def reopen() -> MemorySource:
        if isinstance(found := opens.pop(0), TransportError):
            raise found
        return found

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(loop.waiting_for)
            return False

        def is_set(self) -> bool:
            told[second.polls] = loop.waiting_for
            return second.polls > 2

    first = Stumbling(setting.broker, [TOPIC], group="other", listener=listener)
    loop = ViewLoop(first, store, READ, MemorySink(setting.broker), setting.reports, setting.clock, reopen=reopen)
    loop.run(Waiting())
    lost, away = "1 records are lost on the way (transport)", "no broker (transport)"
    assert waited == [lost, away]
    assert told == {0: away, 1: away, 2: away, 3: None}


class Deaf(MemorySource):
    """A source whose broker does not answer."""

    is_unreachable = True


def test_a_broker_that_does_not_answer_is_waited_for_without_records_too(setting: Setting, store: ScoreStore) -> None:
    source = Deaf(setting.broker, [TOPIC], group="ranking", listener=StoredPositions(store))
    loop = ViewLoop(source, store, READ, MemorySink(setting.broker), setting.reports, setting.clock)
    assert loop.waiting_for == "Kafka does not answer"
    source.close()
