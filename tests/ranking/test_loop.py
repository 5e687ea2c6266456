import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pytest

from ranking.exact import ExactIndexes
from ranking.index_view import IndexView
from ranking.log import read_log
from ranking.loop import LoopSettings, LoopThread, StoredPositions, ViewLoop
from ranking.store import ScoreStore
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.errors import (
    DancerankError,
    GenerationMismatch,
    RecordRefused,
    SnapshotError,
    StoreUnavailable,
    TransportError,
)
from schemas.events import ClipScored
from schemas.modalities import Dimension, Modality
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, Record, Refusal, ScoredRecord, TopicPartition, View
from tests.ranking.examples import TOPIC, at, result, scored_clip
from transport.dead_letter import dead_letter_topic, reason
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.topics import TopicSpec

DEAD = dead_letter_topic(TOPIC)
READ = partial(read_log, deletions_topic="clips.deleted")
SETTINGS = LoopSettings(poll_timeout_s=0.0, retry_wait_s=0.001, retry_wait_max_s=0.002, attempts=4)


class Reports(Observer):
    def __init__(self) -> None:
        self.read = 0
        self.dead: list[tuple[str, str]] = []
        self.lags: dict[TopicPartition, tuple[int, float]] = {}
        self.stages: list[str] = []
        self.left_out: list[tuple[str, str]] = []
        self.failed_snapshots = 0

    def snapshot_failed(self) -> None:
        self.failed_snapshots += 1

    def skipped(self, topic: str, reason: str) -> None:
        self.left_out.append((topic, reason))

    def consumed(self, topic: str, records: int) -> None:
        self.read += records

    def dead_lettered(self, topic: str, reason: str) -> None:
        self.dead.append((topic, reason))

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        self.lags[partition] = (records, seconds)

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        self.stages.append(stage)


