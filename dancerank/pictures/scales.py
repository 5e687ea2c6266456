"""What lengths and colours stand for: round numbers, ramps of one hue, and the keys that state them.

Legend: values (..., ) of any shape, NaN where there is none; shares in [0, 1].
"""

from collections.abc import Sequence
from math import floor, log10
from typing import Final, NamedTuple

import numpy as np

from dancerank.pictures.sheets import INK, SUBDUED, Double, Line, Mark, Point, Rectangle, Text
from extraction.drawing.colours import BLUE, Colour

MISSING: Final[Colour] = (236, 236, 236)
"""Of a cell without a value, which is crossed out besides."""
_PALEST: Final = (252, 252, 252)
_DARKEST: Final = 0.22
"""Of the hue, at the end of its ramp: darker is more, in colour as in grey."""
_TURN: Final = 0.6
"""The share at which a ramp has its hue."""
_STEPS: Final = 48


class Scaled(NamedTuple):
    """``shares``: of the way from ``low`` to ``high``, NaN where there is no value."""

    shares: Double
    low: float
    high: float


def scaled(values: Double) -> Scaled:
    """Values normalised to 0–1 over all of them. Equal values are all 1, or 0 if they are zero."""
    known = values[np.isfinite(values)]
    if not known.size:
        return Scaled(np.full(values.shape, np.nan), 0.0, 0.0)
    low, high = float(known.min()), float(known.max())
    if high > low:
        shares = (np.where(np.isfinite(values), values, np.nan) - low) / (high - low)
        return Scaled(shares, low, high)
    return Scaled(np.where(np.isfinite(values), float(high != 0), np.nan), low, high)


def rooted(values: Double) -> Scaled:
    """Square roots of the shares of the greatest of values >= 0, from 0 on: what has a quarter of it is half as dark.

    One joint has most of the attention; on a linear scale all others would look alike.
    """
    known = values[np.isfinite(values)]
    high = float(known.max()) if known.size else 0.0
    shares = np.where(np.isfinite(values), values, np.nan) / (high or 1.0)
    return Scaled(np.sqrt(np.maximum(shares, 0.0)), 0.0, high)


def shade(share: float, hue: Colour = BLUE) -> Colour:
    """From almost white over ``hue`` to almost black; ``MISSING`` for NaN."""
    if not np.isfinite(share):
        return MISSING
    share = min(max(share, 0.0), 1.0)
    dark = [channel * _DARKEST for channel in hue]
    first, second, part = (_PALEST, hue, share / _TURN) if share < _TURN else (hue, dark, (share - _TURN) / (1 - _TURN))
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue


def cell(corner: Point, width: float, height: float, share: float, title: str, hue: Colour = BLUE) -> list[Mark]:
    """A cell of a heat map; one without a value is crossed out."""
    made: list[Mark] = [Rectangle("cell", corner, width, height, shade(share, hue), title)]
    if not np.isfinite(share):
        x, y = corner
        made.append(Line("none", [(x + 2, y + height - 2), (x + width - 2, y + 2)], (170, 170, 170), 0.8))
    return made


def ramp(at: Point, width: float, scale: Scaled, unit: str, hue: Colour = BLUE, note: str = "") -> list[Mark]:
    """The key of a heat map, 30 pixels high: 0 and 1, what they are in ``unit``, and a ``note``."""
    x, y = at
    step = width / _STEPS
    made: list[Mark] = [
        Rectangle("key", (x + number * step, y), step, 10, shade((number + 0.5) / _STEPS, hue))
        for number in range(_STEPS)
    ]
    made += [
        Text("key", (x - 5, y + 9), "0", 11, "end"),
        Text("key", (x + width + 5, y + 9), "1", 11),
        Text("key", (x, y + 24), f"0 = {figure(scale.low)}, 1 = {figure(scale.high)} {unit}{note}", 11, colour=SUBDUED),
    ]
    return made


def figure(value: float) -> str:
    """To three significant digits, without an exponent where a person would write none."""
    if value == 0 or not np.isfinite(value):
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        digits = max(0, 2 - floor(log10(abs(value))))
        written = f"{value:.{digits}f}"
        return written.rstrip("0").rstrip(".") if "." in written else written
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def round_below(value: float) -> float:
    """The largest of …, 1, 2, 5, 10, … that is at most ``value`` > 0."""
    power = 10.0 ** floor(log10(value))
    return float(max((m * power for m in (1, 2, 5) if m * power <= value * (1 + 1e-9)), default=power))


def seconds_axis(left: float, right: float, duration_s: float, y: float, *, most: int = 10) -> list[Mark]:
    """Ticks in seconds below a plot from ``left`` to ``right``; the unit stands behind the last."""
    room = max(1.0, min(most, (right - left) / 34))
    step = next((s for s in _TICKS_S if duration_s / s <= room), duration_s)
    made: list[Mark] = [Line("axis", [(left, y), (right, y)], INK, 1)]
    moments: Sequence[float] = [number * step for number in range(int(duration_s / step + 1e-9) + 1)]
    for number, second in enumerate(moments):
        x = left + (right - left) * second / duration_s
        last = number == len(moments) - 1
        made.append(Line("axis", [(x, y), (x, y + 4)], INK, 1))
        made.append(Text("tick", (x, y + 16), f"{second:g}{' s' if last else ''}", 11, "middle"))
    return made


_TICKS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
