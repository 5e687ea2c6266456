"""The outcome of a simulation as pictures: the only module of the command that knows matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from dancerank.simulation.comparison import ALLOCATIONS, POLICY, Outcome
from dancerank.simulation.figures import (
    BIN,
    STEP_DAYS,
    Outcomes,
    days_of_grants,
    granted_in_steps,
    lifts,
    reactions_so_far,
    steps,
)

EXPOSURE: Final = "exposure-by-percentile.png"
TIERS: Final = "exposure-by-tier.png"
REACTIONS: Final = "reactions.png"

_COLOURS: Final = {
    POLICY: "#0072b2",
    "popularity only": "#d55e00",
    "uniform": "#7f7f7f",
    "oracle": "#009e73",
}
_STYLES: Final = {POLICY: "-", "popularity only": "--", "uniform": ":", "oracle": "-."}
"""Colours that colour-blind people can distinguish; the strokes differ too."""
_TIER_COLOURS: Final = ("#c6dbef", "#6baed6", "#2171b5", "#08306b", "#7a0177", "#ae017e", "#f768a1", "#fcc5c0")


def draw_charts(folder: Path, by_policy: Outcomes) -> list[Path]:
    """Draw the three charts into ``folder``, one panel per policy, means over the seeds; returns their paths."""
    charts = {EXPOSURE: _draw_exposure, TIERS: _draw_tiers, REACTIONS: _draw_reactions}
    paths = []
    for name, draw in charts.items():
        figure = Figure(figsize=(1.5 + 5.5 * len(by_policy), 5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(by_policy), squeeze=False, sharey=True)[0]
        for axes, outcomes in zip(panels, by_policy, strict=True):
            draw(axes, outcomes)
            axes.set_title(outcomes[0].policy.version)
            axes.spines[["top", "right"]].set_visible(False)
            axes.label_outer()
            # Below, where it hides nothing.
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, frameon=False)
        paths.append(folder / name)
        figure.savefig(paths[-1])
    return paths


def _draw_exposure(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Mean impressions of a clip, as a multiple of uniform allocation, by twentieths of the eventual percentile."""
    edges = np.arange(0, 100 + BIN, BIN)
    for name in ALLOCATIONS:
        means = np.nanmean([lifts(outcome, name) for outcome in outcomes], axis=0)
        ends = np.append(means, means[-1])
        axes.step(
            edges, ends, _STYLES[name], clip_on=False, where="post", color=_COLOURS[name], label=name, linewidth=2
        )
    axes.set_yscale("symlog", linthresh=1, linscale=1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.set_yticks([0, 0.5, 1, 2, 5, 10, 20])
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, 100)
    axes.set_xlabel("eventual percentile of the clip within its challenge")
    axes.set_ylabel("mean impressions of a clip, × uniform")


def _draw_tiers(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Impressions granted in each quarter of a day, stacked by tier."""
    policy = outcomes[0].policy
    edges = steps(outcomes)
    below = np.zeros(len(edges))
    for index, tier in enumerate(policy.tiers):
        views = granted_in_steps(outcomes, index)
        colour = _TIER_COLOURS[index % len(_TIER_COLOURS)]
        axes.bar(edges, views, STEP_DAYS, below, align="edge", color=colour, label=tier.name)
        below += views
    axes.axvline(outcomes[0].world.days, color="black", linewidth=0.8, linestyle=":")
    axes.annotate("last uploads", (outcomes[0].world.days, 1), xycoords=("data", "axes fraction"),
                  xytext=(3, -3), textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("day")
    axes.set_ylabel("impressions granted in six hours")


def _draw_reactions(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Expected reactions of all that was granted so far, as a share of the oracle's in the end."""
    days = days_of_grants(outcomes, 200)
    for name in ALLOCATIONS:
        shares = np.mean([reactions_so_far(outcome, name, days) for outcome in outcomes], axis=0)
        axes.plot(days, shares, _STYLES[name], color=_COLOURS[name], label=name, linewidth=2)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(0)
    axes.set_xlim(0, days[-1])
    axes.set_xlabel("day")
    axes.set_ylabel("expected reactions so far, of the oracle's")
