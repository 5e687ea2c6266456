"""Colours, RGB, that people with any colour vision tell apart (Okabe and Ito 2008)."""

from typing import Final

Colour = tuple[int, int, int]

BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)
GREY: Final[Colour] = (120, 120, 120)
PANEL: Final[Colour] = (24, 24, 24)
ORANGE: Final[Colour] = (230, 159, 0)
SKY_BLUE: Final[Colour] = (86, 180, 233)
BLUE: Final[Colour] = (0, 114, 178)
GREEN: Final[Colour] = (0, 158, 115)
VERMILLION: Final[Colour] = (213, 94, 0)
YELLOW: Final[Colour] = (240, 228, 66)
PURPLE: Final[Colour] = (204, 121, 167)

SERIES: Final = (ORANGE, SKY_BLUE, PURPLE, GREEN, YELLOW, WHITE)
"""Of the first, the second, … of several series in one chart."""
