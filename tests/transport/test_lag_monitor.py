"""Lag is what the broker says is left, whatever the loops do; what is not measured is never 0."""

import pytest

from schemas.clock import ManualClock
from schemas.ports import OutgoingRecord
from tests.transport.lag_scene import FIRST, GROUP, SECOND, TOPIC, Lags, LagScene, Offsets
from transport.broker_offsets import Span
from transport.lag_monitor import FORGOTTEN_AFTER_S, LagMonitor, Reader
from transport.memory import MemoryBroker, MemoryOffsets, MemorySink, MemorySource
from transport.reading_progress import ReadingProgress
from transport.topics import TopicSpec


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="a process that holds no partition yet",
    outcome="its lag is the broker's count",
)
def test_a_process_without_partitions_reports_those_without_a_member() -> None:
    scene = LagScene()
    scene.offsets.replace(committed={GROUP: {FIRST: 4}})
    assert scene.measured() == {FIRST: 6, SECOND: 10}


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="records that come while a loop stands still",
    outcome="the lag grows",
)
def test_a_loop_that_stands_still_does_not_keep_its_lag_from_growing() -> None:
    scene = LagScene()
    scene.progress.assigned({FIRST, SECOND})
    scene.progress.done({FIRST: 10, SECOND: 10})
    assert scene.measured() == {FIRST: 0, SECOND: 0}
    scene.offsets.replace(spans={FIRST: Span(0, 17), SECOND: Span(0, 10)})
    assert scene.measured() == {FIRST: 7, SECOND: 0}


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="records that were read and are not applied",
    outcome="they count as waiting",
)
def test_records_that_were_read_and_not_applied_wait() -> None:
    scene = LagScene(stored={FIRST: 3, SECOND: 10})
    scene.progress.assigned({FIRST, SECOND})
    scene.progress.done({FIRST: 3, SECOND: 10})
    scene.read(FIRST, age_s=5)
    assert scene.measured() == {FIRST: 7, SECOND: 0}


def test_what_another_live_member_holds_is_its_to_report() -> None:
    scene = LagScene()
    scene.measured()
    scene.progress.stepped(0.0, is_member=True)
    scene.progress.assigned({FIRST})
    scene.progress.done({FIRST: 10})
    scene.offsets.replace(held={GROUP: frozenset({FIRST, SECOND})})
    assert scene.measured() == {FIRST: 0}


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="a process that has just started, while the group still describes the member that was killed before it",
    outcome="its lag is the broker's count",
)
def test_before_a_process_is_a_member_it_measures_what_others_are_said_to_hold() -> None:
    scene = LagScene()
    scene.offsets.replace(held={GROUP: frozenset({FIRST, SECOND})}, committed={GROUP: {FIRST: 4}})
    assert scene.measured() == {FIRST: 6, SECOND: 10}
    scene.progress.stepped(0.0, is_member=True)  # with no share: the others hold everything
    assert scene.measured() == {}


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="a rebalance that waits for a member that was killed",
    outcome="what that member held has a lag",
)
def test_while_a_group_rebalances_every_member_measures_all_partitions() -> None:
    scene = LagScene()
    scene.progress.stepped(0.0, is_member=True)
    scene.progress.assigned({FIRST})
    scene.progress.done({FIRST: 10})
    held = {GROUP: frozenset({FIRST, SECOND})}
    scene.offsets.replace(held=held, committed={GROUP: {SECOND: 3}})
    assert scene.measured() == {FIRST: 0}
    scene.offsets.replace(settled=[])
    assert scene.measured() == {FIRST: 0, SECOND: 7}
    scene.offsets.replace(settled=[GROUP])
    assert scene.measured() == {FIRST: 0}


def test_a_group_that_is_not_described_is_measured_by_who_holds_its_partitions() -> None:
    scene = LagScene()
    scene.progress.assigned({FIRST})
    scene.progress.done({FIRST: 8})
    scene.offsets.replace(held={}, settled=[])
    assert scene.measured() == {FIRST: 2}


def test_a_member_that_has_lost_a_partition_without_noticing_follows_what_the_next_one_commits() -> None:
    scene = LagScene()
    scene.progress.stepped(0.0, is_member=True)
    scene.progress.assigned({FIRST})
    scene.progress.done({FIRST: 2})
    scene.offsets.replace(held={GROUP: frozenset({FIRST, SECOND})}, committed={GROUP: {FIRST: 9}})
    assert scene.measured() == {FIRST: 1}


