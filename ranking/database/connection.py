"""The database of a process: one bounded pool of connections, and its failures as our own errors."""

import select
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from ranking.database.checkpoints import Checkpoints
from ranking.database.failures import store_errors
from ranking.database.limits import CONNECTION_WAIT_S, MOST_CONNECTIONS
from ranking.database.migrations import current_revision, upgrade
from ranking.database.sqlite_files import BEGIN_IMMEDIATE, open_sqlite, sqlite_file
from schemas.errors import ConfigurationError, DatabaseBusy, ExtraMissing
from schemas.local_files import exists, is_file

CONNECT_TIMEOUT_S: Final = 5
# By default TCP waits a quarter of an hour for a server whose host vanished.
_PATIENCE: Final = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
# SQLite takes 32,766 at most, PostgreSQL 65,535.
_PARAMETERS: Final = 10_000
_CLIPS_LOCK: Final = 0x636C697073  # "clips"
_UNLOOKED_S: Final = 0.25
"""A connection that was in use so recently is taken to work still, unless the server has said something since: it says
so when it ends one. Whoever finds that it does not work repeats what it did, as for one that breaks in use."""
_PLANNED_S: Final = 5.0
"""A plan that PostgreSQL keeps for a statement is at most so old: one from when a table was empty reads all of it until
the server has analyzed the table, which takes autovacuum a minute or more."""
_USED, _PLANNED = "used_s", "planned_s"


FRESH_PLANS: Final = sa.func.set_config("plan_cache_mode", "force_custom_plan", True)
"""What a transaction selects first whose statements PostgreSQL is to plan each time, also those that it has read
before: a plan that it keeps from when tables were empty scans them for each row, and a rebuild would not end."""


class Database:
    """One database and the connections of this process to it; construct it once and pass it to all that need it.

    Any number of threads may read and write at once. At most ``connections`` connections exist; a thread that finds
    none free waits up to ``wait_s`` seconds for one, then ``DatabaseBusy`` is raised. Do not open a second
    connection while holding one: threads that do so wait for each other. An in-memory SQLite database has exactly one
    connection, which threads use in turns; it belongs to this process alone and ends with it.
    """

    def __init__(self, url: str, *, connections: int = MOST_CONNECTIONS, wait_s: float = CONNECTION_WAIT_S) -> None:
        """``url``: ``sqlite:///file`` (WAL, foreign keys enforced) or ``postgresql://…`` (through psycopg).

        Connects on first use. Raises ``ConfigurationError`` for a URL that is malformed or names another database.
        """
        self._connections, self._wait_s = connections, wait_s
        pool = {"pool_size": connections, "max_overflow": 0, "pool_timeout": wait_s}
        self._engine, self._checkpoints = _open_engine(url, pool)
        self._turns = threading.Lock() if isinstance(self._engine.pool, sa.StaticPool) else None

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @property
    def missing_file(self) -> Path | None:
        """The SQLite file, if it does not exist yet; the first use creates it."""
        file = sqlite_file(self._engine.url)
        return None if file is None or exists(file) else file

    def absence(self) -> str | None:
        """Why there is nothing to read in it, as the rest of a sentence; ``None`` once its tables exist. Unlike the
        first use, asking does not create it. Raises as ``store_errors`` says.
        """
        file = sqlite_file(self._engine.url)
        if file is not None and not exists(file):
            return f"the file {file.absolute()} does not exist"
        if file is not None and is_file(file) and file.stat().st_size == 0:
            return f"the file {file.absolute()} is empty"
        with self.reading() as connection:
            return "it holds no tables of dancerank" if current_revision(connection) is None else None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection on which all statements see one and the same state. Raises as ``store_errors`` says."""
        with self._connected() as connection:
            if self.dialect == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def glancing(self) -> Iterator[sa.Connection]:
        """A connection for one statement that reads, which needs no transaction. Raises as ``store_errors`` says."""
        if self.dialect != "postgresql":
            with self.reading() as connection:
                yield connection
            return
        with self._connected() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection in a transaction that commits on leaving, and rolls back if left by an error."""
        with self._connected() as connection:
            connection = connection.execution_options(**{BEGIN_IMMEDIATE: True})
            with connection.begin():
                yield connection

    @contextmanager
    def undisturbed(self, lock: int) -> Iterator[sa.Connection]:
        """A connection in a transaction, as ``writing``, all of whose statements see the state of one moment, at which
        no other transaction had the advisory lock ``lock``; others may have it again at once. SQLite has one writer.
        """
        if self.dialect != "postgresql":
            with self.writing() as connection:
                yield connection
            return
        with self._connected() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                connection.execute(sa.select(sa.func.pg_advisory_lock(lock)))
                connection.commit()
                connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    # The state is that of the transaction's first statement, which begins before it unlocks.
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(lock)))
                    yield connection
            except BaseException:
                connection.invalidate()  # with it ends the lock, which belongs to the connection
                raise

    @contextmanager
    def alone(self, lock: int) -> Iterator[bool]:
        """Whether nobody else has the advisory lock ``lock``, which is held until this is left if so. On SQLite, whose
        writers take turns, always.
        """
        if self.dialect != "postgresql":
            yield True
            return
        with self._connected() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            is_free = bool(connection.scalars(sa.select(sa.func.pg_try_advisory_lock(lock))).one())
            try:
                yield is_free
                if is_free:
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(lock)))
            except BaseException:
                connection.invalidate()  # with it ends the lock, which belongs to the connection
                raise

    @contextmanager
    def autocommitting(self) -> Iterator[sa.Connection]:
        """A connection on which each statement commits by itself, for what PostgreSQL refuses within a transaction.
        What is set on it, and its advisory locks, end with it: it is closed on leaving.
        """
        with self._connected() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                yield connection
            finally:
                connection.invalidate()

    def migrate(self) -> None:
        """Bring the database to this release's schema; safe to call at every start, from many processes."""
        with self.writing() as connection:
            upgrade(connection)

    def close(self) -> None:
        """Close all connections that are not in use."""
        if self._checkpoints is not None:
            self._checkpoints.wait()
        self._engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        with store_errors(), self._turn():
            try:
                connection = self._engine.connect()
            except exc.TimeoutError as error:
                raise DatabaseBusy(
                    f"all {self._connections} database connections of this process were in use for {self._wait_s:g} s; "
                    "try again, or raise ranking.database_connections"
                ) from error
            with connection:
                yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._turns is None:
            yield
            return
        if not self._turns.acquire(timeout=self._wait_s):
            raise DatabaseBusy(
                f"the in-memory database was in use for {self._wait_s:g} s; try again, or use a file (sqlite:///path)"
            )
        try:
            yield
        finally:
            self._turns.release()


