"""Skeletons and the arrows at their joints.

Legend: V joints of a layout; a pose (V, 2) is in the clip's pixels, NaN where a joint is missing.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dancerank.pictures.fonts import width_of
from dancerank.pictures.scales import figure, round_below
from dancerank.pictures.sheets import (
    INK,
    Circle,
    Double,
    Image,
    Line,
    Mark,
    Photograph,
    Point,
    Polygon,
    Text,
)
from extraction.drawing.colours import BLACK, BLUE, GREY, ORANGE, WHITE, YELLOW, Colour
from extraction.drawing.sides import Side, side_of
from schemas.joints import JointLayout

SIDES: Final[dict[Side, Colour]] = {Side.RIGHT: ORANGE, Side.LEFT: BLUE, Side.MIDDLE: GREY}
ARROW: Final = YELLOW
_FEW: Final = 400
_NARROWEST_POSE: Final = 56.0
_POSE_MARGIN: Final = 5.0
SHORTEST_ARROW: Final = 6.0
"""Pixels of the picture; shorter ones could not be seen, and are left out."""


class Box(NamedTuple):
    """A part of a sheet."""

    left: float
    top: float
    width: float
    height: float


class Moving(NamedTuple):
    """A clip's ``positions`` (T, V, 2) over all of its time."""

    layout: JointLayout
    positions: Double


class Placement(NamedTuple):
    """Where a clip's pixels lie on a sheet: at ``scale`` · (x, y) + (``right``, ``down``)."""

    scale: float
    right: float
    down: float

    def of(self, pose: Double) -> Double:
        placed: Double = pose * self.scale + np.array([self.right, self.down])
        return placed


def extent(poses: Double) -> tuple[Double, Double]:
    """The corners, upper left and lower right, of known joints of poses (..., 2); both 0 if none is known.

    Single joints far off do not count: of each coordinate, what lies farther out than half the breadth of its middle
    98 % beyond them.
    """
    known = poses.reshape(-1, 2)
    known = known[np.isfinite(known).all(1)]
    if not len(known):
        return np.zeros(2), np.zeros(2)
    lower, upper = np.percentile(known, [1, 99], axis=0) if len(known) > _FEW else (known.min(0), known.max(0))
    slack = (upper - lower) / 2
    return np.maximum(known.min(0), lower - slack), np.minimum(known.max(0), upper + slack)


def scale_to_fit(poses: Sequence[Double], box: Box, reaches: Sequence[Double] | None = None) -> float:
    """Pixels of the sheet per pixel of the clip at which each of the poses fits into the box by itself, with what
    reaches from its joints: vectors (..., 2) in pixels of the sheet."""
    reaches = [np.zeros_like(pose) for pose in poses] if reaches is None else reaches
    scale = min((_to_fit(pose, box) for pose in poses), default=1.0)
    for _ in range(6):  # a smaller body makes room for reaches, which keep their length
        parts = [_to_fit(_with_reach(*each, scale), box) for each in zip(poses, reaches, strict=True)]
        scale *= min(1.0, *(part / scale for part in parts), 1.0)
    return scale


def _to_fit(pose: Double, box: Box) -> float:
    low, high = extent(pose)
    width, height = np.maximum(high - low, 1e-6)
    return float(min(box.width / width, box.height / height))


def _with_reach(pose: Double, reach: Double, scale: float) -> Double:
    ends = pose + np.where(np.isfinite(reach), reach, 0.0) / scale
    both: Double = np.concatenate([pose.reshape(-1, 2), ends.reshape(-1, 2)])
    return both


def centred(poses: Double, box: Box, scale: float, reach: Double | None = None) -> Placement:
    """The middle of the poses' extent, with what reaches from them, in the middle of the box."""
    low, high = extent(poses if reach is None else _with_reach(poses, reach, scale))
    middle = (low + high) / 2 * scale
    return Placement(scale, box.left + box.width / 2 - middle[0], box.top + box.height / 2 - middle[1])


def skeleton(pose: Double, layout: JointLayout, placement: Placement, width: float) -> list[Mark]:
    """Bones ``width`` pixels wide, then joints: filled ones, open ones on the left side."""
    placed = placement.of(pose)
    known = [bool(np.isfinite(joint).all()) for joint in placed]
    made: list[Mark] = []
    for first, second in layout.edges:
        if known[first] and known[second]:
            side = side_of(layout.joints[first], layout.joints[second])
            ends = [_point(placed[first]), _point(placed[second])]
            made.append(Line("casing", ends, WHITE, width + 2))
            made.append(Line(f"bone {side}", ends, SIDES[side], width))
    for joint, name in enumerate(layout.joints):
        if known[joint]:
            side = side_of(name)
            colour = SIDES[side]
            fill = WHITE if side is Side.LEFT else colour
            made.append(Circle(f"joint {side}", _point(placed[joint]), width * 0.85, fill, colour, width * 0.4, name))
    return made


