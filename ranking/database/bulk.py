"""Many rows at once: COPY or arrays on PostgreSQL, one prepared statement on SQLite."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ranking.database.direct import raised_as
from ranking.database.round_trip import POSTGRESQL, Sending, Step, array_literal

_COPIED: Final = 50
"""Fewer rows are faster in one statement."""
_ARRAYS: Final[dict[type[sa.types.TypeEngine[Any]], str]] = {
    sa.BigInteger: "bigint",
    sa.Integer: "integer",
    sa.Double: "double precision",
    sa.LargeBinary: "bytea",
    sa.Text: "text",
    sa.String: "text",
}


def insert_rows(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Sequence[Any]],
    then: str = "",
    parameters: Sequence[Any] = (),
) -> None:
    """Insert ``rows``, each with a value for every column of ``table`` in its order, in the order given. ``then`` is
    what follows in SQL, as ON CONFLICT does, with ``parameters`` in place of its question marks.
    """
    sending = Sending(connection)
    adding(sending, table, rows, then, parameters)
    sending.flush()


def adding(
    sending: Sending,
    table: sa.Table,
    rows: Sequence[Sequence[Any]],
    then: str = "",
    parameters: Sequence[Any] = (),
) -> None:
    """``insert_rows`` with other statements. Many rows are copied at once, after all that waits."""
    if not rows:
        return
    if sending.dialect != POSTGRESQL:
        sending.flush()
        connection, statement = sending.connection, _insert(sending.dialect, table, then)
        connection.exec_driver_sql(statement, [(*row, *parameters) for row in rows])
    elif then or len(rows) < _COPIED:
        columns = map(array_literal, zip(*rows, strict=True))
        sending.add(Step(_insert(sending.dialect, table, then), [*columns, *parameters]))
    else:
        sending.flush()
        _copy(sending.connection, table, rows)


def keyed(dialect: str, column: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
    """Whether ``column`` has one of the keys, which are the parameter ``name`` as ``keys_of`` gives it: an array on
    PostgreSQL, JSON on SQLite. One for each takes SQLAlchemy longer than the database takes to find the rows.
    """
    if dialect == POSTGRESQL:
        return column == sa.any_(sa.bindparam(name, type_=sa.ARRAY(sa.Text)))
    return column.in_(sa.select(sa.func.json_each(sa.bindparam(name, type_=sa.Text)).table_valued("value").c.value))


def keys_of(dialect: str, keys: Sequence[str]) -> list[str] | str:
    """The parameter of ``keyed``."""
    return list(keys) if dialect == POSTGRESQL else msgspec.json.encode(list(keys)).decode()


def _copy(connection: sa.Connection, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:
    """PostgreSQL's COPY. It reads while rows are still being written here."""
    cursor = connection.connection.cursor()
    try:
        with cursor.copy(f"COPY {table.name} ({_columns(table)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        raise raised_as(connection, error, cursor, "COPY") from error


@lru_cache
def _insert(dialect: str, table: sa.Table, then: str) -> str:
    into = f"INSERT INTO {table.name} ({_columns(table)})"
    if dialect == "postgresql":
        arrays = ", ".join(f"%s::{_array_type(column.type)}[]" for column in table.columns)
        return f"{into} SELECT * FROM unnest({arrays}) {then.replace('?', '%s')}"  # noqa: S608 - our own names
    return f"{into} VALUES ({', '.join('?' for _ in table.columns)}) {then}"


def _array_type(of: sa.types.TypeEngine[Any]) -> str:
    return next(name for kind, name in _ARRAYS.items() if isinstance(of, kind))


def _columns(table: sa.Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)
