"""The worker of the pools: how it handles records, when it waits, and what survives its failures."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from exporters.prometheus import PrometheusObserver
from ranking.database.connection import Database
from ranking.database.tables import applied_offsets, engagement, metadata, pool_budgets, pool_clips, pool_decisions
from ranking.pools.service.publishing import DecisionPublisher
from ranking.pools.service.transaction import POOLS_VIEW, Batch
from ranking.pools.service.worker import PoolEntry, PoolWorker, read_pool_entries
from ranking.scores.generations import Generations
from ranking.views.loop import LoopOptions, ViewLoop
from schemas.codec import encode
from schemas.errors import RankingsBehind
from schemas.events import ClipScored
from schemas.modalities import Dimension, Modality
from schemas.ports import OutgoingRecord, Record, TopicPartition
from tests.ranking.examples import NOW_MS, result, scored_clip
from tests.ranking.pools.examples import POLICY, WINDOW_S
from tests.ranking.pools.service import (
    DECISIONS,
    DELETED,
    ENGAGEMENT,
    SCORED,
    Service,
    deleted,
    observed,
    scored,
)
from transport.dead_letter import dead_letter_topic, reason
from transport.memory import MemorySink, MemorySource
from transport.topics import TopicSpec

POOL_TABLES = [table for name, table in metadata.tables.items() if name.startswith(("pool_", "engagement"))]


@pytest.fixture
def service(sqlite_database: Database) -> Service:
    made = Service(sqlite_database, rankings_timeout_s=-1.0)
    made.fill()
    return made


def test_a_clip_is_rated_among_all_that_came_before(service: Service) -> None:
    random = Random(3)
    scores = [random.random() for _ in range(30)]
    for start in range(0, 30, 6):
        service.feed(*(scored(f"c{n}", scores[n], challenge_id="new") for n in range(start, start + 6)))
    for number in range(18, 30):
        known = scores[: number - number % 6 + 6]
        below = sum(score < scores[number] for score in known)
        clip = service.clip(f"c{number}")
        assert clip["percentile"] == pytest.approx(100 * (below + 0.5) / len(known))
        assert clip["tenth"] >= 0
    assert {service.clip(f"c{n}")["tenth"] for n in range(18)} == {-1}, "too few clips for percentiles"


def test_a_clip_is_rated_by_every_dimension_that_it_has(service: Service) -> None:
    plain = scored_clip("c1", modalities={Modality.SCENIC: result(score=0.99)}, fused_score=0.1)
    service.feed(plain)
    (decision,) = service.published()
    assert (decision.rule, decision.decided_by) == ("nominated", Dimension.SCENIC)
    assert decision.percentile == pytest.approx(100 * 20.5 / 21)


def choose(service: Service, generation: str) -> None:
    Generations(service.database).activate(generation, NOW_MS)


def test_a_clip_is_rated_once_whichever_generations_score_it(service: Service) -> None:
    service.feed(scored("c1", 0.9))
    service.feed(scored("c1", 0.1, generation="g2"), scored("c1", 0.1, uploaded_at_ms=NOW_MS + 5))
    assert service.rules("c1") == ["nominated"]


def test_a_clip_is_rated_by_the_active_generation_alone(service: Service) -> None:
    service.feed(scored("c1", 0.1, generation="g2"))
    assert service.rules("c1") == []
    assert service.reports.left_out == [(SCORED, "other_generation")]
    service.feed(scored("c1", 0.9))
    assert service.rules("c1") == ["nominated"]


@pytest.mark.parametrize("last", ["scored before", "scored after"])
def test_a_clip_that_is_scored_around_a_switch_is_rated_by_the_new_generation(service: Service, last: str) -> None:
    """The record of the new one was passed over before; or it comes after that of the old one."""
    with_rivals = [scored(f"ch-{n}", 0.5 * n / 20, generation="g2", dancer_id=f"other{n}") for n in range(20)]
    service.rank(service.entries(*with_rivals))
    old, new = scored("c1", 0.1), scored("c1", 0.9, generation="g2")
    if last == "scored before":
        service.feed(new)
        choose(service, "g2")
        service.feed(old)
    else:
        choose(service, "g2")
        service.feed(old)
        assert service.rules("c1") == []
        service.feed(new)
    assert service.rules("c1") == ["nominated"]
    assert service.clip("c1")["percentile"] == pytest.approx(100 * 20.5 / 21)


def test_a_generation_that_was_never_active_brings_no_clip_in(service: Service) -> None:
    service.rank(service.entries(scored("c1", 0.9)))
    entries = service.entries(scored("c1", 0.9, generation="g2"))
    service.rank(entries)
    service.apply(entries)
    assert service.rules("c1") == []
    assert service.reports.left_out == [(SCORED, "other_generation")]


def test_a_clip_uploaded_again_for_another_challenge_is_rated_there(service: Service) -> None:
    service.fill("other")
    first, again = scored("c1", 0.9), scored("c1", 0.9, challenge_id="other", uploaded_at_ms=NOW_MS + 5)
    entries = service.entries(first, observed("c1", 7), again)
    service.rank(entries)
    service.apply(entries)
    assert service.clip("c1")["challenge_id"] == "other"
    assert service.rules("c1") == ["nominated"]
    row = service.engagement()
    assert row is not None
    assert row["challenge_id"] == "other"


def test_clips_that_the_rankings_lack_are_waited_for_by_name(service: Service) -> None:
    entries = service.entries(scored("c1", 0.9), observed("c1", 5))
    offset = entries[0].record.offset + 1
    with pytest.raises(RankingsBehind, match=rf"clips\.scored\[0\]@{offset}.*dancerank rank"):
        service.apply(entries)
    assert not service.rows(pool_clips)
    assert SCORED not in {row["topic"] for row in service.rows(applied_offsets) if row["view"] == POOLS_VIEW}
    service.rank(entries)
    service.apply(entries)
    assert service.rules("c1") == ["nominated"]


def test_how_far_the_rankings_are_is_asked_again_when_reading_starts_again(service: Service) -> None:
    """The database may be a copy by then that lacks the last of what it held."""
    entries = service.entries(scored("c1", 0.9))
    at, to = entries[0].record.topic_partition, entries[0].record.offset + 1
    service.rank(entries)
    assert service.worker.ranked_to({at: to})[at] == to
    with service.database.writing() as connection:
        connection.execute(sa.update(applied_offsets).values(next_offset=to - 1))
    service.worker.positions([at])
    assert service.worker.ranked_to({at: to})[at] == to - 1


def test_what_comes_from_other_partitions_does_not_wait_for_the_rankings(service: Service) -> None:
    service.feed(scored("c1", 0.9))
    entries = service.entries(observed("c1", 30, 100), scored("c2", 0.9), observed("c2", 30, 100), deleted("c9"))
    with pytest.raises(RankingsBehind):
        service.apply(entries)
    assert service.rules("c1") == ["nominated", "promoted"]
    assert service.rules("c2") == []
    positions = service.pools.positions([entry.record.topic_partition for entry in entries])
    assert {at.topic: offset for at, offset in positions.items()} == {SCORED: 21, ENGAGEMENT: 2, DELETED: 1}
    service.rank(entries)
    service.apply(entries)
    assert service.rules("c1") == ["nominated", "promoted"]
    assert service.rules("c2") == ["nominated", "promoted"]
    assert service.aside() == []


def test_a_clip_that_the_rankings_come_to_in_time_is_rated(sqlite_database: Database) -> None:
    service = Service(sqlite_database, rankings_timeout_s=60.0)
    service.fill()
    entries = service.entries(scored("c1", 0.9))
    waiting = threading.Event()
    behind = service.worker._behind

    def watched(wanted: Any) -> str:
        found = behind(wanted)
        if found:
            waiting.set()
        return found

    service.worker._behind = watched  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        applied = pool.submit(service.apply, entries)
        assert waiting.wait(60)
        service.rank(entries)
        applied.result(10)
    assert service.rules("c1") == ["nominated"]


@pytest.mark.parametrize("topic", [ENGAGEMENT, DELETED])
def test_a_scored_clip_on_another_topic_holds_nothing_up(service: Service, topic: str) -> None:
    """No ranking will ever come to that record."""
    records = [entry.record for entry in service.entries(scored("c1", 0.9), topic=topic)]
    entries, refused = read_pool_entries(records, [SCORED])
    service.apply(entries)
    assert [refusal.record for refusal in refused] == records
    assert all(SCORED in refusal.error.message for refusal in refused)


def test_the_same_records_again_change_nothing(service: Service) -> None:
    entries = service.entries(
        observed("c1", 20, 100), scored("c1", 0.9), scored("c2", 0.1), observed("c2", 2, 10), observed("c9", 1),
        observed("c1", 1, 3, observed_at_ms=NOW_MS + 10**7), scored("c3", 0.9), deleted("c3"), observed("c3", 1),
    )  # fmt: skip
    service.rank(entries)
    service.apply(entries)
    tables = [table for table in POOL_TABLES if table.name not in ("pool_journal", "pool_counters", "pool_workers")]
    before = [service.rows(table) for table in tables]
    for again in (entries, entries[3:], list(reversed(entries))):
        service.apply(again)
        assert [service.rows(table) for table in tables] == before
    assert len(service.published()) == len(service.rows(pool_decisions))


def test_of_a_deleted_clip_no_table_of_the_pools_names_the_dancer(service: Service) -> None:
    """But for what this window's cap counts, which goes with the window."""
    dancer = "the-dancer-in-question"
    service.feed(scored("c1", 0.9, dancer_id=dancer), observed("c1", 30, 100), scored("c2", 0.1, dancer_id=dancer))
    service.feed(deleted("c1"), deleted("c2"), observed("c1", 31, 100, observed_at_ms=NOW_MS + 5))
    service.worker.round()

    def naming() -> set[str]:
        return {
            table.name
            for table in POOL_TABLES
            for row in service.rows(table)
            for value in row.values()
            if dancer in str(value) or (isinstance(value, bytes) and dancer.encode() in value)
        }

    assert naming() <= {pool_budgets.name}
    for _ in range(4):
        service.clock.advance(WINDOW_S)
        service.worker.round()
    assert naming() == set()
    assert service.engagement("c1") is None
    assert service.clip("c1")["deleted"]