def arrows(
    pose: Double, vectors: Double, layout: JointLayout, placement: Placement, per_unit: float, unit: str
) -> list[Mark]:
    """An arrow at each known joint along its vector (V, 2): ``per_unit`` pixels long for one ``unit``."""
    placed = placement.of(pose)
    made: list[Mark] = []
    lengths = np.hypot(*(vectors * per_unit).T)
    for joint in np.argsort(lengths, kind="stable").tolist():
        if not (np.isfinite(placed[joint]).all() and lengths[joint] >= SHORTEST_ARROW):
            continue
        title = f"{layout.joints[joint]}: {figure(float(np.hypot(*vectors[joint])))} {unit}"
        tip = placed[joint] + vectors[joint] * per_unit
        made.append(arrow(_point(placed[joint]), _point(tip), title))
    return made


def arrow(tail: Point, tip: Point, title: str = "", role: str = "arrow") -> Polygon:
    """From ``tail`` to ``tip``, with a head that is smaller on a short arrow. The tip is the fourth of its points."""
    start, end = np.array(tail), np.array(tip)
    length = max(float(np.hypot(*(end - start))), 1e-9)
    along = (end - start) / length
    across = np.array([-along[1], along[0]])
    head = min(13.0, 0.6 * length)
    neck = end - along * head
    shaft, wing = across * min(2.2, 0.2 * head), across * 0.55 * head
    corners = (start + shaft, neck + shaft, neck + wing, end, neck - wing, neck - shaft, start - shaft)
    return Polygon(role, [_point(corner) for corner in corners], ARROW, BLACK, 1.3, title)


def arrow_key(at: Point, longest: float, per_unit: float, unit: str) -> list[Mark]:
    """An arrow of a round length, at most ``longest`` in ``unit``, with what it stands for."""
    if not longest > 0:
        return [Text("key", (at[0], at[1] + 4), "no joint changes the score", 12)]
    value = round_below(longest)
    end = at[0] + value * per_unit
    return [
        arrow(at, (end, at[1]), role="scale"),
        Text("key", (end + 8, at[1] + 4), f"{figure(value)} {unit}", 12),
    ]


def poses_in_a_row(clip: Moving, box: Box, count: int) -> list[Mark]:
    """At most ``count`` poses at equal steps from a clip, each centred above its moment; they share a scale."""
    frames = len(clip.positions)
    count = min(count, frames, max(1, int(box.width / _NARROWEST_POSE)))
    if not count:
        return []
    chosen = clip.positions[((np.arange(count) + 0.5) / count * frames).astype(int)]
    step = box.width / count
    scale = scale_to_fit(list(chosen), Box(0, 0, step - 2 * _POSE_MARGIN, box.height - 2 * _POSE_MARGIN))
    made: list[Mark] = []
    for number, pose in enumerate(chosen):
        place = Box(box.left + number * step, box.top, step, box.height)
        made += skeleton(pose, clip.layout, centred(pose, place, scale), 2.2)
    return made


def sides_key(right: float, y: float, whose: str = "dancer's ") -> list[Mark]:
    """Which side is which, ending at ``right``."""
    made: list[Mark] = []
    at = right
    for side in (Side.LEFT, Side.RIGHT):
        words = f"{whose}{side}"
        at -= width_of(words, 12)
        made.append(Text("key", (at, y + 4), words, 12, colour=INK))
        at -= 30
        made.append(Line("key", [(at, y), (at + 22, y)], SIDES[side], 3.5))
        fill = WHITE if side is Side.LEFT else SIDES[side]
        made.append(Circle("key", (at + 11, y), 3.2, fill, SIDES[side], 1.6))
        at -= 16
    return made


def photograph(image: Image, image_scale: float, box: Box, placement: Placement) -> list[Mark]:
    """The part of a frame (H, W, 3) that lies within the box, where its pixels belong. ``image_scale``: pixels of the
    frame per pixel of the clip's positions."""
    height, width = image.shape[:2]
    scale, right, down = placement.scale / image_scale, placement.right, placement.down
    low_x, low_y = max(0, int((box.left - right) / scale)), max(0, int((box.top - down) / scale))
    high_x = min(width, round((box.left + box.width - right) / scale))
    high_y = min(height, round((box.top + box.height - down) / scale))
    if high_x <= low_x or high_y <= low_y:
        return []
    left, top = max(box.left, low_x * scale + right), max(box.top, low_y * scale + down)
    shown = (
        min(box.left + box.width, high_x * scale + right) - left,
        min(box.top + box.height, high_y * scale + down) - top,
    )
    return [Photograph("frame", (left, top), *shown, np.ascontiguousarray(image[low_y:high_y, low_x:high_x]))]


def _point(place: Double) -> Point:
    return float(place[0]), float(place[1])
