"""Where a routine was decided: the attention of both streams over time (ACTION-NET, Fig. 4-6)."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from networks.atomic import replacing

SEGMENT_S: Final = 16 / 5
"""A segment is 16 frames at 5 per second (Section 5.2)."""

FRAME_S: Final = 1.0
"""Static features are of one frame a second."""


class Moment(NamedTuple):
    """A segment or frame that lasts from ``start_s`` to ``end_s``, with its attention."""

    start_s: float
    end_s: float
    attention: float


def strongest(attention: NDArray[Any], *, each_s: float, count: int = 4) -> list[Moment]:
    """The ``count`` instances with the most of the ``attention`` (T,), the strongest first; of equal ones the earlier.
    An instance lasts ``each_s`` seconds."""
    order = np.argsort(-attention, kind="stable")[:count]
    return [Moment(float(at * each_s), float((at + 1) * each_s), float(attention[at])) for at in order]


def draw_attention(dynamic: NDArray[Any], static: NDArray[Any], path: Path, *, score: float | None = None) -> None:
    """Draw the attention over the segments (S,) and frames (F,) of one routine as PNG, with the four strongest of each
    marked, and equal attention as a line."""
    figure = Figure(figsize=(11, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, weights, each_s, name in (
        (panels[0], dynamic, SEGMENT_S, "segments"),
        (panels[1], static, FRAME_S, "frames"),
    ):
        marked = {round(moment.start_s / each_s) for moment in strongest(weights, each_s=each_s)}
        colours = ["tab:orange" if at in marked else "tab:blue" for at in range(len(weights))]
        axes.bar(np.arange(len(weights)) * each_s, weights, each_s * 0.9, align="edge", color=colours)
        axes.axhline(1 / max(len(weights), 1), color="grey", linestyle="--", linewidth=1)
        axes.set(title=f"{name}: the strongest in orange, equal attention dashed", ylabel="attention")
    panels[1].set(xlabel="seconds")
    if score is not None:
        figure.suptitle(f"score {score:.2f}")
    with replacing(path) as draft:
        figure.savefig(draft, format="png")
