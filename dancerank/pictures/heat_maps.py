"""Dance tips as heat maps: which joints count when (Fig. 11a), and in which challenge (Fig. 11b).

Values are normalised to 0–1 over the whole map, as in the paper, and drawn by their square roots, as the page draws
them; the key says what 0 and 1 are. Darker is more.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dancerank.pictures.bodies import Box, Moving, poses_in_a_row
from dancerank.pictures.fonts import fitted, width_of
from dancerank.pictures.joint_order import Group, groups
from dancerank.pictures.scales import cell, figure, ramp, rooted, seconds_axis
from dancerank.pictures.sheets import (
    FAINT,
    INK,
    SUBDUED,
    Double,
    Line,
    Mark,
    Rectangle,
    Sheet,
    Text,
    encoded,
)
from schemas.picture_formats import PictureFormat, StillFormat

UNIT: Final = "score per mean absolute deviation"
MOST_BINS: Final = 240
"""Columns of a map over time; neighbouring bins of a longer one are averaged."""
MOST_CHALLENGES: Final = 60
"""Rows of a map of challenges; it says how many more there are."""

_ROOTED: Final = "; half as dark is a quarter of that"
_ROW: Final = 21.0
_LABELS: Final = 130.0
_EDGE: Final = 16.0
_GROUP_GAP: Final = 9.0
_PLOT: Final = 720.0
_NARROWEST: Final = 520.0
_OVERALL: Final = 30.0
_BARS: Final = 46.0
_EXAMPLE: Final = 96.0
_POSES: Final = 10


class Tips(NamedTuple):
    """Of one challenge. ``temporal`` (B, V): Eq. 8 by bins of ``bin_s`` seconds, NaN where no clip has one;
    ``clips_by_bin`` (B,); ``overall`` (V,): Eq. 9; ``joints``: V names. ``style``: the dance style of its clips, if
    only those of one count.
    """

    challenge_id: str
    clips: int
    joints: Sequence[str]
    bin_s: float
    temporal: Double
    clips_by_bin: npt.NDArray[np.int64]
    overall: Double
    unit: str = UNIT
    style: str | None = None


class Example(NamedTuple):
    """A clip of the challenge, and its rank by movement; ``poses`` have the bins' length in time, NaN after its end."""

    clip_id: str
    rank: int
    poses: Moving


class ChallengeAttention(NamedTuple):
    """``overall`` (V,): Eq. 9 of a challenge."""

    challenge_id: str
    clips: int
    overall: Double


def tips_heat_map(tips: Tips, example: Example | None = None, *, kind: StillFormat = PictureFormat.PNG) -> bytes:
    """Joints, grouped by side, over time; beside it the whole clip, below it the clips that each bin is a mean of.

    The poses of the ``example`` stand above their moments.
    """
    tips = _merged(tips)
    bins = len(tips.temporal)
    step = min(40.0, _PLOT / max(bins, 1))
    by_side = groups(tips.joints)
    top = 78.0 if example is None else 78.0 + _EXAMPLE
    rows_high = _ROW * len(tips.joints) + _GROUP_GAP * (len(by_side) - 1)
    left = _EDGE + _LABELS
    right = left + step * bins
    width = max(_NARROWEST, right + 16 + _OVERALL + 60)
    below = top + rows_high
    sheet = Sheet(width, below + 30 + _BARS + 76, f"Dance tips for {tips.challenge_id}", _described(tips))
    clips = _clips(tips.clips) if tips.style is None else f"{_clips(tips.clips)} of style {tips.style}"
    shown = "" if example is None else f"; poses of {example.clip_id}, rank {example.rank} by movement"
    sheet.add(*_heading(f"Which joints count when in {tips.challenge_id}", clips + shown, width))
    if not bins:
        sheet.add(Text("note", (_EDGE, top + 16), "No clip of this challenge has guidance yet.", 14))
        return encoded(sheet, kind)
    temporal, overall = rooted(np.where(tips.clips_by_bin[:, None] > 0, tips.temporal, np.nan)), rooted(tips.overall)
    if example is not None:
        sheet.add(*poses_in_a_row(example.poses, Box(left, 60, right - left, _EXAMPLE), _POSES))
    sheet.add(Text("label", (right + 16 + _OVERALL / 2, top - 8), "whole clip", 11, "middle", SUBDUED))
    y = top
    for group in by_side:
        sheet.add(*_group_label(group, y))
        for joint, name in zip(group.joints, group.names, strict=True):
            sheet.add(Text("joint", (left - 6, y + 0.72 * _ROW), name, 12, "end"))
            for number, share in enumerate(temporal.shares[:, joint].tolist()):
                said = f"{tips.joints[joint]}, {number * tips.bin_s:g} s: {figure(tips.temporal[number, joint])}"
                sheet.add(*cell((left + number * step, y), step, _ROW, share, said))
            said = f"{tips.joints[joint]}: {figure(tips.overall[joint])}"
            sheet.add(*cell((right + 16, y), _OVERALL, _ROW, float(overall.shares[joint]), said))
            y += _ROW
        y += _GROUP_GAP
    sheet.add(*seconds_axis(left, right, bins * tips.bin_s, below + 4))
    sheet.add(*_clip_bars(tips, left, step, below + 32))
    key = below + 30 + _BARS + 26
    sheet.add(*ramp((left + 12, key), 200, temporal, tips.unit, note=_ROOTED))
    said = f"whole clip: 0 = {figure(overall.low)}, 1 = {figure(overall.high)}"
    sheet.add(Text("key", (left + 12, key + 40), said, 11, colour=SUBDUED))
    return encoded(sheet, kind)


