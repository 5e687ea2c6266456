"""The history of epochs, as a table (CSV) and as curves (PNG)."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from networks.atomic import replacing


class EpochRow(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch, counted from one.

    ``loss`` and ``terms``, the unweighted losses by name, are means over the steps; ``weights`` are what the terms are
    multiplied by at the epoch's end. ``validation`` is Spearman's correlation of the fused score on the validation
    clips, if there are any.
    """

    epoch: int
    loss: float
    terms: Mapping[str, float]
    weights: Mapping[str, float]
    learning_rate: float
    validation: float | None
    samples_per_s: float


COLUMNS: Final = ("epoch", "loss", "learning_rate", "validation_spearman", "samples_per_s")


def write_history(rows: Sequence[EpochRow], path: Path) -> None:
    """Write ``rows`` as CSV; the terms and their weights are columns of their own."""
    names = list(rows[0].terms) if rows else []
    with replacing(path) as draft, draft.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, *names, *(f"weight_{name}" for name in names)))
        for row in rows:
            validation = "" if row.validation is None else f"{row.validation:.6f}"
            fixed = (row.epoch, f"{row.loss:.6g}", f"{row.learning_rate:.6g}", validation, f"{row.samples_per_s:.1f}")
            numbers = [row.terms[name] for name in names] + [row.weights[name] for name in names]
            writer.writerow((*fixed, *(f"{number:.6g}" for number in numbers)))


def draw_curves(rows: Sequence[EpochRow], path: Path) -> None:
    """Draw ``rows``: losses, their weights, and the validation correlation with the learning rate."""
    epochs = [row.epoch for row in rows]
    marker = "o" if len(rows) < 30 else None
    figure = Figure(figsize=(13, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    losses, weights, validation = figure.subplots(1, 3)
    losses.plot(epochs, [row.loss for row in rows], marker=marker, color="black", label="weighted sum")
    for name, style in zip(rows[0].terms, ("-", "--", ":"), strict=False):  # so that equal curves are seen
        label = name.replace("_", " ")
        losses.plot(epochs, [row.terms[name] for row in rows], style, marker=marker, label=label)
        weights.plot(epochs, [row.weights[name] for row in rows], style, marker=marker, label=label)
    if all(value > 0 for row in rows for value in (row.loss, *row.terms.values())):
        losses.set_yscale("log")
    losses.set(title="Losses, mean of the epoch", xlabel="epoch", ylabel="loss")
    weights.set(title="Weights at the end of the epoch", xlabel="epoch", ylabel="weight")
    weights.set_ylim(bottom=0)
    measured = [(row.epoch, row.validation) for row in rows if row.validation is not None]
    if measured:
        validation.plot(*zip(*measured, strict=True), marker=marker, color="tab:green", label="validation SRC")
    validation.set(title="Validation and learning rate", xlabel="epoch", ylabel="Spearman's correlation")
    rate = validation.twinx()
    rate.step(epochs, [row.learning_rate for row in rows], where="mid", color="tab:grey", label="learning rate")
    rate.set(ylabel="learning rate", yscale="log")
    validation.legend(handles=[*validation.get_lines(), *rate.get_lines()], fontsize="small")
    for axes in (losses, weights):
        axes.legend(fontsize="small")
    for axes in (losses, weights, validation):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with replacing(path) as draft:
        figure.savefig(draft, format="png")