def test_a_round_lets_in_who_waits_explores_and_lets_go(service: Service) -> None:
    service.fill(clips=80)
    service.feed(*(scored(f"c{n}", 0.6 + n / 100, dancer_id=f"d{n}") for n in range(12)))
    rules = {clip_id: service.rules(clip_id) for clip_id in (f"c{n}" for n in range(12))}
    assert ["queued"] in rules.values()
    service.clock.advance(WINDOW_S)
    service.worker.round()
    assert ["queued", "nominated"] in [service.rules(clip_id) for clip_id in rules]
    for _ in range(5):
        service.clock.advance(WINDOW_S)
        service.worker.round()
    assert {service.rules(clip_id)[-1] for clip_id in rules} == {"expired"}


def test_every_scored_clip_can_be_asked_for(service: Service) -> None:
    seen: list[ClipScored] = []
    worker = service.another(seen=seen.extend)
    clips = [scored("c1", 0.9), scored("c2", 0.1)]
    service.feed(clips[0], observed("c1", 1), clips[1], worker=worker)
    assert seen == clips


def test_decisions_and_exposures_are_counted(sqlite_database: Database) -> None:
    service = Service(sqlite_database)
    service.fill()
    observer = PrometheusObserver()
    publisher = DecisionPublisher(service.pools, MemorySink(service.broker), observer, DECISIONS)
    worker = PoolWorker(service.pools, POLICY, publisher.publish, observer, service.clock)
    service.feed(scored("c1", 0.9), scored("c2", 0.1), observed("c1", 30, 100), observed("c9", 3), worker=worker)
    value = observer.registry.get_sample_value
    made = "dancerank_pool_decisions_total"
    assert value(made, {"rule": "nominated", "tier": "t1"}) == 1
    assert value(made, {"rule": "promoted", "tier": "t2"}) == 1
    assert value(made, {"rule": "not-nominated", "tier": ""}) == 1
    granted = "dancerank_pool_exposures_granted_total"
    assert (value(granted, {"tier": "t1"}), value(granted, {"tier": "t2"})) == (100, 400)
    assert value("dancerank_records_produced_total", {"topic": DECISIONS}) == 3
    left_out = {"topic": ENGAGEMENT, "reason": "unknown_clip"}
    assert value("dancerank_records_skipped_total", left_out) == 1
    service.feed(deleted("c1"), worker=worker)
    assert value(made, {"rule": "deleted", "tier": ""}) == 1


