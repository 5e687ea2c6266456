"""The best and the last clips of a challenge by one stream, as strips of skeletons (Fig. 9)."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dancerank.pictures.bodies import Box, Moving, poses_in_a_row, sides_key
from dancerank.pictures.fonts import fitted
from dancerank.pictures.sheets import FAINT, SUBDUED, Double, Line, Mark, Sheet, Text, encoded
from schemas.joints import JointLayout
from schemas.picture_formats import PictureFormat, StillFormat

POSES: Final = 10
"""Of each clip, at equal steps from its start to its end."""
MOST_STRIPS: Final = 5
"""At each end of the ranking."""

_EDGE: Final = 16.0
_LABELS: Final = 190.0
_CELL: Final = (76.0, 104.0)


class Strip(NamedTuple):
    """A clip: its place in the ranking, its score by the stream, and ``positions`` (T, V, 2) of ``layout`` over
    ``duration_s``; all three ``None`` if its skeleton was not kept. Clips may differ in layout.
    """

    clip_id: str
    rank: int
    score: float
    duration_s: float | None
    layout: JointLayout | None
    positions: Double | None


def strips(
    challenge_id: str,
    stream: str,
    best: Sequence[Strip],
    last: Sequence[Strip],
    *,
    clips: int,
    kind: StillFormat = PictureFormat.PNG,
) -> bytes:
    """The first ``MOST_STRIPS`` of ``best`` above the first of ``last``, a row for each; ``clips``: in the challenge.

    Every clip has a scale of its own, and its poses are centred, as cameras differ.
    """
    parts = [("best", best[:MOST_STRIPS]), ("last", last[:MOST_STRIPS])]
    shown = [(name, rows) for name, rows in parts if rows]
    width = _EDGE * 2 + _LABELS + POSES * _CELL[0]
    height = 66 + sum(26 + _CELL[1] * len(rows) for _, rows in shown) + 46
    title = f"{challenge_id} by the {stream} score"
    described = "; ".join(f"{row.rank}. {row.clip_id}: {row.score:.3f}" for _, rows in shown for row in rows)
    sheet = Sheet(width, height if shown else 110, title, described)
    sheet.add(
        Text("title", (_EDGE, 27), fitted(title, 18, width - 2 * _EDGE, bold=True), 18, bold=True),
        Text("note", (_EDGE, 48), f"{clips:,} clip{'' if clips == 1 else 's'}", 13, colour=SUBDUED),
    )
    if not shown:
        sheet.add(Text("note", (_EDGE, 84), "No clip of this challenge has this score yet.", 14))
        return encoded(sheet, kind)
    y = 66.0
    for name, rows in shown:
        sheet.add(Text("part", (_EDGE, y + 17), f"{name} {len(rows)}", 14, bold=True))
        y += 26
        for row in rows:
            sheet.add(Line("rule", [(_EDGE, y), (width - _EDGE, y)], FAINT, 1))
            sheet.add(*_label(row, y))
            sheet.add(*_poses(row, _EDGE + _LABELS, y))
            y += _CELL[1]
    sheet.add(
        Text("note", (_EDGE, y + 26), "from the start of each clip to its end, at equal steps", 12, colour=SUBDUED)
    )
    sheet.add(*sides_key(width - _EDGE, y + 22))
    return encoded(sheet, kind)


def _label(row: Strip, y: float) -> list[Mark]:
    made: list[Mark] = [
        Text("rank", (_EDGE, y + 30), f"{row.rank:,}.", 13, colour=SUBDUED),
        Text("clip", (_EDGE, y + 48), fitted(row.clip_id, 13, _LABELS - 24), 13),
        Text("score", (_EDGE, y + 74), f"{row.score:.3f}", 18, bold=True),
    ]
    if row.duration_s is not None:
        made.append(Text("time", (_EDGE + 72, y + 74), f"{row.duration_s:.1f} s", 12, colour=SUBDUED))
    return made


def _poses(row: Strip, left: float, y: float) -> list[Mark]:
    if row.layout is None or row.positions is None or not np.isfinite(row.positions).all(2).any():
        return [Text("note", (left + 12, y + _CELL[1] / 2), "its skeleton was not kept", 12, colour=SUBDUED)]
    count = min(POSES, len(row.positions))
    return poses_in_a_row(Moving(row.layout, row.positions), Box(left, y, count * _CELL[0], _CELL[1]), count)
