"""Words: the font, what it measures, and what is left of text from outside.

The font is DejaVu Sans, which matplotlib's wheel brings; matplotlib itself is not imported. A font object belongs to
the thread that opened it.
"""

import threading
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from PIL import ImageFont

FAMILY: Final = "DejaVu Sans, Verdana, sans-serif"
_FILES: Final = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}
_LONGEST: Final = 400
"""Characters of one text that are looked at: an id may be long, a picture is not."""
_DIRECTIONS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
"""They would turn round what stands behind them."""

_fonts = threading.local()


def font(size: float, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans for this thread; sizes are rounded to whole pixels, of which there are few."""
    opened: dict[tuple[int, bool], ImageFont.FreeTypeFont] | None = getattr(_fonts, "opened", None)
    if opened is None:
        opened = _fonts.opened = {}
    key = max(1, round(size)), bold
    if key not in opened:
        opened[key] = ImageFont.truetype(_folder() / _FILES[bold], key[0])
    return opened[key]


@cache
def _folder() -> Path:
    found = find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
    return Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


def plain(words: str) -> str:
    """``words`` on one line, without control characters, marks of direction, or what XML cannot hold."""
    kept = []
    for character in words[:_LONGEST]:
        category = unicodedata.category(character)
        if category in ("Zs", "Zl", "Zp") or character in "\t\n\r\v\f":
            kept.append(" ")
        elif category not in ("Cc", "Cs") and character not in _DIRECTIONS and ord(character) & 0xFFFE != 0xFFFE:
            kept.append(character)
    return " ".join("".join(kept).split())


def width_of(words: str, size: float, *, bold: bool = False) -> float:
    """Pixels that ``words`` take in a line."""
    return float(font(size * 4, bold=bold).getlength(words)) / 4


def fitted(words: str, size: float, width: float, *, bold: bool = False) -> str:
    """``plain(words)``, shortened in its middle, so that both ends of an id remain, to fit into ``width`` pixels."""
    words = plain(words)
    if width_of(words, size, bold=bold) <= width:
        return words
    low, high = 0, len(words)
    while low < high:
        kept = (low + high + 1) // 2
        low, high = (kept, high) if width_of(_shortened(words, kept), size, bold=bold) <= width else (low, kept - 1)
    return _shortened(words, low)


def _shortened(words: str, kept: int) -> str:
    first = (kept + 1) // 2
    return f"{words[:first]}…{words[len(words) - (kept - first) :]}"


def wrapped(words: str, size: float, width: float, lines: int) -> list[str]:
    """``plain(words)`` in at most ``lines`` lines of ``width`` pixels; the last one is shortened if need be."""
    left = plain(words).split(" ")
    made: list[str] = []
    while left and len(made) < lines - 1:
        line = left.pop(0)
        while left and width_of(f"{line} {left[0]}", size) <= width:
            line = f"{line} {left.pop(0)}"
        made.append(fitted(line, size, width))
    if left:
        rest = " ".join(left)
        made.append(rest if width_of(rest, size) <= width else _ended(rest, size, width))
    return made


def _ended(words: str, size: float, width: float) -> str:
    while words and width_of(f"{words}…", size) > width:
        words = words[:-1]
    return f"{words.rstrip()}…"