def _open_engine(url: str, pool: Mapping[str, Any]) -> tuple[sa.Engine, Checkpoints | None]:
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
            return _looking(sa.create_engine(through_psycopg, connect_args=_PATIENCE, **pool)), None
        except ModuleNotFoundError as error:
            raise ExtraMissing(
                "PostgreSQL needs psycopg; install the extra: pip install 'dancerank[postgresql]'", field="database_url"
            ) from error
    if parsed.get_backend_name() == "sqlite":
        file = sqlite_file(parsed)
        checkpoints = None if file is None else Checkpoints(file)
        return open_sqlite(parsed, pool, checkpoints), checkpoints
    raise ConfigurationError(
        f"{parsed.get_backend_name()} databases are not supported; use sqlite or postgresql", field="database_url"
    )


def _looking(engine: sa.Engine) -> sa.Engine:
    """``engine``, which looks whether a connection still works before it is used again, unless it just was; and lets
    the server forget its plans from time to time.
    """

    @sa.event.listens_for(engine, "connect")
    def opened(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info[_PLANNED] = time.monotonic()

    @sa.event.listens_for(engine, "connect")
    @sa.event.listens_for(engine, "checkin")
    def note(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_USED] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def look(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        now_s = time.monotonic()
        is_planned = now_s - record.info.get(_PLANNED, float("-inf")) < _PLANNED_S
        is_fresh = is_planned and now_s - record.info.get(_USED, float("-inf")) < _UNLOOKED_S
        if is_fresh and not connection.closed and _is_silent(connection):  # psycopg knows if it broke in use
            return
        try:
            if is_planned:
                engine.dialect.do_ping(connection)
            else:
                _discard_plans(connection)
                record.info[_PLANNED] = now_s
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.InvalidatePoolError from error  # all of the pool are opened anew

    return engine


def _is_silent(connection: Any) -> bool:
    """Whether nothing has come from the server that nobody asked for, such as that it ends the connection."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return not waiting.poll(0)


def _discard_plans(connection: Any) -> None:
    """Outside a transaction, as a ping is."""
    was, connection.autocommit = connection.autocommit, True
    try:
        connection.execute("DISCARD PLANS").close()
    finally:
        connection.autocommit = was


def clock_ms(connection: sa.Connection) -> int:
    """The database's clock, which all its users share, in milliseconds since 1970."""
    if connection.dialect.name == "postgresql":
        seconds: sa.ColumnElement[Any] = sa.func.extract("epoch", sa.func.clock_timestamp())
    else:
        seconds = (sa.func.julianday("now") - 2_440_587.5) * 86_400
    return round(float(connection.scalars(sa.select(seconds)).one()) * 1000)


def lock_clips(connection: sa.Connection, *, alone: bool) -> None:
    """Lock scored clips until the transaction ends: writers share the lock, a transaction that removes clips holds it
    ``alone``. Without it a removal would miss a clip that another transaction has not committed yet, and that
    transaction would not see the removal. SQLite has one writer at a time anyway.
    """
    for statement in locking_clips(connection.dialect.name, alone=alone):
        connection.execute(statement)


@lru_cache
def locking_clips(dialect: str, *, alone: bool) -> tuple[sa.Select[Any], ...]:
    """The statements of ``lock_clips``, to be sent with others; each but the first is planned anew from here on."""
    if dialect != "postgresql":
        return ()
    lock = sa.func.pg_advisory_xact_lock if alone else sa.func.pg_advisory_xact_lock_shared
    return (sa.select(lock(_CLIPS_LOCK).label("lock"), FRESH_PLANS.label("plans")),)


def in_parts(keys: Iterable[str]) -> Iterator[list[str]]:
    """Distinct keys in order, in parts that fit into the parameters of one statement."""
    distinct = sorted(set(keys))
    for start in range(0, len(distinct), _PARAMETERS):
        yield distinct[start : start + _PARAMETERS]


def insert_into(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An insert of this database's dialect, which can say what to do on conflict."""
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
    # Cached: building the statement takes as long as executing it.
    insert = insert_of(dialect, table)
    changed = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)
