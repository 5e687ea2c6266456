"""Each rule of the state machine, with the reason that its decision gives. The policy is that of ``examples``."""

from typing import Any

import pytest

from ranking.pools.bounds import wilson
from ranking.pools.ledger import PoolLedger
from ranking.pools.machine import transition
from ranking.pools.policy import Caps, Exploration
from ranking.pools.state import NOTHING, Budget, Cohort
from schemas.modalities import Dimension
from schemas.pools import Lane, Limit
from tests.ranking.pools.examples import (
    POLICY,
    WINDOW_MS,
    engaged,
    explored,
    in_tier_2,
    known,
    only,
    plain,
    policy,
    rated,
    reviewed,
    tiers,
)

LATE = WINDOW_MS - 1


@pytest.fixture
def ledger() -> PoolLedger:
    return PoolLedger(POLICY)


# Nomination


def test_a_clip_is_nominated_by_its_fused_score(ledger: PoolLedger) -> None:
    decision = only(ledger.handle(rated(percentiles={Dimension.FUSED: 80.0, Dimension.FACIAL: 100.0}, at_ms=7)))
    assert (decision.number, decision.rule, decision.previous_tier, decision.tier) == (0, "nominated", None, "t1")
    assert (decision.decided_by, decision.percentile, decision.limit) == (Dimension.FUSED, 80.0, 80.0)
    assert (decision.exposures, decision.budget, decision.budget_left) == (100, None, 700 - 100)
    assert (decision.policy_version, decision.decided_at_ms, decision.bound) == ("p1", 7, None)


@pytest.mark.parametrize("dimension", [Dimension.SKELETAL, Dimension.SCENIC])
def test_one_outstanding_modality_is_enough(ledger: PoolLedger, dimension: Dimension) -> None:
    percentiles = dict.fromkeys(Dimension, 1.0) | {dimension: 95.0}
    decision = only(ledger.handle(rated(percentiles=percentiles)))
    assert (decision.rule, decision.decided_by, decision.percentile) == ("nominated", dimension, 95.0)


def test_the_modality_furthest_above_its_threshold_nominates(ledger: PoolLedger) -> None:
    percentiles = {Dimension.FUSED: 84.0, Dimension.SKELETAL: 98.0, Dimension.SCENIC: 96.0}
    decision = only(ledger.handle(rated(percentiles=percentiles)))
    assert (decision.decided_by, decision.limit) == (Dimension.SKELETAL, 90.0)
    assert known(ledger).standing == pytest.approx(0.8)


def test_a_missing_modality_neither_nominates_nor_harms(ledger: PoolLedger) -> None:
    decision = only(ledger.handle(rated(percentiles={Dimension.SCENIC: 99.0})))
    assert (decision.rule, decision.decided_by) == ("nominated", Dimension.SCENIC)
    assert known(ledger).cohort == Cohort("challenge-of-c1", -1)


def test_below_every_threshold_a_clip_is_not_nominated(ledger: PoolLedger) -> None:
    decision = only(ledger.handle(rated(percentiles={Dimension.FUSED: 79.9, Dimension.SKELETAL: 89.9})))
    assert (decision.rule, decision.tier, decision.exposures) == ("not-nominated", None, 0)
    assert (decision.decided_by, decision.percentile, decision.limit) == (None, 79.9, 80.0)
    assert known(ledger).is_candidate
    assert known(ledger).cohort == Cohort("challenge-of-c1", 7)


def test_in_a_challenge_too_small_for_percentiles_no_clip_is_nominated(ledger: PoolLedger) -> None:
    decision = only(ledger.handle(rated(challenge_clips=19)))
    assert (decision.rule, decision.percentile, decision.limit) == ("not-nominated", None, None)
    assert known(ledger).cohort == Cohort("challenge-of-c1", -1)
    assert only(ledger.handle(rated("c2", challenge_clips=20))).rule == "nominated"


@pytest.mark.parametrize(("percentile", "decile"), [(0.0, 0), (9.99, 0), (10.0, 1), (99.9, 9), (100.0, 9)])
def test_cohorts_are_deciles_of_a_challenge(ledger: PoolLedger, percentile: float, decile: int) -> None:
    ledger.handle(rated(percentiles={Dimension.FUSED: percentile}))
    assert known(ledger).cohort.decile == decile


