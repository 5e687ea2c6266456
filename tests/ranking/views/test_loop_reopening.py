"""How a loop reconnects, and what it commits to Kafka: only its own partitions, and no more often than configured."""

import threading
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from ranking.scores.store import ScoreStore
from ranking.views.loop import StoredPositions, ViewLoop
from schemas.codec import encode
from schemas.errors import DancerankError, GenerationMismatch, PositionBeyondLog, TransportError
from schemas.ports import OutgoingRecord, RebalanceListener, Record, RecordSource, TopicPartition
from tests.ranking.examples import TOPIC, at, scored_clip
from tests.ranking.views.loops import READ, SETTINGS, Reports, Setting
from tests.stopping import Stop
from transport.memory import MemorySink, MemorySource
from transport.reconnecting import Waits

BUSY, OTHER = at(0), at(1)


class Interruptions(Reports):
    def __init__(self) -> None:
        super().__init__()
        self.interruptions: list[str] = []

    def interrupted(self, reason: str) -> None:
        self.interruptions.append(reason)


class Watched(MemorySource):
    """Raises ``errors`` at its first polls; remembers what was committed, and that it was closed."""

    def __init__(self, setting: Setting, store: ScoreStore, errors: Sequence[DancerankError | None] = ()) -> None:
        super().__init__(setting.broker, [TOPIC], group="ranking", listener=StoredPositions(store))
        self.errors = list(errors)
        self.commits: list[dict[TopicPartition, int]] = []
        self.closes = 0
        self.close_error: TransportError | None = None

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return super().poll(max_records=max_records, timeout_s=timeout_s)

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool = True) -> None:
        super().commit(positions)
        self.commits.append(dict(positions))

    def close(self) -> None:
        super().close()
        self.closes += 1
        if self.close_error is not None:
            raise self.close_error


class Scene:
    """A loop on a source that fails at once, and the sources that it opens next."""

    def __init__(self, setting: Setting, store: ScoreStore, error: DancerankError, *opens: object) -> None:
        self.first, self.opens = Watched(setting, store, [error]), list(opens)
        self.opened = 0
        self.reports = Interruptions()
        self.closes_when_opened: list[int] = []
        settings = msgspec.structs.replace(SETTINGS, waits=Waits(first_s=0.5, longest_s=2.0, jitter=0.0))
        sink = MemorySink(setting.broker)
        self.loop = ViewLoop(self.open_source, store, READ, sink, self.reports, setting.clock, settings)

    def open_source(self, _: RebalanceListener) -> RecordSource:
        self.opened += 1
        if self.opened == 1:
            return self.first
        self.closes_when_opened.append(self.first.closes)
        found = self.opens.pop(0) if self.opens else unreachable()
        if isinstance(found, DancerankError):
            raise found
        assert isinstance(found, MemorySource)
        return found


def unreachable() -> TransportError:
    return TransportError("no broker answers")


def test_waits_double_up_to_the_longest_and_what_was_open_is_closed_first(
    setting: Setting, store: ScoreStore, caplog: pytest.LogCaptureFixture
) -> None:
    stop, scene = Stop(waits=5), Scene(setting, store, unreachable())
    scene.loop.run(stop)
    assert stop.waited_s == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert scene.opened == 5
    assert scene.closes_when_opened == [1] * 4
    assert scene.reports.interruptions == ["transport"]
    assert "reconnects and continues from the view's positions" in caplog.text


def test_waits_grow_while_sources_open_and_fail_and_are_short_again_after_a_step(
    setting: Setting, store: ScoreStore
) -> None:
    """Opening a source does not reset the waits: with the database stopped, each fails when it reads the positions."""
    stop = Stop(waits=5)
    works_once = Watched(setting, store, [None, None, unreachable()])
    scene = Scene(setting, store, unreachable(), Watched(setting, store, [unreachable()]), works_once)
    scene.loop.run(stop)
    assert stop.waited_s == [0.5, 1.0, 0.5, 1.0, 2.0]
    assert scene.reports.interruptions == ["transport"] * 3


def test_a_source_that_does_not_close_cleanly_does_not_prevent_reconnecting(
    setting: Setting, store: ScoreStore
) -> None:
    stop, scene = Stop(waits=2), Scene(setting, store, unreachable())
    scene.first.close_error = TransportError("cannot leave the group")
    second = Watched(setting, store)
    scene.opens.append(second)
    second.errors.append(unreachable())
    scene.loop.run(stop)
    assert scene.opened == 2
    assert second.closes >= 1


@pytest.mark.parametrize("error", [PositionBeyondLog("another log"), GenerationMismatch("another model")])
def test_a_final_error_ends_the_loop_and_nothing_is_opened(
    setting: Setting, store: ScoreStore, error: DancerankError
) -> None:
    scene = Scene(setting, store, error)
    with pytest.raises(type(error)):
        scene.loop.run(Stop(waits=3))
    assert (scene.opened, scene.first.closes >= 1) == (1, True)


def test_a_final_error_of_opening_ends_the_loop(setting: Setting, store: ScoreStore) -> None:
    scene = Scene(setting, store, unreachable(), PositionBeyondLog("another log"))
    with pytest.raises(PositionBeyondLog):
        scene.loop.run(Stop(waits=3))
    assert scene.opened == 2


