"""Databases for tests."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from ranking.database.connection import Database

UNREACHABLE: Final = "postgresql://someone:secret@127.0.0.1:1/none"
"""A URL that nothing listens on."""


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    """The database at ``url`` with the tables of this release; closed at the end.

    An SQLite file that is not there yet is a copy of one that was migrated once, for migrations take 0.1 s.
    """
    with closing(Database(url)) as database:
        if (file := database.missing_file) is not None:
            file.write_bytes(_migrated_file())
        else:
            database.migrate()
        yield database


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory(prefix="dancerank-sqlite-") as folder:
        file = Path(folder) / "migrated.db"
        with closing(Database(f"sqlite:///{file}")) as database:
            database.migrate()
        return file.read_bytes()
