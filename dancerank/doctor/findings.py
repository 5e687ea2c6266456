"""What an examination finds: good or bad, where, what, and what to do."""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from dancerank_installation import missing_extra
from schemas.errors import DancerankError, ExtraMissing


class Level(StrEnum):
    """How bad a finding is."""

    OK = "OK"
    WARNING = "WARNING"
    """It works, until something else happens."""
    ERROR = "ERROR"
    """It does not work, or loses data in normal operation."""


class Finding(NamedTuple):
    """One thing that was looked at. ``where`` is the subject of ``what``; ``remedy`` is empty if all is well."""

    level: Level
    where: str
    what: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """All of it, for a log."""
        return f"{self.where} {self.what}" + (f"; {self.remedy}" if self.remedy else "")


def ok(where: str, what: str) -> Finding:
    return Finding(Level.OK, where, what)


def warning(where: str, what: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, where, what, remedy)


def error(where: str, what: str, remedy: str) -> Finding:
    return Finding(Level.ERROR, where, what, remedy)


def failures_found(where: str, examined: Iterator[Finding]) -> Iterator[Finding]:
    """``examined``, and last the finding of what ended it: an error of ours, or an extra that is not installed."""
    try:
        yield from examined
    except DancerankError as problem:
        yield error(where, problem.message, type(problem).remedy)
    except ModuleNotFoundError as problem:
        sentence = missing_extra(problem)
        if sentence is None:
            raise
        yield error(where, sentence, ExtraMissing.remedy)
