"""The numbers of the simulator's charts. Legend: B twentieths of the percentile, S quarters of a day, D days."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from dancerank.simulation.comparison import POLICY, Outcome
from dancerank.simulation.world import DAY_MS, Float64

BIN: Final = 5
BINS: Final = 100 // BIN
STEP_DAYS: Final = 0.25

Outcomes = Sequence[Sequence[Outcome]]
"""By policy, then by seed."""


def lifts(outcome: Outcome, name: str) -> Float64:
    """Mean impressions of a clip, as a multiple of uniform allocation, by twentieths of the eventual percentile, (B,);
    NaN without clips.
    """
    exposures = outcome.allocations[name].exposures
    bins = np.minimum((outcome.world.percentiles / BIN).astype(np.int64), BINS - 1)
    clips = np.bincount(bins, minlength=BINS).astype(np.float64)
    views = np.bincount(bins, weights=exposures, minlength=BINS)
    means = np.divide(views, clips, out=np.full(BINS, np.nan), where=clips > 0)
    found: Float64 = means / exposures.mean()
    return found


def steps(outcomes: Sequence[Outcome]) -> Float64:
    """Starts of the quarters of a day up to the last grant of the policy, in days, (S,)."""
    last_ms = max((g.at_ms for o in outcomes for g in o.allocations[POLICY].grants), default=0)
    found: Float64 = np.arange(0, last_ms / DAY_MS + STEP_DAYS, STEP_DAYS)
    return found


def granted_in_steps(outcomes: Sequence[Outcome], tier: int) -> Float64:
    """Impressions that a tier granted in each quarter of a day, mean over the seeds, (S,)."""
    grants = [g for o in outcomes for g in o.allocations[POLICY].grants if g.tier == tier]
    at = np.array([g.at_ms / DAY_MS / STEP_DAYS for g in grants]).astype(np.int64)
    views = np.bincount(at, weights=[g.exposures for g in grants], minlength=len(steps(outcomes)))
    found: Float64 = views / len(outcomes)
    return found


def days_of_grants(outcomes: Sequence[Outcome], count: int) -> Float64:
    """``count`` days, evenly from the start to the last grant of any allocation, (D,)."""
    last_ms = max(g.at_ms for o in outcomes for a in o.allocations.values() for g in a.grants)
    found: Float64 = np.linspace(0, last_ms / DAY_MS, count)
    return found


def reactions_so_far(outcome: Outcome, name: str, days: Float64) -> Float64:
    """Expected reactions of what was granted by each of ``days``, over all that the oracle's bring, (D,)."""
    grants = sorted(outcome.allocations[name].grants)
    at_days = np.array([grant.at_ms for grant in grants]) / DAY_MS
    gained = np.cumsum([outcome.world.rates[grant.clip] * grant.exposures for grant in grants])
    so_far = np.concatenate([[0.0], gained])[np.searchsorted(at_days, days, side="right")]
    whole: Float64 = so_far / outcome.allocations["oracle"].measures.reactions
    return whole
