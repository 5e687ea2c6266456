"""What every error has, and the two families."""

from enum import StrEnum
from typing import ClassVar, Final

from schemas.escaping import shortened

_MAX_MESSAGE: Final = 8192
"""Characters: twenty findings of a data set. What quotes its input shortens the quotation; this holds for the rest."""
_MAX_FIELD: Final = 256


class Surface(StrEnum):
    """Where a person meets an error."""

    COMMAND = "exit 1"
    """A command prints it and exits with status 1; a long-running process logs it and ends likewise."""
    DEAD_LETTER = "dead letter"
    """Header ``code`` of a dead letter, and label ``reason`` of ``dancerank_records_dead_lettered_total``."""
    HTTP = "HTTP"
    """``error.code`` in the body of an HTTP answer."""
    RECONNECT = "reconnect"
    """A loop reconnects: log, ``/readyz`` and label ``reason`` of ``dancerank_interruptions_total``."""
    SKIPPED = "skipped"
    """A replica leaves the record unapplied: label ``reason`` of ``dancerank_records_skipped_total``."""
    LOG = "log"
    """A warning in the log; the process continues."""


class DancerankError(Exception):
    """Base of all errors raised on purpose; every one derives from ``RetriableError`` or ``FinalError``.

    ``code`` is a stable, lower-case slug: a header of a dead letter, the label of a metric, a field of an HTTP answer.
    ``remedy`` says what a person does about it, ``surfaces`` where they meet it. ``field`` names the offending field
    (``features.uri``, ``holistic``), if one can be named.
    """

    code: ClassVar[str] = "error"
    remedy: ClassVar[str]
    surfaces: ClassVar[tuple[Surface, ...]] = (Surface.COMMAND,)

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.message = shortened(message, _MAX_MESSAGE)
        super().__init__(self.message)
        self.field = None if field is None else shortened(field, _MAX_FIELD)


class RetriableError(DancerankError):
    """The same call may succeed later with nothing changed by a person."""


class FinalError(DancerankError):
    """The same call fails again until a person changes something: the input, a setting, or what the process runs on."""
