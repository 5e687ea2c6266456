"""Answers about the pools equal the state of a ledger in memory."""

from dataclasses import asdict, fields
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import pool_policies
from ranking.pools.bounds import wilson
from ranking.pools.policy import Caps, Exploration
from ranking.pools.service.reading import PoolReader
from ranking.pools.state import PoolEvent
from ranking.scores.store import ScoreStore
from schemas.clock import ManualClock
from schemas.errors import NotFound, NotReady, StoreRefused, StoreUnavailable
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.questions.pools import ExplainedDecision, HypotheticalClip, PooledClipAnswer
from tests.ranking.databases import UNREACHABLE
from tests.ranking.pools.examples import (
    POLICY,
    STAY_S,
    WINDOW_MS,
    engaged,
    explored,
    plain,
    policy,
    rated,
    removed,
    reviewed,
    tiers,
)
from tests.ranking.pools.rows import ADOPTED_MS, Pools

FUSED, SKELETAL = Dimension.FUSED, Dimension.SKELETAL


@pytest.fixture
def pools(any_database: Database) -> Pools:
    return Pools(any_database, POLICY)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start_ms=0)


@pytest.fixture
def reader(any_database: Database, clock: ManualClock) -> PoolReader:
    return PoolReader(any_database, clock)


def record(decision: ExplainedDecision) -> dict[str, Any]:
    """The decision without its sentence."""
    return {name: value for name, value in asdict(decision).items() if name != "sentence"}


def answer(pools: Pools, reader: PoolReader, clip_id: str = "c1") -> PooledClipAnswer:
    pools.write()
    return reader.clip(clip_id)


def test_the_answer_about_a_decision_leaves_no_field_of_it_out() -> None:
    assert {each.name for each in fields(ExplainedDecision)} == {"sentence", *PoolDecision.__struct_fields__}


def test_a_clip_in_a_tier_shows_where_it_is_what_it_was_seen_to_get_and_what_it_needs(
    pools: Pools, reader: PoolReader, clock: ManualClock
) -> None:
    pools.handle(rated(), engaged("c1", 5, 60, at_ms=20))
    clock.advance(0.03)
    found = answer(pools, reader)
    assert (found.state, found.tier, found.waiting) == ("in-tier", "t1", None)
    assert (found.dancer_id, found.challenge_id) == ("dancer-of-c1", "challenge-of-c1")
    assert (found.at_ms, found.policy_version) == (30, "p1")
    assert (found.nominated_by, found.percentile, found.granted) == (FUSED, 90.0, 100)
    assert (found.reactions, found.views) == (5, 60)
    assert found.rate is not None
    assert (found.rate.rate, found.rate.confidence) == (5 / 60, 0.95)
    assert (found.rate.low, found.rate.high) == wilson(5, 60, POLICY.z)
    assert (found.rated_at_ms, found.entered_at_ms, found.leaves_at_ms) == (0, 0, STAY_S * 1000)
    assert found.needs is not None
    assert (found.needs.least_views, found.needs.gate, found.needs.next_tier) == (100, 0.1, "t2")
    assert found.needs.sentence == (
        "judged from 100 impressions in all; to t2 if surely 10% of viewers react, or more; out if surely less than 2% "
        "react"
    )


def test_a_history_has_every_decision_in_order_with_all_of_its_record(pools: Pools, reader: PoolReader) -> None:
    pools.handle(rated(), rated("other"), engaged("c1", 30, 100, at_ms=10), engaged("c1", 5, 500, at_ms=20))
    history = answer(pools, reader).history
    made = [msgspec.structs.asdict(decision) for decision in pools.decisions if decision.clip_id == "c1"]
    assert [record(decision) for decision in history] == made
    assert [decision.rule for decision in history] == ["nominated", "promoted", "demoted"]


def test_unknown_impressions_are_not_counted(pools: Pools, reader: PoolReader) -> None:
    pools.handle(rated(), plain("unseen"), engaged("c1", 3, None, at_ms=1))
    found = answer(pools, reader)
    assert (found.reactions, found.views) == (3, None)
    assert found.rate is not None
    assert (found.rate.reactions, found.rate.views) == (3, 100)
    assert answer(pools, reader, "unseen").rate is None


