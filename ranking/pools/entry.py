"""Entering a tier, or waiting for it; and the record of every decision."""

from typing import Any

import msgspec

from ranking.pools.budgets import Room, room
from ranking.pools.policy import Policy, Tier
from ranking.pools.state import NOTHING, PooledClip, PoolView, Transition
from schemas.events import PoolDecision
from schemas.pools import Lane, Rule


def enter(
    policy: Policy, view: PoolView, clip: PooledClip, tier: Tier, lane: Lane, at_ms: int, *, bound: float | None = None
) -> Transition:
    """Let ``clip`` into ``tier`` if every budget has room, or let it wait; what is explored does not wait.

    ``bound`` is that of its reaction rate, where it was compared.
    """
    found = room(policy, view, clip, tier, lane, at_ms)
    facts = {"bound": bound, "limit": _limit(policy, clip, lane)}
    if found.short is None:
        return _let_in(policy, clip, tier, lane, at_ms, found, facts)
    if lane is Lane.EXPLORED:
        return NOTHING
    known = view.clip(clip.clip_id)
    waiting = msgspec.structs.replace(clip, wants=tier.name)
    if known is not None and known.wants == tier.name:
        return Transition(clip=waiting)  # recorded once, not at every try
    budget = f"{tier.name}, {found.short.scope}"
    rule = Rule.QUEUED if clip.tier is None else Rule.HELD
    return decided(policy, waiting, rule, at_ms, tier=clip.tier, budget=budget, budget_left=found.short_left, **facts)


def decided(policy: Policy, clip: PooledClip, rule: Rule, at_ms: int, *, tier: str | None, **facts: Any) -> Transition:
    """``clip`` in ``tier`` by ``rule``, with the record of it; ``facts`` are its fields beyond those of the clip."""
    seen = clip.seen
    decision = PoolDecision(
        clip_id=clip.clip_id,
        number=clip.decisions,
        tier=tier,
        previous_tier=clip.tier,
        rule=rule.value,
        decided_by=clip.nominated_by,
        percentile=clip.percentile,
        reactions=seen.reactions,
        views=seen.views,
        policy_version=policy.version,
        decided_at_ms=at_ms,
        **facts,
    )
    clip = msgspec.structs.replace(clip, tier=tier, decisions=clip.decisions + 1)
    return Transition(clip=clip, decisions=(decision,))


def _let_in(
    policy: Policy, clip: PooledClip, tier: Tier, lane: Lane, at_ms: int, found: Room, facts: dict[str, float | None]
) -> Transition:
    views, left = tier.exposures, found.lane_left - tier.exposures
    change = decided(policy, clip, lane.rule, at_ms, tier=tier.name, exposures=views, budget_left=left, **facts)
    moved = msgspec.structs.replace(change.clip or clip, wants=None, entered_at_ms=at_ms, granted=clip.granted + views)
    return change._replace(clip=moved, spent=dict.fromkeys(found.budgets, views))


def _limit(policy: Policy, clip: PooledClip, lane: Lane) -> float | None:
    """The threshold that its percentile reached, or the gate of the tier that it leaves."""
    match lane:
        case Lane.NOMINATED:
            return None if clip.nominated_by is None else policy.nomination.thresholds.get(clip.nominated_by)
        case Lane.EXPLORED:
            return None
        case Lane.PROMOTED:
            return None if clip.tier is None else policy.tiers[policy.index(clip.tier)].gate