def test_without_a_group_every_partition_is_reported_also_one_that_is_not_read_yet() -> None:
    scene = LagScene(group=None, stored={FIRST: 10, SECOND: 0})
    scene.progress.assigned({FIRST})
    scene.progress.done({FIRST: 10})
    assert scene.measured() == {FIRST: 0, SECOND: 10}


def test_offsets_without_a_record_at_the_end_do_not_wait() -> None:
    scene = LagScene(stored={FIRST: 9, SECOND: 9})  # the marker of a transaction follows
    scene.progress.assigned({FIRST, SECOND})
    scene.progress.done({FIRST: 10, SECOND: 10})
    assert scene.measured() == {FIRST: 0, SECOND: 0}


def test_only_records_that_are_kept_wait() -> None:
    scene = LagScene()
    scene.offsets.replace(spans={FIRST: Span(8, 10), SECOND: Span(0, 10)}, committed={GROUP: {SECOND: 12}})
    assert scene.measured() == {FIRST: 2, SECOND: 0}


def test_the_position_stored_with_the_data_counts_and_not_the_one_in_kafka() -> None:
    scene = LagScene(stored={FIRST: 0, SECOND: 0})  # a database that was created again
    scene.offsets.replace(committed={GROUP: {FIRST: 10, SECOND: 10}})
    assert scene.measured() == {FIRST: 10, SECOND: 10}


def test_until_the_view_has_given_its_positions_the_committed_ones_count() -> None:
    scene = LagScene(stored={})
    scene.offsets.replace(committed={GROUP: {FIRST: 7}})
    assert scene.measured() == {FIRST: 3, SECOND: 10}


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="a view whose positions are not known yet",
    outcome="no lag, not 0",
)
def test_a_lag_without_a_position_is_unknown_and_not_0() -> None:
    scene = LagScene(group=None, stored={})
    assert scene.measured() == {}
    assert not scene.seen.measured_at_ms


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="a broker that does not answer",
    outcome="the last lag for 30 s, then none",
)
def test_an_unreachable_broker_leaves_the_last_lag_for_a_while_and_then_none_at_all() -> None:
    scene = LagScene()
    before = scene.measured()
    scene.offsets.fails = True
    scene.clock.advance(FORGOTTEN_AFTER_S - 1)
    assert scene.measured() == before
    scene.clock.advance(2)
    assert scene.measured() == {}
    assert len(scene.seen.measured_at_ms) == 1
    scene.offsets.fails = False
    assert scene.measured() == before
    assert len(scene.seen.measured_at_ms) == 2


@pytest.mark.tried(
    kind="metrics of a loop that stands still", given="a partition without a leader", outcome="the others are measured"
)
def test_a_partition_without_a_leader_keeps_no_other_from_being_measured_and_the_time_stands() -> None:
    scene = LagScene()
    scene.measured()
    scene.offsets.replace(spans={SECOND: Span(0, 12)}, unanswered={FIRST: "it has no leader"})
    assert scene.measured() == {FIRST: 10, SECOND: 12}
    scene.clock.advance(FORGOTTEN_AFTER_S + 1)
    assert scene.measured() == {SECOND: 12}
    assert len(scene.seen.measured_at_ms) == 1


def test_a_topic_that_is_gone_is_not_measured() -> None:
    scene = LagScene()
    scene.offsets.replace(spans={})
    assert scene.measured() == {}
    assert not scene.seen.measured_at_ms


def test_a_failure_is_logged_when_it_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    scene = LagScene()
    for fails in (True, True, False, False):
        scene.offsets.fails = fails
        scene.measured()
    assert [record.message for record in caplog.records] == [
        "the lag is not measured: no broker answers",
        "the lag is measured again",
    ]


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="a partition that is added, of which a view gives its position a second later",
    outcome="nothing is logged; a position that stays unknown is",
)
def test_a_position_that_is_not_known_yet_is_a_failure_once_it_stays_unknown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    known = {FIRST: 10}
    scene = LagScene(group=None, stored=known)
    assert scene.measured() == {FIRST: 0}
    assert caplog.messages == []
    known[SECOND] = 3
    assert scene.measured() == {FIRST: 0, SECOND: 7}
    assert caplog.messages == []
    del known[SECOND]
    for _ in range(3):
        scene.measured()
    known[SECOND] = 3
    scene.measured()
    assert caplog.messages == [
        "the lag is not measured: clips[1]: no position is known yet",
        "the lag is measured again",
    ]


