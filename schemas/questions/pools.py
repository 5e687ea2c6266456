"""Questions to the traffic pools and their answers. Plain dataclasses, shared by HTTP, the command line and tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, Final

from schemas.errors import QueryError
from schemas.modalities import Dimension
from schemas.pools import ClipState, Lane, Scope

MAX_COUNT: Final = (1 << 53) - 1


@dataclass(frozen=True, kw_only=True)
class HypotheticalClip:
    """What would the pools decide about such a clip? Exactly one of ``percentiles`` and ``scores`` says how good it is.

    ``percentiles`` (0 to 100) are within the challenge, ``scores`` are compared with the clips that are there.
    ``challenge_clips`` pretends that the challenge has so many clips, this one included; it goes with ``percentiles``.
    Without ``dancer_id`` the dancer is new. With ``reactions``, and ``views`` if known, the clip is judged by
    them once it is let in. Raises ``QueryError`` naming the parameter.
    """

    challenge_id: str
    dancer_id: str | None = None
    percentiles: Mapping[Dimension, float] | None = None
    scores: Mapping[Dimension, float] | None = None
    challenge_clips: int | None = None
    reactions: int | None = None
    views: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("percentiles", "scores") if getattr(self, name)]
        if len(given) != 1:
            got = "both" if given else "neither"
            raise QueryError(f"give percentiles or scores of at least one dimension; got {got}", field="percentiles")
        for dimension, percentile in (self.percentiles or {}).items():
            if not 0 <= percentile <= 100:
                field = f"percentiles.{dimension}"
                raise QueryError(f"{field} is {percentile}; expected 0 to 100", field=field)
        for dimension, score in (self.scores or {}).items():
            if not isfinite(score):
                raise QueryError(f"scores.{dimension} is {score}; expected a number", field=f"scores.{dimension}")
        self._check_counts()

    def _check_counts(self) -> None:
        for name, least in (("challenge_clips", 1), ("reactions", 0), ("views", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value <= MAX_COUNT:
                raise QueryError(f"{name} is {value}; expected {least} or more, below 2^53", field=name)
        if self.challenge_clips is not None and self.scores:
            problem = "scores are compared with the clips that are there; leave it out, or give percentiles"
            raise QueryError(problem, field="challenge_clips")
        if self.views is not None and self.reactions is None:
            raise QueryError("views say nothing without reactions; give both", field="reactions")


class Described:
    """Base of the answers: HTTP describes every field by the text below it."""

    __pydantic_config__: ClassVar[Mapping[str, bool]] = {"use_attribute_docstrings": True}


@dataclass(frozen=True, kw_only=True)
class ExplainedDecision(Described):
    """A decision about a clip, all of its record, and what it says in a sentence. Times are milliseconds since the
    epoch, UTC.
    """

    sentence: str
    """The decision and its reason, for a person."""
    clip_id: str
    """The clip; for a hypothetical clip `hypothetical/clip`, which is not a valid id of a real one."""
    number: int
    """Counts the clip's decisions from 0."""
    tier: str | None
    """The tier of the clip after the decision; null: in none."""
    previous_tier: str | None
    """The tier of the clip before the decision; null: in none."""
    rule: str
    """The rule that applied: `nominated`, `not-nominated`, `outside-training`, `queued`, `explored`, `promoted`,
    `held`, `kept`, `demoted`, `expired`, `retired` or `deleted`.
    """
    decided_by: Dimension | None
    """The dimension whose percentile nominated it."""
    exposures: int
    """Impressions granted with this decision."""
    percentile: float | None
    """Percentile within the challenge, by `decided_by`, or by the fused score where no dimension nominated."""
    reactions: int
    """Reactions known at the time, at most one per impression."""
    views: int
    """Impressions known at the time, or those granted while impressions are unknown."""
    bound: float | None
    """Confidence bound of the reaction rate that was compared: the lower one to promote, the upper one to demote."""
    limit: float | None
    """The threshold that `percentile` or `bound` was compared with."""
    budget: str | None
    """The exhausted budget, if the clip has to wait: tier and scope."""
    budget_left: int | None
    """Impressions left in that budget, or after a grant in the lane that it was taken from."""
    policy_version: str
    """The policy that decided."""
    decided_at_ms: int
    """When it was decided."""


