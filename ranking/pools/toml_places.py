"""On which line of a TOML text a key stands, which ``tomllib`` does not report."""

import tomllib
from typing import Any

Place = tuple[str | int, ...]
"""A path in a document: ("tiers", 2, "gate")."""


def dotted(place: Place) -> str:
    """("tiers", 2, "gate") as ``tiers[2].gate``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")


def line_of(text: str, place: Place) -> int:
    """The line, from 1, on which the statement begins that gives the key, table or element at ``place`` of the valid
    TOML document ``text``; if there is none, the statement that gives what would hold it, and line 1 at the top.

    Lines are added one by one, and ``tomllib`` says what is there: a statement ends on the first line up to which the
    document is valid again, since an open string or array is not. The cost is that of as many documents as lines.
    """
    line, depth, begins = 1, 0, 1
    lines = text.split("\n")
    for end in range(1, len(lines) + 1):
        try:
            content = tomllib.loads("\n".join(lines[:end]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        found = _depth(content, place)
        if found > depth:
            line, depth = begins, found
        begins = end + 1
    return line


def _depth(content: Any, place: Place) -> int:
    """How many steps of ``place`` exist in ``content``."""
    for depth, step in enumerate(place):
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(place)
