"""What a round does, in which order, and how exploration spends its share."""

from collections import Counter
from random import Random
from typing import Literal

import pytest

from ranking.pools.budgets import lane_capacity
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Caps, Exploration, Nomination, Policy, Tier
from ranking.pools.rounds import round_events
from ranking.pools.state import Budget, Explored, Reviewed
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import Lane, Limit
from tests.ranking.pools.examples import POLICY, STAY_S, WINDOW_MS, engaged, plain, policy, rated, removed, tiers

LATE = WINDOW_MS - 1


def ledger_of(*, plain_clips: int = 0, under: Policy = POLICY) -> PoolLedger:
    ledger = PoolLedger(under)
    for n in range(plain_clips):
        ledger.handle(plain(f"p{n}"))
    return ledger


def entered(decisions: list[PoolDecision]) -> list[str]:
    return [decision.clip_id for decision in decisions if decision.exposures]


# Those that wait


def test_queued_clips_enter_by_how_far_they_stand_above_their_threshold() -> None:
    ledger = ledger_of()
    for n in range(7):
        ledger.handle(rated(f"early{n}"))
    for clip_id, dimension, percentile in (
        ("b", Dimension.FUSED, 84.0),  # a fifth of the way to the top
        ("a", Dimension.FUSED, 84.0),
        ("c", Dimension.SKELETAL, 99.0),  # 90 %
        ("d", Dimension.FUSED, 90.0),  # half
    ):
        ledger.handle(rated(clip_id, at_ms=5, percentiles={dimension: percentile}))
    ledger.handle(rated("older", at_ms=4, percentiles={Dimension.FUSED: 84.0}))
    assert entered(ledger.round(LATE)) == []
    assert entered(ledger.round(WINDOW_MS)) == ["c", "d", "older", "a", "b"]


def test_held_clips_enter_by_their_lower_bound() -> None:
    ledger = ledger_of()
    for n in range(7):
        ledger.handle(rated(f"c{n}"))
    for n, reactions in enumerate((30, 30, 30, 20, 50, 40, 35)):
        ledger.handle(engaged(f"c{n}", reactions, 100, at_ms=10))
    assert entered(ledger.round(WINDOW_MS)) == ["c4", "c5", "c6"]
    assert entered(ledger.round(2 * WINDOW_MS)) == ["c3"]


def test_a_capped_dancer_does_not_keep_others_waiting() -> None:
    ledger = ledger_of(under=policy(tiers=tiers(t3={"capacity": 3000}), caps=Caps(dancer=0.4)))
    for n in range(7):
        ledger.handle(rated(f"early{n}"))
    for n in range(5):
        ledger.handle(rated(f"hers{n}", dancer_id="d", percentiles={Dimension.FUSED: 99.0}))
    ledger.handle(rated("other"))
    assert entered(ledger.round(WINDOW_MS)) == ["hers0", "hers1", "hers2", "hers3", "other"]


# Those whose time is over


def test_clips_leave_before_others_are_let_in() -> None:
    ledger = ledger_of(under=policy(exploration=Exploration(share=0.0)))
    for n in range(11):
        ledger.handle(rated(f"c{n}", at_ms=n))
    decisions = ledger.round(STAY_S * 1000 + 3)
    assert [d.rule for d in decisions] == ["expired"] * 4 + ["nominated"]
    assert entered(decisions) == ["c10"]


def test_listing_due_clips_loses_none() -> None:
    ledger = ledger_of(plain_clips=5)
    end_ms = STAY_S * 1000
    first = {clip.clip_id for clip in ledger.due(end_ms)}
    assert first == {clip.clip_id for clip in ledger.due(end_ms)} == {f"p{n}" for n in range(5)}
    next(iter(round_events(POLICY, ledger, end_ms)))  # a round that is never finished
    ledger.handle(removed("p0", at_ms=end_ms))
    assert [d.rule for d in ledger.round(end_ms)] == ["expired"] * 4
    assert ledger.due(10**12) == []


def test_who_moved_on_is_not_due_at_the_old_time() -> None:
    ledger = ledger_of()
    ledger.handle(rated())
    ledger.handle(engaged(reactions=30, views=100, at_ms=1000))
    assert ledger.due(STAY_S * 1000) == []
    assert [clip.clip_id for clip in ledger.due(STAY_S * 1000 + 1000)] == ["c1"]


# Exploration


def test_exploration_spends_its_share_evenly_and_wholly() -> None:
    ledger = ledger_of(plain_clips=50)
    used = []
    for at_ms in range(0, WINDOW_MS, 1000):
        ledger.round(at_ms)
        used.append(ledger.used(Budget("t1", 0, Lane.EXPLORED)))
    assert [used.index(views) for views in (100, 200, 300)] == [17, 50, 84]  # a sixth, three and five of the window
    assert used[-1] == POLICY.explored_capacity() == 300
    assert ledger.used(Budget("t1", 0, Lane.NOMINATED)) == 0


