"""Joints in the order of heat maps: the middle of the body, its right side, its left side, each from above.

Both sides have one order, so that a joint stands at the same place in each.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from extraction.drawing.sides import Side, side_of

_FROM_ABOVE: Final = (
    *("head top", "head", "head side a", "head side b", "eye", "ear", "nose", "upper neck", "neck"),
    *("thorax", "spine shoulder", "shoulder", "elbow", "forearm", "wrist", "hand", "hand tip", "thumb"),
    *("spine mid", "waist", "pelvis", "spine base", "hip", "knee", "ankle", "heel", "foot", "toe"),
)


class Group(NamedTuple):
    """Joints of one side: their numbers in the layout, and their names without the side."""

    side: Side
    joints: tuple[int, ...]
    names: tuple[str, ...]


def groups(joints: Sequence[str]) -> list[Group]:
    """The joints of a layout by side; names that no layout of ours has come last in their group."""
    made = []
    for side in (Side.MIDDLE, Side.RIGHT, Side.LEFT):
        of_side = [number for number, name in enumerate(joints) if side_of(name) is side]
        named = {number: joints[number].removeprefix(f"{side} ") for number in of_side}
        of_side.sort(key=lambda number: _height(named[number]))
        if of_side:
            made.append(Group(side, tuple(of_side), tuple(named[number] for number in of_side)))
    return made


def _height(name: str) -> int:
    return _FROM_ABOVE.index(name) if name in _FROM_ABOVE else len(_FROM_ABOVE)