def overall_heat_map(
    challenges: Sequence[ChallengeAttention],
    joints: Sequence[str],
    *,
    unit: str = UNIT,
    kind: StillFormat = PictureFormat.PNG,
) -> bytes:
    """Challenges by joints, grouped by side; the clips that a row is a mean of stand behind it."""
    shown, more = challenges[:MOST_CHALLENGES], max(0, len(challenges) - MOST_CHALLENGES)
    by_side = groups(joints)
    step = 26.0
    left, top = _EDGE + 190.0, 78.0 + max((width_of(name, 12) for g in by_side for name in g.names), default=0) + 18
    wide = step * len(joints) + _GROUP_GAP * (len(by_side) - 1)
    width = max(_NARROWEST, left + wide + 90)
    below = top + _ROW * len(shown)
    title = "Which joints count in which challenge"
    sheet = Sheet(width, below + 74 + (20 if more else 0), title, ", ".join(c.challenge_id for c in shown[:10]))
    sheet.add(*_heading(title, f"{len(challenges)} challenge{'' if len(challenges) == 1 else 's'}", width))
    if not shown:
        sheet.add(Text("note", (_EDGE, top), "No clip has guidance yet.", 14))
        return encoded(sheet, kind)
    values = np.array([challenge.overall for challenge in shown], np.float64)
    scale = rooted(values)
    x = left
    for group in by_side:
        middle = x + step * len(group.joints) / 2
        sheet.add(Text("side", (middle, 74), _SIDE_WORDS[group.side], 12, "middle", SUBDUED, bold=True))
        for joint, name in zip(group.joints, group.names, strict=True):
            sheet.add(Text("joint", (x + step / 2 + 4, top - 6), name, 12, upwards=True))
            for row, share in enumerate(scale.shares[:, joint].tolist()):
                said = f"{shown[row].challenge_id}, {joints[joint]}: {figure(float(values[row, joint]))}"
                sheet.add(*cell((x, top + row * _ROW), step, _ROW - 1, share, said))
            x += step
        x += _GROUP_GAP
    for row, challenge in enumerate(shown):
        y = top + (row + 0.7) * _ROW
        sheet.add(Text("challenge", (left - 8, y), fitted(challenge.challenge_id, 13, 180), 13, "end"))
        sheet.add(Text("clips", (left + wide + 8, y), _clips(challenge.clips), 11, colour=SUBDUED))
    if more:
        sheet.add(Text("note", (left, below + 18), f"and {more} more challenges", 12, colour=SUBDUED))
    sheet.add(*ramp((left + 12, below + (40 if more else 20)), 200, scale, unit, note=_ROOTED))
    return encoded(sheet, kind)


_SIDE_WORDS: Final = {"middle": "middle", "right": "right", "left": "left"}


def _heading(title: str, under: str, width: float) -> list[Mark]:
    return [
        Text("title", (_EDGE, 27), fitted(title, 18, width - 2 * _EDGE, bold=True), 18, bold=True),
        Text("note", (_EDGE, 48), fitted(under, 13, width - 2 * _EDGE), 13, colour=SUBDUED),
    ]


def _group_label(group: Group, y: float) -> list[Mark]:
    """The side at the far left of its rows, with a line along them."""
    high = _ROW * len(group.joints)
    x = _EDGE + 20
    return [
        Text(
            "side", (_EDGE + 12, y + high / 2), _SIDE_WORDS[group.side], 12, "middle", SUBDUED, bold=True, upwards=True
        ),
        Line("side", [(x, y + 2), (x, y + high - 2)], SUBDUED, 1.5),
    ]


def _clip_bars(tips: Tips, left: float, step: float, top: float) -> list[Mark]:
    most = int(tips.clips_by_bin.max())
    made: list[Mark] = [
        Text("label", (left - 6, top + 12), f"{_clips(most)}", 11, "end", SUBDUED),
        Text("label", (left - 6, top + _BARS), "0", 11, "end", SUBDUED),
        Line("axis", [(left, top + _BARS), (left + step * len(tips.temporal), top + _BARS)], INK, 1),
    ]
    for number, clips in enumerate(tips.clips_by_bin.tolist()):
        high = (_BARS - 4) * clips / max(most, 1)
        said = f"{number * tips.bin_s:g} s: {_clips(clips)}"
        made.append(
            Rectangle("clips", (left + number * step, top + _BARS - high), max(step - 1, 0.7 * step), high, FAINT, said)
        )
    return made


def _merged(tips: Tips) -> Tips:
    """At most ``MOST_BINS`` bins: means of neighbours, weighted by their clips."""
    together = -(-len(tips.temporal) // MOST_BINS)
    if together <= 1:
        return tips
    starts = np.arange(0, len(tips.temporal), together)
    weights = np.where(np.isfinite(tips.temporal), tips.clips_by_bin[:, None], 0.0)
    sums = np.add.reduceat(np.where(weights > 0, tips.temporal, 0.0) * weights, starts)
    counts = np.add.reduceat(weights, starts)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    clips = np.maximum.reduceat(tips.clips_by_bin, starts)
    return tips._replace(temporal=means, clips_by_bin=clips, bin_s=tips.bin_s * together)


def _described(tips: Tips) -> str:
    """The three joints that count most, for those who do not see the picture."""
    known = [joint for joint in np.argsort(-tips.overall, kind="stable").tolist() if np.isfinite(tips.overall[joint])]
    names = ", ".join(tips.joints[joint] for joint in known[:3])
    return f"A map of {len(tips.joints)} joints over time. Most counts: {names}." if names else ""


def _clips(number: int) -> str:
    return f"{number:,} clip{'' if number == 1 else 's'}"
