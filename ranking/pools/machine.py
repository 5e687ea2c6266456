"""The state machine of the traffic pools: from what is known and an event to what changes and what was decided.

::

    rated ──► nominated ──► tier 1 ◄──────► tier 2 ◄─ … ─► last tier        any tier ──► expired, deleted
      │          ▲ queued    ▲  promoted ►  ◄ demoted
      ├─► not nominated ─────┘ explored
      └─► outside training

Everything that a decision depends on is in the arguments, the time too; equal arguments give equal transitions.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ranking.pools.bounds import wilson
from ranking.pools.entry import decided, enter
from ranking.pools.nomination import NO_DECILE, decile_of, nomination
from ranking.pools.policy import MS, Policy
from ranking.pools.state import (
    NOTHING,
    Cohort,
    Counts,
    Engaged,
    Explored,
    PooledClip,
    PoolEvent,
    PoolView,
    Rated,
    Removed,
    Reviewed,
    Transition,
)
from schemas.modalities import Dimension
from schemas.pools import Deferral, Lane, Rule

SKEW_MS: Final = 3_600_000
"""How far an observation's time stamp may lie ahead of when it is handled, by clocks that differ."""


def transition(policy: Policy, view: PoolView, event: PoolEvent) -> Transition:
    """The changes that ``event`` causes. The caller applies them before it passes the next event."""
    before = view.clip(event.clip_id)
    change = _HANDLERS[type(event)](policy, view, before, event)
    clip = change.clip
    if clip is None or clip == before:
        return change._replace(clip=None)
    seen = before.seen if before is not None else Counts(0, 0)
    if clip.seen == seen:  # it may differ after a grant too, where impressions are unknown
        return change
    more = Counts(clip.seen.reactions - seen.reactions, clip.seen.views - seen.views)
    return change._replace(learned=(clip.cohort, more))


def leaves_at_ms(policy: Policy, clip: PooledClip) -> int:
    """When a clip has stayed long enough: in its tier, or as a candidate or queued since it was rated. A tier that the
    policy no longer has, it has to leave at once.
    """
    if clip.tier is None:
        return clip.rated_at_ms + policy.tiers[0].stay_s * MS
    stay_s = policy.tiers[policy.index(clip.tier)].stay_s if policy.has(clip.tier) else 0
    return clip.entered_at_ms + stay_s * MS


def _rated(policy: Policy, view: PoolView, known: PooledClip | None, event: Rated) -> Transition:
    if known is not None:
        return NOTHING  # a duplicate, or an upload again; a deleted clip stays deleted
    has_percentiles = event.challenge_clips >= policy.nomination.fewest_clips
    percentiles = event.percentiles if has_percentiles else {}
    fused, best = percentiles.get(Dimension.FUSED), nomination(policy, percentiles)
    clip = PooledClip(
        clip_id=event.clip_id,
        dancer_id=event.dancer_id,
        challenge_id=event.challenge_id,
        rated_at_ms=event.at_ms,
        cohort=Cohort(event.challenge_id, decile_of(fused)),
        percentile=fused,
    )
    if event.outside_training:
        return _left(policy, clip, Rule.OUTSIDE_TRAINING, event.at_ms)
    if best is None:
        limit = policy.nomination.thresholds.get(Dimension.FUSED) if fused is not None else None
        return decided(policy, clip, Rule.NOT_NOMINATED, event.at_ms, tier=None, limit=limit)
    clip = msgspec.structs.replace(clip, nominated_by=best.by, percentile=best.percentile, standing=best.standing)
    return enter(policy, view, clip, policy.tiers[0], Lane.NOMINATED, event.at_ms)


def _engaged(policy: Policy, view: PoolView, clip: PooledClip | None, event: Engaged) -> Transition:
    if clip is None:
        return Transition(deferred=Deferral.UNKNOWN_CLIP)
    if clip.deleted:
        return Transition(deferred=Deferral.DELETED_CLIP)
    if event.observed_at_ms > event.at_ms + SKEW_MS:
        return Transition(deferred=Deferral.FUTURE_OBSERVATION)
    observed = _observed(clip, event)
    if observed == clip:
        return NOTHING
    return _judged(policy, view, observed, event.at_ms)


