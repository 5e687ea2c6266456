"""Periodic rounds over all clips: expire, admit waiting clips, explore."""

from collections.abc import Iterator
from random import Random

from ranking.pools.bounds import wilson
from ranking.pools.budgets import lane_has_room
from ranking.pools.policy import Policy
from ranking.pools.state import Explored, PooledClip, PoolEvent, PoolState, Reviewed
from schemas.pools import Lane


def round_events(policy: Policy, state: PoolState, at_ms: int) -> Iterator[PoolEvent]:
    """The events of one round, each to be applied before the next is asked for: later ones depend on what is left.

    First clips leave that have stayed long enough. Then those that wait go on: to a higher tier by the lower bound of
    their reaction rate, to the first by how far they stand above the threshold. At last candidates are drawn.
    """
    for clip_id in sorted(clip.clip_id for clip in state.due(at_ms)):
        yield Reviewed(clip_id=clip_id, at_ms=at_ms)
    waiting = sorted(state.waiting(), key=lambda clip: (-_priority(policy, clip), clip.rated_at_ms, clip.clip_id))
    for clip in waiting:
        if _may_enter(policy, state, clip, at_ms):
            yield Reviewed(clip_id=clip.clip_id, at_ms=at_ms)
    first = policy.tiers[0]
    if lane_has_room(policy, state, first, Lane.EXPLORED, at_ms):
        for clip_id in _drawn(policy, state, at_ms):
            if not lane_has_room(policy, state, first, Lane.EXPLORED, at_ms):
                return
            yield Explored(clip_id=clip_id, at_ms=at_ms)


def _priority(policy: Policy, clip: PooledClip) -> float:
    return clip.standing if clip.tier is None else wilson(*clip.seen, policy.z).low


def _may_enter(policy: Policy, state: PoolState, clip: PooledClip, at_ms: int) -> bool:
    """Whether a waiting clip may be admitted now."""
    if clip.tier is None:
        return lane_has_room(policy, state, policy.tiers[0], Lane.NOMINATED, at_ms)
    if clip.wants is None or not policy.has(clip.wants):
        return True  # placed by another policy: its own event decides
    return lane_has_room(policy, state, policy.tiers[policy.index(clip.wants)], Lane.PROMOTED, at_ms)


def _drawn(policy: Policy, state: PoolState, at_ms: int) -> list[str]:
    """Candidates in the order of their draws: from a Beta posterior of their cohort's reaction rate, or uniform.

    A draw depends on the seed, the clip and the moment alone, so that a replay repeats it.
    """
    explore = policy.exploration
    draws: list[tuple[float, str]] = []
    for clip in state.candidates():
        random = Random(f"{policy.seed}/{at_ms}/{clip.clip_id}")
        if explore.method == "uniform":
            draw = random.random()
        else:
            reactions, views = state.counts(clip.cohort)
            draw = random.betavariate(explore.prior_reactions + reactions, explore.prior_views + views - reactions)
        draws.append((-draw, clip.clip_id))
    return [clip_id for _, clip_id in sorted(draws)]
