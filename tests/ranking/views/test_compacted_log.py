"""The log after compaction: no record of a deleted clip, and all others, whatever failed during the deletion."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.scores.store import ScoreStore
from ranking.scores.view import ScoreView
from ranking.views.log_records import positions_after, read_log
from ranking.views.loop import LoopOptions, ViewLoop
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.errors import TransportError
from schemas.events import ClipDeleted
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RebalanceListener, Record
from tests.ranking.examples import DELETIONS, NOW_MS, TOPIC, scored_clip
from tests.ranking.views.test_ordering import empty, sql_state
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.topics import TopicSpec

PARTITIONS = 3
CLIPS = ("a", "b", "c", "d")


class BreakingSink(MemorySink):
    """Fails at the next flush if ``fails`` is set: ``before`` or ``after`` the records are written."""

    fails: str | None = None

    def flush(self, timeout_s: float) -> None:
        how, self.fails = self.fails, None
        if how == "before":
            self._queued.clear()
        super().flush(timeout_s)
        if how is not None:
            raise TransportError("no broker")


class Worker:
    """A member of the ranking group that restarts after a failure."""

    def __init__(self, broker: MemoryBroker, store: ScoreStore) -> None:
        self._broker = broker
        self.sink = BreakingSink(broker)
        self._view = ScoreView(store, self.sink, Observer())
        self._start()

    def _start(self) -> None:
        read = partial(read_log, deletions_topic=DELETIONS)
        options = LoopOptions(max_records=2, poll_timeout_s=0.0, attempts=1)
        self._loop = ViewLoop(self._open_source, self._view, read, None, Observer(), ManualClock(), options)

    def _open_source(self, listener: RebalanceListener) -> MemorySource:
        self._source = MemorySource(self._broker, [TOPIC, DELETIONS], group="ranking", listener=listener)
        return self._source

    def step(self) -> int:
        try:
            return self._loop.step()
        except TransportError:
            self._source.close()
            self._start()
            return 1

    def stop(self) -> None:
        self._source.close()


def settle(workers: Sequence[Worker]) -> None:
    """Step until several polls have returned nothing, tombstones of tombstones included."""
    idle = 0
    while idle < 8:
        idle = 0 if sum(worker.step() for worker in workers) else idle + 1


def compacted(records: Sequence[Record]) -> list[Record]:
    """The last record of each key in each partition, without tombstones."""
    last = {(record.partition, record.key): record for record in records}
    return [record for record in last.values() if record.value is not None]


def rebuilt(records: Sequence[Record], store: ScoreStore) -> dict[str, object]:
    """The state of a view that reads ``records`` and nothing else."""
    empty(store)
    entries, refused = read_log(records, DELETIONS)
    assert not refused
    store.apply(entries, positions_after(entry.record for entry in entries))
    return sql_state(store)


events = st.tuples(st.sampled_from(["scored", "scored", "deleted"]), st.sampled_from(CLIPS), st.integers(0, 2))
steps = st.tuples(st.sampled_from(["step"]), st.integers(0, 1), st.sampled_from([None, "before", "after"]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(events, steps), min_size=4, max_size=50))
def test_no_deleted_clip_stays_in_the_log_and_a_view_rebuilt_from_it_is_the_same(
    shared_store: ScoreStore, happenings: list[tuple[str, str, int] | tuple[str, int, str | None]]
) -> None:
    """Clips are repeated in the partition of each challenge that they were uploaded for."""
    empty(shared_store)
    broker = MemoryBroker(ManualClock(start_ms=NOW_MS))
    broker.ensure_topics([TopicSpec(name=TOPIC, partitions=PARTITIONS), TopicSpec(name=DELETIONS, partitions=2)])
    workers = [Worker(broker, shared_store) for _ in range(2)]
    deleted: set[str] = set()
    with closing(MemorySink(broker)) as sink:
        for what, one, other in happenings:
            if what == "scored":
                clip = scored_clip(str(one), challenge_id=f"challenge{other}", uploaded_at_ms=NOW_MS + int(other or 0))
                sink.send(OutgoingRecord(TOPIC, clip.clip_id.encode(), encode(clip), partition=int(other or 0)))
            elif what == "deleted":
                deleted.add(str(one))
                removal = ClipDeleted(clip_id=str(one), reason="")
                sink.send(OutgoingRecord(DELETIONS, removal.clip_id.encode(), encode(removal)))
            else:
                worker = workers[int(one)]
                worker.sink.fails = worker.sink.fails if other is None else str(other)
                worker.step()
            sink.flush(0)
    for worker in workers:
        worker.sink.fails = None
    settle(workers)
    left = compacted(broker.records(TOPIC))
    assert not deleted & {(record.key or b"").decode() for record in left}
    state = sql_state(shared_store)
    again = rebuilt([*left, *broker.records(DELETIONS)], shared_store)
    assert {name: rows for name, rows in again.items() if name != "positions"} == {
        name: rows for name, rows in state.items() if name != "positions"
    }
    for worker in workers:
        worker.stop()
