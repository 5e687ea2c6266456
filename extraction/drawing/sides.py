"""Which side of the dancer's body a joint or a bone is on, by the names of its joints."""

from enum import StrEnum


class Side(StrEnum):
    """The dancer's own side, not the viewer's."""

    RIGHT = "right"
    LEFT = "left"
    MIDDLE = "middle"


def side_of(*joints: str) -> Side:
    """The side of the first of the named joints that has one: names of joints start with it."""
    for joint in joints:
        first = joint.partition(" ")[0]
        if first in (Side.RIGHT, Side.LEFT):
            return Side(first)
    return Side.MIDDLE