class FailingView:
    """A view that fails ``failures`` times before it lets each batch through."""

    def __init__(self, inner: View, failures: int, error: DancerankError) -> None:
        self.inner, self.failures, self.error = inner, failures, error

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self.inner.positions(partitions)

    def apply(self, scored: Sequence[ScoredRecord], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        self.failures -= 1
        if self.failures >= 0:
            raise self.error
        return self.inner.apply(scored, positions)


class Setting:
    """A broker with the log and its dead letters, and loops that read it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(self.clock)
        self.broker.ensure_topics([TopicSpec(name=TOPIC, partitions=2), TopicSpec(name=DEAD, partitions=1)])
        self.reports = Reports()

    def send(self, *values: ClipScored | bytes | None) -> None:
        sink = MemorySink(self.broker)
        for value in values:
            raw = encode(value) if isinstance(value, ClipScored) else value
            sink.send(OutgoingRecord(TOPIC, b"k", raw, partition_by="one challenge"))
        sink.flush(1)

    def loop(self, view: View, *, group: str | None = "ranking", **options: object) -> ViewLoop:
        source = MemorySource(self.broker, [TOPIC], group=group, listener=StoredPositions(view))
        settings = LoopSettings(
            **{**{f: getattr(SETTINGS, f) for f in SETTINGS.__struct_fields__}, "commits": group is not None}
        )
        sink = MemorySink(self.broker)
        return ViewLoop(source, view, READ, sink, self.reports, self.clock, settings, **options)  # type: ignore[arg-type]

    def dead_letters(self) -> list[dict[str, str]]:
        return [reason(record.headers) for record in self.broker.records(DEAD)]


@pytest.fixture
def setting() -> Setting:
    return Setting()


def drain(loop: ViewLoop) -> int:
    """Step until there is nothing left; returns how many records were read."""
    total, idle = 0, 0
    while idle < 3:
        read = loop.step()
        total += read
        idle = 0 if read else idle + 1
    return total


def index_view() -> IndexView:
    return IndexView(ExactIndexes(), Observer(), ManualClock())


@pytest.mark.parametrize("kind", ["store", "index"])
def test_the_same_loop_feeds_both_views(setting: Setting, store: ScoreStore, kind: str) -> None:
    view: View = store if kind == "store" else index_view()
    setting.send(*[scored_clip(f"c{n}") for n in range(7)])
    loop = setting.loop(view, group="g" if kind == "store" else None)
    assert drain(loop) == 7
    assert sum(view.positions([at(0), at(1)]).values()) == 7
    assert setting.reports.read == 7
    assert "apply" in setting.reports.stages


def test_poison_reaches_the_dead_letters_and_its_neighbours_the_view(setting: Setting, store: ScoreStore) -> None:
    broken = encode(scored_clip("poison")).replace(b"fused_score", b"fused_scorn")
    setting.send(
        scored_clip("a"), b"\xc1garbage", scored_clip("b"), broken, b'{"schema": "clip-scored/9"}', scored_clip("c")
    )
    loop = setting.loop(store)
    drain(loop)
    assert [e.clip_id for e in store.ranking("ch", Dimension.FUSED, "g1", order="top", k=9).entries] == ["a", "b", "c"]
    letters = setting.dead_letters()
    assert [(letter["offset"], letter["code"]) for letter in letters] == [
        ("1", "malformed_event"),
        ("3", "malformed_event"),
        ("4", "unknown_schema_version"),
    ]
    assert letters[1]["clip_id"] == "poison"
    assert [code for _, code in setting.reports.dead] == [
        "malformed_event",
        "malformed_event",
        "unknown_schema_version",
    ]
    assert sum(setting.broker.committed("ranking").values()) == 6


def test_a_replica_skips_what_it_cannot_read_and_leaves_the_dead_letter_to_the_shared_view(setting: Setting) -> None:
    setting.send(scored_clip("a"), b"\xc1garbage", scored_clip("b"))
    view = index_view()
    source = MemorySource(setting.broker, [TOPIC], group=None, listener=StoredPositions(view))
    settings = LoopSettings(poll_timeout_s=0.0, commits=False)
    drain(ViewLoop(source, view, READ, None, setting.reports, setting.clock, settings))
    assert view.clips() == 2
    assert sum(view.positions([at(0), at(1)]).values()) == 3
    assert setting.reports.left_out == [(TOPIC, "malformed_event")]
    assert setting.dead_letters() == []


def test_a_clip_that_does_not_fit_the_index_is_put_aside(setting: Setting) -> None:
    wide = scored_clip("wide", modalities={Modality.FACIAL: result([1, 2, 3])})
    setting.send(scored_clip("a"), wide, scored_clip("b"))
    view = index_view()
    drain(setting.loop(view, group=None))
    assert view.clips() == 2
    assert [(letter["code"], letter["clip_id"]) for letter in setting.dead_letters()] == [
        ("generation_mismatch", "wide")
    ]


def test_a_batch_of_nothing_but_poison_is_passed_for_good(setting: Setting, store: ScoreStore) -> None:
    setting.send(b"x", b"y")
    drain(setting.loop(store))
    assert sum(store.positions([at(0), at(1)]).values()) == 2
    again = setting.loop(store, group="another")
    assert drain(again) == 0
    assert len(setting.dead_letters()) == 2


def test_a_loop_continues_from_the_views_positions_whatever_kafka_says(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"), scored_clip("b"))
    drain(setting.loop(store, group="first"))
    setting.send(scored_clip("c"))
    assert drain(setting.loop(store, group="never committed")) == 1
    assert store.generations() == {"g1": 3}


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


def test_the_lag_is_reported_in_records_and_seconds(setting: Setting, store: ScoreStore) -> None:
    view: View = store
    loop = setting.loop(view)
    drain(loop)
    setting.send(*[scored_clip(f"c{n}") for n in range(600)])
    setting.clock.advance(12)
    loop.step()
    busy = next(partition for partition, (records, _) in setting.reports.lags.items() if records)
    assert setting.reports.lags[busy] == (100, 12.0)
    loop.step()
    assert setting.reports.lags[busy] == (0, 0.0)


def test_a_partition_given_up_no_longer_shows_a_lag(setting: Setting, store: ScoreStore) -> None:
    loop = setting.loop(store)
    drain(loop)
    reported = set(setting.reports.lags)
    setting.reports.lags = dict.fromkeys(reported, (5, 5.0))
    other = setting.loop(store)
    for _ in range(4):
        other.step()
        loop.step()
    assert reported == {at(0), at(1)}
    assert set(setting.reports.lags.values()) == {(0, 0.0)}


def test_the_loop_has_caught_up_once_it_holds_what_was_there_at_the_start(setting: Setting) -> None:
    setting.send(*[scored_clip(f"c{n}") for n in range(501)])
    loop = setting.loop(index_view(), group=None)
    assert not loop.caught_up
    loop.step()
    assert not loop.caught_up
    loop.step()
    assert loop.caught_up
    setting.send(scored_clip("later"))
    assert loop.caught_up


def test_an_empty_log_is_caught_up_with_at_once(setting: Setting) -> None:
    loop = setting.loop(index_view(), group=None)
    loop.step()
    assert loop.caught_up


class SmallTopic(MemorySink):
    """Takes records of up to 1000 bytes."""

    def send(self, record: OutgoingRecord) -> None:
        if len(record.key or b"") + len(record.value or b"") > 1000:
            raise RecordRefused("too large")
        super().send(record)


def test_poison_too_large_for_the_dead_letters_is_put_aside_without_its_value(
    setting: Setting, store: ScoreStore
) -> None:
    setting.send(scored_clip("a"), b"\xc1" * 1001, scored_clip("b"))
    source = MemorySource(setting.broker, [TOPIC], group="ranking", listener=StoredPositions(store))
    drain(ViewLoop(source, store, READ, SmallTopic(setting.broker), setting.reports, setting.clock, SETTINGS))
    (letter,) = setting.broker.records(DEAD)
    assert (letter.value, setting.dead_letters()[0]["offset"]) == (b"", "1")
    assert store.generations() == {"g1": 2}
    assert sum(store.positions([at(0), at(1)]).values()) == 3


def test_a_tombstone_is_skipped_and_passed_and_is_no_dead_letter(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"), None, scored_clip("b"), None)
    assert drain(setting.loop(store)) == 4
    assert setting.reports.left_out == [(TOPIC, "tombstone")] * 2
    assert setting.dead_letters() == []
    assert store.generations() == {"g1": 2}
    assert sum(store.positions([at(0), at(1)]).values()) == 4


@pytest.mark.parametrize("failing", [{1}, {1, 2, 3}], ids=["once", "to the end"])
def test_a_snapshot_that_fails_is_reported_and_tried_again_and_ends_nothing(
    setting: Setting, store: ScoreStore, failing: set[int]
) -> None:
    stop, tries, steps = threading.Event(), 0, 0

    def save() -> None:
        nonlocal tries
        tries += 1
        if tries in failing:
            raise SnapshotError("no space left on the device")

    class Stepping(ViewLoop):
        def step(self) -> int:
            nonlocal steps
            steps += 1
            setting.clock.advance(30)
            if steps == 5:
                stop.set()
            return super().step()

    source = MemorySource(setting.broker, [TOPIC], group=None, listener=StoredPositions(store))
    settings = LoopSettings(commits=False, poll_timeout_s=0, upkeep_interval_s=60)
    loop = Stepping(source, store, READ, None, setting.reports, setting.clock, settings, upkeep=save)
    setting.send(scored_clip("a"))
    loop.run(stop)
    assert (steps, tries) == (5, 3)  # after 60 s, after 120 s, and at the end
    assert setting.reports.failed_snapshots == len(failing)
    assert store.generations() == {"g1": 1}


def test_snapshots_are_taken_on_the_interval_and_at_the_end(setting: Setting) -> None:
    stop, saves = threading.Event(), []
    view = index_view()

    class StoppingSource(MemorySource):
        polls = 0

        def poll(self, *, max_records: int, timeout_s: float) -> Sequence[object]:  # type: ignore[override]
            self.polls += 1
            setting.clock.advance(25)
            if self.polls == 7:
                stop.set()
            return super().poll(max_records=max_records, timeout_s=timeout_s)

    source = StoppingSource(setting.broker, [TOPIC], group=None, listener=StoredPositions(view))
    settings = LoopSettings(commits=False, poll_timeout_s=0, upkeep_interval_s=60)
    ViewLoop(
        source,
        view,
        READ,
        MemorySink(setting.broker),
        setting.reports,
        setting.clock,
        settings,
        upkeep=lambda: saves.append(source.polls),
    ).run(stop)
    assert saves == [3, 6, 7]
    with pytest.raises(TransportError, match="closed"):
        source.poll(max_records=1, timeout_s=0)


def test_a_stopped_thread_finishes_its_batch_and_a_failed_one_says_why(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    thread = LoopThread(setting.loop(store), name="sql")
    thread.start()
    while not thread.loop.caught_up:
        thread._thread.join(0.01)
    assert thread.stop(10)
    assert (thread.failure, store.generations()) == (None, {"g1": 1})

    setting.send(scored_clip("b"))
    failing = LoopThread(setting.loop(FailingView(store, 99, GenerationMismatch("no")), group="other"), name="sql")
    failing.start()
    failing._thread.join(10)
    assert isinstance(failing.failure, GenerationMismatch)


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
