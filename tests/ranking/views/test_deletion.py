"""Deletion in the SQL view: what is deleted, what stays deleted, and what is erased from the log."""

import random
import threading

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import deleted_clips, metadata, scores
from ranking.scores.rows import Erasure, write_entries
from ranking.scores.store import ScoreStore
from ranking.scores.view import ScoreView
from ranking.views.log_records import LogEntry, read_log
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.errors import MalformedEvent, NotFound, TransportError
from schemas.events import ClipDeleted
from schemas.modalities import Dimension
from schemas.observation import Observer
from schemas.ports import Record, ScoredRecord, TopicPartition
from tests.ranking.examples import (
    DELETIONS,
    NOW_MS,
    TOPIC,
    apply,
    apply_entries,
    at,
    deletion,
    logged,
    record,
    scored_clip,
)
from transport.memory import MemoryBroker, MemorySink
from transport.topics import TopicSpec

PARTITIONS = 3


class Reports(Observer):
    def __init__(self) -> None:
        self.left_out: list[tuple[str, str]] = []

    def skipped(self, topic: str, reason: str) -> None:
        self.left_out.append((topic, reason))


class UnreliableSink(MemorySink):
    """Loses its records at each of the next ``failures`` flushes."""

    failures = 0

    def flush(self, timeout_s: float) -> None:
        if self.failures > 0:
            self.failures -= 1
            self._queued.clear()
            raise TransportError("no broker")
        super().flush(timeout_s)


class Erasing:
    """A view that erases from a log in memory, which has no other writer."""

    def __init__(self, store: ScoreStore) -> None:
        self.broker = MemoryBroker(ManualClock())
        self.broker.ensure_topics([TopicSpec(name=TOPIC, partitions=PARTITIONS)])
        self.sink = UnreliableSink(self.broker)
        self.reports = Reports()
        self.view = ScoreView(store, self.sink, self.reports)

    def tombstones(self) -> list[tuple[str, int]]:
        """Clip and partition of each, in order of the partitions."""
        written = self.broker.records(TOPIC)
        assert all(tombstone.value is None for tombstone in written)
        return [((tombstone.key or b"").decode(), tombstone.partition) for tombstone in written]


@pytest.fixture
def erasing(store: ScoreStore) -> Erasing:
    return Erasing(store)


def every_value(database: Database) -> set[object]:
    """All values of all tables."""
    with database.reading() as connection:
        rows = [row for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    return {value for row in rows for value in row}


def clips_of(store: ScoreStore) -> list[str]:
    try:
        return [entry.clip_id for entry in store.ranking("ch", Dimension.FUSED, "g1", order="top", k=99).entries]
    except NotFound:
        return []


def test_a_deleted_clip_is_in_no_answer_and_in_no_table(any_store: ScoreStore, any_database: Database) -> None:
    apply(any_store, [scored_clip("kept"), scored_clip("gone", dancer_id="secret", fused_score=0.8125)])
    apply(any_store, [scored_clip("gone", dancer_id="secret", generation="g2", challenge_id="alone")], start=2)
    assert {"secret", 0.8125} <= every_value(any_database)
    apply_entries(any_store, deletion("gone"))
    assert clips_of(any_store) == ["kept"]
    assert any_store.generations() == {"g1": 1}
    assert any_store.challenges("g2") == []
    assert any_store.attention("ch", "g1").clips == 1
    with pytest.raises(NotFound):
        any_store.clip("gone", "g1")
    assert not {"secret", 0.8125, "alone"} & every_value(any_database)
    assert any_store.positions([at(), TopicPartition(DELETIONS, 0)]) == {at(): 3, TopicPartition(DELETIONS, 0): 1}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["scored first", "deleted first"])
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_a_deleted_clip_stays_deleted_whichever_comes_first(
    any_store: ScoreStore, order: tuple[int, int], together: bool
) -> None:
    both: list[LogEntry] = [logged([scored_clip("c1")])[0], deletion("c1")]
    entries = [both[number] for number in order]
    for batch in [entries] if together else [[entry] for entry in entries]:
        apply_entries(any_store, *batch)
    assert clips_of(any_store) == []
    apply(any_store, [scored_clip("c1", uploaded_at_ms=NOW_MS + 999), scored_clip("c2")], start=1)
    assert clips_of(any_store) == ["c2"]


