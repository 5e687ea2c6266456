"""The policy of the traffic pools: what an operator decides, as data."""

from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from ranking.pools.bounds import deviations, wilson
from ranking.pools.toml_places import Place, dotted
from schemas.errors import FinalError
from schemas.identifiers import Identifier
from schemas.modalities import Dimension

Positive = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
Prior = Annotated[float, msgspec.Meta(gt=0.0, le=1e9)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Percentile = Annotated[float, msgspec.Meta(ge=0.0, lt=100.0)]  # no clip ever stands at 100 itself
Rate = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
MS: Final = 1000


class PolicyError(FinalError):
    """A policy of the traffic pools that cannot work; ``place`` says where in it."""

    code = "policy"
    remedy = "Correct the line of the policy file that the message names; `dancerank pools check` tries a file."

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message, field=dotted(place))
        self.place = place


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of a policy and its parts."""


class Tier(_Part, frozen=True, kw_only=True):
    """One pool. A *reaction rate* is (likes + comments + reposts) / impressions, the counts of Eq. (1) per exposure."""

    name: Identifier
    exposures: Positive
    """Impressions that a clip is granted when it enters."""
    capacity: Positive
    """Most impressions that are granted in one window, to all clips together."""
    least_views: Positive
    """Impressions in all that a clip needs before it is judged."""
    gate: Rate | None = None
    """Lower bound of the reaction rate from which a clip is promoted to the next tier; the last tier has none."""
    floor: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    """Upper bound of the reaction rate below which a clip is demoted to the tier before; from the first it leaves."""
    stay_s: Seconds
    """Seconds after which a clip leaves, in any tier."""


class Nomination(_Part, frozen=True, kw_only=True):
    """A clip is nominated when its percentile within its challenge reaches *any* of the thresholds."""

    thresholds: dict[Dimension, Percentile]
    fewest_clips: Positive = 20
    """Clips that a challenge needs before a percentile in it means anything; until then no clip is nominated."""


class Exploration(_Part, frozen=True, kw_only=True):
    """The share of the first tier's capacity for clips that no score nominated."""

    share: Share = 0.1
    method: Literal["thompson", "uniform"] = "thompson"
    """Whom to show: by a draw from what is known of such clips (the same challenge and decile of it), or anyone."""
    prior_reactions: Prior = 1.0
    """Reactions imagined before any were seen: α of the Beta distribution that is drawn from."""
    prior_views: Prior = 20.0
    """Impressions without a reaction imagined likewise: β."""


class Caps(_Part, frozen=True, kw_only=True):
    """Most that one dancer, and one challenge, may get of a tier's capacity in a window, as shares of it."""

    dancer: Share = 1.0
    challenge: Share = 1.0