def committing(setting: Setting, store: ScoreStore, interval_s: float) -> tuple[ViewLoop, Watched]:
    source = Watched(setting, store)
    settings = msgspec.structs.replace(SETTINGS, commit_interval_s=interval_s)
    sink = MemorySink(setting.broker)
    loop: ViewLoop = ViewLoop(lambda _: source, store, READ, sink, setting.reports, setting.clock, settings)
    loop.step()
    return loop, source


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="a log that falls silent right after a batch",
    outcome="Kafka's offsets of the group come up to it within the commit interval",
)
def test_the_positions_of_the_last_batch_are_committed_while_nothing_comes(setting: Setting, store: ScoreStore) -> None:
    loop, source = committing(setting, store, 5.0)
    for clip_id in ("a", "b"):
        send_to(setting, BUSY, clip_id)
        loop.step()
    setting.clock.advance(5.0)
    loop.step()
    loop.step()
    assert source.commits == [{BUSY: 1}, {BUSY: 2}]


def test_all_positions_are_committed_and_no_more_often_than_the_interval(setting: Setting, store: ScoreStore) -> None:
    loop, source = committing(setting, store, 5.0)
    send_to(setting, BUSY, "a")
    loop.step()
    assert source.commits == [{BUSY: 1}]
    send_to(setting, OTHER, "b")
    loop.step()
    setting.clock.advance(4.0)
    send_to(setting, BUSY, "c")
    loop.step()
    assert len(source.commits) == 1
    setting.clock.advance(1.5)
    send_to(setting, BUSY, "d")
    loop.step()
    assert source.commits[1:] == [{BUSY: 3, OTHER: 1}]
    setting.clock.advance(6.0)
    send_to(setting, OTHER, "e")
    loop.step()
    assert source.commits[2:] == [{OTHER: 2}]


def test_partitions_given_up_meanwhile_are_not_committed(
    setting: Setting, store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, source = committing(setting, store, 5.0)
    send_to(setting, BUSY, "a")
    loop.step()
    send_to(setting, OTHER, "b")
    loop.step()
    setting.clock.advance(6.0)
    send_to(setting, BUSY, "c")
    monkeypatch.setattr(source, "assignment", lambda: frozenset([BUSY]))
    loop.step()
    assert source.commits[1:] == [{BUSY: 2}]


def test_of_a_partition_that_was_away_what_another_member_committed_stays(
    setting: Setting, store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, source = committing(setting, store, 5.0)
    send_to(setting, BUSY, "a")
    send_to(setting, OTHER, "b")
    loop.step()
    assert source.commits == [{BUSY: 1, OTHER: 1}]
    monkeypatch.setattr(source, "assignment", lambda: frozenset([BUSY]))
    loop.step()
    monkeypatch.setattr(source, "assignment", lambda: frozenset([BUSY, OTHER]))
    stop = threading.Event()
    stop.set()
    loop.run(stop)
    assert source.commits[1:] == [{BUSY: 1}]


def test_a_member_has_caught_up_though_others_read_what_it_was_first_assigned(
    setting: Setting, store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, clip_ids in ((BUSY, "ab"), (OTHER, "cdefgh")):
        for clip_id in clip_ids:
            send_to(setting, place, clip_id)
    loop, source = one_by_one(setting, store)
    loop.step()
    assert not loop.caught_up
    monkeypatch.setattr(source, "assignment", lambda: frozenset([BUSY]))
    while store.positions([BUSY]).get(BUSY, 0) < 2:
        assert not loop.caught_up
        loop.step()
    assert store.positions([OTHER]).get(OTHER, 0) < 6
    assert loop.caught_up


def test_a_member_without_partitions_has_not_caught_up(
    setting: Setting, store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_to(setting, BUSY, "a")
    loop, source = one_by_one(setting, store)
    with monkeypatch.context() as joining:
        joining.setattr(source, "poll", lambda **_: [])
        joining.setattr(source, "assignment", frozenset)
        joining.setattr(source, "end_offsets", dict)
        joining.setattr(source, "lag", dict)
        loop.step()
        assert not loop.caught_up
    for _ in range(3):
        loop.step()
    assert loop.caught_up


def test_a_transaction_marker_at_the_end_is_not_waited_for(
    setting: Setting, store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_to(setting, BUSY, "a")
    send_to(setting, BUSY, "b")
    loop, source = one_by_one(setting, store)
    ends = source.end_offsets
    monkeypatch.setattr(source, "end_offsets", lambda: {place: end + 1 for place, end in ends().items()})
    monkeypatch.setattr(
        source, "lag", lambda: {place: end - source._next_offset[place] for place, end in ends().items()}
    )
    loop.step()
    assert not loop.caught_up
    loop.step()
    assert loop.caught_up


def one_by_one(setting: Setting, store: ScoreStore) -> tuple[ViewLoop, Watched]:
    source = Watched(setting, store)
    settings = msgspec.structs.replace(SETTINGS, max_records=1)
    return ViewLoop(lambda _: source, store, READ, None, setting.reports, setting.clock, settings), source


def send_to(setting: Setting, place: TopicPartition, clip_id: str) -> None:
    sink = MemorySink(setting.broker)
    sink.send(OutgoingRecord(TOPIC, b"k", encode(scored_clip(clip_id)), partition=place.partition))
    sink.flush(1.0)
