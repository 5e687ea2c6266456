"""Which backend holds the vectors: the one that the setting ``ranking.index`` names."""

from pathlib import Path
from typing import Final

from ranking.vectors.backends.port import IndexBackend, RemoteBackend, SnapshotBackend
from schemas.implementations import Implementations

INDEXES: Final = Implementations(
    field="ranking.index",
    noun="an index",
    group="dancerank.indexes",
    shipped={
        "faiss": "ranking.vectors.backends.faiss_live:FaissBackend",
        "numpy": "ranking.vectors.backends.numpy_exact:NumpyBackend",
    },
)


def open_backend(name: str, *, threads: int = 1, folder: Path | None = None) -> IndexBackend:
    """The backend ``name``: ``faiss``, with ``threads`` threads for each search and its segments below ``folder``,
    ``numpy``, an entry point of the group ``dancerank.indexes``, or ``package.module:factory``, a callable without
    arguments.

    Raises ``ConfigurationError`` naming ``ranking.index``.
    """
    backend = INDEXES.make(name, **({"threads": threads, "folder": folder} if name == "faiss" else {}))
    if not isinstance(backend, SnapshotBackend | RemoteBackend):
        made = f"which makes a {type(backend).__name__}"
        raise INDEXES.refused(
            name, f"{made}; expected a SnapshotBackend or a RemoteBackend of ranking.vectors.backends.port"
        )
    return backend