def test_the_loop_dead_letters_bad_records_and_continues(sqlite_database: Database) -> None:
    service = Service(sqlite_database)
    service.fill()
    topics = [SCORED, ENGAGEMENT, DELETED]
    service.broker.ensure_topics(TopicSpec(name=name, partitions=1) for name in topics)
    service.broker.ensure_topics(TopicSpec(name=dead_letter_topic(name), partitions=1) for name in topics)
    sink = MemorySink(service.broker)
    bad = encode(observed("c1", 10**12 + 1))
    good = scored("c1", 0.9)
    service.rank([PoolEntry(Record(SCORED, 0, 0, NOW_MS, None, encode(good)), good)])
    for topic, value in [
        (SCORED, encode(good)), (ENGAGEMENT, b"\x93no"), (ENGAGEMENT, bad), (ENGAGEMENT, encode(observed("c1", 7))),
        (SCORED, None), (DELETED, b"{}"),
    ]:  # fmt: skip
        sink.send(OutgoingRecord(topic, b"key", value))
    sink.flush(1.0)
    loop = ViewLoop(
        lambda listener: MemorySource(service.broker, topics, group="pools", listener=listener),
        service.worker,
        partial(read_pool_entries, scored_topics=[SCORED]),
        sink,
        service.reports,
        service.clock,
        LoopOptions(poll_timeout_s=0.0, maintenance_interval_s=1.0),
        maintenance=service.worker.round_in_parts,
    )
    while loop.step() or not loop.caught_up:
        pass
    dead_letters = service.broker.records(dead_letter_topic(ENGAGEMENT))
    assert [record.value for record in dead_letters] == [b"\x93no", bad]
    assert {reason(record.headers)["code"] for record in dead_letters} == {"malformed_event"}
    assert [record.value for record in service.broker.records(dead_letter_topic(DELETED))] == [b"{}"]
    row = service.engagement("c1")
    assert row is not None
    assert row["likes"] == 7
    ends = {TopicPartition(SCORED, 0): 2, TopicPartition(ENGAGEMENT, 0): 3, TopicPartition(DELETED, 0): 1}
    assert service.pools.positions(ends) == ends


def test_counts_of_expired_clips_are_kept_up(service: Service) -> None:
    service.feed(scored("c1", 0.9))
    for _ in range(4):
        service.clock.advance(WINDOW_S)
        service.worker.round()
    assert service.rules("c1")[-1] == "expired"
    service.feed(observed("c1", 9, 100, observed_at_ms=NOW_MS + 5))
    assert [row["likes"] for row in service.rows(engagement)] == [9]


def test_no_more_rows_are_left_locked_than_a_turn_needs(service: Service) -> None:
    """A worker that fails within its turn lets the next one in."""

    def fails(*_: object) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        service.pools.decide(service.worker._policy, 1, Batch(NOW_MS, ["c1"]), fails)
    service.feed(scored("c1", 0.9))
    with service.database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(pool_clips)).scalar() == 1
