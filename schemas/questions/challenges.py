"""How scores are distributed, in one challenge and in all together, and how a challenge grows."""

from dataclasses import dataclass
from typing import Final, Literal

from schemas.modalities import Dimension
from schemas.questions.retrieval import Window

MAX_BINS: Final = 100
PERCENTILES: Final = (1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0)
GrowthPeriod = Literal["minute", "hour", "day"]


@dataclass(frozen=True)
class ChallengeDistribution:
    """How the scores of a challenge by ``dimension`` are distributed: an exact histogram from the lowest to the
    highest.

    Bin i holds ``counts[i]`` scores with edges[i] ≤ score < edges[i+1], the last bin also those at its upper edge;
    together they are the ``clips`` that have a score. Both lists are empty without any. ``window``, ``since_ms`` and
    ``style`` are those of ``Ranking``.
    """

    challenge_id: str
    dimension: Dimension
    generation: str
    clips: int
    edges: list[float]
    counts: list[int]
    window: Window = "all"
    since_ms: int | None = None
    style: str | None = None


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


@dataclass(frozen=True)
class Quantile:
    """``percentile`` percent of the scores are at most ``score``."""

    percentile: float
    score: float


@dataclass(frozen=True)
class ScoreDistribution:
    """How the scores by ``dimension`` are distributed that ``generation`` ever gave, in all challenges together.

    An estimate: every percentile is off by at most ``rank_error`` percentage points, at 99 % confidence; 0 where it is
    exact. ``scores`` counts them; a clip that was scored again or deleted still counts. ``percentile`` is that of
    ``score``, if one was named, as ``RankedClip`` has it.
    """

    generation: str
    dimension: Dimension
    scores: int
    rank_error: float
    lowest: float
    highest: float
    quantiles: list[Quantile]
    score: float | None = None
    percentile: float | None = None


@dataclass(frozen=True)
class UnrankedClip:
    """A clip outside what the model was trained on. ``training_distance`` is that of ``ClipSummary``, ``score`` the
    fused one.
    """

    clip_id: str
    dancer_id: str
    training_distance: float
    score: float


@dataclass(frozen=True)
class UnrankedClips:
    """Clips of a challenge that are in no ranking, by id. ``after``: the last of them, for the next page; ``None`` on
    the last page.
    """

    challenge_id: str
    generation: str
    clips: list[UnrankedClip]
    after: str | None