def test_the_state_of_a_clip_says_what_may_become_of_it(pools: Pools, reader: PoolReader) -> None:
    small = policy(
        tiers=tiers(t1={"capacity": 200}, t2={"capacity": 500}), caps=Caps(), exploration=Exploration(share=0.5)
    )
    pools.start(small)
    pools.handle(rated("c1"), rated("c2"), plain("c3"), rated("c4"))
    pools.handle(explored("c3", at_ms=50_000), engaged("c1", 30, 100, at_ms=51_000))
    pools.handle(engaged("c3", 30, 100, at_ms=51_000), plain("c5", at_ms=52_000), removed("c4", at_ms=53_000))
    pools.handle(rated("c6"), reviewed("c6", at_ms=STAY_S * 1000), removed("never", at_ms=5))
    pools.write()
    states = {clip: reader.clip(clip).state for clip in ("c1", "c2", "c3", "c4", "c5", "c6", "never")}
    assert states == {
        "c1": "in-tier", "c2": "queued", "c3": "held", "c4": "deleted", "c5": "candidate", "c6": "gone",
        "never": "deleted",
    }  # fmt: skip
    for clip in ("c2", "c4", "c5", "c6", "never"):
        assert reader.clip(clip).needs is None
        assert reader.clip(clip).entered_at_ms is None
    assert [reader.clip(clip).leaves_at_ms for clip in ("c4", "c6", "never")] == [None] * 3


def test_what_waits_says_since_when_for_what_and_whether_there_is_room_now(
    pools: Pools, reader: PoolReader, clock: ManualClock
) -> None:
    pools.start(policy(tiers=tiers(t1={"capacity": 240}), exploration=Exploration(share=0.5)))
    pools.handle(rated("first"), rated("c1", at_ms=30))
    waiting = answer(pools, reader).waiting
    assert waiting is not None
    assert (waiting.tier, waiting.since_ms, waiting.budget, waiting.budget_left) == ("t1", 30, "t1, nominated", 20)
    assert waiting.short_now is not None
    assert (waiting.short_now.scope, waiting.short_now.left, waiting.short_now.capacity) == ("nominated", 20, 120)
    clock.advance(WINDOW_MS / 1000)
    waiting = answer(pools, reader).waiting
    assert waiting is not None
    assert waiting.short_now is None


def test_what_is_held_waits_for_the_tier_above(pools: Pools, reader: PoolReader) -> None:
    pools.start(policy(tiers=tiers(t2={"capacity": 600}), caps=Caps(dancer=0.7, challenge=0.9)))
    pools.handle(rated("a"), rated("c1"), engaged("a", 30, 100, at_ms=5), engaged("c1", 30, 100, at_ms=9))
    found = answer(pools, reader)
    assert (found.state, found.tier) == ("held", "t1")
    assert found.waiting is not None
    assert (found.waiting.tier, found.waiting.since_ms, found.waiting.budget) == ("t2", 9, "t2, promoted")
    assert found.waiting.short_now is not None
    assert (found.waiting.short_now.tier, found.waiting.short_now.scope) == ("t2", "promoted")


def test_nothing_is_waited_for_once_the_policy_has_no_higher_tier(pools: Pools, reader: PoolReader) -> None:
    pools.start(policy(tiers=tiers(t2={"capacity": 600})))
    pools.handle(rated("a"), rated("c1"), engaged("a", 30, 100, at_ms=5), engaged("c1", 30, 100, at_ms=9))
    pools.adopt(policy(version="p2", tiers=(msgspec.structs.replace(POLICY.tiers[0], gate=None),)))
    found = answer(pools, reader)
    assert (found.tier, found.waiting) == ("t1", None)
    assert found.needs is not None
    assert (found.needs.gate, found.needs.next_tier) == (None, None)
    assert [(tier.tier, tier.waiting) for tier in reader.pools().tiers] == [("t1", 0)]


def test_a_deleted_clip_is_reported_as_deleted_alone(pools: Pools, reader: PoolReader) -> None:
    pools.handle(rated(), engaged("c1", 30, 100, at_ms=10), removed(at_ms=20))
    found = answer(pools, reader)
    assert (found.state, found.tier, found.dancer_id, found.percentile, found.nominated_by) == (
        "deleted", None, None, None, None,
    )  # fmt: skip
    assert (found.reactions, found.views, found.rate) == (0, None, None)
    assert found.history[-1].sentence == "deleted: it was in t2"


def test_a_clip_whose_tier_the_policy_no_longer_has_needs_nothing(pools: Pools, reader: PoolReader) -> None:
    pools.handle(rated())
    pools.adopt(policy(version="p2", tiers=tiers(t1={"name": "first"})))
    found = answer(pools, reader)
    assert (found.tier, found.needs, found.policy_version) == ("t1", None, "p2")
    status = reader.pools()
    assert (status.retiring, status.policy_version, status.adopted_at_ms) == (1, "p2", 2 * ADOPTED_MS)
    assert [tier.clips for tier in status.tiers] == [0, 0, 0]


