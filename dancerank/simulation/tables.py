"""The outcome of a simulation as tables on the terminal."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Final, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from dancerank.simulation.comparison import ALLOCATIONS, POLICY, Outcome, TierUse
from dancerank.simulation.measures import Measures

_NONE: Final = "–"
_COUNT: Final = ",.0f"
_FEWEST_FOR_DEVIATION: Final = 2


class Spread(NamedTuple):
    """Mean of several seeds and, of two or more, the standard deviation of a sample. NaN where a seed has no figure."""

    mean: float
    deviation: float | None

    def text(self, form: str, factor: float = 1.0, unit: str = "") -> str:
        """Both, times ``factor``, written by a format specification; one unit for both."""
        if np.isnan(self.mean):
            return _NONE
        numbers = [self.mean] if self.deviation is None else [self.mean, self.deviation]
        return " ± ".join(format(factor * number, form) for number in numbers) + unit


def spread(values: Sequence[float]) -> Spread:
    """Mean and spread of the figures of several seeds."""
    numbers = np.asarray(values, np.float64)
    deviation = float(numbers.std(ddof=1)) if len(numbers) >= _FEWEST_FOR_DEVIATION else None
    return Spread(float(numbers.mean()), deviation)


def outcome_tables(outcomes: Sequence[Outcome]) -> Group:
    """One policy: its allocation beside the references, then its tiers. ``outcomes`` are those of its seeds."""
    return Group(_heading(outcomes), _allocations(outcomes), _tiers(outcomes), _rules(outcomes))


def _heading(outcomes: Sequence[Outcome]) -> Text:
    policy, world = outcomes[0].policy, outcomes[0].world
    seeds = ", ".join(str(outcome.world.seed) for outcome in outcomes)
    several = f"seeds {seeds}: mean ± deviation" if len(outcomes) > 1 else f"seed {seeds}"
    period = f"{world.days:g} {'day' if world.days == 1 else 'days'}"
    granted = spread([outcome.allocations[POLICY].measures.granted for outcome in outcomes]).text(_COUNT)
    text = Text(f"Policy {policy.version}", style="bold")
    text.append(
        f", {len(world):,} clips in {period}, {several}. Every row gives out {granted} impressions.", style="not bold"
    )
    return text


def _allocations(outcomes: Sequence[Outcome]) -> Table:
    headings = ("to top 1%\n× uniform", "to top 10%\n× uniform", "regret", "Gini", "newcomers\ndiscovered")
    table = _table("allocation", *headings)
    for name in ALLOCATIONS:
        found = {
            field.name: spread([getattr(outcome.allocations[name].measures, field.name) for outcome in outcomes])
            for field in fields(Measures)
        }
        table.add_row(
            name,
            f"{_percent(found['top_1'])}\n{_times(found['top_1_lift'])}",
            f"{_percent(found['top_10'])}\n{_times(found['top_10_lift'])}",
            _percent(found["regret"]),
            found["gini"].text(".2f"),
            _percent(found["discovered"]),
            style="bold" if name == POLICY else "",
        )
    return table


def _tiers(outcomes: Sequence[Outcome]) -> Table:
    table = _table("tier", "entries", "impressions granted", "budget", "used")
    every = [outcome.tiers for outcome in outcomes]
    together = [TierUse(*(sum(figures) for figures in zip(*tiers, strict=True))) for tiers in every]
    for index, tier in enumerate(outcomes[0].policy.tiers):
        table.add_row(Text(tier.name), *_use([tiers[index] for tiers in every]))
    table.add_section()
    table.add_row("all", *_use(together))
    return table


def _use(of_seeds: Sequence[TierUse]) -> tuple[str, ...]:
    return (
        spread([use.entries for use in of_seeds]).text(_COUNT),
        spread([use.granted for use in of_seeds]).text(_COUNT),
        format(of_seeds[0].capacity, _COUNT),
        _percent(spread([use.granted / use.capacity for use in of_seeds])),
    )


def _rules(outcomes: Sequence[Outcome]) -> Text:
    rules = sorted({rule for outcome in outcomes for rule in outcome.rules})
    counted = (f"{rule} {spread([o.rules[rule] for o in outcomes]).text(_COUNT)}" for rule in rules)
    return Text(f"Decisions: {', '.join(counted)}\n")


def _table(first: str, *headings: str) -> Table:
    columns = (Column(heading, justify="right", no_wrap=True) for heading in headings)
    return Table(first, *columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _percent(share: Spread) -> str:
    return share.text(".1f", 100, "%")


def _times(lift: Spread) -> str:
    return lift.text(".1f", 1, "×")