@pytest.mark.parametrize("exposures", [1, 3, 100, 299, 300])
def test_a_share_of_at_least_one_clip_is_never_out_of_reach(exposures: int) -> None:
    under = policy(tiers=(Tier(name="t1", exposures=exposures, capacity=1000, least_views=1, stay_s=9),))
    budget = Budget("t1", WINDOW_MS, Lane.EXPLORED)
    allowed = [lane_capacity(under, budget, at_ms) for at_ms in range(WINDOW_MS, 2 * WINDOW_MS, 7)]
    assert allowed == sorted(allowed)
    assert allowed[0] < max(exposures, 2)
    assert allowed[-1] == lane_capacity(under, budget, 9 * WINDOW_MS) == 300 // exposures * exposures
    assert lane_capacity(under, budget, 0) == 0
    assert {views % exposures for views in allowed} == {0}


def test_lanes_and_tiers_that_a_policy_lacks_have_no_budget() -> None:
    for budget in (Budget("t2", 0, Lane.NOMINATED), Budget("t2", 0, Lane.EXPLORED), Budget("t1", 0, Lane.PROMOTED)):
        assert lane_capacity(POLICY, budget, LATE) == 0
    assert lane_capacity(POLICY, Budget("old", 0, Limit.TIER), LATE) == 0


def test_explored_clips_never_wait_and_never_take_what_is_kept_for_nominated_ones() -> None:
    ledger = ledger_of(plain_clips=50)
    decisions = ledger.round(LATE)
    assert [d.rule for d in decisions] == ["explored"] * 3
    assert not ledger.waiting()
    assert ledger.round(LATE) == []
    assert lane_capacity(POLICY, Budget("t1", 0, Lane.NOMINATED), LATE) == 700


def test_exploration_respects_caps_and_passes_on_to_others() -> None:
    ledger = ledger_of(under=policy(tiers=tiers(t2={"capacity": 4000}, t3={"capacity": 10_000}), caps=Caps(dancer=0.1)))
    for n in range(20):
        ledger.handle(plain(f"p{n}", dancer_id=f"d{n % 2}"))
    assert len(entered(ledger.round(LATE))) == 2


def test_without_a_share_nothing_is_explored() -> None:
    ledger = ledger_of(plain_clips=5, under=policy(exploration=Exploration(share=0.0)))
    assert ledger.round(LATE) == []


def drawn(method: Literal["thompson", "uniform"], windows: int = 300) -> Counter[str]:
    """How often a cohort that did well, of one that did badly and of one never shown were the first drawn."""
    found: Counter[str] = Counter()
    ledger = PoolLedger(policy(exploration=Exploration(share=0.3, method=method, prior_views=9.0)))
    for challenge, reactions, views in (("good", 300, 1000), ("bad", 10, 1000), ("new", 0, 0)):
        ledger.handle(plain(f"seen-{challenge}", challenge_id=challenge))
        ledger.handle(engaged(f"seen-{challenge}", reactions, views, at_ms=1))
        ledger.handle(plain(challenge, challenge_id=challenge))
    for window in range(windows):
        events = round_events(ledger.policy, ledger, window * WINDOW_MS + LATE)  # of which nothing is applied
        first = next(event for event in events if isinstance(event, Explored))
        found[first.clip_id.removeprefix("seen-")] += 1
    return found


def test_thompson_sampling_prefers_kinds_that_did_well_and_tries_those_unknown() -> None:
    found = drawn("thompson")
    assert found["good"] > found["new"] > 10
    assert found["bad"] == 0


def test_uniform_exploration_draws_anyone() -> None:
    found = drawn("uniform")
    assert all(70 < found[challenge] < 130 for challenge in ("good", "bad", "new"))


def test_draws_depend_on_the_seed_and_the_moment_and_nothing_else() -> None:
    def firsts(under: Policy, order: list[int]) -> list[str]:
        ledger = PoolLedger(under)
        for n in order:
            ledger.handle(plain(f"p{n}"))
        return [entered(ledger.round(window * WINDOW_MS + LATE))[0] for window in range(2)]

    order = list(range(40))
    shuffled = Random(3).sample(order, k=40)
    assert firsts(POLICY, order) == firsts(POLICY, shuffled)
    assert firsts(POLICY, order) != firsts(policy(seed=1), order)
    assert firsts(POLICY, order)[0] != firsts(POLICY, order)[1]


def test_only_nominated_clips_enter_where_nothing_is_explored_and_only_explored_ones_without_thresholds() -> None:
    open_to_all = policy(nomination=Nomination(thresholds={}), exploration=Exploration(share=1.0))
    ledger = PoolLedger(open_to_all)
    for n in range(12):
        ledger.handle(rated(f"c{n}"))
    assert [d.rule for d in ledger.round(LATE)] == ["explored"] * 10


def test_a_round_looks_at_each_clip_once_however_many_wait() -> None:
    ledger = ledger_of()
    for n in range(2000):
        ledger.handle(rated(f"c{n}"))
    events = list(round_events(POLICY, ledger, LATE))
    assert events == []  # no room: no clip is drawn
    ledger.round(WINDOW_MS)
    assert sum(isinstance(event, Reviewed) for event in round_events(POLICY, ledger, WINDOW_MS)) == 0