def test_only_the_deletion_and_its_latest_time_are_kept(store: ScoreStore, sqlite_database: Database) -> None:
    for offset, timestamp_ms in enumerate((NOW_MS + 2, NOW_MS + 7, NOW_MS + 1)):
        apply_entries(store, deletion("c1", offset, timestamp_ms=timestamp_ms))
    with sqlite_database.reading() as connection:
        assert connection.execute(sa.select(deleted_clips)).all() == [("c1", NOW_MS + 7)]


def test_a_deletion_leaves_a_tombstone_in_every_partition(store: ScoreStore, erasing: Erasing) -> None:
    apply(erasing.view, [scored_clip("c1"), scored_clip("c2")])
    assert erasing.tombstones() == []
    apply_entries(erasing.view, deletion("c1"), deletion("never seen", 1))
    expected = [(clip, partition) for partition in range(PARTITIONS) for clip in ("c1", "never seen")]
    assert sorted(erasing.tombstones()) == sorted(expected)
    assert clips_of(store) == ["c2"]


def test_a_late_record_of_a_deleted_clip_is_reported_and_gets_a_tombstone_in_its_partition(
    store: ScoreStore, erasing: Erasing
) -> None:
    apply_entries(store, deletion("c1"))
    apply(erasing.view, [scored_clip("c1"), scored_clip("c2"), scored_clip("c1")], partition=2)
    assert erasing.tombstones() == [("c1", 2)]
    assert erasing.reports.left_out == [(TOPIC, "deleted_clip")] * 2
    assert clips_of(store) == ["c2"]
    assert store.positions([at(2)]) == {at(2): 3}


