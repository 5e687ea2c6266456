"""Many rows in one statement: arrays on PostgreSQL, one prepared statement on SQLite."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

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
    if not rows:
        return
    statement = _insert(connection.dialect.name, table, then)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(statement, (*map(list, zip(*rows, strict=True)), *parameters))
    else:
        connection.exec_driver_sql(statement, [(*row, *parameters) for row in rows])


@lru_cache
def _insert(dialect: str, table: sa.Table, then: str) -> str:
    names = [column.name for column in table.columns]
    into = f"INSERT INTO {table.name} ({', '.join(_quoted(name) for name in names)})"
    if dialect == "postgresql":
        arrays = ", ".join(f"%s::{_array_type(column.type)}[]" for column in table.columns)
        return f"{into} SELECT * FROM unnest({arrays}) {then.replace('?', '%s')}"  # noqa: S608 - our own names
    return f"{into} VALUES ({', '.join('?' for _ in names)}) {then}"


def _array_type(of: sa.types.TypeEngine[Any]) -> str:
    return next(name for kind, name in _ARRAYS.items() if isinstance(of, kind))


def _quoted(name: str) -> str:
    return f'"{name}"'
