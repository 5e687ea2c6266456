"""Every decision of the pools can be read by a person."""

from collections import Counter
from typing import Any

import pytest

from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Policy
from ranking.pools.service.sentences import needed, sentence, unchanged
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from tests.ranking.pools.examples import POLICY, engaged, known, plain, policy, rated, tiers
from tests.ranking.pools.test_stateful import walk

RATE: dict[str, Any] = {"reactions": 9, "views": 100, "bound": 0.0538, "limit": 0.05}
NOMINATED: dict[str, Any] = {"decided_by": Dimension.SKELETAL, "percentile": 95.25, "limit": 92.0}
IN_TRIAL: dict[str, Any] = {"previous_tier": "trial", "tier": "trial"}

EXAMPLES = [
    (
        {"rule": "nominated", "tier": "trial", **NOMINATED, "exposures": 100, "budget_left": 3900},
        "nominated into trial by its skeletal score (percentile 95.25 in its challenge, threshold 92); 100 impressions "
        "granted, 3,900 left for nominated clips in this window",
    ),
    (
        {"rule": "nominated", "tier": "trial", **NOMINATED, "limit": None, "exposures": 1, "budget_left": 0},
        "nominated into trial by its skeletal score (percentile 95.25 in its challenge); 1 impression granted, 0 left "
        "for nominated clips in this window",
    ),
    (
        {"rule": "not-nominated", "percentile": 50.0, "limit": 75.0},
        "not nominated: no percentile reaches its threshold (its fused one is 50, the threshold 75); exploration "
        "may draw it",
    ),
    (
        {"rule": "not-nominated", "percentile": 50.0},
        "not nominated: no percentile reaches its threshold (its fused one is 50); exploration may draw it",
    ),
    (
        {"rule": "not-nominated"},
        "not nominated: its challenge has too few clips for percentiles; exploration may draw it",
    ),
    (
        {"rule": "queued", **NOMINATED, "budget": "trial, nominated", "budget_left": 40},
        "queued for trial: nominated by its skeletal score (percentile 95.25 in its challenge, threshold 92), but "
        "trial's part for nominated clips has only 40 impressions left in this window",
    ),
    (
        {"rule": "explored", "tier": "trial", "exposures": 100, "budget_left": 200},
        "explored: drawn into trial; 100 impressions granted, 200 left that exploration may grant by then",
    ),
    (
        {
            "rule": "promoted", "previous_tier": "trial", "tier": "rising", **RATE,
            "exposures": 1000, "budget_left": 14_000,
        },
        "promoted from trial to rising: at least 5.38% of viewers react (9 of 100; gate 5%); 1,000 impressions "
        "granted, 14,000 left there in this window",
    ),
    (
        {"rule": "held", **IN_TRIAL, **RATE, "budget": "rising, dancer", "budget_left": 0},
        "held in trial: at least 5.38% of viewers react (9 of 100; gate 5%), which leads to rising, but its dancer's "
        "cap in rising has no impressions left in this window",
    ),
    (
        {"rule": "held", **IN_TRIAL, **RATE, "budget": "rising, tier", "budget_left": 1},
        "held in trial: at least 5.38% of viewers react (9 of 100; gate 5%), which leads to rising, but rising has "
        "only 1 impression left in this window",
    ),
    (
        {"rule": "kept", **IN_TRIAL, **RATE, "bound": 0.0412},
        "kept in trial, no longer waiting: at least 4.12% of viewers react (9 of 100), below the gate of 5%",
    ),
    (
        {"rule": "kept", **IN_TRIAL, **RATE},
        "kept in trial, no longer waiting: 100 impressions are too few to judge it again",
    ),
    (
        {"rule": "kept", **IN_TRIAL, **RATE, "limit": None},
        "kept in trial, no longer waiting: it is the last tier now",
    ),
    (
        {"rule": "demoted", "previous_tier": "rising", "tier": "trial", **RATE, "bound": 0.02, "limit": 0.025},
        "demoted from rising to trial: at most 2% of viewers react (9 of 100; floor 2.5%)",
    ),
    (
        {"rule": "demoted", "previous_tier": "trial", **RATE, "bound": 0.00912, "limit": 0.01},
        "demoted out of trial: at most 0.912% of viewers react (9 of 100; floor 1%)",
    ),
    ({"rule": "expired"}, "expired: no tier let it in before its time was over"),
    (
        {"rule": "expired", "previous_tier": "trial", "reactions": 9, "views": 1100},
        "expired: its time in trial was over, with reactions of 9 of 1,100 viewers",
    ),
    ({"rule": "expired", "previous_tier": "trial"}, "expired: its time in trial was over, with nothing observed"),
    ({"rule": "retired", "previous_tier": "trial"}, "retired: policy p1 has no tier trial"),
    ({"rule": "deleted", "previous_tier": "trial"}, "deleted: it was in trial"),
    ({"rule": "deleted"}, "deleted"),
    ({"rule": "paused", "previous_tier": "trial"}, "paused: from trial to no tier"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), EXAMPLES)
def test_a_decision_reads_as_a_sentence(given: dict[str, Any], expected: str) -> None:
    fields = {"clip_id": "c", "number": 0, "tier": None, "previous_tier": None, "policy_version": "p1"} | given
    assert sentence(PoolDecision(decided_at_ms=0, **fields)) == expected


def test_every_decision_of_a_long_run_has_a_sentence_of_its_own_rule() -> None:
    made = walk(seed=3, steps=10_000, change_policy=True).decisions
    beginnings: Counter[tuple[str, str]] = Counter()
    for decision in made:
        text = sentence(decision)
        assert "None" not in text
        assert "unknown" not in text
        beginnings[(decision.rule, text.replace("not n", "not-n").split()[0].rstrip(":"))] += 1
    assert all(rule == word for rule, word in beginnings), beginnings
    assert len(beginnings) >= 10


def answer(policy: Policy, *events: Any) -> str:
    ledger = PoolLedger(policy)
    for event in events:
        ledger.handle(event)
    return unchanged(policy, known(ledger))


def test_the_sentence_says_why_nothing_changes() -> None:
    assert answer(POLICY, plain()) == (
        "no decision: it is in no tier; exploration may draw it, and reactions count only in a tier"
    )
    full = [rated(f"n{n}") for n in range(7)]
    assert answer(POLICY, *full, rated()) == "no decision: it waits for t1, and reactions count only in a tier"
    assert (
        answer(POLICY, rated(), engaged("c1", 5, 60, at_ms=1))
        == "stays in t1: judged from 100 impressions on; it has 60"
    )
    assert answer(POLICY, rated(), engaged("c1", 9, 100, at_ms=1)) == (
        "stays in t1: 5.31% to 14.8% of viewers react (9 of 100; gate 10%, floor 2%)"
    )
    high_floor = policy(tiers=tiers(t1={"floor": 0.05}))
    assert answer(high_floor, rated(), engaged("c1", 0, None, at_ms=1)) == (
        "stays in t1: 0% to 2.63% of viewers react (0 of 100; gate 10%, floor 5%); nothing is demoted while "
        "impressions are unknown"
    )


def test_what_a_tier_needs_is_said_for_the_last_one_too() -> None:
    assert (
        needed(POLICY, POLICY.tiers[2])
        == "judged from 1,200 impressions in all; back to t2 if surely less than 15% react"
    )
    without_floor = policy(tiers=tiers(t3={"floor": 0.0}))
    assert needed(without_floor, without_floor.tiers[2]) == "judged from 1,200 impressions in all"
