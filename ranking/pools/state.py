"""State of the pools: clips, budgets and cohorts; and the events that change it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import Deferral, Scope


class Counts(NamedTuple):
    """Reactions and impressions, of a clip (never more reactions than impressions) or of many."""

    reactions: int
    views: int


class Cohort(NamedTuple):
    """Clips of which exploration expects the same: one challenge, one decile of its fused percentiles.

    ``decile`` counts from 0; it is -1 while the challenge is too small for percentiles.
    """

    challenge_id: str
    decile: int


class Budget(NamedTuple):
    """Something whose use in one window of one tier is limited: the tier itself, a lane of it, or what one ``holder``
    may get, a dancer or a challenge.
    """

    tier: str
    window_start_ms: int
    scope: Scope
    holder: str = ""


class PooledClip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip as the pools know it.

    ``tier`` is where it is (``None``: in no pool), ``wants`` the tier it waits to enter, ``gone`` that it left for
    good, ``deleted`` that it must never come back. ``granted`` counts all exposures that it was promised, ``decisions``
    the decisions made about it. ``reactions`` are those of the latest observation, ``views`` those of the latest
    that knew them.
    """

    clip_id: str
    dancer_id: str
    challenge_id: str
    rated_at_ms: int
    cohort: Cohort
    standing: float = 0.0
    """How far above the threshold that nominated it, as a share of the way to the top; waiting clips go by it."""
    nominated_by: Dimension | None = None
    percentile: float | None = None
    tier: str | None = None
    wants: str | None = None
    entered_at_ms: int = 0
    granted: int = 0
    reactions: int = 0
    observed_at_ms: int = -1
    views: int | None = None
    views_observed_at_ms: int = -1
    gone: bool = False
    deleted: bool = False
    decisions: int = 0

    @property
    def seen(self) -> Counts:
        """Observed reactions and impressions. While impressions are unknown, the granted ones are used: the pools
        caused no more, so that the rate is not overestimated.
        """
        if self.observed_at_ms < 0:
            return Counts(0, 0)
        views = self.granted if self.views is None else self.views
        return Counts(min(self.reactions, views), views)

    @property
    def is_candidate(self) -> bool:
        """Whether exploration may pick it."""
        return self.tier is None and self.wants is None and not self.gone


class Rated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A clip was scored. ``percentiles`` are within its challenge of ``challenge_clips`` clips, this one included.

    ``outside_training``: its features lie outside what the model was trained on, so that its score says nothing.
    """

    clip_id: str
    dancer_id: str
    challenge_id: str
    percentiles: Mapping[Dimension, float]
    challenge_clips: int
    at_ms: int
    outside_training: bool = False


class Engaged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Cumulative counts of a clip, as they were at ``observed_at_ms``. ``views`` are ``None`` where unknown."""

    clip_id: str
    observed_at_ms: int
    reactions: int
    views: int | None
    at_ms: int


class Reviewed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Time has passed: a clip may have stayed long enough, or there may be room now where it waits."""

    clip_id: str
    at_ms: int


class Explored(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A candidate was drawn."""

    clip_id: str
    at_ms: int


class Removed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A clip was deleted."""

    clip_id: str
    at_ms: int


PoolEvent = Rated | Engaged | Reviewed | Explored | Removed
"""``at_ms`` is when the event is handled, UTC; grants count for the window of that moment."""


class Transition(NamedTuple):
    """What an event changes: the clip's new state, impressions granted by budget, counts seen by cohort; and the
    decisions.

    ``deferred`` says why an observation cannot be counted now; one of the future would keep all true ones from
    counting. An event without effect gives ``NOTHING``.
    """

    clip: PooledClip | None = None
    spent: Mapping[Budget, int] = {}
    learned: tuple[Cohort, Counts] | None = None
    decisions: tuple[PoolDecision, ...] = ()
    deferred: Deferral | None = None


NOTHING = Transition()


class PoolView(Protocol):
    """The state that the state machine reads."""

    def clip(self, clip_id: str) -> PooledClip | None: ...

    def used(self, budget: Budget) -> int:
        """Impressions granted from a budget so far."""
        ...


class PoolState(PoolView, Protocol):
    """What a round over all clips may look at besides. Orders need not be stable; the round sorts."""

    def due(self, at_ms: int) -> Iterable[PooledClip]:
        """Clips that may have stayed long enough by ``at_ms`` (``ranking.pools.machine.leaves_at_ms``). Asking changes
        nothing: the same come again until they have left.
        """
        ...

    def waiting(self) -> Iterable[PooledClip]:
        """Clips that want a tier."""
        ...

    def candidates(self) -> Iterable[PooledClip]:
        """Clips that exploration may pick."""
        ...

    def counts(self, cohort: Cohort) -> Counts:
        """Observed counts of a cohort."""
        ...
