"""The dance style of a clip as views keep it."""

from typing import Final, NamedTuple

from schemas.events import ClipScored, ClipScoredV3
from schemas.style_classifier import UNKNOWN_STYLE


class ClipStyle(NamedTuple):
    """``UNKNOWN_STYLE`` where none was recognised, ``None`` where none was judged."""

    style: str | None
    probability: float | None


_NOT_JUDGED: Final = ClipStyle(None, None)


def clip_style(clip: ClipScored) -> ClipStyle:
    """PostgreSQL cannot hold a zero character; a style with one is none that a classifier has."""
    found = clip.style if isinstance(clip, ClipScoredV3) else None
    if found is None or (found.style is not None and "\0" in found.style):
        return _NOT_JUDGED
    return ClipStyle(UNKNOWN_STYLE if found.style is None else found.style, found.probability + 0.0)  # 0 for -0
