"""Where clips are counted: in their challenge, and once more among those of its clips that show one style.

The place of a style is the challenge's id, a slash and the style. Identifiers hold no slash, so that a place is either
one or the other, and what counts a challenge counts a style of it too.
"""

from typing import Final

import sqlalchemy as sa

_SLASH: Final = "/"
_AFTER_SLASH: Final = chr(ord(_SLASH) + 1)


def place_of(challenge_id: str, style: str | None) -> str:
    """The place of a challenge, or of one of its styles."""
    return challenge_id if style is None else f"{challenge_id}{_SLASH}{style}"


def places_of(challenge_id: str, style: str | None) -> tuple[str, ...]:
    """All places that a clip of the style is counted in."""
    return (challenge_id,) if style is None else (challenge_id, place_of(challenge_id, style))


def parsed(place: str) -> tuple[str, str | None]:
    """Challenge and style of a place."""
    challenge_id, slash, style = place.partition(_SLASH)
    return challenge_id, style if slash else None


def style_place(challenge_id: sa.ColumnElement[str], style: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """The place of a style, in a statement."""
    return challenge_id.concat(_SLASH).concat(style)


def is_challenge(column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a place is that of a whole challenge."""
    return column.not_like(f"%{_SLASH}%")


def is_style(column: sa.ColumnElement[str], challenge_id: str | None = None) -> sa.ColumnElement[bool]:
    """Whether a place is that of a style, of any challenge or of one: a range of the key."""
    if challenge_id is None:
        return column.like(f"%{_SLASH}%")
    return sa.and_(column >= f"{challenge_id}{_SLASH}", column < f"{challenge_id}{_AFTER_SLASH}")
