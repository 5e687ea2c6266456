"""``docs/errors.md`` from the error classes themselves: ``python -m dancerank.reference.errors > docs/errors.md``."""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pkgutil import walk_packages
from typing import Final

from dancerank.reference.pages import page, section
from dancerank_installation import PACKAGES
from ranking.serving.api.errors import status_of
from ranking.serving.api.refusals import REFUSALS
from schemas.errors import DancerankError, FinalError, RetriableError, Surface

_NOT_IMPORTED: Final = ("__main__", ".migrations.")
_INTRODUCTION: Final = """\
Every error has a `code`, which stays the same between releases, and a message that names what, where and the remedy.
A *retriable* error may pass by itself: loops reconnect and try again, the API answers 503 with `Retry-After`. A *final*
one stays until a person changes something.

Where a code is met:

- `exit 1`: a command prints `error (code): message` and exits with status 1; `stream`, `rank`, `pools run` and `serve`
  end likewise. With JSON logs the code is the field `code`.
- `dead letter`: header `code` of a record on a dead-letter topic; label `reason` of
  `dancerank_records_dead_lettered_total`.
- `HTTP` and a status: `error.code` in the body of the answer.
- `reconnect`: the process continues from what is committed; label `reason` of `dancerank_interruptions_total`, a
  warning in the log, and `waiting` in `/readyz` while it lasts.
- `skipped`: a serving replica leaves the record unapplied, which the `rank` process dead-letters if it is at fault;
  label `reason` of `dancerank_records_skipped_total`.
- `log`: a warning; the process continues."""


def error_classes() -> list[type[DancerankError]]:
    """Every class below ``DancerankError`` in all packages, which are imported for it, by code."""
    for package in PACKAGES:
        for module in walk_packages(import_module(package).__path__, f"{package}."):
            if not any(mark in module.name for mark in _NOT_IMPORTED):
                import_module(module.name)
    # A module that runs as a script is imported a second time under its name; its classes count once.
    found = {each.__qualname__: each for each in _below(DancerankError) if each.__module__ != "__main__"}
    return sorted(found.values(), key=lambda kind: kind.code)


def reference() -> str:
    """The whole page, in Markdown."""
    classes = [each for each in error_classes() if each not in (RetriableError, FinalError)]
    columns = ("code", "class", "where", "meaning", "what to do")
    families = ((RetriableError, "Retriable errors"), (FinalError, "Final errors"))
    tables = [
        section(title, family.__doc__ or "", columns, [_row(each) for each in classes if issubclass(each, family)])
        for family, title in families
    ]
    refusals = section(
        "Refused requests",
        "Codes of the HTTP API for requests that are refused before a view is asked. They are not classes.",
        ("code", "where", "meaning", "what to do"),
        [(f"`{each.code}`", f"HTTP {each.status}", each.meaning, each.remedy) for each in REFUSALS],
    )
    return page("Errors", _INTRODUCTION, "dancerank.reference.errors", [*tables, refusals])


def _row(kind: type[DancerankError]) -> Sequence[str]:
    where = [f"HTTP {status_of(kind)}" if each is Surface.HTTP else str(each) for each in kind.surfaces]
    meaning = (kind.__doc__ or "").replace("``", "`")
    return f"`{kind.code}`", f"`{kind.__module__}.{kind.__name__}`", ", ".join(where), meaning, kind.remedy


def _below(kind: type[DancerankError]) -> Iterator[type[DancerankError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


if __name__ == "__main__":
    sys.stdout.write(reference())
