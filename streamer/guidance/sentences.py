"""A sentence for one frame: "raise the left wrist, move both knees inward".

The rules:

1. The joints that count most are named, the largest gradient first: at most ``MOST_NAMED``, and none below
   ``LEAST_SHARE`` of the largest in the frame. A joint that was not detected has no gradient and is not named; nor is
   the centre of the body (the thorax, or both shoulders) where any other joint has one, as ``without_centre`` says.
2. A joint moves in one direction: the image axis on which its gradient is largest. Up is "raise", down "lower"; in 3-D
   layouts the third axis is "towards the camera" and "away from the camera". On the horizontal axis the joints of a
   side move "inward" or "outward", towards the body's midline or away from it, wherever they are now: a left hand that
   is crossed over to the right moves inward to the left. The midline is upright, at the mean of shoulders and hips.
   Other joints, and those nearer to the midline than ``ON_MIDLINE`` of the body's size, move "to the left" or "to the
   right of the picture".
3. The left and the right one of a pair that move in the same direction are named together, as "both knees", and count
   as one; the second has to be above ``LEAST_SHARE`` too.
4. Joints that move in the same direction are named after each other: "raise the head and both elbows".

Legend: V joints, D coordinates.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.joints import JointLayout
from schemas.ports import Float64
from streamer.guidance.clip_guidance import Guidance

MOST_NAMED: Final = 3
LEAST_SHARE: Final = 0.4
ON_MIDLINE: Final = 0.1
NOTHING_TO_MOVE: Final = "keep this pose"

_SPOKEN: Final = {
    "head top": "the head",
    "head side a": "the head",
    "head side b": "the head",
    "upper neck": "the neck",
    "thorax": "the chest",
    "spine base": "the base of the spine",
    "spine mid": "the middle of the spine",
    "spine shoulder": "the upper spine",
}
_PLURALS: Final = {"foot": "feet"}
_SIDES: Final = ("left ", "right ")
_VERBS: Final = {"up": ("raise", ""), "down": ("lower", "")}
_TRUNK: Final = tuple(side + joint for side in _SIDES for joint in ("shoulder", "hip"))


def sentence_of(guidance: Guidance, frame: int) -> str:
    """How the joints that count most would move to raise the score at ``frame``."""
    named: dict[str, list[str]] = {}
    spoken: set[str] = set()
    layout = guidance.layout
    candidates = _candidates(guidance, frame)
    directions = {joint: _direction(guidance, frame, joint) for joint in candidates}
    count = 0
    for joint in candidates:
        mirrored = _mirrored(layout, joint)
        both = mirrored in directions and directions[mirrored] == directions[joint]
        name = _name(layout.joints[joint], both=both)
        if name in spoken:
            continue
        if count == MOST_NAMED:
            break
        spoken.add(name)
        count += 1
        named.setdefault(directions[joint], []).append(name)
    parts = (" ".join(filter(None, _phrase(direction, names))) for direction, names in named.items())
    return ", ".join(parts) or NOTHING_TO_MOVE


def without_centre(magnitudes: Float64, layout: JointLayout) -> Float64:
    """Magnitudes (..., V) with zero for the centre of the body, if that is not all there is.

    The networks place a clip by the mean position of its centre. The gradient of the centre therefore holds, beside its
    own, the same vector in every frame: what moving all other joints the other way would change. It is not advice.
    """
    others = magnitudes.copy()
    others[..., list(layout.centre)] = 0
    return others if others.any() else magnitudes


def joints_by_magnitude(guidance: Guidance, frame: int) -> tuple[int, ...]:
    """The joints that count most at ``frame``, the largest first; at most ``MOST_NAMED`` pairs or single ones."""
    return tuple(_candidates(guidance, frame)[: 2 * MOST_NAMED])


def _candidates(guidance: Guidance, frame: int) -> list[int]:
    magnitudes = without_centre(guidance.magnitudes[frame], guidance.layout)
    largest = float(magnitudes.max())
    order = np.argsort(-magnitudes, kind="stable").tolist()
    return [joint for joint in order if largest > 0 and magnitudes[joint] >= LEAST_SHARE * largest]


def _direction(guidance: Guidance, frame: int, joint: int) -> str:
    right, up, near = in_the_picture(guidance.gradient[frame, joint].astype(np.float64), guidance.layout)
    axis = int(np.argmax([abs(up), abs(right), abs(near)]))
    if axis == 0:
        return "up" if up > 0 else "down"
    if axis == 2:
        return "towards the camera" if near > 0 else "away from the camera"
    beside = _beside_the_midline(guidance, frame, joint)
    if not guidance.layout.joints[joint].startswith(_SIDES) or abs(beside) < ON_MIDLINE * guidance.scale:
        return "to the right of the picture" if right > 0 else "to the left of the picture"
    return "outward" if right * beside > 0 else "inward"


def in_the_picture(vector: Float64, layout: JointLayout) -> tuple[float, float, float]:
    """A vector (D,) to the right, up, and towards the camera; the last is zero in 2-D layouts."""
    (x, x_sign), (y, y_sign) = layout.image_axes
    right, up = x_sign * float(vector[x]), -y_sign * float(vector[y])
    if layout.coordinates == 2:
        return right, up, 0.0
    axes = np.zeros((2, 3))
    axes[0, x], axes[1, y] = x_sign, -y_sign
    return right, up, float(np.cross(*axes) @ vector)  # 3-D layouts are right-handed


def _beside_the_midline(guidance: Guidance, frame: int, joint: int) -> float:
    """How far to the right of it, in the picture and in the unit of the coordinates."""
    layout, pose = guidance.layout, guidance.positions[frame]
    axis, sign = layout.image_axes[0]
    trunk = [layout.joints.index(name) for name in _TRUNK]
    return sign * float(pose[joint, axis] - pose[trunk, axis].mean())


def _mirrored(layout: JointLayout, joint: int) -> int | None:
    """The same joint of the other side."""
    name = layout.joints[joint]
    for side, other in (_SIDES, _SIDES[::-1]):
        if name.startswith(side):
            return layout.joints.index(other + name.removeprefix(side))
    return None


def _name(joint: str, *, both: bool) -> str:
    if not both:
        return _SPOKEN.get(joint, f"the {joint}")
    _, _, single = joint.partition(" ")
    return f"both {_PLURALS.get(single, f'{single}s')}"


def _phrase(direction: str, names: Sequence[str]) -> tuple[str, str, str]:
    """The verb, what is moved, and where to."""
    *before, last = names
    joined = f"{', '.join(before)} and {last}" if before else last
    verb, where = _VERBS.get(direction, ("move", direction))
    return verb, joined, where