def test_tombstones_are_written_after_the_rows_are_deleted_and_before_positions_advance(
    store: ScoreStore, erasing: Erasing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that another worker applied before the rows were deleted is then before the tombstone."""
    deletions, seen = TopicPartition(DELETIONS, 0), []

    def flush(_: float) -> None:
        seen.append((clips_of(store), store.positions([deletions])))

    apply(erasing.view, [scored_clip("c1")])
    monkeypatch.setattr(erasing.sink, "flush", flush)
    apply_entries(erasing.view, deletion("c1"))
    assert seen == [([], {})]
    assert store.positions([deletions]) == {deletions: 1}


def test_tombstones_that_were_lost_are_written_when_the_batch_comes_again(store: ScoreStore, erasing: Erasing) -> None:
    batch: list[LogEntry] = [deletion("c1"), logged([scored_clip("c2")], start=1, partition=1)[0]]
    apply(erasing.view, [scored_clip("c1")])
    erasing.sink.failures = 1
    with pytest.raises(TransportError):
        apply_entries(erasing.view, *batch)
    assert erasing.tombstones() == []
    assert store.positions([at(1), TopicPartition(DELETIONS, 0)]) == {}
    apply_entries(erasing.view, *batch)
    assert erasing.tombstones() == [("c1", partition) for partition in range(PARTITIONS)]
    assert store.positions([at(1), TopicPartition(DELETIONS, 0)]) == {at(1): 2, TopicPartition(DELETIONS, 0): 1}
    assert clips_of(store) == ["c2"]


def test_neither_kind_of_event_is_read_on_the_others_topic() -> None:
    removal = encode(ClipDeleted(clip_id="c1", reason=""))
    good = [record(scored_clip("c1"), 0), Record(DELETIONS, 0, 0, NOW_MS, None, removal)]
    swapped = [record(removal, 1), Record(DELETIONS, 0, 1, NOW_MS, None, encode(scored_clip("c1")))]
    entries, refused = read_log([*good, *swapped], DELETIONS)
    assert [entry.record for entry in entries] == good
    assert [(refusal.record, type(refusal.error)) for refusal in refused] == [(r, MalformedEvent) for r in swapped]


class _Transaction(threading.Thread):
    """Applies entries on a connection of its own and commits on request."""

    def __init__(self, database: Database, *entries: LogEntry) -> None:
        super().__init__(daemon=True)
        self._database, self._entries = database, entries
        self.written, self.may_commit = threading.Event(), threading.Event()
        self.erasure = Erasure([], [])
        self.start()

    def run(self) -> None:
        with self._database.writing() as connection:
            self.erasure = write_entries(connection, self._entries, NOW_MS).erasure
            self.written.set()
            self.may_commit.wait(30)

    def commit(self) -> None:
        self.may_commit.set()
        self.join(30)
        assert not self.is_alive()


@pytest.mark.parametrize("first", ["scored", "deleted"])
def test_a_deletion_and_a_score_of_one_clip_in_transactions_at_once_leave_no_clip(
    any_database: Database, first: str
) -> None:
    (scored,) = logged([scored_clip("c1")])
    kinds: dict[str, LogEntry] = {"scored": scored, "deleted": deletion("c1")}
    one = _Transaction(any_database, kinds.pop(first))
    assert one.written.wait(30)
    other = _Transaction(any_database, *kinds.values())
    assert not other.written.wait(0.3)
    one.commit()
    assert other.written.wait(30)
    other.commit()
    with any_database.reading() as connection:
        assert connection.execute(sa.select(scores)).all() == []
    assert bool(other.erasure.late) == (first == "deleted")


@pytest.mark.postgresql
def test_transactions_that_only_score_run_side_by_side(postgresql_database: Database) -> None:
    with postgresql_database.writing() as connection:
        write_entries(connection, logged([scored_clip("c0")]), NOW_MS)  # the very first activates a generation
    both = [_Transaction(postgresql_database, logged([scored_clip(clip)])[0]) for clip in ("c1", "c2")]
    assert all(one.written.wait(30) for one in both)
    for one in both:
        one.commit()


def test_workers_that_score_and_delete_the_same_clips_leave_none_that_was_deleted(any_database: Database) -> None:
    clips = [scored_clip(f"c{number}") for number in range(30)]
    failures: list[Exception] = []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        try:
            store = ScoreStore(any_database)
            for step in range(12):
                batch: list[LogEntry] = [*logged(draw.sample(clips, 8), start=8 * step, partition=seed)]
                batch += [deletion(f"c{draw.randrange(20)}", step, partition=seed)] * (step % 2)
                store.apply(draw.sample(batch, len(batch)), {at(seed): 8 * (step + 1)})
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with any_database.reading() as connection:
        deleted = set(connection.scalars(sa.select(deleted_clips.c.clip_id)))
        left = set(connection.scalars(sa.select(scores.c.clip_id)))
    assert deleted
    assert left
    assert not deleted & left


def test_a_deletion_is_carried_out_in_every_log_and_a_late_clip_in_its_own(store: ScoreStore) -> None:
    logs = ["log.g1", "log.g2"]
    broker = MemoryBroker(ManualClock())
    broker.ensure_topics([TopicSpec(name=log, partitions=2) for log in logs])
    view = ScoreView(store, MemorySink(broker), Reports(), scored_topics=logs)
    apply_entries(view, deletion("gone"))
    assert {log: [r.partition for r in broker.records(log)] for log in logs} == {log: [0, 1] for log in logs}
    clip = scored_clip("gone", generation="g2")
    apply_entries(view, ScoredRecord(Record("log.g2", 1, 7, NOW_MS, b"gone", encode(clip)), clip))
    assert [len(broker.records(log)) for log in logs] == [2, 3]
    assert broker.records("log.g2")[-1].partition == 1
