"""What a dancer could do better: arrows at the joints of critical frames (Fig. 10 and 12), and over the whole clip.

An arrow points where the joint would have to move for a higher score; its length is the magnitude of Eq. 7's g_tj.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dancerank.pictures.bodies import (
    Box,
    arrow_key,
    arrows,
    centred,
    photograph,
    scale_to_fit,
    sides_key,
    skeleton,
)
from dancerank.pictures.fonts import fitted, wrapped
from dancerank.pictures.sheets import (
    FAINT,
    SUBDUED,
    Double,
    Image,
    Mark,
    Rectangle,
    Sheet,
    Text,
    encoded,
)
from extraction.drawing.colours import WHITE
from schemas.joints import JointLayout
from schemas.picture_formats import PictureFormat, StillFormat

UNIT: Final = "score per pixel"
MOST_FRAMES: Final = 6
LONGEST_ARROW: Final = 0.2
"""Of the largest vector, as a share of the height of a panel."""

_PANEL: Final = (290.0, 380.0)
_MARGIN: Final = 26.0
_GAP: Final = 14.0
_HEAD: Final = 62.0
_SENTENCE_LINES: Final = 4
_LINE: Final = 18.0
_FOOT: Final = 46.0


class GuidedFrame(NamedTuple):
    """A critical frame. ``positions`` (V, 2) and ``gradient`` (V, 2), NaN at missing joints; ``image``: the frame of
    the video (H, W, 3), if there is one, and ``image_scale`` its pixels per pixel of the positions.
    """

    time_s: float
    positions: Double
    gradient: Double
    sentence: str
    image: Image | None = None
    image_scale: float = 1.0


def guidance_frames(
    frames: Sequence[GuidedFrame],
    layout: JointLayout,
    *,
    title: str,
    kind: StillFormat = PictureFormat.PNG,
    unit: str = UNIT,
) -> bytes:
    """The first ``MOST_FRAMES`` frames side by side: skeleton, arrows and, below, what to do. Bodies and arrows have
    one scale in all of them, which is stated."""
    frames = frames[:MOST_FRAMES]
    width = _GAP + max(2, len(frames)) * (_PANEL[0] + _GAP)
    sentences = [wrapped(frame.sentence, 14, _PANEL[0], _SENTENCE_LINES) for frame in frames]
    foot = _HEAD + _PANEL[1] + 8 + max(map(len, sentences), default=0) * _LINE
    sheet = Sheet(width, foot + _FOOT, title, " ".join(f"At {f.time_s:.2f} s: {f.sentence}" for f in frames))
    sheet.add(Text("title", (_GAP, 27), fitted(title, 18, width - 2 * _GAP, bold=True), 18, bold=True))
    if not frames:
        sheet.add(
            Text("note", (_GAP, _HEAD + 20), "No moment of this clip has a joint that would raise its score.", 14)
        )
        return encoded(sheet, kind)
    longest = max(largest(frame.gradient) for frame in frames)
    length = LONGEST_ARROW * _PANEL[1]
    per_unit = length / longest if longest > 0 else 0.0
    inner = Box(0, 0, _PANEL[0] - 2 * _MARGIN, _PANEL[1] - 2 * _MARGIN)
    reaches = [frame.gradient * per_unit for frame in frames]
    scale = scale_to_fit([frame.positions for frame in frames], inner, reaches)
    for number, frame in enumerate(frames):
        panel = Box(_GAP + number * (_PANEL[0] + _GAP), _HEAD, *_PANEL)
        sheet.add(Text("time", (panel.left, _HEAD - 8), f"{frame.time_s:.2f} s", 14, colour=SUBDUED, bold=True))
        sheet.add(*_panel(frame, layout, panel, scale, per_unit, unit))
        below = _HEAD + _PANEL[1] + 8
        lines = enumerate(sentences[number])
        sheet.add(*(Text("sentence", (panel.left, below + (at + 0.7) * _LINE), line, 14) for at, line in lines))
    sheet.add(*arrow_key((_GAP, foot + 24), longest, per_unit, unit), *sides_key(width - _GAP, foot + 24))
    return encoded(sheet, kind)


def largest(gradient: Double) -> float:
    """The largest magnitude of vectors (..., 2); 0 if none is known."""
    magnitudes = np.hypot(gradient[..., 0], gradient[..., 1])
    known = magnitudes[np.isfinite(magnitudes)]
    return float(known.max()) if known.size else 0.0


def _panel(frame: GuidedFrame, layout: JointLayout, panel: Box, scale: float, per_unit: float, unit: str) -> list[Mark]:
    left, top, wide, high = panel
    made: list[Mark] = [
        Rectangle("frame", (left - 1, top - 1), wide + 2, high + 2, FAINT),
        Rectangle("frame", (left, top), wide, high, WHITE),
    ]
    if not np.isfinite(frame.positions).all(1).any():
        return [*made, Text("note", (left + wide / 2, top + high / 2), "no joint is known here", 13, "middle")]
    placement = centred(frame.positions, panel, scale, frame.gradient * per_unit)
    if frame.image is not None:
        made += photograph(frame.image, frame.image_scale, panel, placement)
    made += skeleton(frame.positions, layout, placement, 4)
    return made + arrows(frame.positions, frame.gradient, layout, placement, per_unit, unit)
