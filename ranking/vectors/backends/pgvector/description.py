"""What a PostgreSQL has of pgvector and of an index view; reads only."""

import re
from typing import Final, NamedTuple

import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.vectors.backends.pgvector.tables import state_table

LEAST_VERSION: Final = (0, 8)
"""Of pgvector: ``halfvec`` came with 0.7, searches that go on if a filter leaves too few with 0.8."""
_FOUND: Final = sa.text(
    "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS version,"
    " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available,"
    " to_regtype('halfvec') IS NOT NULL AS visible, current_database() AS database"
)


class Found(NamedTuple):
    """``version`` of the extension in the ``database``, and the one that could be created there; ``None`` where there
    is none. ``visible``: whether its types are found by their names.
    """

    version: str | None
    available: str | None
    visible: bool
    database: str

    @property
    def problem(self) -> str | None:
        """Why vectors cannot be kept here, and the remedy. An extension that only has to be created is none."""
        if self.version is None and self.available is None:
            return (
                "this PostgreSQL has no extension vector; install pgvector on its host (Debian: "
                "postgresql-NN-pgvector) or choose another index"
            )
        if self.version is None:
            return None
        if tuple(map(int, re.findall(r"\d+", self.version)))[:2] < LEAST_VERSION:
            least = ".".join(map(str, LEAST_VERSION))
            return (
                f"database {self.database} has pgvector {self.version}; expected {least} or later: have an "
                "administrator install it and run ALTER EXTENSION vector UPDATE"
            )
        if not self.visible:
            return (
                f"the types of the extension vector are in a schema of database {self.database} that is not in "
                "search_path; add it: ALTER ROLE … SET search_path"
            )
        return None


def found_in(database: Database) -> Found:
    """Raises as ``store_errors`` says."""
    with database.reading() as connection:
        row = connection.execute(_FOUND).one()
    return Found(row.version, row.available, bool(row.visible), row.database)


def stored_state(database: Database) -> bytes | None:
    """The view's state; ``None`` before any was stored."""
    with database.reading() as connection:
        if not sa.inspect(connection).has_table(state_table.name):
            return None
        state: bytes | None = connection.scalar(sa.select(state_table.c.state))
        return state
