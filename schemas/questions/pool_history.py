"""What the traffic pools did before: the budgets of past windows, and the decisions in the order they were made."""

from dataclasses import dataclass
from typing import Final

from schemas.pools import Lane
from schemas.questions.pools import Described, ExplainedDecision

MOST_WINDOWS: Final = 500
MOST_DECISIONS: Final = 200


@dataclass(frozen=True, kw_only=True)
class LaneGrants(Described):
    """What one lane of a tier granted in a window."""

    lane: Lane
    """The lane."""
    used: int
    """Impressions granted."""


@dataclass(frozen=True, kw_only=True)
class TierGrants(Described):
    """What a tier granted in a window."""

    tier: str
    """Its name."""
    capacity: int | None
    """Most impressions in the window, by the policy that was active at its end; null if that has no such tier."""
    used: int
    """Impressions granted."""
    lanes: list[LaneGrants]
    """Of these, by the ways in; lanes that granted nothing are left out."""


@dataclass(frozen=True, kw_only=True)
class PastWindow(Described):
    """One window of the budgets. Times are milliseconds since the epoch, UTC."""

    start_ms: int
    """When it began."""
    end_ms: int
    """When it ended, or will end."""
    policy_version: str
    """The policy that was active at its end, or is now."""
    tiers: list[TierGrants]
    """From the smallest exposure to the greatest, then those that the policy no longer had."""


@dataclass(frozen=True, kw_only=True)
class PoolHistoryAnswer(Described):
    """The use of budgets over time."""

    at_ms: int
    """Time of the answer, milliseconds since the epoch, UTC."""
    windows: list[PastWindow]
    """The latest windows, oldest first; the last one is the current one. Windows before the first policy are absent."""


@dataclass(frozen=True, kw_only=True)
class ListedDecision(Described):
    """A decision among those about all clips."""

    sequence: int
    """Its number among all decisions; rises with each decision about one clip."""
    challenge_id: str | None
    """The clip's challenge; null once the clip is deleted and it is not known any more."""
    decision: ExplainedDecision
    """The decision and its reason."""


@dataclass(frozen=True, kw_only=True)
class DecisionsAnswer(Described):
    """Decisions of the traffic pools, newest first."""

    decisions: list[ListedDecision]
    """A page of them."""
    next_cursor: int | None
    """`after` of the next page, of older ones; null on the last."""
