"""Opening a database and speaking of its failures in our own errors."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
import stamina
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection

from schemas.errors import ConfigurationError, StoreRefused, StoreUnavailable

SQLITE_BUSY_TIMEOUT_MS: Final = 10_000
CONNECT_TIMEOUT_S: Final = 5
# Else a server whose host vanished, and says nothing more, is waited for as long as TCP does: a quarter of an hour.
_PATIENCE: Final = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
# As many as the HTTP server has threads; who still finds none free waits, and then is told to try again.
_POOL: Final[dict[str, Any]] = {"pool_size": 8, "max_overflow": 32, "pool_timeout": 10}
# SQLite takes 32,766 at most, PostgreSQL 65,535.
_PARAMETERS: Final = 10_000
_CLIPS_LOCK: Final = 0x636C697073  # "clips"
_IMMEDIATE: Final = "begin_immediate"
_FILE_UNUSABLE: Final = ("unable to open database file", "attempt to write a readonly database")
_SCHEMA_MISSING: Final = ("no such table", "no such column", "has no column", "UndefinedTable", "UndefinedColumn")


def open_engine(url: str) -> sa.Engine:
    """An engine for ``sqlite:///file`` (WAL, foreign keys enforced) or ``postgresql://…`` (through psycopg).

    Nothing is connected yet. Raises ``ConfigurationError`` for a URL that is malformed or of another database.
    """
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "the database URL is malformed; expected sqlite:///path or postgresql://user@host/name",
            field="database_url",
        ) from error
    if parsed.get_backend_name() == "postgresql":
        through_psycopg = parsed.set(drivername="postgresql+psycopg")
        try:
            return sa.create_engine(through_psycopg, connect_args=_PATIENCE, pool_pre_ping=True, **_POOL)
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "PostgreSQL needs psycopg; install the extra: pip install 'dancerank[postgresql]'", field="database_url"
            ) from error
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed)
    raise ConfigurationError(
        f"no support for {parsed.get_backend_name()} databases; use sqlite or postgresql", field="database_url"
    )


def _open_sqlite(url: sa.URL) -> sa.Engine:
    # An in-memory database lives and dies with its one connection; every thread has to share it.
    in_memory = url.database in (None, "", ":memory:")
    pool: dict[str, Any] = {"poolclass": sa.StaticPool} if in_memory else _POOL
    engine = sa.create_engine(url, connect_args={"check_same_thread": False}, **pool)

    @sa.event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _record: object) -> None:
        # The driver would open transactions late and not at all for reads; a read has to see one state throughout.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        # Processes that open a new file together refuse each other the switch, without waiting for the busy timeout.
        for attempt in stamina.retry_context(on=sqlite3.OperationalError, attempts=50, wait_initial=0.01, wait_max=0.2):
            with attempt:
                cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer that takes the lock at once waits its turn; one that upgrades a read later would fail instead.
        immediate = connection.get_execution_options().get(_IMMEDIATE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection on which all statements see one and the same state. Raises as ``store_errors`` says."""
    with store_errors(), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that commits on leaving, or rolls back if left by an error."""
    with store_errors(), engine.execution_options(**{_IMMEDIATE: True}).begin() as connection:
        yield connection


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn database errors into ``StoreUnavailable`` (try again) or ``StoreRefused`` (a person is needed)."""
    try:
        yield
    except exc.DBAPIError as error:
        # Only the driver's message: SQLAlchemy's own would quote the statement's parameters.
        reason = f"{type(error.orig).__name__}: {error.orig}"
        if any(mark in reason for mark in _SCHEMA_MISSING):
            raise StoreRefused(f"the database lacks our tables ({reason}); run the migrations first") from error
        if any(mark in reason for mark in _FILE_UNUSABLE):
            raise StoreRefused(
                f"the database file cannot be used ({reason}); create its folder, or correct its permissions"
            ) from error
        if error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
            raise StoreUnavailable(f"the database did not answer ({reason})") from error
        raise StoreRefused(f"the database refused a statement ({reason})") from error
    except exc.TimeoutError as error:
        raise StoreUnavailable("no database connection became free in time") from error


def clock_ms(connection: sa.Connection) -> int:
    """The database's clock, which all who use it have in common, in milliseconds since 1970."""
    if connection.dialect.name == "postgresql":
        seconds: sa.ColumnElement[Any] = sa.func.extract("epoch", sa.func.clock_timestamp())
    else:
        seconds = (sa.func.julianday("now") - 2_440_587.5) * 86_400
    return round(float(connection.scalars(sa.select(seconds)).one()) * 1000)


def lock_clips(connection: sa.Connection, *, alone: bool) -> None:
    """Writers of scored clips go side by side, one that removes some goes alone: it would pass over a clip that another
    has not committed, which in turn would not see that the clip has to go. SQLite's writers queue by themselves.
    """
    if connection.dialect.name == "postgresql":
        lock = sa.func.pg_advisory_xact_lock if alone else sa.func.pg_advisory_xact_lock_shared
        # A plan that was kept from when the tables were empty reads all of them for each row; a rebuild would not end.
        fresh_plans = sa.func.set_config("plan_cache_mode", "force_custom_plan", True)
        connection.execute(sa.select(lock(_CLIPS_LOCK), fresh_plans))


def in_parts(keys: Iterable[str]) -> Iterator[list[str]]:
    """Distinct keys in order, in parts that one statement takes as parameters."""
    distinct = sorted(set(keys))
    for start in range(0, len(distinct), _PARAMETERS):
        yield distinct[start : start + _PARAMETERS]


def insert_into(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that can say what to do on conflict, which each database's dialect spells for itself."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert whole rows, or overwrite those with their keys."""
    if not rows:
        return
    connection.execute(_upserting(connection.dialect.name, table), list(rows))


@lru_cache
def _upserting(dialect: str, table: sa.Table) -> sa.Insert:
    # Made once: to put it together takes as long as to execute it.
    insert = insert_of(dialect, table)
    changed = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)
