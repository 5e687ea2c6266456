"""HNSW indexes of tables of vectors: whether one is there, and how it is built while the table is read and written."""

import logging
from typing import Final

import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.vectors.backends.pgvector.tables import graph_index

log = logging.getLogger(__name__)

HNSW_WIDTH: Final = 4000
"""The widest ``halfvec`` that an HNSW index of pgvector takes."""
_VALID: Final = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def has_graph(connection: sa.Connection, name: str) -> bool:
    """Whether the table ``name`` has a graph that is whole."""
    return bool(connection.scalar(_VALID, {"name": f"{name}_hnsw"}))


def build_graph(database: Database, name: str, dim: int) -> bool:
    """Build the graph of the table ``name``, unless it is there or another process builds it; whether it is whole.

    Raises as ``store_errors`` says.
    """
    with database.autocommitting() as connection:
        lock = sa.func.pg_try_advisory_lock(sa.func.hashtextextended(f"{name}_hnsw", 0))
        # Building may take longer than any statement should; lock and limit end with the connection.
        mine = connection.scalar(sa.select(lock, sa.func.set_config("statement_timeout", "0", False)))
        if not mine:
            return False
        held = connection.scalar(_VALID, {"name": f"{name}_hnsw"})
        if held:
            return True
        index = graph_index(name, dim)
        if held is not None:
            index.drop(connection)  # of a process that was ended while it built it
        log.info("building the HNSW index of %s; searches scan until it is built", name)
        index.create(connection)
        log.info("the HNSW index of %s is built", name)
        return True
