"""On which line of a TOML text each key stands, which ``tomllib`` does not tell."""

import re
import tomllib
from typing import Final, NamedTuple

Place = tuple[str | int, ...]
"""Where in a document: ("tiers", 2, "gate")."""

_TOKENS: Final = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<blank>[ \t\r]+)
  | (?P<end>\n)
  | (?P<word>\"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*' | [A-Za-z0-9_+:-]+)
  | (?P<mark>[][{}=.,])
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def dotted(place: Place) -> str:
    """("tiers", 2, "gate") as ``tiers[2].gate``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")


def line_of(text: str, place: Place) -> int:
    """The line, from 1, of the key, table or array element at ``place`` of the valid TOML document ``text``; of what
    it would stand in, if it is not there. What is missing at the top is told on line 1.
    """
    lines = _Reader(text).lines
    return next((lines[place[:length]] for length in range(len(place), 0, -1) if place[:length] in lines), 1)


class _Reader:
    """Reads a valid document once; ``lines`` are those of all its places."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._elements: dict[Place, int] = {}
        self._tokens = _tokens(text)
        self._next = 0
        table: Place = ()
        while (token := self._peek()).kind != "stop":
            if token.kind == "end":
                self._take()
            elif token.text == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += token.kind != "stop"
        return token

    def _header(self) -> Place:
        line = self._take().line
        is_array = self._peek().text == "["
        if is_array:
            self._take()
        place: Place = ()
        names = self._key()
        for depth, name in enumerate(names, start=1):
            place = (*place, name)
            if is_array and depth == len(names):
                self.lines.setdefault(place, line)
                self._elements[place] = self._elements.get(place, 0) + 1
            if place in self._elements:  # within the latest element of an array of tables
                place = (*place, self._elements[place] - 1)
            self.lines.setdefault(place, line)
        while self._peek().kind not in ("end", "stop"):
            self._take()
        return place

    def _key(self) -> list[str]:
        names = [_name(self._take().text)]
        while self._peek().text == ".":
            self._take()
            names.append(_name(self._take().text))
        return names

    def _pair(self, table: Place) -> None:
        line, place = self._peek().line, table
        for name in self._key():
            place = (*place, name)
            self.lines.setdefault(place, line)
        self._take()  # the equals sign
        self._value(place)

    def _value(self, place: Place) -> None:
        opening = self._peek().text
        if opening not in ("[", "{"):
            while self._peek().kind not in ("end", "stop") and self._peek().text not in (",", "]", "}"):
                self._take()
            return
        self._take()
        element = 0
        while (token := self._peek()).text not in ("]", "}") and token.kind != "stop":
            if token.kind == "end" or token.text == ",":
                self._take()
            elif opening == "{":
                self._pair(place)
            else:
                self.lines.setdefault((*place, element), token.line)
                self._value((*place, element))
                element += 1
        self._take()


def _tokens(text: str) -> list[_Token]:
    found, line = [], 1
    for match in _TOKENS.finditer(text):
        kind = match.lastgroup or ""
        if kind not in ("comment", "blank"):
            found.append(_Token(kind, match.group(), line))
        line += match.group().count("\n")
    return [*found, _Token("stop", "", line)]


def _name(token: str) -> str:
    return str(tomllib.loads(f"name = {token}")["name"]) if token[:1] in ("'", '"') else token
