"""Use of a tier in one window."""

from ranking.pools.budgets import lane_capacity
from ranking.pools.policy import Policy, Tier
from ranking.pools.state import Budget, PoolView
from schemas.pools import Lane, Limit
from schemas.questions.pools import LaneUse, TierUse


def tier_use(
    policy: Policy, view: PoolView, tier: Tier, at_ms: int, *, clips: int, waiting: int, leased: int
) -> TierUse:
    """The budgets of ``tier``, with the ``clips`` that are in it, those ``waiting`` to enter, and the impressions that
    workers have ``leased`` and not granted.
    """
    start_ms = policy.window_start_ms(at_ms)
    used = view.used(Budget(tier.name, start_ms, Limit.TIER))
    left = max(tier.capacity - used, 0)
    ways = (Lane.NOMINATED, Lane.EXPLORED) if policy.index(tier.name) == 0 else (Lane.PROMOTED,)
    lanes = [_lane_use(policy, view, tier, lane, at_ms, left) for lane in ways]
    return TierUse(
        tier=tier.name,
        clips=clips,
        waiting=waiting,
        exposures=tier.exposures,
        capacity=tier.capacity,
        used=used,
        leased=leased,
        left=left,
        entries=min(sum(lane.entries for lane in lanes), left // tier.exposures),
        lanes=lanes,
        dancer_cap=lane_capacity(policy, Budget(tier.name, start_ms, Limit.DANCER), at_ms),
        challenge_cap=lane_capacity(policy, Budget(tier.name, start_ms, Limit.CHALLENGE), at_ms),
    )


def _lane_use(policy: Policy, view: PoolView, tier: Tier, lane: Lane, at_ms: int, tier_left: int) -> LaneUse:
    start_ms = policy.window_start_ms(at_ms)
    budget = Budget(tier.name, start_ms, lane)
    now, used = lane_capacity(policy, budget, at_ms), view.used(budget)
    left = max(now - used, 0)
    return LaneUse(
        lane=lane,
        capacity=lane_capacity(policy, budget, start_ms + policy.window_ms),
        capacity_now=now,
        used=used,
        left=left,
        entries=min(left, tier_left) // tier.exposures,
    )
