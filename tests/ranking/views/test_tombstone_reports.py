"""Tombstones are counted as written records, for any reason that they were written for."""

from ranking.scores.store import ScoreStore
from ranking.scores.view import ScoreView
from schemas.clock import ManualClock
from schemas.observation import Observer
from tests.ranking.examples import TOPIC, apply, apply_entries, deletion, scored_clip
from transport.memory import MemoryBroker, MemorySink
from transport.topics import TopicSpec


class Written(Observer):
    def __init__(self) -> None:
        self.records: list[tuple[str, int]] = []

    def produced(self, topic: str, records: int) -> None:
        self.records.append((topic, records))


def test_each_tombstone_counts_for_the_topic_that_it_was_written_to(store: ScoreStore) -> None:
    broker, written = MemoryBroker(ManualClock()), Written()
    broker.ensure_topics([TopicSpec(name=TOPIC, partitions=3)])
    view = ScoreView(store, MemorySink(broker), written)
    apply(view, [scored_clip("c1"), scored_clip("c2")])
    assert written.records == []
    apply_entries(view, deletion("c1"))
    assert written.records == [(TOPIC, 3)]  # one in every partition
    apply(view, [scored_clip("c1")], start=2)
    assert written.records == [(TOPIC, 3), (TOPIC, 1)]  # and where a late record stands
    assert len(broker.records(TOPIC)) == 4
