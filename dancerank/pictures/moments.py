"""Where a long performance was decided: the attention of each stream over time, and what is seen at its strongest and
weakest moments (ACTION-NET, Fig. 4–6).

Legend: N instances of a stream: segments or frames of equal length.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from dancerank.pictures.fonts import fitted
from dancerank.pictures.scales import figure, seconds_axis
from dancerank.pictures.sheets import (
    FAINT,
    INK,
    SUBDUED,
    Double,
    Image,
    Line,
    Mark,
    Photograph,
    Rectangle,
    Sheet,
    Text,
    encoded,
)
from extraction.drawing.colours import BLUE, ORANGE, Colour
from schemas.picture_formats import PictureFormat, StillFormat

SHOWN: Final = 4
"""Strongest and weakest moments of a stream that are shown, as in Fig. 6."""
MOST_BARS: Final = 400
"""Neighbouring instances of a longer stream share a bar, which is as high as the highest of them."""

_EDGE: Final = 16.0
_LABELS: Final = 92.0
_PLOT: Final = 820.0
_BARS: Final = 120.0
_STILL: Final = (200.0, 150.0)
_GAP: Final = 8.0
_ACROSS: Final = 4
"""Moments that a row has room for."""
_MARKS: Final[dict[str, Colour]] = {"strongest": ORANGE, "weakest": BLUE, "moments": ORANGE}

Numbered = tuple[str, int]
"""A number, as it is written at a bar, and an instance."""

Stills = Mapping[float, Image]
"""Pictures (H, W, 3) of the video by the second that each shows."""


class Attended(NamedTuple):
    """A stream: what its instances are called, their attention ``weights`` (N,), which sum to 1, and how long each is.
    ``shift_s``: from the start of one to that of the next; by default as long as one is."""

    name: str
    weights: Double
    each_s: float
    shift_s: float | None = None

    def middle_s(self, instance: int) -> float:
        """The middle of an instance, which a still shows."""
        return instance * (self.shift_s or self.each_s) + self.each_s / 2

    @property
    def duration_s(self) -> float:
        return (len(self.weights) - 1) * (self.shift_s or self.each_s) + self.each_s


def strongest(weights: Double, count: int = SHOWN) -> list[int]:
    """The instances with the most attention, the strongest first; of equal ones the earlier."""
    order: list[int] = np.argsort(-weights, kind="stable")[:count].tolist()
    return order


def weakest(weights: Double, count: int = SHOWN) -> list[int]:
    """Those with the least that are not among the strongest, the weakest first."""
    most = set(strongest(weights, count))
    order: list[int] = np.argsort(weights, kind="stable").tolist()
    return [instance for instance in order if instance not in most][:count]


def shown_seconds(streams: Sequence[Attended]) -> list[float]:
    """The seconds of a video whose stills ``attended_moments`` shows, in order."""
    shown = {s.middle_s(at) for s in streams for at in [*strongest(s.weights), *weakest(s.weights)]}
    return sorted(shown)


def attended_moments(
    streams: Sequence[Attended],
    *,
    title: str,
    stills: Stills | None = None,
    moments: Sequence[Sequence[Numbered]] | None = None,
    kind: StillFormat = PictureFormat.PNG,
) -> bytes:
    """For each stream a bar for each instance, with equal attention as a dashed line, and the numbered strongest and
    weakest moments, with their stills (of ``shown_seconds``) if there is a video; or instead of these the ``moments``
    that were chosen of each stream."""
    shown = [number for number, stream in enumerate(streams) if len(stream.weights)]
    streams = [streams[number] for number in shown]
    width = 2 * _EDGE + _LABELS + _PLOT
    chosen = None if moments is None else [_chosen(moments[number]) for number in shown]
    rows = [_rows(stream) for stream in streams] if chosen is None else chosen
    row_high = (_STILL[1] if stills is not None else 0.0) + 26
    heights = [46 + _BARS + 34 + row_high * len(found) + 12 for found in rows]
    sheet = Sheet(width, 52 + sum(heights) if streams else 110, title)
    sheet.add(Text("title", (_EDGE, 27), fitted(title, 18, width - 2 * _EDGE, bold=True), 18, bold=True))
    if not streams:
        sheet.add(Text("note", (_EDGE, 70), "There is no attention to show: no segment and no frame.", 14))
    duration_s = max((stream.duration_s for stream in streams), default=1.0)
    top = 44.0
    for stream, found, height in zip(streams, rows, heights, strict=True):
        sheet.add(*_bars(stream, found, top, duration_s))
        below = top + 46 + _BARS + 34
        for number, (words, numbered) in enumerate(found):
            sheet.add(*_row(stream, words, numbered, below + number * row_high, stills))
        top += height
    return encoded(sheet, kind)


_Row = tuple[str, list[Numbered]]


def _rows(stream: Attended) -> list[_Row]:
    most, least = strongest(stream.weights), weakest(stream.weights)
    rows = [
        ("strongest", [(f"{place}", instance) for place, instance in enumerate(most, 1)]),
        ("weakest", [(f"{place}′", instance) for place, instance in enumerate(least, 1)]),
    ]
    return [row for row in rows if row[1]]


def _chosen(moments: Sequence[Numbered]) -> list[_Row]:
    return [("moments", list(moments[at : at + _ACROSS])) for at in range(0, len(moments), _ACROSS)]


def _bars(stream: Attended, found: Sequence[_Row], top: float, duration_s: float) -> list[Mark]:
    left, base = _EDGE + _LABELS, top + 46 + _BARS
    count, most = len(stream.weights), max(float(stream.weights.max()), 1e-12)
    shift = (stream.shift_s or stream.each_s) / duration_s * _PLOT
    made: list[Mark] = [
        Text("stream", (_EDGE, top + 20), f"{count} {stream.name}", 14, bold=True),
        Text("label", (left - 6, base - _BARS + 8), figure(most), 11, "end", SUBDUED),
        Text("label", (left - 6, base), "0", 11, "end", SUBDUED),
    ]
    together = -(-count // MOST_BARS)
    marked = {instance // together: words for words, numbered in found for _, instance in numbered}
    for number, weight in enumerate(np.maximum.reduceat(stream.weights, np.arange(0, count, together)).tolist()):
        high = _BARS * weight / most
        x, wide = left + number * together * shift, max(together * shift - 1, 0.6 * together * shift)
        colour = _MARKS.get(marked.get(number, ""), (170, 170, 170))
        second = number * together * (stream.shift_s or stream.each_s)
        made.append(Rectangle("bar", (x, base - high), wide, high, colour, f"{second:.1f} s: {figure(weight)}"))
    for name, instance in (each for _, numbered in found for each in numbered):
        x = left + stream.middle_s(instance) / duration_s * _PLOT
        y = base - _BARS * float(stream.weights[instance]) / most - 4
        made.append(Text("number", (x, y), name, 11, "middle", INK))
    equal = base - _BARS / count / most
    made.append(Line("equal", [(left, equal), (left + _PLOT, equal)], INK, 1, dashed=True))
    said = f"dashed: equal attention, {figure(1 / count)}"
    made.append(Text("equal", (left + _PLOT, top + 20), said, 12, "end", SUBDUED))
    return made + seconds_axis(left, left + _PLOT, duration_s, base + 2)


def _row(stream: Attended, words: str, numbered: Sequence[Numbered], top: float, stills: Stills | None) -> list[Mark]:
    left = _EDGE + _LABELS
    made: list[Mark] = [
        Rectangle("key", (_EDGE, top + 4), 10, 10, _MARKS[words]),
        Text("row", (_EDGE + 14, top + 14), words, 11, colour=SUBDUED),
    ]
    for column, (number, instance) in enumerate(numbered):
        x = left + column * (_STILL[0] + _GAP)
        second = instance * (stream.shift_s or stream.each_s)
        said = f"{number}: {second:.1f} s, {figure(float(stream.weights[instance]))}"
        made.append(Text("moment", (x, top + 14), said, 12))
        image = None if stills is None else stills.get(stream.middle_s(instance))
        if image is not None:
            made += _still(image, x, top + 20)
        elif stills is not None:
            made.append(Rectangle("still", (x, top + 20), *_STILL, FAINT))
            made.append(Text("note", (x + _STILL[0] / 2, top + 20 + _STILL[1] / 2), "not in the video", 12, "middle"))
    return made


def _still(image: Image, x: float, y: float) -> list[Mark]:
    """The image as large as it fits, in the middle of its place."""
    high, wide = image.shape[:2]
    scale = min(_STILL[0] / wide, _STILL[1] / high)
    size = wide * scale, high * scale
    return [Photograph("still", (x + (_STILL[0] - size[0]) / 2, y + (_STILL[1] - size[1]) / 2), *size, image)]