class Policy(_Part, frozen=True, kw_only=True):
    """A whole policy. Raises ``PolicyError`` if its parts contradict each other."""

    version: Identifier
    """Stands in every decision. Change it with every change of the policy."""
    window_s: Seconds
    """Length of the windows that capacities are for; they start at multiples of it since 1970, UTC."""
    confidence: Annotated[float, msgspec.Meta(gt=0.5, lt=1.0)] = 0.95
    """Confidence level of the bounds that gates and floors are compared with, each one-sided."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)] = 0
    """Seed of the draws of the exploration."""
    tiers: Annotated[tuple[Tier, ...], msgspec.Meta(min_length=1)]
    """From the smallest exposure to the greatest."""
    nomination: Nomination
    exploration: Exploration = Exploration()
    caps: Caps = Caps()

    def __post_init__(self) -> None:
        for index in range(len(self.tiers)):
            if index:
                self._check_order(index)
            self._check_tier(index)
            self._check_budgets(index)
        if not self.nomination.thresholds and not self.exploration.share:
            problem = "no clip could ever enter: give a threshold that nominates, or a share to explore"
            raise PolicyError(problem, ("nomination", "thresholds"))

    @property
    def z(self) -> float:
        """``confidence`` in deviations."""
        return deviations(self.confidence)

    @property
    def window_ms(self) -> int:
        return self.window_s * MS

    def window_start_ms(self, at_ms: int) -> int:
        return at_ms - at_ms % self.window_ms

    def has(self, tier: str) -> bool:
        """Whether there is a tier of that name."""
        return any(found.name == tier for found in self.tiers)

    def index(self, tier: str) -> int:
        """The place of a tier; ``KeyError`` for one that this policy does not have."""
        for index, found in enumerate(self.tiers):
            if found.name == tier:
                return index
        raise KeyError(tier)

    def explored_capacity(self) -> int:
        """Impressions of the first tier's window kept for exploration; nominated clips get the others."""
        return part(self.tiers[0].capacity, self.exploration.share)

    def _check_order(self, index: int) -> None:
        before, tier, place = self.tiers[index - 1], self.tiers[index], ("tiers", index)
        if tier.name in {t.name for t in self.tiers[:index]}:
            raise PolicyError(f"there are two tiers called {tier.name}; give each its own name", (*place, "name"))
        for field, first, second in (
            ("exposures", before.exposures, tier.exposures),
            ("least_views", before.least_views, tier.least_views),
            ("gate", before.gate, tier.gate),
        ):
            if first is not None and second is not None and second <= first:
                problem = (
                    f"overlaps {before.name}, where it is {first:g}; {second:g} is too little, give more than there"
                )
                raise PolicyError(problem, (*place, field))
        if before.gate is not None and tier.floor > before.gate:
            problem = (
                f"clips enter by {before.name}'s gate, {before.gate:g}, and would leave at once below {tier.floor:g}; "
                "give at most that gate"
            )
            raise PolicyError(problem, (*place, "floor"))

    def _check_tier(self, index: int) -> None:
        tier, place, last = self.tiers[index], ("tiers", index), index == len(self.tiers) - 1
        granted = sum(t.exposures for t in self.tiers[: index + 1])
        if tier.least_views > granted:
            problem = f"no clip would be judged: up to here it is granted {granted} impressions; give at most that"
            raise PolicyError(problem, (*place, "least_views"))
        if last and tier.gate is not None:
            raise PolicyError("the last tier's gate leads nowhere; leave it out, or add a tier", (*place, "gate"))
        if not last and tier.gate is None:
            raise PolicyError("missing; every tier but the last needs one", (*place, "gate"))
        if tier.gate is None:
            return
        highest = wilson(granted, granted, self.z).low
        if highest < tier.gate:
            problem = (
                f"no clip can reach {tier.gate:g}: the bound is at most {highest:.4f}, with a reaction to each of the "
                f"{granted} impressions granted up to here; lower the gate or grant more"
            )
            raise PolicyError(problem, (*place, "gate"))
        if tier.floor >= tier.gate:
            raise PolicyError(f"not below the tier's gate, {tier.gate:g}; give less", (*place, "floor"))

    def _check_budgets(self, index: int) -> None:
        tier, explored = self.tiers[index], self.explored_capacity()
        budgets = {
            ("tiers", index, "capacity"): tier.capacity,
            ("caps", "dancer"): part(tier.capacity, self.caps.dancer),
            ("caps", "challenge"): part(tier.capacity, self.caps.challenge),
        }
        if index == 0 and self.exploration.share:
            budgets[("exploration", "share")] = explored
        for place, views in budgets.items():
            if views < tier.exposures:
                problem = (
                    f"comes to {views} impressions a window of {tier.name}, where a clip is granted {tier.exposures}"
                )
                also = "" if place[-1] == "capacity" else ", or that tier's capacity"
                raise PolicyError(f"{problem}; raise it{also}, or grant less", place)
        if index == 0 and self.nomination.thresholds and tier.capacity - explored < tier.exposures:
            problem = (
                f"leaves {tier.capacity - explored} impressions a window for nominated clips, too few for one; lower it"
            )
            raise PolicyError(problem, ("exploration", "share"))


@lru_cache(maxsize=256)
def part(capacity: int, share: float) -> int:
    """Whole impressions in ``share`` of ``capacity``, the share taken as it is written: 0.29 of 100 is 29."""
    return int(capacity * Fraction(str(share)))
