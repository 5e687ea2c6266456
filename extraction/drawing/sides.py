"""Which side of the dancer's body a joint or a bone is on, by the names of its joints."""

from enum import StrEnum


class Side(StrEnum):
    """The dancer's own side, not the viewer's."""

    RIGHT = "right"
    LEFT = "left"
    MIDDLE = "middle"


def side_of(*joints: str) -> Side:
    """The side that the named joints have, by the start of their names; joints of both sides are in the middle."""
    sides = {first for joint in joints if (first := joint.partition(" ")[0]) in (Side.RIGHT, Side.LEFT)}
    return Side(sides.pop()) if len(sides) == 1 else Side.MIDDLE
