"""Statements that are asked often, past SQLAlchemy's execution, whose work takes longer than the database's.

A statement is compiled once. PostgreSQL's rows come in its binary format: text would double the bytes of a binary
value. What ``LIMIT`` takes has to be written into such a statement rather than given as a parameter: for a number that
it does not know PostgreSQL finds a cached plan dear, and plans each time anew, which takes longer than to execute it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine.interfaces import DBAPIModule


class _Compiled(NamedTuple):
    """``fixed``: parameters that have a value in the statement."""

    text: str
    fixed: dict[str, Any]


def rows_of(
    connection: sa.Connection, statement: sa.SelectBase, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """The rows of ``statement``, whose every parameter is one value: no list expands, an array of PostgreSQL is one.
    The statement is kept for as long as the process: construct it once.
    """
    text, fixed = _compiled(connection.dialect.name, statement)
    raw = connection.connection
    cursor = raw.cursor(binary=True) if connection.dialect.name == "postgresql" else raw.cursor()
    try:
        cursor.execute(text, {**fixed, **parameters})
        return [tuple(row) for row in cursor.fetchall()]
    except connection.dialect.loaded_dbapi.Error as error:
        raise raised_as(connection, error, cursor, text) from error
    finally:
        cursor.close()


def raised_as(connection: sa.Connection, error: DBAPIModule.Error, cursor: Any, text: str) -> exc.DBAPIError:
    """A driver's error as SQLAlchemy raises those that come through it; without the parameters."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor)
    kind = dialect.loaded_dbapi.Error
    found = exc.DBAPIError.instance(text, (), error, kind, connection_invalidated=lost)
    return found if isinstance(found, exc.DBAPIError) else exc.DBAPIError(text, (), error)


@lru_cache(maxsize=1024)
def _compiled(dialect: str, statement: sa.SelectBase) -> _Compiled:
    url = "postgresql+psycopg://" if dialect == "postgresql" else "sqlite://"
    named = None if dialect == "postgresql" else "named"
    compiled = statement.compile(
        dialect=sa.make_url(url).get_dialect()(**({} if named is None else {"paramstyle": named}))
    )
    return _Compiled(str(compiled), {name: value for name, value in compiled.params.items() if value is not None})
