"""Measures of an allocation of impressions. Legend: N clips of the world."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dancerank.simulation.world import Float64, Int64, World

DISCOVERED_FROM: Final = 2.0
"""A clip counts as discovered from so many times the exposure that uniform allocation gives."""
NEWCOMERS_TOP: Final = 0.1


@dataclass(frozen=True)
class Measures:
    """Of one allocation in one world.

    ``granted``: impressions. ``top_1`` and ``top_10``: share of them that went to clips that end up in the best 1 % and
    10 % of their challenge, and (``…_lift``) that share as a multiple of what the same clips get under uniform
    allocation. ``reactions``: expected, Σ rate · impressions. ``regret``: share of the oracle's expected reactions that
    is lost. ``gini`` of the impressions over the dancers who uploaded. ``discovered``: of the dancers without a clip
    before the simulated period who have one in the best 10 %, the share of whom such a clip got at least
    ``DISCOVERED_FROM`` times the impressions of uniform allocation. ``use``: share of the capacity of all tiers, in the
    windows in which clips were uploaded. Shares are in [0, 1]; NaN where no dancer or clip counts.
    """

    granted: int
    top_1: float
    top_1_lift: float
    top_10: float
    top_10_lift: float
    reactions: float
    regret: float
    gini: float
    discovered: float
    use: float


def measure(world: World, exposures: Int64, *, oracle: Int64, use: float) -> Measures:
    """The measures of ``exposures`` (N,), impressions by clip, against those of the oracle, (N,)."""
    best = float(world.rates @ oracle)
    reactions = float(world.rates @ exposures)
    one, ten = (top_share(world, exposures, share) for share in (0.01, 0.1))
    return Measures(
        granted=int(exposures.sum()),
        top_1=one[0],
        top_1_lift=one[1],
        top_10=ten[0],
        top_10_lift=ten[1],
        reactions=reactions,
        regret=1 - reactions / best if best else float("nan"),
        gini=gini(by_dancer(world, exposures)),
        discovered=discovered(world, exposures),
        use=use,
    )


def top_share(world: World, exposures: Int64, share: float) -> tuple[float, float]:
    """Of all impressions, what the best ``share`` of each challenge's clips got; and as a multiple of their equal
    part.
    """
    top, total = world.top(share), int(exposures.sum())
    if not total or not top.any():
        return float("nan"), float("nan")
    got = float(exposures[top].sum() / total)
    return got, got / float(top.mean())


def gini(amounts: Float64) -> float:
    """Gini's coefficient: mean absolute difference of any two, over twice the mean; 0 where all are equal.

    By order: 2 Σ i·x_i / (n Σ x_i) − (n + 1) / n, with x_i ascending and i from 1. NaN without any amount.
    """
    ascending, total = np.sort(amounts), float(amounts.sum())
    if not total:
        return float("nan")
    count = len(ascending)
    return float(2 * (np.arange(1, count + 1) @ ascending) / (count * total) - (count + 1) / count)


def by_dancer(world: World, exposures: Int64) -> Float64:
    """Impressions of each dancer with a clip in the period, in the order of their ids."""
    _, dancer = np.unique([clip.dancer_id for clip in world.clips], return_inverse=True)
    views: Float64 = np.bincount(dancer, weights=exposures).astype(np.float64)
    return views


def discovered(world: World, exposures: Int64, threshold: float = DISCOVERED_FROM) -> float:
    """Share of the newcomers with a clip in the eventual top who were discovered with such a clip."""
    total = exposures.sum()
    if not total:
        return float("nan")
    seen = exposures * len(world) >= threshold * total
    found: dict[str, bool] = {}
    for index in np.flatnonzero(world.top(NEWCOMERS_TOP)).tolist():
        dancer = world.clips[index].dancer_id
        if dancer in world.newcomers:
            found[dancer] = found.get(dancer, False) or bool(seen[index])
    return sum(found.values()) / len(found) if found else float("nan")
