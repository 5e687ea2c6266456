"""pgvector behind the index port: vectors and the view's state in the PostgreSQL that holds the rankings."""

import logging
from typing import Final

import sqlalchemy as sa

from ranking.database.connection import Database, upsert
from ranking.database.failures import INSUFFICIENT_PRIVILEGE, has_sqlstate
from ranking.database.limits import MOST_CONNECTIONS
from ranking.vectors.backends.pgvector.description import found_in
from ranking.vectors.backends.pgvector.graphs import HNSW_WIDTH
from ranking.vectors.backends.pgvector.index import GRAPHS, Graphs, PgvectorIndex
from ranking.vectors.backends.pgvector.tables import lock_tables, state_table, stem
from schemas.errors import ConfigurationError, StoreRefused
from schemas.modalities import Modality

log = logging.getLogger(__name__)

WIDEST: Final = 16_000
"""The widest ``halfvec``."""
_FIELD: Final = "ranking.index"
_TABLES: Final = sa.text(
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_table_is_visible(oid) AND starts_with(relname, :stem)"
)


class PgvectorBackend:
    """``RemoteBackend`` in the PostgreSQL at ``database_url``, through at most ``connections`` connections.

    Raises ``ConfigurationError`` naming ``ranking.index`` for another database, for a server without pgvector
    0.8 or later, and for one on which this user may not create the extension; ``StoreUnavailable`` if none answers.
    """

    name = "pgvector"

    def __init__(self, *, database_url: str, connections: int = MOST_CONNECTIONS, graphs: Graphs = GRAPHS) -> None:
        self._database = Database(database_url, connections=connections)
        self._graphs = graphs
        if self._database.dialect != "postgresql":
            raise ConfigurationError(
                f"pgvector keeps vectors in PostgreSQL, and ranking.database_url names {self._database.dialect}; name "
                "a PostgreSQL there, or choose another index",
                field=_FIELD,
            )
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._database.close()

    def open(self, generation: str, modality: Modality, dim: int) -> PgvectorIndex:
        if dim > WIDEST:
            raise StoreRefused(
                f"embeddings of width {dim} ({modality}, generation {generation}): pgvector holds {WIDEST:,} "
                "components at most; choose another ranking.index"
            )
        if dim > HNSW_WIDTH:
            log.warning(
                "generation %s has %s embeddings of width %d: an HNSW index of pgvector takes %s components at most, "
                "so that every search reads all vectors",
                generation,
                modality,
                dim,
                f"{HNSW_WIDTH:,}",
            )
        comment = f"dancerank: {modality} embeddings of generation {generation}"
        index = PgvectorIndex(self._database, f"{stem(generation, modality)}{dim}", dim, comment, self._graphs)
        index.create()
        return index

    def drop(self, generation: str, modality: Modality) -> None:
        with self._database.writing() as connection:
            lock_tables(connection)
            for name in connection.scalars(_TABLES, {"stem": stem(generation, modality)}).all():
                sa.Table(name, sa.MetaData()).drop(connection)

    def load_state(self) -> bytes | None:
        with self._database.reading() as connection:
            state: bytes | None = connection.scalar(sa.select(state_table.c.state))
            return state

    def save_state(self, state: bytes) -> None:
        with self._database.writing() as connection:
            upsert(connection, state_table, [{"id": 1, "state": state}])

    def _prepare(self) -> None:
        found = found_in(self._database)
        if found.version is None and found.problem is None:
            self._create_extension(found.database)
            found = found_in(self._database)
        if found.problem is not None:
            raise ConfigurationError(found.problem, field=_FIELD)
        with self._database.writing() as connection:
            lock_tables(connection)
            state_table.create(connection, checkfirst=True)

    def _create_extension(self, database: str) -> None:
        try:
            with self._database.writing() as connection:
                lock_tables(connection)
                connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS vector"))
        except StoreRefused as error:
            if not has_sqlstate(error, INSUFFICIENT_PRIVILEGE):
                raise
            raise ConfigurationError(
                f"this user may not create the extension vector in database {database}; have a superuser run CREATE "
                "EXTENSION vector there, once",
                field=_FIELD,
            ) from error
