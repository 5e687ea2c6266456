"""Which clips are nominated, and which cohort a clip belongs to."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from ranking.pools.policy import Policy
from schemas.modalities import DIMENSIONS, Dimension

DECILES: Final = 10
NO_DECILE: Final = -1
"""``Cohort.decile`` of a clip without a fused percentile, as in a challenge that is too small."""


class Nomination(NamedTuple):
    """``standing``: (percentile − threshold) / (100 − threshold)."""

    standing: float
    by: Dimension
    percentile: float


def nomination(policy: Policy, percentiles: Mapping[Dimension, float]) -> Nomination | None:
    """The nomination by the dimension with the greatest ``standing``; of equals, the first."""
    found = []
    for dimension in DIMENSIONS:
        threshold, percentile = policy.nomination.thresholds.get(dimension), percentiles.get(dimension)
        if threshold is not None and percentile is not None and percentile >= threshold:
            standing = (percentile - threshold) / (100 - threshold)
            found.append(Nomination(standing, dimension, percentile))
    return max(found, key=lambda each: each.standing, default=None)


def decile_of(percentile: float | None) -> int:
    """The decile of a percentile, 0 to 9."""
    return NO_DECILE if percentile is None else min(int(percentile * DECILES / 100), DECILES - 1)
