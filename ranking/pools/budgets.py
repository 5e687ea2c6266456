"""Budgets of one window: by tier, by lane, per dancer and per challenge."""

from typing import Final, NamedTuple, assert_never

from ranking.pools.policy import Policy, Tier, part
from ranking.pools.state import Budget, PooledClip, PoolView
from schemas.pools import Lane, Limit

# Rounds compare these for each clip that waits; Python 3.11 finds a member of an enum by a slow call.
_NOMINATED: Final = Lane.NOMINATED
_EXPLORED: Final = Lane.EXPLORED
_PROMOTED: Final = Lane.PROMOTED
_TIER: Final = Limit.TIER
_CHALLENGE: Final = Limit.CHALLENGE
_DANCER: Final = Limit.DANCER


class Room(NamedTuple):
    """The budget left for one more clip. ``short`` is the first exhausted budget, if there is one."""

    budgets: tuple[Budget, ...]
    lane_left: int
    short: Budget | None
    short_left: int


def lane_capacity(policy: Policy, budget: Budget, at_ms: int) -> int:
    """Most impressions that ``budget`` allows by ``at_ms``; none if the policy has no such tier, or no such lane of
    it.
    """
    if not policy.has(budget.tier):
        return 0
    index = policy.index(budget.tier)
    capacity = policy.tiers[index].capacity
    scope = budget.scope
    if scope is _TIER:
        return capacity
    if scope is _NOMINATED:
        return capacity - policy.explored_capacity() if index == 0 else 0
    if scope is _EXPLORED:
        return _explored_by(policy, budget.window_start_ms, at_ms) if index == 0 else 0
    if scope is _PROMOTED:
        return capacity if index else 0
    if scope is _CHALLENGE:
        return part(capacity, policy.caps.challenge)
    if scope is _DANCER:
        return part(capacity, policy.caps.dancer)
    assert_never(scope)


def room(policy: Policy, view: PoolView, clip: PooledClip, tier: Tier, lane: Lane, at_ms: int) -> Room:
    """What ``tier`` has left for ``clip`` at ``at_ms``."""
    start = policy.window_start_ms(at_ms)
    budgets = (
        Budget(tier.name, start, lane),
        Budget(tier.name, start, _TIER),  # lanes divide it, unless the policy changed within the window
        Budget(tier.name, start, _CHALLENGE, clip.challenge_id),
        Budget(tier.name, start, _DANCER, clip.dancer_id),
    )
    left = [max(lane_capacity(policy, budget, at_ms) - view.used(budget), 0) for budget in budgets]
    for budget, views in zip(budgets, left, strict=True):
        if views < tier.exposures:
            return Room(budgets, left[0], budget, views)
    return Room(budgets, left[0], None, left[0])


def lane_has_room(policy: Policy, view: PoolView, tier: Tier, lane: Lane, at_ms: int) -> bool:
    """Whether ``tier`` could take one more clip by ``lane``, caps not counted."""
    start = policy.window_start_ms(at_ms)
    return all(
        lane_capacity(policy, budget, at_ms) - view.used(budget) >= tier.exposures
        for budget in (Budget(tier.name, start, lane), Budget(tier.name, start, _TIER))
    )


def _explored_by(policy: Policy, window_start_ms: int, at_ms: int) -> int:
    """Exploration spends its share evenly over the window, so that a draw is among all that came, not among the first.

    The share is a number of clips; the n-th may be drawn when n − ½ of their equal parts of the window have passed, so
    that the last one has its turn within it.
    """
    exposures = policy.tiers[0].exposures
    clips = policy.explored_capacity() // exposures
    passed_ms = min(max(at_ms - window_start_ms, 0), policy.window_ms)
    return exposures * ((2 * clips * passed_ms + policy.window_ms) // (2 * policy.window_ms))