def _observed(clip: PooledClip, event: Engaged) -> PooledClip:
    """The latest observation holds, also where counts fell; of two at one moment the greater. Impressions are kept
    apart, as some observations lack them. So the order in which observations come makes no difference.
    """
    if (event.observed_at_ms, event.reactions) > (clip.observed_at_ms, clip.reactions):
        clip = msgspec.structs.replace(clip, observed_at_ms=event.observed_at_ms, reactions=event.reactions)
    if event.views is not None and (event.observed_at_ms, event.views) > (clip.views_observed_at_ms, clip.views or 0):
        clip = msgspec.structs.replace(clip, views_observed_at_ms=event.observed_at_ms, views=event.views)
    return clip


def _reviewed(policy: Policy, view: PoolView, clip: PooledClip | None, event: Reviewed) -> Transition:
    if clip is None or clip.gone:
        return NOTHING
    if clip.tier is not None and not policy.has(clip.tier):
        return _left(policy, clip, Rule.RETIRED, event.at_ms)
    if event.at_ms >= leaves_at_ms(policy, clip):
        return _left(policy, clip, Rule.EXPIRED, event.at_ms)
    if clip.wants is None:
        return NOTHING
    if clip.tier is None:
        return enter(policy, view, clip, policy.tiers[0], Lane.NOMINATED, event.at_ms)
    return _judged(policy, view, clip, event.at_ms)


def _explored(policy: Policy, view: PoolView, clip: PooledClip | None, event: Explored) -> Transition:
    if clip is None or not clip.is_candidate or event.at_ms >= leaves_at_ms(policy, clip):
        return NOTHING
    return enter(policy, view, clip, policy.tiers[0], Lane.EXPLORED, event.at_ms)


def _removed(policy: Policy, _view: PoolView, clip: PooledClip | None, event: Removed) -> Transition:
    if clip is None:
        # Remembered, so that a late upload does not bring it back.
        cohort = Cohort("", NO_DECILE)
        absent = PooledClip(
            clip_id=event.clip_id, dancer_id="", challenge_id="", rated_at_ms=event.at_ms, cohort=cohort
        )
        return Transition(clip=msgspec.structs.replace(absent, gone=True, deleted=True))
    if clip.deleted:
        return NOTHING
    forgotten = PooledClip(
        clip_id=clip.clip_id,
        dancer_id="",
        challenge_id=clip.challenge_id,
        rated_at_ms=clip.rated_at_ms,
        cohort=clip.cohort,
        tier=clip.tier,
        granted=clip.granted,
        decisions=clip.decisions,
        deleted=True,
    )
    return _left(policy, forgotten, Rule.DELETED, event.at_ms)


_HANDLERS: Final[dict[type[PoolEvent], Callable[[Policy, PoolView, PooledClip | None, Any], Transition]]] = {
    Rated: _rated,
    Engaged: _engaged,
    Reviewed: _reviewed,
    Explored: _explored,
    Removed: _removed,
}


def _judged(policy: Policy, view: PoolView, clip: PooledClip, at_ms: int) -> Transition:
    """Promote, demote or leave a clip by what was seen of it."""
    if clip.tier is None or clip.gone:
        return Transition(clip=clip)
    if not policy.has(clip.tier):
        return _left(policy, clip, Rule.RETIRED, at_ms)
    index = policy.index(clip.tier)
    tier, enough = policy.tiers[index], clip.seen.views >= policy.tiers[index].least_views
    bounds = wilson(*clip.seen, policy.z)
    if enough and tier.gate is not None and bounds.low >= tier.gate:
        return enter(policy, view, clip, policy.tiers[index + 1], Lane.PROMOTED, at_ms, bound=bounds.low)
    # Where impressions are unknown, few reactions may mean few impressions as well: only what is known counts against a
    # clip.
    if enough and clip.views is not None and bounds.high < tier.floor:
        facts = {"bound": bounds.high, "limit": tier.floor}
        if index == 0:
            return _left(policy, clip, Rule.DEMOTED, at_ms, **facts)
        lower = msgspec.structs.replace(clip, wants=None, entered_at_ms=at_ms)
        return decided(policy, lower, Rule.DEMOTED, at_ms, tier=policy.tiers[index - 1].name, **facts)
    if clip.wants is not None:
        stays = msgspec.structs.replace(clip, wants=None)
        return decided(policy, stays, Rule.KEPT, at_ms, tier=clip.tier, bound=bounds.low, limit=tier.gate)
    return Transition(clip=clip)


def _left(policy: Policy, clip: PooledClip, rule: Rule, at_ms: int, **facts: Any) -> Transition:
    """The clip leaves permanently."""
    return decided(policy, msgspec.structs.replace(clip, wants=None, gone=True), rule, at_ms, tier=None, **facts)
