"""Which backend holds the vectors: the one that the setting ``ranking.index`` names."""

from pathlib import Path
from typing import Any, Final

from ranking.database.limits import MOST_CONNECTIONS
from ranking.vectors.backends.port import IndexBackend, RemoteBackend, SnapshotBackend
from schemas.implementations import Implementations

INDEXES: Final = Implementations(
    field="ranking.index",
    noun="an index",
    group="dancerank.indexes",
    shipped={
        "faiss": "ranking.vectors.backends.faiss_live:FaissBackend",
        "milvus": "ranking.vectors.backends.milvus:MilvusBackend",
        "numpy": "ranking.vectors.backends.numpy_exact:NumpyBackend",
        "pgvector": "ranking.vectors.backends.pgvector.backend:PgvectorBackend",
    },
)


def open_backend(
    name: str,
    *,
    threads: int = 1,
    folder: Path | None = None,
    milvus_uri: str = "",
    milvus_token: str = "",
    database_url: str = "",
    database_connections: int = MOST_CONNECTIONS,
) -> IndexBackend:
    """The backend ``name``: ``faiss``, with ``threads`` threads for each search and its segments below ``folder``,
    ``milvus`` at ``milvus_uri``, ``numpy``, ``pgvector`` in the PostgreSQL at ``database_url``, an entry point of the
    group ``dancerank.indexes``, or ``package.module:factory``, a callable without arguments.

    Raises ``ConfigurationError`` naming ``ranking.index``, or ``ranking.milvus_uri`` if no Milvus answers there, and
    ``StoreUnavailable`` if no PostgreSQL does.
    """
    options: dict[str, dict[str, Any]] = {
        "faiss": {"threads": threads, "folder": folder},
        "milvus": {"uri": milvus_uri, "token": milvus_token},
        "pgvector": {"database_url": database_url, "connections": database_connections},
    }
    backend = INDEXES.make(name, **options.get(name, {}))
    if not isinstance(backend, SnapshotBackend | RemoteBackend):
        made = f"which makes a {type(backend).__name__}"
        raise INDEXES.refused(
            name, f"{made}; expected a SnapshotBackend or a RemoteBackend of ranking.vectors.backends.port"
        )
    return backend
