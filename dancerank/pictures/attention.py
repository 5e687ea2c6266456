"""What the heads of a temporal attention look at over a clip (Fig. 8)."""

from itertools import pairwise
from typing import Final

import numpy as np

from dancerank.pictures.bodies import Box, Moving, poses_in_a_row
from dancerank.pictures.fonts import fitted
from dancerank.pictures.scales import cell, figure, scaled
from dancerank.pictures.sheets import INK, SUBDUED, Double, Mark, Sheet, Text, encoded
from extraction.drawing.colours import BLUE, GREEN, PURPLE, VERMILLION
from schemas.picture_formats import PictureFormat, StillFormat

BINS: Final = 30
HUES: Final = (BLUE, VERMILLION, GREEN, PURPLE)
"""Of the heads in turn, which their names tell apart as well; darker is more."""

_STEP: Final = 27.0
_ROW: Final = 34.0
_EDGE: Final = 16.0
_LABELS: Final = 54.0
_POSES: Final = 10


def attention_bins(
    weights: Double,
    duration_s: float,
    *,
    title: str,
    clip: Moving | None = None,
    kind: StillFormat = PictureFormat.PNG,
) -> bytes:
    """``weights`` (H, T'): of each head over the time of a clip, in at most ``BINS`` bins, whose starts in seconds
    stand between the heads; above them the dancer, if ``clip`` is given. Each head has a scale of its own, from 0 to
    what is stated behind it."""
    binned, seconds = _binned(weights, duration_s)
    heads, bins = binned.shape
    left = _EDGE + _LABELS
    body = 104.0 if clip is not None else 0.0
    top = 66 + body
    width = max(520.0, left + _STEP * bins + 96)
    sheet = Sheet(width, top + _ROW * heads + 24 + 44, title)
    sheet.add(
        Text("title", (_EDGE, 27), fitted(title, 18, width - 2 * _EDGE, bold=True), 18, bold=True),
        Text("note", (_EDGE, 48), "weights of the attention heads over time; darker is more", 13, colour=SUBDUED),
    )
    if clip is not None:
        sheet.add(*poses_in_a_row(clip, Box(left, 60, _STEP * bins, body), _POSES))
    y = top
    for head in range(heads):
        if head == (heads + 1) // 2:
            sheet.add(*_times(seconds, left, y + 16))
            y += 24
        hue = HUES[head % len(HUES)]
        high = scaled(np.append(binned[head], 0.0)).high
        sheet.add(Text("head", (left - 8, y + 0.64 * _ROW), f"head {head + 1}", 13, "end"))
        for number, value in enumerate(binned[head].tolist()):
            said = f"head {head + 1}, {seconds[number]:.1f} s: {figure(value)}"
            share = value / high if high > 0 else value
            sheet.add(*cell((left + number * _STEP, y + 1), _STEP - 1, _ROW - 2, share, said, hue))
        sheet.add(Text("key", (left + _STEP * bins + 8, y + 0.64 * _ROW), f"0 to {figure(high)}", 12, colour=SUBDUED))
        y += _ROW
    if heads == 1:
        sheet.add(*_times(seconds, left, y + 16))
    sheet.add(Text("note", (left, y + 28), "share of a head's attention that a bin gets", 12, colour=SUBDUED))
    return encoded(sheet, kind)


def _binned(weights: Double, duration_s: float) -> tuple[Double, Double]:
    """Sums over equal parts of the time, (H, B), and their starts in seconds (B,)."""
    heads, steps = weights.shape
    bins = min(BINS, steps)
    edges = np.linspace(0, steps, bins + 1).round().astype(int)
    sums = np.stack([weights[:, low:high].sum(1) for low, high in pairwise(edges)], 1)
    return sums.reshape(heads, bins), edges[:-1] / steps * duration_s


def _times(seconds: Double, left: float, y: float) -> list[Mark]:
    written = [f"{second:.1f}" for second in seconds.tolist()]
    made: list[Mark] = [
        Text("tick", (left + number * _STEP, y), words, 10, "start", INK) for number, words in enumerate(written)
    ]
    return [*made, Text("tick", (left + len(written) * _STEP + 4, y), "s", 10)]
