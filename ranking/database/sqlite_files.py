"""Connections to an SQLite database, in a file or in memory, as all processes use it."""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa
import stamina
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from ranking.database.checkpoints import LONG_PAGES, Checkpoints

BUSY_TIMEOUT_MS: Final = 10_000
CACHE_KIB: Final = 32_768
"""For each connection; by default 2 MB are kept."""
WRITING_KIB: Final = 131_072
"""For the one that writes: a batch changes tens of thousands of pages of indexes, and one that does not fit is written
and read again within the transaction."""
BEGIN_IMMEDIATE: Final = "begin_immediate"
"""The execution option of a connection that writes."""
_CHANGES: Final = "changes"


def is_in_memory(url: sa.URL) -> bool:
    """Whether an SQLite database lives in the memory of the process that opens it."""
    named = url.database or ":memory:"
    return ":memory:" in named or url.query.get("mode") == "memory"


def sqlite_file(url: sa.URL) -> Path | None:
    """The file of an SQLite database; ``None`` for one in memory, and for another server."""
    if url.get_backend_name() != "sqlite" or is_in_memory(url):
        return None
    named = str(url.database)
    return Path(unquote(urlsplit(named).path) if named.startswith("file:") else named)


def open_sqlite(url: sa.URL, pool: Mapping[str, Any], checkpoints: Checkpoints | None) -> sa.Engine:
    """``checkpoints`` of a file; ``None`` for a database in memory."""
    # An in-memory database exists as long as its one connection; every thread has to share it.
    shared = {"poolclass": sa.StaticPool} if checkpoints is None else pool
    engine = sa.create_engine(url, connect_args={"check_same_thread": False}, **shared)

    @sa.event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _record: object) -> None:
        # By default the driver opens transactions late, and none for reads; a read has to see one state throughout.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        # If several processes open a new file together, the switch to WAL fails without waiting for the busy timeout.
        for attempt in stamina.retry_context(on=sqlite3.OperationalError, attempts=50, wait_initial=0.01, wait_max=0.2):
            with attempt:
                cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        cursor.execute(f"PRAGMA wal_autocheckpoint={2 * LONG_PAGES}")  # what no thread has copied by then
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer that takes the lock at once waits for others; one that upgrades a read transaction fails instead.
        immediate = connection.get_execution_options().get(BEGIN_IMMEDIATE, False)
        if immediate and checkpoints is not None:
            checkpoints.make_room()
            connection.exec_driver_sql(f"PRAGMA cache_size=-{WRITING_KIB}")
            connection.info[_CHANGES] = _changes(connection.connection.dbapi_connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    @sa.event.listens_for(engine, "checkin")
    def written(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        before = record.info.pop(_CHANGES, None)
        if connection is not None and checkpoints is not None and before is not None:
            # A connection that fails here is lost to the pool. Whoever uses it next says why.
            with suppress(sqlite3.Error):
                connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}").close()
            checkpoints.written(_changes(connection) - before)

    return engine


def _changes(connection: Any) -> int:
    """Rows that were ever changed on it."""
    return int(connection.total_changes)
