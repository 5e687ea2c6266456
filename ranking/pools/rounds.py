"""Periodic rounds over all clips: expire, admit waiting clips, explore."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from ranking.pools.bounds import wilson
from ranking.pools.budgets import lane_has_room
from ranking.pools.policy import Policy
from ranking.pools.state import Explored, PooledClip, PoolEvent, PoolState, PoolView, Reviewed
from schemas.pools import Lane


class Phase(NamedTuple):
    """A part of a round: ``clip_ids`` in their order, each of which gets an event if, by the state at its turn, there
    ``is_room``. Budgets only fill up within a phase; once there ``is_end`` no clip after that gets one.
    """

    clip_ids: Sequence[str]
    event: Callable[[str], PoolEvent]
    is_room: Callable[[PoolView, str], bool]
    is_end: Callable[[PoolView], bool]


def round_events(policy: Policy, state: PoolState, at_ms: int) -> Iterator[PoolEvent]:
    """The events of one round, each to be applied before the next is asked for: later ones depend on what is left."""
    for phase_of in PHASES:
        phase = phase_of(policy, state, at_ms)
        for clip_id in phase.clip_ids:
            if phase.is_end(state):
                break
            if phase.is_room(state, clip_id):
                yield phase.event(clip_id)


def leaving(_policy: Policy, state: PoolState, at_ms: int) -> Phase:
    """Clips that have stayed long enough."""
    clip_ids = sorted(clip.clip_id for clip in state.due(at_ms))
    return Phase(clip_ids, lambda clip_id: Reviewed(clip_id=clip_id, at_ms=at_ms), _always, _never)


def waiting(policy: Policy, state: PoolState, at_ms: int) -> Phase:
    """Clips that wait: for a higher tier by the lower bound of their reaction rate, for the first by how far they stand
    above the threshold.
    """
    clips = sorted(state.waiting(), key=lambda clip: (-_priority(policy, clip), clip.rated_at_ms, clip.clip_id))

    def is_room(view: PoolView, clip_id: str) -> bool:
        clip = view.clip(clip_id)
        return clip is not None and _may_enter(policy, view, clip, at_ms)

    return Phase(
        [clip.clip_id for clip in clips], lambda clip_id: Reviewed(clip_id=clip_id, at_ms=at_ms), is_room, _never
    )


def exploring(policy: Policy, state: PoolState, at_ms: int) -> Phase:
    """Candidates in the order of their draws."""

    def is_end(view: PoolView) -> bool:
        return not lane_has_room(policy, view, policy.tiers[0], Lane.EXPLORED, at_ms)

    clip_ids = [] if is_end(state) else _drawn(policy, state, at_ms)
    return Phase(clip_ids, lambda clip_id: Explored(clip_id=clip_id, at_ms=at_ms), _always, is_end)


PHASES: Final = (leaving, waiting, exploring)
"""The phases of a round in order; each is made when the one before has been applied."""


def _always(_view: PoolView, _clip_id: str) -> bool:
    return True


def _never(_view: PoolView) -> bool:
    return False


def _priority(policy: Policy, clip: PooledClip) -> float:
    return clip.standing if clip.tier is None else wilson(*clip.seen, policy.z).low


def _may_enter(policy: Policy, state: PoolView, clip: PooledClip, at_ms: int) -> bool:
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
