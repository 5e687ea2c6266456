"""Rules, lanes and budgets of the traffic pools. Each value is the word on the wire, in the database and in metrics.

``match`` over them without a default: mypy then names every place that has to know a new one.
"""

from enum import StrEnum
from typing import Final


class Rule(StrEnum):
    """Why a clip is where it is: the ``rule`` of a decision."""

    NOMINATED = "nominated"
    NOT_NOMINATED = "not-nominated"
    OUTSIDE_TRAINING = "outside-training"
    QUEUED = "queued"
    EXPLORED = "explored"
    PROMOTED = "promoted"
    HELD = "held"
    KEPT = "kept"
    DEMOTED = "demoted"
    EXPIRED = "expired"
    RETIRED = "retired"
    DELETED = "deleted"


class Lane(StrEnum):
    """How a clip enters a tier: nominated or explored into the first one, promoted into the others."""

    NOMINATED = "nominated"
    EXPLORED = "explored"
    PROMOTED = "promoted"

    @property
    def rule(self) -> Rule:
        """The rule of the decision that lets a clip in by this lane."""
        match self:
            case Lane.NOMINATED:
                return Rule.NOMINATED
            case Lane.EXPLORED:
                return Rule.EXPLORED
            case Lane.PROMOTED:
                return Rule.PROMOTED


class Limit(StrEnum):
    """What a budget limits besides a lane: the whole tier, one challenge in it, one dancer in it."""

    TIER = "tier"
    CHALLENGE = "challenge"
    DANCER = "dancer"


Scope = Lane | Limit
"""What a budget limits."""

SCOPES: Final[dict[str, Scope]] = {str(scope): scope for scope in (*Lane, *Limit)}
"""Scopes by their words."""


class ClipState(StrEnum):
    """The state of a clip in the pools."""

    CANDIDATE = "candidate"
    QUEUED = "queued"
    IN_TIER = "in-tier"
    HELD = "held"
    GONE = "gone"
    DELETED = "deleted"


class Deferral(StrEnum):
    """Why an observation cannot be counted yet, or ever."""

    UNKNOWN_CLIP = "unknown_clip"
    DELETED_CLIP = "deleted_clip"
    FUTURE_OBSERVATION = "future_observation"
