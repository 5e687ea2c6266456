"""Confusion matrices (Bendit-Shtull et al. 2020, Fig. 6) and saliency (Fig. 5) as pictures. Legend: K styles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from networks.atomic import replacing
from networks.styles.evaluation import StyleReport


def draw_confusions(reports: Mapping[str, StyleReport], path: Path) -> None:
    """One matrix (K, K) for each method, as PNG: shares of the clips of a style (rows) by the style that they were
    given, with their numbers; styles without clips are empty rows."""
    styles = max(len(report.styles) for report in reports.values())
    size = 1.6 + 0.62 * styles
    figure = Figure(figsize=(size * len(reports), size + 0.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(reports), squeeze=False)[0]
    for axes, (method, report) in zip(panels, reports.items(), strict=True):
        counts = report.confusion
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black" if count else "lightgrey"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
        places = range(len(report.styles))
        axes.set_xticks(places, report.styles, rotation=45, ha="right")
        axes.set_yticks(places, report.styles)
        axes.set(title=f"{method}\naccuracy {report.accuracy:.3f}, balanced {report.balanced_accuracy:.3f}")
        axes.set(xlabel="given style", ylabel="style")
    with replacing(path) as draft:
        figure.savefig(draft, format="png")


def draw_saliency(images: NDArray[Any], saliency: NDArray[Any], path: Path) -> None:
    """Images (N, height, width, 3) in [0, 1] above the saliency (N, height, width) of their pixels, as PNG; white is
    the most salient pixel of an image."""
    figure = Figure(figsize=(2.6 * len(images), 5.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(images), squeeze=False)
    for column, (image, salient) in enumerate(zip(images, saliency, strict=True)):
        panels[0, column].imshow(np.clip(image, 0, 1))
        panels[1, column].imshow(salient, cmap="gray", vmin=0, vmax=max(float(salient.max()), 1e-12))
    for axes in panels.flat:
        axes.set_axis_off()
    with replacing(path) as draft:
        figure.savefig(draft, format="png")
