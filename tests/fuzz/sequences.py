"""Random interleavings of what producers send, and of what the loops of both views do, on the broker in memory."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import ClassVar, Final

import msgspec
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ranking.database.tables import deleted_clips, metadata, scored_clips
from ranking.scores.store import ScoreStore
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry, read_log
from ranking.views.loop import LoopOptions, ViewLoop
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.events import ClipDeleted, ClipScored
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RebalanceListener, Record, TopicPartition
from tests.fuzz.event_inputs import event_value
from tests.ranking.databases import migrated
from tests.ranking.examples import DELETIONS, NOW_MS, TOPIC
from tests.ranking.views.test_ordering import CLIPS, model, scored
from transport.dead_letter import dead_letter_topic, reason
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.topics import TopicSpec

TOPICS: Final = (TOPIC, DELETIONS)
SEEDS: Final = st.integers(0, 2**63 - 1)
_IDLE: Final = 3
_OPEN: Final = ExitStack()


@cache
def store() -> ScoreStore:
    """One database in memory for all sequences of this process."""
    return ScoreStore(_OPEN.enter_context(migrated("sqlite://")))


def empty(database: ScoreStore) -> None:
    with database._database.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sa.delete(table))


class Sequences(RuleBasedStateMachine):
    """Both views follow the log through restarts; at the end each holds what the records say, and none is unaccounted.

    ``sent`` counts the records of all sequences.
    """

    sent: ClassVar[int] = 0

    @initialize()
    def start(self) -> None:
        self.clock = ManualClock(start_ms=NOW_MS + 60_000)
        self.broker = MemoryBroker(self.clock)
        names = [*TOPICS, *map(dead_letter_topic, TOPICS)]
        self.broker.ensure_topics(TopicSpec(name=name, partitions=2) for name in names)
        self.sink = MemorySink(self.broker)
        self.folder = TemporaryDirectory()
        self.sql = store()
        empty(self.sql)
        self.index = self.new_index()
        self.rank, self.serve = self.new_rank(), self.new_serve()

    def new_index(self) -> IndexView:
        return IndexView(NumpyBackend(), Observer(), self.clock)

    def new_rank(self) -> ViewLoop[LogEntry]:
        return self.loop(self.sql, group="ranking", dead_letters=MemorySink(self.broker))

    def new_serve(self) -> ViewLoop[LogEntry]:
        return self.loop(self.index, group=None, dead_letters=None)

    def loop(
        self, view: ScoreStore | IndexView, *, group: str | None, dead_letters: MemorySink | None
    ) -> ViewLoop[LogEntry]:
        def open_source(listener: RebalanceListener) -> MemorySource:
            return MemorySource(self.broker, TOPICS, group=group, listener=listener)

        options = LoopOptions(poll_timeout_s=0.0, commits=group is not None, max_records=4)
        read = partial(read_log, deletions_topic=DELETIONS, clock=self.clock)
        return ViewLoop(open_source, view, read, dead_letters, Observer(), self.clock, options)

    def send(self, topic: str, key: bytes | None, value: bytes | None, challenge: str | None = None) -> None:
        self.sink.send(OutgoingRecord(topic, key, value, partition_by=challenge))
        self.sink.flush(1.0)
        type(self).sent += 1

    @rule(clip=scored)
    def score(self, clip: ClipScored) -> None:
        self.send(TOPIC, clip.clip_id.encode(), encode(clip), clip.challenge_id)

    @rule(clip=scored, at_ms=st.sampled_from([0, NOW_MS // 1000, NOW_MS * 1000, (1 << 53) - 1]))
    def score_with_an_absurd_time(self, clip: ClipScored, at_ms: int) -> None:
        self.send(TOPIC, b"k", encode(msgspec.structs.replace(clip, uploaded_at_ms=at_ms)), clip.challenge_id)

    @rule(clip_id=st.sampled_from(CLIPS), times=st.integers(1, 2))
    def delete(self, clip_id: str, times: int) -> None:
        for _ in range(times):
            self.send(DELETIONS, clip_id.encode(), encode(ClipDeleted(clip_id=clip_id, reason="")))

    @rule(seed=SEEDS)
    def send_a_record_again(self, seed: int) -> None:
        rng = Random(seed)
        if held := self.broker.records(rng.choice(TOPICS)):
            record = rng.choice(held)
            if record.key is not None or record.value is not None:
                self.send(record.topic, record.key, record.value, rng.choice(("x", "y")))

    @rule(seed=SEEDS, topic=st.sampled_from(TOPICS))
    def send_something_damaged(self, seed: int, topic: str) -> None:
        self.send(topic, b"k", event_value(Random(seed)))

    @rule(topic=st.sampled_from(TOPICS))
    def send_a_tombstone(self, topic: str) -> None:
        self.send(topic, b"a", None)

    @rule(steps=st.integers(1, 3))
    def rank_some(self, steps: int) -> None:
        for _ in range(steps):
            self.rank.step()

    @rule(steps=st.integers(1, 3))
    def index_some(self, steps: int) -> None:
        for _ in range(steps):
            self.serve.step()

    @rule()
    def restart_rank(self) -> None:
        self.rank._source.close()
        self.rank = self.new_rank()

    @rule(saved=st.booleans())
    def restart_serve(self, saved: bool) -> None:
        if saved:
            self.index.save(Path(self.folder.name))
        self.serve._source.close()
        self.index = self.new_index()
        self.index.restore(Path(self.folder.name))
        self.serve = self.new_serve()

    def teardown(self) -> None:
        if not hasattr(self, "serve"):
            return
        for loop in (self.rank, self.serve):
            idle = 0
            while idle < _IDLE:
                idle = 0 if loop.step() else idle + 1
            loop._source.close()
        try:
            self.check()
        finally:
            self.folder.cleanup()

    def check(self) -> None:
        records = [record for topic in TOPICS for record in self.broker.records(topic)]
        entries, refused = read_log([each for each in records if each.value is not None], DELETIONS, clock=self.clock)
        held, deleted = model(entries)
        expected = {key: (entry.record.partition, entry.record.offset) for key, entry in held.items()}
        assert dict(self.ranked()) == expected
        assert dict(self.indexed()) == expected
        assert self.index._deleted == set(deleted) == set(self.deleted())
        assert self.dead_letters() == sorted(_place(refusal.record) for refusal in refused)
        ends = _ends(records)
        assert self.sql.positions(ends) == self.index.positions(ends) == ends

    def ranked(self) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
        c = scored_clips.c
        query = sa.select(c.generation, c.clip_id, c.log_partition, c.log_offset)
        with self.sql._database.reading() as connection:
            for generation, clip_id, *place in connection.execute(query):
                yield (generation, clip_id), (place[0], place[1])

    def indexed(self) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
        for generation, space in self.index._spaces.items():
            for entry in space.parts()[0].entries():
                yield (generation, entry.clip_id), (entry.log_partition, entry.log_offset)

    def deleted(self) -> list[str]:
        with self.sql._database.reading() as connection:
            return list(connection.scalars(sa.select(deleted_clips.c.clip_id)))

    def dead_letters(self) -> list[tuple[str, int, int]]:
        headers = [
            reason(record.headers) for topic in TOPICS for record in self.broker.records(dead_letter_topic(topic))
        ]
        return sorted((each["topic"], int(each["partition"]), int(each["offset"])) for each in headers)


def _place(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _ends(records: Sequence[Record]) -> dict[TopicPartition, int]:
    return {each.topic_partition: each.offset + 1 for each in records}
