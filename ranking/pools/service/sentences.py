"""Decisions of the pools as sentences."""

from ranking.pools.bounds import wilson
from ranking.pools.policy import Policy, Tier
from ranking.pools.state import PooledClip
from schemas.events import PoolDecision
from schemas.pools import SCOPES, Lane, Limit, Rule, Scope


def sentence(decision: PoolDecision) -> str:
    """The decision and its reason. It begins with the rule and has no full stop."""
    try:
        rule = Rule(decision.rule)
    except ValueError:  # of another release
        return _other(decision)
    match rule:
        case Rule.NOMINATED:
            return _nominated(decision)
        case Rule.NOT_NOMINATED:
            return _not_nominated(decision)
        case Rule.OUTSIDE_TRAINING:
            return "outside-training: its features are unlike all that the model was trained on; it enters no tier"
        case Rule.QUEUED:
            return _queued(decision)
        case Rule.EXPLORED:
            return _explored(decision)
        case Rule.PROMOTED:
            return _promoted(decision)
        case Rule.HELD:
            return _held(decision)
        case Rule.KEPT:
            return _kept(decision)
        case Rule.DEMOTED:
            return _demoted(decision)
        case Rule.EXPIRED:
            return _expired(decision)
        case Rule.RETIRED:
            return _retired(decision)
        case Rule.DELETED:
            return _deleted(decision)


def unchanged(policy: Policy, clip: PooledClip) -> str:
    """Why what was observed of ``clip`` leads to no decision."""
    if clip.tier is None:
        why = f"waits for {clip.wants}" if clip.wants is not None else "is in no tier; exploration may draw it"
        return f"no decision: it {why}, and reactions count only in a tier"
    tier = policy.tiers[policy.index(clip.tier)]
    if clip.seen.views < tier.least_views:
        return f"stays in {tier.name}: judged from {_impressions(tier.least_views)} on; it has {clip.seen.views:,}"
    low, high = wilson(*clip.seen, policy.z)
    limits = [f"gate {_rate(tier.gate)}"] * (tier.gate is not None) + [f"floor {_rate(tier.floor)}"] * (tier.floor > 0)
    text = f"; {', '.join(limits)}" if limits else ""
    unknown = "; nothing is demoted while impressions are unknown" if clip.views is None and high < tier.floor else ""
    return f"stays in {tier.name}: {_rate(low)} to {_rate(high)} of viewers react ({_of(*clip.seen)}{text}){unknown}"


def needed(policy: Policy, tier: Tier) -> str:
    """What decides about a clip in ``tier``."""
    index = policy.index(tier.name)
    text = f"judged from {_impressions(tier.least_views)} in all"
    if tier.gate is not None:
        text += f"; to {policy.tiers[index + 1].name} if surely {_rate(tier.gate)} of viewers react, or more"
    if tier.floor:
        down = f"back to {policy.tiers[index - 1].name}" if index else "out"
        text += f"; {down} if surely less than {_rate(tier.floor)} react"
    return text


def _nominated(d: PoolDecision) -> str:
    return f"nominated into {d.tier} by {_score(d)}; {_granted(d)} for nominated clips in this window"


def _not_nominated(d: PoolDecision) -> str:
    if d.percentile is None:
        return "not nominated: its challenge has too few clips for percentiles; exploration may draw it"
    fused = f"its fused one is {d.percentile:.4g}" + ("" if d.limit is None else f", the threshold {d.limit:g}")
    return f"not nominated: no percentile reaches its threshold ({fused}); exploration may draw it"


def _queued(d: PoolDecision) -> str:
    tier, no_room = _no_room(d)
    return f"queued for {tier}: nominated by {_score(d)}, but {no_room}"


def _explored(d: PoolDecision) -> str:
    return f"explored: drawn into {d.tier}; {_granted(d)} that exploration may grant by then"


def _promoted(d: PoolDecision) -> str:
    return f"promoted from {d.previous_tier} to {d.tier}: {_at_least(d)}; {_granted(d)} there in this window"


def _held(d: PoolDecision) -> str:
    tier, no_room = _no_room(d)
    return f"held in {d.tier}: {_at_least(d)}, which leads to {tier}, but {no_room}"


def _kept(d: PoolDecision) -> str:
    stays = f"kept in {d.tier}, no longer waiting"
    if d.limit is None:
        return f"{stays}: it is the last tier now"
    if d.bound is not None and d.bound >= d.limit:
        return f"{stays}: {_impressions(d.views)} are too few to judge it again"
    text = f"at least {_rate(d.bound)} of viewers react ({_of(d.reactions, d.views)})"
    return f"{stays}: {text}, below the gate of {_rate(d.limit)}"


def _demoted(d: PoolDecision) -> str:
    where = f"demoted from {d.previous_tier} to {d.tier}" if d.tier is not None else f"demoted out of {d.previous_tier}"
    return f"{where}: at most {_rate(d.bound)} of viewers react ({_of(d.reactions, d.views)}; floor {_rate(d.limit)})"


def _expired(d: PoolDecision) -> str:
    if d.previous_tier is None:
        return "expired: no tier let it in before its time was over"
    seen = f"reactions of {_of(d.reactions, d.views)} viewers" if d.views else "nothing observed"
    return f"expired: its time in {d.previous_tier} was over, with {seen}"


def _retired(d: PoolDecision) -> str:
    return f"retired: policy {d.policy_version} has no tier {d.previous_tier}"


def _deleted(d: PoolDecision) -> str:
    return "deleted" if d.previous_tier is None else f"deleted: it was in {d.previous_tier}"


def _other(d: PoolDecision) -> str:
    """The sentence of a rule that this release does not know."""
    return f"{d.rule}: from {d.previous_tier or 'no tier'} to {d.tier or 'no tier'}"


def _score(d: PoolDecision) -> str:
    threshold = "" if d.limit is None else f", threshold {d.limit:g}"
    percentile = "unknown" if d.percentile is None else f"{d.percentile:.4g}"
    return f"its {d.decided_by} score (percentile {percentile} in its challenge{threshold})"


def _at_least(d: PoolDecision) -> str:
    return f"at least {_rate(d.bound)} of viewers react ({_of(d.reactions, d.views)}; gate {_rate(d.limit)})"


def _granted(d: PoolDecision) -> str:
    return f"{_impressions(d.exposures)} granted, {d.budget_left or 0:,} left"


def _no_room(d: PoolDecision) -> tuple[str, str]:
    """The tier that is waited for, and what has no room in it."""
    tier, _, scope = (d.budget or "").partition(", ")
    whose = _whose(SCOPES[scope], tier) if scope in SCOPES else scope
    left = f"only {_impressions(d.budget_left)}" if d.budget_left else "no impressions"
    return tier, f"{whose} has {left} left in this window"


def _whose(scope: Scope, tier: str) -> str:
    match scope:
        case Limit.TIER | Lane.PROMOTED:
            return tier
        case Lane.NOMINATED:
            return f"{tier}'s part for nominated clips"
        case Lane.EXPLORED:
            return f"{tier}'s part for exploration"
        case Limit.DANCER:
            return f"its dancer's cap in {tier}"
        case Limit.CHALLENGE:
            return f"its challenge's cap in {tier}"


def _of(reactions: int, views: int) -> str:
    return f"{reactions:,} of {views:,}"


def _impressions(views: int) -> str:
    return f"{views:,} impression{'' if views == 1 else 's'}"


def _rate(rate: float | None) -> str:
    return "an unknown share" if rate is None else f"{100 * rate:.3g}%"
