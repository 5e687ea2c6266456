"""Decisions of the pools about a hypothetical clip, with the real budgets."""

from dataclasses import replace

import msgspec

from ranking.pools.bounds import wilson
from ranking.pools.budgets import lane_capacity, room
from ranking.pools.machine import transition
from ranking.pools.policy import Policy, Tier
from ranking.pools.service.sentences import sentence, unchanged
from ranking.pools.state import Budget, Counts, Engaged, PooledClip, PoolView, Rated, Transition
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import Lane, Rule
from schemas.questions.pools import (
    Afterwards,
    BudgetRoom,
    ExplainedDecision,
    HypotheticalClip,
    PoolTryAnswer,
    ReactionRate,
)

HYPOTHETICAL = "hypothetical/clip"
"""No clip can be called that: identifiers have no slash."""


class DryRun:
    """A ``PoolView`` over another one, with one clip more. What the clip spent is not counted: it enters no tier twice,
    and no other clip asks.
    """

    def __init__(self, policy: Policy, view: PoolView) -> None:
        self._policy = policy
        self._view = view
        self._clip: PooledClip | None = None

    def clip(self, clip_id: str) -> PooledClip | None:
        return self._clip if clip_id == HYPOTHETICAL else self._view.clip(clip_id)

    def used(self, budget: Budget) -> int:
        return self._view.used(budget)

    def foresee(self, event: Rated | Engaged) -> tuple[Transition, PooledClip]:
        """What the event would change, and the clip afterwards."""
        change = transition(self._policy, self, event)
        clip = change.clip or self._clip
        if clip is None:
            raise LookupError(f"{HYPOTHETICAL} has to be rated before anything else")
        return change, clip

    def keep(self, clip: PooledClip) -> None:
        """Go on from ``clip``."""
        self._clip = clip


def dry_run(policy: Policy, view: PoolView, asked: HypotheticalClip, rated: Rated) -> PoolTryAnswer:
    """What ``rated``, of the clip ``HYPOTHETICAL``, would lead to, and then the reactions that ``asked`` names."""
    stage, fewest_clips = DryRun(policy, view), policy.nomination.fewest_clips
    change, clip = stage.foresee(rated)
    (decision,) = change.decisions
    answer = explained(decision)
    if (
        decision.rule == Rule.NOT_NOMINATED
        and Dimension.FUSED not in rated.percentiles
        and rated.challenge_clips >= fewest_clips
    ):
        # The record has the fused percentile alone, which every real clip has where percentiles count.
        answer = replace(answer, sentence="not nominated: no percentile reaches its threshold; exploration may draw it")
    lane = Lane.EXPLORED if decision.rule == Rule.NOT_NOMINATED else Lane.NOMINATED
    budgets = rooms(policy, stage, clip, policy.tiers[0], lane, rated.at_ms, change)
    stage.keep(clip)
    afterwards = None
    if asked.reactions is not None:
        afterwards = _afterwards(policy, stage, clip, asked.reactions, asked.views, rated.at_ms)
    return PoolTryAnswer(
        at_ms=rated.at_ms,
        policy_version=policy.version,
        percentiles=dict(rated.percentiles),
        challenge_clips=rated.challenge_clips,
        fewest_clips=fewest_clips,
        decision=answer,
        budgets=budgets,
        afterwards=afterwards,
    )


def _afterwards(
    policy: Policy, stage: DryRun, clip: PooledClip, reactions: int, views: int | None, at_ms: int
) -> Afterwards:
    event = Engaged(clip_id=HYPOTHETICAL, observed_at_ms=at_ms, reactions=reactions, views=views, at_ms=at_ms)
    change, judged = stage.foresee(event)
    if not change.decisions:
        answer = unchanged(policy, judged)
        return Afterwards(sentence=answer, decision=None, rate=reaction_rate(policy, judged.seen), budgets=[])
    (decision,) = change.decisions
    aim = next_tier(policy, clip.tier) if decision.rule in (Rule.PROMOTED, Rule.HELD) else None
    return Afterwards(
        sentence=sentence(decision),
        decision=explained(decision),
        rate=reaction_rate(policy, Counts(decision.reactions, decision.views)),
        budgets=[] if aim is None else rooms(policy, stage, clip, aim, Lane.PROMOTED, at_ms, change),
    )


def next_tier(policy: Policy, tier: str | None) -> Tier | None:
    """The tier that a clip in ``tier`` is promoted to: the first for a clip in no tier, ``None`` for the last or an
    unknown tier.
    """
    if tier is None:
        return policy.tiers[0]
    following = policy.index(tier) + 1 if policy.has(tier) else len(policy.tiers)
    return policy.tiers[following] if following < len(policy.tiers) else None


def explained(decision: PoolDecision) -> ExplainedDecision:
    """The whole record, with its sentence."""
    return ExplainedDecision(sentence=sentence(decision), **msgspec.structs.asdict(decision))


def reaction_rate(policy: Policy, seen: Counts) -> ReactionRate:
    """The rate with both bounds, at the policy's confidence."""
    low, high = wilson(*seen, policy.z)
    return ReactionRate(
        reactions=seen.reactions,
        views=seen.views,
        rate=seen.reactions / seen.views if seen.views else None,
        low=low,
        high=high,
        confidence=policy.confidence,
    )


def rooms(
    policy: Policy, view: PoolView, clip: PooledClip, tier: Tier, lane: Lane, at_ms: int, change: Transition
) -> list[BudgetRoom]:
    """The budgets that ``clip`` is paid from to enter ``tier``, as they are before ``change`` spends them."""
    budgets = room(policy, view, clip, tier, lane, at_ms).budgets
    return [budget_room(policy, view, budget, at_ms, spends=change.spent.get(budget, 0)) for budget in budgets]


def budget_room(policy: Policy, view: PoolView, budget: Budget, at_ms: int, *, spends: int = 0) -> BudgetRoom:
    """One budget at ``at_ms``."""
    capacity, used = lane_capacity(policy, budget, at_ms), view.used(budget)
    return BudgetRoom(
        tier=budget.tier,
        scope=budget.scope,
        holder=budget.holder or None,
        capacity=capacity,
        used=used,
        left=max(capacity - used, 0),
        spends=spends,
    )
