"""Positions of views are shown and reset from outside, and override the group's committed offsets."""

from contextlib import closing

import pytest

from ranking.database.connection import Database
from ranking.scores.store import SCORES_VIEW, ScoreStore
from ranking.views.applied_offsets import ViewPositions
from ranking.views.loop import StoredPositions
from schemas.ports import OutgoingRecord, TopicPartition
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.topics import TopicSpec

FIRST, SECOND = (TopicPartition("log", number) for number in range(2))


@pytest.fixture
def positions(any_database: Database) -> ViewPositions:
    return ViewPositions(any_database)


def test_a_position_is_set_backward_or_forward_for_one_view(any_store: ScoreStore, positions: ViewPositions) -> None:
    positions.set("another", {FIRST: 3})
    for offset in (5, 2, 9):
        positions.set(SCORES_VIEW, {FIRST: offset})
        assert positions.of(SCORES_VIEW, [FIRST, SECOND]) == {FIRST: offset}
        assert any_store.positions([FIRST, SECOND]) == {FIRST: offset}
    assert positions.of("another", [FIRST]) == {FIRST: 3}


def test_a_new_database_is_filled_from_the_beginning_regardless_of_committed_offsets(store: ScoreStore) -> None:
    broker = MemoryBroker()
    broker.ensure_topics([TopicSpec(name="log", partitions=2)])
    sink = MemorySink(broker)
    for number in range(10):
        sink.send(OutgoingRecord("log", str(number).encode(), b"value"))
    sink.flush(1.0)
    for _ in range(2):
        source = MemorySource(broker, ["log"], group="rankers", listener=StoredPositions(store))
        with closing(source):
            assert len(source.poll(max_records=100, timeout_s=1.0)) == 10
            source.commit(dict.fromkeys(source.assignment(), 5))
