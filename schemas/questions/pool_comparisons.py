"""Policies of the traffic pools, compared in simulated worlds: question, answer, and the port of who makes it."""

from dataclasses import dataclass
from typing import Final, Protocol

from schemas.questions.pools import Described

MOST_POLICIES: Final = 2
MOST_SEEDS: Final = 3
FEWEST_CLIPS: Final = 100
MOST_CLIPS: Final = 1200
MOST_DAYS: Final = 28


@dataclass(frozen=True, kw_only=True)
class ComparisonQuestion:
    """``policies``: TOML documents. ``seeds``: a world each, of ``clips`` clips: a fifth is there before, the others
    are uploaded within ``days``.
    """

    policies: tuple[str, ...]
    seeds: tuple[int, ...] = (1,)
    clips: int = 600
    days: float = 7.0


@dataclass(frozen=True, kw_only=True)
class AllocationMeasures(Described):
    """One way to give out the same impressions: means over the seeds. Shares are of 1; null where nothing counts."""

    allocation: str
    """`policy`; or a reference: `popularity only`, `uniform` (the same for everybody), `oracle` (knows every clip's
    true reaction rate).
    """
    top_1: float | None
    """Share of the impressions that went to clips that end up in the best 1 % of their challenge."""
    top_1_lift: float | None
    """That share as a multiple of what these clips get under uniform allocation."""
    top_10: float | None
    """The same for the best 10 %."""
    top_10_lift: float | None
    """That share as a multiple of uniform."""
    regret: float | None
    """Share of the oracle's expected reactions that is lost."""
    gini: float | None
    """Gini's coefficient of the impressions over dancers: 0 equal, 1 all for one."""
    discovered: float | None
    """Share of new dancers with one of the best clips whom it got twice the exposure of uniform allocation."""
    lifts: list[float | None]
    """Mean impressions of a clip, as a multiple of uniform, by twentieths of its eventual percentile."""
    reactions: list[float | None]
    """Expected reactions of what was granted by each of `days` of the policy, over all that the oracle's bring."""


@dataclass(frozen=True, kw_only=True)
class TierMeasures(Described):
    """Use of a tier: means over the seeds."""

    tier: str
    """Its name."""
    entries: float
    """Clips that entered it, while clips were uploaded."""
    granted: float
    """Impressions granted to them."""
    capacity: int
    """Most impressions in that time."""
    by_quarter_day: list[float]
    """Impressions granted in each quarter of a day, from the first upload on."""


@dataclass(frozen=True, kw_only=True)
class PolicyOutcome(Described):
    """What came of a policy."""

    version: str
    """Its version."""
    granted: float
    """Impressions that every allocation gives out: mean over the seeds."""
    allocations: list[AllocationMeasures]
    """The policy and the references."""
    tiers: list[TierMeasures]
    """From the smallest exposure to the greatest."""
    rules: dict[str, float]
    """Decisions by rule: means over the seeds."""
    days: list[float]
    """Days at which `reactions` are given."""


@dataclass(frozen=True, kw_only=True)
class ComparisonAnswer(Described):
    """Policies in the same simulated worlds; arrivals and viewers are the same under each."""

    clips: int
    """Uploads in the simulated period, of each seed."""
    before: int
    """Clips that were there before it: a fifth of those asked for."""
    days: float
    """Its length."""
    seeds: list[int]
    """The seeds; equal ones give equal figures."""
    policies: list[PolicyOutcome]
    """In the order asked for."""


@dataclass(frozen=True, kw_only=True)
class NamedPolicy(Described):
    """A policy to begin with."""

    name: str
    """`active`, or the name of an example that ships."""
    version: str
    """Its version."""
    toml: str
    """Its text."""


class PolicyComparisons(Protocol):
    """What makes comparisons, and knows examples."""

    def examples(self) -> list[NamedPolicy]:
        """The policies that ship."""
        ...

    def compare(self, question: ComparisonQuestion) -> ComparisonAnswer:
        """Raises ``QueryError`` naming what is wrong, ``TooManyAtOnce`` while another comparison is made, and
        ``NotOffered`` where none can be.
        """
        ...
