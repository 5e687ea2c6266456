"""Records that retention removed before a view read them: clips are reported, deletions wait for an operator."""

import threading
from dataclasses import dataclass, field

import pytest

from ranking.scores.store import ScoreStore
from ranking.serving.readiness import ServingReadiness
from ranking.views.accepted_losses import AcceptedLosses
from ranking.views.dropped_records import DroppedRecords
from ranking.views.loop import LoopOptions, LoopThread, ViewLoop
from schemas.clock import ManualClock, SystemClock
from schemas.codec import encode
from schemas.errors import DeletionsLost
from schemas.events import ClipDeleted
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RebalanceListener, TopicPartition, View
from tests.ranking.examples import DELETIONS, TOPIC, scored_clip
from tests.ranking.views.loops import READ, drain, index_view
from tests.waiting import wait_until
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.reconnecting import Waits
from transport.topics import TopicSpec

SCORED_AT, DELETED_AT = TopicPartition(TOPIC, 0), TopicPartition(DELETIONS, 0)
OPTIONS = LoopOptions(poll_timeout_s=0.0, commits=False, waits=Waits(first_s=0.001, longest_s=0.002))


class Lost(Observer):
    def __init__(self) -> None:
        self.records: list[tuple[TopicPartition, int]] = []

    def records_lost(self, partition: TopicPartition, records: int) -> None:
        self.records.append((partition, records))


@dataclass
class Logs:
    """A log of scored clips and one of deletions, of one partition each, and loops that read both."""

    losses: AcceptedLosses
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(ManualClock()))
    lost: Lost = field(default_factory=Lost)

    def __post_init__(self) -> None:
        self.broker.ensure_topics([TopicSpec(name=TOPIC, partitions=1), TopicSpec(name=DELETIONS, partitions=1)])

    def score(self, *clip_ids: str) -> None:
        sink = MemorySink(self.broker)
        for clip_id in clip_ids:
            sink.send(OutgoingRecord(TOPIC, clip_id.encode(), encode(scored_clip(clip_id))))
        sink.flush(1.0)

    def delete(self, *clip_ids: str) -> None:
        sink = MemorySink(self.broker)
        for clip_id in clip_ids:
            event = ClipDeleted(clip_id=clip_id, reason="asked for")
            sink.send(OutgoingRecord(DELETIONS, clip_id.encode(), encode(event)))
        sink.flush(1.0)

    def loop(self, view: View) -> ViewLoop:
        dropped = DroppedRecords(self.lost, complete=[DELETIONS], accepted=self.losses.of)
        return ViewLoop(self._open, view, READ, None, self.lost, ManualClock(), OPTIONS, dropped=dropped)

    def _open(self, listener: RebalanceListener) -> MemorySource:
        return MemorySource(self.broker, [TOPIC, DELETIONS], group=None, listener=listener)


@pytest.fixture
def logs(store: ScoreStore) -> Logs:
    return Logs(AcceptedLosses(store._database))


@pytest.fixture(params=["store", "index"])
def view(request: pytest.FixtureRequest, store: ScoreStore) -> View:
    return store if request.param == "store" else index_view()


def clips(view: View) -> int:
    return view.clips() if not isinstance(view, ScoreStore) else sum(view.generations().values())  # type: ignore[attr-defined]


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="scored clips that were removed from the log while the view was down",
    outcome="counted and logged with offsets; the view continues with what is left",
)
def test_scored_clips_that_were_dropped_are_counted_once_and_the_view_continues(
    logs: Logs, view: View, caplog: pytest.LogCaptureFixture
) -> None:
    logs.score("a", "b")
    drain(logs.loop(view))
    logs.score("c", "d", "e")
    logs.broker.delete_records(SCORED_AT, 4)
    drain(logs.loop(view))
    assert clips(view) == 3
    assert logs.lost.records == [(SCORED_AT, 2)]
    assert f"{TOPIC}[0] begins at offset 4, but the next one to read is 2: up to 2 records" in caplog.text
    assert "is missing here until it is sent again. Raise retention.ms" in caplog.text


def test_a_gap_is_passed_at_once_and_reported_once_though_nothing_follows_it(logs: Logs, view: View) -> None:
    logs.score("a", "b", "c")
    drain(logs.loop(view))
    logs.score("d", "e")
    logs.broker.delete_records(SCORED_AT, 5)
    for _ in range(2):
        drain(logs.loop(view))
    assert logs.lost.records == [(SCORED_AT, 2)]
    assert view.positions([SCORED_AT]) == {SCORED_AT: 5}


