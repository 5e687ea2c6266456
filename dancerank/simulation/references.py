"""What a policy is compared with: other ways to give out the very impressions that it granted. Legend: N clips, W
windows.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import numpy as np

from dancerank.simulation.audience import REPORT_MS, Audience, Grant, Reactions
from dancerank.simulation.world import Int64, World
from ranking.pools.policy import Policy

Reference = Literal["popularity only", "uniform", "oracle"]


def uniform(world: World, grants: Sequence[Grant]) -> tuple[Grant, ...]:
    """Every upload gets the same exposure, at its arrival. In all exactly the impressions of ``grants``, known
    beforehand; what does not divide goes by lot, one impression each.
    """
    total = sum(grant.exposures for grant in grants)
    each, left = divmod(total, len(world))
    exposures = np.full(len(world), each)
    exposures[np.argsort(world.lots, kind="stable")[:left]] += 1
    shared = zip(world.arrivals_ms.tolist(), exposures.tolist(), strict=True)
    return tuple(Grant(at_ms, clip, 0, views) for clip, (at_ms, views) in enumerate(shared) if views)


def popularity_only(world: World, grants: Sequence[Grant], reactions: Reactions) -> tuple[Grant, ...]:
    """The same grants, by moment, tier and size, to other clips, without predictions or bounds.

    A grant of the first tier goes to an upload that had none, by lot: everybody starts alike, as far as the budget
    goes. One of a higher tier goes to the clip of the tier below with the most reactions so far, as last reported; if
    all of these were promoted already, to the clip of the tier itself that has the most.
    """
    audience = Audience(world, reactions)
    reached = np.full(len(world), -1)
    given: list[Grant] = []
    reported_ms = 0
    for grant in sorted(grants, key=lambda grant: grant.at_ms):
        while reported_ms + REPORT_MS <= grant.at_ms:
            reported_ms += REPORT_MS
            audience.report(reported_ms)
        arrived = world.arrivals_ms <= grant.at_ms
        candidates = np.flatnonzero(arrived & (reached == grant.tier - 1))
        if not candidates.size:
            candidates = np.flatnonzero(reached >= grant.tier)
        order = np.lexsort((world.lots[candidates], -audience.reactions[candidates]))
        clip = int(candidates[order[0]])
        reached[clip] = max(int(reached[clip]), grant.tier)
        given.append(grant._replace(clip=clip))
        audience.grant(given[-1])
    return tuple(given)


def oracle(world: World, grants: Sequence[Grant], policy: Policy) -> tuple[Grant, ...]:
    """Knows the true rates: no other use of each window's impressions brings more expected reactions.

    Each window's impressions, exactly those that ``grants`` spent in it, go to the best clips that have arrived by its
    end, up to the most that a clip may have: what all tiers together grant, or what some clip really got. That is
    optimal because whatever is available in one window is available in all later ones.
    """
    had = exposures_of(world, grants)
    room = np.full(len(world), max(sum(tier.exposures for tier in policy.tiers), int(had.max(initial=0))))
    best = np.argsort(-world.rates, kind="stable")
    given: list[Grant] = []
    for start_ms, windows in groupby(sorted(grants), key=lambda grant: policy.window_start_ms(grant.at_ms)):
        left = sum(grant.exposures for grant in windows)
        end_ms = start_ms + policy.window_ms
        for clip in best[(world.arrivals_ms[best] < end_ms) & (room[best] > 0)].tolist():
            views = min(left, int(room[clip]))
            given.append(Grant(max(start_ms, int(world.arrivals_ms[clip])), clip, 0, views))
            room[clip] -= views
            left -= views
            if not left:
                break
    return tuple(given)


def exposures_of(world: World, grants: Sequence[Grant]) -> Int64:
    """Impressions granted to each clip, (N,)."""
    exposures = np.zeros(len(world), np.int64)
    for grant in grants:
        exposures[grant.clip] += grant.exposures
    return exposures
