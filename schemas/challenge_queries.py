"""Answers about one challenge as a whole: how its scores are distributed, and how it grows."""

from dataclasses import dataclass
from typing import Final, Literal

from schemas.modalities import Dimension
from schemas.queries import Window

MAX_BINS: Final = 100
GrowthPeriod = Literal["minute", "hour", "day"]


@dataclass(frozen=True)
class ChallengeDistribution:
    """How the scores of a challenge by ``dimension`` are distributed: an exact histogram from the lowest to the
    highest.

    Bin i holds ``counts[i]`` scores with edges[i] ≤ score < edges[i+1], the last bin also those at its upper edge;
    together they are the ``clips`` that have a score. Both lists are empty without any. ``window`` and ``since_ms`` are
    those of ``Ranking``.
    """

    challenge_id: str
    dimension: Dimension
    generation: str
    clips: int
    edges: list[float]
    counts: list[int]
    window: Window = "all"
    since_ms: int | None = None


@dataclass(frozen=True)
class ChallengeGrowth:
    """How many clips of a challenge were uploaded in each period of ``period_ms``, the first from ``since_ms`` on, the
    last one up to now; and how many ``before`` these. Periods are those of UTC.
    """

    challenge_id: str
    generation: str
    by: GrowthPeriod
    period_ms: int
    since_ms: int
    before: int
    clips: list[int]
