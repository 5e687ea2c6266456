"""A sheet as SVG: words stay text, marks keep what they show as their class, photographs are inside as JPEG."""

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Final
from xml.etree import ElementTree as Xml

from PIL import Image as Pillow

from dancerank.pictures.fonts import FAMILY, plain
from dancerank.pictures.sheets import (
    Circle,
    Line,
    Mark,
    Photograph,
    Point,
    Polygon,
    Rectangle,
    Sheet,
    Text,
    near,
)
from extraction.drawing.colours import Colour

NAMESPACE: Final = "http://www.w3.org/2000/svg"


def svg(sheet: Sheet) -> bytes:
    """One SVG document in UTF-8, without scripts, links or styles."""
    root = Xml.Element(
        "svg",
        {
            "xmlns": NAMESPACE,
            "viewBox": f"0 0 {_number(sheet.width)} {_number(sheet.height)}",
            "width": _number(sheet.width),
            "height": _number(sheet.height),
            "role": "img",
            "font-family": FAMILY,
            "stroke-linecap": "round",
            "stroke-linejoin": "round",
        },
    )
    Xml.SubElement(root, "title").text = plain(sheet.title)
    if sheet.description:
        Xml.SubElement(root, "desc").text = plain(sheet.description)
    Xml.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    for mark in sheet.marks:
        element = _element(root, mark)
        if (title := getattr(mark, "title", "")) != "":
            Xml.SubElement(element, "title").text = plain(title)
    written: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _element(root: Xml.Element, mark: Mark) -> Xml.Element:
    match mark:
        case Line():
            shape = {"points": _points(mark.points), "fill": "none", **_stroke(mark.colour, mark.width)}
            dashes = {"stroke-dasharray": _number(3 * mark.width)} if mark.dashed else {}
            return Xml.SubElement(root, "polyline", {"class": mark.role, **shape, **dashes})
        case Polygon():
            shape = {"points": _points(mark.points), **_filled(mark)}
            return Xml.SubElement(root, "polygon", {"class": mark.role, **shape})
        case Circle():
            x, y = mark.centre
            shape = {"cx": _number(x), "cy": _number(y), "r": _number(mark.radius), **_filled(mark)}
            return Xml.SubElement(root, "circle", {"class": mark.role, **shape})
        case Rectangle():
            return Xml.SubElement(root, "rect", {"class": mark.role, **_box(mark), "fill": _hex(mark.fill)})
        case Text():
            return _text(root, mark)
        case Photograph():
            made = BytesIO()
            Pillow.fromarray(mark.image).save(made, "JPEG", quality=80)
            inside = f"data:image/jpeg;base64,{base64.b64encode(made.getvalue()).decode('ascii')}"
            shape = {**_box(mark), "href": inside, "preserveAspectRatio": "none"}
            return Xml.SubElement(root, "image", {"class": mark.role, **shape})


def _text(root: Xml.Element, mark: Text) -> Xml.Element:
    x, y = (_number(value) for value in mark.at)
    attributes = {"class": mark.role, "x": x, "y": y, "font-size": _number(mark.size), "fill": _hex(mark.colour)}
    attributes |= {"text-anchor": mark.anchor, "unicode-bidi": "isolate"}
    if mark.bold:
        attributes["font-weight"] = "bold"
    if mark.upwards:
        attributes["transform"] = f"rotate(-90 {x} {y})"
    element = Xml.SubElement(root, "text", attributes)
    element.text = plain(mark.words)
    return element


def _filled(mark: Polygon | Circle) -> dict[str, str]:
    edge = {} if mark.edge is None else {**_stroke(mark.edge, 2 * mark.edge_width), "paint-order": "stroke"}
    return {"fill": _hex(mark.fill), **edge}


def _stroke(colour: Colour, width: float) -> dict[str, str]:
    return {"stroke": _hex(colour), "stroke-width": _number(width)}


def _box(mark: Rectangle | Photograph) -> dict[str, str]:
    x, y = mark.corner
    return {"x": _number(x), "y": _number(y), "width": _number(mark.width), "height": _number(mark.height)}


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _number(value: float) -> str:
    """To a hundredth of a pixel; never -0."""
    return f"{round(near(value), 2) + 0.0:.2f}".rstrip("0").rstrip(".")