def test_of_several_loops_the_one_that_is_furthest_behind_counts() -> None:
    clock, offsets, seen = ManualClock(), Offsets(), Lags()
    ahead, behind = ReadingProgress(), ReadingProgress()
    ahead.assigned({FIRST, SECOND})
    ahead.done({FIRST: 10, SECOND: 10})
    behind.assigned({FIRST, SECOND})
    behind.done({FIRST: 1, SECOND: 10})
    readers = [Reader([TOPIC], GROUP, ahead), Reader([TOPIC], None, behind)]
    LagMonitor(offsets, readers, seen, clock).measure()
    assert {at: records for at, (records, _) in seen.known.items()} == {FIRST: 9, SECOND: 0}


def test_the_lag_in_seconds_is_the_age_of_the_last_record_read() -> None:
    scene = LagScene()
    scene.progress.assigned({FIRST, SECOND})
    scene.progress.done({FIRST: 4, SECOND: 10})
    scene.read(FIRST, age_s=60)
    scene.read(FIRST, age_s=20)
    scene.read(SECOND, age_s=5)
    assert scene.seconds() == {FIRST: 20.0, SECOND: 0.0}


def test_a_partition_of_which_nothing_was_read_lags_since_it_was_first_seen() -> None:
    scene = LagScene()
    scene.clock.advance(1000)
    assert scene.seconds()[FIRST] == 0.0
    scene.clock.advance(30)
    assert scene.seconds()[FIRST] == 30.0


def test_after_an_idle_hour_a_record_has_not_waited_for_an_hour() -> None:
    scene = LagScene()
    scene.progress.assigned({FIRST, SECOND})
    scene.progress.done({FIRST: 10, SECOND: 10})
    scene.read(FIRST, age_s=3600)
    scene.measured()
    scene.clock.advance(2)
    scene.offsets.replace(spans={FIRST: Span(0, 11), SECOND: Span(0, 10)})
    assert scene.seconds()[FIRST] == 2.0


def test_a_record_of_a_clock_that_is_ahead_has_no_negative_age() -> None:
    scene = LagScene()
    scene.progress.assigned({FIRST, SECOND})
    scene.progress.done({FIRST: 4})
    scene.read(FIRST, age_s=-60)
    assert scene.seconds()[FIRST] == 0.0


def test_a_member_that_leaves_lets_another_measure_and_starts_afresh_when_it_returns() -> None:
    broker, seen, clock = MemoryBroker(), Lags(), ManualClock()
    broker.ensure_topics([TopicSpec(name=TOPIC, partitions=1)])
    sink = MemorySink(broker)
    for _ in range(3):
        sink.send(OutgoingRecord(TOPIC, b"k", b"v"))
    sink.flush(1)
    progress, other = ReadingProgress(), MemorySource(broker, [TOPIC], group=GROUP)
    progress.stepped(0.0, is_member=True)
    monitor = LagMonitor(MemoryOffsets(broker), [Reader([TOPIC], GROUP, progress)], seen, clock)
    monitor.measure()
    assert seen.known == {FIRST: (3, 0.0)}
    for _ in range(3):
        other.poll(max_records=1, timeout_s=0)
    monitor.measure()
    assert seen.known == {}
    other.close()
    clock.advance(30)
    monitor.measure()
    assert seen.known == {FIRST: (3, 0.0)}


def test_in_memory_a_partition_may_be_without_a_leader() -> None:
    broker, seen = MemoryBroker(), Lags()
    broker.ensure_topics([TopicSpec(name=TOPIC, partitions=2)])
    offsets = MemoryOffsets(broker)
    offsets.leaderless.add(FIRST)
    LagMonitor(offsets, [Reader([TOPIC], GROUP, ReadingProgress())], seen, ManualClock()).measure()
    assert seen.known == {SECOND: (0, 0.0)}
