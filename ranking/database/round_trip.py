"""Several statements in one round trip to the database, and statements that take rows and keys as arrays.

On PostgreSQL, statements go out together in the driver's pipeline mode, and each row set and set of keys is one
parameter per column; so a batch costs two waits and a fixed number of statements, however many rows it has. SQLite, in
this process, runs the same statements one after the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from ranking.database.connection import insert_of

POSTGRESQL: Final = "postgresql"
Parameters = Mapping[str, Any] | Sequence[Any]


class Step(NamedTuple):
    """One statement of several. ``parameters`` of ``writing`` are rows; those of a text, in the SQL of PostgreSQL's
    driver, what it takes; those of all others are values by name. ``check`` gets the rows of the statement, and raises
    what its caller has to know.
    """

    statement: sa.Executable | str
    parameters: Parameters = MappingProxyType({})
    check: Callable[[Sequence[Any]], None] | None = None


COMMIT: Final = Step(sa.text("COMMIT"))
"""After steps none of which is checked: they are committed in the same round trip. A step after it sees what others
have committed until then."""


def committing(connection: sa.Connection) -> list[Step]:
    """``COMMIT`` where it saves a round trip; SQLite commits when the transaction is left."""
    return [COMMIT] if connection.dialect.name == POSTGRESQL else []


def together(connection: sa.Connection, steps: Sequence[Step], *, prepared: bool = False) -> list[Sequence[Any]]:
    """Execute ``steps`` in order, in the transaction of ``connection``; returns the rows of each, once all are checked.

    With ``prepared`` PostgreSQL reads the text of each statement once for a connection. Only where the transaction has
    begun with ``ranking.database.connection.FRESH_PLANS``.

    Rows have their columns as attributes and ``_asdict``. If one step fails, none after it takes effect. Raises
    ``sqlalchemy.exc.DBAPIError``.
    """
    if connection.dialect.name == POSTGRESQL:
        found = _pipelined(connection, steps, prepared=prepared)
    else:
        found = [_executed(connection, step) for step in steps]
    for step, rows in zip(steps, found, strict=True):
        if step.check is not None:
            step.check(rows)
    return found


class Sending:
    """Statements of one transaction that go out in the order they are added, with the next of which the rows are asked
    for: one round trip for all. The transaction has to begin with ``ranking.database.connection.FRESH_PLANS``.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection: Final = connection
        self._waiting: list[Step] = []

    @property
    def dialect(self) -> str:
        return self.connection.dialect.name

    def add(self, *steps: Step) -> None:
        self._waiting += steps

    def rows(self, *steps: Step) -> list[Sequence[Any]]:
        """The rows of each of ``steps``, which come after all that wait; without any, nothing is sent. Raises as
        ``together``.
        """
        return self._send(steps) if steps else []

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            self._send(())

    def _send(self, steps: Sequence[Step]) -> list[Sequence[Any]]:
        waiting, self._waiting = self._waiting, []
        return together(self.connection, [*waiting, *steps], prepared=True)[len(waiting) :]


def among(dialect: str, column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """The condition that ``column`` is among the values of the parameter ``name``; as long as they are fewer than the
    30,000 parameters that SQLite takes.
    """
    if dialect == POSTGRESQL:  # one text for any number of keys
        type_ = sa.Text() if isinstance(column.type, sa.String) else column.type
        return column == sa.any_(sa.bindparam(name, type_=postgresql.ARRAY(type_)))
    return column.in_(sa.bindparam(name, expanding=True))


def writing(
    connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]], *, adds: frozenset[str] = frozenset()
) -> list[Step]:
    """A step that inserts ``rows``, with distinct keys, each with every column of ``table``, or overwrites those with
    their keys; the columns ``adds`` are added to what is there instead. No step without rows.

    Rows are locked in the order of their keys, so that transactions that write the same ones cannot deadlock. On
    PostgreSQL a step that adds gives the rows as they are then.
    """
    keys = [column.name for column in table.primary_key]
    ordered = sorted(rows, key=lambda row: tuple(row[key] for key in keys))
    return [Step(_upserting(connection.dialect.name, table, adds), ordered)] if ordered else []


def inserting(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> list[Step]:
    """A step that inserts ``rows``, each with every column of ``table``. No step without rows."""
    return [Step(rows_into(connection.dialect.name, table), rows)] if rows else []


@lru_cache
def _upserting(dialect: str, table: sa.Table, adds: frozenset[str]) -> sa.Executable:
    insert = rows_into(dialect, table)
    new = insert.excluded
    changed = {c.name: c + new[c.name] if c.name in adds else new[c.name] for c in table.c if not c.primary_key}
    upsert = insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)
    return upsert.returning(*table.c) if adds and dialect == POSTGRESQL else upsert


@lru_cache
def rows_into(dialect: str, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An insert of rows that are given as the parameters of a ``Step``."""
    if dialect != POSTGRESQL:
        return insert_of(dialect, table)
    given = given_rows(list(table.c))
    return postgresql.insert(table).from_select([column.name for column in table.c], sa.select(*given.c))


def given_rows(columns: Sequence[sa.Column[Any]]) -> sa.TableValuedAlias:
    """The rows of a ``Step`` as a table of PostgreSQL, with ``columns``."""
    types = {c.name: sa.Text() if isinstance(c.type, sa.String) else c.type for c in columns}
    arrays = (sa.bindparam(name, type_=postgresql.ARRAY(type_)) for name, type_ in types.items())
    typed = (sa.column(name, type_) for name, type_ in types.items())
    return sa.func.unnest(*arrays).table_valued(*typed).render_derived(name="given")


def _executed(connection: sa.Connection, step: Step) -> Sequence[Any]:
    assert not isinstance(step.statement, str)  # they are in PostgreSQL's SQL
    result = connection.execute(step.statement, step.parameters)
    return result.all() if result.returns_rows else []


def _pipelined(connection: sa.Connection, steps: Sequence[Step], *, prepared: bool) -> list[Sequence[Any]]:
    from psycopg import Connection, Error  # of the extra "postgresql"
    from psycopg.rows import namedtuple_row

    driver = connection.connection.driver_connection
    assert isinstance(driver, Connection)
    try:
        cursors = []
        with driver.pipeline():
            for step in steps:
                cursor = driver.cursor(binary=True, row_factory=namedtuple_row)
                text, parameters = _as_driver_takes(step)
                cursor.execute(text, parameters, prepare=prepared)
                cursors.append(cursor)
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]
    except Error as error:
        raise exc.DBAPIError.instance("", None, error, Error, connection_invalidated=driver.closed) from error


def _as_driver_takes(step: Step) -> tuple[str, Parameters]:
    if isinstance(step.statement, str):
        return step.statement, step.parameters
    text, own = _compiled(step.statement)
    return text, {**own, **_values(step.parameters)}


def _values(parameters: Parameters) -> Mapping[str, Any]:
    if not isinstance(parameters, Mapping):
        parameters = {name: [row[name] for row in parameters] for name in parameters[0]}
    return {name: array_literal(value) if isinstance(value, list) else value for name, value in parameters.items()}


def array_literal(values: Sequence[Any]) -> str:
    """PostgreSQL's literal of an array. The driver's own way takes three times as long."""
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bytes):
        return '"\\\\x' + value.hex() + '"'
    return str(value)


@lru_cache(maxsize=256)
def _compiled(statement: sa.Executable) -> tuple[str, Mapping[str, Any]]:
    """The statement as the driver takes it, and its own values. Compiling takes longer than executing."""
    assert isinstance(statement, sa.ClauseElement)
    compiled = statement.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]
    return str(compiled), compiled.params
