"""The streamer after failures of a broker, a feature store or its group: every clip is scored exactly once."""

import threading
from pathlib import Path
from typing import Any

import pytest

from schemas.bundle import Bundle
from schemas.errors import MembershipLost, PositionBeyondLog, TransportError
from schemas.events import FeatureFile
from schemas.features import encode_features
from schemas.ports import RecordSource, TopicPartition
from streamer.stores import FeatureStore
from tests.clips import upload
from tests.streaming import (
    FEATURES,
    UPLOADS,
    Everything,
    Log,
    process,
    quick_settings,
    running,
    uploads,
)
from tests.waiting import wait_until
from transport.memory import MemoryTransactionalSink


class FailingSink(MemoryTransactionalSink):
    """Fails a few times before it writes."""

    failures = 3

    def commit(self, records, positions, source) -> None:  # type: ignore[no-untyped-def]
        self.failures -= 1
        if self.failures >= 0:
            raise TransportError("not acknowledged")
        super().commit(records, positions, source)


def test_a_broker_that_does_not_answer_is_waited_for_and_everything_comes_out_once(bundle: Bundle) -> None:
    log, seen = Log(), Everything()
    log.upload(*uploads(5))
    process(log, log.streamer(bundle, quick_settings(), sink=FailingSink(log.broker), observer=seen), 5)
    assert sorted(clip.clip_id for clip in log.scored()) == [f"clip-{n}" for n in range(5)]
    assert seen.counts["interrupted", "transport"] == 3


class Unreachable:
    """Opens a source, then fails to for a while, then for good."""

    def __init__(self, log: Log, errors: list[TransportError]) -> None:
        self.log, self.errors, self.opened = log, errors, 0

    def __call__(self, listener: object) -> RecordSource:
        self.opened += 1
        if self.opened > 1 and self.errors:
            raise self.errors.pop(0)
        return self.log.open_source(listener)


def test_an_unreachable_broker_is_tried_again_until_it_answers(bundle: Bundle) -> None:
    log = Log()
    log.upload(*uploads(5))
    source = Unreachable(log, [TransportError("no broker"), TransportError("still no broker")])
    sink = FailingSink(log.broker)
    sink.failures = 1
    process(log, log.streamer(bundle, quick_settings(), sink=sink, open_source=source), 5)
    assert source.opened == 4
    assert len(log.scored()) == 5


def test_a_final_error_ends_the_run(bundle: Bundle) -> None:
    log = Log()
    log.upload(*uploads(5))
    source = Unreachable(log, [PositionBeyondLog("another log")])
    streamer = log.streamer(bundle, quick_settings(), sink=FailingSink(log.broker), open_source=source)
    with pytest.raises(PositionBeyondLog), running(streamer):
        wait_until(lambda: not _alive("streamer"))
    assert log.committed() == {}


def _alive(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())


class GivenUpOnce(MemoryTransactionalSink):
    """The group gave the member up before its first transaction."""

    commits = 0

    def commit(self, records, positions, source) -> None:  # type: ignore[no-untyped-def]
        self.commits += 1
        if self.commits == 1:
            raise MembershipLost("the group rebalanced without this member")
        super().commit(records, positions, source)


def test_a_member_that_its_group_gave_up_joins_again_and_everything_comes_out_once(bundle: Bundle) -> None:
    log = Log()
    log.upload(*uploads(20))
    process(log, log.streamer(bundle, quick_settings(max_batch_clips=2), sink=GivenUpOnce(log.broker)), 20)
    assert sorted(clip.clip_id for clip in log.scored()) == sorted(f"clip-{n}" for n in range(20))


def test_a_feature_store_that_stays_silent_is_waited_for_and_what_was_done_before_is_committed(
    bundle: Bundle, feature_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, read = threading.Event(), FeatureStore._read_local

    def silent_at_first(store: FeatureStore, *asked: Any) -> Any:
        if not answers.is_set():
            raise TimeoutError("timed out")
        return read(store, *asked)

    monkeypatch.setattr(FeatureStore, "_read_local", silent_at_first)
    (feature_root / "clip").write_bytes(encode_features(FEATURES))
    log, seen = Log(partitions=1), Everything()
    log.upload(upload("good", FEATURES), upload("late", FeatureFile(f"{feature_root.as_uri()}/clip")), *uploads(3))
    settings = quick_settings(feature_roots=(feature_root.as_uri(),))
    with running(log.streamer(bundle, settings, observer=seen)):
        wait_until(lambda: seen.counts.get(("interrupted", "feature_store_unavailable"), 0) >= 2)
        assert log.committed() == {TopicPartition(UPLOADS, 0): 1}
        answers.set()
        wait_until(lambda: log.settled() >= 5)
    assert sorted(clip.clip_id for clip in log.scored()) == ["clip-0", "clip-1", "clip-2", "good", "late"]
    assert log.dead() == []
