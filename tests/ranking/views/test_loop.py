import threading
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import pytest

from ranking.scores.store import ScoreStore
from ranking.views.log_records import LogEntry
from ranking.views.loop import LoopOptions, LoopThread, StoredPositions, ViewLoop
from schemas.codec import encode
from schemas.errors import (
    GenerationMismatch,
    RecordRefused,
    StoreUnavailable,
    TransportError,
)
from schemas.modalities import Dimension
from schemas.ports import OutgoingRecord, Refusal, ScoredRecord, TopicPartition, View
from tests.ranking.examples import TOPIC, at, routine, scored_clip
from tests.ranking.views.loops import DEAD, READ, SETTINGS, FailingView, Setting, drain, index_view
from transport.memory import MemorySink, MemorySource


@pytest.mark.parametrize("kind", ["store", "index"])
def test_the_same_loop_feeds_both_views(setting: Setting, store: ScoreStore, kind: str) -> None:
    view: View = store if kind == "store" else index_view()
    setting.send(*[scored_clip(f"c{n}") for n in range(7)])
    loop = setting.loop(view, group="g" if kind == "store" else None)
    assert drain(loop) == 7
    assert sum(view.positions([at(0), at(1)]).values()) == 7
    assert setting.reports.read == 7
    assert "apply" in setting.reports.stages


def test_poison_reaches_the_dead_letters_and_its_neighbours_the_view(setting: Setting, store: ScoreStore) -> None:
    broken = encode(scored_clip("poison")).replace(b"fused_score", b"fused_scorn")
    setting.send(
        scored_clip("a"), b"\xc1garbage", scored_clip("b"), broken, b'{"schema": "clip-scored/9"}', scored_clip("c")
    )
    loop = setting.loop(store)
    drain(loop)
    assert [e.clip_id for e in store.ranking("ch", Dimension.FUSED, "g1", order="top", k=9).entries] == ["a", "b", "c"]
    dead_letters = setting.dead_letters()
    assert [(dead_record["offset"], dead_record["code"]) for dead_record in dead_letters] == [
        ("1", "malformed_event"),
        ("3", "malformed_event"),
        ("4", "unknown_schema_version"),
    ]
    assert dead_letters[1]["clip_id"] == "poison"
    assert [code for _, code in setting.reports.dead] == [
        "malformed_event",
        "malformed_event",
        "unknown_schema_version",
    ]
    assert sum(setting.broker.committed("ranking").values()) == 6


@pytest.mark.parametrize("kind", ["store", "index"])
def test_attention_of_a_modality_without_a_result_is_dead_lettered_and_its_neighbours_enter_the_view(
    setting: Setting, store: ScoreStore, kind: str
) -> None:
    fields = msgspec.msgpack.decode(encode(routine("odd")))
    fields["temporal_attention"]["modality"] = "scenic"
    setting.send(routine("a"), msgspec.msgpack.encode(fields), routine("b", seed=1))
    index = index_view()
    drain(setting.loop(store if kind == "store" else index))
    assert setting.reports.dead == [(TOPIC, "malformed_event")]
    assert [(dead["clip_id"], dead["code"]) for dead in setting.dead_letters()] == [("odd", "malformed_event")]
    assert (store.generations() if kind == "store" else {"g1": index.clips()}) == {"g1": 2}


def test_a_replica_skips_what_it_cannot_read_and_leaves_the_dead_letter_to_the_shared_view(setting: Setting) -> None:
    setting.send(scored_clip("a"), b"\xc1garbage", scored_clip("b"))
    view = index_view()
    settings = LoopOptions(poll_timeout_s=0.0, commits=False)
    open_source = partial(setting.open_source, group=None)
    drain(ViewLoop(open_source, view, READ, None, setting.reports, setting.clock, settings))
    assert view.clips() == 2
    assert sum(view.positions([at(0), at(1)]).values()) == 3
    assert setting.reports.left_out == [(TOPIC, "malformed_event")]
    assert setting.dead_letters() == []


def test_a_clip_that_a_view_refuses_is_dead_lettered(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.send(scored_clip("a"), scored_clip("wide"), scored_clip("b"))
    view = index_view()
    apply = view.apply

    def refusing(entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int]) -> list[Refusal]:
        refused = [e for e in entries if isinstance(e, ScoredRecord) and e.clip.clip_id == "wide"]
        apply([entry for entry in entries if entry not in refused], positions)
        return [Refusal(entry.record, GenerationMismatch("too wide")) for entry in refused]

    monkeypatch.setattr(view, "apply", refusing)
    drain(setting.loop(view, group=None))
    assert view.clips() == 2
    assert [(dead_record["code"], dead_record["clip_id"]) for dead_record in setting.dead_letters()] == [
        ("generation_mismatch", "wide")
    ]


def test_a_batch_of_nothing_but_poison_is_passed_for_good(setting: Setting, store: ScoreStore) -> None:
    setting.send(b"x", b"y")
    drain(setting.loop(store))
    assert sum(store.positions([at(0), at(1)]).values()) == 2
    again = setting.loop(store, group="another")
    assert drain(again) == 0
    assert len(setting.dead_letters()) == 2


def test_a_loop_continues_from_the_views_positions_whatever_kafka_has_committed(
    setting: Setting, store: ScoreStore
) -> None:
    setting.send(scored_clip("a"), scored_clip("b"))
    drain(setting.loop(store, group="first"))
    setting.send(scored_clip("c"))
    assert drain(setting.loop(store, group="never committed")) == 1
    assert store.generations() == {"g1": 3}


