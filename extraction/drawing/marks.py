"""What is drawn over a frame: the skeleton, the outline of the dancer, the face, words.

Legend: H, W height and width of a picture.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from extraction.drawing.colours import BLACK, ORANGE, PANEL, PURPLE, SKY_BLUE, WHITE, YELLOW, Colour
from extraction.drawing.sides import Side, side_of
from extraction.frames import Image
from schemas.joints import MPII_16
from schemas.ports import Float32

CERTAIN: Final = 0.5
"""Bones between joints of less confidence are drawn thin."""

Outline = Sequence[npt.NDArray[np.int32]]
"""Closed lines of points (P, 1, 2)."""
Box = tuple[float, float, float, float]

_SIDES: Final = {Side.RIGHT: ORANGE, Side.LEFT: SKY_BLUE, Side.MIDDLE: WHITE}


def outline_of(mask: Float32) -> Outline:
    """The edge of a mask (H, W) of probabilities, at one half."""
    edges, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [np.asarray(edge, np.int32) for edge in edges]


def draw_outline(image: Image, outline: Outline) -> None:
    cv2.polylines(image, list(outline), True, YELLOW, 1, cv2.LINE_AA)


def draw_skeleton(image: Image, pose: Float32) -> None:
    """``pose``: (16, 3) x, y in pixels of ``image`` and confidence. The dancer's right is orange, the left blue;
    missing joints (confidence 0) are left out.
    """
    width = max(2, round(max(image.shape[:2]) / 240))
    for first, second in MPII_16.edges:
        if pose[first, 2] > 0 and pose[second, 2] > 0:
            certain = min(pose[first, 2], pose[second, 2]) >= CERTAIN
            ends = _point(pose[first]), _point(pose[second])
            colour = _SIDES[side_of(MPII_16.joints[first], MPII_16.joints[second])]
            cv2.line(image, *ends, BLACK, (width if certain else 1) + 2, cv2.LINE_AA)
            cv2.line(image, *ends, colour, width if certain else 1, cv2.LINE_AA)
    for joint, name in enumerate(MPII_16.joints):
        if pose[joint, 2] > 0:
            cv2.circle(image, _point(pose[joint]), width + 1, BLACK, -1, cv2.LINE_AA)
            cv2.circle(image, _point(pose[joint]), width, _SIDES[side_of(name)], -1, cv2.LINE_AA)


def draw_face(image: Image, box: Box) -> None:
    corners = (round(box[0]), round(box[1])), (round(box[2]), round(box[3]))
    cv2.rectangle(image, *corners, BLACK, 4)
    cv2.rectangle(image, *corners, PURPLE, 2)


def draw_text(image: Image, text: str, at: tuple[int, int], *, size: float = 0.5, colour: Colour = WHITE) -> None:
    """``text`` (ASCII) with its lower left corner at the pixel ``at``, on a dark ground."""
    x, y = at
    width, height = text_size(text, size)
    cv2.rectangle(image, (x - 3, y - height - 3), (x + width + 3, y + 5), PANEL, -1)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def text_size(text: str, size: float) -> tuple[int, int]:
    """Width and height in pixels of what ``draw_text`` writes."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    return width, height


def _point(joint: Float32) -> tuple[int, int]:
    limit = 1 << 14  # OpenCV draws nothing of lines with an end much farther off
    return int(np.clip(round(float(joint[0])), -limit, limit)), int(np.clip(round(float(joint[1])), -limit, limit))
