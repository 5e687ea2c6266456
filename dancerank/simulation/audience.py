"""Viewers: how impressions are delivered, and which of them end in a reaction. Legend: N clips of the world."""

from typing import Final, NamedTuple

import numpy as np

from dancerank.simulation.world import Int64, World, generator
from schemas.errors import ConfigurationError

DELIVERY_MS: Final = 2 * 3_600_000
"""How long the platform takes to deliver a grant."""
REPORT_MS: Final = 15 * 60_000
"""Time between two reports of impressions and reactions."""

_BLOCK: Final = 64


class Grant(NamedTuple):
    """Impressions promised to a clip (its index in the world) at a moment; ``tier`` counts from 0, the smallest
    exposure.
    """

    at_ms: int
    clip: int
    tier: int
    exposures: int


class Reactions:
    """Which impressions of each clip end in a reaction: independently, at the clip's true rate.

    The k-th view of a clip has one outcome, independent of the caller and of the order of calls. Drawn are the
    distances between one reaction and the next (geometric), so that the effort grows with reactions, not with
    impressions.
    """

    def __init__(self, world: World, most: int | None = None) -> None:
        """``most``: reactions in all, which are kept, eight bytes each; absent: any number."""
        self._world = world
        self._most, self._drawn = most, 0
        self._generators: dict[int, np.random.Generator] = {}
        self._views: dict[int, Int64] = {}

    def among_first(self, clip: int, views: int) -> int:
        """How many of the first ``views`` impressions of a clip end in a reaction.

        Raises ``ConfigurationError`` once there would be more than ``most`` in all.
        """
        known = self._views.get(clip, np.zeros(0, np.int64))
        while not known.size or known[-1] < views:
            random = self._generators.setdefault(clip, generator(self._world.seed, "reactions", clip))
            start, rate = int(known[-1]) if known.size else 0, float(self._world.rates[clip])
            # A generator gives the same numbers in portions of any size.
            portion = _BLOCK + int((views - start) * rate)
            self._drawn += portion
            if self._most is not None and self._drawn > self._most:
                raise ConfigurationError(
                    f"what the policy grants to the {len(self._world)} clips of seed {self._world.seed} ends in more "
                    f"than {self._most} reactions; divide the exposures and capacities of its tiers by ten, or more",
                    field="policy",
                )
            known = self._views[clip] = np.concatenate([known, start + np.cumsum(random.geometric(rate, portion))])
        return int(np.searchsorted(known, views, side="right"))


class Audience:
    """The results of grants so far: ``views`` and ``reactions`` (N,), as last reported."""

    def __init__(self, world: World, reactions: Reactions) -> None:
        self.views = np.zeros(len(world), np.int64)
        self.reactions = np.zeros(len(world), np.int64)
        self._outcomes = reactions
        self._delivered = np.zeros(len(world), np.int64)
        self._running: dict[int, list[Grant]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether everything granted was delivered."""
        return not self._running

    def grant(self, grant: Grant) -> None:
        self._running.setdefault(grant.clip, []).append(grant)

    def report(self, at_ms: int) -> list[int]:
        """Deliver what is due by ``at_ms``; returns the clips whose impressions grew."""
        grown = []
        for clip, grants in list(self._running.items()):
            for grant in [grant for grant in grants if grant.at_ms + DELIVERY_MS <= at_ms]:
                grants.remove(grant)
                self._delivered[clip] += grant.exposures
            views = int(self._delivered[clip]) + sum(g.exposures * (at_ms - g.at_ms) // DELIVERY_MS for g in grants)
            if not grants:
                del self._running[clip]
            if views > self.views[clip]:
                self.views[clip], self.reactions[clip] = views, self._outcomes.among_first(clip, views)
                grown.append(clip)
        return grown
