"""What the virality targets of decision 0042 measure: their correlation with followers and with rated choreography.

    DANCERANK_DATA=folder python -m benchmarks.targets [--resamples 2000] [--quick]

Reads ``dance_reactions.npz`` (959 dances of a video platform: reactions, plays, followers of the author, three
qualities of the choreography scored by two raters). The clips are dealt to folds; parameters are fitted to the other
folds, as in training. Prints the table of docs/results.md, writes ``out/targets.json`` and ``out/targets.png``.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.figures import OUT, Measured, write_figures
from networks.correlation import Interval, spearman
from schemas.virality_target import Target, TargetSettings
from vdv.annotations import Annotation
from vdv.errors import DataSetError
from vdv.importers.archives import archive_path, read_archive
from vdv.targets import fit_target, raw_targets

ARCHIVE: Final = "dance_reactions.npz"
FOLDS: Final = 5
LEVEL: Final = 0.95
INDEPENDENT: Final = 0.1
"""A target measures the audience if its rank correlation with the followers is more than this."""
_SHAPES: Final = {
    **dict.fromkeys(("likes", "comments", "shares", "plays", "days_online", "followers"), (None,)),
    **dict.fromkeys(("rater_1", "rater_2"), (None, 3)),
}

Float64 = NDArray[np.float64]


class Dances(NamedTuple):
    """N rated dances: their annotations, and the mean of all ratings (N,)."""

    annotations: list[Annotation]
    rating: Float64

    @property
    def doublings(self) -> Float64:
        """log2 of the followers, (N,)."""
        return np.log2([float(a.followers or 0) for a in self.annotations])


class Row(NamedTuple):
    """A target beside what it may measure, each with its interval."""

    name: str
    correlations: dict[str, Interval]


def read_dances(source: Path) -> Dances:
    """The archive in ``source``. Raises ``DataSetError`` if it is not there or another."""
    arrays = read_archive(archive_path(source, ARCHIVE), _SHAPES)
    columns = {
        "likes": "likes",
        "comments": "comments",
        "reposts": "shares",
        "views": "plays",
        "followers": "followers",
    }
    annotations = [
        Annotation(
            clip_id=f"dance-{i}",
            dancer_id="unknown",
            challenge_id="dances",
            duration_s=15.0,
            row=i,
            days_online=float(arrays["days_online"][i]),
            **{name: int(arrays[column][i]) for name, column in columns.items()},
        )
        for i in range(len(arrays["likes"]))
    ]
    ratings = (np.asarray(arrays["rater_1"], np.float64) + np.asarray(arrays["rater_2"], np.float64)) / 2
    return Dances(annotations, ratings.mean(axis=1))


def held_out(settings: TargetSettings, annotations: list[Annotation], folds: int = FOLDS, seed: int = 0) -> Float64:
    """The target of every clip, (N,), by the parameters that the clips of the other folds give."""
    fold = np.random.default_rng(seed).permutation(len(annotations)) % folds
    found = np.empty(len(annotations))
    for number in range(folds):
        fitted = fit_target(settings, [a for a, of in zip(annotations, fold, strict=True) if of != number])
        found[fold == number] = raw_targets(annotations, fitted)[fold == number]
    return found


def pearson(first: Float64, second: Float64) -> float:
    """Of two sequences of length N; zero if one is constant."""
    centred = np.array([first - first.mean(), second - second.mean()])
    scale = float(np.sqrt((centred**2).sum(axis=1).prod()))
    return float(centred[0] @ centred[1] / scale) if scale else 0.0


def interval(
    statistic: Callable[[Float64, Float64], float], first: Float64, second: Float64, resamples: int, seed: int = 0
) -> Interval:
    """A correlation with its percentile bootstrap interval: clips drawn with replacement."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(first), size=(resamples, len(first)))
    low, high = np.quantile([statistic(first[r], second[r]) for r in draws], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(statistic(first, second), float(low), float(high))


def compare(dances: Dances, resamples: int) -> list[Row]:
    """Every target, and for comparison the plain rate without a prior."""
    found = {str(target): held_out(TargetSettings(target=target), dances.annotations) for target in Target}
    reactions = np.array([float(sum((a.likes or 0, a.comments or 0, a.reposts or 0))) for a in dances.annotations])
    found["reactions / views, plain"] = reactions / [float(a.views or 0) for a in dances.annotations]
    return [
        Row(
            name,
            {
                "followers, Spearman": interval(spearman, values, dances.doublings, resamples),
                "log followers, Pearson": interval(pearson, values, dances.doublings, resamples),
                "rating, Spearman": interval(spearman, values, dances.rating, resamples),
                "rating, Pearson": interval(pearson, values, dances.rating, resamples),
            },
        )
        for name, values in found.items()
    ]


def draw(dances: Dances, path: Path) -> None:
    """Each target against the followers, above, and against the mean rating, below."""
    figure = Figure(figsize=(11, 6.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(Target), sharey="col", squeeze=False)
    rng = np.random.default_rng(0)
    for column, target in enumerate(Target):
        values = held_out(TargetSettings(target=target), dances.annotations)
        followers = 2**dances.doublings
        for row, (against, what) in enumerate(((followers, "author's followers"), (dances.rating, "mean rating"))):
            axes = panels[row][column]
            shown = against + (rng.normal(0, 0.04, len(against)) if row else 0)  # ratings are few different numbers
            axes.scatter(shown, values, s=5, alpha=0.4, linewidths=0, color="#0072b2" if row == 0 else "#d55e00")
            axes.set_xlabel(what)
            axes.set_title(f"{target}: ρ = {spearman(values, against):.2f}", fontsize=10)
            if row == 0:
                axes.set_xscale("log")
            axes.spines[["top", "right"]].set_visible(False)
        panels[0][column].set_ylabel("target")
        panels[1][column].set_ylabel("target")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def table(rows: list[Row]) -> Table:
    names = list(rows[0].correlations)
    shown = Table("target", *names, title=f"Correlations, with {LEVEL:.0%} bootstrap intervals")
    for row in rows:
        cells = [f"{e:+.2f} ({low:+.2f} to {high:+.2f})" for e, low, high in row.correlations.values()]
        shown.add_row(row.name, *cells)
    return shown


def measured(rows: list[Row]) -> list[Measured]:
    """The correlations as figures; the variants have a bar: that they do not measure the audience."""
    figures = []
    for row in rows:
        for name, (estimate, _, _) in row.correlations.items():
            audience = name == "followers, Spearman" and row.name in (Target.PER_VIEW, Target.AUDIENCE_ADJUSTED)
            value = abs(estimate) if audience else estimate
            bar = INDEPENDENT if audience else None
            figures.append(Measured(f"{row.name}: {name}", value, "correlation", bar, lower_is_better=True))
    return figures


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="200 resamples")
    options = parser.parse_args(arguments)
    folder = os.environ.get("DANCERANK_DATA")
    if not folder:
        raise SystemExit(f"DANCERANK_DATA names no folder; set it to the one that holds {ARCHIVE}")
    try:
        dances = read_dances(Path(folder))
    except DataSetError as error:
        raise SystemExit(str(error)) from error
    rows = compare(dances, 200 if options.quick else options.resamples)
    console = Console(width=150)
    console.print(f"{len(dances.annotations)} dances; parameters fitted to {FOLDS - 1} of {FOLDS} folds each")
    console.print(table(rows))
    fitted: dict[str, Any] = {}
    for target in (Target.PER_VIEW, Target.AUDIENCE_ADJUSTED):
        fitted[target] = fit_target(TargetSettings(target=target), dances.annotations).described()
        console.print(f"fitted to all: {fitted[target]}")
    draw(dances, OUT / "targets.png")
    details = {"intervals": {row.name: row.correlations for row in rows}, "fitted_to_all": fitted}
    path = write_figures("targets", measured(rows), dances=len(dances.annotations), **details)
    console.print(f"{path}, {OUT / 'targets.png'}")


if __name__ == "__main__":
    main()