@dataclass(frozen=True, kw_only=True)
class ReactionRate(Described):
    """(likes + comments + reposts) / impressions of a clip, and how sure that is: Wilson's bounds, each one-sided."""

    reactions: int
    """Reactions counted, at most one per impression."""
    views: int
    """Impressions counted, or those granted while impressions are unknown."""
    rate: float | None
    """Their ratio; null without impressions."""
    low: float
    """Lower bound, which is compared with the gate."""
    high: float
    """Upper bound, which is compared with the floor."""
    confidence: float
    """Confidence level of each bound, by the active policy."""


@dataclass(frozen=True, kw_only=True)
class Needs(Described):
    """What decides about a clip next, by its tier in the active policy."""

    sentence: str
    """The same as a sentence."""
    least_views: int
    """Total impressions before it is judged."""
    gate: float | None
    """Lower bound of its reaction rate that leads to the next tier; null in the last one."""
    next_tier: str | None
    """The tier that the gate leads to."""
    floor: float
    """Upper bound of its reaction rate below which it is demoted, or leaves from the first tier."""


@dataclass(frozen=True, kw_only=True)
class BudgetRoom(Described):
    """A budget of one window that entering a tier takes impressions from."""

    tier: str
    """The tier that would be entered."""
    scope: Scope
    """What is limited: the tier, one of its lanes, or the share of one challenge or one dancer."""
    holder: str | None
    """The challenge or the dancer, for these scopes; null for a dancer who is new."""
    capacity: int
    """Most impressions that may be granted from it by now; exploration's grows over the window."""
    used: int
    """Impressions granted so far."""
    left: int
    """Impressions left, before this clip."""
    spends: int
    """Impressions that this decision takes from it."""


@dataclass(frozen=True, kw_only=True)
class Waiting(Described):
    """What a clip waits for, and why."""

    tier: str
    """The tier that it waits for."""
    since_ms: int
    """When it began to wait, milliseconds since the epoch, UTC."""
    budget: str | None
    """The budget that was exhausted then: tier and scope."""
    budget_left: int | None
    """Impressions that were left in it then."""
    short_now: BudgetRoom | None
    """The budget that is exhausted now; null if none is, and it may enter with the next round."""


@dataclass(frozen=True, kw_only=True)
class PooledClipAnswer(Described):
    """A clip in the traffic pools: where it is, what it waits for and needs, and how it got there. Times are
    milliseconds since the epoch, UTC. Little more is kept about a deleted clip than its deletion.
    """

    clip_id: str
    """The clip."""
    dancer_id: str | None
    """Its dancer; null once it is deleted."""
    challenge_id: str | None
    """Its challenge; null if it was deleted before it was scored."""
    at_ms: int
    """Time of the answer."""
    policy_version: str
    """The active policy."""
    state: ClipState
    """`candidate`: in no tier, exploration may draw it. `queued`: nominated, and waits for the first tier. `in-tier`.
    `held`: in a tier, and waits for the next one. `gone`: has left permanently. `deleted`."""
    tier: str | None
    """The tier that it is in; null: in none."""
    waiting: Waiting | None
    """What it waits for, if it does."""
    nominated_by: Dimension | None
    """The dimension whose percentile nominated it."""
    percentile: float | None
    """Percentile within the challenge when it was scored, by that dimension, or by the fused score where none
    nominated.
    """
    rated_at_ms: int
    """When the pools first read its scores."""
    entered_at_ms: int | None
    """When it entered its last tier; null if it never entered any."""
    leaves_at_ms: int | None
    """When it expires; null once it has left."""
    granted: int
    """Impressions granted to it so far."""
    reactions: int
    """Likes, comments and reposts of the latest observation."""
    views: int | None
    """Impressions of the latest observation that knew them."""
    rate: ReactionRate | None
    """Its reaction rate; null before anything was observed."""
    needs: Needs | None
    """What decides about it next, while it is in a tier that the policy has."""
    history: list[ExplainedDecision]
    """Every decision about it, in order."""