def test_the_pools_show_clips_and_budgets_of_the_current_window(
    pools: Pools, reader: PoolReader, clock: ManualClock
) -> None:
    events: list[PoolEvent] = [rated(f"n{n}") for n in range(9)] + [plain(f"p{n}") for n in range(5)]
    pools.handle(*events, engaged("n0", 30, 100, at_ms=10), removed("p4", at_ms=10))
    pools.round(WINDOW_MS // 2)
    clock.advance(WINDOW_MS / 2000)
    pools.write(published=3)
    status = reader.pools()
    assert (status.at_ms, status.window_start_ms, status.window_end_ms) == (WINDOW_MS // 2, 0, WINDOW_MS)
    assert (status.dancer_cap, status.challenge_cap) == (0.7, 0.9)
    assert (status.decisions, status.published) == (len(pools.decisions), 3)
    first, second, third = status.tiers
    # 700 impressions for nominated clips; of exploration's 300, two clips' by the middle of the window.
    assert (first.tier, first.clips, first.waiting, first.used, first.left) == ("t1", 8, 2, 900, 100)
    nominated, drawn = first.lanes
    assert (nominated.lane, nominated.capacity, nominated.capacity_now, nominated.used) == ("nominated", 700, 700, 700)
    assert (drawn.lane, drawn.capacity, drawn.capacity_now, drawn.used, drawn.left) == ("explored", 300, 200, 200, 0)
    assert (first.entries, first.dancer_cap, first.challenge_cap) == (0, 700, 900)
    assert (second.clips, second.used, second.entries, second.dancer_cap) == (1, 400, 2, 840)
    assert [lane.lane for lane in second.lanes] == ["promoted"]
    assert (third.clips, third.used, third.left, third.entries) == (0, 0, 2000, 2)
    assert (status.candidates, status.retiring) == (2, 0)
    clock.advance(WINDOW_MS / 1000)
    assert [tier.used for tier in reader.pools().tiers] == [0, 0, 0]


def test_entries_are_as_many_as_the_pools_then_let_in(pools: Pools, reader: PoolReader, clock: ManualClock) -> None:
    pools.start(policy(caps=Caps(), exploration=Exploration(share=0.6)))
    pools.handle(*(plain(f"p{n}") for n in range(8)))
    pools.round(WINDOW_MS - 1)
    clock.advance((WINDOW_MS - 1) / 1000)
    # Of the 1,000 impressions 600 were explored; nominated clips may have 700 now, but there are only 400.
    pools.adopt(policy(version="p2", caps=Caps()))
    pools.write()
    tier = reader.pools().tiers[0]
    pools.handle(*(rated(f"n{n}", at_ms=WINDOW_MS - 1) for n in range(9)))
    entered = sum(decision.rule == "nominated" for decision in pools.decisions)
    assert (tier.entries, tier.lanes[0].left, tier.lanes[0].entries) == (4, 700, 4)
    assert entered == tier.entries


def test_before_a_policy_is_adopted_nothing_can_be_answered(any_store: ScoreStore, reader: PoolReader) -> None:
    asked = HypotheticalClip(challenge_id="ch", percentiles={FUSED: 90})
    assert not reader.has_policy()
    for question in (reader.pools, lambda: reader.clip("c1"), lambda: reader.try_clip(asked, None)):
        with pytest.raises(NotReady, match="dancerank pools run adopts one"):
            question()


def test_a_clip_that_the_pools_never_saw_is_not_found(pools: Pools, reader: PoolReader) -> None:
    pools.write()
    assert reader.has_policy()
    with pytest.raises(NotFound, match="once it is scored") as raised:
        reader.clip("c1")
    assert raised.value.field == "clip_id"


def test_a_policy_that_cannot_be_read_is_named(pools: Pools, reader: PoolReader) -> None:
    pools.write()
    with pools.database.writing() as connection:
        connection.execute(sa.update(pool_policies).values(content=b"\xc0"))
    with pytest.raises(StoreRefused, match="policy p1"):
        reader.pools()


def test_a_database_that_does_not_answer_may_be_asked_again() -> None:
    reader = PoolReader(Database(UNREACHABLE), ManualClock())
    with pytest.raises(StoreUnavailable):
        reader.pools()
