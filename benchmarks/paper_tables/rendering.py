"""A table of figures as text, CSV, Markdown and a picture."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from rich.table import Table
from rich.text import Text

from benchmarks.paper_tables.figures import Attention, Figure
from networks.atomic import replacing
from networks.methods import METHODS, MethodTable

COLUMNS: Final = (
    "method", "modalities", "track", "seed", "clips", "src_fold_mean", "src_pooled", "interval_low", "interval_high",
    "note",
)  # fmt: skip
DETAIL: Final = ("method", "clips", "seeds", "SRC, mean of folds", "pooled", "95 % interval")
NOTHING: Final = "–"
FEW_TRACKS: Final = 2
"""Up to so many tracks, each gets a table and bars of its own; more become the columns of one table."""


class Results(NamedTuple):
    """The figures of a table on a data set, by (method, track), in the order in which they are shown."""

    table: MethodTable
    data: str
    tracks: tuple[str, ...]
    figures: Mapping[tuple[str, str], Figure]

    def sections(self) -> list[list[str]]:
        """The methods of each section that figures were asked of."""
        shown = {method for method, _ in self.figures}
        sections = [[method for method in section if method in shown] for section in self.table.sections]
        return [section for section in sections if section]

    def best(self, track: str) -> set[str]:
        """The methods with the highest figure of a track, as it is printed."""
        means = {m: round(f.mean, 3) for (m, t), f in self.figures.items() if t == track and f.seeds}
        return {method for method, mean in means.items() if mean == max(means.values())}

    def notes(self) -> list[str]:
        """Why figures are missing, or of fewer streams, and on which tracks."""
        reasons: dict[tuple[str, str], list[str]] = {}
        for (method, track), figure in self.figures.items():
            label = METHODS[method].label
            if not figure.seeds:
                reasons.setdefault((f"{figure.mark} {label}", figure.missing), []).append(track)
            elif len(figure.modalities) < len(METHODS[method].modalities):
                reasons.setdefault((label, f"of {'+'.join(figure.modalities)} only"), []).append(track)
        return [f"{label} ({', '.join(tracks)}): {why}" for (label, why), tracks in reasons.items()]


class Row(NamedTuple):
    """A line of a table as text; of ``cells``, those at the indices ``bold`` are the best of their column."""

    cells: tuple[str, ...]
    bold: frozenset[int]
    ends_section: bool


class Grid(NamedTuple):
    """A table as text, independent of the output format."""

    title: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def grids(results: Results) -> list[Grid]:
    """All tracks side by side if there are many; then every detail of each, or of the last."""
    if len(results.tracks) <= FEW_TRACKS:
        return [_detail(results, track) for track in results.tracks]
    return [_overview(results), _detail(results, results.tracks[-1])]


def as_text(grid: Grid) -> Table:
    """For a terminal."""
    table = Table(title=Text(grid.title), show_edge=True)
    for index, heading in enumerate(grid.header):
        table.add_column(Text(heading), justify="left" if index == 0 else "right", no_wrap=index == 0, overflow="fold")
    for row in grid.rows:
        cells = [Text(cell, style="bold" if index in row.bold else "") for index, cell in enumerate(row.cells)]
        table.add_row(*cells, end_section=row.ends_section)
    return table


def as_markdown(grid: Grid) -> str:
    """For a document."""
    lines = [grid.header, ("---", *("---:" for _ in grid.header[1:]))]
    lines += [
        tuple(f"**{cell}**" if index in row.bold else cell for index, cell in enumerate(row.cells)) for row in grid.rows
    ]
    return "\n".join([f"**{grid.title}**", "", *(f"| {' | '.join(line)} |" for line in lines)])


def write_csv(results: Results, path: Path) -> None:
    """One line per method, track and seed."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for (method, track), figure in results.figures.items():
            label = METHODS[method].label
            modalities = "+".join(figure.modalities or METHODS[method].modalities)
            if not figure.seeds:
                writer.writerow((label, modalities, track, *[""] * (len(COLUMNS) - 4), figure.missing))
            for seed, clips, *numbers in figure.seeds:
                named = "" if seed is None else seed
                writer.writerow((label, modalities, track, named, clips, *(f"{n:.6f}" for n in numbers), ""))


