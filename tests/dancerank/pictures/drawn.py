"""What tests read from pictures, and clips to draw. Legend: T frames, V joints."""

from io import BytesIO
from xml.etree import ElementTree as Xml

import numpy as np
from PIL import Image

from dancerank.pictures.sheets import Double
from schemas.joints import JointLayout

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script> & \"'$\\frac{1}{2}$ 😀 مرحبا שלום \x00\x1b\u202e\ud800\ufffe]]> 舞蹈"


def parsed(picture: bytes) -> Xml.Element:
    return Xml.fromstring(picture)


def of_class(root: Xml.Element, role: str) -> list[Xml.Element]:
    """The marks that show something: those whose first word of their class is ``role``."""
    return [element for element in root.iter() if element.get("class", "").split(" ")[0] == role]


def words(root: Xml.Element, role: str) -> list[str]:
    return [element.text or "" for element in of_class(root, role) if element.tag == f"{SVG}text"]


def points(element: Xml.Element) -> Double:
    return np.array([[float(number) for number in point.split(",")] for point in element.get("points", "").split()])


def tail_and_tip(arrow: Xml.Element) -> tuple[Double, Double]:
    corners = points(arrow)
    return (corners[0] + corners[-1]) / 2, corners[3]


def pixels(picture: bytes) -> Double:
    """(H, W, 3) of a PNG."""
    with Image.open(BytesIO(picture), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def dancer(layout: JointLayout, frames: int, seed: int = 0) -> Double:
    """(T, V, 2): joints that swing around fixed places, in pixels."""
    rng = np.random.default_rng(seed)
    places = rng.uniform([100, 50], [400, 700], (layout.joint_count, 2))
    phases = rng.uniform(0, 2 * np.pi, (layout.joint_count, 2))
    moved: Double = places + 30 * np.sin(np.arange(frames)[:, None, None] / 8 + phases)
    return moved
