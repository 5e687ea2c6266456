"""Confidence bounds of a clip's reaction rate."""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """Bounds of a rate, both in [0, 1]."""

    low: float
    high: float


@lru_cache(maxsize=16)
def deviations(confidence: float) -> float:
    """z of a one-sided bound: a standard normal value lies below it with probability ``confidence``, in (0, 1)."""
    return NormalDist().inv_cdf(confidence)


def wilson(successes: int, trials: int, z: float) -> Interval:
    """Wilson's score interval (1927) of a rate of which ``successes`` of ``trials`` were seen; ``z`` > 0 in deviations.

    The bounds are the roots p of (p̂ − p)² = z² p (1 − p) / trials. Without trials nothing is known: [0, 1].
    """
    if trials == 0:
        return Interval(0.0, 1.0)
    squared = z * z
    spread = z * math.sqrt(successes * (trials - successes) / trials + squared / 4)
    above = successes + squared / 2 + spread
    # By the product of the roots, p̂² / (1 + z² / trials): the difference of two near numbers would lose digits.
    low = successes * successes / (trials * above)
    return Interval(min(low, 1.0), min(above / (trials + squared), 1.0))