def write_attention(attention: Iterable[Attention], path: Path) -> None:
    """One line per method, track, challenge and modality."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("method", "track", "challenge", "modality", "clips", "mean_attention"))
        for method, track, challenge, modality, clips, mean in attention:
            writer.writerow((METHODS[method].label, track, challenge, modality, clips, f"{mean:.6f}"))


def draw(results: Results, path: Path) -> None:
    """Bars with their spread for few tracks, a coloured table for many."""
    picture = Picture(dpi=150, layout="constrained")
    FigureCanvasAgg(picture)
    methods = [method for section in results.sections() for method in section]
    if len(results.tracks) <= FEW_TRACKS:
        picture.set_size_inches(4.5 + 4.5 * len(results.tracks), 1.6 + 0.36 * len(methods))
        panels = picture.subplots(1, len(results.tracks), sharey=True, squeeze=False)[0]
        for axes, track in zip(panels, results.tracks, strict=True):
            _draw_bars(axes, results, methods, track)
    else:
        picture.set_size_inches(3.2 + 1.15 * len(results.tracks), 1.4 + 0.42 * len(methods))
        _draw_heat(picture.subplots(), results, methods)
    picture.suptitle(f"{results.table.title}, {results.data}")
    with replacing(path) as draft:
        picture.savefig(draft, format="png")


def _overview(results: Results) -> Grid:
    rows = []
    for section in results.sections():
        for method in section:
            figures = [results.figures[method, track] for track in results.tracks]
            cells = (METHODS[method].label, *map(_short, figures))
            best = (i for i, track in enumerate(results.tracks, start=1) if method in results.best(track))
            rows.append(Row(cells, frozenset(best), method == section[-1]))
    title = f"{results.table.title}, {results.data}: SRC, mean of folds"
    return Grid(title, ("method", *results.tracks), tuple(rows))


def _detail(results: Results, track: str) -> Grid:
    rows = []
    for section in results.sections():
        for method in section:
            figure = results.figures[method, track]
            label = METHODS[method].label
            cells: tuple[str, ...] = (label, *[figure.mark] * (len(DETAIL) - 1))
            if figure.seeds:
                seeds = NOTHING if figure.seeds[0].seed is None else str(len(figure.seeds))
                low, high = figure.interval
                numbers = (_short(figure), f"{figure.pooled:.3f}", f"{low:.3f} to {high:.3f}")
                cells = (label, str(figure.seeds[0].clips), seeds, *numbers)
            bold = frozenset({3} if method in results.best(track) else ())
            rows.append(Row(cells, bold, method == section[-1]))
    return Grid(f"{results.table.title}, {results.data}, track {track}", DETAIL, tuple(rows))


def _short(figure: Figure) -> str:
    if not figure.seeds:
        return figure.mark
    return f"{figure.mean:.3f}" + ("" if figure.deviation is None else f" ± {figure.deviation:.3f}")


def _draw_bars(axes: Axes, results: Results, methods: Sequence[str], track: str) -> None:
    """The bar is the mean over seeds, the thick line their deviation, the thin one the bootstrap interval."""
    best = results.best(track)
    position = 0.0
    ticks = []
    for section in results.sections():
        for method in section:
            figure = results.figures[method, track]
            ticks.append(position)
            weight = "bold" if method in best else "normal"
            if figure.seeds:
                colour = "tab:blue" if method in best else "lightsteelblue"
                axes.barh(position, figure.mean, height=0.72, color=colour)
                axes.plot(figure.interval, (position, position), color="0.35", linewidth=1)
                spread = figure.deviation or 0.0
                around = (figure.mean - spread, figure.mean + spread)
                axes.plot(around, (position, position), color="black", linewidth=3.5, solid_capstyle="butt")
                axes.plot(figure.pooled, position, "o", color="white", markeredgecolor="black", markersize=5)
            text = _short(figure) if figure.seeds else f"{figure.mark}"
            axes.text(1.01, position, text, transform=axes.get_yaxis_transform(), va="center", weight=weight)
            position += 1
        position += 0.5
    axes.set_yticks(ticks, [METHODS[method].label for method in methods])
    axes.set_ylim(position - 0.9, -0.6)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_title(f"track {track}", fontsize="medium")
    axes.set_xlabel("SRC: bar mean of folds, thick ± over seeds,\nthin 95 % interval, ○ pooled", fontsize="small")


def _draw_heat(axes: Axes, results: Results, methods: Sequence[str]) -> None:
    values = np.array(
        [
            [figure.mean if (figure := results.figures[method, track]).seeds else np.nan for track in results.tracks]
            for method in methods
        ]
    )
    most = max(float(np.nanmax(np.abs(values), initial=0.0)), 0.1)
    axes.imshow(np.ma.masked_invalid(values), cmap="RdYlGn", vmin=-most, vmax=most, aspect="auto", alpha=0.75)
    for row, method in enumerate(methods):
        for column, track in enumerate(results.tracks):
            weight = "bold" if method in results.best(track) else "normal"
            text = _short(results.figures[method, track]).replace(" ± ", "\n± ")
            axes.text(column, row, text, ha="center", va="center", weight=weight, fontsize=7.5)
    axes.set_xticks(range(len(results.tracks)), list(results.tracks))
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_yticks(range(len(methods)), [METHODS[method].label for method in methods])
    last = -0.5
    for section in results.sections():
        last += len(section)
        axes.axhline(last, color="black", linewidth=1)
    axes.set_xlabel("SRC, mean of folds, ± standard deviation over seeds; best of each track in bold", fontsize="small")