@dataclass(frozen=True, kw_only=True)
class LaneUse(Described):
    """Use of a lane of a tier in this window."""

    lane: Lane
    """The lane."""
    capacity: int
    """Most impressions in the whole window."""
    capacity_now: int
    """Most impressions by now: exploration's part grows evenly over the window."""
    used: int
    """Impressions granted so far."""
    left: int
    """Impressions left by now."""
    entries: int
    """Clips that could enter by it now, caps ignored."""


@dataclass(frozen=True, kw_only=True)
class TierUse(Described):
    """Use of a tier in this window."""

    tier: str
    """Its name."""
    clips: int
    """Clips that are in it."""
    waiting: int
    """Clips that wait to enter it."""
    exposures: int
    """Impressions that a clip is granted when it enters."""
    capacity: int
    """Most impressions in the whole window."""
    used: int
    """Impressions granted so far."""
    leased: int
    """Impressions that single workers have leased and not granted so far; part of those left."""
    left: int
    """Impressions left."""
    entries: int
    """Clips that could enter it now, caps ignored."""
    lanes: list[LaneUse]
    """The ways in: nominated and explored into the first tier, promoted into the others."""
    dancer_cap: int
    """Most impressions that one dancer gets in a window."""
    challenge_cap: int
    """Most impressions that one challenge gets in a window."""


@dataclass(frozen=True, kw_only=True)
class PoolsAnswer(Described):
    """The traffic pools at one time. Times are milliseconds since the epoch, UTC."""

    at_ms: int
    """Time of the answer."""
    policy_version: str
    """The active policy."""
    adopted_at_ms: int
    """When it became active."""
    window_start_ms: int
    """When the current window began."""
    window_end_ms: int
    """When it ends, and all budgets are reset."""
    dancer_cap: float
    """Share of each tier's capacity that one dancer may get in a window."""
    challenge_cap: float
    """Share of each tier's capacity that one challenge may get in a window."""
    tiers: list[TierUse]
    """From the smallest exposure to the greatest."""
    candidates: int
    """Clips in no tier that exploration may draw."""
    retiring: int
    """Clips in tiers that the policy no longer has; they leave when they are next reviewed."""
    decisions: int
    """Decisions made so far."""
    published: int
    """Decisions of these that were written to their topic."""


@dataclass(frozen=True, kw_only=True)
class Afterwards(Described):
    """The decision that the reactions would lead to."""

    sentence: str
    """The decision, or why there would be none."""
    decision: ExplainedDecision | None
    """What would be decided; null: nothing would change."""
    rate: ReactionRate
    """The reaction rate that is judged."""
    budgets: list[BudgetRoom]
    """The budgets that the next tier would use, where its gate is reached."""


@dataclass(frozen=True, kw_only=True)
class PoolTryAnswer(Described):
    """What would be decided now about a hypothetical clip. Nothing is written."""

    at_ms: int
    """The moment it was tried for, milliseconds since the epoch, UTC."""
    policy_version: str
    """The active policy."""
    percentiles: dict[Dimension, float]
    """The percentiles it was tried with, within its challenge."""
    challenge_clips: int
    """Clips of the challenge, this one included."""
    fewest_clips: int
    """Clips that a challenge needs before percentiles in it count."""
    decision: ExplainedDecision
    """What would be decided."""
    budgets: list[BudgetRoom]
    """The budgets that the first tier uses; for a clip that is not nominated, as if exploration drew it now."""
    afterwards: Afterwards | None
    """The decision after the given reactions; null if none were given."""
