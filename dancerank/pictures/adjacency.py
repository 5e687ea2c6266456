"""The graphs that graph convolutions use, layer by layer, beside those of another network (Fig. 7)."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dancerank.pictures.fonts import fitted, width_of
from dancerank.pictures.scales import figure, shade
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
from extraction.drawing.colours import BLUE, VERMILLION, WHITE
from schemas.picture_formats import PictureFormat, StillFormat

_SIDE: Final = 240.0
_GAP: Final = 26.0
_EDGE: Final = 16.0
_NAME: Final = 8.0


class Layer(NamedTuple):
    """``matrix`` (V, V): the normalised adjacency that layer ``number`` uses, summed over its subsets; rows get from
    columns. ``vertices``: V names, or none."""

    number: int
    matrix: Double
    vertices: Sequence[str] = ()


def adjacency(
    networks: Sequence[tuple[str, Sequence[Layer]]],
    *,
    title: str = "Adjacency of the graph convolutions",
    kind: StillFormat = PictureFormat.PNG,
) -> bytes:
    """A row of matrices for each named network. All have one scale, from 0 to the largest magnitude; a learned edge may
    be negative: it has another hue and a dash."""
    most = max((float(np.nanmax(np.abs(layer.matrix))) for _, layers in networks for layer in layers), default=0.0)
    names = [name for _, layers in networks for layer in layers for name in layer.vertices]
    label = max((width_of(name, _NAME) for name in names), default=0.0) + 6
    columns = max((len(layers) for _, layers in networks), default=0)
    width = max(520.0, 2 * _EDGE + columns * (_SIDE + label + _GAP) - _GAP)
    row = 46 + _SIDE + 16
    sheet = Sheet(width, 52 + row * len(networks) + 44, title)
    sheet.add(Text("title", (_EDGE, 27), fitted(title, 18, width - 2 * _EDGE, bold=True), 18, bold=True))
    for number, (network, layers) in enumerate(networks):
        top = 52 + number * row
        sheet.add(Text("network", (_EDGE, top + 16), fitted(network, 15, width - 2 * _EDGE, bold=True), 15, bold=True))
        for column, layer in enumerate(layers):
            left = _EDGE + label + column * (_SIDE + label + _GAP)
            vertices = len(layer.matrix)
            words = f"layer {layer.number}, {vertices} vertices"
            sheet.add(Text("layer", (left, top + 38), words, 12, colour=SUBDUED))
            sheet.add(*_matrix(layer, left, top + 46, most))
    sheet.add(*_key(_EDGE, 52 + row * len(networks) + 10, most, networks))
    return encoded(sheet, kind)


def _matrix(layer: Layer, left: float, top: float, most: float) -> list[Mark]:
    vertices = len(layer.matrix)
    side = _SIDE / max(vertices, 1)
    made: list[Mark] = [
        Rectangle("edge", (left - 1, top - 1), _SIDE + 2, _SIDE + 2, FAINT),
        Rectangle("edge", (left, top), _SIDE, _SIDE, WHITE),
    ]
    named = layer.vertices or [str(number + 1) for number in range(vertices)]
    for (row, column), value in np.ndenumerate(layer.matrix):
        x, y = left + column * side, top + row * side
        share = abs(float(value)) / most if most > 0 else 0.0
        colour = shade(share, VERMILLION if value < 0 else BLUE)
        said = f"{named[row]} from {named[column]}: {figure(float(value))}"
        made.append(Rectangle("cell", (x, y), side, side, colour, said))
        if value < 0 and share > 0.02:
            middle = y + side / 2
            ink = INK if share < 0.5 else WHITE
            made.append(Line("negative", [(x + 0.3 * side, middle), (x + 0.7 * side, middle)], ink, 1))
    for number, name in enumerate(layer.vertices):
        made.append(Text("vertex", (left - 4, top + (number + 0.5) * side + 3), name, _NAME, "end"))
    return made


def _key(left: float, y: float, most: float, networks: Sequence[tuple[str, Sequence[Layer]]]) -> list[Mark]:
    lowest = min((float(np.nanmin(layer.matrix)) for _, layers in networks for layer in layers), default=0.0)
    made: list[Mark] = []
    steps = 40
    hues = [(BLUE, f"0 to {figure(most)}")]
    if lowest < 0:
        hues.append((VERMILLION, f"0 to −{figure(most)}, with a dash"))
    for hue, words in hues:
        made += [
            Rectangle("key", (left + step * 3, y), 3, 12, shade((step + 0.5) / steps, hue)) for step in range(steps)
        ]
        made.append(Text("key", (left + steps * 3 + 8, y + 11), words, 12))
        left += steps * 3 + 24 + width_of(words, 12)
    return made
