"""What a policy implies on its own, without clips."""

from typing import NamedTuple

from ranking.pools.bounds import wilson
from ranking.pools.policy import Policy, part


class TierImplied(NamedTuple):
    """Of one tier. ``clips``: how many can enter in one window, in the first tier by lane too. ``of_a_dancer`` and
    ``of_a_challenge``: how many of them at most. ``passes``: fewest reactions to the tier's ``least_views`` with which
    a clip is promoted; ``fails``: most with which it is demoted. ``None`` where nothing passes or fails.
    """

    clips: int
    nominated: int | None
    explored: int | None
    of_a_dancer: int
    of_a_challenge: int
    passes: int | None
    fails: int | None


def implied(policy: Policy) -> tuple[TierImplied, ...]:
    """For each tier of ``policy``, in its order."""
    tiers = []
    for index, tier in enumerate(policy.tiers):
        explored = policy.explored_capacity() if index == 0 else 0
        lanes = ((tier.capacity - explored) // tier.exposures, explored // tier.exposures)
        tiers.append(
            TierImplied(
                clips=tier.capacity // tier.exposures if index else sum(lanes),
                nominated=None if index else lanes[0] if policy.nomination.thresholds else 0,
                explored=None if index else lanes[1],
                of_a_dancer=part(tier.capacity, policy.caps.dancer) // tier.exposures,
                of_a_challenge=part(tier.capacity, policy.caps.challenge) // tier.exposures,
                passes=None if tier.gate is None else _passing(tier.least_views, tier.gate, policy.z),
                fails=_failing(tier.least_views, tier.floor, policy.z),
            )
        )
    return tuple(tiers)


def _passing(views: int, gate: float, z: float) -> int | None:
    """Fewest reactions whose lower bound reaches ``gate``; the bound rises with the reactions."""
    if wilson(views, views, z).low < gate:
        return None
    low, high = 0, views
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if wilson(middle, views, z).low >= gate else (middle + 1, high)
    return low


def _failing(views: int, floor: float, z: float) -> int | None:
    """Most reactions whose upper bound is below ``floor``."""
    if wilson(0, views, z).high >= floor:
        return None
    low, high = 0, views
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if wilson(middle, views, z).high < floor else (low, middle - 1)
    return low
