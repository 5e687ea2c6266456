"""An audit of the pools' state against their decisions alone; it shares no code with them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import pool_budgets, pool_clips, pool_decisions, pool_leases
from ranking.pools.policy import Policy, Tier
from schemas.codec import decode
from schemas.events import EngagementObserved, PoolDecision
from tests.ranking.examples import NOW_MS

DAY_MS = 86_400_000
GRANTS = {"nominated", "explored", "promoted"}
LAST = {"expired", "retired", "deleted"}


class Owner(NamedTuple):
    """Whose budgets a clip draws on."""

    dancer: str
    challenge: str


class Audit(NamedTuple):
    """``spent``: impressions granted by (tier, start of the window, scope, holder); ``rules`` counts decisions."""

    rules: Counter[str]
    spent: Counter[tuple[str, int, str, str]]
    granted: Counter[str]
    """Impressions, by clip."""
    windows: set[int]
    refused_for: Counter[str]
    """Scope of the budget that had no room, of those that had to wait."""


def audit(
    decisions: Sequence[PoolDecision], policies: Mapping[str, Policy], owners: Mapping[str, Owner] | None
) -> Audit:
    """Follow ``decisions`` in sequence, under ``policies`` by version. Without ``owners`` caps are not looked at."""
    found = Audit(Counter(), Counter(), Counter(), set(), Counter())
    tiers: dict[str, str | None] = {}
    numbers: Counter[str] = Counter()
    gone: set[str] = set()
    for decision in decisions:
        clip_id, policy = decision.clip_id, policies[decision.policy_version]
        assert decision.number == numbers[clip_id], decision
        assert decision.previous_tier == tiers.get(clip_id), decision
        assert clip_id not in gone or decision.rule == "deleted", decision
        assert (decision.exposures > 0) == (decision.rule in GRANTS), decision
        numbers[clip_id] += 1
        tiers[clip_id] = decision.tier
        found.rules[decision.rule] += 1
        if decision.rule in LAST or (decision.rule == "demoted" and decision.tier is None):
            gone.add(clip_id)
        if decision.budget is not None:
            found.refused_for[decision.budget.rpartition(", ")[2]] += 1
        if decision.exposures:
            _spend(found, decision, policy, owners[clip_id] if owners is not None else None)
    return found


def _spend(found: Audit, decision: PoolDecision, policy: Policy, owner: Owner | None) -> None:
    tier = next(tier for tier in policy.tiers if tier.name == decision.tier)
    assert decision.exposures == tier.exposures
    window_ms = policy.window_s * 1000
    start_ms = decision.decided_at_ms // window_ms * window_ms
    found.windows.add(start_ms)
    found.granted[decision.clip_id] += decision.exposures
    for scope, holder, limit in _limits(policy, tier, decision.rule, owner):
        key = (tier.name, start_ms, scope, holder)
        found.spent[key] += decision.exposures
        assert found.spent[key] <= limit, (key, found.spent[key], limit)
    if decision.rule == "explored":
        share = policy.tiers[0].capacity * Fraction(str(policy.exploration.share))
        passed = Fraction(decision.decided_at_ms - start_ms, window_ms)
        assert found.spent[(tier.name, start_ms, "explored", "")] <= share * passed + Fraction(tier.exposures, 2)


def _limits(policy: Policy, tier: Tier, rule: str, owner: Owner | None) -> list[tuple[str, str, Fraction]]:
    explored = math.floor(tier.capacity * Fraction(str(policy.exploration.share)))
    lane = {"nominated": tier.capacity - explored, "explored": explored, "promoted": tier.capacity}[rule]
    limits = [("tier", "", Fraction(tier.capacity)), (rule, "", Fraction(lane))]
    if owner is not None:
        limits.append(("dancer", owner.dancer, tier.capacity * Fraction(str(policy.caps.dancer))))
        limits.append(("challenge", owner.challenge, tier.capacity * Fraction(str(policy.caps.challenge))))
    return limits


def stored_decisions(database: Database) -> list[PoolDecision]:
    """All decisions of a database, in sequence; a transaction that was repeated leaves numbers out."""
    table = pool_decisions.c
    with database.reading() as connection:
        rows = connection.execute(sa.select(pool_decisions).order_by(table.sequence)).all()
    assert len({row.sequence for row in rows}) == len(rows)
    decisions = [decode(row.content, PoolDecision) for row in rows]
    for row, decision in zip(rows, decisions, strict=True):
        assert (row.clip_id, row.number, row.decided_at_ms) == (
            decision.clip_id,
            decision.number,
            decision.decided_at_ms,
        )
    return decisions


def audit_database(database: Database, policies: Mapping[str, Policy], owners: Mapping[str, Owner] | None) -> Audit:
    """``audit`` of a database, whose clips and budgets have to say what the decisions say."""
    found = audit(stored_decisions(database), policies, owners)
    with database.reading() as connection:
        clips = {row.clip_id: row for row in connection.execute(sa.select(pool_clips))}
        budgets = connection.execute(sa.select(pool_budgets)).all()
        leases = connection.execute(sa.select(pool_leases)).all()
    assert {clip_id: row.granted for clip_id, row in clips.items() if row.granted} == dict(found.granted)
    kept = Counter({(b.tier, b.window_start_ms, b.scope, b.holder): b.used for b in budgets})
    for lease in leases:
        assert 0 <= lease.used <= lease.leased
        for scope in (lease.lane, "tier"):
            kept[(lease.tier, lease.window_start_ms, scope, "")] += lease.used
    kept = +kept
    assert all(found.spent[key] == used for key, used in kept.items() if owners is not None or not key[3])
    for_ever = {key: views for key, views in found.spent.items() if key[2] not in ("dancer", "challenge")}
    assert for_ever == {key: used for key, used in kept.items() if key[2] not in ("dancer", "challenge")}
    assert sum(found.granted.values()) == sum(views for key, views in found.spent.items() if key[2] == "tier")
    return found


def expected_row(
    events: Sequence[EngagementObserved], uploaded_at_ms: int = NOW_MS, challenge_id: str = "ch"
) -> dict[str, object] | None:
    """What ``engagement`` has to hold of a clip after ``events`` in any order: of counts the latest, of two at one
    moment the greater; of impressions likewise, among those known.
    """
    if not events:
        return None
    last = max(events, key=lambda e: (e.observed_at_ms, e.likes + e.comments + e.reposts, e.likes, e.comments))
    seen_at_ms, views = max(((e.observed_at_ms, e.views) for e in events if e.views is not None), default=(-1, None))
    days = max(last.observed_at_ms - uploaded_at_ms, 0) / DAY_MS
    return {
        "clip_id": last.clip_id, "challenge_id": challenge_id, "observed_at_ms": last.observed_at_ms,
        "likes": last.likes, "comments": last.comments, "reposts": last.reposts,
        "views": views, "views_observed_at_ms": seen_at_ms, "days_online": days,
        "virality": pytest.approx(math.log2((last.likes + last.comments + last.reposts + 1) / min(max(days, 1), 7))),
    }  # fmt: skip