def test_a_new_view_of_a_log_that_has_a_retention_has_lost_nothing(
    logs: Logs, view: View, caplog: pytest.LogCaptureFixture
) -> None:
    logs.score("a", "b", "c")
    logs.broker.delete_records(SCORED_AT, 2)
    drain(logs.loop(view))
    assert clips(view) == 1
    assert logs.lost.records == []
    assert f"{TOPIC}[0] begins at offset 2" in caplog.text


def waiting_loop(logs: Logs, view: View) -> ViewLoop:
    """A loop that may not read on."""
    loop = logs.loop(view)
    with pytest.raises(DeletionsLost, match=r"clips\.deleted\[0\] begins at offset 3.*offsets accept-loss"):
        loop.step()
    return loop


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="deletions that were removed from their topic while the view was down",
    outcome="the view waits, not ready, until an operator has accepted the loss",
)
def test_a_view_does_not_pass_deletions_that_were_dropped_until_that_is_accepted(logs: Logs, view: View) -> None:
    logs.score("a", "b")
    logs.delete("x")
    drain(logs.loop(view))
    logs.delete("a", "y", "b")
    logs.broker.delete_records(DELETED_AT, 3)
    logs.score("c")
    loop = waiting_loop(logs, view)
    assert clips(view) == 2
    assert view.positions([DELETED_AT]) == {DELETED_AT: 1}
    assert logs.lost.records == [(DELETED_AT, 2)]
    for _ in range(2):
        with pytest.raises(DeletionsLost):
            loop.step()
    assert logs.lost.records == [(DELETED_AT, 2)]  # counted once
    logs.losses.accept({DELETED_AT: 3})
    drain(loop)
    assert clips(view) == 2  # a, whose deletion was lost, and c; b's deletion was left
    assert view.positions([DELETED_AT]) == {DELETED_AT: 4}


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="a view that is rebuilt from a topic of deletions that had a retention",
    outcome="it waits: clips whose deletion is gone would be shown again",
)
def test_a_new_view_needs_every_deletion(logs: Logs, view: View) -> None:
    logs.score("a")
    logs.delete("a", "b", "c", "d")
    logs.broker.delete_records(DELETED_AT, 3)
    waiting_loop(logs, view)
    assert clips(view) == 0


def test_an_accepted_loss_covers_what_was_dropped_then_and_no_more(logs: Logs, view: View) -> None:
    logs.delete("a", "b", "c", "d", "e")
    logs.broker.delete_records(DELETED_AT, 2)
    logs.losses.accept({DELETED_AT: 2})
    loop = logs.loop(view)
    logs.broker.delete_records(DELETED_AT, 3)
    with pytest.raises(DeletionsLost):
        loop.step()
    assert logs.losses.of([DELETED_AT, SCORED_AT]) == {DELETED_AT: 2}


def test_a_replica_that_waits_for_the_decision_is_not_ready_and_becomes_so_by_itself(
    logs: Logs, store: ScoreStore
) -> None:
    index = index_view()
    logs.score("a")
    logs.delete("b", "c")
    logs.broker.delete_records(DELETED_AT, 1)
    thread = LoopThread(logs.loop(index), name="index-view")
    ready = ServingReadiness(store, index, [thread], SystemClock()).check
    thread.start()
    try:
        wait_until(lambda: any("deletions_lost" in reason for reason in ready().reasons))
        assert not ready().ready
        logs.losses.accept({DELETED_AT: 1})
        wait_until(lambda: ready().ready)
        assert ready().reasons == []
    finally:
        assert thread.stop(10.0)
    assert thread.failure is None


def test_deletions_that_are_dropped_while_the_loop_runs_stop_it_too(logs: Logs, view: View) -> None:
    logs.delete("a")
    stop, loop = threading.Event(), logs.loop(view)
    drain(loop)
    logs.delete("b", "c", "d")
    logs.broker.delete_records(DELETED_AT, 3)
    with pytest.raises(DeletionsLost):
        loop.step()
    stop.set()
    loop.run(stop)
    assert logs.lost.records == [(DELETED_AT, 2)]
