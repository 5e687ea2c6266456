"""Answers about the traffic pools on the terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from schemas.pools import ClipState, Limit, Rule
from schemas.questions.pools import (
    BudgetRoom,
    ExplainedDecision,
    PooledClipAnswer,
    PoolsAnswer,
    PoolTryAnswer,
    ReactionRate,
    TierUse,
    Waiting,
)

_NONE: Final = "–"


def clip_tables(clip: PooledClipAnswer) -> Group:
    """The state of a clip, then the decisions about it."""
    facts = _facts(clip.clip_id)
    facts.add_row("state", Text(_state(clip)))
    if clip.challenge_id is not None:
        facts.add_row("challenge", Text(clip.challenge_id))
    if clip.dancer_id is not None:
        facts.add_row("dancer", Text(clip.dancer_id))
    if clip.percentile is not None:
        facts.add_row("percentile", f"{clip.percentile:.4g}, {_whose(clip)}")
    if clip.waiting is not None:
        facts.add_row("waits for", Text(_waits(clip.waiting)))
    if clip.needs is not None:
        facts.add_row("next", Text(clip.needs.sentence))
    facts.add_row("granted", f"{clip.granted:,} impressions")
    if clip.rate is not None:
        views = "unknown impressions" if clip.views is None else f"{clip.views:,} impressions"
        facts.add_row("observed", f"{clip.reactions:,} reactions, {views}; {_rate(clip.rate)}")
    for name, at_ms in (("rated", clip.rated_at_ms), ("entered", clip.entered_at_ms), ("leaves", clip.leaves_at_ms)):
        if at_ms is not None:
            facts.add_row(name, f"{_time(at_ms)} UTC")
    facts.add_row("policy", Text(clip.policy_version))
    if not clip.history:
        return Group(facts, "No decision was made about it.")
    return Group(facts, _history(clip.history))


def pools_tables(pools: PoolsAnswer) -> Group:
    """Every tier with its ways in, then the totals."""
    columns = [Column("tier"), Column("way in")]
    columns += [
        Column(name, justify="right") for name in ("clips", "waiting", "capacity", "by now", "used", "left", "room for")
    ]
    window = f"Policy {pools.policy_version}, window {_time(pools.window_start_ms)} to {_time(pools.window_end_ms)} UTC"
    table = Table(*columns, title=_title(window))
    for tier in pools.tiers:
        _add_tier(table, tier)
    rest = _facts()
    rest.add_row("at", f"{_time(pools.at_ms)} UTC")
    rest.add_row("policy since", f"{_time(pools.adopted_at_ms)} UTC")
    if any(tier.leased for tier in pools.tiers):
        held = ", ".join(f"{tier.leased:,} of {tier.tier}" for tier in pools.tiers if tier.leased)
        rest.add_row("leased", f"{held}: left, but for single workers to grant")
    rest.add_row("one dancer", _caps(pools.dancer_cap, [tier.dancer_cap for tier in pools.tiers]))
    rest.add_row("one challenge", _caps(pools.challenge_cap, [tier.challenge_cap for tier in pools.tiers]))
    rest.add_row("candidates", f"{_clips(pools.candidates)} in no tier that exploration may draw")
    if pools.retiring:
        rest.add_row("retiring", f"{_clips(pools.retiring)} in tiers that this policy lacks")
    rest.add_row("decisions", f"{pools.decisions:,} made, {pools.published:,} published")
    return Group(table, rest)


def try_tables(tried: PoolTryAnswer) -> Group:
    """The decision, what it would take from which budget, and what reactions would lead to."""
    facts = _facts(f"Tried under policy {tried.policy_version} at {_time(tried.at_ms)} UTC; nothing was written")
    percentiles = ", ".join(f"{dimension} {percentile:.4g}" for dimension, percentile in tried.percentiles.items())
    facts.add_row("percentiles", f"{percentiles}, in a challenge of {_clips(tried.challenge_clips)}")
    if tried.challenge_clips < tried.fewest_clips:
        facts.add_row("", f"which do not count: that takes {_clips(tried.fewest_clips)}")
    facts.add_row("decision", Text(tried.decision.sentence))
    parts: list[Table] = [facts, _budgets(tried.budgets, _entering(tried.decision))]
    if (then := tried.afterwards) is not None:
        later = _facts("Once it was let in")
        later.add_row(
            "observed", f"{then.rate.reactions:,} reactions, {then.rate.views:,} impressions; {_rate(then.rate)}"
        )
        later.add_row("decision", Text(then.sentence))
        parts.append(later)
        if then.budgets and then.decision is not None:
            parts.append(_budgets(then.budgets, _entering(then.decision)))
    return Group(*parts)


def _add_tier(table: Table, tier: TierUse) -> None:
    whole = (f"{tier.used:,}", f"{tier.left:,}", f"{tier.entries:,}")
    several = len(tier.lanes) > 1
    ways = "" if several else tier.lanes[0].lane
    table.add_row(
        Text(tier.tier), ways, f"{tier.clips:,}", f"{tier.waiting:,}", f"{tier.capacity:,}", "", *whole,
        end_section=not several,
    )  # fmt: skip
    for number, lane in enumerate(tier.lanes if several else [], start=1):
        room = (f"{lane.used:,}", f"{lane.left:,}", f"{lane.entries:,}")
        by_now = "" if lane.capacity_now == lane.capacity else f"{lane.capacity_now:,}"
        last = number == len(tier.lanes)
        table.add_row("", lane.lane, "", "", f"{lane.capacity:,}", by_now, *room, end_section=last)


def _history(history: Sequence[ExplainedDecision]) -> Table:
    table = Table("when (UTC)", "decision", "policy", title=_title("Decisions"))
    for decision in history:
        table.add_row(_time(decision.decided_at_ms), Text(decision.sentence), Text(decision.policy_version))
    return table


def _budgets(budgets: Sequence[BudgetRoom], title: str) -> Table:
    columns = [Column(name, justify="right") for name in ("impressions by now", "used", "left", "takes")]
    table = Table("budget", *columns, title=_title(title))
    for budget in budgets:
        holder = "" if budget.scope not in (Limit.CHALLENGE, Limit.DANCER) else f" {budget.holder or '(new)'}"
        numbers = (budget.capacity, budget.used, budget.left)
        takes = f"{budget.spends:,}" if budget.spends else _NONE
        table.add_row(Text(f"{budget.scope}{holder}"), *(f"{number:,}" for number in numbers), takes)
    return table


def _entering(decision: ExplainedDecision) -> str:
    if decision.rule == Rule.NOT_NOMINATED:
        return "What exploration would pay from, if it drew the clip now"
    return "What entering pays from" if decision.exposures else "What entering would pay from"


def _state(clip: PooledClipAnswer) -> str:
    match clip.state:
        case ClipState.CANDIDATE:
            return "in no tier; exploration may draw it"
        case ClipState.QUEUED:
            return "in no tier; nominated, and waits for room"
        case ClipState.IN_TIER:
            return f"in {clip.tier}"
        case ClipState.HELD:
            return f"in {clip.tier}; waits for room in the next tier"
        case ClipState.GONE:
            return "has left for good"
        case ClipState.DELETED:
            return "deleted"


def _whose(clip: PooledClipAnswer) -> str:
    if clip.nominated_by is None:
        return "of the fused score; no score nominated it"
    return f"of the {clip.nominated_by} score, which nominated it"


def _waits(waiting: Waiting) -> str:
    since = f"{waiting.tier}, since {_time(waiting.since_ms)} UTC"
    short = waiting.short_now
    if short is None:
        return f"{since}; there is room for it now, until others take it"
    scope = short.scope if short.scope not in (Limit.CHALLENGE, Limit.DANCER) else f"its {short.scope}'s cap"
    return f"{since}; short now: {short.tier}, {scope}, with {short.left:,} impressions left of {short.capacity:,}"


def _rate(rate: ReactionRate) -> str:
    if rate.rate is None:
        return "no rate yet"
    sure = f"at least {rate.low:.2%} and at most {rate.high:.2%}, each with {100 * rate.confidence:.4g}% confidence"
    return f"{rate.rate:.2%} of {rate.views:,} viewers react; {sure}"


def _caps(share: float, by_tier: Sequence[int]) -> str:
    return f"at most {share:.4g} of a tier's impressions in a window: {', '.join(f'{views:,}' for views in by_tier)}"


def _clips(count: int) -> str:
    return f"{count:,} clip{'' if count == 1 else 's'}"


def _time(at_ms: int) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _facts(title: str | None = None) -> Table:
    return Table(show_header=False, title=None if title is None else _title(title))


def _title(text: str) -> Text:
    """Ids are data: read as markup, [b] would vanish from one."""
    return Text(text, style="table.title")
