"""Waiting for the whole system ends when it makes no progress, with the reason in the error."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from dancerank.running import embedded
from dancerank.running.embedded import EmbeddedSystem, NoProgress
from dancerank.settings import Settings
from schemas.codec import encode
from schemas.errors import GenerationMismatch, StoreUnavailable
from schemas.events import PoolDecision
from schemas.ports import Record, TopicPartition
from transport.connection import KafkaConnection
from transport.reading_progress import ReadingProgress

SILENCE_S = 60.0
STEP_S = 20.0
STEPS_A_MINUTE = 120
AT = TopicPartition("clips.scored", 0)


class FastTime:
    """Time that passes as fast as it is waited for, in which every loop takes steps."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.loops: list[ReadingProgress] = []
        self.steps = STEPS_A_MINUTE * STEP_S / SILENCE_S

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        for progress in self.loops:
            for _ in range(round(self.steps)):
                progress.stepped(self.now_s, is_member=True)
        time.sleep(0.001)


class Loop:
    """One that reads a partition."""

    def __init__(self, *, caught_up: bool = True) -> None:
        self.is_reading = self.caught_up = caught_up
        self.waiting_for: str | None = None
        self.progress = ReadingProgress()
        self.progress.assigned([AT])


class Steps:
    """A count that takes its next value each time it is asked for, and then keeps the last."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)

    def __call__(self) -> int:
        return self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]


class System(EmbeddedSystem):
    """A system whose parts say what a test has them say."""

    def __init__(self) -> None:
        replica: Any = SimpleNamespace(
            database=None,
            store=SimpleNamespace(generations=lambda: {"g1": 0}),
            index=SimpleNamespace(clips=lambda: 0),
            service=SimpleNamespace(pools=lambda: SimpleNamespace(decisions=0)),
            loops=tuple(SimpleNamespace(failure=None, loop=Loop()) for _ in range(2)),
        )
        self.parts: dict[str, Any] = {
            "settings": Settings(),
            "connection": KafkaConnection(servers=("broker:9092",)),
            "uploads": None,
            "replica": replica,
            "runtime": None,
            "streamer": Loop(),
            "streaming": Future(),
        }
        super().__init__(**self.parts)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FastTime:
    fast = FastTime()
    monkeypatch.setattr(embedded, "time", fast)
    monkeypatch.setattr(embedded, "_POLL_S", STEP_S)
    return fast


@pytest.fixture
def system(clock: FastTime) -> System:
    made = System()
    clock.loops += [made.streamer.progress, *(thread.loop.progress for thread in made.replica.loops)]
    return made


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """How many clips the database holds observations of."""
    counted = SimpleNamespace(count=Steps(0))
    opened = SimpleNamespace(clips=lambda: range(counted.count()), close=lambda: None)
    monkeypatch.setattr(embedded, "Observations", lambda _: opened)
    return counted


def decision(clip: int, number: int = 0) -> PoolDecision:
    return PoolDecision(
        clip_id=f"clip-{clip}",
        number=number,
        tier="seed",
        previous_tier=None,
        rule="nominated",
        policy_version="policy-1",
        decided_at_ms=1,
    )


class Topic:
    """In the place of a source: one value at each poll, which takes its time."""

    def __init__(self, clock: FastTime, values: Sequence[bytes]) -> None:
        self.clock, self.values, self.topics = clock, list(values), list[str]()

    def __call__(self, _: object, topics: list[str], *, group: None) -> "Topic":
        self.topics += topics
        return self

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        assert max_records > 0
        assert timeout_s > 0
        self.clock.sleep(STEP_S)
        return [Record(self.topics[0], 0, 0, 0, None, self.values.pop(0))] if self.values else []

    def close(self) -> None: ...


def later(act: Any) -> threading.Timer:
    timer = threading.Timer(0.1, act)
    timer.start()
    return timer


def fails(system: System, where: str) -> None:
    if where == "streamer":
        system.streaming.set_exception(StoreUnavailable("the streamer ended"))
    else:
        system.replica.loops[1].failure = GenerationMismatch("a loop ended")  # type: ignore[misc]


WAITS = {
    "ready": lambda system: system.await_ready(),
    "clips": lambda system: system.await_clips(3),
    "observed": lambda system: system.await_observed(3),
    "decisions": lambda system: system.await_decisions(3),
    "dead letters": lambda system: system.dead_letters(3),
}


@pytest.fixture
def nothing_comes(
    system: System, clock: FastTime, observed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> System:
    system.streamer.is_reading = False  # type: ignore[misc]
    monkeypatch.setattr(embedded, "KafkaSource", Topic(clock, []))
    return system


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize(("where", "error"), [("streamer", StoreUnavailable), ("loop", GenerationMismatch)])
def test_what_ended_a_part_of_the_system_comes_out_of_every_wait(
    nothing_comes: System, what: str, where: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_NO_PROGRESS_S", float("inf"))
    timer = later(lambda: fails(nothing_comes, where))
    with pytest.raises(error):
        WAITS[what](nothing_comes)
    timer.join()


@pytest.mark.parametrize("what", [what for what in WAITS if what != "ready"])
def test_where_nothing_moves_for_a_minute_that_is_said(nothing_comes: System, clock: FastTime, what: str) -> None:
    started_s = clock.now_s
    with pytest.raises(NoProgress, match=r"^only 0 .*no progress was made for \d+ s$"):
        WAITS[what](nothing_comes)
    assert SILENCE_S <= clock.now_s - started_s <= SILENCE_S + 3 * STEP_S


@pytest.mark.parametrize("which", range(3), ids=["streamer", "index", "rankings"])
def test_a_loop_that_takes_few_steps_on_a_busy_machine_is_waited_for(
    nothing_comes: System, clock: FastTime, which: int
) -> None:
    slow = clock.loops.pop(which)
    slow.stepped(clock.now_s, is_member=True)
    minutes = 5

    def count() -> int:
        if clock.now_s < 1_000.0 + minutes * SILENCE_S:
            slow.stepped(clock.now_s, is_member=True)  # one step in twenty seconds
            return 0
        return 3

    nothing_comes.replica.store.generations = lambda: {"g1": 3}  # type: ignore[method-assign]
    nothing_comes.replica.index.clips = count  # type: ignore[method-assign]
    nothing_comes.await_clips(3)
    assert clock.now_s - 1_000.0 >= minutes * SILENCE_S


def test_as_long_as_a_position_grows_it_is_waited_for_though_the_count_does_not(
    nothing_comes: System, clock: FastTime
) -> None:
    steps, progress = 30, clock.loops[1]
    held = Steps(*[0] * steps, 3)

    def count() -> int:
        progress.done({AT: steps - len(held.counts)})
        return held()

    nothing_comes.replica.store.generations = lambda: {"g1": 3}  # type: ignore[method-assign]
    nothing_comes.replica.index.clips = count  # type: ignore[method-assign]
    nothing_comes.await_clips(3)
    assert clock.now_s - 1_000.0 > 2 * SILENCE_S


def test_positions_that_are_given_up_and_taken_on_again_are_not_progress(
    nothing_comes: System, clock: FastTime
) -> None:
    progress, turns = clock.loops[1], iter(range(1_000_000))

    def count() -> int:
        if next(turns) % 2:
            progress.assigned([AT])
            progress.done({AT: 7})
        else:
            progress.revoked([AT])
        return 0

    nothing_comes.replica.index.clips = count  # type: ignore[method-assign]
    with pytest.raises(NoProgress):
        nothing_comes.await_clips(3)


def test_what_an_interrupted_loop_waits_for_is_said(nothing_comes: System, clock: FastTime) -> None:
    clock.loops.pop(1)
    nothing_comes.replica.loops[0].loop.waiting_for = "the database did not answer"  # type: ignore[misc]
    with pytest.raises(NoProgress, match=r"no progress was made for \d+ s: the database did not answer$"):
        nothing_comes.await_clips(3)


def test_a_loop_that_hangs_in_a_step_is_not_waited_for_without_an_end(nothing_comes: System, clock: FastTime) -> None:
    clock.loops.pop(1).stepped(clock.now_s, is_member=True)
    with pytest.raises(NoProgress):
        nothing_comes.await_clips(3)
    assert clock.now_s - 1_000.0 > embedded._HANGS_S


def test_ready_is_who_reads_and_has_caught_up_in_every_view(system: System) -> None:
    for part, what in (
        *((thread.loop, "caught_up") for thread in system.replica.loops),
        (system.streamer, "is_reading"),
    ):
        setattr(part, what, False)
        at_s = time.monotonic()
        timer = later(lambda part=part, what=what: setattr(part, what, True))
        system.await_ready()
        assert time.monotonic() - at_s >= 0.05
        timer.join()


def test_clips_are_there_once_both_views_hold_them(system: System) -> None:
    store, index, reported = Steps(0, 5, 5, 5, 9), Steps(0, 2, 2, 9, 9), list[int]()
    system.replica.store.generations = lambda: {"g1": store()}  # type: ignore[method-assign]
    system.replica.index.clips = index  # type: ignore[method-assign]
    system.await_clips(9, reported.append)
    assert reported == [0, 2, 5, 9]


def test_as_long_as_something_comes_it_is_waited_for(
    system: System, clock: FastTime, observed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes several times as long as nothing may move."""
    steps = 9
    assert steps * STEP_S > 2 * SILENCE_S
    values = [encode(decision(number)) for number in range(steps)]
    monkeypatch.setattr(embedded, "KafkaSource", Topic(clock, values))
    assert len(system.await_decisions(steps)) == steps
    dead_letters = Topic(clock, values)
    monkeypatch.setattr(embedded, "KafkaSource", dead_letters)
    assert len(system.dead_letters(steps)) == steps
    assert dead_letters.topics == ["clips.uploaded.dead-letter"]
    observed.count = Steps(*range(steps + 1))
    system.await_observed(steps)
    both = Steps(*(number // 2 for number in range(2 * steps + 1)))
    system.replica.store.generations = lambda: {"g1": steps}  # type: ignore[method-assign]
    system.replica.index.clips = both  # type: ignore[method-assign]
    system.await_clips(steps)


def test_all_decisions_are_those_that_the_pools_have_made_and_each_counts_once(
    system: System, clock: FastTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [decision(0), decision(0), decision(1), decision(0, 1), decision(1, 1)]
    monkeypatch.setattr(embedded, "KafkaSource", Topic(clock, [encode(one) for one in made]))
    system.service.pools = lambda: SimpleNamespace(decisions=4)  # type: ignore[method-assign,assignment,return-value]
    assert [(one.clip_id, one.number) for one in system.await_decisions(2)] == [
        ("clip-0", 0),
        ("clip-1", 0),
        ("clip-0", 1),
        ("clip-1", 1),
    ]
