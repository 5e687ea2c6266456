import threading
import time
from pathlib import Path

import msgspec
import pytest

from schemas.bundle import Bundle
from schemas.clock import ManualClock, SystemClock
from schemas.events import FeatureFile
from schemas.features import encode_features
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import TopicPartition
from streamer.pipeline import Streamer
from streamer.scoring import Scorer
from tests.clips import upload
from tests.streaming import (
    DEAD,
    FEATURES,
    GROUP,
    LONGER,
    SCORED,
    UPLOADS,
    Everything,
    Log,
    process,
    quick_settings,
    running,
    stall_loading,
    uploads,
)
from tests.waiting import wait_until
from transport.lag_monitor import LagMonitor, Reader
from transport.memory import MemoryOffsets, MemoryTransactionalSink


def test_every_upload_comes_out_once_and_everything_is_committed(bundle: Bundle) -> None:
    log = Log()
    log.upload(*uploads(40))
    process(log, log.streamer(bundle, quick_settings(max_in_flight_clips=8)), 40)
    assert sorted(clip.clip_id for clip in log.scored()) == sorted(f"clip-{n}" for n in range(40))
    assert log.dead() == []
    counts = dict.fromkeys((TopicPartition(UPLOADS, 0), TopicPartition(UPLOADS, 1)), 0)
    for record in log.broker.records(UPLOADS):
        counts[record.topic_partition] += 1
    assert log.committed() == {partition: count for partition, count in counts.items() if count}


def test_results_are_keyed_by_clip_and_partitioned_by_challenge(bundle: Bundle) -> None:
    log = Log(partitions=4)
    log.upload(*uploads(12))
    process(log, log.streamer(bundle, quick_settings()), 12)
    partitions: dict[str, set[int]] = {}
    for record, clip in zip(log.broker.records(SCORED), log.scored(), strict=True):
        assert record.key == clip.clip_id.encode()
        partitions.setdefault(clip.challenge_id, set()).add(record.partition)
    assert all(len(found) == 1 for found in partitions.values())


def test_two_uploads_of_one_clip_come_out_in_the_order_they_came_in(bundle: Bundle) -> None:
    log = Log()
    versions = [
        msgspec.structs.replace(upload("same", LONGER if n % 2 else FEATURES), uploaded_at_ms=n) for n in range(6)
    ]
    log.upload(*versions)
    process(log, log.streamer(bundle, quick_settings(max_batch_wait_s=0.3)), 6)
    assert [clip.uploaded_at_ms for clip in log.scored()] == list(range(6))


class Transactions(MemoryTransactionalSink):
    """Remembers how many records each transaction wrote, and the positions with them."""

    def __init__(self, log: Log) -> None:
        super().__init__(log.broker)
        self.done: list[tuple[int, dict[TopicPartition, int]]] = []

    def commit(self, records, positions, source) -> None:  # type: ignore[no-untyped-def]
        super().commit(records, positions, source)
        self.done.append((len(records), dict(positions)))


