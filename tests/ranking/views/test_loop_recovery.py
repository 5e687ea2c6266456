"""What a loop does when its view, its broker or its disk fails: nothing is lost, and it resumes."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import pytest

from ranking.scores.store import ScoreStore
from ranking.views.loop import LoopOptions, StoredPositions, ViewLoop
from schemas.clock import ManualClock
from schemas.errors import (
    DancerankError,
    GenerationMismatch,
    StoreUnavailable,
    TransportError,
)
from schemas.ports import RebalanceListener, Record, Refusal, ScoredRecord, TopicPartition
from tests.ranking.examples import TOPIC, at, scored_clip
from tests.ranking.views.loops import READ, SETTINGS, FailingView, Setting, drain
from tests.stopping import Stop
from transport.memory import MemorySink, MemorySource
from transport.reconnecting import Waits


@pytest.mark.parametrize("error", [StoreUnavailable("down"), TransportError("no broker for the tombstones")])
def test_a_retriable_error_is_retried(setting: Setting, store: ScoreStore, error: DancerankError) -> None:
    setting.send(b"poison", scored_clip("a"))
    drain(setting.loop(FailingView(store, 3, error)))
    assert store.generations() == {"g1": 1}
    assert len(setting.dead_letters()) == 1


def test_a_store_that_stays_unreachable_fails_the_batch_and_nothing_is_lost(
    setting: Setting, store: ScoreStore
) -> None:
    setting.send(scored_clip("a"))
    loop = setting.loop(FailingView(store, 4, StoreUnavailable("down")))
    with pytest.raises(StoreUnavailable):
        drain(loop)
    assert setting.broker.committed("ranking") == {}
    drain(setting.loop(store, group="restarted"))
    assert store.generations() == {"g1": 1}


def test_a_final_error_is_not_retried(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    view = FailingView(store, 2, GenerationMismatch("no"))
    with pytest.raises(GenerationMismatch):
        drain(setting.loop(view))
    assert view.failures == 1


def test_a_failed_commit_is_not_a_failure_of_the_view(
    setting: Setting, store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TransportError("rebalancing")

    monkeypatch.setattr(MemorySource, "commit", refuse)
    setting.send(scored_clip("a"))
    assert drain(setting.loop(store)) == 1
    assert store.generations() == {"g1": 1}


def test_no_position_advances_before_the_dead_letter_is_flushed(
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


def test_maintenance_is_done_from_time_to_time_and_at_the_end(setting: Setting, store: ScoreStore) -> None:
    stop, done, steps = threading.Event(), [], 0

    class Stepping(ViewLoop):
        def step(self) -> int:
            nonlocal steps
            steps += 1
            setting.clock.advance(30)
            if steps == 5:
                stop.set()
            return super().step()

    settings = LoopOptions(commits=False, poll_timeout_s=0, maintenance_interval_s=60)
    open_source = partial(setting.open_source, group=None)
    loop = Stepping(
        open_source, store, READ, None, setting.reports, setting.clock, settings, maintenance=lambda: done.append(steps)
    )
    setting.send(scored_clip("a"))
    loop.run(stop)
    assert done == [2, 4, 5]  # after 60 s, after 120 s, and at the end
    assert store.generations() == {"g1": 1}


def test_between_parts_of_the_maintenance_there_is_a_batch_that_nothing_is_waited_for(
    setting: Setting, store: ScoreStore
) -> None:
    stop, happened = threading.Event(), list[object]()

    class Polled(MemorySource):
        def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
            happened.append(timeout_s)
            return super().poll(max_records=max_records, timeout_s=0.0)

    def parts() -> Iterator[None]:
        for part in ("first", "second"):
            happened.append(part)
            yield
        happened.append("last")
        if happened.count("last") == 2:
            stop.set()

    loop = ViewLoop(
        lambda _: Polled(setting.broker, [TOPIC], group=None),
        store,
        READ,
        None,
        setting.reports,
        setting.clock,
        LoopOptions(commits=False, poll_timeout_s=0.5, maintenance_interval_s=0.0),
        maintenance=parts,
    )
    loop.run(stop)
    once = [0.5, "first", 0.0, "second", 0.0, "last"]
    assert happened == [*once, *once, "first", "second", "last"]  # and all of it at the end


def test_a_member_without_partitions_does_the_whole_maintenance_at_once(setting: Setting, store: ScoreStore) -> None:
    stop, happened = threading.Event(), list[str]()

    class Standby(MemorySource):
        def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
            happened.append("poll")
            return ()

        def assignment(self) -> frozenset[TopicPartition]:
            return frozenset()

    def parts() -> Iterator[None]:
        for part in ("first", "second"):
            happened.append(part)
            yield
        stop.set()

    loop = ViewLoop(
        lambda _: Standby(setting.broker, [TOPIC], group=None),
        store,
        READ,
        None,
        setting.reports,
        setting.clock,
        LoopOptions(commits=False, maintenance_interval_s=0.0),
        maintenance=parts,
    )
    loop.run(stop)
    assert happened == ["poll", "first", "second", "first", "second"]  # the second time at the end


def test_with_an_interval_only_the_last_commit_is_waited_for(setting: Setting, store: ScoreStore) -> None:
    stop, commits = threading.Event(), list[tuple[dict[TopicPartition, int], bool]]()

    class Committing(MemorySource):
        def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool = True) -> None:
            commits.append((dict(positions), wait))

    class Stepping(ViewLoop):
        def step(self) -> int:
            setting.clock.advance(0.4)
            read = super().step()
            if store.generations() == {"g1": 4}:
                stop.set()
            return read

    setting.send(*(scored_clip(f"c{n}", challenge_id="same") for n in range(4)))
    loop = Stepping(
        opening(setting, Committing),
        store,
        READ,
        None,
        setting.reports,
        setting.clock,
        LoopOptions(poll_timeout_s=0.0, max_records=1, commit_interval_s=1.0),
    )
    loop.run(stop)
    ends = [(next(iter(positions.values())), wait) for positions, wait in commits]
    assert ends == [(1, False), (4, False), (4, True)]


class Stumbling(MemorySource):
    """Fails at the first poll that has records."""

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        if records := super().poll(max_records=max_records, timeout_s=timeout_s):
            raise TransportError(f"{len(records)} records are lost on the way")
        return records


def opening(setting: Setting, *kinds: type[MemorySource]) -> Callable[[RebalanceListener], MemorySource]:
    """Opens a source of each kind in turn."""
    left = list(kinds)
    return lambda listener: left.pop(0)(setting.broker, [TOPIC], group="ranking", listener=listener)


def test_after_an_outage_the_loop_continues_from_the_views_positions(setting: Setting, store: ScoreStore) -> None:
    setting.send(*(scored_clip(f"c{n}") for n in range(5)))
    open_source = opening(setting, Stumbling, MemorySource)
    loop = ViewLoop(open_source, store, READ, None, setting.reports, setting.clock, SETTINGS)

    class Applied(Stop):
        def is_set(self) -> bool:
            return store.generations() == {"g1": 5} or super().is_set()

    loop.run(Applied())
    assert store.generations() == {"g1": 5}
    assert loop.waiting_for is None


class Unreachable(FailingView):
    """A view that stays unreachable, and asks the loop to stop once it has failed."""

    def __init__(self, inner: ScoreStore, stop: threading.Event) -> None:
        super().__init__(inner, 1000, StoreUnavailable("down"))
        self._ending = threading.Timer(0.05, stop.set)

    def apply(self, scored: Sequence[ScoredRecord], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        if not self._ending.is_alive():
            self._ending.start()
        return super().apply(scored, positions)


def test_a_loop_that_waits_for_its_view_stops_at_once_and_leaves_the_batch(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"), scored_clip("b"))
    stop = threading.Event()
    view = Unreachable(store, stop)
    settings = LoopOptions(poll_timeout_s=0, waits=Waits(first_s=600, longest_s=600))
    open_source = opening(setting, MemorySource)  # a loop that stops opens no other
    loop = ViewLoop(open_source, view, READ, MemorySink(setting.broker), setting.reports, setting.clock, settings)
    loop.run(stop)
    assert view.failures == 999  # one attempt
    assert store.positions([at(0), at(1)]) == {}
    assert setting.broker.committed("ranking") == {}
    drain(setting.loop(store))
    assert store.generations() == {"g1": 2}


def test_what_a_loop_waits_for_is_reported_until_it_continues(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    view = FailingView(store, 1, StoreUnavailable("down"))
    loop = setting.loop(view)
    reported = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            reported.append(loop.waiting_for)
            return False

        def is_set(self) -> bool:
            return bool(store.generations())

    assert loop.waiting_for is None
    loop.run(Waiting())
    assert reported == ["down (store_unavailable)"]
    assert loop.waiting_for is None


class Down(FailingView):
    """A view whose database is down until ``until_s``, by the clock; it knows no positions then either."""

    def __init__(self, inner: ScoreStore, clock: ManualClock, until_s: float) -> None:
        super().__init__(inner, 0, StoreUnavailable("down"))
        self._clock, self._until_s = clock, until_s

    def check(self) -> None:
        if self._clock.monotonic_s() < self._until_s:
            raise self.error

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.check()
        return super().positions(partitions)

    def apply(self, scored: Sequence[ScoredRecord], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        self.check()
        return super().apply(scored, positions)


@pytest.mark.tried(
    kind="waits that forget",
    given="a database that is down for 55 s while Kafka is up",
    outcome="at most 15 reconnects and 2 lines in the log, then the next batch",
)
def test_a_database_that_is_down_for_a_minute_costs_few_attempts_and_few_lines(
    setting: Setting, store: ScoreStore, caplog: pytest.LogCaptureFixture
) -> None:
    setting.send(scored_clip("a"))
    view = Down(store, setting.clock, until_s=0.0)
    opened = 0

    def open_source(listener: RebalanceListener) -> MemorySource:
        nonlocal opened
        opened += 1
        return setting.open_source(listener)

    class Waiting(Stop):
        def wait(self, timeout: float | None = None) -> bool:
            setting.clock.advance(timeout or 0.0)
            return super().wait(timeout)

        def is_set(self) -> bool:
            return bool(store.generations()) or super().is_set()

    stop, settings = Waiting(), LoopOptions(poll_timeout_s=0)
    loop = ViewLoop(open_source, view, READ, MemorySink(setting.broker), setting.reports, setting.clock, settings)
    view._until_s = setting.clock.monotonic_s() + 55.0
    loop.run(stop)
    assert store.generations() == {"g1": 1}
    assert opened <= 15
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) <= 2


class Joining(MemorySource):
    """Has no partitions before its third poll."""

    polls = 0

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        self.polls += 1
        return super().poll(max_records=max_records, timeout_s=timeout_s) if self.polls > 2 else []

    def assignment(self) -> frozenset[TopicPartition]:
        return super().assignment() if self.polls > 2 else frozenset()


def test_a_loop_that_reconnects_waits_until_it_has_partitions(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    listener = StoredPositions(store)
    first = Stumbling(setting.broker, [TOPIC], group="other", listener=listener)
    second = Joining(setting.broker, [TOPIC], group="ranking", listener=listener)
    opens: list[TransportError | MemorySource] = [first, TransportError("no broker"), second]
    reported, waited = dict[int, str | None](), list[str | None]()

    def open_source(_: RebalanceListener) -> MemorySource:
        if isinstance(found := opens.pop(0), TransportError):
            raise found
        return found

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(loop.waiting_for)
            return False

        def is_set(self) -> bool:
            reported[second.polls] = loop.waiting_for
            return second.polls > 2

    loop = ViewLoop(open_source, store, READ, MemorySink(setting.broker), setting.reports, setting.clock)
    loop.run(Waiting())
    lost, unreachable = "1 records are lost on the way (transport)", "no broker (transport)"
    assert waited == [lost, unreachable]
    assert reported == {0: unreachable, 1: unreachable, 2: unreachable, 3: None}


class UnreachableSource(MemorySource):
    """A source whose broker does not answer."""

    is_unreachable = True


def test_a_broker_that_does_not_answer_is_waited_for_without_records_too(setting: Setting, store: ScoreStore) -> None:
    open_source = opening(setting, UnreachableSource)
    loop = ViewLoop(open_source, store, READ, MemorySink(setting.broker), setting.reports, setting.clock)
    assert loop.waiting_for == "Kafka does not answer"
