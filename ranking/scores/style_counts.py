"""Clips by dance style, counted from the runs that rankings of a style are counted from: no clip is read."""

import sqlalchemy as sa

from ranking.scores.runs.content import CLIPS, Totals
from ranking.scores.runs.periods import Since
from ranking.scores.runs.reading import totals_by_challenge, totals_by_style, totals_of
from schemas.errors import NotFound, QueryError
from schemas.escaping import shortened
from schemas.questions.retrieval import Window
from schemas.questions.styles import StyleCount, StyleCounts
from schemas.style_classifier import MAX_STYLE_LENGTH

_MAX_NAMED = 20


def style_counts(
    connection: sa.Connection, generation: str, challenge_id: str | None, since: Since | None
) -> list[StyleCount]:
    """Styles that any clip shows, of a challenge or of all together; the most frequent first, equal ones by name."""
    found = totals_by_style(connection, generation, challenge_id, since)
    counts = [StyleCount(style, clips_of(totals)) for style, totals in found.items()]
    return sorted((each for each in counts if each.clips), key=lambda each: (-each.clips, each.style))


def styles_counted(
    connection: sa.Connection, generation: str, challenge_id: str | None, window: Window, since: Since | None
) -> StyleCounts:
    """The answer for a challenge, or for all together. Raises ``NotFound`` (challenge)."""
    if challenge_id is None:
        clips = sum(map(clips_of, totals_by_challenge(connection, generation, since).values()))
    else:
        if not clips_of(totals_of(connection, generation, challenge_id)):
            raise NotFound(f"challenge {challenge_id} has no clips under generation {generation}", field="challenge_id")
        clips = clips_of(totals_of(connection, generation, challenge_id, since))
    counts = style_counts(connection, generation, challenge_id, since)
    judged = sum(each.clips for each in counts)
    since_ms = None if since is None else since.at_ms
    return StyleCounts(challenge_id, generation, clips, clips - judged, counts, window, since_ms)


def clips_of(totals: Totals) -> int:
    """All that were scored, in a ranking or not."""
    return totals[CLIPS].clips if CLIPS in totals else 0


def check_style(style: str | None) -> None:
    """Raise ``QueryError`` for what no style can be called."""
    if style is not None and (not 1 <= len(style) <= MAX_STYLE_LENGTH or "\0" in style):
        raise QueryError(f"a style has 1 to {MAX_STYLE_LENGTH} characters, and no NUL", field="style")


def check_shown(connection: sa.Connection, generation: str, challenge_id: str, style: str | None) -> None:
    """Raise ``NotFound`` naming the styles that there are, unless a clip of the challenge shows ``style``, if any."""
    if style is None:
        return
    found = [each.style for each in style_counts(connection, generation, challenge_id, None)]
    if style not in found:
        named = ", ".join(found[:_MAX_NAMED]) or "none"
        raise NotFound(
            f"no clip of challenge {challenge_id} shows the style {shortened(style, MAX_STYLE_LENGTH)}; its styles are "
            f"{named}",
            field="style",
        )