def test_every_transaction_writes_just_what_lies_before_its_positions(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, slow = Log(partitions=1), stall_loading(monkeypatch, "clip-2")
    log.upload(*uploads(9), b"no event")
    sink = Transactions(log)
    with running(log.streamer(bundle, quick_settings(max_batch_clips=2), sink=sink)):
        wait_until(lambda: log.settled() >= 2)
        time.sleep(0.3)  # all but the third could be written by now
        assert log.settled() == 2
        assert log.committed() == {TopicPartition(UPLOADS, 0): 2}
        slow.set()
        wait_until(lambda: log.settled() >= 10)
    written = 0
    for records, positions in sink.done:
        written += records
        assert positions == {TopicPartition(UPLOADS, 0): written}


def test_a_restart_continues_from_the_commit(bundle: Bundle) -> None:
    log = Log()
    log.upload(*uploads(10))
    process(log, log.streamer(bundle, quick_settings()), 10)
    log.upload(*uploads(10, first=10))
    process(log, log.streamer(bundle, quick_settings()), 20)
    assert sorted(clip.clip_id for clip in log.scored()) == sorted(f"clip-{n}" for n in range(20))


class Gate:
    """Holds inference until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        run = Scorer.run

        def held(scorer: Scorer, *work):  # type: ignore[no-untyped-def]
            self.reached.set()
            self.open.wait(60)
            run(scorer, *work)

        monkeypatch.setattr(Scorer, "run", held)


class InFlight(Observer):
    def __init__(self) -> None:
        self.most = 0

    def in_flight(self, clips: int) -> None:
        self.most = max(self.most, clips)


def test_stopping_finishes_and_commits_what_is_in_flight(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    log, gate = Log(partitions=1), Gate(monkeypatch)
    log.upload(*uploads(12))
    with running(log.streamer(bundle, quick_settings(max_batch_clips=2))) as stop:
        assert gate.reached.wait(60)
        stop.set()
        gate.open.set()
    assert log.committed() == {TopicPartition(UPLOADS, 0): 12}
    assert len(log.scored()) == 12


def test_what_is_not_finished_by_the_deadline_is_left_uncommitted(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(partitions=1)
    log.upload(*uploads(4))
    blocked = threading.Event()
    monkeypatch.setattr("streamer.loading.FeatureLoader.load", lambda *_: blocked.wait(60))
    with running(log.streamer(bundle, quick_settings(drain_timeout_s=0.1))) as stop:
        stop.set()
    blocked.set()
    assert log.committed() in ({}, {TopicPartition(UPLOADS, 0): 0})
    assert log.settled() == 0


def test_reading_pauses_while_inference_stalls_so_memory_stays_bounded(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, gate, seen = Log(), Gate(monkeypatch), InFlight()
    log.upload(*uploads(60))
    settings = quick_settings(max_in_flight_clips=10, max_batch_clips=4)
    with running(log.streamer(bundle, settings, observer=seen)):
        assert gate.reached.wait(60)
        gate.open.set()
        wait_until(lambda: log.settled() >= 60)
    assert seen.most <= 10
    assert len(log.scored()) == 60


def test_files_are_loaded_within_the_limit_of_bytes_and_all_come_out(bundle: Bundle, feature_root: Path) -> None:
    content = encode_features(FEATURES)
    clips = []
    for number in range(12):
        (feature_root / str(number)).write_bytes(content)
        clips.append(upload(f"clip-{number}", FeatureFile(f"{feature_root.as_uri()}/{number}")))
    log = Log()
    log.upload(*clips)
    # Room for two files at once, and a linger that is longer than the test.
    settings = quick_settings(
        feature_roots=(feature_root.as_uri(),), max_in_flight_bytes=2 * len(content), max_batch_wait_s=1000.0
    )
    with running(log.streamer(bundle, settings)):
        wait_until(lambda: log.settled() >= 10)  # the last two wait for company, until the end
    assert len(log.scored()) == 12


def test_a_partition_that_is_taken_away_is_finished_and_committed_first(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(partitions=2)
    log.upload(*uploads(30))
    first = log.streamer(bundle, quick_settings(max_batch_clips=4, max_in_flight_clips=8))
    second = log.streamer(bundle, quick_settings(max_batch_clips=4, max_in_flight_clips=8))
    with running(first), running(second):
        wait_until(lambda: log.settled() >= 30)
        log.upload(*uploads(30, first=30))
        wait_until(lambda: log.settled() >= 60)
    assert sorted(clip.clip_id for clip in log.scored()) == sorted(f"clip-{n}" for n in range(60))


def test_results_of_a_partition_that_was_lost_meanwhile_are_not_written(bundle: Bundle) -> None:
    log = Log(partitions=1)
    log.upload(*uploads(3))
    streamer = log.streamer(bundle, quick_settings())
    streamer._read_uploads()  # takes on the partition
    streamer._read_uploads()
    streamer._tracker.forget([TopicPartition(UPLOADS, 0)])
    streamer._drain(float("inf"))
    streamer._commit()
    streamer.close()
    assert log.settled() == 0
    assert streamer._prefetcher.clips == 0


def test_everything_that_happens_is_reported(bundle: Bundle) -> None:
    log, seen = Log(), Everything()
    log.upload(*uploads(6), b"no event")
    streamer = log.streamer(bundle, quick_settings(), observer=seen)
    with running(streamer):
        wait_until(lambda: log.settled() >= 7)
        monitor = LagMonitor(
            MemoryOffsets(log.broker), [Reader([UPLOADS], GROUP, streamer.progress)], seen, SystemClock()
        )
        wait_until(lambda: monitor.measure() or [lag[1:] for lag in seen.lags[-1:]] == [(0, 0.0)])
    counts = seen.counts
    assert counts["consumed", UPLOADS] == 7
    assert (counts["produced", SCORED], counts["produced", DEAD]) == (6, 1)
    assert counts["dead", UPLOADS, "malformed_event"] == 1
    assert [counts[stage, None] for stage in ("load", "wait", "total")] == [6, 6, 6]
    batches = len(seen.steps)
    assert sum(clips for clips, _, _ in seen.steps) == 6
    assert counts["fusion", None] == batches
    assert counts["inference", Modality.SKELETAL] == batches
    assert 1 <= counts["inference", Modality.SCENIC] <= batches
    assert counts["publish", None] >= 1
    assert counts["provider", Modality.FACIAL, "CPUExecutionProvider"] == 1
    assert {partition.topic for partition, _, _ in seen.lags} == {UPLOADS}


def test_uploads_that_were_read_and_are_not_committed_wait_and_their_age_is_that_of_the_last_one_read(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, seen = Log(partitions=1), Everything()
    log.upload(*uploads(2))
    may_go_on = stall_loading(monkeypatch)
    streamer = log.streamer(bundle, quick_settings(), observer=seen)
    clock = ManualClock()
    monitor = LagMonitor(MemoryOffsets(log.broker), [Reader([UPLOADS], GROUP, streamer.progress)], seen, clock)
    with running(streamer):
        wait_until(lambda: seen.counts.get(("consumed", UPLOADS)) == 2)
        read_ms = log.broker.records(UPLOADS)[-1].timestamp_ms
        clock.advance((read_ms - clock.now_ms()) / 1000 + 60)
        monitor.measure()
        assert seen.lags == [(TopicPartition(UPLOADS, 0), 2, pytest.approx(60.0, abs=0.01))]
        may_go_on.set()
        wait_until(lambda: monitor.measure() or seen.lags[-1][1:] == (0, 0.0))


def test_a_streamer_that_was_closed_can_be_closed_again(bundle: Bundle) -> None:
    streamer: Streamer = Log().streamer(bundle, quick_settings())
    streamer.close()
    streamer.close()


def test_an_upload_stamped_in_microseconds_is_dead_lettered_with_the_unit_and_the_right_one_is_scored(
    bundle: Bundle,
) -> None:
    log = Log()
    now_ms = SystemClock().now_ms()
    right = msgspec.structs.replace(upload("c", FEATURES), uploaded_at_ms=now_ms)
    wrong = [
        msgspec.structs.replace(right, dancer_id="wrong", uploaded_at_ms=at_ms)
        for at_ms in (now_ms * 1000, now_ms // 1000, now_ms + 2 * 86_400_000)
    ]
    log.upload(*wrong, right)
    process(log, log.streamer(bundle, quick_settings()), 4)
    assert [clip.dancer_id for clip in log.scored()] == [right.dancer_id]
    units = ("looks like microseconds", "looks like seconds", "is more than 1 d ahead")
    for headers, unit in zip(log.dead(), units, strict=True):
        assert (headers["code"], headers["field"]) == ("malformed_event", "uploaded_at_ms")
        assert unit in headers["message"]