def test_the_lag_is_reported_in_records_and_seconds(setting: Setting, store: ScoreStore) -> None:
    view: View = store
    loop = setting.loop(view)
    drain(loop)
    setting.send(*[scored_clip(f"c{n}") for n in range(600)])
    setting.clock.advance(12)
    loop.step()
    monitor = setting.monitor(loop)
    busy = next(partition for partition, (records, _) in setting.reports.lags.items() if records)
    assert setting.reports.lags[busy] == (100, 12.0)
    loop.step()
    monitor.measure()
    assert setting.reports.lags[busy] == (0, 0.0)


def test_records_that_were_read_and_that_the_view_does_not_take_wait(setting: Setting, store: ScoreStore) -> None:
    loop = setting.loop(FailingView(store, 100, StoreUnavailable("the database does not answer")))
    drain(loop)
    setting.send(*[scored_clip(f"c{n}") for n in range(6)])
    monitor = setting.monitor(loop)
    with pytest.raises(StoreUnavailable):
        loop.step()
    monitor.measure()
    assert sum(records for records, _ in setting.reports.lags.values()) == 6


def test_a_partition_given_up_no_longer_shows_a_lag(setting: Setting, store: ScoreStore) -> None:
    loop = setting.loop(store)
    drain(loop)
    monitor = setting.monitor(loop)
    assert set(setting.reports.lags) == {at(0), at(1)}
    other = setting.loop(store)
    for _ in range(4):
        other.step()
        loop.step()
    monitor.measure()
    assert len(setting.reports.lags) == 1


def test_the_loop_has_caught_up_once_it_holds_what_was_there_at_the_start(setting: Setting) -> None:
    setting.send(*[scored_clip(f"c{n}") for n in range(501)])
    loop = setting.loop(index_view(), group=None)
    assert not loop.caught_up
    loop.step()
    assert not loop.caught_up
    loop.step()
    assert loop.caught_up
    setting.send(scored_clip("later"))
    assert loop.caught_up


def test_an_empty_log_is_caught_up_with_at_once(setting: Setting) -> None:
    loop = setting.loop(index_view(), group=None)
    loop.step()
    assert loop.caught_up


class SmallTopic(MemorySink):
    """Takes records of up to 1000 bytes."""

    def send(self, record: OutgoingRecord) -> None:
        if len(record.key or b"") + len(record.value or b"") > 1000:
            raise RecordRefused("too large")
        super().send(record)


def test_poison_too_large_for_the_dead_letters_is_dead_lettered_without_its_value(
    setting: Setting, store: ScoreStore
) -> None:
    setting.send(scored_clip("a"), b"\xc1" * 1001, scored_clip("b"))
    drain(
        ViewLoop(setting.open_source, store, READ, SmallTopic(setting.broker), setting.reports, setting.clock, SETTINGS)
    )
    (dead_record,) = setting.broker.records(DEAD)
    assert (dead_record.value, setting.dead_letters()[0]["offset"]) == (b"", "1")
    assert store.generations() == {"g1": 2}
    assert sum(store.positions([at(0), at(1)]).values()) == 3


def test_a_tombstone_is_skipped_and_passed_and_is_not_dead_lettered(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"), None, scored_clip("b"), None)
    assert drain(setting.loop(store)) == 4
    assert setting.reports.left_out == [(TOPIC, "tombstone")] * 2
    assert setting.dead_letters() == []
    assert store.generations() == {"g1": 2}
    assert sum(store.positions([at(0), at(1)]).values()) == 4


def test_snapshots_are_taken_on_the_interval_and_at_the_end(setting: Setting) -> None:
    stop, saves = threading.Event(), []
    view = index_view()

    class StoppingSource(MemorySource):
        polls = 0

        def poll(self, *, max_records: int, timeout_s: float) -> Sequence[object]:  # type: ignore[override]
            self.polls += 1
            setting.clock.advance(25)
            if self.polls == 7:
                stop.set()
            return super().poll(max_records=max_records, timeout_s=timeout_s)

    source = StoppingSource(setting.broker, [TOPIC], group=None, listener=StoredPositions(view))
    settings = LoopOptions(commits=False, poll_timeout_s=0, maintenance_interval_s=60)
    ViewLoop(
        lambda _: source,
        view,
        READ,
        MemorySink(setting.broker),
        setting.reports,
        setting.clock,
        settings,
        maintenance=lambda: saves.append(source.polls),
    ).run(stop)
    assert saves == [3, 6, 7]
    with pytest.raises(TransportError, match="closed"):
        source.poll(max_records=1, timeout_s=0)


def test_a_stopped_thread_finishes_its_batch_and_a_failed_one_says_why(setting: Setting, store: ScoreStore) -> None:
    setting.send(scored_clip("a"))
    thread = LoopThread(setting.loop(store), name="sql")
    thread.start()
    while not thread.loop.caught_up:
        thread._thread.join(0.01)
    assert thread.stop(60)
    assert (thread.failure, store.generations()) == (None, {"g1": 1})

    setting.send(scored_clip("b"))
    failing = LoopThread(setting.loop(FailingView(store, 99, GenerationMismatch("no")), group="other"), name="sql")
    failing.start()
    failing._thread.join()
    assert isinstance(failing.failure, GenerationMismatch)
