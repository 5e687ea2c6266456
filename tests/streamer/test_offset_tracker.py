import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from schemas.ports import OutgoingRecord, TopicPartition
from streamer.offset_tracker import OffsetTracker

P0, P1 = TopicPartition("clips.uploaded", 0), TopicPartition("clips.uploaded", 1)


def test_nothing_is_committable_before_a_record_was_read() -> None:
    assert OffsetTracker().committable() == {}


def test_a_restart_resumes_at_the_lowest_unfinished_record() -> None:
    tracker = OffsetTracker()
    first, second, third = (tracker.started(P0, offset) for offset in (5, 6, 7))
    tracker.finished(second)
    tracker.finished(third)
    assert tracker.committable() == {P0: 5}
    tracker.finished(first)
    assert tracker.committable() == {P0: 8}


def test_gaps_between_offsets_do_not_delay_a_commit() -> None:
    tracker = OffsetTracker()
    tickets = [tracker.started(P0, offset) for offset in (3, 10, 42)]
    tracker.finished(tickets[0])
    assert tracker.committable() == {P0: 10}
    tracker.finished(tickets[1])
    tracker.finished(tickets[2])
    assert tracker.committable() == {P0: 43}


def test_a_committed_position_is_not_returned_again() -> None:
    tracker = OffsetTracker()
    tracker.finished(tracker.started(P0, 0))
    tracker.committed(tracker.committable())
    assert tracker.committable() == {}
    tracker.finished(tracker.started(P0, 1))
    assert tracker.committable() == {P0: 2}


def test_a_late_finish_of_a_revoked_partition_is_ignored() -> None:
    tracker = OffsetTracker()
    late, kept = tracker.started(P0, 0), tracker.started(P1, 0)
    tracker.forget([P0])
    assert not tracker.is_open(late)
    assert not tracker.finished(late)
    assert tracker.finished(kept)
    assert tracker.committable() == {P1: 1}


def test_a_finish_from_before_a_revocation_is_ignored_after_reassignment() -> None:
    tracker = OffsetTracker()
    before = tracker.started(P0, 0)
    tracker.forget([P0])
    after = tracker.started(P0, 0)
    assert not tracker.finished(before)
    assert tracker.committable() == {P0: 0}
    assert tracker.finished(after)
    assert tracker.committable() == {P0: 1}


def test_the_state_of_a_rewound_partition_is_reset() -> None:
    tracker = OffsetTracker()
    old = [tracker.started(P0, offset) for offset in range(3)]
    new = tracker.started(P0, 1)
    assert not any(tracker.is_open(ticket) for ticket in old)
    tracker.finished(new)
    assert tracker.committable() == {P0: 2}


def test_a_record_finishes_once() -> None:
    tracker = OffsetTracker()
    ticket = tracker.started(P0, 0)
    assert tracker.finished(ticket)
    assert not tracker.finished(ticket)


def made_of(offset: int) -> OutgoingRecord:
    return OutgoingRecord("clips.scored", b"%d" % offset, b"")


def test_outputs_below_the_positions_are_returned_once_in_the_order_read() -> None:
    tracker = OffsetTracker()
    tickets = {offset: tracker.started(P0, offset) for offset in range(5)}
    other = tracker.started(P1, 7)
    for offset in (4, 2, 1, 0):
        tracker.finished(tickets[offset], made_of(offset))
    assert tracker.held == 4
    positions = tracker.committable()
    assert positions == {P0: 3, P1: 7}
    assert tracker.outputs(positions) == [made_of(0), made_of(1), made_of(2)]
    tracker.committed(positions)
    assert tracker.held == 1
    tracker.finished(tickets[3])
    tracker.finished(other, made_of(7))
    positions = tracker.committable()
    assert tracker.outputs(positions) == [made_of(4), made_of(7)]
    tracker.committed(positions)
    assert (tracker.held, tracker.outputs({P0: 100, P1: 100})) == (0, [])


def test_no_state_of_revoked_partitions_is_kept() -> None:
    tracker = OffsetTracker()
    for partition in (P0, P1):
        tracker.finished(tracker.started(partition, 0), made_of(0))
    tracker.forget([P0])
    assert (tracker.held, tracker.committable()) == (1, {P1: 1})
    tracker.forget_all()
    assert (tracker.held, tracker.committable(), tracker.outputs({P1: 1})) == (0, {}, [])


@given(
    gaps=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    order_seed=st.randoms(use_true_random=False),
)
def test_no_commit_ever_passes_an_unfinished_record(gaps: list[int], order_seed: random.Random) -> None:
    offsets = list(itertools.accumulate(gaps))
    tracker = OffsetTracker()
    tickets = {offset: tracker.started(P0, offset) for offset in offsets}
    unfinished = list(offsets)
    order_seed.shuffle(unfinished)
    while unfinished:
        tracker.finished(tickets[unfinished.pop()])
        expected = min(unfinished, default=offsets[-1] + 1)
        assert tracker.committable() == {P0: expected}
        assert tracker.unfinished() == len(unfinished)
