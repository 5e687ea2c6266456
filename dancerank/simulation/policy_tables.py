"""A policy as tables on the terminal, with what it implies."""

from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from dancerank.simulation.implications import TierImplied, implied
from ranking.pools.policy import Policy, Tier
from schemas.modalities import DIMENSIONS

_NONE: Final = "–"
_HEADINGS: Final = (
    "views", "clips a\nwindow", "of a\ndancer", "of a\nchallenge", "stay",
    "judged\nfrom", "gate", "up\nfrom", "floor", "down\nto",
)  # fmt: skip
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def policy_tables(policy: Policy) -> Group:
    """The tiers and their gates, then everything else, line by line."""
    columns = [Column("tier"), *(Column(heading, justify="right") for heading in _HEADINGS)]
    title = Text(f"Policy {policy.version}", style="table.title")
    table = Table(*columns, title=title, box=SIMPLE_HEAD, padding=0)
    for tier, means in zip(policy.tiers, implied(policy), strict=True):
        table.add_row(
            Text(tier.name),
            f"{tier.exposures:,}",
            f"{means.clips:,}",
            f"{means.of_a_dancer:,}",
            f"{means.of_a_challenge:,}",
            duration(tier.stay_s),
            f"{tier.least_views:,}",
            _NONE if tier.gate is None else f"{tier.gate:.1%}",
            _rate(means.passes, tier),
            f"{tier.floor:.1%}" if tier.floor else _NONE,
            _rate(means.fails, tier),
        )
    note = Text(
        f"A clip goes up if, with {policy.confidence:.0%} confidence, its reactions per view reach the gate, down if "
        "they are below the floor. Up from, down to: the rates that do, of clips judged with the fewest impressions."
    )
    return Group(table, note, _rest(policy, implied(policy)[0]))


def duration(seconds: int) -> str:
    """In the largest unit that divides it."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size:,} {unit}"


def _rest(policy: Policy, first: TierImplied) -> Table:
    table = Table(show_header=False)
    thresholds = ", ".join(
        f"{dimension} ≥ {policy.nomination.thresholds[dimension]:g}"
        for dimension in DIMENSIONS
        if dimension in policy.nomination.thresholds
    )
    table.add_row("window", f"{duration(policy.window_s)}, from multiples of it since 1970, UTC")
    table.add_row("nominated", f"percentile in the challenge: {thresholds}" if thresholds else "no clip")
    table.add_row("", f"once a challenge has {policy.nomination.fewest_clips:,} clips; {first.nominated:,} a window")
    explore = policy.exploration
    if explore.share:
        chosen = "by Thompson sampling" if explore.method == "thompson" else "at random"
        table.add_row(
            "explored", f"{explore.share:.0%} of the first tier, chosen {chosen}; {first.explored:,} a window"
        )
    else:
        table.add_row("explored", "no clip")
    most = sum(tier.exposures for tier in policy.tiers)
    table.add_row("one clip", f"{most:,} impressions, if it is promoted to the end")
    table.add_row("all clips", f"{sum(tier.capacity for tier in policy.tiers):,} impressions a window at most")
    return table


def _rate(reactions: int | None, tier: Tier) -> str:
    if reactions is None:
        return _NONE
    return f"{reactions / tier.least_views:.1%}"