def test_a_clip_rated_again_changes_nothing(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    assert transition(POLICY, ledger, rated(dancer_id="other", at_ms=5)) == NOTHING


# Budgets


def test_a_nominated_clip_queues_when_its_lane_is_full_and_is_reported_once(ledger: PoolLedger) -> None:
    for n in range(7):  # exploration keeps 300 of 1,000
        ledger.handle(rated(f"c{n}"))
    decision = only(ledger.handle(rated("late")))
    assert (decision.rule, decision.tier, decision.budget, decision.budget_left) == ("queued", None, "t1, nominated", 0)
    assert transition(POLICY, ledger, reviewed("late", at_ms=LATE)) == NOTHING
    decision = only(ledger.handle(reviewed("late", at_ms=WINDOW_MS)))
    assert (decision.number, decision.rule, decision.tier, decision.limit) == (1, "nominated", "t1", 80.0)


def test_a_window_ends_just_before_the_next_begins(ledger: PoolLedger) -> None:
    for n in range(8):
        ledger.handle(rated(f"c{n}", at_ms=LATE))
    assert ledger.used(Budget("t1", 0, Lane.NOMINATED)) == 700
    assert ledger.handle(reviewed("c7", at_ms=LATE)) == ()
    ledger.handle(reviewed("c7", at_ms=WINDOW_MS))
    assert ledger.used(Budget("t1", WINDOW_MS, Lane.NOMINATED)) == 100


@pytest.mark.parametrize(
    ("same", "budget"),
    [({"dancer_id": "d"}, "t1, dancer"), ({"challenge_id": "x"}, "t1, challenge")],
)
def test_caps_hold_for_a_dancer_and_for_a_challenge(same: dict[str, Any], budget: str) -> None:
    ledger = PoolLedger(policy(tiers=tiers(t3={"capacity": 3000}), caps=Caps(dancer=0.49, challenge=0.49)))
    rules = [only(ledger.handle(rated(f"c{n}", **same))) for n in range(5)]
    assert [decision.rule for decision in rules] == ["nominated"] * 4 + ["queued"]
    assert (rules[-1].budget, rules[-1].budget_left) == (budget, 90)
    assert only(ledger.handle(rated("other"))).rule == "nominated"


def test_a_share_that_grows_within_a_window_does_not_let_the_tier_overspend(ledger: PoolLedger) -> None:
    for n in range(7):
        ledger.handle(rated(f"c{n}"))
    ledger.adopt(policy(version="p2", exploration=Exploration(share=0.9)))
    for n in range(9):
        ledger.handle(plain(f"e{n}"))
        ledger.handle(explored(f"e{n}", at_ms=LATE))
    assert ledger.used(Budget("t1", 0, Limit.TIER)) == 1000
    assert ledger.used(Budget("t1", 0, Lane.EXPLORED)) == 300


def test_a_capacity_lowered_within_a_window_is_not_exceeded_further(ledger: PoolLedger) -> None:
    for n in range(7):
        ledger.handle(rated(f"c{n}"))
    ledger.adopt(policy(version="p2", tiers=tiers(t1={"capacity": 500})))
    decision = only(ledger.handle(rated("late")))
    assert (decision.rule, decision.budget_left) == ("queued", 0)


# Judgement


def test_a_clip_is_promoted_when_the_lower_bound_of_its_rate_reaches_the_gate(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    assert wilson(15, 100, POLICY.z).low > 0.1 > wilson(14, 100, POLICY.z).low
    assert ledger.handle(engaged(reactions=14, views=100, at_ms=10)) == ()
    decision = only(ledger.handle(engaged(reactions=15, views=100, at_ms=20)))
    assert (decision.rule, decision.previous_tier, decision.tier) == ("promoted", "t1", "t2")
    assert (decision.bound, decision.limit) == (wilson(15, 100, POLICY.z).low, 0.1)
    assert (decision.reactions, decision.views, decision.exposures) == (15, 100, 400)
    assert (decision.budget_left, decision.decided_by) == (800, Dimension.FUSED)
    assert (known(ledger).granted, known(ledger).entered_at_ms) == (500, 20)


def test_no_clip_is_judged_before_the_least_views(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    assert ledger.handle(engaged(reactions=99, views=99, at_ms=10)) == ()
    assert ledger.handle(engaged(reactions=0, views=99, at_ms=20)) == ()


def test_a_clip_that_earned_a_full_tier_is_held_and_reported_once(ledger: PoolLedger) -> None:
    for n in range(4):
        in_tier_2(ledger, f"c{n}") if n < 3 else ledger.handle(rated(f"c{n}"))
    decision = only(ledger.handle(engaged("c3", 30, 100, at_ms=20)))
    assert (decision.rule, decision.previous_tier, decision.tier) == ("held", "t1", "t1")
    assert (decision.budget, decision.budget_left, decision.limit) == ("t2, promoted", 0, 0.1)
    assert decision.bound == wilson(30, 100, POLICY.z).low
    assert ledger.handle(engaged("c3", 31, 101, at_ms=30)) == ()
    assert transition(POLICY, ledger, reviewed("c3", at_ms=LATE)) == NOTHING
    decision = only(ledger.handle(reviewed("c3", at_ms=WINDOW_MS)))
    assert (decision.rule, decision.tier, decision.bound) == ("promoted", "t2", wilson(31, 101, POLICY.z).low)


def test_a_held_clip_whose_bound_falls_stays_and_is_reported(ledger: PoolLedger) -> None:
    for n in range(4):
        in_tier_2(ledger, f"c{n}") if n < 3 else ledger.handle(rated(f"c{n}"))
    ledger.handle(engaged("c3", 30, 100, at_ms=20))
    decision = only(ledger.handle(engaged("c3", 30, 400, at_ms=30)))
    assert (decision.rule, decision.tier, decision.limit) == ("kept", "t1", 0.1)
    assert decision.bound == wilson(30, 400, POLICY.z).low
    assert known(ledger).wants is None
    assert transition(POLICY, ledger, reviewed("c3", at_ms=WINDOW_MS)) == NOTHING


def test_a_clip_is_demoted_when_the_upper_bound_of_its_rate_is_below_the_floor(ledger: PoolLedger) -> None:
    in_tier_2(ledger)
    assert wilson(30, 410, POLICY.z).high < 0.1 < wilson(33, 410, POLICY.z).high
    assert ledger.handle(engaged(reactions=33, views=410, at_ms=20)) == ()
    decision = only(ledger.handle(engaged(reactions=30, views=410, at_ms=30)))
    assert (decision.rule, decision.previous_tier, decision.tier) == ("demoted", "t2", "t1")
    assert (decision.bound, decision.limit) == (wilson(30, 410, POLICY.z).high, 0.1)
    assert decision.exposures == 0
    assert (known(ledger).granted, known(ledger).entered_at_ms) == (500, 30)


def test_a_demoted_clip_may_earn_its_way_up_again_and_pays_again(ledger: PoolLedger) -> None:
    in_tier_2(ledger)
    ledger.handle(engaged(reactions=30, views=410, at_ms=30))
    decision = only(ledger.handle(engaged(reactions=200, views=1000, at_ms=40)))
    assert (decision.rule, decision.tier, decision.number) == ("promoted", "t2", 3)
    assert known(ledger).granted == 100 + 400 + 400
    assert ledger.used(Budget("t2", 0, Lane.PROMOTED)) == 800


def test_below_the_first_floor_a_clip_leaves_for_good(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    decision = only(ledger.handle(engaged(reactions=0, views=150, at_ms=10)))
    assert (decision.rule, decision.previous_tier, decision.tier, decision.limit) == ("demoted", "t1", None, 0.02)
    assert known(ledger).gone
    assert ledger.handle(engaged(reactions=150, views=150, at_ms=20)) == ()
    assert transition(POLICY, ledger, explored(at_ms=LATE)) == NOTHING


def test_no_clip_is_promoted_from_the_last_tier(ledger: PoolLedger) -> None:
    in_tier_2(ledger)
    assert only(ledger.handle(engaged(reactions=200, views=500, at_ms=20))).tier == "t3"
    assert ledger.handle(engaged(reactions=2000, views=2000, at_ms=30)) == ()
    assert only(ledger.handle(engaged(reactions=100, views=2000, at_ms=40))).tier == "t2"
