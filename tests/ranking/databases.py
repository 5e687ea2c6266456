"""Databases for tests."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from ranking.database.connection import Database

UNREACHABLE: Final = "postgresql://someone:secret@127.0.0.1:1/none"
"""A URL that nothing listens on."""


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    """The database at ``url`` with the tables of this release; closed at the end."""
    with closing(Database(url)) as database:
        database.migrate()
        yield database
