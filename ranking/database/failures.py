"""The failures of a database as our own errors, each with what to do about it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from sqlalchemy import exc

from schemas.errors import StoreRefused, StoreUnavailable

UNDEFINED_TABLE: Final = "42P01"
INSUFFICIENT_PRIVILEGE: Final = "42501"
"""Codes of PostgreSQL's errors."""


class _Failure(NamedTuple):
    """What the drivers say matches one of ``marks``, regular expressions."""

    marks: tuple[str, ...]
    problem: str
    remedy: str
    kind: type[StoreRefused | StoreUnavailable] = StoreRefused


_FAILURES: Final = (
    _Failure(
        ("no such table", "no such column", "has no column", "UndefinedTable", "UndefinedColumn"),
        "the database lacks our tables",
        "run the migrations first, by a start of dancerank rank, serve or pools run",
    ),
    _Failure(
        ("unable to open database file", "attempt to write a readonly database"),
        "the database file cannot be used",
        "create its folder, or correct its permissions",
    ),
    _Failure(
        ("file is not a database",),
        "the file is not an SQLite database",
        "name another one in ranking.database_url",
    ),
    _Failure(
        ("database disk image is malformed",),
        "the database file is damaged",
        "restore a copy of it, or move it elsewhere: processes fill a new one from the log",
    ),
    # A server may be set up while processes wait for it.
    _Failure(
        ('FATAL:  database ".*" does not exist',),
        "the database does not exist",
        "create it (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0), or correct ranking.database_url",
        StoreUnavailable,
    ),
    _Failure(
        ("authentication failed", "FATAL:  role ", "no password supplied"),
        "the database does not accept this user",
        "correct user and password in ranking.database_url, or create the role",
        StoreUnavailable,
    ),
)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn database errors into ``StoreUnavailable`` (try again) or ``StoreRefused`` (a person is needed)."""
    try:
        yield
    except exc.DBAPIError as error:
        # Only the driver's message: SQLAlchemy's own would quote the statement's parameters.
        reason = f"{type(error.orig).__name__}: {error.orig}"
        for failure in _FAILURES:
            if any(re.search(mark, reason) for mark in failure.marks):
                raise failure.kind(f"{failure.problem} ({reason}); {failure.remedy}") from error
        if error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
            raise StoreUnavailable(f"the database did not answer ({reason})") from error
        raise StoreRefused(f"the database refused a statement ({reason})") from error


def has_sqlstate(error: StoreRefused, sqlstate: str) -> bool:
    """Whether PostgreSQL's error ``sqlstate`` is what ``store_errors`` turned into ``error``."""
    cause = error.__cause__
    return isinstance(cause, exc.DBAPIError) and getattr(cause.orig, "sqlstate", None) == sqlstate
